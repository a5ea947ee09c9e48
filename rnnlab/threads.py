"""Threads of the matrix products: one, because at the sizes of this course a second one costs more than it brings.

The number is settled when NumPy is loaded. So this module loads it, with one thread, if nobody has loaded it before or
set a number: a number that stands in the environment, or that a loaded NumPy has, is the user's and stays.
"""

import os
import sys

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def load_numpy():
    """Load NumPy with one thread unless that is settled already; leave the environment as it was."""
    if "numpy" in sys.modules or any(name in os.environ for name in VARIABLES):
        return
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    try:
        import numpy  # noqa: F401
    finally:  # what else this process loads, such as torch, and the processes it starts, decide for themselves
        for name in VARIABLES:
            del os.environ[name]


def one_thread():
    """Run NumPy's matrix products on one thread from now on, also where NumPy was loaded first.

    As a context manager it does so for the length of its block. torch is not touched: it has torch.set_num_threads.

    Returns:
        a context manager; leaving it restores the numbers of threads that were set before the call.

    Raises:
        ModuleNotFoundError: the package threadpoolctl, which comes with rnnlab, is not installed.

    >>> import numpy as np
    >>> with one_thread():
    ...     product = np.eye(3) @ np.ones((3, 2))
    """
    from threadpoolctl import threadpool_limits  # on demand: it looks at every library that the process has loaded

    return threadpool_limits(limits=1, user_api="blas")


load_numpy()  # now, because the rest of the package is imported after this module

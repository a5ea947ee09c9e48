"""What a stored result needs beside its settings, so that someone else can judge or repeat it."""

import platform

import numpy as np

__version__ = "0.1.0"


def provenance():
    """Return the versions and the vector instructions that numbers made here depend on.

    With other instructions NumPy rounds the last digit differently, and a long training ends elsewhere.

    Returns:
        dict: `python`, `numpy`, `rnnlab`, texts; `instructions`, a list of texts.

    >>> sorted(provenance())
    ['instructions', 'numpy', 'python', 'rnnlab']
    """
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "rnnlab": __version__,
        "instructions": sorted(found),
    }

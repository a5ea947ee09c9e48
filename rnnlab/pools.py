"""Worker processes for sweeps: one BLAS thread each, a new pool when a worker has died, and Ctrl-C that is heard."""

import contextlib
import os
import signal
import threading
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from multiprocessing.context import SpawnContext, SpawnProcess

from rnnlab.checks import positive_integer

# Read by OpenBLAS, MKL and OpenMP (so by torch) when they are loaded.
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def processes(workers=None):
    """Return an executor of worker processes with one BLAS thread each, for `sweep`.

    At the sizes of this book two threads in one product are slower than one; two processes are twice as fast. A worker
    that dies, out of memory say, breaks a plain ProcessPoolExecutor for good; this one goes on with a new pool.

    In a script, what starts processes must stand below `if __name__ == "__main__":`, because each worker imports the
    script anew. A notebook needs nothing.

    Args:
        workers: number of processes; None for one for each core that this process may use.

    >>> with processes(workers=2) as executor:
    ...     executor.submit(abs, -3).result()
    3
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Processes(positive_integer(workers, "workers"))


class Processes(Executor):
    """Submit to a pool of processes, and to a new one after a worker has died; see `processes`.

    Attributes:
        workers: number of processes.
        window: calls that are worth submitting at once. What is submitted when a worker dies is lost with it.
    """

    def __init__(self, workers):
        self.workers, self.window, self.pool = workers, 2 * workers, None

    def submit(self, function, /, *args, **kwargs):
        """Schedule a call and return its Future.

        Raises:
            RuntimeError: the workers do not start.
        """
        self.pool = self.pool or self._started()
        try:
            return self.pool.submit(function, *args, **kwargs)
        except BrokenExecutor:
            self.pool.shutdown()
            self.pool = self._started()
            return self.pool.submit(function, *args, **kwargs)

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Release the processes; see concurrent.futures.Executor."""
        if self.pool is not None:
            self.pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def _started(self):
        pool = ProcessPoolExecutor(self.workers, mp_context=_OneThreadContext(), initializer=_ignore_ctrl_c)
        try:
            pool.submit(os.getpid).result()
        except BrokenExecutor as error:
            raise RuntimeError(
                "expected worker processes to start, and they died at once; "
                'in a script, what starts them must stand below `if __name__ == "__main__":`'
            ) from error
        return pool


class _OneThreadProcess(SpawnProcess):
    """Start with one thread: the libraries look before any code of ours runs, so it must be in the environment."""

    def start(self):
        kept = {name: os.environ.get(name) for name in THREADS}
        os.environ.update(THREADS)
        try:
            super().start()
        finally:
            for name, value in kept.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


class _OneThreadContext(SpawnContext):
    Process = _OneThreadProcess


def _waiting(signum, frame):
    """Pass over Ctrl-C: a worker that waits for work would die of it, and the pool with the worker."""


def _ignore_ctrl_c():
    signal.signal(signal.SIGINT, _waiting)


@contextlib.contextmanager
def noticing_ctrl_c():
    """Raise KeyboardInterrupt at the end if Ctrl-C came within, even where it was caught, as in `train`.

    A run that was cut short must not be stored as a whole one.
    """
    came = False

    def handler(signum, frame):
        nonlocal came
        came = True
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not in_main_thread or before not in (signal.default_int_handler, _waiting):
        yield  # another program's handler stays in charge
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            raise KeyboardInterrupt

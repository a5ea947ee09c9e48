"""What takes seconds to make and never changes in a run is made by one worker; the others read it."""

import os
import pickle

from filelock import FileLock


def once(tmp_path_factory, name, make):
    """Return what `make` returns, called once in a run of the tests, whatever the number of workers.

    Args:
        tmp_path_factory: pytest's; what was made lies in the folder that all workers share.
        name: of the file there.
        make: a function without arguments; what it returns must survive pickling.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    path = shared / f"{name}.pickle"
    with FileLock(shared / f"{name}.lock"):
        if not path.exists():
            made = pickle.dumps(make())
            path.write_bytes(made)
    return pickle.loads(path.read_bytes())

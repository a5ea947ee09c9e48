"""What runs in a lesson's kernel, before its first cell and after its last.

Before: note every file of the repository that is opened. After: keep the variables, so that tests can look at them,
and call the functions, without running the lesson again.
"""

import builtins
import functools
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = (".lessons", ".venv", ".git", "logs", "__pycache__", ".ipynb_checkpoints", "_build", "rnnlab.egg-info")
NOT_KEPT = {"In", "Out", "exit", "quit", "get_ipython", "open"}  # what IPython adds
opened, glued = set(), {}


def watch() -> None:
    """Begin to note what is opened or listed, but for Python files: what of those counts is known before."""
    root = str(ROOT) + os.sep

    def note(event, arguments):
        if event not in ("open", "os.listdir", "os.scandir") or not arguments:
            return
        path = arguments[0]
        if not isinstance(path, str | os.PathLike) or "importlib" in sys._getframe(1).f_code.co_filename:
            return  # a file descriptor; or Python looks for modules
        path = os.path.realpath(path)
        if path.startswith(root) and not path.endswith((".py", ".pyc")):
            opened.add(path)

    sys.addaudithook(note)
    hear_glue()


def hear_glue() -> None:
    """Keep what the lesson glues for its prose, as it is and not only as text."""
    import myst_nb

    glue = myst_nb.glue

    def heard(name, variable, display=True):
        glued[name] = variable
        return glue(name, variable, display)

    myst_nb.glue = functools.update_wrapper(heard, glue)


def of_repository() -> list:
    """Return what was opened, from the repository on, without what is made while things run."""
    found = (Path(path).relative_to(ROOT) for path in opened)
    return sorted(path.as_posix() for path in found if not any(part in OUTSIDE for part in path.parts))


def keep(folder: str, namespace: dict) -> None:
    """Write what was opened and the variables into a folder; what cannot be kept is named with the reason."""
    files = of_repository()
    own = {name: value for name, value in namespace.items() if not name.startswith("_") and name not in NOT_KEPT}
    own.pop("glue", None)  # ours
    try:
        content, reasons = pickled({"variables": own, "glued": glued}), {}
    except Exception:  # whatever an object raises; which one is it?
        reasons = {name: reason for name, value in own.items() if (reason := why_not(value))}
        kept = {name: value for name, value in own.items() if name not in reasons}
        content = pickled({"variables": kept, "glued": glued})
    (Path(folder) / "variables.pickle").write_bytes(content)
    (Path(folder) / "inside.json").write_text(json.dumps({"opened": files, "not kept": reasons}), encoding="utf-8")


def why_not(value) -> str:
    """Return what keeps a value from being kept, or nothing."""
    try:
        pickled(value)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def pickled(value) -> bytes:
    """Return a value with cells' functions by value, and caches as they were made, empty."""
    import io

    import cloudpickle

    class Pickler(cloudpickle.Pickler):
        def reducer_override(self, one):
            if isinstance(one, functools._lru_cache_wrapper) and "." not in one.__qualname__:
                return fresh_cache, (one.__wrapped__, one.cache_parameters())
            if one is builtins.input:  # the kernel's own, in place of Python's
                return getattr, (builtins, "input")
            return super().reducer_override(one)

    buffer = io.BytesIO()
    Pickler(buffer).dump(value)
    return buffer.getvalue()


def fresh_cache(function, parameters):
    """Return a function with an empty cache of its own."""
    return functools.lru_cache(**parameters)(function)

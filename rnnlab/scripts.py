"""Run a script of the reader's for the doctor's command line, and leave this process as it was."""

import importlib.util
import inspect
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from torch import nn


@contextmanager
def beside(path):
    """Let a script import what lies beside it; afterwards `sys.path` and the script's name are given back.

    Its folder stands behind the standard library, so that a copy.py in it does not stand for `copy`, here or in a
    process that starts with this `sys.path`; and before what is installed, so that its own utils.py is found.
    """
    before, installed = list(sys.path), ("site-packages", "dist-packages")
    at = min((n for n, one in enumerate(before) if Path(one).name in installed), default=len(before))
    sys.path.insert(at, str(Path(path).resolve().parent))
    try:
        yield
    finally:
        sys.path[:] = before
        script = os.path.abspath(path)
        for name in [name for name, one in sys.modules.items() if getattr(one, "__file__", None) == script]:
            del sys.modules[name]


def made(path, function):
    """Run a script, as an import does, and return what its function makes: (module, batch, loss_fn), maybe a dict."""
    name = Path(path).stem + "_examined" * (Path(path).stem in sys.modules)  # a script may be called copy.py
    spec = importlib.util.spec_from_file_location(name, path)
    script = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look there for their module
    spec.loader.exec_module(script)
    make = getattr(script, function, None)
    if not callable(make) or isinstance(make, nn.Module):
        own = [key for key, one in vars(script).items() if inspect.isfunction(one) and one.__module__ == name]
        got = f"{function!r}, a {type(make).__name__}" if hasattr(script, function) else repr(function)
        raise ValueError(f"expected the name of a function behind the colon, got {got}; functions of this script: "
                         f"{', '.join(own) or 'none'}")  # fmt: skip
    returned = make()
    if (
        not isinstance(returned, tuple | list)
        or len(returned) < 3
        or [type(one) for one in returned[3:]] not in ([], [dict])
    ):
        got = f"{len(returned)} values" if isinstance(returned, tuple | list) else f"a {type(returned).__name__}"
        raise TypeError(f"expected {function}() to return (module, (inputs, targets), loss_fn), got {got}")
    return returned

"""The scripts of the book's evidence, for tests that compute a part of their records again."""

import importlib.util
import sys
from pathlib import Path

import pytest

import rnnlab as rl

EVIDENCE = Path(__file__).resolve().parents[1] / "notebooks" / "evidence"


def script(name):
    """Import a script by its name without .py."""
    if str(EVIDENCE) not in sys.path:  # a script may have its data in a file beside it
        sys.path.append(str(EVIDENCE))
    spec = importlib.util.spec_from_file_location(name, EVIDENCE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def skip_unless_exact(made):
    """Skip a test of equal numbers where this processor rounds otherwise than the one that made the record.

    Records from before `rounding` was noted do not say how theirs did; they are compared where runs begin, within a
    tolerance, by tests that do not ask this.
    """
    here = rl.provenance()
    if any(here[name] != made.get(name) for name in ("numpy", "rounding")):
        pytest.skip("a whole run is exact only with the processor and the NumPy that it was made with")

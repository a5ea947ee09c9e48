"""The scripts of the book's evidence, for tests that compute a part of their records again.

What another machine may change in a record is the last digit of a number, and what a training makes of it:

- another BLAS or instruction set sums in another order, so that products and norms differ by a unit in the last place;
- another NumPy or torch, or another operating system's mathematical library, has its own `exp` and `tanh`; the random
  streams and what is drawn from them stay the same;
- a difference of 1e-16 (1e-7 in float32) grows with every update of a training, slowly in a calm one, by powers of ten
  at a high rate. At the end another run is stored, as good a one.

So a run is compared where it begins, on every machine, within a tolerance that was measured: `begins_as_stored`. Its
end is compared where numbers are rounded as they were when the record was made: `skip_unless_exact`. What the lesson
concludes from all runs of a record holds for the record, anywhere. `python -m tools.roundings` runs all of it as if on
three other machines.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
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


def begins_as_stored(again, stored, rtol=2e-3, atol=0.0, about=""):
    """Compare the beginning of a run with the stored one, on every machine.

    Args:
        again: its numbers, computed here.
        stored: those of the record.
        rtol, atol: how far rounding was seen to move them in so few updates, and some room. The default is far above
            the 1e-9 to 1e-5 of calm runs, and far below what a changed formula does.
        about: what names the run in the message.
    """
    np.testing.assert_allclose(again, stored, rtol=rtol, atol=atol, err_msg=str(about))


def rounds_as(made, torch=None):
    """Return whether numbers come out here as where a record was made, to the last bit.

    Args:
        made: the record's provenance; one from before `rounding`, or with torch `torch_rounding`, was noted does not
            say how its numbers were rounded, and counts as made elsewhere.
        torch: the module, where it made the numbers.
    """
    here = rl.provenance(torch)
    names = ("numpy", "rounding") if torch is None else ("torch", "torch_rounding")
    return all(here[name] == made.get(name) for name in names)


def skip_unless_exact(made, torch=None):
    """Skip the comparison of a whole run where `rounds_as` says no; another test compares its beginning."""
    if not rounds_as(made, torch):
        pytest.skip("a whole run is exact only where numbers are rounded as its record was; its beginning is compared")

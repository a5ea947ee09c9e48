"""What the scripts of the applications share: an interval over few seeds, and files that are whole or not there."""

import contextlib
import os

import numpy as np

T975 = {3: 4.303, 4: 3.182, 5: 2.776, 10: 2.262, 20: 2.093}  # Student's t of a 95% interval, by the number of seeds


def mean_and_half(values):
    """Return the mean over seeds, and half the width of its 95% interval."""
    return float(np.mean(values)), float(T975[len(values)] * np.std(values, ddof=1) / np.sqrt(len(values)))


@contextlib.contextmanager
def whole(path):
    """Give a path beside this one to write to, and move it here at the end: an error or Ctrl-C leaves the old file.

    The path has the same ending, by which `np.savez` goes.
    """
    beside = path.with_name(f"new_{os.getpid()}_{path.name}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write(path, text):
    """Write a text file, whole or not at all."""
    with whole(path) as beside:
        beside.write_text(text, encoding="utf-8")

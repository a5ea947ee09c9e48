"""Run a lesson outside a kernel, so that tests can look at its data and its explorables."""

import contextlib
import functools
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from rnnlab.widgets import Explore


@dataclass(frozen=True)
class Lesson:
    """Hold a lesson that has run.

    Attributes:
        namespace: its variables by name.
        explorables: dict name -> Explore, in order.
        glued: dict name -> what the lesson glued for its prose.
    """

    namespace: dict
    explorables: dict
    glued: dict


@functools.cache
def load(path):
    """Run the code cells of a lesson in order, without displaying anything.

    Args:
        path: of the notebook.

    Returns:
        Lesson. A second call in the same process returns the same one.
    """
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    namespace, glued = {"__name__": "lesson"}, {}

    def keep(name, value, display=True):
        glued[name] = value

    environment = {name: value for name, value in os.environ.items() if name != "RNNLAB_BOOK"}
    with (
        mock.patch("myst_nb.glue", keep),
        mock.patch.dict(os.environ, environment, clear=True),
        contextlib.chdir(Path(path).parent),
        mock.patch("sys.path", [str(Path(path).resolve().parent), *sys.path]),  # as in a kernel that starts there
        contextlib.redirect_stdout(io.StringIO()),
    ):
        for number, cell in enumerate(cells):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"{Path(path).name}, cell {number}", "exec"), namespace)
    explorables = {value.name: value for value in namespace.values() if isinstance(value, Explore)}
    return Lesson(namespace, explorables, glued)


def least_explorables(name):
    """Return how many explorables with sliders a lesson has at least; from 90 on the pages are reference."""
    number = int(name.rpartition("/")[2][:2])
    return 3 if number in (2, 4) else 2 if number < 90 else 1

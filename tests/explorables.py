"""A lesson that has run, for tests that look at its data and its explorables: from the store of executions."""

import functools
from dataclasses import dataclass
from pathlib import Path

from rnnlab.drawings import Kept
from rnnlab.widgets import Explore
from tools.lessons import executions


@dataclass(frozen=True)
class Lesson:
    """Hold a lesson that has run.

    Attributes:
        namespace: its variables by name.
        explorables: dict name -> Explore, in order.
        glued: dict name -> what the lesson glued for its prose.
        drawn: dict name -> Kept, the drawings of every state of an explorable.
    """

    namespace: dict
    explorables: dict
    glued: dict
    drawn: dict


class LessonFailed(AssertionError):
    """Say that a cell of a lesson fails."""


@functools.cache
def load(path):
    """Return what an execution of a lesson left; the lesson is run only if it has changed.

    Args:
        path: of the notebook.

    Returns:
        Lesson. A second call in the same process returns the same one.

    Raises:
        LessonFailed: a cell failed.
    """
    execution = executions.execution(Path(path))
    if execution.errors:
        raise LessonFailed(f"{Path(path).name} fails:\n{execution.errors[0]}")
    kept = execution.kept()
    explorables = {value.name: value for value in kept["variables"].values() if isinstance(value, Explore)}
    drawn = {name: Kept(file) for name, file in execution.drawings().items()}
    return Lesson(kept["variables"], explorables, kept["glued"], drawn)


def least_explorables(name):
    """Return how many explorables with sliders a lesson has at least; from 90 on the pages are reference."""
    number = int(name.rpartition("/")[2][:2])
    return 3 if number in (2, 4) else 2 if number < 90 else 1

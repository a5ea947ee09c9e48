"""Run lessons from first cell to last and store their outputs: python -m tools.store notebooks/04_clipping.ipynb

What a kernel leaves behind besides the outputs (widget views, times of execution, its own version) is dropped, so that
storing the same lesson twice gives the same file. A lesson in which a cell fails is left as it was.
"""

import argparse
from pathlib import Path

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from rnnlab.widgets import Explore
from tools.lessons.executions import Execution, execution

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class LessonFailed(RuntimeError):
    """Say which cell of a lesson failed, and how."""


def explorables_of(run: Execution) -> dict:
    """Return the explorables among the variables of an execution, by name."""
    return {one.name: one for one in run.kept()["variables"].values() if isinstance(one, Explore)}


def cleaned(run: Execution) -> nbformat.NotebookNode:
    """Return the notebook of an execution with a still of each explorable, and without what differs between two runs.

    Raises:
        LessonFailed: a cell failed; the message shows it.
    """
    if run.errors:
        raise LessonFailed(run.errors[0])
    # How often a kernel sends what it prints is chance.
    notebook, _ = CoalesceStreamsPreprocessor().preprocess(run.notebook(), {})
    explorables = None
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
            if name := output.get("metadata", {}).pop("explorable", None):
                explorables = explorables or explorables_of(run)
                output.data, output.metadata = map(nbformat.from_dict, explorables[name].still())
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def store(path: Path) -> None:
    """Store a lesson's execution in place of the old file, whole or not at all; a changed lesson is run first."""
    text = nbformat.writes(cleaned(execution(path)))
    beside = path.with_name(path.name + ".new")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="+", type=Path, metavar="LESSON.ipynb")
    for path in parser.parse_args().lessons:
        print(path, flush=True)
        store(path.resolve())


if __name__ == "__main__":
    main()

"""An execution as a page: the text of the lesson's file, the outputs of its run, explorables as flipbooks."""

import html
from pathlib import Path

import nbformat

from rnnlab.drawings import Kept
from tools.lessons import executions

NOTICE = """\
```{{warning}}
When this page was built here, a cell of the lesson failed. {shown}

<details><summary>The error</summary><pre>{error}</pre></details>
```
"""
LAST = "You see the lesson as it last ran here without a fault."
STORED = "You see the lesson as its authors stored it; its sliders do not move here."


def page(lesson: Path, found: executions.Execution) -> str:
    """Return the text of the notebook that Sphinx reads in place of a lesson's file."""
    if not found.errors:
        return nbformat.writes(with_flipbooks(merged(lesson, found), found))
    last = executions.last_good(lesson)
    shown = with_flipbooks(last.notebook(), last) if last else nbformat.read(lesson, 4)
    return nbformat.writes(with_notice(shown, LAST if last else STORED, found.errors[0]))


def merged(lesson: Path, found: executions.Execution) -> nbformat.NotebookNode:
    """Return the lesson as its file is now, with the outputs of its execution: the code is the same in both."""
    notebook = nbformat.read(lesson, 4)
    ran = iter(cell for cell in found.notebook().cells if cell.cell_type == "code")
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        source = next(ran)
        cell.outputs, cell.execution_count = source.outputs, source.execution_count
    return notebook


def with_flipbooks(notebook: nbformat.NotebookNode, found: executions.Execution) -> nbformat.NotebookNode:
    """Put each explorable's flipbook in the place where the lesson showed it, in place."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if name := output.get("metadata", {}).pop("explorable", None):
                output.data["text/html"] = Kept(found.folder / f"{name}.explorable").html
    return notebook


def with_notice(notebook: nbformat.NotebookNode, shown: str, error: str) -> nbformat.NotebookNode:
    """Say after the title, in place, that the lesson failed, with the error folded."""
    text = NOTICE.format(shown=shown, error=html.escape(error).replace("\n", "<br>"))
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(text))
    return notebook

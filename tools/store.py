"""Run lessons from first cell to last and store their outputs: python -m tools.store notebooks/04_clipping.ipynb

What a kernel leaves behind besides the outputs (widget views, times of execution, its own version) is dropped, so that
storing the same lesson twice gives the same file. A lesson in which a cell fails is left as it was.
"""

import argparse
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def executed(path: Path) -> nbformat.NotebookNode:
    """Return the notebook with the outputs of a fresh run in its own folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the message shows it.
    """
    notebook = nbformat.read(path, 4)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    NotebookClient(notebook, timeout=600, kernel_name="python3", store_widget_state=False,
                   resources={"metadata": {"path": str(path.parent)}}).execute()  # fmt: skip
    return notebook


def cleaned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook without what differs between two runs of the same lesson."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def store(path: Path) -> None:
    """Run a lesson and write it in place of the old file, whole or not at all."""
    text = nbformat.writes(cleaned(executed(path)))
    beside = path.with_name(path.name + ".new")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="+", type=Path, metavar="LESSON.ipynb")
    for path in parser.parse_args().lessons:
        print(f"running {path}", flush=True)
        store(path.resolve())


if __name__ == "__main__":
    main()

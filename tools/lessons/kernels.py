"""One lesson in a kernel, from its first cell to its last, also beyond a cell that fails."""

import time
from pathlib import Path

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.filters import strip_ansi

from tools.lessons.places import surroundings

TIMEOUT = 600  # seconds for one cell
BEFORE = "from tools.lessons import inside as _inside; _inside.watch()"
AFTER = "_inside.keep({folder!r}, dict(globals()))"


class ThisPython(AsyncKernelManager):
    """Start a kernel of the Python that runs this, whatever kernels are installed elsewhere."""

    @property
    def kernel_spec(self):
        """Return how it is started: without a word about its sockets, which are of this machine only."""
        return KernelSpec(resource_dir="", **get_kernel_dict(["--IPKernelApp.log_level=ERROR"]))


def run(notebook: nbformat.NotebookNode, place: Path, folder: Path) -> tuple:
    """Run every cell of a notebook, in place, and let the kernel keep its variables in a folder.

    Args:
        notebook: gets the outputs of this run.
        place: the folder in which it runs.
        folder: for what the kernel keeps: variables, opened files, and the drawings of the explorables.

    Returns:
        the seconds that each code cell took, and a list of the tracebacks of those that failed.
    """
    client = NotebookClient(notebook, kernel_manager_class=ThisPython, kernel_name="python3", timeout=TIMEOUT,
                            store_widget_state=False, allow_errors=True, record_timing=False,
                            resources={"metadata": {"path": str(place)}})  # fmt: skip
    seconds = []
    with (folder / "stderr.txt").open("w") as stderr:
        try:
            surrounded = surroundings(RNNLAB_DRAWINGS=str(folder))
            with client.setup_kernel(env=surrounded, cwd=str(place), stderr=stderr):
                hidden(client, BEFORE)
                for number, cell in enumerate(notebook.cells):
                    if cell.cell_type == "code":
                        start = time.monotonic()
                        client.execute_cell(cell, number)
                        seconds.append(round(time.monotonic() - start, 2))
                hidden(client, AFTER.format(folder=str(folder)))
        except (DeadKernelError, CellTimeoutError) as error:
            last = (folder / "stderr.txt").read_text(errors="replace")[-2000:]
            return seconds, [*errors(notebook.cells), f"{type(error).__name__}: {error}\n{last}"]
    return seconds, errors(notebook.cells)


def hidden(client: NotebookClient, source: str) -> None:
    """Run a line of ours that leaves no trace in the notebook; an error in it is an error of this program."""
    cell = nbformat.v4.new_code_cell(source)
    client.nb.cells.append(cell)
    try:
        client.execute_cell(cell, len(client.nb.cells) - 1, store_history=False)
    finally:
        client.nb.cells.pop()
    if faults := errors([cell]):
        raise RuntimeError("a lesson's kernel could not be prepared or read out:\n" + "\n".join(faults))


def errors(cells) -> list:
    """Return the traceback of each error among the outputs of some cells, without colours."""
    outputs = [output for cell in cells for output in cell.get("outputs", []) if output.output_type == "error"]
    return [strip_ansi("\n".join(output.traceback) or f"{output.ename}: {output.evalue}") for output in outputs]

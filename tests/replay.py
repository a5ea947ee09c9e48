"""Let nbval judge the kept executions of the lessons: pytest -p tests.replay --kept LESSON.ipynb

nbval runs a notebook and compares its outputs with the stored ones. Here its kernel does not run: it repeats what the
lesson's last execution put out, and a lesson that has changed is executed first. What nbval compares, and how, is as
with `pytest --nbval`, which still runs a lesson once more.
"""

import itertools
from pathlib import Path

import pytest
from nbval.plugin import IPyNbFile

from tools.lessons import executions


class Repeating:
    """Answer like nbval's kernel, with the outputs of an execution."""

    def __init__(self, execution):
        self.cells = [cell for cell in execution.notebook().cells if cell.cell_type == "code"]
        self.numbers, self.messages = itertools.count(), iter(())

    def execute_cell_input(self, source, allow_stdin=None):
        """Take the next cell's outputs, and return the id of the request."""
        number = next(self.numbers)
        if self.cells[number].source != source:
            raise RuntimeError(f"expected the code of cell {number} as it was executed, got other code: {source[:60]}")
        self.messages = iter([*map(as_message, self.cells[number].outputs), IDLE])
        self.request = f"cell {number}"
        return self.request

    def await_reply(self, msg_id, timeout=None):
        """Return at once: the cell has run."""

    def get_message(self, stream, timeout=None):
        """Return the next message about the cell."""
        return next(self.messages) | {"parent_header": {"msg_id": self.request}}

    def is_alive(self):
        """Say that it can answer."""
        return True

    def stop(self):
        """Do nothing: nothing runs."""


IDLE = {"msg_type": "status", "content": {"execution_state": "idle"}}


def as_message(output):
    """Return an output as the message of a kernel."""
    return {"msg_type": output.output_type, "content": output}


class KeptLesson(IPyNbFile):
    """Collect a lesson's cells as nbval does, over its kept execution."""

    def setup(self):
        """Find the execution, or make it."""
        self.kernel = Repeating(executions.execution(Path(self.path)))
        self.setup_sanitize_files()


def pytest_addoption(parser):
    """Add --kept."""
    parser.addoption("--kept", action="store_true", help="compare lessons' stored outputs with their kept executions")


@pytest.hookimpl(tryfirst=True)
def pytest_collect_file(file_path, parent):
    """Collect lessons."""
    if parent.config.getoption("kept") and file_path.suffix == ".ipynb":
        return KeptLesson.from_parent(parent, path=file_path)

"""What the grader takes from a source notebook, which it trusts, and from a submission, which it does not."""

import ast
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

MAX_NOTEBOOK = 10 * 2**20  # bytes
MAX_CELL = 100_000  # characters of one answer
# The id of the cell that says whose parameters are drawn. No grade_id: nbgrader takes that from a cell that is neither
# locked nor graded nor a solution, and then ends its autograding because it is missing.
STUDENT_ID = "student-id"
MAX_OUTPUT = 5_000  # characters of one output
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]{1,4000000}")
MARKERS = re.compile(r"^.*### (?:BEGIN|END) (?:SOLUTION|HIDDEN TESTS).*\n?", re.MULTILINE)
HIDDEN = re.compile(r"^[^\n]*### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS[^\n]*\n?", re.MULTILINE | re.DOTALL)
SOLUTION = re.compile(r"^[^\n]*### BEGIN SOLUTION.*?### END SOLUTION[^\n]*\n?", re.MULTILINE | re.DOTALL)


class SourceError(ValueError):
    """A source notebook that cannot be graded with, and how to mend it."""


@dataclass(frozen=True)
class Cell:
    """A cell of the source: `role` is given, solution, test, answer (marked by hand), student-id or text."""

    name: str
    role: str
    type: str
    source: str
    points: float = 0.0


@dataclass(frozen=True)
class Assignment:
    """A source notebook: its cells, what its solutions define, and the limits it asks for."""

    name: str
    cells: tuple[Cell, ...]
    functions: dict[str, tuple[str, list[str]]]  # name -> (solution cell, names of its arguments)
    values: dict[str, str]  # name -> solution cell
    settings: dict = field(default_factory=dict)
    digest: str = ""

    def having(self, *roles) -> list[Cell]:
        """Return the cells of some roles, in order."""
        return [cell for cell in self.cells if cell.role in roles]

    def imports(self, *roles) -> set[str]:
        """Return the modules that cells of these roles import, at any place, by their whole names."""
        found = set()
        for cell in self.having(*roles):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module)
        return found

    def modules(self, *roles) -> set[str]:
        """Return the packages that these modules are in."""
        return {name.partition(".")[0] for name in self.imports(*roles)}


def role(cell: dict) -> str:
    """Return the role of a source cell."""
    mark = cell["metadata"].get("nbgrader", {})
    if cell.get("id") == STUDENT_ID:
        return STUDENT_ID
    if mark.get("task") or (mark.get("grade") and (mark.get("solution") or cell["cell_type"] != "code")):
        return "answer"
    if cell["cell_type"] != "code" or not mark:
        return "text"
    if mark.get("grade"):
        return "test"
    if mark.get("solution"):
        return "solution"
    return "given" if mark.get("locked") else "text"


def read_assignment(path: Path) -> Assignment:
    """Read a source notebook; raise SourceError with what is wrong with it."""
    text = path.read_bytes()
    notebook = json.loads(text)
    cells, functions, values = [], {}, {}
    for cell in notebook["cells"]:
        mark = cell["metadata"].get("nbgrader", {})
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        points = float(mark.get("points") or 0)
        kind = role(cell)
        name = STUDENT_ID if kind == STUDENT_ID else mark.get("grade_id", "")
        cells.append(Cell(name, kind, cell["cell_type"], source, points))
    names = [cell.name for cell in cells if cell.role != "text"]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(f"{path.name}: expected each grade_id once, got {', '.join(twice)} more often")
    for cell in cells:
        if cell.role == "solution":
            defined_functions, defined_values = defined(cell)
            functions |= defined_functions
            values |= defined_values
    settings = notebook["metadata"].get("grading", {})
    return Assignment(path.stem, tuple(cells), functions, values, settings, hashlib.sha256(text).hexdigest())


def defined(cell: Cell) -> tuple[dict, dict]:
    """Return the functions, with their arguments, and the values that a solution cell defines at its top."""
    functions, values = {}, {}
    for node in ast.parse(cell.source).body:
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args]
            functions[node.name] = (cell.name, [argument.arg for argument in arguments])
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            values |= dict.fromkeys(found, cell.name)
    return functions, values


# ---------------------------------------------------------------- what was handed in


@dataclass
class Submission:
    """A submission: its answers by grade_id, the pictures in them, the student's own cells by the named cell that they
    follow ("" at the top), and what was odd about it, in words."""

    answers: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, dict] = field(default_factory=dict)
    others: dict[str, list[dict]] = field(default_factory=dict)
    claimed_id: str | None = None
    notes: list[str] = field(default_factory=list)


def read_safely(path: Path) -> bytes:
    """Return the content of an ordinary file of bearable size; raise ValueError, in words, for anything else."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        others = ", ".join(ascii(other.name[:80]) for other in sorted(path.parent.glob("*.ipynb"))[:3])
        raise ValueError(f"there is no {path.name} in it" + (f", but {others}" if others else "")) from None
    except OSError:
        raise ValueError(f"{path.name} cannot be opened, or is a symbolic link: hand in the file itself") from None
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise ValueError(f"{path.name} is not an ordinary file")
        content = file.read(MAX_NOTEBOOK + 1)
    if len(content) > MAX_NOTEBOOK:
        raise ValueError(f"{path.name} is larger than {MAX_NOTEBOOK >> 20} MB: clear its outputs and hand in again")
    return content


def submitted_file(root: Path, student: str, name: str) -> Path:
    """Return where a student's notebook is; raise ValueError if a folder on the way is a symbolic link."""
    folder = root / "submitted" / student
    for place in (folder, folder / name):
        if place.is_symlink():
            raise ValueError(f"the folder {place.name} is a symbolic link: hand in the files themselves")
    return folder / name / f"{name}.ipynb"


def read_submission(content: bytes, assignment: Assignment) -> Submission:
    """Take the answers out of a notebook that may hold anything; raise ValueError, in words, if it is none."""
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text, as a notebook is") from None
    except (ValueError, RecursionError):
        raise ValueError("the file is not a notebook: it is not JSON") from None
    if isinstance(notebook, dict) and "worksheets" in notebook:
        raise ValueError("the notebook has format 3: open it in JupyterLab and save it, which makes it format 4")
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise ValueError("the file is not a notebook: it has no cells")
    wanted = {cell.name: cell for cell in assignment.having("solution", "answer", STUDENT_ID)}
    others = {cell.name for cell in assignment.cells}
    found, unknown, last = Submission(), [], ""
    for cell in cells:
        name, text = named_text(cell)
        if name in wanted:
            if name in found.answers:
                found.notes.append(f"The cell {name} is there more than once: the last one counts.")
            if len(text) > MAX_CELL:
                found.notes.append(f"The cell {name} is longer than {MAX_CELL} characters: it was not read.")
                text = ""
            found.answers[name] = text
            found.pictures[name] = pictures(cell)
        elif name and name not in others:
            unknown.append(name[:80])
        elif not name and text:
            found.others.setdefault(last, []).append(own_cell(cell, text))
        last = name if name in others and name != STUDENT_ID else last
    found.claimed_id = claimed(found.answers.pop(STUDENT_ID, ""))
    missing = [name for name in wanted if name not in found.answers and name != STUDENT_ID]
    if missing:
        found.notes.append(f"Cells are missing, so there is nothing to grade in them: {', '.join(missing)}.")
    if unknown:
        found.notes.append(f"Cells that this problem set does not have were ignored: {', '.join(unknown[:5])}.")
    return found


def named_text(cell) -> tuple[str, str]:
    """Return (name, source) of what may be a cell, empty where there is none."""
    if not isinstance(cell, dict) or not isinstance(cell.get("metadata"), dict):
        return "", ""
    mark, source = cell["metadata"].get("nbgrader"), cell.get("source", "")
    name = mark.get("grade_id") if isinstance(mark, dict) else None
    name = STUDENT_ID if cell.get("id") == STUDENT_ID else name
    return (name if isinstance(name, str) else ""), lines(source)


def lines(text) -> str:
    """Return a notebook's text, which may be a list of lines, and here anything else."""
    text = text if isinstance(text, list) else [text]
    return "".join(line for line in text if isinstance(line, str))


def own_cell(cell: dict, text: str) -> dict:
    """Return what a person who marks may want to see of a cell that a student added or filled in."""
    kind = "code" if cell.get("cell_type") == "code" else "markdown"
    shown, outputs = [], cell.get("outputs")
    for output in outputs[:20] if kind == "code" and isinstance(outputs, list) else ():
        data = output.get("data") if isinstance(output, dict) else None
        data = data if isinstance(data, dict) else {}
        if isinstance(data.get("image/png"), str) and BASE64.fullmatch(data["image/png"]):
            shown.append({"image/png": data["image/png"]})
        elif isinstance(output, dict) and (plain := lines(output.get("text")) or lines(data.get("text/plain"))):
            shown.append({"text/plain": plain[:MAX_OUTPUT]})
    return {"type": kind, "source": text[:MAX_CELL], "outputs": shown, "pictures": pictures(cell)}


def pictures(cell: dict) -> dict:
    """Return the bitmap pictures that were pasted into a cell, {name: {type: base64}}."""
    found, attachments = {}, cell.get("attachments")
    for name, versions in attachments.items() if isinstance(attachments, dict) else ():
        for kind, data in versions.items() if isinstance(versions, dict) else ():
            fits = kind in ("image/png", "image/jpeg", "image/gif") and isinstance(data, str)
            if fits and re.fullmatch(r"[\w .-]{1,80}", name) and BASE64.fullmatch(data):
                found[name] = {kind: data}
    return found


def claimed(source: str) -> str | None:
    """Return the text that a cell gives to STUDENT_ID, None if there is none."""
    match = re.search(r"""^STUDENT_ID\s*=\s*(["'])(.{0,80}?)\1""", source, re.MULTILINE)
    return match[2] if match else None


def as_python(source: str) -> str:
    """Return a cell's code without the notebook's own commands (%, !), if it is no Python with them."""
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)
    return source


def without_markers(source: str) -> str:
    """Return the code without the lines that mark solutions and hidden tests."""
    return MARKERS.sub("", source)


def released(cell: Cell) -> str:
    """Return what students see of a source cell that is no solution: hidden tests are left out."""
    return HIDDEN.sub("", cell.source)

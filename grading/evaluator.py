"""Run the trusted tests of a problem set on one submission.

The test cells run here, as they stand in the source. The names that the official solutions define are stand-ins: a call
goes to the child process with the student's cells, and plain data comes back. So expected values stay on this side.
"""

import ast
import contextlib
import io
import math
import time
import warnings

import numpy as np

from grading.marks import MAX_MESSAGE, Mark, Report, described_call
from grading.notebooks import STUDENT_ID, Assignment, Submission, as_python, claimed, without_markers
from grading.sandbox import Child, ChildGone, Limits, Sandbox

MAX_STARTS = 12  # of the child, for one submission
MAX_HANGS = 2  # of one function; later calls fail at once
# What a test may see raised. Not StopIteration and the like, with which a student could end a loop of the test.
RAISED = (
    ArithmeticError, AttributeError, FloatingPointError, IndexError, KeyError, LookupError, NameError,
    NotImplementedError, OverflowError, RuntimeError, TypeError, ValueError, ZeroDivisionError,
)  # fmt: skip
RAISED = {kind.__name__: kind for kind in RAISED}


class StudentError(RuntimeError):
    """A student's function gave no result, in words; `called` is whether it depends on the input."""

    def __init__(self, text, called=True):
        super().__init__(text)
        self.called = called


class Notebook:
    """A student's cells in a child process, started again when they end it."""

    def __init__(self, assignment: Assignment, answers: dict, student: str, sandbox: Sandbox, limits: Limits):
        self.assignment, self.student, self.sandbox, self.limits = assignment, student, sandbox, limits
        self.deadline = time.monotonic() + limits.total_seconds
        self.child, self.starts, self.hangs, self.notes, self.left_out = None, 0, {}, {}, set()
        self.last_call = ""
        self.cells = []
        for cell in assignment.having("given", "solution"):
            text = cell.source if cell.role == "given" else as_python(answers.get(cell.name, ""))
            self.cells.append((cell.name, cell.role, text))

    def end(self):
        """End the child."""
        if self.child:
            self.child.end()
            self.child = None

    def seconds(self) -> float:
        """Return the time that the next call may take."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            self.end()
            raise StudentError(f"the time for all tests together, {self.limits.total_seconds:.0f} seconds, was used up")
        return min(left, self.limits.call_seconds)

    def start(self):
        """Start the child and run the cells; a cell that ends it is left out next time."""
        while self.child is None:
            if self.starts >= MAX_STARTS:
                raise StudentError(f"your code ended its process {MAX_STARTS} times: the rest was not tried")
            self.starts += 1
            self.seconds()
            child = Child(self.sandbox, self.limits)
            cell = None
            try:
                child.ask({"do": "set", "name": "STUDENT_ID"}, self.student, 60)
                for cell, role, text in self.cells:
                    if cell not in self.left_out:
                        head, _ = child.ask({"do": "define", "cell": cell, "source": text}, None, self.seconds())
                        self.note_definition(cell, role, head)
                self.child = child
            except ChildGone as gone:
                if cell is None:
                    raise StudentError(f"the process for your code did not start: {gone}") from None
                self.left_out.add(cell)
                self.notes[cell] = f"The cell {cell} was left out: while it ran, {gone}."
            finally:
                if self.child is None:
                    child.end()

    def note_definition(self, cell, role, head):
        """Keep what a student should know about a cell that raised."""
        if role == "solution" and ("raised" in head or "unfit" in head):
            line = f" in line {head['place'][1]}" if isinstance(head.get("place"), list) else ""
            said = f"{head.get('raised')}{line}: {head.get('text', '')}"[:MAX_MESSAGE]
            whole = head.get("raised") in ("SyntaxError", "IndentationError", "TabError")
            used = "Nothing of it was run" if whole else "What it had defined before was used"
            self.notes[cell] = f"The cell {cell} raised {said}. {used}."

    def ask(self, head, value):
        """Put a question to the child; return the value of the answer or raise what was raised there."""
        name = head["name"]
        if self.hangs.get(name, 0) >= MAX_HANGS:
            raise StudentError(f"{name} was not called again: it was still running at the end of earlier calls")
        try:
            self.start()
            answer, value = self.child.ask(head, value, self.seconds())
        except ChildGone as gone:
            self.end()
            self.hangs[name] = self.hangs.get(name, 0) + ("running" in str(gone))
            raise StudentError(f"{name} gave no result: {gone}.") from None
        if answer.get("missing"):
            raise StudentError(self.missing(name), called=False)
        if "unfit" in answer:
            raise StudentError(f"the result of {name} cannot be used: {str(answer['unfit'])[:MAX_MESSAGE]}")
        if "raised" in answer:
            raise self.raised(name, answer)
        return value

    def missing(self, name):
        """Say that, and why, a name is not defined."""
        cell = self.assignment.functions.get(name, [self.assignment.values.get(name)])[0]
        return f"{name} is not defined. {self.notes.get(cell, f'Look at the cell {cell}.')}"

    def raised(self, name, answer):
        """Return the exception that a student's function raised, with where it did so."""
        kind, text, place = str(answer["raised"])[:60], str(answer.get("text", ""))[:MAX_MESSAGE], answer.get("place")
        line = ""
        if isinstance(place, list) and len(place) == 2:
            line = f" in line {str(place[1])[:9]} of the cell {str(place[0])[:80]}"
        error = RAISED.get(kind, StudentError)(text)
        error.told = f"{name} raised {kind}{line}{': ' if text else ''}{text}"
        if kind == "NotImplementedError" and not text:
            error.told, error.called = f"{name} is not written yet: it raised NotImplementedError{line}.", False
        return error

    def call(self, name, positional, named):
        """Call a student's function."""
        arguments = self.assignment.functions[name][1]
        self.last_call = described_call(name, arguments, positional, named)
        return self.ask({"do": "call", "name": name}, (positional, named))

    def get(self, name):
        """Return the value that a student gave to a name."""
        return self.ask({"do": "get", "name": name}, None)


def stand_in(notebook: Notebook, name: str):
    """Return a function that calls the student's."""

    def function(*positional, **named):
        return notebook.call(name, positional, named)

    function.__name__ = function.__qualname__ = name
    return function


def run_cell(source: str, name: str, space: dict):
    """Run a cell and return the value of its last line if that is an expression, else None."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), np.errstate():
        warnings.simplefilter("ignore")
        exec(compile(tree, f"<{name}>", "exec"), space)
        return eval(compile(ast.Expression(last.value), f"<{name}>", "eval"), space) if last else None


def credit(value, points: float) -> float:
    """Return the points for a test cell that ran to its end: all, or the number it ends in, as nbgrader has it."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return min(max(float(value), 0.0), points) if math.isfinite(value) else 0.0
    return points


def fault(error: Exception, notebook: Notebook, assignment: Assignment) -> str:
    """Say what a test found, and on which input."""
    if isinstance(error, AssertionError):
        text = str(error) or "A condition of this test does not hold."
    elif told := getattr(error, "told", None):
        text = told
    elif isinstance(error, StudentError):
        text = str(error)
    elif isinstance(error, NameError) and getattr(error, "name", None) in (*assignment.values, *assignment.functions):
        text = notebook.missing(error.name)
    else:
        text = f"The test could not use what it got: {type(error).__name__}: {error}"
    text = text[:MAX_MESSAGE]
    told = notebook.last_call and getattr(error, "called", True)
    return f"{text}\nThe last call was {notebook.last_call}" if told else text


def evaluate(
    assignment: Assignment, submission: Submission, student: str, sandbox: Sandbox, stubs: dict[str, str] | None = None
) -> Report:
    """Grade what can be graded without a person.

    `student` is the name that parameters are drawn from; `stubs` are the answers of the untouched release.
    """
    began = time.monotonic()
    limits = Limits(**assignment.settings)
    notebook = Notebook(assignment, submission.answers, student, sandbox, limits)
    report = Report(student, notes=list(submission.notes))
    space = {"__name__": "__main__", "STUDENT_ID": student}
    space |= {name: stand_in(notebook, name) for name in assignment.functions}
    try:
        for cell in assignment.having("given", "test"):
            if cell.role == "given" or not cell.points:
                with contextlib.suppress(Exception):  # what it misses, the tests below will tell
                    run_cell(cell.source, cell.name, space)
                if cell.role == "test":
                    report.marks[cell.name] = Mark(0.0, 0.0)
            else:
                report.marks[cell.name] = run_test(cell, notebook, assignment, space)
    finally:
        notebook.end()
    for cell in assignment.having("answer"):
        text = submission.answers.get(cell.name, "").strip()
        empty = text in ("", (stubs or {}).get(cell.name, "").strip()) and not submission.pictures.get(cell.name)
        report.marks[cell.name] = Mark(0.0 if empty else None, cell.points, "There is no answer." if empty else "")
    report.cell_notes = {name: note[:MAX_MESSAGE] for name, note in notebook.notes.items()}
    if submission.claimed_id not in (None, placeholder(assignment), student):
        report.notes.append(f"The notebook says STUDENT_ID = {submission.claimed_id!r}; graded was {student!r}.")
    report.seconds = round(time.monotonic() - began, 3)
    return report


def run_test(cell, notebook, assignment, space) -> Mark:
    """Run one test cell in a copy of the namespace: a test stands on what is given, not on another test."""
    notebook.last_call = ""
    own = dict(space)
    try:
        used = {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}
        for name in sorted(used & set(assignment.values)):
            own[name] = notebook.get(name)
        points = credit(run_cell(cell.source, cell.name, own), cell.points)
    except Exception as error:
        return Mark(0.0, cell.points, fault(error, notebook, assignment))
    if points == cell.points:
        return Mark(points, cell.points)
    return Mark(points, cell.points, f"{points:g} of {cell.points:g} parts of this test hold.")


def placeholder(assignment: Assignment) -> str | None:
    """Return what STUDENT_ID is in the source, where no student has named themselves yet."""
    return claimed("\n".join(cell.source for cell in assignment.having(STUDENT_ID)))


def official(assignment: Assignment) -> Submission:
    """Return the submission that the official solutions make."""
    return Submission({cell.name: without_markers(cell.source) for cell in assignment.having("solution", "answer")})

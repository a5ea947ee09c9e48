"""What the tests of the problem sets share: grade answers and planted faults with this project's grader.

A test of a problem set is then three lines, and takes some seconds:

    FAULTS = faults_of("step", ("bias forgotten", " + b_hh", "", "visible hidden"), ...) + ...

    def test_faults_cost_what_they_should():
        assert wrong_marks("ps1_bptt", FAULTS) == []

`grade` grades one set of answers, for alternatives that are right, broken ones and other students' parameters.
"""

import functools
import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from grading.evaluator import evaluate, official
from grading.marks import Report
from grading.notebooks import SOLUTION, Assignment, Submission, read_assignment
from grading.sandbox import find_sandbox, packages_outside

COURSE = Path(__file__).parents[1] / "notebooks" / "coursework"
STUDENT = "ada"


@dataclass(frozen=True)
class Fault:
    """A mistake in one solution cell: text to replace, and the test cells it must lose."""

    name: str
    cell: str
    old: str
    new: str
    loses: tuple[str, ...]

    @property
    def task(self) -> str:
        """The task whose tests it loses, which are named `task-property-test`."""
        return self.loses[0].removesuffix("-test").rpartition("-")[0]

    def plant(self, code: str) -> str:
        """Return the right code with the fault in it."""
        if code.count(self.old) != 1:
            raise ValueError(f"fault {self.name!r}: expected {self.old!r} once in {self.cell}, got\n{code}")
        return code.replace(self.old, self.new)


def faults_of(prefix: str, *rows, part: str = "") -> list[Fault]:
    """Make the faults of one cell from rows (name, old, new, names of the lost `prefix-*-test`).

    The cell is `prefix-solution`, or `prefix-part-solution` where a task has several.
    """
    return [
        Fault(
            name,
            f"{prefix}-{part}-solution" if part else f"{prefix}-solution",
            old,
            new,
            tuple(f"{prefix}-{test}-test" for test in loses.split()),
        )
        for name, old, new, loses in rows
    ]


def packed(faults) -> dict[str, list[Fault]]:
    """Spread faults over few students, at most one in a task, where two may hide each other: {student: faults}."""
    by_task = {}
    for fault in faults:
        by_task.setdefault(fault.task, []).append(fault)
    rows = zip_longest(*by_task.values())
    return {f"wrong{i}": [fault for fault in row if fault] for i, row in enumerate(rows, start=1)}


def covering(faults) -> list[Fault]:
    """Return some of the faults, such that each test cell that they can lose is lost by one of these."""
    chosen, lost = [], set()
    for fault in faults:
        if not lost.issuperset(fault.loses):
            chosen.append(fault)
            lost.update(fault.loses)
    return chosen


@functools.cache
def problem_set(name: str) -> Assignment:
    """Return the source of a problem set of this course."""
    return read_assignment(COURSE / "source" / name / f"{name}.ipynb")


def right_answers(name: str) -> dict[str, str]:
    """Return {grade_id: official solution}, without the markers."""
    return official(problem_set(name)).answers


def stubs(name: str) -> dict[str, str]:
    """Return {grade_id: what students get in its place}."""
    cells = problem_set(name).having("solution")
    return {cell.name: SOLUTION.sub(unwritten, cell.source) for cell in cells}


def unwritten(solution: re.Match) -> str:
    """Return what nbgrader puts in the place of a solution, as deep as that stood."""
    return re.match(r" *", solution[0])[0] + "raise NotImplementedError()\n"


def grade(name: str, answers: dict[str, str], student: str = STUDENT) -> Report:
    """Grade answers, {grade_id: text}; `student` is whose parameters are drawn."""
    packages = packages_outside(problem_set(name).modules("given", "solution"))
    return evaluate(problem_set(name), Submission(dict(answers)), student, find_sandbox(packages))


def wrong_marks(name: str, faults) -> list[str]:
    """Say where the marks are not as they should be; an empty list is what a test wants.

    The official solutions must lose nothing, the untouched release everything, and each fault exactly its cells, each
    with a message that says what was expected and what came.
    """
    right, graded = right_answers(name), {cell.name for cell in problem_set(name).having("test") if cell.points}
    wrong = [f"official solution loses {sorted(lost)}" for lost in [grade(name, right).lost()] if lost]
    kept = graded - grade(name, stubs(name)).lost()
    wrong += [f"the untouched release has points for {sorted(kept)}"] if kept else []
    for plants in packed(faults).values():
        report = grade(name, right | {fault.cell: fault.plant(right[fault.cell]) for fault in plants})
        expected = {test for fault in plants for test in fault.loses}
        for test in sorted(expected ^ report.lost()):
            what = "was not lost" if test in expected else f"was lost: {report.marks[test].message}"
            wrong.append(f"{[fault.name for fault in plants]}: {test} {what}")
        for test in sorted(report.lost()):
            if not re.search(r"expected.*got", report.marks[test].message, re.DOTALL):
                wrong.append(f"{test}: no 'expected ..., got ...' in {report.marks[test].message!r}")
    never = graded - {test for fault in faults for test in fault.loses}
    return wrong + [f"no fault loses {test}" for test in sorted(never)]

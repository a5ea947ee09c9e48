"""Problem sets 5 and 6, in PyTorch: every test cell gives and takes the points it should, and only those."""

import re
import warnings
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from coursework_submissions import grading, solutions

SOURCES = Path(__file__).parents[1] / "notebooks" / "coursework" / "source"
SETS = {path.name: import_module(f"submissions_{path.name[:3]}") for path in sorted(SOURCES.glob("ps[56]_*"))}
FAULTS = [(name, fault) for name, work in SETS.items() for fault in work.FAULTS]


@pytest.fixture(scope="module")
def sources():
    return {name: nbformat.read(SOURCES / name / f"{name}.ipynb", as_version=4) for name in SETS}


def failures(source, answers, student_id="ada"):
    """Run what is given, these answers {solution cell: code} and their own test cells; return {test: error}.

    A solution stands alone, so that the tests of other cells need not run.
    """
    namespace, failed = {"STUDENT_ID": student_id}, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for cell in source.cells:
            mark = grading(cell)
            if cell.cell_type != "code" or not mark or cell.id == "student-id":
                continue
            given = not mark["solution"] and not mark.get("points")
            tested = mark["grade"] and any(cell.id.startswith(name.removesuffix("solution")) for name in answers)
            if given or tested or cell.id in answers:
                try:
                    exec(compile(answers.get(cell.id, cell.source), cell.id, "exec"), namespace)
                except Exception as error:
                    failed[cell.id] = error
    return failed


@pytest.mark.parametrize("name", SETS)
def test_points_and_names_are_stable(sources, name):
    graded = {grading(c)["grade_id"]: grading(c)["points"] for c in sources[name].cells if grading(c).get("grade")}
    assert graded == SETS[name].POINTS
    assert {grading(c)["schema_version"] for c in sources[name].cells if grading(c)} == {3}
    assert [c.id for c in sources[name].cells if grading(c) and grading(c)["grade_id"] != c.id] == []


@pytest.mark.parametrize("name", SETS)
def test_points_told_to_students_are_the_points_given(sources, name):
    head, points = sources[name].cells[0].source, SETS[name].POINTS
    table = [int(n) for n in re.findall(r"^\| \d+ \|.*\| (\d+) \|$", head, flags=re.MULTILINE)]
    titles = [int(n) for c in sources[name].cells for n in re.findall(r"^## Task \d+.*\((\d+) points", c.source)]
    assert table == titles
    assert sum(table) == sum(points.values())
    by_hand = sum(points[answer] for answer in SETS[name].MANUAL)
    assert f"**Points** {sum(table)}, of which {by_hand} are marked by hand" in head


@pytest.mark.parametrize("name", SETS)
def test_source_is_stored_clean(sources, name):
    code = [cell for cell in sources[name].cells if cell.cell_type == "code"]
    assert [c.id for c in code if c.outputs or c.execution_count is not None] == []
    released = {c.id: emptied(c.source).splitlines() for c in code if not c.id.startswith("hidden-")}
    assert {name: len(lines) for name, lines in released.items() if len(lines) > 25} == {}


@pytest.mark.parametrize("name", SETS)
def test_perfect_work_fails_nothing(sources, name):
    assert failures(sources[name], solutions(sources[name])) == {}


@pytest.mark.parametrize("student_id", ["grace", "", "é 7"])
@pytest.mark.parametrize("name", SETS)
def test_questions_with_own_numbers_have_answers_for_everyone(sources, name, student_id):
    for cell in SETS[name].PERSONAL:
        assert failures(sources[name], {cell: solutions(sources[name])[cell]}, student_id) == {}


@pytest.mark.parametrize("name", SETS)
def test_empty_work_fails_every_test(sources, name):
    """What students are given: each solution replaced, as nbgrader does it when it makes the release."""
    stubs = {c.id: emptied(c.source) for c in sources[name].cells if c.id in solutions(sources[name])}
    failed = failures(sources[name], stubs)
    assert set(failed) == {test for test, points in SETS[name].POINTS.items() if points} - set(SETS[name].MANUAL)
    assert {type(error).__name__ for error in failed.values()} <= {"NotImplementedError", "AssertionError"}


def emptied(code):
    return re.sub(r"( *)### BEGIN SOLUTION.*?### END SOLUTION", r"\1raise NotImplementedError()", code, flags=re.DOTALL)


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=lambda value: getattr(value, "name", value))
def test_wrong_work_fails_these_cells_and_only_these(sources, name, fault):
    failed = failures(sources[name], {fault.cell: fault.plant(solutions(sources[name])[fault.cell])})
    assert set(failed) == set(fault.loses), failed
    assert [error for error in failed.values() if not re.search(r"expected.*got", str(error), re.S)] == []


@pytest.mark.parametrize("name", SETS)
def test_every_test_cell_is_lost_by_some_fault(name):
    tests = {test for test, points in SETS[name].POINTS.items() if points} - set(SETS[name].MANUAL)
    assert {test for fault in SETS[name].FAULTS for test in fault.loses} == tests
    assert len(SETS[name].FAULTS) >= 12

"""Problem sets 2 to 4: every test cell gives and takes the points it should, and only those."""

import re
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from coursework_submissions import grading, packed, solutions

SOURCES = Path(__file__).parents[1] / "notebooks" / "coursework" / "source"
SETS = {path.name: import_module(f"submissions_{path.name[:3]}") for path in SOURCES.glob("ps[2-4]_*")}
IDS = ["alice", "b0b", "write your id here"]
WRONG = [(name, student) for name, faults in SETS.items() for student in packed(faults.FAULTS)]


@pytest.fixture(scope="module")
def sources():
    return {name: nbformat.read(SOURCES / name / f"{name}.ipynb", as_version=4) for name in SETS}


def failures(source, answers, student_id):
    """Run the given cells, these answers and every test cell; return {test: message} of those that fail."""
    namespace, failed = {}, {}
    for cell in source.cells:
        name, code = cell.id, cell.source
        if cell.cell_type != "code" or not grading(cell):
            continue
        if name == "student-id":
            code = f"STUDENT_ID = {student_id!r}"
        if name in answers:
            code = answers[name]
        try:
            exec(compile(code, name, "exec"), namespace)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


@pytest.mark.parametrize("name", SETS)
def test_points_and_names_are_stable(sources, name):
    graded = {grading(c)["grade_id"]: grading(c)["points"] for c in sources[name].cells if grading(c).get("grade")}
    assert graded == SETS[name].POINTS
    assert {grading(c)["schema_version"] for c in sources[name].cells if grading(c)} == {3}


@pytest.mark.parametrize("name", SETS)
def test_points_told_to_students_are_the_points_given(sources, name):
    head = sources[name].cells[0].source
    table = [int(points) for points in re.findall(r"^\| \d \|.*\| (\d+) \|$", head, flags=re.MULTILINE)]
    titles = [int(n) for c in sources[name].cells for n in re.findall(r"^## Task \d.*\((\d+) points", c.source)]
    assert table == titles
    assert sum(table) == sum(SETS[name].POINTS.values())
    assert f"**Points** {sum(table)}, of which {SETS[name].POINTS[SETS[name].MANUAL]} are marked by hand" in head


@pytest.mark.parametrize("name", SETS)
def test_source_is_stored_clean(sources, name):
    code = [cell for cell in sources[name].cells if cell.cell_type == "code"]
    assert [c.id for c in code if c.outputs or c.execution_count is not None] == []
    read_by_students = [c for c in code if c.id != "hidden-references"]
    assert [c.id for c in read_by_students if len(c.source.splitlines()) > 25] == []


@pytest.mark.parametrize("student_id", IDS)
@pytest.mark.parametrize("name", SETS)
def test_perfect_work_fails_nothing(sources, name, student_id):
    assert failures(sources[name], {}, student_id) == {}


@pytest.mark.parametrize(("name", "student"), WRONG)
def test_wrong_work_fails_these_cells_and_only_these(sources, name, student):
    right = solutions(sources[name])
    faults = packed(SETS[name].FAULTS)[student]
    answers = {fault.cell: fault.plant(right[fault.cell]) for fault in faults}
    for student_id in IDS:
        failed = failures(sources[name], answers, student_id)
        assert set(failed) == {test for fault in faults for test in fault.loses}
        assert [m for m in failed.values() if not re.search(r"expected.*got", m, re.S)] == []


@pytest.mark.parametrize("name", SETS)
def test_every_test_cell_is_lost_by_some_fault(name):
    tests = {test for test, points in SETS[name].POINTS.items() if points and test != SETS[name].MANUAL}
    assert {test for fault in SETS[name].FAULTS for test in fault.loses} == tests
    assert len(SETS[name].FAULTS) >= 12

"""Problem sets 2 to 4: every test cell gives and takes the points it should, and only those. What any set releases."""

import functools
import re
import shutil
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from nbgrader.apps import NbGraderAPI
from traitlets.config import Config

from coursework_submissions import grading, packed, solutions

SOURCES = Path(__file__).parents[1] / "notebooks" / "coursework" / "source"
SETS = {path.name: import_module(f"submissions_{path.name[:3]}") for path in SOURCES.glob("ps[2-4]_*")}
IDS = ["alice", "b0b", "write your id here"]
ALL_SETS = sorted(path.name for path in SOURCES.glob("*"))
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


# ---- what students get


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A function that lets nbgrader write the release of a problem set, once, in a copy of the course, and reads it."""
    root = tmp_path_factory.mktemp("course")
    shutil.copytree(SOURCES, root / "source")
    settings = {"CourseDirectory": {"root": str(root)}, "SaveCells": {"enabled": False}}
    settings["GenerateAssignment"] = {"no_database": True}  # a gradebook takes seconds, and marks nothing here

    @functools.cache
    def read(name):
        done = NbGraderAPI(config=Config(settings)).generate_assignment(name)
        assert done["success"], done["log"]
        return nbformat.read(root / "release" / name / f"{name}.ipynb", as_version=4)

    return read


@pytest.mark.parametrize("name", ALL_SETS)
def test_release_holds_no_solution_and_no_hidden_test(released, name):
    source, release = nbformat.read(SOURCES / name / f"{name}.ipynb", as_version=4), released(name)
    text, everything = ("\n".join(cell.source for cell in notebook.cells) for notebook in (release, source))
    assert [secret for secret in ("### BEGIN", "### END", "SOLUTION", "HIDDEN TESTS") if secret in text] == []
    public = re.sub(r"### BEGIN (SOLUTION|HIDDEN TESTS).*?### END", "", everything, flags=re.DOTALL)
    secret_lines = {line for line in set(everything.splitlines()) - set(public.splitlines()) if line.strip()}
    assert len(secret_lines) > 20
    assert secret_lines & set(text.splitlines()) == set()
    stubs = [cell.source for cell in release.cells if cell.cell_type == "code" and grading(cell).get("solution")]
    assert len(stubs) == len(solutions(source))
    assert all("raise NotImplementedError()" in stub for stub in stubs)
    assert grading(release.cells[0])["grade_id"] == "head"


@pytest.mark.parametrize("name", SETS)
def test_work_not_begun_gets_nothing(released, sources, name):
    answers = {cell.id: cell.source for cell in released(name).cells if grading(cell).get("solution")}
    failed = failures(sources[name], answers, "alice")
    tests = {test for test, points in SETS[name].POINTS.items() if points and test != SETS[name].MANUAL}
    assert set(failed) == tests
    assert [message for message in failed.values() if not message.startswith("NotImplementedError")] == []


@pytest.mark.parametrize("name", SETS)
def test_half_the_work_gets_its_own_points(sources, name):
    """Every second solution is left as released: the others get their points."""
    left_out = list(solutions(sources[name]))[::2]
    answers = dict.fromkeys(left_out, "")
    tests = [test for test, points in SETS[name].POINTS.items() if points and test != SETS[name].MANUAL]
    lost = {test for test in tests if any(of_solution(test, cell) for cell in left_out)}
    assert 0 < len(lost) < len(tests)
    assert set(failures(sources[name], answers, "alice")) == lost


def of_solution(test, solution):
    """Return whether a test cell belongs to a solution cell: prefix-NAME-test to prefix-solution."""
    return re.fullmatch(rf"{solution.removesuffix('-solution')}-[a-z]+-test", test)

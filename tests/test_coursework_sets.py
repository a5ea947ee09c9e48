"""Problem sets 2 to 4: every test cell gives and takes the points it should, and only those. What any set releases."""

import copy
import functools
import re
import shutil
from importlib import import_module

import nbformat
import pytest
from nbclient import NotebookClient
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory

import tiers
from coursework import COURSE, grade, problem_set, right_answers, stubs, wrong_marks
from coursework_submissions import grading

SOURCES = COURSE / "source"
ALL_SETS = sorted(path.name for path in SOURCES.glob("*"))
SETS = {name: import_module(f"submissions_{name[:3]}") for name in ALL_SETS if re.match("ps[2-4]_", name)}
STUDENTS = [f"student{i}" for i in range(40)]


def read_source(name):
    return nbformat.read(SOURCES / name / f"{name}.ipynb", as_version=4)


def automatic(name):
    """Return {test cell: points} of what needs no person."""
    return {test: points for test, points in SETS[name].POINTS.items() if points and test != SETS[name].MANUAL}


# ---- the source notebooks


@pytest.mark.parametrize("name", SETS)
def test_points_and_names_are_stable(name):
    cells = [grading(cell) for cell in read_source(name).cells if grading(cell)]
    assert {cell["grade_id"]: cell["points"] for cell in cells if cell["grade"]} == SETS[name].POINTS
    assert {cell["schema_version"] for cell in cells} == {3}


@pytest.mark.parametrize("name", SETS)
def test_points_told_to_students_are_the_points_given(name):
    cells = read_source(name).cells
    table = [int(points) for points in re.findall(r"^\| \d \|.*\| (\d+) \|$", cells[0].source, flags=re.MULTILINE)]
    titles = [int(n) for cell in cells for n in re.findall(r"^## Task \d.*\((\d+) points", cell.source)]
    by_hand = SETS[name].POINTS[SETS[name].MANUAL]
    assert table == titles
    assert sum(table) == sum(SETS[name].POINTS.values())
    assert f"**Points** {sum(table)}, of which {by_hand} are marked by hand" in cells[0].source


@pytest.mark.parametrize("name", SETS)
def test_guide_tells_minutes_and_points_of_the_set(name):
    (minutes,) = re.findall(r"\*\*Time\*\* about (\d+) minutes", read_source(name).cells[0].source)
    total, by_hand = sum(SETS[name].POINTS.values()), SETS[name].POINTS[SETS[name].MANUAL]
    guide = (COURSE / "README.md").read_text()
    assert re.search(rf"^\| `{name}` \|.*\| {minutes} \| {total}, of which {by_hand} by hand \|$", guide, re.MULTILINE)


@pytest.mark.parametrize("name", SETS)
def test_source_is_stored_clean(name):
    code = [cell for cell in read_source(name).cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []
    assert [cell.id for cell in code if len(cell.source.splitlines()) > 25] == []


@pytest.mark.parametrize("name", SETS)
def test_solved_notebook_runs_from_top_to_bottom(name, capsys):
    """The experiments between the tasks too, which no grader runs."""
    namespace = {}
    for cell in read_source(name).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, cell.id, "exec"), namespace)
    printed = capsys.readouterr().out
    assert printed and "nan" not in printed


def test_grading_a_class_loads_what_torch_optim_needs_once():
    """The grader starts each submission's process as a copy of one that has loaded what the tests import, by name."""
    assert {"torch", "torch._dynamo"} <= problem_set("ps3_optimizers").imports("given", "test")
    assert "torch._dynamo" not in problem_set("ps3_optimizers").modules("given", "test")


# ---- what answers get


@pytest.mark.parametrize("name", SETS)
def test_each_mistake_costs_what_it_should_and_nothing_else(name):
    assert wrong_marks(name, SETS[name].FAULTS) == []
    assert len(SETS[name].FAULTS) >= 12


@pytest.mark.parametrize("name", SETS)
def test_other_right_ways_get_full_marks(name):
    report = grade(name, right_answers(name) | SETS[name].ALTERNATIVES)
    assert {test: report.marks[test].message for test in report.lost()} == {}
    assert set(SETS[name].ALTERNATIVES) <= set(stubs(name))


@pytest.mark.parametrize("name", SETS)
def test_half_the_work_gets_its_own_points(name):
    """Every second solution is left as released."""
    right = right_answers(name)
    left_out = [cell.name for cell in problem_set(name).having("solution")][::2]
    report = grade(name, right | {cell: stubs(name)[cell] for cell in left_out})
    lost = {test for cell in left_out for test in cells_testing(name, cell)}
    assert 0 < len(lost) < len(automatic(name))
    assert report.lost() == lost
    assert {test: report.marks[test].points for test in automatic(name)} == {
        test: 0 if test in lost else points for test, points in automatic(name).items()
    }


def cells_testing(name, solution):
    """Return the test cells of a solution cell: PREFIX-property-test of PREFIX-solution."""
    return [test for test in automatic(name) if re.fullmatch(rf"{solution.removesuffix('solution')}[a-z]+-test", test)]


@pytest.mark.parametrize("name", SETS)
def test_own_numbers_are_fair(name):
    """Whoever you are: the right answer gets the points, each mistake loses them, and so does a neighbour's answer."""
    cells = {cell.name: cell.source for cell in problem_set(name).cells if cell.type == "code"}
    right, faults = right_answers(name)["own-solution"], [f for f in SETS[name].FAULTS if f.cell == "own-solution"]
    space = {"STUDENT_ID": STUDENTS[0]}
    for cell in (name for name in cells if name.startswith(("given-", "hidden-"))):
        exec(cells[cell], space)

    def lost(code, student):
        failed, own = set(), space | {"STUDENT_ID": student}
        exec(code, own)
        for test in cells_testing(name, "own-solution"):
            try:
                exec(cells[test], own)
            except AssertionError:
                failed.add(test)
        return failed

    for student in STUDENTS:
        assert lost(right, student) == set()
        for fault in faults:
            assert lost(fault.plant(right), student) == set(fault.loses), f"{fault.name} of {student}"
    drawn = [space["personal_numbers"](student) for student in STUDENTS]
    assert len({tuple(numbers.values()) for numbers in drawn}) > 0.9 * len(STUDENTS)
    copied = right.replace("personal_numbers(STUDENT_ID)", f"personal_numbers({STUDENTS[0]!r})")
    assert sum(bool(lost(copied, student)) for student in STUDENTS[1:]) > 0.9 * len(STUDENTS)


# ---- what students get


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A function that lets nbgrader write the release of a problem set, once, in a copy of the course, and reads it."""
    root = tmp_path_factory.mktemp("course")
    shutil.copytree(SOURCES, root / "source")

    @functools.cache
    def read(name):
        nbgrader = GenerateAssignment(CourseDirectory(root=str(root), assignment_id=name), no_database=True)
        nbgrader.config.SaveCells.enabled = False  # a gradebook takes seconds, and marks nothing here
        nbgrader.start()
        return nbformat.read(root / "release" / name / f"{name}.ipynb", as_version=4)

    return read


@pytest.mark.parametrize("name", ALL_SETS)
def test_release_holds_no_solution_and_no_hidden_test(released, name):
    source, release = read_source(name), released(name)
    text, everything = ("\n".join(cell.source for cell in notebook.cells) for notebook in (release, source))
    assert [secret for secret in ("### BEGIN", "### END", "SOLUTION", "HIDDEN TESTS") if secret in text] == []
    public = re.sub(r"### BEGIN (SOLUTION|HIDDEN TESTS).*?### END", "", everything, flags=re.DOTALL)
    secret_lines = {line for line in set(everything.splitlines()) - set(public.splitlines()) if line.strip()}
    assert len(secret_lines) > 20
    assert secret_lines & set(text.splitlines()) == set()
    assert [cell.id for cell in release.cells if cell.get("outputs")] == []


@pytest.mark.parametrize("name", SETS)
def test_release_is_what_the_tests_hand_in_untouched(released, name):
    cells = {cell.id: cell for cell in released(name).cells}
    assert cells["student-id"].source == 'STUDENT_ID = "write your id here"'
    for solution, stub in stubs(name).items():
        assert cells[solution].source.replace("    # YOUR CODE HERE\n", "").strip() == stub.strip()


# ---- what somebody alone with the release can do


@pytest.mark.parametrize(
    "name", tiers.every(ALL_SETS, first=["ps1_bptt", "ps3_optimizers"], why="two releases run without nbgrader")
)
def test_visible_tests_need_only_jupyter(released, name, monkeypatch):
    """The release with right answers written in runs from top to bottom in a kernel that knows no nbgrader."""
    notebook = copy.deepcopy(released(name))
    for cell in notebook.cells:
        cell.source = right_answers(name).get(cell.get("id"), cell.source)
    without = nbformat.v4.new_code_cell("import sys\n\nsys.modules['nbgrader'] = None  # importing it is an error now")
    notebook.cells.insert(0, without)
    monkeypatch.setenv("PYTHONPATH", str(COURSE.parents[1]))
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()  # a test that fails stops it
    tests = [cell for cell in notebook.cells if grading(cell).get("points") and cell.cell_type == "code"]
    assert len(tests) > 15 and all(cell.execution_count for cell in tests)

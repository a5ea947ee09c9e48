"""Problem sets 5 and 6, in PyTorch: every test cell gives and takes the points it should, and only those."""

import re
import warnings
from importlib import import_module

import nbformat
import pytest

import submissions_ps6
import tiers
from coursework import COURSE, covering, grade, packed, problem_set, right_answers, stubs
from coursework_submissions import grading

SOURCES = COURSE / "source"
SETS = {path.name: import_module(f"submissions_{path.name[:3]}") for path in sorted(SOURCES.glob("ps[56]_*"))}
FAULTS = tiers.every(
    [(name, fault) for name, work in SETS.items() for fault in work.FAULTS],
    first=[(name, fault) for name, work in SETS.items() for fault in covering(work.FAULTS)],
    why="of the faults of a problem set, enough are planted that each test cell is lost by one",
)


@pytest.fixture(scope="module")
def sources():
    return {name: nbformat.read(SOURCES / name / f"{name}.ipynb", as_version=4) for name in SETS}


def failures(source, answers, student_id="ada", tests=()):
    """Run what is given, these answers {solution cell: code} and their tasks' tests or `tests`; return {test: error}.

    A task stands alone, so that the tests of others need not run. What it has in other cells is right.
    """
    task = tuple(f"{name.partition('-')[0]}-" for name in answers)
    tests = tests or task
    namespace, failed = {"STUDENT_ID": student_id}, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for cell in source.cells:
            mark = grading(cell)
            if cell.cell_type != "code" or not mark or cell.id == "student-id":
                continue
            given = not mark["solution"] and not mark.get("points")
            tested = mark["grade"] and cell.id.startswith(tests)
            if given or tested or mark["solution"] and cell.id.startswith(task):
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
def test_guide_tells_minutes_and_points_of_the_set(sources, name):
    (minutes,) = re.findall(r"\*\*Time\*\* about (\d+) minutes", sources[name].cells[0].source)
    total, by_hand = (
        sum(SETS[name].POINTS[cell] for cell in cells) for cells in (SETS[name].POINTS, SETS[name].MANUAL)
    )
    guide = (COURSE / "README.md").read_text()
    assert re.search(rf"^\| `{name}` \|.*\| {minutes} \| {total}, of which {by_hand} by hand \|$", guide, re.MULTILINE)


@pytest.mark.parametrize("name", SETS)
def test_source_is_stored_clean(sources, name):
    code = [cell for cell in sources[name].cells if cell.cell_type == "code"]
    assert [c.id for c in code if c.outputs or c.execution_count is not None] == []
    assert {c.id: len(c.source.splitlines()) for c in code if len(c.source.splitlines()) > 25} == {}


def test_perfect_work_fails_nothing_in_set_5(sources):
    assert failures(sources["ps5_debugging"], right_answers("ps5_debugging")) == {}


@pytest.fixture(scope="module")
def honest(sources):
    """The numbers that ada's experiment in problem set 6 gives, with the official solutions."""
    answers = right_answers("ps6_project")
    namespace = {"STUDENT_ID": "ada"}
    for cell in sources["ps6_project"].cells:
        if cell.cell_type == "code" and (cell.id in answers or cell.id.startswith("given-")):
            exec(compile(answers.get(cell.id, cell.source), cell.id, "exec"), namespace)
    return namespace["results"]()


def typed(numbers):
    """Return the cell of a student who typed these numbers."""
    return f"def results():\n    return {numbers!r}\n"


def test_perfect_work_fails_nothing_in_set_6(sources, honest):
    answers = right_answers("ps6_project") | {"results-solution": typed(honest)}
    assert failures(sources["ps6_project"], answers) == {}


@pytest.mark.parametrize("mistake", submissions_ps6.RESULTS, ids=lambda mistake: mistake[0])
def test_wrong_results_lose_their_cells(sources, honest, mistake):
    _, change, loses = mistake
    right = right_answers("ps6_project")
    answers = {"fit-solution": right["fit-solution"], "results-solution": typed(honest | change(honest))}
    failed = failures(sources["ps6_project"], answers, tests=("results-",))
    assert set(failed) == {f"results-{test}-test" for test in loses.split()}, failed
    assert [error for error in failed.values() if not re.search(r"expected.*got", str(error), re.S)] == []


@pytest.mark.parametrize("student_id", ["grace", "", "é 7"])
def test_questions_with_own_numbers_have_answers_for_everyone(sources, student_id):
    source = sources["ps5_debugging"]
    assert failures(source, {"effects-solution": right_answers("ps5_debugging")["effects-solution"]}, student_id) == {}


@pytest.mark.parametrize(
    "name", tiers.every(SETS, first=["ps5_debugging"], why="one problem set in PyTorch is graded in the sandbox")
)
def test_grader_in_its_sandbox_agrees(name, honest):
    """Nothing written loses everything; work with a mistake in nearly every task gets the rest of its points."""
    tests = {cell.name for cell in problem_set(name).having("test") if cell.points}
    assert grade(name, stubs(name)).lost() == tests | set(SETS[name].MANUAL)  # an empty answer needs no person
    mistakes = [fault for fault in packed(SETS[name].FAULTS)["wrong1"] if not fault.cell.startswith("fit-")]
    answers = right_answers(name)
    if name == "ps6_project":  # what a student hands in: numbers, from runs with the fit that is handed in too
        answers |= {"results-solution": typed(honest)}
    report = grade(name, answers | {fault.cell: fault.plant(answers[fault.cell]) for fault in mistakes})
    assert report.lost() == {test for fault in mistakes for test in fault.loses}
    points = SETS[name].POINTS
    assert {test: report.marks[test].points for test in tests} == {
        test: 0 if test in report.lost() else points[test] for test in tests
    }


@pytest.mark.parametrize("planted", FAULTS, ids=lambda planted: f"{planted[0]}-{planted[1].name}")
def test_wrong_work_fails_these_cells_and_only_these(sources, planted):
    name, fault = planted
    failed = failures(sources[name], {fault.cell: fault.plant(right_answers(name)[fault.cell])})
    assert set(failed) == set(fault.loses), failed
    assert [error for error in failed.values() if not re.search(r"expected.*got", str(error), re.S)] == []


@pytest.mark.parametrize("name", SETS)
def test_every_test_cell_is_lost_by_some_fault(name):
    tests = {test for test, points in SETS[name].POINTS.items() if points} - set(SETS[name].MANUAL)
    lost = {test for fault in SETS[name].FAULTS for test in fault.loses}
    if name == "ps6_project":
        lost |= {f"results-{test}-test" for *_, loses in submissions_ps6.RESULTS for test in loses.split()}
    assert lost == tests
    assert len(SETS[name].FAULTS) >= 12

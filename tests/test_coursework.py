"""Problem set 1 through nbgrader and the grader: every test cell gives and takes the points it should, only those."""

import contextlib
import csv
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from unittest import mock

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderApp
from traitlets.config import Application

from coursework_submissions import FAULTS, MANUAL, grading, packed, solutions, submissions
from grading.__main__ import main

COURSE = Path(__file__).parents[1] / "notebooks" / "coursework"
NAME = "ps1_bptt"
SOURCE = COURSE / "source" / NAME / f"{NAME}.ipynb"
STUDENTS = ["perfect", "untouched", "composed", "tampered", *packed()]
AUTO_POINTS, MANUAL_POINTS = 30, 5

# Grades hang on these names: renaming one orphans the marks that students already have.
POINTS = {
    "hidden-references": 0,
    "step-visible-test": 1,
    "step-hidden-test": 2,
    MANUAL: 5,
    "step-back-visible-test": 1,
    "step-back-inputs-test": 2,
    "step-back-weights-test": 2,
    "bptt-visible-test": 1,
    "bptt-total-test": 3,
    "bptt-inputs-test": 2,
    "bptt-weights-test": 3,
    "truncated-visible-test": 1,
    "truncated-hidden-test": 3,
    "clip-norm-visible-test": 1,
    "clip-norm-above-test": 2,
    "clip-norm-below-test": 1,
    "clip-norm-copies-test": 1,
    "clip-value-visible-test": 1,
    "clip-value-hidden-test": 1,
    "statements-direction-test": 1,
    "statements-effect-test": 1,
}
Classroom = namedtuple(
    "Classroom", "root release expected_losses scores ungraded csv_before csv_after grades untouched_course"
)


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="session")
def source():
    return read(SOURCE)


# ---- the source notebook, without nbgrader


def test_points_and_names_are_stable(source):
    graded = {grading(c)["grade_id"]: grading(c)["points"] for c in source.cells if grading(c).get("grade")}
    assert graded == POINTS
    assert sum(POINTS.values()) == AUTO_POINTS + MANUAL_POINTS
    assert {grading(c)["schema_version"] for c in source.cells if grading(c)} == {3}


def test_points_told_to_students_are_the_points_given(source):
    head = source.cells[0].source
    table = [int(points) for points in re.findall(r"^\| \d \|.*\| (\d+) \|$", head, flags=re.MULTILINE)]
    titles = [int(n) for c in source.cells for n in re.findall(r"^## Task \d.*\((\d+) points", c.source)]
    assert table == titles
    assert sum(table) == AUTO_POINTS + MANUAL_POINTS
    assert f"**Points** {sum(table)}, of which {MANUAL_POINTS} are marked by hand" in head


def test_source_is_stored_clean(source):
    code = [cell for cell in source.cells if cell.cell_type == "code"]
    assert [c.id for c in code if c.outputs or c.execution_count is not None] == []
    assert {c.id: len(c.source.splitlines()) for c in code if len(c.source.splitlines()) > 25} == {}


@pytest.mark.parametrize("solution_id", dict.fromkeys(fault.cell for fault in FAULTS))
def test_solution_and_its_tests_stand_alone(source, solution_id):
    """One solution, the given cells and its own tests suffice: what a grader outside the notebook will rely on."""
    cells = {cell.id: cell.source for cell in source.cells if cell.cell_type == "code"}
    own_tests = [t for t in POINTS if re.fullmatch(rf"{solution_id.removesuffix('-solution')}-[a-z]+-test", t)]
    namespace = {}
    assert own_tests
    for name in ["given-check", "hidden-references", solution_id, *own_tests]:
        exec(compile(cells[name], name, "exec"), namespace)


# ---- the whole class, graded once


def surroundings(where):
    """Return the variables of an instructor with a home of their own."""
    home = where / "home"
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "HOME", "XDG_CACHE_HOME")
    environment = os.environ | {name: str(home / name) for name in own} | {"OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader calls alembic
    return environment | {"PYTHONPATH": str(Path(__file__).parents[1])}


def run_grader(where):
    """Grade as an instructor would from the repository's root, in a process of its own."""
    command = [sys.executable, "-m", "grading", "notebooks/coursework", NAME]
    done = subprocess.run(command, cwd=where, env=surroundings(where), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, f"{command[2:]} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def nbgrader(where, *arguments):
    """Run an nbgrader command here, where nbgrader is loaded; test_instructors.py runs such in a shell."""
    with contextlib.chdir(where), mock.patch.dict(os.environ, surroundings(where)):
        NbGraderApp.launch_instance(list(arguments))  # which exits if it fails
    type(Application.instance()).clear_instance()  # the command, of which there can be one in a process


def gradebook(root):
    return Gradebook(f"sqlite:///{root / 'gradebook.db'}", course_id="rnnlab")


def read_csv(path):
    with path.open(newline="") as file:
        return {row["student_id"]: row for row in csv.DictReader(file)}


def export(where, root, name):
    nbgrader(where, "export", "--CourseDirectory.root=notebooks/coursework", f"--to={root / name}")
    return read_csv(root / name)


@pytest.fixture(scope="session")
def classroom(tmp_path_factory, source):
    """Release, submit, grade, mark one answer by hand, grade again and export, in a copy of the course."""
    where = tmp_path_factory.mktemp("classroom")
    root = where / "notebooks" / "coursework"
    before = modification_times(COURSE)
    shutil.copytree(COURSE / "source", root / "source")
    shutil.copy(COURSE / "nbgrader_config.py", root)
    course_dir = "--course-dir=notebooks/coursework"

    nbgrader(where, "generate_assignment", NAME, course_dir)
    release = read(root / "release" / NAME / f"{NAME}.ipynb")
    expected_losses = {}
    for student, (notebook, lost) in submissions(source, release).items():
        path = root / "submitted" / student / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
        expected_losses[student] = lost

    run_grader(where)
    scores, ungraded = read_scores(root)
    csv_before = export(where, root, "before.csv")
    mark_by_hand(root, "perfect", 4.5)
    assert main([str(root), NAME]) == 0  # nothing is new but the mark: pages and grades.csv show it
    with (root / "grades.csv").open(newline="") as file:
        grades = {row["student"]: float(row["points"]) for row in csv.DictReader(file)}
    csv_after = export(where, root, "after.csv")
    untouched_course = modification_times(COURSE) == before
    return Classroom(root, release, expected_losses, scores, ungraded, csv_before, csv_after, grades, untouched_course)


def modification_times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def read_scores(root):
    """Return {student: {test: points}} and the students whose derivation waits for a person."""
    with gradebook(root) as book:
        submitted = [(s.student.id, s.notebooks[0].grades) for s in book.assignment_submissions(NAME)]
        scores = {student: {g.name: g.auto_score for g in grades if g.name != MANUAL} for student, grades in submitted}
        ungraded = {student for student, grades in submitted for g in grades if g.needs_manual_grade}
    return scores, ungraded


def mark_by_hand(root, student, points):
    with gradebook(root) as book:
        grade = book.find_grade(MANUAL, NAME, NAME, student)
        grade.manual_score, grade.needs_manual_grade = points, False
        book.db.commit()


def test_release_holds_no_solution_and_no_hidden_test(classroom, source):
    text = "\n".join(cell.source for cell in classroom.release.cells)
    for secret in ("BEGIN", "END", "SOLUTION", "HIDDEN TESTS", "import torch", "autograd_bptt", "Marking guide"):
        assert secret not in text
    everything = "\n".join(cell.source for cell in source.cells)
    public = re.sub(r"### BEGIN (SOLUTION|HIDDEN TESTS).*?### END", "", everything, flags=re.DOTALL)
    secret_lines = set(everything.splitlines()) - set(public.splitlines())
    assert len(secret_lines) > 100
    assert {line for line in secret_lines & set(text.splitlines()) if line.strip()} == set()
    stubs = [c for c in classroom.release.cells if c.cell_type == "code" and grading(c).get("solution")]
    assert len(stubs) == len(solutions(source))
    assert all("raise NotImplementedError()" in cell.source for cell in stubs)


def test_all_students_are_graded(classroom):
    assert set(classroom.scores) == set(STUDENTS)
    assert sum(classroom.scores["perfect"].values()) == AUTO_POINTS
    assert sum(classroom.scores["untouched"].values()) == 0


@pytest.mark.parametrize("student", STUDENTS)
def test_student_loses_these_points_and_only_these(classroom, student):
    lost = classroom.expected_losses[student]
    expected = {test: 0 if test in lost else points for test, points in POINTS.items() if test != MANUAL}
    assert classroom.scores[student] == expected


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_costs_its_points(classroom, fault):
    (student,) = (student for student, faults in packed().items() if fault in faults)
    scores = classroom.scores[student]
    assert fault.loses
    assert [test for test in fault.loses if scores[test] != 0] == []


def test_every_test_cell_is_lost_by_some_fault():
    tests = {test for test, points in POINTS.items() if points and test != MANUAL}
    assert {test for fault in FAULTS for test in fault.loses} == tests


@pytest.mark.parametrize("student", ["tampered", *packed()])
def test_lost_points_come_with_a_helpful_message(classroom, student):
    graded = read(classroom.root / "autograded" / student / NAME / f"{NAME}.ipynb")
    messages = {
        grading(cell)["grade_id"]: output.evalue
        for cell in graded.cells
        if cell.cell_type == "code" and grading(cell).get("grade")
        for output in cell.outputs
        if output.output_type == "error"
    }
    assert set(messages) == classroom.expected_losses[student]
    assert [m for m in messages.values() if not re.search(r"expected.*got", m, re.S)] == []


def test_answer_on_paper_waits_for_a_person(classroom):
    assert classroom.ungraded == set(STUDENTS) - {"untouched"}  # an empty answer needs nobody: it is 0


def test_marks_reach_the_csv(classroom):
    before, after = classroom.csv_before, classroom.csv_after
    assert set(before) == set(after) == set(STUDENTS)
    for student, scores in classroom.scores.items():
        assert float(before[student]["score"]) == sum(scores.values())
        assert float(after[student]["score"]) == sum(scores.values()) + (4.5 if student == "perfect" else 0)
        assert float(after[student]["max_score"]) == AUTO_POINTS + MANUAL_POINTS
        assert after[student]["assignment"] == NAME
        assert classroom.grades[student] == float(after[student]["score"])


@pytest.mark.parametrize("student", STUDENTS)
def test_feedback_tells_the_score(classroom, student):
    html = (classroom.root / "feedback" / student / NAME / f"{NAME}.html").read_text()
    total = sum(classroom.scores[student].values()) + (4.5 if student == "perfect" else 0)
    assert f"{NAME}: {total:g} of {AUTO_POINTS + MANUAL_POINTS} points" in html


def test_nbgraders_own_feedback_is_the_same_page(classroom):
    """`generate_feedback` in a course with our configuration: no hidden test, nothing from the network."""
    path = classroom.root / "feedback" / "perfect" / NAME / f"{NAME}.html"
    ours = path.read_text()
    path.unlink()
    where = classroom.root.parents[1]
    nbgrader(where, "generate_feedback", NAME, "--course-dir=notebooks/coursework", "--student=perfect", "--force")
    assert path.read_text() == ours


def test_grading_wrote_into_the_copy_only(classroom):
    made = {"release", "submitted", "autograded", "feedback", "backups", "gradebook.db", "grades.csv"}
    assert made <= {path.name for path in classroom.root.iterdir()}
    assert {path.name for path in classroom.root.parents[1].iterdir()} <= {"home", "notebooks"}
    assert classroom.untouched_course

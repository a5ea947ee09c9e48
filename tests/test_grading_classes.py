"""Around the grading: resuming, being killed, two at once, marks by hand, no sandbox, and errors at the door."""

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from filelock import FileLock
from nbgrader.api import Gradebook

import tasks
from grading import gradebooks, sandbox
from mini_course import NAME, command, grade, hand_in, new_course, notebook

WHOLE = {"square-visible-test": 1, "square-hidden-test": 2, "answer-test": 1, "parts-test": 4, "references": 0}
MANY = [f"s{i:02}" for i in range(8)]


def rows(root: Path) -> dict:
    """Return {student: (points, most)} of grades.csv."""
    with (root / "grades.csv").open(newline="") as file:
        return {row["student"]: (float(row["points"]), float(row["max_points"])) for row in csv.DictReader(file)}


def grades(root: Path) -> dict:
    """Return {student: {cell: (by tests, by hand, needs a person)}}."""
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        submissions = [(s.student.id, s.notebooks[0].grades) for s in book.assignment_submissions(NAME)]
        return {
            student: {g.name: (g.auto_score, g.manual_score, g.needs_manual_grade) for g in found}
            for student, found in submissions
        }


def page(root: Path, student: str) -> str:
    """Return a student's feedback page."""
    return (root / "feedback" / student / NAME / f"{NAME}.html").read_text()


def three(root: Path) -> Path:
    """Make a course with three students: right, partly right, and nothing but the untouched release."""
    new_course(root, ["ada"])
    hand_in(root, "bob", square="def square(x):\n    return np.where(x < 3, x**2, 0)", why="")
    hand_in(root, "cyd", square="def square(x):\n    raise NotImplementedError()", answer="answer = 1", why="")
    return root


@pytest.fixture
def course(tmp_path):
    """A course with three students, not graded yet."""
    return three(tmp_path)


@pytest.fixture(scope="module")
def graded_once(tmp_path_factory):
    root = three(tmp_path_factory.mktemp("graded"))
    return root, grade(root)


@pytest.fixture
def graded(graded_once, tmp_path):
    """A copy of such a course after it was graded."""
    return shutil.copytree(graded_once[0], tmp_path / "course")


def test_a_class_is_graded_and_graded_again_only_where_something_changed(graded_once, graded):
    first, course = graded_once[1], graded
    assert first.returncode == 0, first.stderr
    assert rows(course) == {"ada": (8, 13), "bob": (5, 13), "cyd": (0, 13)}
    marks = {
        student: {cell: by_tests for cell, (by_tests, _, _) in found.items()}
        for student, found in grades(course).items()
    }
    assert marks["ada"] == WHOLE | {"why-answer": None}
    assert marks["bob"] == WHOLE | {"square-hidden-test": 0, "parts-test": 3, "why-answer": 0}
    assert set(marks["cyd"].values()) == {0}
    assert "expected [1. 4. 9.], got [1. 4. 0.]" in page(course, "bob")
    assert "square(x=[1., 2., 3.])" in page(course, "bob")
    assert "3 of 4 parts" in page(course, "bob")
    assert "square is not written yet" in page(course, "cyd")
    assert "SECRET" not in page(course, "bob") + page(course, "cyd")

    hand_in(course, "cyd", answer="answer = 1")
    second = grade(course)
    assert "1 graded" in second.stdout and "2 unchanged" in second.stdout
    assert rows(course) == {"ada": (8, 13), "bob": (5, 13), "cyd": (7, 13)}
    assert "0 graded" in grade(course).stdout
    assert "3 graded" in grade(course, "--force").stdout


def test_what_the_gradebook_lost_is_graded_again(graded):
    (graded / "gradebook.db").unlink()
    assert "3 graded" in grade(graded).stdout
    with sqlite3.connect(graded / "gradebook.db") as book:
        book.execute("update grade set auto_score = 100")
    assert "3 graded" in grade(graded).stdout
    assert rows(graded)["ada"] == (8, 13)


def by_hand(root, student, cell, points, comment=None):
    """Do what a person does in formgrader."""
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        found = book.find_grade(cell, NAME, NAME, student)
        found.manual_score, found.needs_manual_grade = points, False
        if comment:
            book.find_comment(cell, NAME, NAME, student).manual_comment = comment
        book.db.commit()


def test_marks_by_hand_and_comments_survive(graded):
    by_hand(graded, "ada", "why-answer", 4, "Well <b>argued</b>.")
    by_hand(graded, "bob", "square-hidden-test", 1)
    assert grade(graded).returncode == 0
    assert rows(graded) == {"ada": (12, 13), "bob": (6, 13), "cyd": (0, 13)}
    assert "Well &lt;b&gt;argued&lt;/b&gt;." in page(graded, "ada")
    assert grade(graded, "--force").returncode == 0
    assert rows(graded) == {"ada": (12, 13), "bob": (6, 13), "cyd": (0, 13)}
    assert grades(graded)["ada"]["why-answer"] == (None, 4, False)
    hand_in(graded, "ada", why="I thought again.")
    grade(graded)
    assert grades(graded)["ada"]["why-answer"] == (None, 4, True)  # a person looks once more


def test_late_work_loses_what_the_course_takes_off(graded):
    (graded / "nbgrader_config.py").write_text("get_config().LateSubmissionPlugin.penalty_method = 'zero'\n")
    with Gradebook(f"sqlite:///{graded / 'gradebook.db'}") as book:
        book.update_or_create_assignment(NAME, duedate="2026-01-10 12:00:00 UTC")
    for student, stamp in (
        ("ada", "2026-01-11 09:00:00 UTC"),
        ("bob", "2026-01-09 09:00:00 UTC"),
        ("cyd", "yesterday"),
    ):
        (graded / "submitted" / student / NAME / "timestamp.txt").write_text(stamp)
    assert grade(graded).returncode == 0
    assert rows(graded) == {"ada": (0, 13), "bob": (5, 13), "cyd": (0, 13)}
    assert "Late: 8 points were taken off." in page(graded, "ada")
    assert "Late" not in page(graded, "bob")


def test_parameters_are_drawn_from_the_folders_name(course):
    notebook_of_ada = json.loads((course / "submitted/ada" / NAME / f"{NAME}.ipynb").read_text())
    for cell in notebook_of_ada["cells"]:
        if cell["id"] == "student-id":
            cell["source"] = 'STUDENT_ID = "ada"'
        if cell["id"] == "answer-solution":
            cell["source"] = f"answer = {drawn('ada')}"
    for student in ("ada", "copy"):
        hand_in(course, student).write_text(json.dumps(notebook_of_ada))
    assert grade(course).returncode == 0
    assert rows(course)["ada"] == (8, 13)
    assert rows(course)["copy"] == (7, 13)
    assert "The notebook says STUDENT_ID = &#x27;ada&#x27;; graded was &#x27;copy&#x27;." in page(course, "copy")


def drawn(name):
    space = {}
    exec(next(c["source"] for c in notebook()["cells"] if c["id"] == "given-tools"), space)
    return space["personal"](name)


# ---------------------------------------------------------------- interrupted


def wait_for(condition, seconds=120):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def begin(root):
    """Start grading, and wait until some but not all are graded."""
    wanted = command(root, "--processes", "1")
    process = subprocess.Popen(**wanted, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    wait_for(lambda: len(list((root / ".grading" / NAME).glob("*.json"))) >= 2 or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


def whole_or_nothing(root):
    """Check that each submission in the gradebook has all of its marks or does not exist."""
    with sqlite3.connect(root / "gradebook.db") as book:
        assert book.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    found = grades(root)
    assert 2 <= len(found) < len(MANY)
    assert {student: marks for student, marks in found.items() if marks["parts-test"] != (4, None, False)} == {}
    return found


def test_ctrl_c_keeps_what_was_graded_and_the_rest_follows(tmp_path):
    root = new_course(tmp_path, MANY)
    process = begin(root)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130 and "Stopped. What was graded is kept" in told and "Traceback" not in told
    done = whole_or_nothing(root)
    assert set(rows(root)) == set(done)
    again = grade(root)
    assert f"{len(MANY) - len(done)} graded" in again.stdout and f"{len(done)} unchanged" in again.stdout
    assert rows(root) == dict.fromkeys(MANY, (8, 13))


def test_a_killed_grader_leaves_a_whole_gradebook_and_no_lock(tmp_path):
    root = new_course(tmp_path, MANY)
    process = begin(root)
    process.kill()
    process.communicate()
    whole_or_nothing(root)
    again = grade(root)
    assert again.returncode == 0 and "graded" in again.stdout, again.stderr
    assert rows(root) == dict.fromkeys(MANY, (8, 13))
    assert [path.name for path in root.rglob(".*.??????*") if path.is_file()] == []  # nothing half-written lies about


def test_two_graders_do_not_work_on_one_course(course):
    with FileLock(course / ".grading.lock"):
        second = grade(course)
    assert second.returncode == 2 and "is being graded already" in second.stderr
    assert not (course / "gradebook.db").exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "grades.csv"
    gradebooks.replace_file(path, "old")

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        gradebooks.replace_file(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_marks_of_one_submission_are_one_transaction(graded):
    before = grades(graded)
    opened = gradebooks.Course.at(graded)
    with pytest.raises(ZeroDivisionError), opened.gradebook() as book, gradebooks.one_transaction(book):
        book.update_or_create_student("new")
        book.find_grade("answer-test", NAME, NAME, "ada").auto_score = 0
        book.db.commit()
        raise ZeroDivisionError
    assert grades(graded) == before
    with opened.gradebook() as book:
        assert {student.id for student in book.students} == {"ada", "bob", "cyd"}


def test_the_gradebook_is_backed_up_and_the_last_ten_are_kept(graded):
    backups = graded / "backups"
    assert not backups.exists() or not list(backups.iterdir())  # there was nothing to back up
    backups.mkdir(exist_ok=True)
    for i in range(12):
        (backups / f"gradebook-20200101-0000{i:02}.db").touch()
    by_hand(graded, "ada", "why-answer", 5)
    grade(graded, "--force")
    kept = sorted(backups.iterdir())
    assert len(kept) == 10
    with sqlite3.connect(kept[-1]) as book:
        assert book.execute("select count(*) from grade where manual_score = 5").fetchone() == (1,)


def test_a_spoiled_gradebook_is_said_and_left_alone(graded):
    grade(graded, "--force")
    (graded / "gradebook.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    done = grade(graded)
    assert done.returncode == 2 and "cannot be read" in done.stderr and "backups/gradebook-" in done.stderr
    assert (graded / "gradebook.db").read_bytes().endswith(b"x" * 5000)


# ---------------------------------------------------------------- at the door


@pytest.mark.parametrize(
    "spoil, told",
    [
        (lambda root: shutil.rmtree(root / "submitted"), "nothing was handed in"),
        (lambda root: shutil.rmtree(root / "source" / NAME), "there is no problem set 'mini'"),
        (lambda root: shutil.rmtree(root / "source"), "there are none, so COURSE is likely another folder"),
        (lambda root: (root / "source" / NAME / f"{NAME}.ipynb").write_text("{"), "cannot be graded with"),
        (lambda root: edit(root, "answer-test", "check(answer, -1)"), "the official solution of mini loses points"),
        (lambda root: edit(root, "answer-solution", "answer = ("), "cannot be graded with"),
    ],
)
def test_what_cannot_be_graded_is_said(course, spoil, told):
    spoil(course)
    done = grade(course)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
    assert not (course / "grades.csv").exists()


def edit(root, name, source):
    path = root / "source" / NAME / f"{NAME}.ipynb"
    made = json.loads(path.read_text())
    next(cell for cell in made["cells"] if cell["id"] == name)["source"] = source
    path.write_text(json.dumps(made))


def test_no_course_is_said(tmp_path):
    done = grade(tmp_path / "nowhere")
    assert done.returncode == 2 and "there is no course at" in done.stderr


def test_notebooks_in_the_wrong_place_are_named(graded):
    for misplaced in (graded / "submitted" / "loose.ipynb", graded / "submitted" / "ben" / f"{NAME}.ipynb"):
        misplaced.parent.mkdir(exist_ok=True)
        misplaced.write_text(json.dumps(notebook()))
    done = grade(graded)
    assert done.returncode == 0
    told = [line for line in done.stderr.splitlines() if line.startswith("left out: expected")]
    assert len(told) == 2 and "loose.ipynb" in told[1] and f"/ben/{NAME}.ipynb" in told[0]


def test_the_summary_names_what_an_earlier_run_could_not_grade(graded):
    (graded / "submitted" / "dan" / NAME).mkdir(parents=True)
    (graded / "submitted" / "dan" / NAME / f"{NAME} (1).ipynb").write_text("{}")
    told = f"dan: Nothing could be graded: there is no {NAME}.ipynb in it, but '{NAME} (1).ipynb'."
    for graded_now in (1, 0):
        done = grade(graded)
        assert f"{NAME}: {graded_now} graded" in done.stdout and told in done.stdout


def test_changed_points_count_and_changed_cells_are_refused(graded):
    made = notebook()
    tested = next(cell for cell in made["cells"] if cell["id"] == "answer-test")["metadata"]["nbgrader"]
    tested["points"] = 5
    (graded / "source" / NAME / f"{NAME}.ipynb").write_text(json.dumps(made))
    assert "3 graded" in grade(graded).stdout
    assert rows(graded)["ada"][1] == 17
    tested["grade_id"] = "renamed-test"
    (graded / "source" / NAME / f"{NAME}.ipynb").write_text(json.dumps(made))
    done = grade(graded)
    assert done.returncode == 2 and "Cannot add or remove cells" in done.stderr


def test_make_grade_says_what_to_name(monkeypatch, capsys):
    for setting in tasks.SETTINGS:
        monkeypatch.delenv(setting, raising=False)
    assert tasks.main(["grade"]) == 2
    assert "make grade COURSE=path/to/course ASSIGNMENT=ps1_bptt" in capsys.readouterr().err


def test_make_grade_hands_over(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(tasks, "make_environment", lambda *_: None)
    monkeypatch.setattr(tasks, "run", lambda *words, **_: called.append(words) or 0)
    for setting, value in {"COURSE": str(tmp_path), "ASSIGNMENT": "mini", "FORCE": "1"}.items():
        monkeypatch.setenv(setting, value)
    assert tasks.main(["grade"]) == 0
    assert called == [(tasks.PYTHON, "-m", "grading", tmp_path, "mini", "--force")]


# ---------------------------------------------------------------- without bubblewrap


def test_without_a_sandbox_it_warns_loudly_and_grades(course, monkeypatch):
    hand_in(course, "loop", square="def square(x):\n    while True: pass")
    hand_in(course, "exit", square="import os\ndef square(x):\n    os._exit(3)")
    monkeypatch.setattr(sandbox, "boxes", lambda *_: [])
    sandbox.find_sandbox.cache_clear()
    done = grade(course)
    sandbox.find_sandbox.cache_clear()
    assert done.returncode == 0, done.stderr
    assert "NO SANDBOX" in done.stderr
    assert rows(course) == {"ada": (8, 13), "bob": (5, 13), "cyd": (0, 13), "exit": (1, 13), "loop": (1, 13)}
    assert "still running" in page(course, "loop") and "ended its own process" in page(course, "exit")


def test_with_a_sandbox_it_does_not_warn(course):
    if sandbox.find_sandbox().safe:
        assert "NO SANDBOX" not in grade(course).stderr

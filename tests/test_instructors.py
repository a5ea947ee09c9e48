"""The guide for instructors says what is so, and its way from a clone to grades works."""

import csv
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module

import nbformat
import pytest

import tasks
from coursework import COURSE

ROOT = COURSE.parents[1]
GUIDE = (ROOT / "book" / "instructors.md").read_text(encoding="utf-8")
SETS = sorted(path.name for path in (COURSE / "source").glob("ps*"))


def section(title):
    """Return the text below a heading of the guide."""
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)[1]


@pytest.mark.parametrize("name", SETS)
def test_minutes_and_points_are_those_of_the_set(name):
    cells = nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4).cells
    minutes, points, by_hand = re.search(
        r"\*\*Time\*\* about (\d+) minutes\. \*\*Points\*\* (\d+), of which (\d+)", cells[0].source
    ).groups()
    row = rf"^\| `{name}`: .*\| {minutes} \| {points} \({by_hand}\) \|$"
    assert re.search(row, section("The problem sets"), re.MULTILINE)


@pytest.mark.parametrize("weeks", [6, 12])
def test_a_syllabus_has_all_its_weeks_sets_and_lessons(weeks):
    text = section(f"A course of {weeks} weeks")
    assert [int(week) for week in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == list(range(1, weeks + 1))
    assert list(dict.fromkeys(re.findall(r"`(ps\w+)`", text))) == SETS
    left_out = {"08", "12", "13"} if weeks == 6 else set()
    taught = set(re.findall(r"notebooks/(\d\d)_", text)) | set(re.findall(r" (1[46]) \(", text))
    lessons = {path.name[:2] for path in (ROOT / "notebooks").glob("[012]*.ipynb")}
    assert lessons - left_out <= taught <= {f"{n:02}" for n in range(1, 22)} - left_out | {"91"}


def test_each_mistake_in_the_table_is_about_tests_that_exist():
    rows = re.findall(r"^\| (\d): (.*?) \|", section("What a lost test tells"), re.MULTILINE)
    assert len(rows) > 10
    for number, lost in rows:
        (name,) = (name for name in SETS if name.startswith(f"ps{number}"))
        if number == "1":
            tests = {cell.id for cell in nbformat.read(COURSE / "source" / name / f"{name}.ipynb", 4).cells}
        else:
            tests = set(import_module(f"submissions_{name[:3]}").POINTS)
        for pattern in re.findall(r"`([\w*-]+)`", lost):
            if pattern != "t":
                assert any(re.fullmatch(pattern.replace("*", ".*"), t) or t.endswith(pattern) for t in tests), pattern


def test_rubric_adds_up_to_the_marks_by_hand():
    row = r"^\| (plan|method|findings) \| [\w ]+ \((\d)\) \|"
    rows = re.findall(row, section("The rubric of the project"), re.MULTILINE)
    points = {cell: sum(int(n) for name, n in rows if name == cell) for cell in ("plan", "method", "findings")}
    marked = import_module("submissions_ps6").POINTS
    assert points == {cell: marked[f"{cell}-answer"] for cell in points}


def test_the_way_from_a_clone_to_grades(tmp_path):
    """The commands of the guide but for those that install, run as they stand there."""
    steps = re.findall(r"^\$ (.*)$", section("From a clone to grades"), re.MULTILINE)
    assert steps[:2] == ["make env FOR=test", "source .venv/bin/activate"]
    for path in ("grading", "rnnlab", "notebooks/coursework"):
        shutil.copytree(ROOT / path, tmp_path / path, ignore=shutil.ignore_patterns("release", "submitted", "*.db"))
    target = re.fullmatch(r"make grade COURSE=(\S+) ASSIGNMENT=(\S+)", steps.pop())
    assert target and "grade" in tasks.TASKS
    script = [*steps[2:], f"{sys.executable} -m grading {target[1]} {target[2]}"]  # what `make grade` calls
    home = tmp_path / "home"
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "HOME", "XDG_CACHE_HOME")
    environment = os.environ | {name: str(home / name) for name in own} | {"PYTHONPATH": str(tmp_path)}
    environment["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    course = tmp_path / "notebooks" / "coursework"
    with (course / "grades.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["student"], row["assignment"]) == ("ada", "ps1_bptt")
    assert (float(row["points"]), float(row["max_points"])) == (0, 35)
    assert list(row) == ["student", "assignment", "points", "max_points"]
    assert (course / "feedback" / "ada" / "ps1_bptt" / "ps1_bptt.html").stat().st_size > 1000

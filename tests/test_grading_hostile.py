"""Hostile and broken submissions: none gains a point that it did not earn, harms another, or goes without a message."""

import csv
import functools
import html
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

import tiers
from coursework import COURSE, packed, problem_set, right_answers, stubs
from coursework_submissions import FAULTS
from grading.sandbox import find_sandbox
from hostile_submissions import CODES, cell_named, notebook_of

NAME = "ps1_bptt"
ROOT = Path(__file__).resolve().parents[1]
SLEEP = "86399.125"  # how a process that outlives its submission can be recognized
TESTS = {cell.name: cell.points for cell in problem_set(NAME).having("test") if cell.points}
STEP = {"step-visible-test", "step-hidden-test"}
ATTACKS = {attack.name: attack for attack in CODES}
STUDENTS = tiers.every(
    ATTACKS,
    first=[name for name, attack in ATTACKS.items() if not attack.like],
    why="of the attacks of one kind, tests/hostile_submissions.py names the one that is tried",
)


def needs_sandbox():
    """Skip with a reason that is seen, or fail where a sandbox is required."""
    if not find_sandbox().safe:
        reason = "no sandbox: bubblewrap (bwrap) is not installed, or may not make one here"
        if os.environ.get("RNNLAB_REQUIRE_SANDBOX") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def new_course(root: Path) -> Path:
    """Make a course with the problem set, and short limits."""
    source = json.loads((COURSE / "source" / NAME / f"{NAME}.ipynb").read_text())
    source["metadata"]["grading"] = {"call_seconds": 3, "total_seconds": 20}
    path = root / "source" / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(source))
    shutil.copy(COURSE / "nbgrader_config.py", root)
    return root


@functools.cache
def release() -> dict:
    """Return the notebook that students get, as JSON has it (with hidden tests: no submission's tests count)."""
    return notebook_of(json.loads((COURSE / "source" / NAME / f"{NAME}.ipynb").read_text()), stubs(NAME))


def hand_in(root: Path, student: str, content) -> Path:
    """Put a notebook, a text or bytes where a student's work is collected."""
    path = root / "submitted" / student / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    content = json.dumps(content) if isinstance(content, dict) else content
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def grade(root: Path, *more, path=None, **options):
    """Run the grader as `make grade` does; return the finished process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(root / "home")}
    environment |= {"PATH": path} if path is not None else {}
    command = [sys.executable, "-m", "grading", str(root), NAME, *more]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, **options)


def marks(root: Path) -> dict:
    """Return {student: {test cell: points}} from the gradebook."""
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}", "rnnlab") as book:
        submissions = [(s.student.id, s.notebooks[0].grades) for s in book.assignment_submissions(NAME)]
        return {student: {g.name: g.auto_score for g in grades if g.name in TESTS} for student, grades in submissions}


def earned(found: dict) -> set:
    """Return the test cells that have points; they are all or nothing here."""
    assert {cell: points for cell, points in found.items() if points not in (0, TESTS[cell])} == {}
    return {cell for cell, points in found.items() if points}


def page(root: Path, student: str) -> str:
    """Return a feedback page as it is stored."""
    return (root / "feedback" / student / NAME / f"{NAME}.html").read_text()


# ---------------------------------------------------------------- one class with all of them


def broken_submissions(root: Path, right: dict) -> dict:
    """Hand in what is broken, or not what it seems; return {student: (test cells it earns, part of its message)}."""
    expected = {}

    def add(student, content, earns, told):
        expected[student] = set(earns), told
        return hand_in(root, student, content) if content is not None else root / "submitted" / student

    everything, good = set(TESTS), notebook_of(release(), right)
    without = notebook_of(release(), right)
    without["cells"] = [
        c for c in without["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") != "bptt-solution"
    ]
    add("deleted_cell", without, everything - {t for t in TESTS if t.startswith("bptt-")}, "bptt-solution")
    bare = notebook_of(release(), right)
    bare["cells"] = [c for c in bare["cells"] if not c["metadata"].get("nbgrader", {}).get("grade")]
    add("deleted_tests", bare, everything, "")
    double = notebook_of(release(), right)
    double["cells"].insert(
        3, cell_named(notebook_of(release(), {"step-solution": "def rnn_step(*a): return 0"}), "step-solution")
    )
    add("duplicated_cell", double, everything, "more than once")
    renamed = notebook_of(release(), right)
    cell_named(renamed, "step-solution")["metadata"]["nbgrader"]["grade_id"] = "mine"
    add("changed_id", renamed, everything - STEP, "mine")
    swapped = notebook_of(release(), stubs(NAME))
    for cell in swapped["cells"]:
        mark = cell["metadata"].get("nbgrader", {})
        if mark.get("grade"):
            mark |= {"points": 1000, "solution": True, "locked": False}
            cell["source"] = "1000"
    add("rewritten_tests", swapped, (), "not written yet")
    typed = notebook_of(release(), right)
    cell_named(typed, "step-solution")["cell_type"] = "raw"
    add("changed_type", typed, everything, "")
    odd = notebook_of(release(), right)
    odd["cells"] += [
        None,
        3,
        [],
        {"metadata": None},
        {"metadata": {"nbgrader": []}, "source": {"a": 1}},
        {"source": [1]},
    ]
    odd["metadata"] = {"kernelspec": {"name": "../../evil"}}
    add("odd_cells", odd, everything, "")
    magics = right | {"step-solution": "%matplotlib inline\n!rm -rf /\n" + right["step-solution"]}
    add("magics", notebook_of(release(), magics), everything, "")
    add("format_3", {"worksheets": [{"cells": good["cells"]}], "nbformat": 3}, (), "format 3")
    add("not_utf8", json.dumps(good).encode("utf-16"), (), "UTF-8")
    add("not_json", "from numpy import *", (), "not JSON")
    add("deep", "[" * 10**6, (), "not JSON")
    add("a_list", "[]", (), "no cells")
    add("empty_file", "", (), "not JSON")
    add("huge_file", b" " * (11 * 2**20), (), "larger than")
    (add("missing_file", None, (), "no ps1_bptt.ipynb") / NAME).mkdir(parents=True)
    (add("missing_folder", None, (), "cannot be opened")).mkdir()
    (root / "submitted" / "missing_folder" / NAME).write_text("a file in place of the folder")
    for student in ("linked_file", "linked_folder", "pipe"):
        (root / "submitted" / student).mkdir()
    folder = root / "submitted" / "honest" / NAME
    (root / "submitted" / "linked_file" / NAME).mkdir()
    (root / "submitted" / "linked_file" / NAME / f"{NAME}.ipynb").symlink_to(folder / f"{NAME}.ipynb")
    (root / "submitted" / "linked_folder" / NAME).symlink_to(folder)
    (root / "submitted" / "linked_student").symlink_to(folder.parent)
    (root / "submitted" / "pipe" / NAME).mkdir()
    os.mkfifo(root / "submitted" / "pipe" / NAME / f"{NAME}.ipynb")
    expected |= {s: (set(), "symbolic link") for s in ("linked_file", "linked_folder", "linked_student")}
    expected["pipe"] = set(), "not an ordinary file"
    script = (
        "<script>alert(1)</script> ![x](http://evil.invalid/x.png) $\\href{javascript:alert(1)}{x}$ [y](javascript:z)"
    )
    add("script_in_answer", notebook_of(release(), right | {"derivation-answer": script}), everything, "")
    add('=HYPERLINK("evil.invalid")', good, everything, "")
    add("<b>,\"quoted'", good, everything, "")
    return expected


class Listener(BaseHTTPRequestHandler):
    """A server of this machine that counts who reached it."""

    reached = 0

    def setup(self):
        type(self).reached += 1
        super().setup()

    def log_message(self, *_):
        """Keep quiet."""


def attacks_asked_for(items) -> list:
    """Return the attacks that this run tests: those of its tier."""
    asked = {item.callspec.params.get("student") for item in items if hasattr(item, "callspec")}
    return [attack for attack in CODES if attack.name in asked or not attack.like]


@pytest.fixture(scope="module")
def course(request, tmp_path_factory):
    """Grade honest, hostile and broken submissions together, and say what each should have."""
    needs_sandbox()
    root = new_course(tmp_path_factory.mktemp("hostile"))
    right = right_answers(NAME) | {"derivation-answer": "By the chain rule."}
    server = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    expected = {}
    for student in ("honest", "zoe"):
        hand_in(root, student, notebook_of(release(), right))
        expected[student] = set(TESTS), ""
    faults = packed(FAULTS)["wrong1"]
    partly = right | {fault.cell: fault.plant(right[fault.cell]) for fault in faults}
    hand_in(root, "partly", notebook_of(release(), partly))
    expected["partly"] = set(TESTS) - {test for fault in faults for test in fault.loses}, "expected"
    for attack in attacks_asked_for(request.session.items):
        code = attack.code.replace("COURSE", str(root)).replace("PORT", str(server.server_port)).replace("MARK", SLEEP)
        answers = (right if attack.rest else stubs(NAME)) | {"step-solution": code}
        hand_in(root, attack.name, notebook_of(release(), answers))
        earns = (set(TESTS) - STEP if attack.rest else set()) | (STEP if attack.keeps_step else set())
        expected[attack.name] = earns, attack.told
    expected |= broken_submissions(root, right)
    before = {path: path.read_bytes() for path in root.rglob("*.ipynb") if path.is_file() and "pipe" not in path.parts}
    done = grade(root)
    server.shutdown()
    assert done.returncode == 0, done.stderr[-3000:]
    return {"root": root, "expected": expected, "done": done, "before": before, "marks": marks(root)}


@pytest.mark.parametrize("student", STUDENTS)
def test_attack_earns_only_what_is_right(course, student):
    assert earned(course["marks"][student]) == course["expected"][student][0]


def test_broken_submissions_earn_only_what_is_right(course):
    broken = set(course["expected"]) - set(ATTACKS)
    assert len(broken) > 20
    found = {student: earned(course["marks"][student]) for student in broken}
    assert found == {student: course["expected"][student][0] for student in broken}


def test_each_gets_a_message(course):
    told = {student: told for student, (_, told) in course["expected"].items() if told}
    assert len(told) > len(set(course["expected"]) & set(ATTACKS)) + 5
    pages = {student: html.unescape(page(course["root"], student)) for student in told}
    assert {student: text for student, text in told.items() if text not in pages[student]} == {}


def test_everybody_is_in_the_csv_once(course):
    with (course["root"] / "grades.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["student", "assignment", "points", "max_points"]
    points = {row["student"].removeprefix("'"): float(row["points"]) for row in rows}
    assert len(rows) == len(points)
    assert points == {s: sum(TESTS[cell] for cell in earns) for s, (earns, _) in course["expected"].items()}
    assert {row["student"][0] for row in rows} & set("=+-@") == set()


def test_gradebook_is_whole_and_submissions_are_untouched(course):
    with sqlite3.connect(course["root"] / "gradebook.db") as book:
        assert book.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert book.execute("select count(*) from grade where manual_score is not null").fetchone() == (0,)
    assert {path: path.read_bytes() for path in course["before"]} == course["before"]


def test_nothing_was_reached_and_nothing_runs_on(course):
    assert Listener.reached == 0
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)]
    assert [command for command in commands if SLEEP.encode() in command] == []


def readable(path):
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def test_pages_show_no_hidden_test_and_run_nothing(course):
    everything = "\n".join(cell.source for cell in problem_set(NAME).cells)
    hidden = re.findall(r"### BEGIN HIDDEN TESTS(.*?)### END", everything, re.DOTALL)
    visible = re.sub(r"### BEGIN HIDDEN TESTS(.*?)### END", "", everything, flags=re.DOTALL)
    secrets = {line.strip() for part in hidden for line in part.splitlines() if len(line.strip()) > 30}
    secrets = {line for line in secrets if line not in visible}
    assert len(secrets) > 20
    for student in course["expected"]:
        text = page(course["root"], student)
        assert len(text) < 200_000
        assert "<script" not in text and "src='http" not in text and 'src="http' not in text
        graded = (course["root"] / "autograded" / student / NAME / f"{NAME}.ipynb").read_text()
        sources = "\n".join("".join(cell["source"]) for cell in json.loads(graded)["cells"])
        assert [line for line in secrets if line in html.unescape(text) + sources] == []
    marked = json.loads((course["root"] / "autograded/script_in_answer" / NAME / f"{NAME}.ipynb").read_text())
    answer = "".join(cell_named(marked, "derivation-answer")["source"])
    assert "alert(1)" in answer
    assert not re.search(r"<\w|!\[|javascript:|\\href", answer)


def test_nobody_sees_the_work_of_others(course):
    for student in course["expected"]:
        others = [other for other in ("partly", "reads_another_student") if other != student]
        text = page(course["root"], student)
        assert [other for other in others if other in text] == []


def test_the_summary_names_who_to_look_at(course):
    assert "to look at:" in course["done"].stdout
    assert "linked_file: Nothing could be graded" in course["done"].stdout

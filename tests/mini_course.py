"""A course with a problem set that is graded in a blink, for tests of what happens around the grading."""

import contextlib
import functools
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import nbgrader.api

from grading.__main__ import main

# nbgrader starts a program for it at each new gradebook.
nbgrader.api.get_alembic_version = functools.cache(nbgrader.api.get_alembic_version)

ROOT = Path(__file__).resolve().parents[1]
NAME = "mini"
SOURCE = [  # (type, grade_id, marks, points, source)
    ("markdown", "head", {"locked": True}, None, "# A small problem set"),
    ("code", "student-id", {}, None, 'STUDENT_ID = "your-id"'),
    (
        "code",
        "given-tools",
        {"locked": True},
        None,
        "import hashlib\n\nimport numpy as np\n\n\ndef personal(name):\n"
        "    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 1000\n\n\n"
        "def check(got, expected):\n    got = np.asarray(got, dtype=float)\n"
        "    fits = got.shape == np.shape(expected) and np.allclose(got, expected)\n"
        "    assert fits, f'expected {expected}, got {got}'\n",
    ),
    (
        "code",
        "references",
        {"grade": True, "locked": True},
        0,
        "### BEGIN HIDDEN TESTS\nSECRET = np.array([1.0, 4.0, 9.0])\n### END HIDDEN TESTS",
    ),
    (
        "code",
        "square-solution",
        {"solution": True},
        None,
        "def square(x):\n    ### BEGIN SOLUTION\n    return x**2\n    ### END SOLUTION",
    ),
    ("code", "square-visible-test", {"grade": True, "locked": True}, 1, "check(square(np.array([2.0])), [4.0])"),
    (
        "code",
        "square-hidden-test",
        {"grade": True, "locked": True},
        2,
        "### BEGIN HIDDEN TESTS\ncheck(square(np.array([1.0, 2.0, 3.0])), SECRET)\n### END HIDDEN TESTS",
    ),
    (
        "code",
        "answer-solution",
        {"solution": True},
        None,
        "### BEGIN SOLUTION\nanswer = personal(STUDENT_ID)\n### END SOLUTION",
    ),
    ("code", "answer-test", {"grade": True, "locked": True}, 1, "check(answer, personal(STUDENT_ID))"),
    (
        "code",
        "parts-test",
        {"grade": True, "locked": True},
        4,
        "sum(float(square(np.array(x))) == x**2 for x in (0.0, 1.0, 2.0, 3.0))",
    ),
    (
        "markdown",
        "why-answer",
        {"grade": True, "solution": True},
        5,
        "### BEGIN SOLUTION\nBecause.\n### END SOLUTION",
    ),
]
RIGHT = {
    "square-solution": "def square(x):\n    return x * x",
    "answer-solution": "answer = personal(STUDENT_ID)",
    "why-answer": "Because I say so.",
}


def notebook(cells=SOURCE) -> dict:
    """Return the source notebook, as JSON has it."""
    made = []
    for kind, name, marks, points, source in cells:
        mark = {"grade": False, "locked": False, "solution": False, "task": False, "schema_version": 3} | marks
        mark |= {"grade_id": name} | ({"points": points} if points is not None else {})
        metadata = {} if name == "student-id" else {"nbgrader": mark}
        cell = {"cell_type": kind, "id": name, "metadata": metadata, "source": source}
        made.append(cell | ({"outputs": [], "execution_count": None} if kind == "code" else {}))
    settings = {"call_seconds": 5, "total_seconds": 20}
    return {"cells": made, "metadata": {"grading": settings}, "nbformat": 4, "nbformat_minor": 5}


def new_course(root: Path, students=(), source=None) -> Path:
    """Make a course in which some students handed in right answers."""
    path = root / "source" / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(source or notebook()))
    for student in students:
        hand_in(root, student)
    return root


def hand_in(root: Path, student: str, **answers) -> Path:
    """Hand in the right answers but for some, given by the first word of their cell's name."""
    texts = {name: answers.get(name.partition("-")[0], right) for name, right in RIGHT.items()}
    made = notebook()
    for cell in made["cells"]:
        cell["source"] = texts.get(cell["id"], cell["source"])
    path = root / "submitted" / student / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made))
    return path


def command(root: Path, *more) -> dict:
    """Return what `subprocess` needs to run the grader on a course."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(root / "home")}
    words = [sys.executable, "-m", "grading", str(root), NAME, *more]
    return {"args": words, "cwd": ROOT, "env": environment, "text": True}


def grade(root: Path, *more) -> subprocess.CompletedProcess:
    """Grade a course to the end, in this process, where nbgrader is loaded already."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(root), NAME, *more])
    return subprocess.CompletedProcess([], status, out.getvalue(), err.getvalue())

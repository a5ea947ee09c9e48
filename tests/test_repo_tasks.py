"""tasks.py: one clear line for what a person can mend, and the commands that the tasks run."""

import ast
import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import tasks
from tools import environment, running

ROOT = Path(__file__).resolve().parents[1]


def one_line(text: str) -> str:
    """The only line of a text; fails if there are others, such as a traceback."""
    assert len(text.strip().splitlines()) == 1, text
    return text.strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def copy(tmp_path) -> Path:
    """What tasks.py needs of this repository, in a folder of its own."""
    for name in ("tasks.py", "Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "LICENSE-TEXT"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("tools", "rnnlab"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def ready(copy: Path, tools: dict[str, str]) -> None:
    """Give a copy an environment that counts as complete, whose tools are shell scripts."""
    bin_ = copy / ".venv" / "bin"
    bin_.mkdir(parents=True)
    for name, script in tools.items():
        (bin_ / name).write_text(f"#!/bin/sh\n{script}\n")
        (bin_ / name).chmod(0o755)
    code = "from tools import levels; levels.STAMP.write_text(levels.stamp('all'))"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True)


def call(copy: Path, *words: str, **variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "tasks.py", *words]
    return subprocess.run(command, cwd=copy, env=os.environ | variables, capture_output=True, text=True)


# ---------------------------------------------------------------- which Python


@pytest.mark.parametrize(
    "name",
    ["tasks.py", *(f"tools/{name}.py" for name in ("__init__", "running", "environment", "levels", "installing"))],
)
def test_an_old_python_can_parse_it(name):
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 7))
    annotations = [node.annotation for node in ast.walk(tree) if isinstance(node, ast.arg) and node.annotation]
    annotations += [node.returns for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.returns]
    late = [ast.unparse(note) for note in annotations if isinstance(note, ast.Subscript | ast.BinOp)]
    assert late == [], "evaluated when the file is loaded, before the version is checked"


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 13), (3, 14, 0)])
def test_another_python_is_refused_in_one_line(version):
    code = f"import sys, runpy; sys.version_info = {version}; sys.argv = ['tasks.py', 'book']; "
    code += "runpy.run_path('tasks.py', run_name='__main__')"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == ""
    assert "needs Python 3.11, 3.12 or 3.13, and this is " + ".".join(map(str, version)) in one_line(result.stderr)


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 13, 9)])
def test_a_python_in_the_range_is_accepted(version):
    environment.check_python(version)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize(
    "setting, line", [([], "No Python 3.11, 3.12 or 3.13 found"), (["PYTHON=python0"], "There is no python0")]
)
def test_make_without_a_fitting_python(tmp_path, setting, line):
    variables = {"PATH": str(tmp_path)}  # an empty folder
    command = [shutil.which("make"), "book", *setting]
    result = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    ours, by_make = result.stderr.strip().splitlines()
    assert result.returncode == 2 and line in ours and by_make.startswith("make:")


@pytest.fixture
def settings(monkeypatch):
    """No setting from outside, and none left behind."""
    for name in tasks.SETTINGS:
        monkeypatch.setenv(name, "")
    return monkeypatch


# ---------------------------------------------------------------- one line for each mishap


@pytest.mark.parametrize("task", ["book", "lab"])
def test_port_in_use(settings, capsys, task):
    settings.setattr(tasks, "make_environment", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert tasks.main([task, f"PORT={number}"]) == 2
    line = one_line(capsys.readouterr().err)
    assert f"port {number} is in use" in line and f"make {task} PORT={number + 1}" in line


@pytest.mark.parametrize("value", ["http", "0", "70000", "-1"])
def test_port_that_is_none(settings, capsys, value):
    assert tasks.main(["book", f"PORT={value}"]) == 2
    assert f"got PORT={value}" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "mishap, line", [(KeyboardInterrupt(), "Stopped."), (OSError(errno.ENOSPC, "No space left"), "the disk is full")]
)
def test_mishap_in_a_task(monkeypatch, capsys, mishap, line):
    def task(_):
        raise mishap

    monkeypatch.setitem(tasks.TASKS, "env", task)
    assert tasks.main(["env"]) == 2
    assert line in one_line(capsys.readouterr().err)


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setitem(tasks.TASKS, "env", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tasks.main(["env"])


@pytest.mark.parametrize("words", [[], ["--help"], ["bok"]])
def test_usage_names_every_task(capsys, words):
    assert tasks.main(words) == 2
    assert set(re.findall(r"^  ([\w-]+) ", capsys.readouterr().err, re.MULTILINE)) == set(tasks.TASKS)


# ---------------------------------------------------------------- the book


BUILDS = "mkdir -p book/_build/html && echo '<title>a page</title>' > book/_build/html/index.html && echo building $*"
FAILS = "echo 'WARNING: a broken link'; exit 1"


def python_that(builds: str, lessons: str = "exit 0") -> dict[str, str]:
    """A Python that runs lessons and builds the book by shell commands."""
    return {"python": f'case "$2" in tools.lessons) {lessons};; tools.book) {builds};; esac'}


def test_book_is_built_served_and_stopped(copy):
    ready(copy, python_that(BUILDS))
    number = free_port()
    server = subprocess.Popen(
        [sys.executable, "tasks.py", "book", f"PORT={number}"],
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout.readline() == "Writing the pages.\n"
        address = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())[0]
        assert address == f"http://127.0.0.1:{number}/"
        assert b"a page" in urllib.request.urlopen(address).read()
        server.send_signal(signal.SIGINT)
        out, err = server.communicate()
    finally:
        server.kill()
    assert (server.returncode, out.strip(), err) == (0, "Stopped.", "")
    log = (copy / "logs" / "html.log").read_text()
    assert log == "building -m tools.book build . --path-output book -n --keep-going\n"


def test_a_book_that_fails_is_not_served(copy):
    ready(copy, python_that(FAILS))
    result = call(copy, "book", PORT=str(free_port()))
    assert result.returncode == 1
    assert "logs/html.log" in result.stdout.splitlines()[-1] and "http://" not in result.stdout
    assert "a broken link" in result.stdout and "a broken link" in (copy / "logs" / "html.log").read_text()


def test_a_book_with_a_failed_lesson_is_served_and_the_last_line_names_it(copy):
    fails = "mkdir -p logs/lessons; echo error > logs/lessons/04_clipping.txt; exit 1"
    ready(copy, python_that(BUILDS, lessons=fails))
    result = call(copy, "html")
    last = result.stdout.splitlines()[-1]
    assert result.returncode == 1 and "04_clipping" in last and "logs/lessons/" in last
    assert (copy / "book" / "_build" / "html" / "index.html").exists()


def test_lessons_that_are_stopped_stop_the_build(copy):
    ready(copy, python_that(BUILDS, lessons="exit 130"))
    assert call(copy, "html").returncode == 130 and not (copy / "book" / "_build").exists()


def test_tools_run_on_one_thread_and_find_each_other():
    variables = running.tool_environment()
    assert variables["OMP_NUM_THREADS"] == variables["OPENBLAS_NUM_THREADS"] == "1"
    assert variables["PATH"].split(os.pathsep)[0] == str(running.BIN)


# ---------------------------------------------------------------- tests, checks, benchmarks


@pytest.fixture
def commands(monkeypatch, settings, tmp_path):
    """The commands that tasks would run, in a folder with one lesson."""
    ran = []
    monkeypatch.setattr(tasks, "make_environment", lambda *_: None)
    monkeypatch.setattr(tasks, "run", lambda *words, **_: ran.append([str(word) for word in words]) or 0)
    monkeypatch.setattr(tasks, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    return ran


def test_tests_are_joined_by_every_lesson(commands, tmp_path):
    for name in ("04_b.ipynb", "02_a.ipynb", "draft.ipynb"):
        (tmp_path / "notebooks" / name).touch()
    assert tasks.main(["test", "-k", "clip"]) == 0
    first, command = commands
    assert first[1:] == ["-m", "tools.lessons"]
    lessons = [str(tmp_path / "notebooks" / name) for name in ("02_a.ipynb", "04_b.ipynb")]
    assert command[-7:] == ["tests", "rnnlab", *lessons, "--tier=quick", "-k", "clip"]
    assert "--kept" in command and command[command.index("--dist") + 1] == "loadfile"


@pytest.mark.parametrize(("words", "last"), [([], "--tier=all"), (["--tier=rest"], "--tier=rest")])
def test_test_all_runs_every_tier_or_what_the_quick_one_leaves(commands, words, last):
    assert tasks.main(["test-all", *words]) == 0
    assert [word for word in commands[-1] if word.startswith("--tier")][-1] == last  # the last one counts


def test_named_tests_run_alone(commands):
    tasks.main(["test", "tests/test_cells.py::test_step", "-x"])
    assert "tests" not in commands[-1] and commands[-1][-2:] == ["tests/test_cells.py::test_step", "-x"]


def test_no_lessons_yet(commands, capsys):
    assert tasks.main(["test"]) == 0
    assert "No lessons" in capsys.readouterr().out


def notebook(*cells) -> str:
    return json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def cell(count, *outputs, source="1 + 1"):
    return {"cell_type": "code", "execution_count": count, "outputs": list(outputs), "source": source, "metadata": {}}


RESULT = {"output_type": "execute_result", "data": {"text/plain": "2"}, "execution_count": 1, "metadata": {}}
ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}


@pytest.mark.parametrize(
    "cells, fault",
    [
        ([cell(None)], "not run"),
        ([cell(2, RESULT), cell(1)], "not run from top to bottom"),
        ([cell(1), cell(2)], "without outputs"),
        ([cell(1, RESULT), cell(2, ERROR)], "ValueError: no"),
    ],
)
def test_check_finds_a_lesson_that_is_not_stored_as_run(commands, tmp_path, capsys, cells, fault):
    (tmp_path / "notebooks" / "02_a.ipynb").write_text(notebook(*cells))
    assert tasks.main(["check"]) == 1
    assert fault in capsys.readouterr().out and "02_a.ipynb" in "".join(tasks.lessons()[0].name)


def test_check_accepts_a_clean_lesson(commands, tmp_path):
    text = {"cell_type": "markdown", "source": "words", "metadata": {}}
    (tmp_path / "notebooks" / "02_a.ipynb").write_text(notebook(text, cell(1, RESULT), cell(None, source=""), cell(2)))
    assert tasks.main(["check"]) == 0
    assert [command[1] for command in commands] == ["check", "format"]


def test_clean_removes_products_and_nothing_else(copy):
    products = ["book/_build/html/a.html", "logs/html.log", "rnnlab/__pycache__/a.pyc"]
    kept = ["notebooks/coursework/submitted/ada/ps1.ipynb", "notebooks/coursework/gradebook.db", ".venv/complete"]
    for name in products + kept:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).touch()
    assert call(copy, "clean").returncode == 0
    assert [(copy / name).exists() for name in products + kept] == [False] * 3 + [True] * 3
    assert call(copy, "clean", "--all").returncode == 0
    assert [(copy / name).exists() for name in kept] == [True, True, False]


def test_benchmarks_by_name():
    result = subprocess.run([sys.executable, "benchmarks/run.py", "nothing"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert "no benchmark nothing; there are: bench_" in one_line(result.stderr)

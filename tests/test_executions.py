"""The store of executions: a lesson runs once per change, no foreign setting reaches it, nothing that ran is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from tools.lessons import pages, reach
from tools.lessons.executions import Execution

ROOT = Path(__file__).resolve().parents[1]


def write(path, *cells, text="# A lesson"):
    """Write a notebook of a title and code cells."""
    code = [nbformat.v4.new_code_cell(source, id=f"c{number}") for number, source in enumerate(cells)]
    title = nbformat.v4.new_markdown_cell(text, id="title")
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[title, *code]), path)
    return path


@pytest.fixture
def house(tmp_path):
    """A small repository: the tools, a module of two files, data, and a lesson that reads one of each."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "rnnlab").mkdir()
    (tmp_path / "rnnlab" / "__init__.py").write_text("from rnnlab.used import five\nfrom rnnlab.unused import six\n")
    (tmp_path / "rnnlab" / "threads.py").write_text("")
    (tmp_path / "rnnlab" / "used.py").write_text("def five():\n    return 5\n")
    (tmp_path / "rnnlab" / "unused.py").write_text("def six():\n    return 6\n")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "data.json").write_text("[1]")
    write(tmp_path / "notebooks" / "01_first.ipynb", *CELLS)
    return tmp_path


COUNT = "import pathlib; runs = pathlib.Path('../logs/runs'); runs.parent.mkdir(exist_ok=True)\n"
COUNT += "runs.open('a').write('.')\nimport rnnlab as rl; import json"
CELLS = (COUNT, "print(rl.five())", "data = json.loads(open('data.json').read()); data")


def run(house, *words, **variables):
    """Run what has changed, and return the finished process."""
    command = [sys.executable, "-m", "tools.lessons", *words]
    environment = os.environ | {"PYTHONPATH": ""} | variables
    environment.pop("RNNLAB_LESSONS", None)
    return subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True)


def runs(house):
    """Return how often the lesson has run."""
    return len((house / "logs" / "runs").read_text())


def newest(house, stem="01_first"):
    """Return the newest execution of a lesson."""
    file = max((house / ".lessons" / stem).glob("*/manifest.json"), key=lambda path: path.stat().st_mtime_ns)
    return Execution(file.parent, json.loads(file.read_text()))


def printed(execution):
    """Return what the cells of an execution put out, as text."""
    outputs = [output for cell in execution.notebook().cells for output in cell.get("outputs", [])]
    return [output.get("text") or output.get("data", {}).get("text/plain") for output in outputs]


# ---------------------------------------------------------------- once per change


def test_a_lesson_runs_once_and_again_only_when_something_that_it_reaches_has_changed(house):
    lesson, used, unused = (
        house / "notebooks" / "01_first.ipynb",
        *(house / "rnnlab" / f"{name}.py" for name in ("used", "unused")),
    )
    first = run(house)
    assert first.returncode == 0 and "1 of 1" in first.stdout and "01_first" in first.stdout
    assert printed(newest(house)) == ["5\n", "[1]"]

    write(lesson, *CELLS, text="# Other words")
    unused.write_text("def six():\n    return 66\n")
    assert run(house).stdout == "" and runs(house) == 1, "neither its text nor a file that it does not reach"

    used.write_text("def five():\n    return 55\n")
    run(house)
    assert runs(house) == 2 and printed(newest(house))[0] == "55\n"
    (house / "notebooks" / "data.json").write_text("[2]")
    run(house)
    assert runs(house) == 3 and printed(newest(house))[1] == "[2]"
    write(lesson, *CELLS, "1 + 1")
    run(house)
    assert runs(house) == 4 and printed(newest(house))[2] == "2"

    used.write_text("def five():\n    return 5\n")
    write(lesson, *CELLS)
    (house / "notebooks" / "data.json").write_text("[1]")
    assert run(house).stdout == "" and runs(house) == 4, "as it was at first, which is kept"


def test_variables_functions_and_glue_are_kept(house):
    imports = "from functools import cache\nfrom myst_nb import glue"
    function = "@cache\ndef double(n): return 2 * n + shift"
    cells = (imports, function, "shift = 1; double(3); glue('seven', 7); broken = (n for n in [1])")
    write(house / "notebooks" / "01_first.ipynb", *cells)
    run(house)
    found = newest(house)
    kept = found.kept()
    assert kept["glued"] == {"seven": 7} and kept["variables"]["double"](5) == 11
    assert "generator" in found.not_kept()["broken"] and "broken" not in kept["variables"]


def test_a_name_leads_to_the_file_that_defines_it():
    names = {file.name for file in reach.reached("import rnnlab as rl\nrl.ClipNorm(1.0)")}
    assert "clipping.py" in names and not names & {"ctc.py", "lstm.py", "tasks.py", "__init__.py"}
    everything = {file.name for file in reach.reached("import rnnlab as rl\nprint(dir(rl))")}
    assert everything > names | {"lstm.py", "tasks.py"}
    assert {"datasets.py", "data_series.py"} <= {file.name for file in reach.reached("from rnnlab import datasets")}


def files_that_run(source):
    """Return the files of rnnlab in which a function runs while a source is executed."""
    code = "import sys, rnnlab  # the bodies of its classes are no functions that run\nran = set()\n"
    code += "sys.settrace(lambda frame, *_: ran.add(frame.f_code.co_filename) if frame.f_code.co_name != '<module>'"
    code += " else None)\n" + source + "\nsys.settrace(None)\nprint(*sorted(ran), sep='\\n')"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {Path(line) for line in result.stdout.splitlines() if Path(line).parent == ROOT / "rnnlab"}


TRAINING = """
import rnnlab as rl
model = rl.Model(rl.LSTMCell(2, 3), output_size=1, loss=rl.squared_error)
history = rl.train(model, rl.Adding(5), rl.Adam(0.01), rl.ClipNorm(1.0), updates=3, schedule=rl.WarmUp(2))
"""


def test_whatever_runs_is_within_reach():
    ran = files_that_run(TRAINING)
    assert len(ran) > 8 and not ran - set(reach.reached(TRAINING)) - {ROOT / "rnnlab" / "__init__.py"}


def test_the_comparison_would_notice_a_file_out_of_reach():
    assert files_that_run(TRAINING) - set(reach.reached("import rnnlab as rl\nrl.ClipNorm(1.0)"))


# ---------------------------------------------------------------- what fails, and what is stopped


def test_a_failed_lesson_is_reported_and_tried_again(house):
    lesson = write(house / "notebooks" / "01_first.ipynb", "open('fail').read()", "print('the end')")
    (house / "notebooks" / "fail").write_text("")
    assert run(house).returncode == 0
    write(lesson, "import os; os.environ['HOPE']", "print('the end')")
    failed = run(house)
    assert failed.returncode == 1 and "FAILED: see logs/lessons/01_first.txt" in failed.stdout
    assert "KeyError" in (house / "logs" / "lessons" / "01_first.txt").read_text()
    assert printed(newest(house))[-1] == "the end\n", "the cells after it have run"
    assert run(house).returncode == 1, "nothing has changed, but it may have been want of memory"
    assert run(house, HOPE="1").returncode == 0 and not (house / "logs" / "lessons" / "01_first.txt").exists()


def test_a_kernel_that_dies_is_a_failed_lesson(house):
    write(
        house / "notebooks" / "01_first.ipynb", "import os, sys; print('last words', file=sys.__stderr__); os._exit(3)"
    )
    died = run(house)
    assert died.returncode == 1 and "Traceback" not in died.stderr
    assert "DeadKernelError" in newest(house).errors[0]


def test_ctrl_c_loses_nothing_that_had_run(house):
    write(house / "notebooks" / "02_slow.ipynb", "import time; time.sleep(600)")
    environment = os.environ | {"PYTHONPATH": ""}
    command = [sys.executable, "-u", "-m", "tools.lessons"]
    process = subprocess.Popen(command, cwd=house, env=environment, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "01_first" in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(30) == 130 and "Stopped" in rest
    assert "Running 1 of 2 lessons" in stopped_again(house, command, environment)


def stopped_again(house, command, environment):
    """Begin again, and return the first line."""
    process = subprocess.Popen(command, cwd=house, env=environment, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.wait(30)
    return line


def execution_of(path, folder, errors=()):
    """Keep a notebook as if it had run, and return the execution."""
    folder.mkdir(parents=True)
    shutil.copy(path, folder / "notebook.ipynb")
    manifest = {"errors": list(errors), "seconds": [0], "made": time.time()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Execution(folder, manifest)


def test_a_failed_lesson_is_shown_as_it_last_ran_or_as_it_is_stored(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLAB_LESSONS", str(tmp_path / "store"))
    lesson = write(tmp_path / "01_first.ipynb", "1 / 0", text="# Of now")
    failed = execution_of(lesson, tmp_path / "store" / "01_first" / "b", ["ZeroDivisionError: <b>"])
    shown = pages.page(lesson, failed)
    assert pages.STORED in shown and "# Of now" in shown and "&lt;b&gt;" in shown
    execution_of(write(tmp_path / "good.ipynb", "1", text="# Of before"), tmp_path / "store" / "01_first" / "a")
    shown = pages.page(lesson, failed)
    assert pages.LAST in shown and "# Of before" in shown and "# Of now" not in shown


# ---------------------------------------------------------------- settings of others


@pytest.fixture
def poisoned(tmp_path):
    """Variables that lead to settings and caches, each of which would show in a lesson."""
    home = tmp_path / "home"
    files = {
        "path/sitecustomize.py": "import sys; print('poison: sitecustomize', file=sys.stderr)",
        "ipython/profile_default/startup/00.py": "print('poison: IPython')",
        "ipython/profile_default/ipython_config.py": "c.InteractiveShellApp.exec_lines = ['print(\"poison: lines\")']",
        "jupyter/jupyter_config.py": "raise RuntimeError('poison: Jupyter')",
        "data/kernels/python3/kernel.json": '{"argv": ["false"], "display_name": "poison", "language": "python"}',
        "matplotlib/matplotlibrc": "figure.figsize: poison",
        "matplotlib/fontlist-v390.json": "poison",
        ".ipython/profile_default/startup/00.py": "print('poison: home')",
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    names = {"HOME": "", "PYTHONPATH": "path", "IPYTHONDIR": "ipython", "JUPYTER_CONFIG_DIR": "jupyter"}
    names |= {"JUPYTER_PATH": "data", "JUPYTER_DATA_DIR": "data", "MPLCONFIGDIR": "matplotlib"}
    return {name: str(home / folder) for name, folder in names.items()} | {"PYTHONWARNINGS": "error"}


def test_settings_and_caches_of_others_reach_no_lesson(house, poisoned):
    write(house / "notebooks" / "01_first.ipynb", "import matplotlib.pyplot as plt", "plt.plot([1, 2]); print('drawn')")
    clean = run(house)
    before = printed(newest(house))
    shutil.rmtree(house / ".lessons" / "01_first")
    dirty = run(house, **poisoned)
    assert (clean.returncode, dirty.returncode) == (0, 0) and "poison" not in dirty.stdout
    after = newest(house)
    assert "drawn\n" in before and len(before) == len(printed(after))
    assert "drawn\n" in printed(after) and "poison" not in json.dumps(after.notebook())


def test_the_poison_would_show(house, poisoned):
    code = "import matplotlib.pyplot"
    result = subprocess.run([sys.executable, "-c", code], env=os.environ | poisoned, capture_output=True, text=True)
    assert "poison" in result.stderr


# ---------------------------------------------------------------- nbval judges


@pytest.mark.parametrize("stored, failures", [("5\n", 0), ("6\n", 1)])
def test_nbval_compares_a_kept_execution_with_what_is_stored(tmp_path, stored, failures):
    lesson = write(tmp_path / "01_first.ipynb", "print(5)", "x = 1")
    notebook = nbformat.read(lesson, 4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=stored)]
    notebook.cells[1].execution_count, notebook.cells[2].execution_count = 1, 2
    nbformat.write(notebook, lesson)
    command = [sys.executable, "-m", "pytest", "-p", "tests.replay", "--kept", "-q", "-p", "no:cacheprovider", lesson]
    environment = os.environ | {"RNNLAB_LESSONS": str(tmp_path / "store"), "PYTEST_ADDOPTS": ""}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert f"{2 - failures} passed" in result.stdout, result.stdout
    assert ("Cell outputs differ" in result.stdout) == bool(failures)

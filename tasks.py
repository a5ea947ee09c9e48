"""Run the errands of this repository: python tasks.py TASK [NAME=value ...] [arguments for the tool].

Settings, as NAME=value or as environment variables: PORT (book, lab); STRICT=1 (book, html), for which a warning is an
error; COURSE, ASSIGNMENT and FORCE=1 (grade); FOR, the level of the environment (env): read, test or all; TORCH_INDEX,
a package index to take torch from; INSTALLER, pip or uv; VERSIONS, one of locked (constraints.txt, the default), pinned
(pyproject.toml alone) or newest.

Standard library only. This file and tools/ must parse on Pythons too old for the rest (3.6 and later), to say so: they
use nothing newer before `check_python` has passed, no `list[str]` and no `tomllib` at the top.
"""

import errno
import json
import os
import re
import shutil
import sys
from pathlib import Path

from tools.environment import check_python, make_environment
from tools.lessons.places import surroundings
from tools.levels import asked
from tools.running import BIN, ENV, PYTHON, ROOT, Failure, run, say

LOGS = ROOT / "logs"
SITE = ROOT / "book" / "_build" / "html"
SETTINGS = ("PORT", "COURSE", "ASSIGNMENT", "FORCE", "FOR", "STRICT", "TORCH_INDEX", "INSTALLER", "VERSIONS")
PRODUCTS = ("book/_build", ".lessons", "logs", "build", "rnnlab.egg-info")
PRODUCTS += (".pytest_cache", ".ruff_cache", ".hypothesis")


def lessons() -> list:
    """Return the lesson notebooks, in order."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def port(default: int) -> int:
    """Return the PORT setting, checked."""
    value = os.environ.get("PORT") or str(default)
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise Failure(f"expected PORT to be a number from 1 to 65535, got PORT={value}")
    return int(value)


def claim(number: int, task: str):
    """Return a server of the built book that already holds its port."""
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Handler(SimpleHTTPRequestHandler):
        extensions_map = dict(SimpleHTTPRequestHandler.extensions_map, **{".js": "text/javascript"})

        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=str(SITE), **kwargs)

        def log_message(self, *_):
            """Keep quiet: the terminal shows the address, not each file."""

    class Server(ThreadingHTTPServer):
        allow_reuse_address = os.name != "nt"  # on Windows it would let two servers share the port

    try:
        return Server(("127.0.0.1", number), Handler)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise Failure(f"port {number} is in use: choose another, as in `make {task} PORT={number + 1}`") from None


def env(_: list) -> int:
    """Make .venv for readers, or FOR=test, FOR=all (the other tasks do first what they need)."""
    make_environment(asked())
    say(f"The environment is ready: {PYTHON.relative_to(ROOT)}")
    return 0


def html(arguments: list) -> int:
    """Build the book into book/_build/html (STRICT=1: a warning is an error)."""
    make_environment()
    log = LOGS / "html.log"
    log.unlink(missing_ok=True)
    own = surroundings()
    ran = run(PYTHON, "-m", "tools.lessons", variables=own)  # a failed lesson is shown with a notice
    if ran not in (0, 1):
        return ran
    strict = ["-W"] if os.environ.get("STRICT") not in (None, "", "0") else []
    say("Writing the pages.")
    options = ["--path-output", "book", *strict, "-n", "--keep-going"]  # all warnings are shown
    command = [PYTHON, "-m", "tools.book", "build", ".", *options, *arguments]
    status = run(*command, log=log, show=say_warning, variables=own)
    if status:
        say("The book was not built: see logs/html.log.")
    elif ran:
        failed = sorted(path.stem for path in (LOGS / "lessons").glob("*.txt"))
        say(f"The book is built, but in {', '.join(failed)} a cell failed: see logs/lessons/.")
    return status or ran


def say_warning(line: str) -> None:
    """Show of Sphinx's lines what is wrong; all of them are in the log."""
    if re.search(r"\b(WARNING|ERROR|CRITICAL)\b|^\w*(Error|Exception)\b", line):
        say(line)


def book(arguments: list) -> int:
    """Build the book and serve it on this machine (PORT=8000)."""
    with claim(port(8000), "book") as server:  # first, so that a port in use is known before the wait
        status = html(arguments)
        if not (SITE / "index.html").exists():
            return status
        try:
            say(f"The book is at http://127.0.0.1:{server.server_port}/ (Ctrl-C stops it)")
            server.serve_forever()
        except KeyboardInterrupt:
            say("\nStopped.")
    return status


def test(arguments: list) -> int:
    """Run every kind of test, in minutes; arguments go to pytest, as in: test -k clip."""
    return run_tests("test", ["--tier=quick", *arguments])


def test_all(arguments: list) -> int:
    """Run every test there is: what CI runs each week."""
    return run_tests("all", ["--tier=all", *arguments])


def run_tests(level: str, arguments: list) -> int:
    """Run pytest with nbval over the tests, the module's examples and the lessons, or over what the arguments name."""
    make_environment(level)
    targets = ["tests", "rnnlab", *lessons()]
    if any(re.search(r"\.(py|ipynb)(::|$)", word) for word in arguments):
        targets = []
    elif not lessons():
        say("No lessons in notebooks/ yet: nbval has nothing to run.")
    kept = ["-p", "tests.replay", "--kept", "--nbval-sanitize-with", "tests/nbval.cfg"]
    own = surroundings()
    run(PYTHON, "-m", "tools.lessons", variables=own)  # two at once, a line for each; a failed one fails its tests
    # One worker per file: tests/conftest.py says in which order. Three workers on two cores, because browsers, kernels
    # and nbgrader make a worker wait for nearly half of its time.
    workers = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
    return run(PYTHON, "-m", "pytest", *workers, *kept, *targets, *arguments, variables=own)


def lab(arguments: list) -> int:
    """Open JupyterLab on the notebooks (PORT=8888)."""
    make_environment()
    number = port(8888)
    claim(number, "lab").server_close()
    options = [f"--ServerApp.port={number}", "--ServerApp.ip=127.0.0.1", "--ServerApp.root_dir=notebooks"]
    options += ["--ServerApp.answer_yes=True"]  # Ctrl-C ends it without a question
    options += ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options += ["--allow-root"]  # in a container
    try:
        return run(BIN / "jupyter-lab", *options, *arguments)
    except KeyboardInterrupt:
        say("\nStopped.")
        return 0


def grade(arguments: list) -> int:
    """Grade what was handed in: COURSE=folder ASSIGNMENT=name; FORCE=1 grades again what has not changed."""
    course, assignment = os.environ.get("COURSE"), os.environ.get("ASSIGNMENT")
    if not course or not assignment:
        raise Failure(
            "name the course's folder and the problem set: make grade COURSE=path/to/course ASSIGNMENT=ps1_bptt"
        )
    make_environment("test")
    force = ["--force"] if os.environ.get("FORCE") not in (None, "", "0") else []
    return run(PYTHON, "-m", "grading", Path(course).resolve(), assignment, *force, *arguments)


def bench(arguments: list) -> int:
    """Measure, and print the figures; arguments name single benchmarks."""
    make_environment("all")
    return run(PYTHON, "benchmarks/run.py", *arguments)


def notebook_faults(path: Path) -> list:
    """Say what keeps a stored lesson from being a clean run from top to bottom, with its outputs."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    faults = []
    if [cell["execution_count"] for cell in code] != list(range(1, len(code) + 1)):
        faults.append("not run from top to bottom: in JupyterLab, Restart Kernel and Run All Cells, then save")
    if not any(cell["outputs"] for cell in code):
        faults.append("stored without outputs")
    errors = [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    faults += [f"stored with an error: {error['ename']}: {error['evalue']}" for error in errors]
    return faults


def check(_: list) -> int:
    """Check style and format of code and notebooks, and that lessons are stored as run."""
    make_environment("test")
    status = run(BIN / "ruff", "check", ".") | run(BIN / "ruff", "format", "--check", ".")
    faults = [f"{path.name}: {fault}" for path in lessons() for fault in notebook_faults(path)]
    for line in faults:
        say(line)
    return int(bool(status or faults))


def clean(arguments: list) -> int:
    """Remove what was built; with --all the environment too."""
    paths = [ROOT / name for name in PRODUCTS] + ([ENV] if "--all" in arguments else [])
    for folder in ("rnnlab", "tests", "benchmarks", "book", "notebooks"):
        paths += (ROOT / folder).rglob("__pycache__")
        paths += (ROOT / folder).rglob(".ipynb_checkpoints")
    for path in paths:
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(str(path))
    return 0


TASKS = {
    task.__name__.replace("_", "-"): task for task in (env, book, html, test, test_all, lab, grade, bench, check, clean)
}


def usage() -> str:
    """Return what `python tasks.py` prints."""
    lines = [f"  {name:8} {task.__doc__}" for name, task in TASKS.items()]
    return "\n".join(["python tasks.py TASK [NAME=value ...] [arguments for the tool]", *lines])


def main(words: list) -> int:
    """Run one task; return its exit status, 2 with one line for what the person at the keyboard can mend."""
    try:
        check_python()
        if not words or words[0] not in TASKS:
            raise Failure(usage())
        arguments = []
        for word in words[1:]:
            name, equals, value = word.partition("=")
            if equals and name in SETTINGS:
                os.environ[name] = value
            else:
                arguments.append(word)
        return TASKS[words[0]](arguments)
    except Failure as failure:
        print(failure, file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"the disk is full: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

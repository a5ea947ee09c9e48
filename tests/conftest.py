"""What the tests of the book share: one build of it, a server for it, and a watched browser."""

import contextlib
import functools
import http.server
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

# Before anything imports NumPy: at the sizes of this project a second BLAS thread costs more than it brings.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# The first import of Keras in a process fixes its backend, whichever test that is.
os.environ.setdefault("KERAS_BACKEND", "torch")

# Some tests send Ctrl-C, which the background jobs of a shell ignore, and with them what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402

import chance  # noqa: E402
import tiers  # noqa: E402
from browsing import (  # noqa: E402, F401
    browser,
    chosen,
    look,
    look_from_disk,
    look_without_scripts,
    page,
    tab,
    watch,
)
from sharing import once  # noqa: E402
from tools.lessons.places import settings, surroundings  # noqa: E402

# The fonts that lessons were drawn with: another list of fonts sets text otherwise, and moves the axes.
os.environ["MPLCONFIGDIR"] = str(settings() / "matplotlib")

ROOT = Path(__file__).resolve().parents[1]


# ---------------------------------------------------------------- who runs what

# What takes minutes begins first, so that no worker is left alone with it at the end.
LONGEST = (
    "test_classroom",
    "test_browser_lab",
    "test_grading_hostile",
    "test_coursework",
    "test_grading_classes",
    "test_book",
    "test_repo_tasks",
    "test_store",
)


# What looks at pages of the built book comes last: it is built by then, and many small groups fill the gaps at the end.
LAST = ("test_browser_axe", "test_browser_book", "test_browser_explorables")


def group(nodeid: str) -> str:
    """Return what the tests that one worker runs have in common: a page of the book, a lesson, or else their file."""
    file, _, test = nodeid.partition("::")
    case = re.search(r"\[(.+)\]$", test)
    if case and Path(file).stem in LAST:
        return f"page {case[1]}"
    return f"{file} {case[1]}" if case and Path(file).stem == "test_lesson_explorables" else file


def pytest_addoption(parser):
    """Let `--tier=quick` leave what `make test-all` adds."""
    tiers.add_option(parser)


def pytest_configure(config):
    """Make the marks of the tiers known, and the random draws those of this day."""
    tiers.register(config)
    config.pluginmanager.register(chance, "chance")


@pytest.hookimpl(optionalhook=True)  # there may be no xdist
def pytest_testnodedown(node, error):
    """Take over from a worker what it left: all of them left the same."""
    left = getattr(node, "workeroutput", {}).get("left", {})
    node.config.stash[tiers.LEFT] = tiers.Counter(left) or node.config.stash.get(tiers.LEFT, tiers.Counter())


def pytest_terminal_summary(terminalreporter, config):
    """Say at the end what was left to `make test-all`."""
    tiers.tell(terminalreporter, config.stash.get(tiers.LEFT, tiers.Counter()))


def pytest_collection_modifyitems(config, items):
    """Put the longest first, the pages of the book last, and the tests of a group together."""
    tiers.leave(config, items)
    first = {}
    for number, item in enumerate(items):
        first.setdefault(group(item.nodeid), number)

    def order(item):
        file = item.path.stem
        rank = LONGEST.index(file) if file in LONGEST else len(LONGEST) + (file in LAST)
        return rank, first[group(item.nodeid)]

    items.sort(key=order)


@pytest.hookimpl(optionalhook=True)  # there may be no xdist
def pytest_xdist_make_scheduler(config, log):
    """Give each group to one worker."""
    from xdist.scheduler import LoadFileScheduling

    class ByGroup(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return group(nodeid)

    return ByGroup(config, log) if config.getvalue("dist") == "loadfile" else None


# ---------------------------------------------------------------- the built book


def run_jupyter_book(folder: Path, strict: bool = True) -> subprocess.CompletedProcess:
    """Build the book of a folder as `make html STRICT=1` does: into book/_build, with warnings as errors."""
    command = [sys.executable, "-m", "tools.book", "build", ".", "--path-output", "book"]
    return subprocess.run(
        [*command, *["-W"] * strict, "-n", "--keep-going"],
        cwd=folder,
        env=surroundings(PYTHONPATH=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


@pytest.fixture(scope="session")
def build_book():
    """The function that builds the book of a given folder and returns the finished process."""
    return run_jupyter_book


@pytest.fixture(scope="session")
def built_book(tmp_path_factory) -> Path:
    """The folder of the built pages. One worker builds, the others wait and use the same result.

    Set RNNLAB_BOOK_HTML to test a book that is built already.
    """
    if ready := os.environ.get("RNNLAB_BOOK_HTML"):
        return Path(ready).resolve()
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with FileLock(shared / "book.lock"):
        failure = shared / "book-failed.txt"
        if not (shared / "book-done").exists():
            build = run_jupyter_book(ROOT)
            failure.write_text(build.stdout if build.returncode else "", encoding="utf-8")
            (shared / "book-done").touch()
    if log := failure.read_text(encoding="utf-8"):
        pytest.fail(f"the book does not build:\n{log[-6000:]}", pytrace=False)
    return ROOT / "book" / "_build" / "html"


@pytest.fixture(scope="session")
def load_data(tmp_path_factory):
    """The function that loads a data set by name, for tests that only read it: once in a run."""
    from rnnlab import datasets

    return lambda name: once(tmp_path_factory, f"data-{name}", lambda: datasets.load(name))


# ---------------------------------------------------------------- a server


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serve files and keep the test output clean."""

    def log_message(self, *args):
        """Say nothing."""


@contextlib.contextmanager
def serving(folder: Path):
    """Serve a folder on a free port of this machine and yield its address."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def server(built_book):
    """The address at which the built book is served."""
    with serving(built_book) as address:
        yield address

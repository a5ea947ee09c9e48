"""What the tests of the book share: one build of it, a server for it, and a watched browser."""

import contextlib
import functools
import http.server
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
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
from sharing import once  # noqa: E402
from tools.lessons.places import surroundings  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# ---------------------------------------------------------------- who runs what

# What takes minutes begins first, so that no worker is left alone with it at the end.
LONGEST = (
    "test_browser_book",
    "test_classroom",
    "test_browser_lab",
    "test_grading_hostile",
    "test_coursework",
    "test_grading_classes",
    "test_book",
    "test_repo_tasks",
    "test_store",
)


def shared_by(nodeid: str) -> str:
    """Return the file whose worker runs a test: its own, or that of the lesson it looks at, which has run there."""
    looks = r"tests/test_(?:lesson_explorables|browser_book)\.py::.*\[(?:notebooks/)?(\d\d)_(?:[a-z]+_([a-d])_)?"
    of_lesson = re.match(looks, nodeid)  # 17_language_b_translation is the lesson 17b
    return f"tests/test_lesson_{of_lesson[1]}{of_lesson[2] or ''}.py" if of_lesson else nodeid.partition("::")[0]


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
    """Put the longest first, and last what looks at the lessons in the built book: it is built by then."""
    tiers.leave(config, items)

    def order(item):
        file = Path(shared_by(item.nodeid)).stem
        return LONGEST.index(file) if file in LONGEST else len(LONGEST), item.path.stem == "test_browser_book"

    items.sort(key=order)


@pytest.hookimpl(optionalhook=True)  # there may be no xdist
def pytest_xdist_make_scheduler(config, log):
    """Give what `shared_by` names alike to one worker."""
    from xdist.scheduler import LoadFileScheduling

    class ByLesson(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return shared_by(nodeid)

    return ByLesson(config, log) if config.getvalue("dist") == "loadfile" else None


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


# ---------------------------------------------------------------- a browser


def no_browser(reason: str):
    """Skip with a reason that is seen, or fail where a browser is required."""
    if os.environ.get("RNNLAB_REQUIRE_BROWSER") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium for the whole session."""
    found = os.environ.get("RNNLAB_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        no_browser(f"no browser: none of {', '.join(CHROMIUM_NAMES)} is installed, and RNNLAB_CHROMIUM is not set")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Watched:
    """A browser page and what it did: the addresses it asked for, the errors it raised."""

    page: object
    requests: list = field(default_factory=list)
    errors: list = field(default_factory=list)

    def __post_init__(self):
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        self.page.on("console", self.note_console)

    def note_console(self, message):
        """Keep errors and warnings of the console."""
        if message.type in ("error", "warning"):
            self.errors.append(f"console {message.type}: {message.text}")

    def open(self, address: str) -> "Watched":
        """Load a page, wait until its formulas are typeset and its figures live, and forget what was before it."""
        self.page.goto("about:blank")
        self.requests.clear()
        self.errors.clear()
        self.page.goto(address, wait_until="load")
        self.page.wait_for_function("() => !window.MathJax || MathJax.startup?.promise !== undefined")
        self.settle()
        return self

    def settle(self):
        """Wait until formulas, fonts and figures are ready and the browser has nothing left to do."""
        self.page.evaluate(
            """async () => {
                await window.MathJax?.startup?.promise;
                await document.fonts.ready;
                await new Promise(rest => requestIdleCallback(rest));
            }"""
        )
        self.page.wait_for_function("() => !document.querySelector('.rl-explore:has(script) .rl-controls[hidden]')")


@pytest.fixture
def watch(browser):
    """A function that opens a fresh, watched page: `watch(width=375, theme="dark")`."""
    with contextlib.ExitStack() as stack:

        def new(width: int = 1280, height: int = 900, theme: str = "light", **options) -> Watched:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme, **options)
            stack.callback(context.close)
            return Watched(context.new_page())

        yield new


@pytest.fixture(scope="session")
def tab(browser):
    """A function that returns the one tab of a kind that goes from page to page: scripts and fonts are loaded once."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def open_tab(width: int = 1280, theme: str = "light", scripts: bool = True, use: str = "") -> Watched:
            size = {"width": width, "height": 900}
            context = browser.new_context(viewport=size, color_scheme=theme, java_script_enabled=scripts)
            stack.callback(context.close)
            return Watched(context.new_page())

        yield open_tab


@pytest.fixture
def page(watch):
    """One fresh browser page of a wide, light window, unwatched by its test."""
    return watch().page

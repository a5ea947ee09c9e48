"""A watched browser, and one visit to each page of the book for all tests that ask: fixtures for conftest.py."""

import contextlib
import functools
import os
import shutil
from dataclasses import dataclass, field

import pytest

import markup

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
        self.size = self.page.viewport_size
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        self.page.on("console", self.note_console)

    def note_console(self, message):
        """Keep errors and warnings of the console."""
        if message.type in ("error", "warning"):
            self.errors.append(f"console {message.type}: {message.text}")

    def open(self, address: str) -> "Watched":
        """Load a page, wait until its formulas are typeset and its figures live, and forget what was before it."""
        self.page.bring_to_front()  # else its clock may stand still
        self.page.goto("about:blank")  # where changing the window's size back costs nothing
        self.page.set_viewport_size(self.size)
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
                await new Promise(rest => requestIdleCallback(rest, {timeout: 10_000}));
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


# ---------------------------------------------------------------- pages of the book


@pytest.fixture(scope="session")
def chosen(built_book):
    """A few pages on which every kind of element of the book occurs, the richest for their size first."""
    size = {page: (built_book / f"{page}.html").stat().st_size for page in markup.PAGES}
    return markup.cover(markup.kinds_by_page(built_book), size)


@pytest.fixture(scope="session")
def look(tab, server):
    """A function that returns what the one visit to a served page told."""
    import visits

    return functools.cache(lambda name: visits.visit(tab(), name, f"{server}/{name}.html"))


@pytest.fixture(scope="session")
def look_from_disk(tab, built_book):
    """A function that returns what the one visit to a page on disk told."""

    import visits

    @functools.cache
    def from_disk(name):
        return visits.visit(tab(use="disk"), name, (built_book / f"{name}.html").as_uri(), move=False)

    return from_disk


@pytest.fixture(scope="session")
def look_without_scripts(tab, server):
    """A function that returns what a page shows without JavaScript."""
    import visits

    return functools.cache(lambda name: visits.without_scripts(tab(scripts=False), f"{server}/{name}.html"))

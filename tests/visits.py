"""One visit to a page of the book: everything that one look can tell, gathered once for all tests that ask."""

import contextlib
from dataclasses import dataclass, field

from playwright.sync_api import TimeoutError as PlaywrightTimeout

LIVE = "figure.rl-explore:has(input[type=range])"
PHONE = {"width": 375, "height": 700}

# TeX marks left in the text that a reader sees, outside of code.
RAW_FORMULAS = r"""() => {
    const text = document.querySelector("article").cloneNode(true);
    text.querySelectorAll("pre, code, script, style, mjx-container, svg").forEach(part => part.remove());
    return text.textContent.match(/\\[()\[\]]|\$[^$\s][^$]*\$|\\(frac|begin|mathrm)/g) ?? [];
}"""

OPEN_ALL = "document.querySelectorAll('article details').forEach(details => details.open = true)"

# What a reader sees of a figure, the picture as a number (equal ones have the same), and what the sliders say, to the
# eye and to a screen reader.
LOOK = """(figure) => {
    const known = window.knownPictures ??= new Map(), picture = figure.querySelector(".rl-panels").innerHTML;
    if (!known.has(picture)) known.set(picture, known.size);
    return {
        picture: known.get(picture),
        sentence: figure.querySelector(".rl-say").textContent,
        written: [...figure.querySelectorAll("output")].map(output => output.textContent),
        spoken: [...figure.querySelectorAll("input[type=range]")].map(slider => slider.getAttribute("aria-valuetext")),
    };
}"""


@dataclass
class Move:
    """One slider, moved by keyboard: what its figure looked like before, at both ends, and after Reset."""

    label: str
    named: int  # how many sliders of the figure a screen reader finds by this name
    resets: int  # how many buttons named Reset the figure has
    at_first: dict
    lowest: dict
    highest: dict
    reset: dict


@dataclass
class Visit:
    """What a look at one page told.

    Attributes:
        requests: every address that the page asked for.
        errors: of scripts, and errors and warnings of the console.
        formulas: how many the page marks.
        typeset: how many MathJax has set.
        raw: TeX marks that a reader sees.
        faulty: how many formulas MathJax could not read.
        phone_width: how wide the page is on a phone with all its folded parts open.
        moves: one list for each figure with sliders.
        announced: what the first figure announced once its slider rested, and its sentence then.
    """

    name: str
    requests: list = field(default_factory=list)
    errors: list = field(default_factory=list)
    formulas: int = 0
    typeset: int = 0
    raw: list = field(default_factory=list)
    faulty: int = 0
    phone_width: int = 0
    moves: list = field(default_factory=list)
    announced: tuple = ()


def visit(tab, name: str, address: str, move: bool = True) -> Visit:
    """Look at a page, move every slider by keyboard, narrow the window to a phone's, and return what was seen."""
    page = tab.open(address).page
    seen = Visit(name, **formulas(page))
    if move:
        names = page.evaluate(f"[...document.querySelectorAll('{LIVE}')].map(figure => figure.dataset.name)")
        figures = [page.locator(f'figure.rl-explore[data-name="{name}"]') for name in names]
        seen.moves = [[move_by_keyboard(page, figure, n) for n in range(count(figure))] for figure in figures]
        seen.announced = announced(page, figures[0]) if figures else ()
        seen.phone_width = phone_width(page)
    seen.requests, seen.errors = tab.requests[:], tab.errors[:]  # with what came while the sliders moved
    return seen


def formulas(page) -> dict:
    """Return how many formulas a page has, how many are set, and what is wrong with them."""
    found = page.evaluate(
        """() => ({
            formulas: document.querySelectorAll(".math").length,
            typeset: document.querySelectorAll("mjx-container").length,
            faulty: document.querySelectorAll("mjx-merror, .mjx-error, [data-mjx-error]").length,
        })"""
    )
    return found | {"raw": page.evaluate(RAW_FORMULAS) if page.locator("article").count() else []}


def count(figure) -> int:
    """Return how many sliders a figure has."""
    return figure.locator("input[type=range]").count()


# The page does not scroll along: frames that nobody looks at are most of the time.
FOCUS = """(figure, n) => (n < 0 ? figure.querySelector("button") : figure.querySelectorAll("input[type=range]")[n])
    .focus({preventScroll: true})"""


def move_by_keyboard(page, figure, n: int) -> Move:
    """Move one slider to both ends and reset the figure, as a reader without a mouse does."""
    drawn = figure.element_handle()
    label = drawn.evaluate("(one, n) => one.querySelectorAll('label')[n].querySelector('span').textContent", n).strip()
    looks = [drawn.evaluate(LOOK)]
    drawn.evaluate(FOCUS, n)
    for key in ("Home", "End"):
        page.keyboard.press(key)
        looks.append(drawn.evaluate(LOOK))
    drawn.evaluate(FOCUS, -1)
    page.keyboard.press("Enter")
    looks.append(drawn.evaluate(LOOK))
    named = figure.get_by_role("slider", name=label).count() if label else 0
    return Move(label, named, figure.get_by_role("button", name="Reset").count(), *looks)


def announced(page, figure) -> tuple:
    """Move a slider quickly, let it rest, and return what is announced then and the figure's sentence."""
    drawn = figure.element_handle()
    drawn.evaluate(FOCUS, 0)
    for key in ("Home", "End", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    parts = """figure => [figure.querySelector(".rl-spoken[aria-live=polite]"), figure.querySelector(".rl-say")]
        .map(part => part?.textContent)"""
    rested = f"figure => {{ const [spoken, said] = ({parts})(figure); return spoken === said; }}"
    with contextlib.suppress(PlaywrightTimeout):  # the test compares the two
        page.wait_for_function(rested, arg=drawn, timeout=10_000)
    return tuple(drawn.evaluate(parts))


def phone_width(page) -> int:
    """Return how wide a page is in a phone's window, with every folded part open; the window stays narrow."""
    page.set_viewport_size(PHONE)
    page.evaluate(OPEN_ALL)
    return page.evaluate("document.documentElement.scrollWidth")


def without_scripts(tab, address: str) -> dict:
    """Return what a page shows to a reader whose browser runs no scripts."""
    page = tab.page
    page.goto(address)
    return {
        "heading": page.locator("article h1").first.is_visible(),
        "fields": page.locator(".predict textarea").count(),
        "figures": [
            {
                "paths": figure.locator(".rl-panels svg path").count(),
                "sentence": figure.locator(".rl-say").inner_text().strip(),
                "controls": figure.locator(".rl-controls").is_visible(),
            }
            for figure in page.locator("figure.rl-explore").all()
        ],
    }


# ---------------------------------------------------------------- states

# The panels of a figure as markup, without what only serves to exchange their parts.
PICTURE = """(panels) => {
    const picture = panels.cloneNode(true);
    picture.querySelectorAll("defs").forEach(defs => defs.remove());
    picture.querySelectorAll("[data-varies]").forEach(part => part.removeAttribute("data-varies"));
    picture.querySelectorAll("[data-slot]").forEach(slot => slot.replaceWith(...slot.childNodes));
    return picture.innerHTML;
}"""
PICTURE_OF_MARKUP = f"""(markup) => {{
    const holder = document.createElement("template");
    holder.innerHTML = markup;
    return ({PICTURE})(holder.content.querySelector(".rl-panels"));
}}"""
LOST_CLIPS = """(panels) => [...panels.querySelectorAll("[clip-path]")]
    .map(part => part.getAttribute("clip-path").match(/#([^)]+)/)[1])
    .filter(name => !document.getElementById(name))"""

# Set every slider as a hand would, and compare the picture with markup.
SHOW = f"""(figure, [positions, markup]) => {{
    figure.querySelectorAll("input[type=range]").forEach((slider, n) => {{
        slider.value = positions[n];
        slider.dispatchEvent(new Event("input", {{bubbles: true}}));
    }});
    const panels = figure.querySelector(".rl-panels");
    const shown = ({PICTURE})(panels), drawn = ({PICTURE_OF_MARKUP})(markup);
    const caption = figure.querySelector(".rl-say");
    return {{
        same: shown === drawn, lost: ({LOST_CLIPS})(panels), said: caption.textContent, read: caption.innerText.trim(),
    }};
}}"""


def show(figure, explorable, state: dict, markup: str) -> dict:
    """Bring a figure to a state and return if it is the picture in `markup`, its lost clips, and its sentence."""
    positions = [slider.values.index(state[key]) for key, slider in explorable.sliders.items()]
    return figure.evaluate(SHOW, [positions, markup])

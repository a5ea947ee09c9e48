"""The built book in a real browser: formulas, accessibility, weight, phones, predictions; no network, no errors."""

import random
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

pytest.importorskip("playwright", reason="no browser: Playwright is not installed")
from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import expect  # noqa: E402

from explorables import least_explorables  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
WRITTEN = [TOC["root"], *(chapter["file"] for chapter in TOC["chapters"])]
LESSONS = [page for page in WRITTEN if page.startswith("notebooks/")]
PAGES = [*WRITTEN, "search", "genindex", "_modules/rnnlab/cells"]
SHARED_WEIGHT = 4_000_000

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

# TeX marks left in the text that a reader sees, outside of code.
RAW_FORMULAS = r"""() => {
    const text = document.querySelector("article").cloneNode(true);
    text.querySelectorAll("pre, code, script, style, mjx-container, svg").forEach(part => part.remove());
    return text.textContent.match(/\\[()\[\]]|\$[^$\s][^$]*\$|\\(frac|begin|mathrm)/g) ?? [];
}"""


@pytest.fixture(scope="module")
def axe() -> Axe:
    """The accessibility checker."""
    return Axe()


def outside(requests: list, *own: str) -> list:
    """Return the requests that left for another host (`data:` and `blob:` never do)."""
    return [
        address
        for address in requests
        if urlsplit(address).scheme not in ("data", "blob", "about") and not address.startswith(own)
    ]


def violations(axe: Axe, page, contrast_of_article=True) -> list:
    """Return the serious and critical accessibility violations of a page, with the first place of each."""
    # Preloading would fetch the style sheets again, which some of axe's rules want and no reader's browser does.
    runs = [(None, {"preload": False})]
    if not contrast_of_article:
        runs = [
            (None, {"preload": False, "rules": {"color-contrast": {"enabled": False}}}),
            ({"exclude": [["article"]]}, {"preload": False, "runOnly": ["color-contrast"]}),
        ]
    found = [one for context, options in runs for one in axe.run(page, context, options).response["violations"]]
    return [
        (one["id"], one["impact"], one["help"], one["nodes"][0]["html"])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


# ---------------------------------------------------------------- every page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stays_at_home_and_raises_nothing(watch, server, name):
    seen = watch().open(f"{server}/{name}.html")
    seen.page.wait_for_timeout(300)  # late scripts
    assert outside(seen.requests, server) == []
    assert seen.errors == []


@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_works_from_disk(watch, built_book, name):
    seen = watch().open((built_book / f"{name}.html").as_uri())
    seen.page.wait_for_timeout(300)
    assert outside(seen.requests, "file:///") == []
    assert seen.errors == []
    assert seen.page.evaluate(RAW_FORMULAS) == []
    assert seen.page.locator("mjx-container").count() == seen.page.locator(".math").count()


@pytest.mark.parametrize("name", WRITTEN)
def test_formulas_are_typeset(watch, server, name):
    page = watch().open(f"{server}/{name}.html").page
    assert page.locator("mjx-container").count() == page.locator(".math").count()
    assert page.evaluate(RAW_FORMULAS) == []
    assert page.locator("mjx-merror, .mjx-error, [data-mjx-error]").count() == 0


@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_loads_little(watch, server, name):
    seen = watch().open(f"{server}/{name}.html")
    own = [address for address in seen.sizes if address.endswith(".html") or "/_images/" in address]
    shared = sum(size for address, size in seen.sizes.items() if address not in own)
    assert 500_000 < shared < SHARED_WEIGHT  # below, nothing was counted: the theme alone weighs more


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible(watch, server, axe, name, width, theme):
    page = watch(width=width, theme=theme).open(f"{server}/{name}.html").page
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    page.evaluate("document.querySelectorAll('article details').forEach(details => details.open = true)")
    # A colour on its way from one theme to the other is none that a reader meets.
    page.evaluate("Promise.all(document.getAnimations().map(animation => animation.finished))")
    # The text of an article has the same colours at each width: its contrast, most of axe's time, is measured at one.
    assert violations(axe, page, contrast_of_article=(width == 1280) == (theme == "light")) == []


@pytest.mark.parametrize("name", PAGES)
def test_no_page_scrolls_sideways_on_a_phone(watch, server, name):
    page = watch(width=375, height=700).open(f"{server}/{name}.html").page
    page.evaluate("document.querySelectorAll('article details').forEach(details => details.open = true)")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 375


@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_can_be_read_without_javascript(watch, server, name):
    seen = watch(java_script_enabled=False)
    seen.page.goto(f"{server}/{name}.html")
    article = seen.page.locator("article")
    assert article.locator("h1").is_visible()
    assert seen.page.locator(".predict textarea").count() == 0


def test_a_raw_formula_is_found(watch, server):
    page = watch().open(f"{server}/{TOC['root']}.html").page
    page.evaluate(r"document.querySelector('article').append('so \\(x\\) and $y^2$, for $5')")
    assert page.evaluate(RAW_FORMULAS) == ["\\(", "\\)", "$y^2$"]


def test_the_checker_finds_a_planted_violation(watch, server, axe):
    page = watch().open(f"{server}/{TOC['root']}.html").page
    page.evaluate("document.querySelector('article').insertAdjacentHTML('beforeend', '<input type=range>')")
    assert [one[0] for one in violations(axe, page)] == ["label"]


def test_a_planted_request_and_error_are_seen(watch, server):
    seen = watch().open(f"{server}/{TOC['root']}.html")
    seen.page.evaluate("new Image().src = 'http://outside.invalid/x.png'")
    seen.page.evaluate("setTimeout(() => { throw new Error('planted') })")
    seen.page.wait_for_timeout(500)
    assert outside(seen.requests, server) == ["http://outside.invalid/x.png"]
    assert any("planted" in error for error in seen.errors)


# ---------------------------------------------------------------- predictions


@pytest.fixture(params=["http", "file"])
def how_to_use(request, built_book, server) -> str:
    """The address of the page that has a prediction to try, served and from disk."""
    name = "book/how_to_use.html"
    return f"{server}/{name}" if request.param == "http" else (built_book / name).as_uri()


def test_a_prediction_is_kept_in_this_browser(watch, how_to_use):
    seen = watch().open(how_to_use)
    seen.page.get_by_label("Your prediction").fill("about seven")
    seen.open(how_to_use)
    assert seen.page.get_by_label("Your prediction").input_value() == "about seven"


def test_a_prediction_is_sent_nowhere(watch, how_to_use):
    seen = watch().open(how_to_use)
    seen.requests.clear()
    seen.page.get_by_label("Your prediction").press_sequentially("about seven")
    seen.page.wait_for_timeout(300)
    assert seen.requests == []
    assert "never sent anywhere" in seen.page.locator(".predict").inner_text()


def test_predictions_work_where_the_browser_refuses_storage(watch, server):
    seen = watch().open(f"{server}/book/how_to_use.html")
    seen.page.evaluate("() => { Storage.prototype.setItem = () => { throw new DOMException('refused'); }; }")
    seen.page.get_by_label("Your prediction").fill("about seven")
    assert seen.page.get_by_label("Your prediction").input_value() == "about seven"
    assert seen.errors == []


# ---------------------------------------------------------------- explorables

LIVE = "figure.rl-explore:has(input[type=range])"


def looks(figure) -> tuple:
    """Return what a reader sees of a figure: the picture and its sentence."""
    return figure.locator(".rl-panels").inner_html(), figure.locator(".rl-say").inner_text()


def values(figure) -> list:
    """Return what the sliders of a figure say, to the eye and to a screen reader."""
    written = figure.locator("output").all_inner_texts()
    spoken = [one.get_attribute("aria-valuetext") for one in figure.locator("input[type=range]").all()]
    assert spoken == written
    return written


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_explorables(watch, server, name):
    page = watch().open(f"{server}/{name}.html").page
    assert page.locator(LIVE).count() >= least_explorables(name)


@pytest.mark.parametrize("name", LESSONS)
def test_each_slider_moves_its_figure_by_keyboard_and_reset_restores_it(watch, server, name):
    seen = watch().open(f"{server}/{name}.html")
    for figure in seen.page.locator(LIVE).all():
        at_first, said_first = looks(figure), values(figure)
        for n, slider in enumerate(figure.locator("input[type=range]").all()):
            slider.focus()
            slider.press("Home")
            lowest, said_lowest = looks(figure), values(figure)
            slider.press("End")
            assert looks(figure) != lowest
            assert values(figure)[n] != said_lowest[n]
            assert values(figure)[:n] + values(figure)[n + 1 :] == said_lowest[:n] + said_lowest[n + 1 :]
            figure.get_by_role("button", name="Reset").press("Enter")
            assert (looks(figure), values(figure)) == (at_first, said_first)
    assert seen.errors == []


@pytest.mark.parametrize("name", LESSONS)
def test_each_slider_has_a_name(watch, server, name):
    for figure in watch().open(f"{server}/{name}.html").page.locator(LIVE).all():
        for slider in figure.locator("input[type=range]").all():
            label = slider.evaluate("slider => slider.closest('label').querySelector('span').textContent").strip()
            assert label
            assert figure.get_by_role("slider", name=label).count() == 1


@pytest.mark.parametrize("name", LESSONS)
def test_a_sentence_is_announced_once_the_slider_rests(watch, server, name):
    figure = watch().open(f"{server}/{name}.html").page.locator(LIVE).first
    spoken = figure.locator("[aria-live=polite]")
    slider = figure.locator("input[type=range]").first
    slider.focus()
    for key in ("Home", "End", "ArrowLeft", "ArrowLeft"):
        slider.press(key)
    expect(spoken).to_have_text(figure.locator(".rl-say").inner_text())


@pytest.mark.parametrize("name", LESSONS)
def test_figures_show_their_first_state_without_javascript(watch, server, name):
    page = watch(java_script_enabled=False).page
    page.goto(f"{server}/{name}.html")
    for figure in page.locator("figure.rl-explore").all():
        assert figure.locator(".rl-panels svg path").count() > 0
        assert figure.locator(".rl-say").inner_text().strip()
        assert not figure.locator(".rl-controls").is_visible()


def move_to(figure, explorable, state: dict):
    """Set every slider of a figure, as a reader's hand would."""
    for n, (key, slider) in enumerate(explorable.sliders.items()):
        figure.locator("input[type=range]").nth(n).fill(str(slider.values.index(state[key])))


def sentence(explorable, state: dict) -> str:
    """Return what the drawing function says about a state, drawn on plain axes."""
    from matplotlib.figure import Figure

    axes = [Figure().subplots() for _ in range(explorable.panels)]
    return explorable(axes[0] if explorable.panels == 1 else axes, **state)


@pytest.fixture(scope="module")
def explorables():
    """A function that runs a lesson, once, and returns its explorables by name."""
    from explorables import load

    return lambda name: load(ROOT / f"{name}.ipynb").explorables


@pytest.mark.parametrize("name", LESSONS)
def test_published_states_are_what_python_draws(watch, server, explorables, name):
    page = watch().open(f"{server}/{name}.html").page
    chance = random.Random(name)
    for figure in page.locator("figure.rl-explore").all():
        explorable, panels = explorables(name)[figure.get_attribute("data-name")], figure.locator(".rl-panels")
        states = explorable.grid()
        for state in chance.sample(states, min(5, len(states))):
            move_to(figure, explorable, state)
            assert panels.evaluate(PICTURE) == page.evaluate(PICTURE_OF_MARKUP, explorable.svg(**state)), state
            assert panels.evaluate(LOST_CLIPS) == []
            assert figure.locator(".rl-say").inner_text() == sentence(explorable, state)


@pytest.mark.parametrize("name", LESSONS)
def test_another_state_would_not_pass_for_this_one(watch, server, explorables, name):
    page = watch().open(f"{server}/{name}.html").page
    figure = page.locator(LIVE).first
    explorable = explorables(name)[figure.get_attribute("data-name")]
    other = next(state for state in explorable.grid() if state != explorable.default)
    shown = figure.locator(".rl-panels").evaluate(PICTURE)
    assert shown == page.evaluate(PICTURE_OF_MARKUP, explorable.svg())
    assert shown != page.evaluate(PICTURE_OF_MARKUP, explorable.svg(**other))

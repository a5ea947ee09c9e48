"""The built book in a real browser: formulas, weight, phones, predictions, explorables; no network, no errors."""

import functools
import random
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

pytest.importorskip("playwright", reason="no browser: Playwright is not installed")

import visits  # noqa: E402
from explorables import least_explorables, load  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
WRITTEN = [TOC["root"], *(chapter["file"] for chapter in TOC["chapters"])]
LESSONS = [page for page in WRITTEN if page.startswith("notebooks/")]
PAGES = [*WRITTEN, "search", "genindex", "_modules/rnnlab/cells"]
SHARED_WEIGHT = 4_000_000


def outside(requests: list, *own: str) -> list:
    """Return the requests that left for another host (`data:` and `blob:` never do)."""
    return [
        address
        for address in requests
        if urlsplit(address).scheme not in ("data", "blob", "about") and not address.startswith(own)
    ]


@pytest.fixture(scope="session")
def look(tab, server):
    """A function that returns what the one visit to a served page told."""
    return functools.cache(lambda name: visits.visit(tab(), name, f"{server}/{name}.html"))


@pytest.fixture(scope="session")
def look_from_disk(tab, built_book):
    """A function that returns what the one visit to a page on disk told."""
    address = lambda name: (built_book / f"{name}.html").as_uri()  # noqa: E731
    return functools.cache(lambda name: visits.visit(tab(use="disk"), name, address(name), move=False))


@pytest.fixture(scope="session")
def look_without_scripts(tab, server):
    """A function that returns what a page shows without JavaScript."""
    return functools.cache(lambda name: visits.without_scripts(tab(scripts=False), f"{server}/{name}.html"))


# ---------------------------------------------------------------- every page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stays_at_home_and_raises_nothing(look, server, name):
    seen = look(name)
    assert f"{server}/{name}.html" in seen.requests
    assert outside(seen.requests, server) == []
    assert seen.errors == []


@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_works_from_disk(look_from_disk, name):
    seen = look_from_disk(name)
    assert outside(seen.requests, "file:///") == []
    assert seen.errors == []
    assert seen.raw == []
    assert seen.typeset == seen.formulas


@pytest.mark.parametrize("name", WRITTEN)
def test_formulas_are_typeset(look, name):
    seen = look(name)
    assert seen.typeset == seen.formulas
    assert seen.raw == []
    assert seen.faulty == 0


def weight(requests, server, folder) -> int:
    """Return how many bytes a page loads beside itself and its own images; the test server compresses nothing."""
    own = {address for address in requests if address.startswith(server)}
    shared = {address for address in own if not address.endswith(".html") and "/_images/" not in address}
    return sum((folder / unquote(urlsplit(address).path).lstrip("/")).stat().st_size for address in shared)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_loads_little(look, server, built_book, name):
    shared = weight(look(name).requests, server, built_book)
    assert 500_000 < shared < SHARED_WEIGHT  # below, nothing was counted: the theme alone weighs more


def test_the_weight_of_a_page_is_what_a_new_reader_is_sent(watch, server, built_book):
    seen, finished = watch(), []
    seen.page.on("requestfinished", lambda request: finished.append(request))
    seen.open(f"{server}/{LESSONS[0]}.html")
    sent = {one.url: one.sizes()["responseBodySize"] for one in finished if one.url.startswith(server)}
    shared = sum(size for url, size in sent.items() if not url.endswith(".html") and "/_images/" not in url)
    assert shared == weight(seen.requests, server, built_book)


@pytest.mark.parametrize("name", PAGES)
def test_no_page_scrolls_sideways_on_a_phone(look, name):
    assert 0 < look(name).phone_width <= visits.PHONE["width"]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_can_be_read_without_javascript(look_without_scripts, name):
    seen = look_without_scripts(name)
    assert seen["heading"]
    assert seen["fields"] == 0


def test_a_raw_formula_is_found(watch, server):
    page = watch().open(f"{server}/{TOC['root']}.html").page
    page.evaluate(r"document.querySelector('article').append('so \\(x\\) and $y^2$, for $5')")
    assert page.evaluate(visits.RAW_FORMULAS) == ["\\(", "\\)", "$y^2$"]


def test_a_planted_request_and_error_are_seen(watch, server):
    seen = watch().open(f"{server}/{TOC['root']}.html")
    with seen.page.expect_event("requestfailed"), seen.page.expect_event("pageerror"):
        seen.page.evaluate("new Image().src = 'http://outside.invalid/x.png'")
        seen.page.evaluate("setTimeout(() => { throw new Error('planted') })")
    assert outside(seen.requests, server) == ["http://outside.invalid/x.png"]
    assert any("planted" in error for error in seen.errors)


def test_a_page_too_wide_for_a_phone_is_found(watch, server):
    page = watch().open(f"{server}/{TOC['root']}.html").page
    folded = "<details><summary>more</summary><p style='width: 500px'>wide</p></details>"
    page.evaluate(f'document.querySelector("article").insertAdjacentHTML("beforeend", "{folded}")')
    assert visits.phone_width(page) > visits.PHONE["width"]


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
    seen.page.wait_for_function("() => Object.values(localStorage).includes('about seven')")
    seen.settle()  # whatever the last letter set off has begun
    assert seen.requests == []
    assert "never sent anywhere" in seen.page.locator(".predict").inner_text()


def test_predictions_work_where_the_browser_refuses_storage(watch, server):
    seen = watch().open(f"{server}/book/how_to_use.html")
    seen.page.evaluate("() => { Storage.prototype.setItem = () => { throw new DOMException('refused'); }; }")
    seen.page.get_by_label("Your prediction").fill("about seven")
    assert seen.page.get_by_label("Your prediction").input_value() == "about seven"
    assert seen.errors == []


# ---------------------------------------------------------------- explorables


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_explorables(look, name):
    assert len(look(name).moves) >= least_explorables(name)


@pytest.mark.parametrize("name", LESSONS)
def test_each_slider_moves_its_figure_by_keyboard_and_reset_restores_it(look, name):
    for sliders in look(name).moves:
        assert sliders
        for n, move in enumerate(sliders):
            assert_moved(move, n)
    assert look(name).errors == []


def assert_moved(move, n: int):
    """Check that the nth slider of a figure moved its figure, itself and no other, and that Reset restored all."""
    for seen in (move.at_first, move.lowest, move.highest):
        assert seen["spoken"] == seen["written"]
    low, high = move.lowest, move.highest
    assert (low["picture"], low["sentence"]) != (high["picture"], high["sentence"]), move.label
    assert low["written"][n] != high["written"][n]
    assert low["written"][:n] + low["written"][n + 1 :] == high["written"][:n] + high["written"][n + 1 :]
    assert move.resets == 1 and move.reset == move.at_first


@pytest.mark.parametrize("name", LESSONS)
def test_each_slider_has_a_name(look, name):
    for move in sum(look(name).moves, []):
        assert move.label
        assert move.named == 1


@pytest.mark.parametrize("name", LESSONS)
def test_a_sentence_is_announced_once_the_slider_rests(look, name):
    spoken, said = look(name).announced
    assert spoken == said and said.strip()


@pytest.mark.parametrize("name", LESSONS)
def test_figures_show_their_first_state_without_javascript(look_without_scripts, name):
    assert look_without_scripts(name)["figures"]
    for figure in look_without_scripts(name)["figures"]:
        assert figure["paths"] > 0
        assert figure["sentence"]
        assert not figure["controls"]


def test_a_dead_slider_a_stuck_reset_and_a_nameless_slider_are_found(watch, server):
    page = watch().open(f"{server}/{LESSONS[0]}.html").page
    figure = page.locator(visits.LIVE).first
    figure.locator(".rl-reset").evaluate("button => button.replaceWith(button.cloneNode(true))")
    with pytest.raises(AssertionError):
        assert_moved(visits.move_by_keyboard(page, figure, 0), 0)
    figure.locator("input[type=range]").first.evaluate("slider => slider.replaceWith(slider.cloneNode(true))")
    dead = visits.move_by_keyboard(page, figure, 0)
    assert dead.lowest["picture"] == dead.highest["picture"]
    with pytest.raises(AssertionError):
        assert_moved(dead, 0)
    figure.locator("input[type=range]").first.evaluate("slider => slider.setAttribute('aria-label', 'other')")
    assert visits.move_by_keyboard(page, figure, 0).named == 0


# ---------------------------------------------------------------- published states


@pytest.fixture(scope="session")
def published(tab, server):
    """A function that opens a lesson and returns its published figures by name."""

    def figures(name):
        page, address = tab().page, f"{server}/{name}.html"
        if page.url != address:
            tab().open(address)
        return {figure.get_attribute("data-name"): figure for figure in page.query_selector_all("figure.rl-explore")}

    return figures


def assert_published(figures: dict, name: str, count: int):
    """Compare some random states of each figure of a page with what the lesson's execution drew."""
    lesson = load(ROOT / f"{name}.ipynb")
    assert figures and figures.keys() <= lesson.explorables.keys()
    for key, figure in figures.items():
        explorable, drawn, states = lesson.explorables[key], lesson.drawn[key], lesson.explorables[key].grid()
        for number in random.sample(range(len(states)), min(count, len(states))):
            seen = visits.show(figure, explorable, states[number], drawn.svg(number))
            assert seen == {"same": True, "lost": [], "said": drawn.sentences[number]}, (key, states[number])


@pytest.mark.parametrize("name", LESSONS)
def test_published_states_are_what_python_draws(published, name):
    assert_published(published(name), name, count=3)


@pytest.mark.full("more states of each explorable: three are compared with Python's")
@pytest.mark.parametrize("name", LESSONS)
def test_more_published_states_are_what_python_draws(published, name):
    assert_published(published(name), name, count=12)


@pytest.mark.parametrize("name", LESSONS)
def test_another_state_would_not_pass_for_this_one(published, name):
    lesson, figures = load(ROOT / f"{name}.ipynb"), published(name)
    key = next(key for key in figures if lesson.explorables[key].sliders)
    explorable, drawn, states = lesson.explorables[key], lesson.drawn[key], lesson.explorables[key].grid()
    at, other = states.index(explorable.default), next(s for s in states if s != explorable.default)
    assert visits.show(figures[key], explorable, explorable.default, drawn.svg(at))["same"]
    assert not visits.show(figures[key], explorable, explorable.default, drawn.svg(states.index(other)))["same"]

"""The explorables of the built book in a real browser: moved by keyboard, named, announced, and drawn as by Python."""

import random
import re

import pytest

pytest.importorskip("playwright", reason="no browser: Playwright is not installed")

import visits  # noqa: E402
from explorables import least_explorables, load  # noqa: E402
from markup import LESSONS, ROOT  # noqa: E402
from test_browser_book import assert_readable  # noqa: E402
from tiers import every  # noqa: E402


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


@pytest.mark.parametrize("name", every(LESSONS, LESSONS[2:3], "figures of a lesson without JavaScript, in each lesson"))
def test_figures_show_their_first_state_without_javascript(look_without_scripts, look, name):
    seen = look_without_scripts(name)
    assert len(seen["figures"]) >= len(look(name).moves) > 0
    assert_readable(seen)


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
            said = drawn.sentences[number]
            read = re.sub("[ \\n]+", " ", said).strip()  # a page shows spaces in a row as one
            assert seen == {"same": True, "lost": [], "said": said, "read": read}, (key, states[number])


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

"""One flipbook in a page of its own, in a real browser: every state, by keyboard, with two copies side by side."""

from datetime import datetime

import numpy as np
import pytest

pytest.importorskip("playwright", reason="no browser: Playwright is not installed")
from playwright.sync_api import expect  # noqa: E402

from rnnlab.widgets import explore, slider  # noqa: E402
from visits import LOST_CLIPS, PICTURE, PICTURE_OF_MARKUP  # noqa: E402


@explore(
    phase=slider([0, 1, 2], at=1, label="<phase>", fmt="{} rad"),
    kind=slider(["line", "raster", "swarm"], at="line"),
    panels=2,
    alt=["A wave that moves with its phase", "The same numbers drawn in three ways"],
)
def waves(axes, phase, kind):
    x = np.linspace(0, 6, 30)
    axes[0].plot(x, np.sin(x + phase), label=kind)
    axes[0].fill_between(x, -1, np.sin(x), alpha=0.3)
    axes[0].set(xlim=(0, 6 + phase), ylim=(-1.2, 1.2), xlabel="$t$ & <more>", title=f"phase {phase}")
    if phase:
        axes[0].legend()
    if kind == "line":
        axes[1].bar(x, np.cos(x + phase), hatch="//")
    elif kind == "raster":
        axes[1].imshow(np.outer(x, x + phase) % 3, aspect="auto")
    else:
        axes[1].scatter(x, np.cos(x + phase), c=x, s=9)
    return f"Phase {phase}, {kind}, 1 < 2 & so on."


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a page with the explorable, twice."""
    file = tmp_path_factory.mktemp("flipbook") / "page.html"
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Waves</title>'
    file.write_text(f'{head}<link rel="icon" href="data:,">{waves.html()}{waves.html()}', encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def seen(watch, address):
    """The page, watched, once its sliders are there."""
    seen = watch().open(address)
    expect(seen.page.get_by_role("button", name="Reset")).to_have_count(2)
    return seen


def figures(seen):
    return seen.page.locator("figure.rl-explore").all()


def press(figure, n, *keys):
    figure.locator("input[type=range]").nth(n).focus()
    for key in keys:
        figure.locator("input[type=range]").nth(n).press(key)


def test_every_state_reached_by_keyboard_is_what_python_draws(seen):
    figure = figures(seen)[0]
    panels, said = figure.locator(".rl-panels"), figure.locator(".rl-say")
    for i, phase in enumerate([0, 1, 2]):
        press(figure, 0, "Home", *["ArrowRight"] * i)
        for j, kind in enumerate(["line", "raster", "swarm"]):
            press(figure, 1, "Home", *["ArrowRight"] * j)
            drawn = waves.svg(phase=phase, kind=kind)
            assert panels.evaluate(PICTURE) == seen.page.evaluate(PICTURE_OF_MARKUP, drawn), (phase, kind)
            assert panels.evaluate(LOST_CLIPS) == []
            assert said.inner_text() == f"Phase {phase}, {kind}, 1 < 2 & so on."
    assert seen.errors == []


def test_two_copies_move_apart(seen):
    first, second = (figure.locator(".rl-panels") for figure in figures(seen))
    at_first = second.evaluate(PICTURE)
    assert first.evaluate(PICTURE) == at_first
    press(figures(seen)[0], 0, "End")
    assert second.evaluate(PICTURE) == at_first != first.evaluate(PICTURE)
    press(figures(seen)[1], 0, "End")
    assert second.evaluate(PICTURE) == first.evaluate(PICTURE)


def test_equal_ids_name_equal_things(seen):
    things = seen.page.evaluate("[...document.querySelectorAll('[id]')].map(one => [one.id, one.outerHTML])")
    assert things and len(dict(things)) == len({tuple(thing) for thing in things})


def test_a_slider_says_its_name_and_value(seen):
    phase = figures(seen)[0].get_by_role("slider", name="<phase>")
    assert phase.get_attribute("aria-valuetext") == "1 rad"
    press(figures(seen)[0], 0, "End")
    assert phase.get_attribute("aria-valuetext") == figures(seen)[0].locator("output").first.inner_text() == "2 rad"


def test_reset_restores_sliders_picture_and_sentence(seen):
    figure = figures(seen)[0]
    look = "figure => [...figure.querySelectorAll('.rl-panels, .rl-say, output')].map(part => part.innerHTML)"
    at_first = figure.evaluate(look)
    press(figure, 0, "Home")
    press(figure, 1, "End")
    assert figure.evaluate(look) != at_first
    figure.get_by_role("button", name="Reset").click()
    assert figure.evaluate(look) == at_first
    assert [one.input_value() for one in figure.locator("input").all()] == ["1", "0"]


def test_a_screen_reader_hears_a_slider_at_rest_and_not_on_its_way(seen):
    """The page's clock is stepped by hand: nothing is announced before 400 ms of rest, then only the last sentence."""
    figure = figures(seen)[0]
    spoken = figure.locator("[aria-live=polite]")
    expect(spoken).to_have_count(1)
    assert spoken.inner_text() == ""
    seen.page.clock.install(time=datetime(2000, 1, 1))
    seen.page.clock.pause_at(datetime(2000, 1, 2))  # else it also runs by itself, and a slow machine rests in between
    press(figure, 0, "Home")
    seen.page.clock.run_for(300)
    press(figure, 0, "End")
    seen.page.clock.run_for(300)
    assert spoken.text_content() == ""
    seen.page.clock.run_for(101)
    assert spoken.text_content() == figure.locator(".rl-say").inner_text() == "Phase 2, line, 1 < 2 & so on."
    assert figure.locator("output").first.get_attribute("aria-live") == "off"


@pytest.mark.parametrize("width", [1280, 375])
def test_a_finger_can_hit_everything(watch, address, width):
    page = watch(width=width).open(address).page
    expect(page.locator("input, button")).to_have_count(6)
    for control in page.locator("input, button").all():
        box = control.bounding_box()
        assert box["height"] >= 24 and box["width"] >= 24
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_javascript_the_default_state_is_there(watch, address):
    page = watch(java_script_enabled=False).page
    page.goto(address)
    figure = page.locator("figure.rl-explore").first
    assert figure.locator(".rl-say").inner_text() == "Phase 1, line, 1 < 2 & so on."
    assert figure.get_by_role("img").count() == 2 and not figure.locator(".rl-controls").is_visible()
    assert "need JavaScript" in figure.locator("noscript").inner_text()

"""Every explorable of every lesson over its whole grid, and what nbval does not see in the stored outputs."""

import json
import math
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from drawings import all_at_once, leaves, part_by_part, stage_at
from explorables import least_explorables, load
from rnnlab.flipbook import MAX_KILOBYTES, style
from tiers import every
from tools.lessons.places import surroundings

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


@pytest.fixture(scope="module", params=LESSONS, ids=lambda path: path.stem)
def lesson(request):
    """A lesson that has run, and its path."""
    return load(request.param), request.param


def test_there_are_lessons():
    assert LESSONS


def test_every_state_was_drawn_and_the_page_is_light(lesson):
    """The lesson's execution drew them; an error in a drawing function would have failed its cell."""
    found = lesson[0]
    assert found.drawn.keys() == found.explorables.keys()
    for name, one in found.explorables.items():
        drawn = found.drawn[name]
        assert len(drawn.sentences) == len(one.grid()) and all(sentence.strip() for sentence in drawn.sentences)
        assert all(drawn.parts(number) for number in range(len(one.grid())))
        assert len(drawn.html) < 1000 * MAX_KILOBYTES + len(style()) + 20_000  # controls, script and sentence
        assert drawn.alt == list(one.alt) and drawn.name in drawn.html


def test_a_lesson_has_explorables_that_move(lesson):
    moving = [explorable for explorable in lesson[0].explorables.values() if explorable.sliders]
    assert len(moving) >= least_explorables(lesson[1].stem)


def test_the_text_alternatives_say_what_is_seen(lesson):
    for explorable in lesson[0].explorables.values():
        for text in explorable.alt:
            assert len(text.split()) >= 5, f"{explorable.name}: {text!r}"


def assert_drawn_as_by_savefig(found, states):
    """Compare some random states of every explorable, as they were kept, with full drawings on new figures."""
    for name, one in found.explorables.items():
        stage, grid = stage_at(one.fn, one.panels, one.size, one.default), one.grid()
        for number in random.sample(range(len(grid)), min(states, len(grid))):
            assert leaves(found.drawn[name].svg(number)) == all_at_once(stage, grid[number]), (name, grid[number])


def alone(path, what):
    """Run a check of a lesson in a process of its own: what other tests leave in this one would show in its numbers."""
    code = f"import random, test_lesson_explorables as t; random.seed({random.getrandbits(32)})\n"
    code += f"found = t.load(t.Path({str(path)!r}))\nt.{what}"
    folders = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    command, environment = [sys.executable, "-c", code], surroundings(PYTHONPATH=folders)
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]


def test_a_random_state_is_what_savefig_draws(lesson):
    alone(lesson[1], "assert_drawn_as_by_savefig(found, states=1)")


@pytest.mark.full("more states of an explorable: one is compared with savefig, and drawn by each of its ways")
def test_random_states_are_what_savefig_draws(lesson):
    assert_drawn_as_by_savefig(lesson[0], states=3)
    for one in lesson[0].explorables.values():
        stage = stage_at(one.fn, one.panels, one.size, one.default)
        state = random.choice(one.grid())
        assert part_by_part(stage, state) == leaves(one.svg(**state)) == all_at_once(stage, state), (one.name, state)


def test_another_state_would_not_pass_for_this_one(lesson):
    for name, one in lesson[0].explorables.items():
        drawn, grid = lesson[0].drawn[name], one.grid()
        looks = {drawn.svg(number) for number in range(len(grid))}
        assert len(looks) > 1 or len(grid) == 1, f"{name} looks the same in every state"


@pytest.mark.parametrize("path", every(LESSONS, LESSONS[3:4], "a live view of one lesson's explorables"), ids=str)
def test_the_live_view_shows_the_state_that_the_page_starts_from(path):
    alone(path, "assert_live_views_show_the_default(found)")


def assert_live_views_show_the_default(found):
    """Compare the picture of each live view with the kept drawing of its default state."""
    for name, one in found.explorables.items():
        view = one.live().children[-1]
        assert found.drawn[name].svg(one.grid().index(one.default)) in view.value, name


def stored_glue(path):
    """Return what the stored notebook glued, by name, as text."""
    glued = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if name := output.get("metadata", {}).get("scrapbook", {}).get("name"):
                (text,) = output["data"].values()
                glued[name] = "".join(text).strip("'\"")
    return glued


def same_but_for_rounding(one, two):
    """Compare two texts: words must be equal, numbers equal within 1e-6 of their size."""
    numbers = [[float(number.replace(",", "")) for number in NUMBER.findall(text)] for text in (one, two)]
    if NUMBER.sub("#", one) != NUMBER.sub("#", two):
        return False
    return all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(*numbers, strict=True))


def test_the_numbers_in_the_prose_come_out_again(lesson):
    fresh, stored = {name: str(value) for name, value in lesson[0].glued.items()}, stored_glue(lesson[1])
    assert fresh.keys() == stored.keys() and fresh
    different = {
        name: (stored[name], fresh[name]) for name in fresh if not same_but_for_rounding(stored[name], fresh[name])
    }
    assert not different


def test_the_comparison_would_notice():
    assert same_but_for_rounding("0.5000001 of 10", "0.5 of 10")
    assert not same_but_for_rounding("0.5001 of 10", "0.5 of 10")
    assert not same_but_for_rounding("0.5 of 10", "0.5 of ten")

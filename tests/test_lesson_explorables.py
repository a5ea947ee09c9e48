"""Every explorable of every lesson over its whole grid, and what nbval does not see in the stored outputs."""

import json
import math
import random
import re
from pathlib import Path

import pytest

from drawings import all_at_once, leaves, part_by_part, stage_at
from explorables import least_explorables, load

LESSONS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


@pytest.fixture(scope="module", params=LESSONS, ids=lambda path: path.stem)
def lesson(request):
    """A lesson that has run, and its path."""
    return load(request.param), request.param


def test_there_are_lessons():
    assert LESSONS


def test_every_state_can_be_drawn_and_the_page_is_light(lesson):
    for explorable in lesson[0].explorables.values():
        explorable.check()


def test_a_lesson_has_explorables_that_move(lesson):
    moving = [explorable for explorable in lesson[0].explorables.values() if explorable.sliders]
    assert len(moving) >= least_explorables(lesson[1].stem)


def test_the_text_alternatives_say_what_is_seen(lesson):
    for explorable in lesson[0].explorables.values():
        for text in explorable.alt:
            assert len(text.split()) >= 5, f"{explorable.name}: {text!r}"


def test_random_states_are_what_savefig_draws(lesson):
    for one in lesson[0].explorables.values():
        stage = stage_at(one.fn, one.panels, one.size, one.default)
        for state in random.Random(1).sample(one.grid(), min(3, len(one.grid()))):
            assert part_by_part(stage, state) == leaves(one.svg(**state)) == all_at_once(stage, state), (
                one.name,
                state,
            )


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

"""Random draws of tests: the same all day in any order, others on another day, and named in the first lines."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

import chance as days

DRAWS = """
import random
import numpy as np, pytest, torch

def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()

@pytest.fixture(scope="module")
def shared():
    return draws()

def test_one(shared, chance):
    print("one", shared, draws(), chance.random())

def test_two(shared, chance):
    print("two", shared, draws(), chance.random())
"""


def drawn(folder, day, *arguments):
    """Return what a run of the two tests prints, sorted, and its first lines."""
    path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    # By the name that conftest.py gives it, so that pytest doesn't make a second plugin of the same file.
    start = "import sys, pytest, chance; sys.exit(pytest.main(sys.argv[1:], plugins=[chance]))"
    run = subprocess.run(
        [sys.executable, "-c", start, "-s", "-p", "no:cacheprovider", "-o", "addopts=", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path), days.NAME: day},
        cwd=folder, text=True, capture_output=True, check=True,
    )  # fmt: skip
    return sorted(re.findall(r"(?:one|two) \(.*", run.stdout)), run.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two tests that draw, and share what a fixture drew."""
    folder = tmp_path_factory.mktemp("draws")
    (folder / "test_draws.py").write_text(DRAWS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def first(folder):
    """What the two print on one day, and the first lines of that run."""
    return drawn(folder, "2026-12-01")


def test_another_day_gives_other_draws(folder, first):
    (one, two), said = first
    assert "chance: RNNLAB_CHANCE=2026-12-01 repeats this run's random draws" in said
    other = drawn(folder, "2026-12-02")[0]
    numbers = [set(line.translate(str.maketrans("(),", "   ")).split()[1:]) for line in (one, two, *other)]
    assert all(len(each) == 7 for each in numbers)
    assert len(numbers[0] & numbers[1]) == 3, "the two tests share what the fixture drew, and nothing else"
    assert not (numbers[0] | numbers[1]) & (numbers[2] | numbers[3])


def test_a_day_gives_the_same_draws_in_any_order_and_company(folder, first):
    (one, two), there = first[0], "test_draws.py::test_"
    assert drawn(folder, "2026-12-01", f"{there}two", f"{there}one")[0] == [one, two]
    assert drawn(folder, "2026-12-01", f"{there}two")[0] == [two]


def test_this_test_is_seeded(request, chance):
    assert days.NAME in os.environ
    assert random.Random(days.seed_of(request.node.nodeid)).random() == random.random()
    assert chance.random() != chance.random()

"""Exercises of the lessons that check themselves: right answers, likely wrong ones, and what is no answer."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from rnnlab import exercises
from rnnlab.exercises import EXERCISES, check

LESSONS = Path(__file__).parents[1] / "notebooks"
# Right answers as a reader finds them, and wrong ones as a reader may find them.
ANSWERS = {
    "01.1": ((1 - np.tanh(1.4) ** 2) * (np.tanh(1.4) - 1) / 2, (1 - np.tanh(1.4) ** 2) * (np.tanh(1.4) - 1)),
    "01.3": ([2, 1], [4, 9]),
    "01.4": ([262, 12], [262, 8]),
    "02.3": ([0.6, 1.08], [1.08, 0.6]),
    "03.1": (
        lambda w: [math.log(s / (1 - s)) - w * s for s in ((1 + r * math.sqrt(1 - 4 / w)) / 2 for r in (-1, 1))],
        lambda w: [(1 + r * math.sqrt(1 - 4 / w)) / 2 for r in (-1, 1)],
    ),
    "04.1": ([4.2553, 3.73e5], [4.2553, 1.2925]),
    "04.2": ([45, 88.19], [45, 90.0 / 1000]),
    "05.1": (1, 0.9),
    "06.1": (lambda k: (k - 1) / (k + 1), lambda k: 1 - 1 / k),
    "06.2": ([3.8, 1.357], [2, 2]),
    "06.3": ([0.1, 0.1, 0.1, 0.91, 0.829, 0.756], [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]),
    "06.4": (lambda lr, c, mu: lr * c / (1 - mu), lambda lr, c, mu: lr * c),
    "07.1": ((0.1, 0.1, 0.01), (0.1, 0.01, 0.01)),
    "07.2": (10, 1),
    "08.1": ([69300, 6930], [6930, 69300]),
    "08.3": (lambda lr, sigma: lr * sigma**2 / (2 - lr), lambda lr, sigma: lr * sigma**2 / 2),
    "09.1": (2.25, 1.96),
    "09.2": ([0.107, 49], [0.107, 50]),
    "10.1": (lambda mark, reset: (mark, 1 - reset, 1), lambda mark, reset: (mark, 1 - mark, 1)),
    "10.2": ([6.07, 0.0023], [6.07, 0.25]),
    "12.3": (
        {"weight_ih": np.array([[-80.0], [0.0]]), "bias_ih": np.array([40.0, 0.0])},
        {"weight_ih": np.array([[80.0], [0.0]]), "bias_ih": np.array([-40.0, 0.0])},
    ),
    "13.4": (lambda P: sorted(abs(np.linalg.eigvalsh(P)))[-2], lambda P: min(abs(np.linalg.eigvalsh(P)))),
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(exercises, "_wrong", {})


@pytest.mark.parametrize("name", EXERCISES)
def test_right_answers_are_right_and_wrong_ones_get_hints(name, capsys):
    right, wrong = ANSWERS[name]
    check(name, right)
    assert capsys.readouterr().out == f"{name}: right.\n"
    hints = EXERCISES[name].hints
    for number in [*range(1, len(hints) + 1), len(hints)]:
        check(name, wrong)
        expected = f"{name}: not yet. Hint {number} of {len(hints)}: {hints[number - 1]}\n"
        assert capsys.readouterr().out.split() == expected.split()


@pytest.mark.parametrize("name", EXERCISES)
def test_no_answer_yet_says_what_is_asked(name, capsys):
    check(name, None)
    out = capsys.readouterr().out
    assert out.split() == f"{name} is not answered yet: {EXERCISES[name].asks}.".split()
    assert max(map(len, out.splitlines())) < 80
    assert exercises._wrong == {}


@pytest.mark.parametrize("name", EXERCISES)
def test_hints_do_not_tell_the_numbers(name):
    """Two exercises ask for what a hint may say in words; no hint has the number itself."""
    if EXERCISES[name].kind == "numbers":
        numbers = [f"{value:.3g}" for value in np.ravel(EXERCISES[name].expected()) if abs(value) > 20 or value % 1]
        assert [n for n in numbers for hint in EXERCISES[name].hints if n in hint.split()] == []


@pytest.mark.parametrize(
    "name, answer",
    [
        ("01.3", "2 and 1"),
        ("01.3", lambda: 2),
        ("06.1", 0.8),
        ("12.3", [1, 2]),
        ("01.3", {"a": 1}),
        ("01.4", ["x", "y"]),
    ],
)
def test_another_kind_of_answer_is_an_error(name, answer):
    with pytest.raises(TypeError, match=re.escape(f"{name}: expected {EXERCISES[name].asks}, got")):
        check(name, answer)


def test_too_few_numbers_are_told(capsys):
    check("01.3", 2)
    assert "not yet (expected 2 numbers, got 1)." in capsys.readouterr().out


def test_an_unknown_exercise_is_an_error():
    with pytest.raises(ValueError, match="expected one of 01.1, .*, got '4.2'"):
        check("4.2", 1)


def checks_in_lessons():
    """Return {exercise: cell} of the lessons' cells that check an answer."""
    found = {}
    for path in sorted(LESSONS.glob("[0-9][0-9]_*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            match = re.search(r'^check\("([\d.]+)", answer\)$', "".join(cell["source"]), re.MULTILINE)
            if cell["cell_type"] == "code" and match:
                assert match[1].startswith(path.name[:2]) and match[1] not in found
                found[match[1]] = cell
    return found


def test_lessons_ask_for_every_answer_and_are_stored_unanswered(capsys):
    found = checks_in_lessons()
    assert sorted(found) == sorted(EXERCISES)
    for name, cell in found.items():
        assert "answer = None" in "".join(cell["source"])
        check(name, None)
        assert "".join(cell["outputs"][0]["text"]) == capsys.readouterr().out

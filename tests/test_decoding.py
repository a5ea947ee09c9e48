"""Greedy and beam search against all sequences there are, and faults that the comparison must catch."""

import inspect
import itertools

import numpy as np
import pytest

from rnnlab import decoding
from rnnlab.decoding import beam_search, greedy_search

END, SYMBOLS, LONGEST = 1, 4, 5


def machine(seed):
    """A network of 6 units with random weights: its state after each symbol depends on all symbols so far."""
    rng = np.random.default_rng(seed)
    inner, given, out = rng.normal(0, 1, (6, 6)), rng.normal(0, 1, (SYMBOLS, 6)), rng.normal(0, 1, (6, SYMBOLS))

    def step(state, last):
        state = np.tanh(state @ inner + given[last])
        scores = state @ out
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)), state

    return step, rng.normal(size=(1, 6))


def every_sequence(step, state):
    """All finished sequences of up to LONGEST symbols with their log probabilities, each computed by itself."""
    found = {}
    others = [symbol for symbol in range(SYMBOLS) if symbol != END]
    for length in range(LONGEST):
        for inner in itertools.product(others, repeat=length):
            own, last, total = state, 0, 0.0
            for symbol in (*inner, END):
                scores, own = step(own, np.array([last]))
                total, last = total + scores[0, symbol], symbol
            found[(*inner, END)] = total
    return found


def faults(search, seeds=range(12)):
    """Say for which machines a search of all beginnings misses the best sequences or their probabilities."""
    missed = []
    for seed in seeds:
        step, state = machine(seed)
        for power in (0.0, 0.7):
            found = search(step, state, 0, END, LONGEST, width=SYMBOLS**LONGEST, power=power)
            every = every_sequence(step, state)
            wanted = sorted(every, key=lambda one: -every[one] / len(one) ** power)
            same = [one.symbols for one in found][:10] == wanted[:10]
            if not same or any(abs(one.log_prob - every[one.symbols]) > 1e-12 for one in found):
                missed.append((seed, power))
    return missed


def test_a_beam_of_all_beginnings_finds_what_looking_at_every_sequence_finds():
    assert faults(beam_search) == []


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("state[rows]", "state[np.sort(rows)]"),  # a candidate goes on from another one's state
        ("log_probs, state = total[rows, columns][~ends]", "log_probs, state = total.max(axis=1)[rows][~ends]"),
        ("-rank(one.log_prob, len(one.symbols))", "-one.log_prob"),  # the power is forgotten
        ("log_probs[:, None] + np.asarray(scores)", "np.asarray(scores) + 0.0"),  # only the last symbol counts
        ("full = len(finished) == width", "full = len(finished) > 0"),  # stops at the first that comes to its end
    ],
)
def test_planted_faults_are_caught(right, wrong):
    source = inspect.getsource(decoding)
    assert source.count(right) == 1
    namespace = {"__name__": "planted"}
    exec(compile(source.replace(right, wrong), "planted", "exec"), namespace)
    assert faults(namespace["beam_search"])


def test_width_one_is_greedy_and_wider_beams_are_often_better():
    better = 0
    for seed in range(60):
        step, state = machine(seed)
        greedy, narrow = greedy_search(step, state, 0, END, LONGEST), beam_search(step, state, 0, END, LONGEST, 1)[0]
        assert greedy.symbols == narrow.symbols and greedy.log_prob == pytest.approx(narrow.log_prob)
        wide = beam_search(step, state, 0, END, LONGEST, 5)[0]
        better += wide.finished and greedy.finished and wide.log_prob > greedy.log_prob + 1e-9
    assert better > 5


def test_a_greedy_sequence_with_more_than_half_of_the_probability_is_the_best():
    seen = 0
    for seed in range(200):
        step, state = machine(seed)
        greedy = greedy_search(step, state, 0, END, LONGEST)
        if greedy.finished and greedy.log_prob > np.log(0.5):
            seen += 1
            for width in (1, 2, 5):
                assert beam_search(step, state, 0, END, LONGEST, width)[0].symbols == greedy.symbols
    assert seen > 5


def test_states_may_be_tuples_and_a_beam_without_an_end_is_returned_unfinished():
    step, state = machine(3)

    def pair(states, last):
        scores, new = step(states[0], last)
        return scores, (new, states[1] + 1)

    one, other = beam_search(step, state, 0, END, 4, 3), beam_search(pair, (state, np.zeros((1, 1))), 0, END, 4, 3)
    assert [found.symbols for found in one] == [found.symbols for found in other]

    def endless(state, last):
        return np.log(np.full((len(last), 3), 0.5) * [1, 0, 1] + 1e-300 * np.array([0, 0, 0])), state

    with np.errstate(divide="ignore"):
        found = beam_search(endless, np.zeros((1, 1)), 0, END, 3, 4)
    assert len(found) == 4 and not any(candidate.finished for candidate in found)
    assert all(candidate.log_prob == pytest.approx(3 * np.log(0.5)) for candidate in found)


def test_it_says_what_is_wrong():
    with pytest.raises(ValueError, match="at least 1, got 0 and 5"):
        beam_search(*machine(0), 0, END, LONGEST, 0)

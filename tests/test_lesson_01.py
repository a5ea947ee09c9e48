"""What lesson 01 says and shows, asserted on its data, and random cells of its record computed again."""

import json
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rnnlab as rl
from drawings import assert_lines_stay_inside
from evidence import script, skip_unless_exact
from explorables import load

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(NOTEBOOKS / "01_recurrence_and_bptt.ipynb").namespace


@pytest.fixture(scope="module")
def windows():
    """The script that made the record."""
    return script("truncation_windows")


@pytest.fixture(scope="module")
def record():
    """What the script stored."""
    return json.loads((NOTEBOOKS / "evidence" / "truncation_windows.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- two steps by hand


@pytest.mark.parametrize("u, w", [(0.8, 1.2), (-0.8, 3.0), (0.0, -2.0), (1.6, 0.0)])
def test_the_derivatives_by_hand_are_what_the_loss_does(lesson, u, w):
    two_steps, e = lesson["two_steps"], 1e-6
    by_hand = two_steps(u, w)
    slopes = [(two_steps(u, w + e)["loss"] - two_steps(u, w - e)["loss"]) / (2 * e),
              (two_steps(u + e, w)["loss"] - two_steps(u - e, w)["loss"]) / (2 * e)]  # fmt: skip
    np.testing.assert_allclose([sum(by_hand["d_w"]), sum(by_hand["d_u"])], slopes, rtol=0, atol=1e-8)
    if w == 0:
        assert by_hand["immediate"] == by_hand["d_h0"]


def test_a_detached_state_costs_the_early_term(lesson):
    """Exercise 1 against the derivative of a loss in which h0 is a constant where step 1 reads it."""
    h0 = lesson["by_hand"]["h0"]
    start, x = lesson["START"], lesson["X"]

    def loss(w):
        own = np.tanh(0.8 * x[0] + w * start)
        return ((own - 1) ** 2 + np.tanh(0.8 * x[1] + w * h0) ** 2) / 2

    slope = (loss(1.2 + 1e-6) - loss(1.2 - 1e-6)) / 2e-6
    assert slope == pytest.approx(lesson["by_hand"]["d_w"][0] + lesson["detached"], abs=1e-8)


# ---------------------------------------------------------------- the gradient check


@pytest.mark.parametrize("seed", range(3))
def test_the_lessons_own_passes_are_those_of_the_module(lesson, seed):
    rng = np.random.default_rng(seed)
    cell = rl.RNNCell(2, 5)
    params, x, d_h = cell.init(rng), rng.standard_normal((7, 3, 2)), rng.standard_normal((7, 3, 5))
    h, _, tape = rl.unroll(cell, params, x)
    grads = lesson["backward"](params, x, lesson["unroll"](params, x), d_h)
    for name, grad in rl.backprop(cell, params, tape, d_h).params.items():
        np.testing.assert_allclose(grads[name], grad, rtol=0, atol=1e-12)


def test_the_valley_of_the_check(lesson):
    epsilons, errors = lesson["EPSILONS"], lesson["check_errors"]
    for kind, order, right in (("central", 2, (1e-4, 1e-2)), ("one-sided", 1, (1e-6, 1e-3))):
        inside = (epsilons > right[0]) & (epsilons < right[1])
        slope = np.polyfit(np.log(epsilons[inside]), np.log(errors(kind, "float64", 20)[inside]), 1)[0]
        assert slope == pytest.approx(order, abs=0.1)
    assert errors("central", "float32", 20).min() > 100 * errors("central", "float64", 20).min()


ALL = ("weight_ih", "weight_hh", "bias_ih")
FAULTY = {  # with 6 steps and 5 units; with 1 step; with 6 steps and 1 unit; with 2 steps and 5 units
    "Ada": (set(ALL), {"weight_ih", "bias_ih"}, set(ALL), set(ALL)),
    "Bo": ({"weight_hh"}, {"weight_hh"}, {"weight_hh"}, {"weight_hh"}),
    "Cleo": (set(ALL), set(), set(), {"weight_ih", "bias_ih"}),
    "Dan": ({"bias_ih"}, set(), {"bias_ih"}, {"bias_ih"}),
}


@pytest.mark.parametrize("who", FAULTY)
def test_the_check_names_the_place(lesson, who):
    for expected, sizes in zip(FAULTY[who], ((6, 5), (1, 5), (6, 1), (2, 5)), strict=True):
        errors = lesson["faults"](who, *sizes)
        assert {name for name, error in errors.items() if error > 1e-6} == expected, sizes


def test_the_check_passes_the_right_one(lesson):
    assert max(lesson["faults"]("nobody", 6, 5).values()) < 1e-8


# ---------------------------------------------------------------- truncation


def test_what_truncation_does_to_new_networks(lesson):
    compared, at = lesson["compared"], lesson["WINDOWS"].tolist().index(5)
    medians = [np.median(compared(radius)[:, at, 0]) for radius in (0.5, 0.9, 1.4)]
    assert medians[0] > medians[1] > medians[2]
    np.testing.assert_allclose(compared(1.0)[:, -1], 1, rtol=1e-12)  # windows as long as the sequence cut nothing


def test_the_bias_does_not_average_out(lesson):
    cosine = lesson["cosine_of_means"]
    assert np.median([cosine(seed, 60) for seed in range(100, 106)]) < 0.95
    assert cosine(100, 3, window=30) == pytest.approx(1, rel=1e-12)


def test_the_echo_of_the_lesson_is_that_of_the_record(lesson, windows):
    ours, theirs = (task.sample(np.random.default_rng(3), 5) for task in (lesson["task"], windows.TASK))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    bits = (ours.x[..., 0] > 0).astype(int)
    np.testing.assert_array_equal(ours.y[6:], bits[:-6])
    assert not ours.mask[:6].any() and ours.mask[6:].all()


def test_only_the_readout_moves_in_the_control(windows):
    grads = windows.MODEL.loss_and_grads(
        windows.MODEL.init(np.random.default_rng(0)), windows.TASK.sample(np.random.default_rng(0), 4)
    ).grads
    moved, norm = windows.readout_only(grads)
    assert norm > 0 and {name for name, grad in moved.items() if grad.any()} == {"weight_out", "bias_out"}


def test_the_record_is_whole_and_fair(windows, record):
    pilot, fresh = pd.DataFrame(record["pilot"]), pd.DataFrame(record["fresh"])
    assert len(pilot) == 9 * 9 * 5 and len(fresh) == 9 * 20 and not set(pilot.seed) & set(fresh.seed)
    assert (pilot.groupby(["window", "lr"]).size() == 5).all()
    rates = windows.best_rates(pilot)
    assert all(set(fresh[fresh.window == window].lr) == {rate} for window, rate in rates.items())


def test_random_cells_of_the_record(windows, record):
    """Whole runs; the next test has a part of the record that holds on every machine."""
    skip_unless_exact(record["made"])
    row = random.choice([row for row in record["fresh"] if row["window"]])
    again = rl.sweep(windows.run, window=[row["window"]], lr=[row["lr"]], seed=windows.FRESH_SEEDS, progress=False)
    (again,) = again[again.seed == row["seed"]].to_dict("records")
    assert {name: again[name] for name in ("accuracy", "loss")} == {name: row[name] for name in ("accuracy", "loss")}


def test_windows_as_short_as_the_lag_fail_and_longer_ones_succeed_anywhere(windows):
    """A part of the record that holds on every machine."""
    short, enough = (windows.run(window, 0.01, 7, updates=400)["accuracy"] for window in (3, 12))
    assert short < 0.75 < 0.95 < enough


def test_which_windows_learn(lesson):
    right = lesson["right"]
    assert all(right[window].min() > 0.95 for window in (7, 8, 12, 30))
    assert all(right[window].mean() < 0.9 for window in (0, 1, 3, 5, 6))


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("every", [1, 7, 32, 1000])
def test_recomputing_changes_no_gradient(lesson, every):
    rng, cell = np.random.default_rng(4), lesson["cell"]
    x, d_h = rng.standard_normal((50, 2, 3)), rng.standard_normal((50, 2, 8))
    grads, held = lesson["recomputed"](cell, lesson["params"], x, d_h, every)
    tape = rl.unroll(cell, lesson["params"], x)[2]
    for name, grad in rl.backprop(cell, lesson["params"], tape, d_h).params.items():
        np.testing.assert_allclose(grads[name], grad, rtol=1e-9, atol=1e-12)
    assert held == lesson["states_held"](50, every)


def test_kept_states_do_not_hold_their_pieces(lesson):
    """What is kept must be a copy: a view of the tape would keep all the states that were to be forgotten."""
    rng, cell, params = np.random.default_rng(4), lesson["cell"], lesson["params"]
    x, d_h = rng.standard_normal((1024, 4, 3)), rng.standard_normal((1024, 4, 8))
    tracemalloc.start()
    lesson["recomputed"](cell, params, x, d_h, 32)
    few = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    rl.backprop(cell, params, rl.unroll(cell, params, x)[2], d_h)
    everything = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert few < 0.15 * everything


@pytest.fixture(scope="module")
def cost():
    """The script that measured time and memory."""
    return script("bptt_cost")


def test_the_ways_back_agree(cost):
    params, x, d_h = cost.problem(100)
    exact, again, cut = (cost.WAYS[name](params, x, d_h) for name in ("full", "every √T-th state", "windows of 32"))
    tape = rl.unroll(cost.CELL, params, x)[2]
    truncated = rl.backprop(cost.CELL, params, tape, d_h, truncate=cost.WINDOW).params
    for name in exact:
        np.testing.assert_allclose(again[name], exact[name], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(cut[name], truncated[name], rtol=1e-9, atol=1e-12)
    assert max(np.abs(cut[name] - exact[name]).max() for name in exact) > 1e-3


@pytest.mark.parametrize("way", ["full", "windows of 32", "every √T-th state"])
def test_the_recorded_memory_comes_out_again(cost, lesson, way):
    """Another NumPy or system may ask for a little more at once."""
    row = random.choice([row for row in lesson["cost"]["rows"] if row["way"] == way and row["T"] > 100])
    assert cost.peak_bytes(cost.WAYS[way], row["T"]) == pytest.approx(row["bytes"], rel=0.1)


def test_time_grows_in_proportion_to_the_steps(lesson):
    """In the record; a test that timed anything here would fail on a busy machine."""
    for way in ("forward only", *lesson["WAYS"]):
        assert 9 < lesson["spent"](way, "ms")[-1] / lesson["spent"](way, "ms")[-3] < 20  # 16 times the steps
    full, forward, again = (lesson["spent"](way, "ms")[-1] for way in ("full", "forward only", "every √T-th state"))
    assert 2 < full / forward < again / forward < 4.5


def test_the_fewest_states(lesson):
    for length in (16, 256, 1024, 4096):
        held = lesson["states_held"](length, np.arange(1, length + 1))
        assert held.min() == 2 * round(length**0.5) and held[round(length**0.5) - 1] == held.min()
    assert 64 * 512 * 4 == 131_072 and pytest.approx(262e6, rel=0.01) == 2000 * 131_072
    assert lesson["states_held"](2000, 45) == 90 and pytest.approx(12e6, rel=0.02) == 90 * 131_072


@pytest.mark.parametrize("name", ["chain", "check_width", "who_is_wrong", "cut_short", "learned", "memory", "grows"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])

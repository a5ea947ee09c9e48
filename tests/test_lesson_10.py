"""What lesson 10 says and shows, asserted on its data, and random cells of its record computed again."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

import rnnlab as rl
from drawings import assert_lines_stay_inside
from evidence import begins_as_stored, script, skip_unless_exact
from explorables import load

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(NOTEBOOKS / "10_lstm.ipynb").namespace


@pytest.fixture(scope="module")
def compare():
    """The script that made the record."""
    return script("lstm_compare")


@pytest.fixture(scope="module")
def record():
    """What the script stored."""
    return json.loads((NOTEBOOKS / "evidence" / "lstm_compare.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- a sum, and gates by hand


@pytest.mark.parametrize("f", [0.5, 0.9, 1.0])
def test_the_spread_of_the_noise(lesson, f):
    """Against the closed form, and against many sequences."""
    k = np.arange(lesson["STEPS"])
    exact = 0.3 * np.sqrt(k if f == 1 else (1 - f ** (2.0 * k)) / (1 - f**2))
    np.testing.assert_allclose(lesson["spread"](f, 0.3), exact, atol=1e-12)
    noise, memory = np.random.default_rng(0).standard_normal((4000, 40)), np.zeros(4000)
    for t in range(40):
        memory = f * memory + 0.3 * noise[:, t]
    assert memory.std() == pytest.approx(exact[40], rel=0.05)


def test_only_the_right_gates_are_perfect(lesson):
    errors = {tuple(state.values()): np.mean((lesson["gated"](**state) - lesson["WANTED"]) ** 2)
              for state in lesson["by_hand"].grid()}  # fmt: skip
    assert [state for state, error in errors.items() if error == 0] == [(0.0, 1.0, 0.0)]


def test_the_lessons_step_is_that_of_the_module(lesson):
    rng = np.random.default_rng(1)
    cell = rl.LSTMCell(2, 7)
    params, x = cell.init(rng), rng.standard_normal((9, 3, 2))
    h, (_, c), _ = rl.unroll(cell, params, x)
    ours = lesson["lstm"](params, x)
    np.testing.assert_allclose(ours[0], h, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours[1][-1], c, rtol=0, atol=1e-12)
    swapped = params | {"weight_ih": np.roll(params["weight_ih"], 7, axis=0)}
    assert np.abs(lesson["lstm"](swapped, x)[0] - h).max() > 1e-3, "another order of gates would pass"


# ---------------------------------------------------------------- the gradient of the memory


@pytest.mark.parametrize("bias, kept", [(0, 7.9e-31), (1, 2.5e-14), (3, 7.8e-3), (5, 0.511)])
def test_what_a_bias_keeps(lesson, bias, kept):
    assert lesson["sigmoid"](bias) ** 100 == pytest.approx(kept, rel=0.01)


def test_the_direct_path_is_what_a_change_of_the_memory_does_alone(lesson):
    """With no weights from the state to the gates there is no other path."""
    model, batch = lesson["model"], lesson["task"].sample(np.random.default_rng(3), 4)
    params = lesson["begin"]("1", 0)
    params["weight_hh"] = 0 * params["weight_hh"]
    d_c = model.loss_and_grads(params, batch).d_c
    f = model.cell.activations(rl.unroll(model.cell, params, batch.x)[2])["f"]
    np.testing.assert_allclose(d_c[10], d_c[-1] * np.prod(f[11:], axis=0), rtol=1e-9)


def test_slopes_at_the_start(lesson):
    slopes = {bias: lesson["slope"](bias, 0) for bias in lesson["BIASES"]}
    assert all(every > direct - 0.01 for every, direct in slopes.values())
    assert slopes["0"][0] < slopes["1"][0] < slopes["3"][0] < slopes["5"][0] < 0
    assert slopes["0"][0] == pytest.approx(lesson["plain_slope"], abs=0.15)
    assert slopes["1"][1] == pytest.approx(np.log(lesson["sigmoid"](1)), abs=0.05)


def test_the_slope_of_one_unit_is_its_mean_log(lesson):
    """With no other path, and each unit on its own: the claim behind 'slope = mean log f'."""
    model, batch = lesson["model"], lesson["task"].sample(np.random.default_rng(3), 4)
    params = lesson["begin"]("chrono", 1)
    params["weight_hh"] = 0 * params["weight_hh"]
    d_c = model.loss_and_grads(params, batch).d_c
    f = model.cell.activations(rl.unroll(model.cell, params, batch.x)[2])["f"]
    slope = np.log(np.abs(d_c[-51] / d_c[-1])) / 50
    np.testing.assert_allclose(slope, np.log(f[-50:]).mean(axis=0), rtol=1e-9)


def test_networks_on_the_way_are_those_of_a_shorter_training(lesson):
    early = rl.train(lesson["model"], lesson["task"], rl.Adam(0.01), rl.ClipNorm(1.0), 50, 3, 16,
                     params=lesson["begin"]("5", 3), progress=False)  # fmt: skip
    for name, array in lesson["trained"]("5")[50][3].items():
        np.testing.assert_allclose(array, early.params[name], rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------- the record


def test_the_record_is_whole_and_fair(compare, record):
    for experiment, methods in compare.METHODS.items():
        for method in methods:
            trials = {row["lr"]: np.mean(row["mean_losses"]) for row in record["pilot"]
                      if (row["experiment"], row["method"]) == (experiment, method)}  # fmt: skip
            fresh = [row for row in record["fresh"] if (row["experiment"], row["method"]) == (experiment, method)]
            best, ladder = min(trials, key=trials.get), compare.LADDERS[experiment]
            assert sorted(trials) == ladder[ladder.index(min(trials)) : ladder.index(max(trials)) + 1]
            assert set(trials) >= set(compare.RATES[experiment]) and len(fresh) == 12
            assert min(trials) < best < max(trials) or experiment == "latest", "the best is at an edge"
            assert {row["lr"] for row in fresh} == {best}
            assert {row["seed"] for row in fresh} == set(compare.FRESH_SEEDS)
    assert not set(compare.PILOT_SEEDS) & set(compare.FRESH_SEEDS)


@pytest.mark.parametrize("experiment, lowest, least, most", [("biases", 0.01, 0.001, 0.1), ("biases", 0.1, 0.001, 0.3),
                                                             ("adding", 0.0003, 0.0001, 0.1), ("adding", 1, 0.001, 1),
                                                             ("latest", 0.1, 0.001, 0.03)])  # fmt: skip
def test_tuning_goes_on_beyond_an_edge(compare, monkeypatch, experiment, lowest, least, most):
    """Until the best rate has a worse one on both sides, or the ladder ends, as that of the stream does early."""
    monkeypatch.setattr(compare, "run", lambda *own: [{"mean_loss": abs(np.log(own[2] / lowest))} for _ in own[3]])
    trials = compare.tune(experiment, compare.METHODS[experiment][0])
    assert compare.best_of(trials) == (lowest if lowest in trials else most)
    assert sorted(trials) == [lr for lr in compare.LADDER if least <= lr <= most]


def test_what_the_lesson_says_of_the_common_rate(record):
    """At a rate of 0.003 the pilot runs of the four plain biases are best with 5."""
    means = {row["method"]: np.mean(row["mean_losses"]) for row in record["pilot"]
             if row["experiment"] == "biases" and row["lr"] == 0.003 and row["method"] != "chrono"}  # fmt: skip
    assert min(means, key=means.get) == "5"


def test_random_cells_are_exactly_as_stored(compare, record):
    skip_unless_exact(record["made"])
    row = random.choice([row for row in record["fresh"] if row["method"] == "plain RNN"])
    again = compare.run(row["experiment"], row["method"], row["lr"], compare.FRESH_SEEDS)
    (again,) = (one for one in again if one["seed"] == row["seed"])
    assert (again["mean_loss"], again["curve"]) == (row["mean_loss"], row["curve"])


@pytest.mark.parametrize("experiment", ["biases", "adding", "latest"])
def test_random_runs_begin_as_stored(compare, record, experiment):
    row = random.choice([row for row in record["fresh"] if row["experiment"] == experiment])
    (again,) = compare.run(experiment, row["method"], row["lr"], [row["seed"]], updates=100)
    begins_as_stored(again["curve"], row["curve"][:2])


def test_the_stream_asks_for_the_newest_marked_number(compare):
    task = compare.Latest(30)
    x, y, mask = task.sample(np.random.default_rng(5), 3)
    for b in range(3):
        newest = 0.0
        for t in range(30):
            newest = x[t, b, 0] if x[t, b, 1] else newest
            assert y[t, b, 0] == newest
    assert mask.all() and 0.1 < x[..., 1].mean() < 0.3
    assert task.baseline == pytest.approx(np.mean(task.sample(np.random.default_rng(6), 4000).y ** 2), rel=0.02)


@pytest.mark.parametrize("name", ["carousel", "by_hand", "two_paths", "biases", "parts"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])

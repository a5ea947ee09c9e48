"""What lesson 12 says and shows, asserted on its data, and random cells of its records computed again."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

import rnnlab as rl
from drawings import assert_lines_stay_inside, axes_of
from evidence import begins_as_stored, script, skip_unless_exact
from explorables import load

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(NOTEBOOKS / "12_after_the_gates.ipynb").namespace


@pytest.fixture(scope="module")
def scripts():
    """The scripts that made the records, by name."""
    return {name: script(name) for name in ("parity_lengths", "after_gates")}


@pytest.fixture(scope="module")
def records():
    """What the scripts stored, by name."""
    return {
        name: json.loads((NOTEBOOKS / "evidence" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("parity_lengths", "after_gates")
    }


# ---------------------------------------------------------------- what is computed in the lesson


def test_the_lessons_scan_and_cell_are_those_of_the_module(lesson):
    rng = np.random.default_rng(3)
    for T in (1, 2, 7, 16, 33):
        a, b = rng.standard_normal((2, T, 4))
        np.testing.assert_allclose(lesson["pairs"](a, b), rl.scan(a, b), rtol=0, atol=1e-12)
    cell = rl.MinGRUCell(2, 7)
    params, x = cell.init(rng), rng.standard_normal((9, 3, 2))
    np.testing.assert_allclose(lesson["min_gru"](params, x), rl.unroll(cell, params, x)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("T", [2, 3, 8, 16, 31, 64, 4096])
def test_the_drawn_rounds_are_a_scan(lesson, T):
    """Each round joins stretches that touch; in the end every step has its whole past."""
    rounds = lesson["rounds"](T)
    for before, after in zip(rounds, rounds[1:], strict=False):
        for t in np.flatnonzero(before != after):
            assert after[t] == before[before[t] - 1], "a step is joined with the stretch that ends where its own begins"
    assert (rounds[-1] == 0).all() and len(rounds) - 1 <= 2 * np.ceil(np.log2(T))


def test_the_turning_memory_is_that_of_the_cell(lesson):
    cell, radius, degrees = rl.LRUCell(1, 2), 0.95, 30
    params = {"weight_ih": np.array([[1.0], [0.0]]), "nu_log": np.log(-np.log([radius])),
              "theta_log": np.log(np.deg2rad([degrees])), "gamma_log": np.zeros(1)}  # fmt: skip
    x = np.zeros((81, 1, 1))
    x[0] = 1
    line = axes_of(lesson["turning"], radius=radius, degrees=degrees)[1].lines[2]
    np.testing.assert_allclose(rl.unroll(cell, params, x)[0][:, 0, 0], line.get_ydata(), atol=1e-12)


def test_the_drawn_weights_are_those_of_the_slstm(lesson):
    """h with o = 1 is the mean of the new values with these weights: ask with one new value of 1 at a time."""
    cell = rl.SLSTMCell(2, 1)
    params = {"weight_ih": np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), "weight_hh": np.zeros((4, 1)),
              "bias_ih": np.array([0.0, np.log(0.8 / 0.2), 0.0, 500.0]), "bias_hh": np.zeros(4)}  # fmt: skip
    pre = np.zeros(11)
    pre[5] = 3.0
    for t in range(11):
        x = np.zeros((11, 1, 2))
        x[:, 0, 0], x[t, 0, 1] = pre, 500.0
        np.testing.assert_allclose(rl.unroll(cell, params, x)[0][-1, 0, 0], lesson["weights"](pre, 0.8)[t], atol=1e-12)


def test_the_solution_of_parity_by_hand_is_right():
    cell = rl.MinGRUCell(1, 1, negative=True)
    params = {"weight_ih": np.array([[-80.0], [0.0]]), "bias_ih": np.array([40.0, 0.0])}
    bits = np.random.default_rng(0).integers(0, 2, (1000, 1, 1)).astype(float)
    h, _, _ = rl.unroll(cell, params, bits, np.ones((1, 1)))
    assert np.array_equal(h.ravel() < 0, bits.ravel().cumsum() % 2 == 1)


def test_an_lru_is_linear_in_its_input_and_a_min_gru_is_not():
    x = np.random.default_rng(1).standard_normal((30, 1, 2))
    for cell, linear in ((rl.LRUCell(2, 8), True), (rl.MinGRUCell(2, 8), False), (rl.MinLSTMCell(2, 8), False)):
        params = cell.init(np.random.default_rng(0))
        assert np.allclose(rl.unroll(cell, params, 2 * x)[0], 2 * rl.unroll(cell, params, x)[0]) == linear


# ---------------------------------------------------------------- the records


@pytest.mark.parametrize("task", ["adding", "temporal order"])
def test_the_networks_are_of_equal_size(scripts, records, task):
    source = scripts["after_gates"]
    sizes = {kind: sum(np.prod(shape) for shape in source.model_of(task, kind).stack.shapes.values())
             for kind in source.CELLS}  # fmt: skip
    assert max(sizes.values()) / min(sizes.values()) < 1.07
    assert sizes == records["after_gates"]["settings"]["parameters"][task]


@pytest.mark.parametrize("name", ["parity_lengths", "after_gates"])
def test_the_records_are_whole_and_fair(scripts, records, name):
    source, record = scripts[name], records[name]
    keys = [key for key in ("task", "cell") if key in record["pilot"][0]]
    groups = {tuple(row[key] for key in keys) for row in record["fresh"]}
    assert len(groups) == len(source.CELLS) * (len(source.TASKS) if "task" in keys else 1)
    for own in groups:
        trials = {row["lr"]: np.mean(row["mean_losses"]) for row in record["pilot"]
                  if tuple(row[key] for key in keys) == own}  # fmt: skip
        fresh = [row for row in record["fresh"] if tuple(row[key] for key in keys) == own]
        assert sorted(trials) == source.RATES and {row["lr"] for row in fresh} == {min(trials, key=trials.get)}
        assert sorted(row["seed"] for row in fresh) == list(source.FRESH_SEEDS)
    assert not set(source.PILOT_SEEDS) & set(source.FRESH_SEEDS)


def test_a_random_run_of_parity_is_exactly_as_stored(scripts, records):
    skip_unless_exact(records["parity_lengths"]["made"])
    row = random.choice([row for row in records["parity_lengths"]["fresh"] if row["cell"] != "sLSTM"])
    again = scripts["parity_lengths"].run(row["cell"], row["lr"], scripts["parity_lengths"].FRESH_SEEDS)
    (again,) = (one for one in again if one["seed"] == row["seed"])
    assert (again["mean_loss"], again["right"]) == (row["mean_loss"], row["right"])


def test_a_random_run_of_parity_begins_as_stored(scripts, records):
    parity, row = scripts["parity_lengths"], random.choice(records["parity_lengths"]["fresh"])
    (again,) = parity.run(row["cell"], row["lr"], [row["seed"]], updates=parity.EVERY)
    begins_as_stored(again["curve"], row["curve"][:1], about=row["cell"])


@pytest.mark.parametrize("kind", ["GRU", "sLSTM", "minGRU, 2 layers", "minLSTM, 2 layers", "LRU"])
def test_random_runs_begin_as_stored(scripts, records, kind):
    row = random.choice([row for row in records["after_gates"]["fresh"] if row["cell"] == kind])
    (again,) = scripts["after_gates"].run(row["task"], kind, row["lr"], [row["seed"]], updates=100)
    begins_as_stored(again["curve"][:1], row["curve"][:1])


@pytest.mark.parametrize("name", ["joined", "pays", "parity", "turning", "weighed", "learns"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])

"""What lesson 05 says and shows, asserted on its data, and random cells of its record computed again."""

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
    return load(NOTEBOOKS / "05_starting_well.ipynb").namespace


@pytest.fixture(scope="module")
def compare():
    """The script that made the record."""
    return script("starts_compare")


@pytest.fixture(scope="module")
def record():
    """What the script stored."""
    return json.loads((NOTEBOOKS / "evidence" / "starts_compare.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- memory of a start


def test_the_radius_of_torchs_and_glorots_start(lesson):
    """The circular law, for a matrix large enough."""
    rng = np.random.default_rng(0)
    uniform = rng.uniform(-1, 1, (400, 400)) / 20
    assert rl.spectral_radius(uniform) == pytest.approx(1 / np.sqrt(3), rel=0.06)
    assert rl.spectral_radius(rl.glorot(rng, (400, 400))) == pytest.approx(1, rel=0.06)


def test_without_inputs_an_orthogonal_network_is_orthogonal(lesson):
    """Exercise 1."""
    rng = np.random.default_rng(0)
    model = rl.Model(rl.RNNCell(2, 32), 1, rl.squared_error)
    params = model.init(rng) | {"weight_hh": rl.orthogonal(rng, 32)}
    params |= {name: 0 * params[name] for name in ("bias_ih", "bias_hh")}
    batch = rl.Adding(60).sample(rng, 4)
    flow = rl.gradient_flow(model, params, batch._replace(x=0 * batch.x))
    np.testing.assert_allclose(flow / flow[-1], 1, rtol=1e-12)


def test_units_take_what_the_radius_does_not_count(lesson):
    for start in ("torch", "Glorot", "sparse", "orthogonal"):
        for gain in (0.8, 1.0, 1.2):
            predicted, measured = lesson["factors"](start, gain)
            assert measured < predicted
    assert lesson["factors"]("orthogonal", 1.2)[1] > lesson["factors"]("orthogonal", 1.0)[1]


def test_what_the_bias_predicts(lesson):
    for bias in ("0", "1", "2", "3", "5"):
        _, predicted = lesson["kept"](bias, 1.0)
        np.testing.assert_allclose(predicted[:, 50], (1 / (1 + np.exp(-float(bias)))) ** 50, rtol=1e-9)
    assert (1 / (1 + np.exp(-lesson["half_bias"]))) ** 50 == pytest.approx(0.5)


def test_the_second_path_is_what_the_formula_misses(lesson):
    """With the weights from the state to the gates at zero, the direct path is all there is."""
    model, rng = lesson["lstm"], np.random.default_rng(0)
    params = rl.forget_bias(model.cell, model.init(rng), 1.0)
    params["weight_hh"] = 0 * params["weight_hh"]
    params["weight_ih"] = 0 * params["weight_ih"]
    d_c = model.loss_and_grads(params, lesson["long_task"].sample(rng, 4)).d_c
    flow = np.linalg.norm(d_c, axis=(1, 2))[::-1]
    np.testing.assert_allclose(flow[50] / flow[0], (1 / (1 + np.exp(-1.0))) ** 50, rtol=1e-9)
    measured, predicted = lesson["left"]("1")
    assert measured > 100 * predicted


# ---------------------------------------------------------------- the record


def test_the_record_is_whole_and_fair(compare, record):
    for experiment, methods in compare.METHODS.items():
        for method in methods:
            trials = {row["lr"]: np.mean(row["mean_losses"]) for row in record["pilot"]
                      if (row["experiment"], row["method"]) == (experiment, method)}  # fmt: skip
            fresh = [row for row in record["fresh"] if (row["experiment"], row["method"]) == (experiment, method)]
            assert sorted(trials) == compare.RATES and len(fresh) == 12
            assert {row["lr"] for row in fresh} == {min(trials, key=trials.get)}
            assert {row["seed"] for row in fresh} == set(compare.FRESH_SEEDS)
    assert not set(compare.PILOT_SEEDS) & set(compare.FRESH_SEEDS)


def test_random_cells_are_exactly_as_stored(compare, record):
    skip_unless_exact(record["made"])
    row = random.choice([row for row in record["fresh"] if row["experiment"] != "starts"])
    again = compare.run(row["experiment"], row["method"], row["lr"], compare.FRESH_SEEDS)
    (again,) = (one for one in again if one["seed"] == row["seed"])
    assert {name: again[name] for name in ("mean_loss", "curve")} == {
        name: row[name] for name in ("mean_loss", "curve")
    }


@pytest.mark.parametrize("experiment", ["starts", "margins", "omega"])
def test_random_runs_begin_as_stored(compare, record, experiment):
    row = random.choice([row for row in record["fresh"] if row["experiment"] == experiment])
    (again,) = compare.run(experiment, row["method"], row["lr"], [row["seed"]], updates=50)
    begins_as_stored(again["curve"], row["curve"][:1])


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_the_band_holds_the_singular_values_in_every_run(compare, margin):
    for one in compare.run("margins", margin, 0.03, [1, 2], updates=50):
        assert 1 - margin - 1e-9 <= one["smallest"] <= one["largest"] <= 1 + margin + 1e-9


def test_omega_is_in_the_gradient(compare):
    """With a weight of Omega the first step differs from the one without in W_hh alone."""
    plain, with_omega = ([row["largest"] for row in compare.run("omega", alpha, 0.003, [0], updates=50)]
                         for alpha in (0.0, 4.0))  # fmt: skip
    assert with_omega[0] > plain[0]


def test_an_update_counts_as_guessing_at_most(compare):
    (row,) = compare.run("starts", "glorot", 1e200, [0], updates=50)
    assert row["mean_loss"] <= rl.Adding(30).baseline + 1e-12


def test_what_the_lesson_concludes(lesson):
    values = lesson["values"]
    learned = {method: values("starts", method, "last_loss").mean() for method in lesson["METHODS"]["starts"]}
    assert {method for method, loss in learned.items() if loss < 0.1} == {"identity relu", "orthogonal relu"}
    assert (values("margins", 0.0) > values("margins", 0.1)).sum() >= 10
    assert (values("omega", 4.0) < values("omega", 0.0)).sum() >= 10
    lost = [row for row in lesson["rows"]("margins", None) if row["last_loss"] > 0.5]
    assert sum(min(row["curve"]) < 0.01 for row in lost) == 1, "the run that had learned the task and lost it again"
    assert sum(min(row["curve"]) > 1 for row in lost) == 2


@pytest.mark.parametrize("name", ["memory", "gates", "starts", "margins", "penalty"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])

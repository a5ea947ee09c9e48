"""What lesson 11 says and shows, asserted on its data, and random cells of its record computed again."""

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
    return load(NOTEBOOKS / "11_gru.ipynb").namespace


@pytest.fixture(scope="module")
def compare():
    """The script that made the record."""
    return script("gru_lstm")


@pytest.fixture(scope="module")
def record():
    """What the script stored."""
    return json.loads((NOTEBOOKS / "evidence" / "gru_lstm.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- the cell and its two definitions


def test_the_lessons_step_is_that_of_the_module(lesson):
    rng = np.random.default_rng(1)
    cell = rl.GRUCell(2, 7)
    params, x = cell.init(rng), rng.standard_normal((9, 3, 2))
    h = rl.unroll(cell, params, x)[0]
    np.testing.assert_allclose(lesson["gru"](params, x), h, rtol=0, atol=1e-12)
    turned = params | {"weight_hh": np.roll(params["weight_hh"], 7, axis=0)}
    assert np.abs(lesson["gru"](turned, x) - h).max() > 1e-3, "another order of gates would pass"


def test_a_gru_stays_between_minus_one_and_one():
    rng = np.random.default_rng(0)
    cell = rl.GRUCell(2, 6)
    params = {name: 20 * param for name, param in cell.init(rng).items()}
    assert np.abs(rl.unroll(cell, params, 50 * rng.standard_normal((200, 3, 2)))[0]).max() <= 1


@pytest.mark.parametrize("definition", ["paper", "torch"])
def test_the_drawn_candidates_are_those_of_the_cells(lesson, definition):
    """One step of the module's cells from the same state, with reset gates forced by the input's bias."""
    r, old, off, bias = np.array([0.2, 0.8]), np.array([0.8, -0.5]), 1.0, 0.5
    cell = (rl.ChoGRUCell if definition == "paper" else rl.GRUCell)(1, 2)
    params = {name: 0 * param for name, param in cell.init(np.random.default_rng(0)).items()}
    params["bias_ih"][cell.rows("r")] = np.log(r / (1 - r))
    params["bias_ih"][cell.rows("z")] = -40  # all of the new
    params["weight_hh"][cell.rows("n")] = [[1.2, off], [-off, 1.2]]
    params["bias_hh"][cell.rows("n")] = bias
    h = rl.unroll(cell, params, np.zeros((1, 1, 1)), old[None])[0][0, 0]
    np.testing.assert_allclose(h, lesson["candidates"](r, off, bias)[definition == "torch"], atol=1e-12)


def test_when_the_definitions_agree(lesson):
    for state in lesson["definitions"].grid():
        r = state["r_one"], state["r_two"]
        paper, pytorch = lesson["candidates"](r, state["off"], state["bias"])
        agree = r == (1, 1) or (state["bias"] == 0 and (r[0] == r[1] or state["off"] == 0))
        assert np.allclose(paper, pytorch) == agree, state


def test_the_direct_path_is_the_update_gate(lesson):
    """With no weights from the state to gates and new value, nothing else is left."""
    rng, model = np.random.default_rng(0), rl.Model(rl.GRUCell(2, 8), 1, rl.squared_error)
    params = model.init(rng)
    params |= {"weight_hh": 0 * params["weight_hh"], "weight_ih": 0 * params["weight_ih"]}
    keeps = model.cell.rows("z")
    params["bias_ih"][keeps], params["bias_hh"][keeps] = 2.0, 0.0
    flow = np.linalg.norm(model.loss_and_grads(params, lesson["task"].sample(rng, 4)).d_h, axis=(1, 2))[::-1]
    np.testing.assert_allclose(flow[50] / flow[0], lesson["sigmoid"](2.0) ** 50, rtol=1e-9)


# ---------------------------------------------------------------- the record


def test_what_is_held_equal(compare):
    sizes = {kind: sum(np.prod(shape) for shape in compare.model_of("adding", "parameters", kind).cell.shapes.values())
             for kind in compare.CELLS}  # fmt: skip
    assert max(sizes.values()) / min(sizes.values()) < 1.05 and min(sizes.values()) > 1100
    assert len({compare.UNITS["units"][kind] for kind in compare.CELLS}) == 1


def test_the_record_is_whole_and_fair(compare, record):
    for task in compare.TASKS:
        for equal in compare.UNITS:
            for kind in compare.CELLS:
                own = (task, equal, kind)
                trials = {row["lr"]: np.mean(row["mean_losses"]) for row in record["pilot"]
                          if (row["task"], row["equal"], row["cell"]) == own}  # fmt: skip
                fresh = [row for row in record["fresh"] if (row["task"], row["equal"], row["cell"]) == own]
                best, ladder = min(trials, key=trials.get), compare.LADDER
                assert sorted(trials) == ladder[ladder.index(min(trials)) : ladder.index(max(trials)) + 1]
                assert set(trials) >= set(compare.RATES) and min(trials) < best < max(trials), "the best is at an edge"
                assert {row["lr"] for row in fresh} == {best} and len(fresh) == 12
                assert {row["seed"] for row in fresh} == set(compare.FRESH_SEEDS)
    assert not set(compare.PILOT_SEEDS) & set(compare.FRESH_SEEDS)


@pytest.mark.parametrize("lowest, least, most", [(0.01, 0.001, 0.03), (0.03, 0.001, 0.1), (0.3, 0.001, 1),
                                                 (1, 0.001, 1), (0.0003, 0.0001, 0.03),
                                                 (0.0001, 0.0001, 0.03)])  # fmt: skip
def test_tuning_goes_on_beyond_an_edge(compare, monkeypatch, lowest, least, most):
    """Until the best rate has a worse one on both sides, or the ladder ends."""
    monkeypatch.setattr(compare, "run", lambda *own: [{"mean_loss": abs(np.log(own[3] / lowest))} for _ in own[4]])
    trials = compare.tune("adding", "units", "RNN")
    assert compare.best_of(trials) == lowest
    assert sorted(trials) == [lr for lr in compare.LADDER if least <= lr <= most]


def test_random_cells_are_exactly_as_stored(compare, record):
    skip_unless_exact(record["made"])
    row = random.choice([row for row in record["fresh"] if row["cell"] == "RNN" and row["task"] != "temporal order"])
    again = compare.run(row["task"], row["equal"], row["cell"], row["lr"], compare.FRESH_SEEDS)
    (again,) = (one for one in again if one["seed"] == row["seed"])
    assert (again["mean_loss"], again["held_out"]) == (row["mean_loss"], row["held_out"])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_random_runs_begin_as_stored(compare, record, kind):
    # 50 updates: of 225 runs rounded otherwise, the next 50 of one differed, by 15%.
    row = random.choice([row for row in record["fresh"] if row["cell"] == kind])
    (again,) = compare.run(row["task"], row["equal"], kind, row["lr"], [row["seed"]], updates=50)
    begins_as_stored(again["curve"], row["curve"][:1])


@pytest.mark.parametrize("name", ["mixing", "definitions", "carried", "fair"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])

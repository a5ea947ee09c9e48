"""What the benchmarks compare computes the same thing, and their records hold what the book prints of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl
from benchmarks import bench_ctc, contenders, textbook
from rnnlab import gathering

ROOT = Path(__file__).resolve().parents[1]

CELLS = {"RNN": rl.RNNCell, "GRU": rl.GRUCell, "LSTM": rl.LSTMCell}
LOOPS = {"RNN": textbook.rnn, "GRU": textbook.gru, "LSTM": textbook.lstm}


def worst(ours, theirs):
    return max(np.abs(ours[name] - theirs[name]).max() / max(1, np.abs(theirs[name]).max()) for name in theirs)


@pytest.mark.parametrize("kind", CELLS)
@given(seed=st.integers(0, 1000), T=st.integers(1, 30), B=st.integers(1, 8), D=st.integers(1, 5), H=st.integers(1, 12))
def test_the_textbook_loop_and_the_fast_path_give_the_same_numbers(kind, seed, T, B, D, H):
    rng, cell = np.random.default_rng(seed), CELLS[kind](D, H)
    params, x, d_h = cell.init(rng), rng.normal(size=(T, B, D)), rng.normal(size=(T, B, H))
    states, grads = LOOPS[kind](params, x, d_h)
    h, _, tape = rl.unroll(cell, params, x)
    np.testing.assert_allclose(h, states, rtol=0, atol=1e-12)
    assert worst(rl.backprop(cell, params, tape, d_h).params, grads) < 1e-12


@pytest.mark.parametrize("contender", ["ours", "torch_eager", pytest.param("jax_scan", marks=pytest.mark.needs("jax"))])
@pytest.mark.parametrize("kind", CELLS)
def test_every_contender_computes_the_same_gradients(kind, contender):
    if contender == "jax_scan":
        pytest.importorskip("jax", reason="JAX is not installed: pip install .[all]")
    problem = contenders.Problem(kind, hidden=6, batch=3, steps=7, dtype=np.float64)
    assert worst(getattr(contenders, contender)(problem)(), contenders.textbook(problem)()) < 1e-10


def test_stacked_runs_are_the_same_problem_as_looped_ones():
    problem = contenders.Problem("RNN", hidden=6, batch=3, steps=7, dtype=np.float64, runs=(2,))
    stacked, looped = contenders.ours(problem)(), contenders.looped(problem)()
    assert worst({name: grad[-1] for name, grad in stacked.items()}, looped) < 1e-12


def test_a_contender_with_a_fault_is_caught(monkeypatch):
    problem = contenders.Problem("LSTM", hidden=6, batch=3, steps=7, dtype=np.float64)
    expected = contenders.textbook(problem)()
    monkeypatch.setattr(textbook, "sigmoid", lambda z: 1 / (1 + np.exp(-1.001 * z)))
    assert worst(contenders.textbook(problem)(), expected) > 1e-10


def test_runs_are_stacked_only_where_the_record_has_them_faster():
    record = json.loads((ROOT / "benchmarks/results/bench_runs.json").read_text(encoding="utf-8"))
    sizes = {(row["H"], row["B"]) for row in record["rows"]}
    assert any(H * B <= gathering.STACKED for H, B in sizes) and any(H * B > gathering.STACKED for H, B in sizes)
    for row in record["rows"]:
        assert row["stacks"] == (row["H"] * row["B"] <= gathering.STACKED)
        for what in ("rates", "seeds"):
            if row["stacks"]:
                assert row["ms"][f"{what} one by one"] > 0.9 * row["ms"][f"{what} stacked"], row
    for row in record["sweeps"]:
        limit = 0.9 if row["stacks"] else 0.75  # where nothing stacks both do the same, and a sweep's own work is noisy
        assert row["ms"]["alone"] > limit * row["ms"]["as it comes"], row


def test_both_losses_of_the_ctc_benchmark_have_the_same_gradient():
    ours, theirs = (run() for run in bench_ctc.both(40, 3, 6, 4).values())
    assert np.abs(theirs).max() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-5)

"""Attention and graphs: gradients equal finite differences and torch's, and nobody sees the future."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnlab as rl
from oracles import finite_differences, worst_gap
from problems import CELLS, seeds, sizes
from rnnlab.torch_twin import TorchModel

SCORES, KINDS = st.sampled_from(["dot", "additive"]), st.sampled_from(["tanh", "lstm", "min gru"])


def problem(T, B, H, score, seed, cell="tanh", layers=1, runs=(), dtype=np.float64):
    """Return a model with random parameters and a batch of which some steps are asked."""
    rng = np.random.default_rng(seed)
    model = rl.AttentionModel(CELLS[cell](2, H), 3, rl.cross_entropy, score, attention_size=3, layers=layers)
    params = {name: rng.normal(size=(*runs, *shape)).astype(dtype) for name, shape in model.shapes.items()}
    mask = rng.integers(0, 2, (T, B))
    mask[-1] = 1
    return model, params, rl.Batch(rng.normal(size=(T, B, 2)).astype(dtype), rng.integers(0, 3, (T, B)), mask)


def by_differences(model, params, batch):
    return {
        name: finite_differences(lambda: model.loss_and_grads(params, batch).loss, array)
        for name, array in params.items()
    }


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), SCORES, KINDS, seeds)
def test_gradients_match_finite_differences(T, B, H, score, cell, seed):
    model, params, batch = problem(T, B, H, score, seed, cell)
    assert worst_gap(model.loss_and_grads(params, batch).grads, by_differences(model, params, batch)) < 1e-6


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, sizes, SCORES, st.sampled_from(list(CELLS)), st.integers(1, 2), seeds)
def test_everything_matches_torch(T, B, H, score, cell, layers, seed):
    model, params, batch = problem(T, B, H, score, seed, cell, layers)
    ours, theirs = model.loss_and_grads(params, batch), TorchModel(model).loss_and_grads(params, batch)
    assert ours.loss == pytest.approx(theirs.loss, abs=1e-10)
    assert worst_gap(ours.grads, {name: grad.numpy() for name, grad in theirs.grads.items()}) < 1e-9
    np.testing.assert_allclose(ours.d_h, theirs.d_h, atol=1e-9 * max(1, np.abs(ours.d_h).max()))
    asked = batch.mask.any(axis=1)
    np.testing.assert_allclose(ours.outputs[asked], theirs.outputs[asked], atol=1e-9)
    assert not ours.outputs[~asked].any()
    everywhere, _ = model.forward(params, batch.x)
    np.testing.assert_allclose(everywhere, TorchModel(model).forward(params, batch.x)[0], atol=1e-9)


@pytest.mark.parametrize("score", ["dot", "additive"])
def test_finite_differences_catch_faults(score):
    model, params, batch = problem(5, 3, 4, score, 1)
    right = by_differences(model, params, batch)
    read_back, read = model.read_back, model.read
    assert worst_gap(model.loss_and_grads(params, batch).grads, right) < 1e-6

    def keys_forgotten(params, *rest):
        grads, _ = read_back(params, *rest)
        return grads, read_back(params | {"weight_key": 0 * params["weight_key"]}, *rest)[1]

    def unscaled(params, h, asked, attended, d_outputs):
        alpha, *others = attended
        return read_back(params, h, asked, (np.ones_like(alpha), *others), d_outputs)

    for wrong in (keys_forgotten, unscaled):
        model.read_back = wrong
        assert worst_gap(model.loss_and_grads(params, batch).grads, right) > 1e-3
    model.read_back, model.read = read_back, read


@pytest.mark.parametrize("score", ["dot", "additive"])
def test_weights_sum_to_one_and_do_not_see_the_future(score):
    model, params, batch = problem(7, 2, 4, score, 0)
    for step in (0, 3, -1):
        alpha = model.attention(params, batch.x, step)
        assert alpha.shape == (2, 7)
        np.testing.assert_allclose(alpha.sum(axis=1), 1)
        later = np.arange(7) > step % 7
        assert not alpha[:, later].any() and (alpha[:, ~later] > 0).all()
    changed = batch.x.copy()
    changed[4:] += 1
    before, after = (model.forward(params, x)[0] for x in (batch.x, changed))
    np.testing.assert_array_equal(before[:4], after[:4])
    assert not np.allclose(before[4:], after[4:])


@pytest.mark.parametrize("score", ["dot", "additive"])
def test_runs_and_float32(score):
    model, params, batch = problem(5, 3, 4, score, 3, runs=(2, 3))
    together = model.loss_and_grads(params, batch)
    for index in np.ndindex(2, 3):
        alone = model.loss_and_grads({name: array[index] for name, array in params.items()}, batch)
        assert together.loss[index] == pytest.approx(alone.loss)
        assert worst_gap({n: g[index] for n, g in together.grads.items()}, alone.grads) < 1e-10
    model, params, batch = problem(5, 3, 4, score, 3, dtype=np.float32)
    out = model.loss_and_grads(params, batch)
    assert {grad.dtype for grad in out.grads.values()} == {np.dtype(np.float32)} and out.d_h.dtype == np.float32


@pytest.mark.parametrize("score", ["dot", "additive"])
def test_it_trains_alone_and_in_stacks(score):
    model = rl.AttentionModel(rl.RNNCell(2, 4), 1, rl.squared_error, score, 3)
    histories = rl.train(model, rl.Adding(6), rl.Adam(0.01), None, 30, np.arange(3), 4, progress=False)
    for seed, history in enumerate(histories):
        alone = rl.train(model, rl.Adding(6), rl.Adam(0.01), None, 30, seed, 4, progress=False)
        np.testing.assert_allclose(history.loss, alone.loss, rtol=1e-9)
    twin = rl.train(TorchModel(model), rl.Adding(6), rl.Adam(0.01), None, 30, 0, 4, progress=False)
    np.testing.assert_allclose(histories[0].loss, np.asarray(twin.loss), rtol=1e-8)


def test_what_attention_refuses():
    with pytest.raises(ValueError, match="expected score to be 'dot' or 'additive', got 'cosine'"):
        rl.AttentionModel(rl.RNNCell(2, 3), 1, rl.squared_error, "cosine")
    with pytest.raises(ValueError, match="expected attention_size"):
        rl.AttentionModel(rl.RNNCell(2, 3), 1, rl.squared_error, attention_size=0)
    model, params, batch = problem(4, 2, 3, "additive", 0)
    with pytest.raises(ValueError, match=r"missing \['weight_score'\]"):
        model.loss_and_grads({name: array for name, array in params.items() if name != "weight_score"}, batch)
    with pytest.raises(ValueError, match="expected weight_key of shape"):
        model.loss_and_grads(params | {"weight_key": np.zeros((2, 2))}, batch)
    with pytest.raises(TypeError, match="expected a batch"):
        model.loss_and_grads(params, batch.x)
    with pytest.raises(ValueError, match="truncate"):
        model.loss_and_grads(params, batch, truncate=0)


# ---------------------------------------------------------------- a recurrence on a graph


def graph_problem(T, N, H, seed, nonlinearity="tanh", runs=()):
    """Return a cell on a random graph, and random params, x, state and d_h for it; P is not symmetric."""
    rng = np.random.default_rng(seed)
    cell = rl.GraphRNNCell(2, H, rng.normal(size=(N, N)), nonlinearity)
    params = {name: rng.normal(size=(*runs, *shape)) for name, shape in cell.shapes.items()}
    x, state, d_h = rng.normal(size=(T, N, 2)), rng.normal(size=(N, H)), rng.normal(size=(*runs, T, N, H))
    return cell, params, x, state, d_h


def graph_gradients(cell, params, x, state, d_h):
    _, _, tape = rl.unroll(cell, params, x, state)
    back = rl.backprop(cell, params, tape, d_h)
    return {**back.params, "x": back.d_x, "state": back.d_state}


def graph_differences(cell, params, x, state, d_h):
    def loss():
        return float((rl.unroll(cell, params, x, state)[0] * d_h).sum())

    return {name: finite_differences(loss, array) for name, array in {**params, "x": x, "state": state}.items()}


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.sampled_from(["tanh", "linear"]), seeds)
def test_the_graph_matches_its_equation_and_finite_differences(T, N, H, nonlinearity, seed):
    cell, params, x, state, d_h = graph_problem(T, N, H, seed, nonlinearity)
    h = state
    for x_t, found in zip(x, rl.unroll(cell, params, x, state)[0], strict=True):
        z = cell.graph @ h @ params["weight_hh"].T + x_t @ params["weight_ih"].T + params["bias_ih"] + params["bias_hh"]
        h = np.tanh(z) if nonlinearity == "tanh" else z
        np.testing.assert_allclose(found, h, atol=1e-10 * max(1, np.abs(h).max()))
    arrays = cell, params, x, state, d_h
    assert worst_gap(graph_gradients(*arrays), graph_differences(*arrays)) < 1e-6


def test_a_graph_that_is_not_transposed_on_the_way_back_is_caught():
    cell, params, x, state, d_h = graph_problem(4, 3, 2, 0)
    steps_back = cell.steps_back
    cell.steps_back = lambda views, dot, W, d, P_T, mixed: steps_back(views, dot, W, d, P_T.T, mixed)
    gap = worst_gap(graph_gradients(cell, params, x, state, d_h), graph_differences(cell, params, x, state, d_h))
    assert gap > 1e-2


def test_the_graph_in_torch_in_runs_and_without_edges():
    cell, params, x, _, _ = graph_problem(4, 5, 3, 1)
    model = rl.Model(cell, 2, rl.cross_entropy)
    rng = np.random.default_rng(0)
    params |= {name: rng.normal(size=shape) for name, shape in model.readout.items()}
    batch = rl.Batch(x, rng.integers(0, 2, (4, 5)), np.ones((4, 5)))
    ours, theirs = model.loss_and_grads(params, batch), TorchModel(model).loss_and_grads(params, batch)
    assert worst_gap(ours.grads, {name: grad.numpy() for name, grad in theirs.grads.items()}) < 1e-10
    two = {name: np.stack([array, 2 * array]) for name, array in params.items()}
    together, alone = model.loss_and_grads(two, batch), model.loss_and_grads({n: a[1] for n, a in two.items()}, batch)
    assert worst_gap({n: g[1] for n, g in together.grads.items()}, alone.grads) < 1e-10
    lonely, plain = rl.GraphRNNCell(2, 3, np.eye(5)), rl.RNNCell(2, 3)
    np.testing.assert_allclose(rl.unroll(lonely, params, x)[0], rl.unroll(plain, params, x)[0], atol=1e-12)


def test_normalized_graphs():
    ring = np.roll(np.eye(6), 1, axis=0) + np.roll(np.eye(6), -1, axis=0)
    np.testing.assert_allclose(rl.normalized(ring), (ring + np.eye(6)) / 3)
    assert rl.spectral_norm(rl.normalized(np.ones((4, 4)) - np.eye(4))) == pytest.approx(1)
    for bad in (
        np.ones((2, 3)),
        np.zeros((0, 0)),
        np.array([[0, 1], [0, 0]]),
        -np.ones((2, 2)),
        np.full((2, 2), np.nan),
    ):
        with pytest.raises(ValueError, match="expected a s"):
            rl.normalized(bad)


def test_what_a_graph_refuses():
    cell, params, x, *_ = graph_problem(4, 3, 2, 0)
    with pytest.raises(ValueError, match="expected one sequence for each of the 3 nodes, got a batch of 2"):
        rl.unroll(cell, params, x[:, :2])
    with pytest.raises(ValueError, match="expected no lengths with a graph"):
        rl.unroll(cell, params, x, lengths=np.array([1, 2, 4]))
    with pytest.raises(ValueError, match="expected graph to be a square matrix"):
        rl.GraphRNNCell(2, 3, np.ones((2, 3)))
    with pytest.raises(TypeError, match="expected a cell whose sequences do not hear each other"):
        cell.jacobians(params, rl.unroll(cell, params, x)[2])
    assert cell.with_input(5).input_size == 5 and np.array_equal(cell.with_input(5).graph, cell.graph)
    assert repr(cell) == "GraphRNNCell(2, 2, nonlinearity='tanh', graph=3 nodes)"

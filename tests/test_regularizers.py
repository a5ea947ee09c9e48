"""Pascanu's regularizer: both forms against finite differences, autograd, closed forms, and planted faults."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl
from oracles import finite_differences, worst_gap
from problems import random_problem, seeds, sizes

RNNS = st.sampled_from(["tanh", "relu", "linear"])
FORMS = pytest.mark.parametrize("squared", [True, False])


def random_states(T, B, H, name="tanh", seed=0, dtype=np.float64, runs=()):
    """Return a cell, its params, and the states and total derivatives of a random sequence."""
    cell, params, x, state, d_h = random_problem(T, B, 2, H, name, seed, dtype, runs)
    h, _, tape = rl.unroll(cell, params, x, state)
    return cell, params, h, rl.backprop(cell, params, tape, d_h).d_h


def by_finite_differences(cell, params, h, d_h, squared):
    """Return the immediate derivative: h and d_h stay as they are while weight_hh moves."""
    return {
        "weight_hh": finite_differences(
            lambda: rl.omega(cell, params, h, d_h, squared)[0], params["weight_hh"], eps=1e-5
        )
    }


def by_autograd(cell, params, h, d_h, squared):
    """Return value and derivative as equation 9 or 10 has them, step by step, from Jacobians that torch computes."""
    W = torch.tensor(params["weight_hh"], requires_grad=True)
    terms = []
    for h_t, d_t in zip(torch.tensor(h).flatten(0, 1), torch.tensor(d_h).flatten(0, 1), strict=True):
        slope = {"tanh": 1 - h_t**2, "relu": (h_t > 0).double(), "linear": torch.ones_like(h_t)}[cell.nonlinearity]
        J = torch.diag(slope) @ W
        if d_t @ d_t >= 1e-20:
            ratio = (J.T @ d_t).norm() / d_t.norm()
            terms.append((ratio**2 - 1) ** 2 if squared else (ratio - 1) ** 2)
    value = torch.stack(terms).mean()
    value.backward()
    return value.item(), {"weight_hh": W.grad.numpy()}


# ---------------------------------------------------------------- oracles


@FORMS
@given(T=sizes, B=sizes, H=sizes, name=RNNS, seed=seeds)
def test_value_and_derivative_are_those_of_autograd(T, B, H, name, seed, squared):
    problem = random_states(T, B, H, name, seed)
    if name == "relu" and not squared and (problem[2] == 0).all(axis=-1).any():
        return  # r = 0: the norm has no derivative, and torch's is NaN
    value, grads = rl.omega(*problem, squared)
    reference, expected = by_autograd(*problem, squared)
    assert abs(value - reference) <= 1e-10 * max(1, reference)
    assert worst_gap(grads, expected) < 1e-10


@FORMS
@given(T=sizes, B=sizes, H=sizes, seed=seeds)
def test_derivative_matches_finite_differences(T, B, H, seed, squared):
    problem = random_states(T, B, H, seed=seed)
    assert worst_gap(rl.omega(*problem, squared)[1], by_finite_differences(*problem, squared)) < 1e-6


def test_the_ratio_is_what_one_step_of_backpropagation_does_to_the_gradient():
    """With all of the loss at the last step, dL/dh_{t-1} = J_t^T dL/dh_t: the ratios are those of neighbours in d_h."""
    cell, params, x, state, d_h = random_problem(6, 1, 2, 4)
    h, _, tape = rl.unroll(cell, params, x, state)
    d_h[:-1] = 0
    back = rl.backprop(cell, params, tape, d_h)
    norms = np.linalg.norm(np.concatenate([back.d_state[None], back.d_h]), axis=-1)
    ratios = norms[:-1] / norms[1:]
    assert rl.omega(cell, params, h, back.d_h)[0] == pytest.approx(((ratios**2 - 1) ** 2).mean(), rel=1e-12)
    assert rl.omega(cell, params, h, back.d_h, False)[0] == pytest.approx(((ratios - 1) ** 2).mean(), rel=1e-12)


@pytest.mark.parametrize("fault", ["transposed", "doubled", "wrong form"])
@FORMS
def test_the_oracles_catch_planted_faults(fault, squared):
    problem = random_states(5, 3, 4, seed=2)
    _, grads = rl.omega(*problem, squared != (fault == "wrong form"))
    wrong = {"transposed": grads["weight_hh"].T, "doubled": 2 * grads["weight_hh"]}.get(fault, grads["weight_hh"])
    for reference in (by_finite_differences(*problem, squared), by_autograd(*problem, squared)[1]):
        assert worst_gap({"weight_hh": wrong}, reference) > 1e-2


# ---------------------------------------------------------------- closed forms


@given(w=st.floats(-3, 3).filter(lambda w: abs(w) > 0.01), T=sizes)
def test_scalar_linear_network(w, T):
    """h_t = w h_{t-1}: every ratio is |w|."""
    cell, one = rl.RNNCell(1, 1, "linear"), np.ones((T, 1, 1))
    params = {"weight_hh": np.array([[w]])}
    value, grads = rl.omega(cell, params, one, one)
    np.testing.assert_allclose([value, grads["weight_hh"][0, 0]], [(w**2 - 1) ** 2, 4 * w * (w**2 - 1)], atol=1e-12)
    value, grads = rl.omega(cell, params, one, one, squared=False)
    np.testing.assert_allclose([value, grads["weight_hh"][0, 0]], [(abs(w) - 1) ** 2, 2 * (w - np.sign(w))], atol=1e-12)


@FORMS
def test_an_orthogonal_linear_network_needs_no_regularizer(squared):
    cell, rng = rl.RNNCell(2, 5, "linear"), np.random.default_rng(0)
    params = {"weight_hh": rl.orthogonal(rng, 5)}
    value, grads = rl.omega(cell, params, *rng.normal(size=(2, 7, 3, 5)), squared)
    assert value < 1e-28 and np.abs(grads["weight_hh"]).max() < 1e-14


# ---------------------------------------------------------------- what is counted


@FORMS
def test_padding_and_vanished_gradients_do_not_count(squared):
    cell, params, h, d_h = random_states(5, 3, 4)
    d_h[2:, 1] = 0
    d_h[0, 0] = 1e-12
    kept = (np.linalg.norm(d_h, axis=-1) > 1e-10).ravel()
    flat = [array.reshape(-1, 1, 4)[kept] for array in (h, d_h)]
    value, grads = rl.omega(cell, params, h, d_h, squared)
    alone, expected = rl.omega(cell, params, *flat, squared)
    assert value == pytest.approx(alone) and worst_gap(grads, expected) < 1e-12


@FORMS
def test_without_any_gradient_it_is_zero(squared):
    cell, params, h, d_h = random_states(3, 2, 4)
    value, grads = rl.omega(cell, params, h, 0 * d_h, squared)
    assert value == 0 and (grads["weight_hh"] == 0).all()


@FORMS
def test_a_step_that_stops_the_gradient_counts_one_and_pushes_nowhere(squared):
    """All units of a relu off: r = 0."""
    cell, params = rl.RNNCell(1, 2, "relu"), {"weight_hh": np.eye(2)}
    value, grads = rl.omega(cell, params, np.zeros((1, 1, 2)), np.ones((1, 1, 2)), squared)
    assert value == 1 and (grads["weight_hh"] == 0).all()


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@FORMS
def test_an_exploded_gradient_is_seen_in_the_result(bad, squared):
    cell, params, h, d_h = random_states(3, 2, 4)
    d_h[1, 1, 2] = bad
    value, grads = rl.omega(cell, params, h, d_h, squared)
    assert not np.isfinite(value) and not np.isfinite(grads["weight_hh"]).all()


@FORMS
def test_runs_and_dtypes(squared):
    cell, params, h, d_h = random_states(4, 3, 5, runs=(2, 2))
    value, grads = rl.omega(cell, params, h, d_h, squared)
    assert value.shape == (2, 2)
    for run in np.ndindex(2, 2):
        alone, expected = rl.omega(cell, {name: one[run] for name, one in params.items()}, h[run], d_h[run], squared)
        assert value[run] == pytest.approx(alone, rel=1e-12)
        np.testing.assert_allclose(grads["weight_hh"][run], expected["weight_hh"], rtol=1e-10)
    assert rl.omega(*random_states(4, 3, 5, dtype=np.float32), squared)[1]["weight_hh"].dtype == np.float32


# ---------------------------------------------------------------- at work, and at the door


def test_steps_against_it_pull_the_ratios_to_one():
    cell, params, h, d_h = random_states(6, 4, 4, "linear", seed=1)
    first = rl.omega(cell, params, h, d_h, squared=False)[0]
    for _ in range(1000):
        params["weight_hh"] -= 0.1 * rl.omega(cell, params, h, d_h, squared=False)[1]["weight_hh"]
    assert rl.omega(cell, params, h, d_h, squared=False)[0] < first / 100


def test_both_engines_give_what_it_needs():
    from rnnlab.torch_twin import TorchModel

    model = rl.Model(rl.RNNCell(2, 4), output_size=1, loss=rl.squared_error)
    params, batch = model.init(np.random.default_rng(0)), rl.Adding(6).sample(np.random.default_rng(1), 3)
    out, twin = model.loss_and_grads(params, batch), TorchModel(model).loss_and_grads(params, batch)
    ours, theirs = (
        rl.omega(model.cell, params, out.h, out.d_h),
        rl.omega(model.cell, params, twin.h.numpy(), twin.d_h.numpy()),
    )
    assert ours[0] == pytest.approx(theirs[0], rel=1e-10) and worst_gap(ours[1], theirs[1]) < 1e-10


@pytest.mark.parametrize(
    "change, error, says",
    [
        ({"cell": rl.LSTMCell(2, 4)}, TypeError, "expected an RNNCell"),
        ({"params": {}}, ValueError, "missing"),
        ({"params": {"weight_hh": np.eye(3)}}, ValueError, "weight_hh of shape"),
        ({"h": np.ones((5, 3, 8))}, ValueError, "one layer in one direction"),
        ({"d_h": np.ones((5, 4))}, ValueError, "d_h of shape"),
        ({"d_h": np.ones((5, 3, 4), int)}, TypeError, "float32 or float64"),
        ({"h": [[1.0]]}, TypeError, "float32 or float64"),
        ({"squared": "norms"}, ValueError, "squared to be True or False"),
    ],
)
def test_bad_input(change, error, says):
    cell, params, h, d_h = random_states(5, 3, 4)
    given = {"cell": cell, "params": params, "h": h, "d_h": d_h} | change
    with pytest.raises(error, match=says):
        rl.omega(**given)

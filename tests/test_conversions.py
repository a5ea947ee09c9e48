"""Weights between PyTorch's layout and Keras': the same numbers to and fro, and errors that name the fault."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl

CELLS = [rl.RNNCell, rl.LSTMCell, rl.GRUCell, rl.ChoGRUCell]
each = pytest.mark.parametrize("make", CELLS, ids=lambda make: make.__name__)
sizes = st.integers(1, 5)


@each
@given(sizes, sizes, st.integers(0, 99), st.sampled_from([np.float32, np.float64]))
def test_to_keras_and_back(make, D, H, seed, dtype):
    cell = make(D, H)
    params = cell.init(np.random.default_rng(seed), dtype)
    weights = rl.to_keras(cell, params)
    again = rl.from_keras(cell, weights)
    assert again.keys() == params.keys()
    for name in ("weight_ih", "weight_hh"):
        np.testing.assert_array_equal(again[name], params[name])
    if make is rl.GRUCell:
        assert all((again[name] == params[name]).all() for name in params)
    else:
        np.testing.assert_array_equal(again["bias_ih"], params["bias_ih"] + params["bias_hh"])
        assert not again["bias_hh"].any()
    assert all(array.dtype == dtype for array in [*weights, *again.values()])
    for one, other in zip(weights, rl.to_keras(cell, again), strict=True):
        np.testing.assert_array_equal(one, other)


@each
@given(sizes, sizes)
def test_nothing_is_a_view_of_what_was_passed(make, D, H):
    cell = make(D, H)
    params = cell.init(np.random.default_rng(0))
    for array in rl.to_keras(cell, params):
        assert not any(np.may_share_memory(array, param) for param in params.values())


def test_where_the_gates_of_a_gru_go():
    """By hand: rows 0, 1, 2 are r, z, n; the columns of Keras are z, r, h."""
    cell = rl.GRUCell(1, 1)
    params = {
        "weight_ih": np.array([[1.0], [2.0], [3.0]]),
        "weight_hh": np.array([[4.0], [5.0], [6.0]]),
        "bias_ih": np.array([7.0, 8.0, 9.0]),
        "bias_hh": np.array([10.0, 11.0, 12.0]),
    }
    kernel, recurrent_kernel, bias = rl.to_keras(cell, params)
    assert kernel.tolist() == [[2, 1, 3]] and recurrent_kernel.tolist() == [[5, 4, 6]]
    assert bias.tolist() == [[8, 7, 9], [11, 10, 12]]


def test_a_layer_without_bias():
    cell = rl.LSTMCell(2, 3)
    kernel, recurrent_kernel, _ = rl.to_keras(cell, cell.init(np.random.default_rng(0)))
    params = rl.from_keras(cell, [kernel, recurrent_kernel])
    assert not params["bias_ih"].any() and not params["bias_hh"].any()


def test_errors_say_what_was_expected():
    rng = np.random.default_rng(0)
    lstm, gru, cho = rl.LSTMCell(2, 3), rl.GRUCell(2, 3), rl.ChoGRUCell(2, 3)
    weights, params = rl.to_keras(gru, gru.init(rng)), lstm.init(rng)
    for call, error, message in [
        (lambda: rl.to_keras(rl.LRUCell(2, 4), {}), TypeError, "expected a cell that Keras has, RNNCell (SimpleRNN), "),
        (lambda: rl.to_keras(rl.LSTMCell(2, 3, forget_gate=False), {}), TypeError, "with all its gates, got LSTMCell"),
        (lambda: rl.to_keras(lstm, {"weight_ih": params["weight_ih"]}), ValueError, "missing ['weight_hh', 'bias_ih'"),
        (lambda: rl.to_keras(gru, params), ValueError, "expected weight_ih of shape (9, 2), got (12, 2)"),
        (
            lambda: rl.from_keras(cho, weights),
            ValueError,
            "expected bias of shape (9,), got (2, 9); a bias of two",
        ),
        (lambda: rl.from_keras(gru, [w[:, :6] for w in weights]), ValueError, "expected kernel of shape (2, 9), got"),
        (lambda: rl.from_keras(lstm, weights[:1]), ValueError, "as get_weights of LSTM gives, got 1 arrays"),
        (lambda: rl.from_keras(gru, [w.tolist() for w in weights]), TypeError, "NumPy array of float32 or float64"),
    ]:
        with pytest.raises(error, match=re.escape(message)):
            call()

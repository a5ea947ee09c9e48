import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnlab as rl
from oracles import finite_differences, worst_gap

sizes = st.integers(1, 5)
nonlinearities = st.sampled_from(["tanh", "relu", "linear"])


def random_problem(T, B, D, H, nonlinearity, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    cell = rl.RNNCell(D, H, nonlinearity)
    params = cell.init(rng, dtype)
    x, state, d_h = rng.normal(size=(T, B, D)), rng.normal(size=(B, H)), rng.normal(size=(T, B, H))
    return cell, params, x.astype(dtype), state.astype(dtype), d_h.astype(dtype)


def all_gradients(cell, params, x, state, d_h, d_state=None, truncate=None):
    _, _, tape = rl.unroll(cell, params, x, state)
    back = rl.backprop(cell, params, tape, d_h, d_state, truncate)
    return {**back.params, "x": back.d_x, "state": back.d_state}


def finite_difference_gradients(cell, params, x, state, d_h):
    def loss():
        return float((rl.unroll(cell, params, x, state)[0] * d_h).sum())

    arrays = {**params, "x": x, "state": state}
    return {name: finite_differences(loss, array) for name, array in arrays.items()}


def rnn_by_the_equation(params, x, h, nonlinearity):
    f = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0), "linear": lambda z: z}[nonlinearity]
    states = []
    for x_t in x:
        h = f(x_t @ params["weight_ih"].T + params["bias_ih"] + h @ params["weight_hh"].T + params["bias_hh"])
        states.append(h)
    return np.array(states)


@given(sizes, sizes, sizes, sizes, nonlinearities, st.integers(0, 10**6))
def test_states_follow_the_equation(T, B, D, H, nonlinearity, seed):
    cell, params, x, state, _ = random_problem(T, B, D, H, nonlinearity, seed)
    h, final, _ = rl.unroll(cell, params, x, state)
    np.testing.assert_allclose(h, rnn_by_the_equation(params, x, state, nonlinearity), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(final, h[-1])


@settings(max_examples=40)
@given(sizes, sizes, sizes, sizes, st.sampled_from(["tanh", "linear"]), st.integers(0, 10**6))
def test_gradients_match_finite_differences(T, B, D, H, nonlinearity, seed):
    problem = random_problem(T, B, D, H, nonlinearity, seed)
    assert worst_gap(all_gradients(*problem), finite_difference_gradients(*problem)) < 1e-6


class WithoutSlope(rl.RNNCell):
    def step_back(self, dot, d_h, d_z, W_hh, d_h_before):
        d_h += d_h_before
        d_z[...] = d_h  # the tanh derivative is missing
        dot(d_z, W_hh, d_h_before)


class Transposed(rl.RNNCell):
    def step_back(self, dot, d_h, d_z, W_hh, d_h_before):
        super().step_back(dot, d_h, d_z, W_hh.T, d_h_before)


class Forgetful(rl.RNNCell):
    def step_back(self, dot, d_h, d_z, W_hh, d_h_before):
        d_z *= d_h  # what came back through time is not added
        dot(d_z, W_hh, d_h_before)


@pytest.mark.parametrize("faulty", [WithoutSlope, Transposed, Forgetful])
def test_finite_differences_catch_a_planted_fault(faulty):
    _, *arrays = random_problem(4, 3, 2, 5, "tanh", seed=0)
    problem = (faulty(2, 5), *arrays)
    assert worst_gap(all_gradients(*problem), finite_difference_gradients(*problem)) > 1e-2


def test_float32_stays_float32():
    problem = random_problem(6, 3, 2, 4, "tanh", seed=1, dtype=np.float32)
    gradients = all_gradients(*problem)
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}
    cell, params, *arrays = random_problem(6, 3, 2, 4, "tanh", seed=1)
    assert worst_gap(gradients, all_gradients(cell, params, *arrays)) < 1e-5


@given(sizes, st.integers(0, 10**6))
def test_jacobian_matches_finite_differences(H, seed):
    cell, params, x, state, _ = random_problem(1, 1, 2, H, "tanh", seed)
    jacobian = cell.jacobian(params, rl.unroll(cell, params, x, state)[0][0, 0])
    for i in range(H):
        row = finite_differences(lambda i=i: float(rl.unroll(cell, params, x, state)[0][0, 0, i]), state)
        np.testing.assert_allclose(jacobian[i], row[0], atol=1e-8)


def test_the_two_biases_are_two_arrays():
    gradients = all_gradients(*random_problem(3, 2, 2, 4, "tanh", seed=0))
    np.testing.assert_array_equal(gradients["bias_ih"], gradients["bias_hh"])
    assert not np.shares_memory(gradients["bias_ih"], gradients["bias_hh"])


@pytest.mark.parametrize("size", [0, -1, 2.5, True, None, "3"])
def test_sizes_are_checked(size):
    with pytest.raises(ValueError, match="expected hidden_size to be a whole number of at least 1, got"):
        rl.RNNCell(2, size)
    with pytest.raises(ValueError, match="input_size"):
        rl.RNNCell(size, 2)


def test_nonlinearity_is_checked():
    with pytest.raises(ValueError, match="expected nonlinearity to be one of .* got 'sigmoid'"):
        rl.RNNCell(2, 3, "sigmoid")

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl
from problems import random_problem


def non_normal():
    """Spectral radius 0.9 and largest singular value 3: [[a, s1 - s2], [0, a]] has s1 s2 = a^2."""
    return np.array([[0.9, 3 - 0.81 / 3], [0.0, 0.9]])


def test_the_powers_of_a_non_normal_matrix_first_grow_and_then_fade():
    matrix = non_normal()
    assert rl.spectral_radius(matrix) == pytest.approx(0.9, abs=1e-12)
    assert rl.spectral_norm(matrix) == pytest.approx(3, abs=1e-12)
    norms = [rl.spectral_norm(np.linalg.matrix_power(matrix, k)) for k in range(200)]
    peak = int(np.argmax(norms))
    assert 5 < peak < 15 and norms[peak] > 10
    assert norms[-1] < 1e-5


@given(st.integers(1, 12), st.floats(0.01, 3), st.integers(0, 10**6))
def test_scaling_gives_the_spectral_radius(size, radius, seed):
    matrix = np.random.default_rng(seed).normal(size=(size, size))
    assert rl.spectral_radius(rl.scale_to_spectral_radius(matrix, radius)) == pytest.approx(radius, rel=1e-8)


@given(st.integers(1, 12), st.integers(0, 10**6))
def test_orthogonal(size, seed):
    q = rl.orthogonal(np.random.default_rng(seed), size)
    np.testing.assert_allclose(q @ q.T, np.eye(size), atol=1e-12)


def test_bad_matrices():
    with pytest.raises(ValueError, match=r"square matrix, got shape \(2, 3\)"):
        rl.spectral_radius(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no multiple of it"):
        rl.scale_to_spectral_radius(np.array([[0.0, 1.0], [0.0, 0.0]]), 1.0)
    with pytest.raises(ValueError, match="radius"):
        rl.scale_to_spectral_radius(np.eye(2), -1)


def test_identity_and_glorot():
    np.testing.assert_array_equal(rl.identity(3, 0.5), 0.5 * np.eye(3))
    assert rl.identity(3, dtype=np.float32).dtype == np.float32
    matrix = rl.glorot(np.random.default_rng(0), (200, 100))
    bound = np.sqrt(6 / 300)
    assert matrix.shape == (200, 100) and np.abs(matrix).max() <= bound
    assert matrix.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)


@given(st.integers(5, 30), st.integers(3, 5), st.floats(0.1, 2), st.integers(0, 10**6))
def test_sparse(size, nonzeros, radius, seed):
    matrix = rl.sparse(np.random.default_rng(seed), size, nonzeros, radius)
    assert ((matrix != 0).sum(axis=1) == nonzeros).all()
    assert rl.spectral_radius(matrix) == pytest.approx(radius, rel=1e-6)


@pytest.mark.parametrize("runs", [(), (3,)])
def test_forget_bias_sets_the_sum_and_leaves_its_argument(runs):
    cell, params, x, *_ = random_problem(3, 2, 2, 4, "lstm", runs=runs)
    kept = {name: param.copy() for name, param in params.items()}
    started = rl.forget_bias(cell, params, 2.0)
    both = started["bias_ih"] + started["bias_hh"]
    np.testing.assert_array_equal(both[..., cell.rows("f")], 2.0)
    np.testing.assert_array_equal(both[..., cell.rows("o")], (kept["bias_ih"] + kept["bias_hh"])[..., cell.rows("o")])
    assert all(np.array_equal(params[name], kept[name]) for name in kept)


def test_chrono_spreads_the_time_that_units_remember():
    """A forget gate sigmoid(ln u) = u / (1 + u) keeps a memory for about u steps, u uniform on (1, longest - 1)."""
    rng, cell = np.random.default_rng(0), rl.LSTMCell(1, 4000)
    params = {name: np.zeros(shape) for name, shape in cell.shapes.items() if name.startswith("bias")}
    bias = rl.chrono(cell, params, 101, rng)["bias_ih"]
    times = np.exp(bias[cell.rows("f")])
    assert 1 <= times.min() < 2 and 98 < times.max() <= 100
    assert times.mean() == pytest.approx(50.5, abs=1.5)
    np.testing.assert_array_equal(bias[cell.rows("i")], -bias[cell.rows("f")])
    gru = rl.GRUCell(1, 5)
    bias = rl.chrono(gru, gru.init(rng), 50, rng)["bias_ih"][gru.rows("z")]
    assert (bias > 0).all() and (bias < np.log(49)).all()
    rl.chrono(rl.LSTMCell(1, 3, coupled=True), rl.LSTMCell(1, 3, coupled=True).init(rng), 9, rng)


def test_bad_settings_of_initializers():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at most 4 nonzeros in a row of 4, got 5"):
        rl.sparse(rng, 4, 5)
    with pytest.raises(ValueError, match="radius"):
        rl.sparse(rng, 4, 2, radius=0)
    with pytest.raises(ValueError, match="size"):
        rl.identity(0)
    with pytest.raises(ValueError, match="longest to be at least 3 steps, got 2"):
        rl.chrono(rl.GRUCell(1, 2), {}, 2, rng)
    with pytest.raises(ValueError, match="expected one of the gates .* got 'f'"):
        rl.forget_bias(rl.GRUCell(1, 2), rl.GRUCell(1, 2).init(rng))

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl


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

"""The newer recurrences: the scan equals the loop, the stabilizer changes nothing but the range, faults are caught.

That gradients equal finite differences and torch's is tested with those of all cells: see `problems.CELLS`.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnlab as rl
from oracles import finite_differences, worst_gap
from problems import all_gradients, as_arrays, by_the_equations, random_problem, random_state, seeds, sizes
from rnnlab.torch_twin import TorchModel

LINEAR = ["min gru", "negative min gru", "min lstm", "negative min lstm", "lru"]


# ---------------------------------------------------------------- the scan


def loop(a, b, start):
    h, states = start, []
    for t in range(len(b)):
        h = a[t] * h + b[t]
        states.append(h)
    return np.array(states)


@settings(deadline=None)
@given(st.integers(1, 70), st.booleans(), st.booleans(), seeds)
def test_a_scan_equals_the_loop(T, constant, is_complex, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(T, 1 if constant else 2, 3)), rng.normal(size=(T, 2, 3))
    if is_complex:
        a, b = a * np.exp(1j * rng.random(a.shape)), b + 1j * rng.normal(size=b.shape)
    start = rng.normal(size=(2, 3)).astype(b.dtype)
    kept = a.copy(), b.copy()
    right = loop(a, b, start)
    scale = max(1, np.abs(right).max(), *np.abs(np.multiply.accumulate(a)).ravel())
    np.testing.assert_allclose(rl.scan(a, b, start), right, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(rl.scan(a, b), loop(a, b, 0 * start), rtol=0, atol=1e-12 * scale)
    np.testing.assert_array_equal(a, kept[0])
    np.testing.assert_array_equal(b, kept[1])


def test_what_a_scan_refuses():
    for a, b in ((np.ones(3), np.ones(4)), (np.ones(0), np.ones(0)), (np.ones((3, 1)), np.ones(3)), (1.0, 1.0)):
        with pytest.raises(ValueError, match="expected a and b with one axis of T steps in front, got shapes"):
            rl.scan(a, b)


@settings(deadline=None)
@given(st.integers(1, 40), sizes, sizes, sizes, st.sampled_from(LINEAR), st.booleans(), seeds)
def test_the_scan_of_a_cell_equals_its_steps(T, B, D, H, name, from_zero, seed):
    cell, params, x, state, _ = random_problem(T, B, D, H, name, seed)
    state = None if from_zero else state
    h = rl.unroll(cell, params, x, state)[0]
    np.testing.assert_allclose(rl.parallel_states(cell, params, x, state), h, atol=1e-12 * max(1, np.abs(h).max()))


def test_what_cannot_be_scanned():
    for name in ("tanh", "gru", "slstm"):
        cell, params, x, *_ = random_problem(4, 2, 2, 3, name)
        with pytest.raises(TypeError, match="expected a cell that is linear in its state, such as rnnlab.MinGRUCell"):
            rl.parallel_states(cell, params, x)
    cell, params, x, *_ = random_problem(4, 2, 2, 3, "min gru", runs=(2,))
    with pytest.raises(ValueError, match="expected parameters of one run"):
        rl.parallel_states(cell, params, x)
    cell, params, x, *_ = random_problem(4, 2, 2, 3, "min gru")
    with pytest.raises(ValueError, match="time-major"):
        rl.parallel_states(cell, params, x[0])
    with pytest.raises(ValueError, match="missing"):
        rl.parallel_states(cell, {}, x)


# ---------------------------------------------------------------- planted faults


def reference(cell, params, x, state, d_h):
    def loss():
        return float((rl.unroll(cell, params, x, state)[0] * d_h).sum())

    arrays = {**params, "x": x, **as_arrays(state)}
    return {name: finite_differences(loss, array) for name, array in arrays.items()}


@pytest.mark.parametrize("name", LINEAR)
def test_faults_on_the_way_through_the_coefficients_are_caught(name):
    problem = random_problem(4, 3, 2, 4, name, seed=1)
    cell, right = problem[0], reference(*problem)
    back = cell.back
    faults = {
        "the gradient of a is lost": lambda tape, d_a, d_b: back(tape, 0 * d_a, d_b),
        "that of b counts twice": lambda tape, d_a, d_b: back(tape, d_a, 2 * d_b),
        "a complex one is not conjugated": lambda tape, d_a, d_b: back(tape, np.conjugate(d_a), d_b),
        "a gate has the wrong sign": lambda tape, d_a, d_b: back(tape, -d_a, d_b),
    }
    assert worst_gap(all_gradients(*problem), right) < 1e-6
    for fault, wrong in faults.items():
        if name == "lru" or "conjugated" not in fault:
            cell.back = wrong
            assert worst_gap(all_gradients(*problem), right) > 1e-3, fault


@pytest.mark.parametrize("name", ["min gru", "lru", "slstm"])
def test_a_way_back_that_forgets_is_caught(name):
    problem = random_problem(4, 3, 2, 4, name, seed=1)
    cell, right = problem[0], reference(*problem)
    steps_back = cell.steps_back

    def forgetful(views, *shared):
        for view in views:
            shared[-1 if name != "slstm" else 2][...] = 0
            steps_back([view], *shared)

    cell.steps_back = forgetful
    assert worst_gap(all_gradients(*problem), right) > 1e-2


@pytest.mark.parametrize("name", ["slstm", "exponential slstm"])
def test_each_local_derivative_of_the_slstm_is_needed(name):
    """With a derivative from beyond the sequence too: that of m cancels in every h."""
    cell, params, x, state, d_h = random_problem(4, 3, 2, 5, name, seed=1)
    d_state = random_state(cell, 3, seed=2)

    def loss():
        h, final, _ = rl.unroll(cell, params, x, state)
        return float((h * d_h).sum() + sum((a * d).sum() for a, d in zip(final, d_state, strict=True)))

    arrays = {**params, "x": x, **as_arrays(state)}
    right = {key: finite_differences(loss, array) for key, array in arrays.items()}
    assert worst_gap(all_gradients(cell, params, x, state, d_h, d_state), right) < 1e-6
    local = cell.local_derivatives
    for row in range(9):
        for factor in (0, 2):

            def wrong(*args, row=row, factor=factor):
                local(*args)
                args[-1][row] *= factor

            cell.local_derivatives = wrong
            assert worst_gap(all_gradients(cell, params, x, state, d_h, d_state), right) > 1e-3, (row, factor)


# ---------------------------------------------------------------- what each is for


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_the_stabilizer_changes_the_range_and_not_the_output(forget):
    cell = rl.SLSTMCell(1, 2, forget)
    params = cell.init(np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=(20, 3, 1))
    state = rl.unroll(cell, params, x[:1])[1]
    np.testing.assert_allclose(
        rl.unroll(cell, params, x[1:], state)[0], by_the_equations(cell, params, x[1:], state), atol=1e-12
    )
    for huge in (200.0, 2000.0, -2000.0):  # exp(2000) is no number
        far = {**params, "bias_ih": params["bias_ih"].copy()}
        far["bias_ih"][cell.rows("i")] += huge
        h, _, tape = rl.unroll(cell, far, x)
        assert np.isfinite(h).all()
        back = rl.backprop(cell, far, tape, np.ones_like(h))
        assert all(np.isfinite(grad).all() for grad in back.params.values())


def test_a_shift_of_every_input_gate_cancels():
    """c and n grow alike, so that h cannot tell: the gate is relative."""
    cell = rl.SLSTMCell(1, 3)
    params, x = cell.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(9, 2, 1))
    moved = {**params, "bias_ih": params["bias_ih"].copy()}
    moved["bias_ih"][cell.rows("i")] += 50
    np.testing.assert_allclose(rl.unroll(cell, moved, x)[0], rl.unroll(cell, params, x)[0], atol=1e-12)


def test_the_ring_of_the_lru():
    cell = rl.LRUCell(3, 2000, r_min=0.5, r_max=0.9, max_phase=1.0)
    params = cell.init(np.random.default_rng(0))
    eigenvalues = cell.eigenvalues(params)
    size, angle = np.abs(eigenvalues), np.angle(eigenvalues)
    assert size.min() >= 0.5 and size.max() <= 0.9 and angle.min() >= 0 and angle.max() <= 1
    # Uniform on the ring: the square of the radius is uniform between the squares of its borders.
    np.testing.assert_allclose((size**2).mean(), (0.5**2 + 0.9**2) / 2, atol=0.02)
    np.testing.assert_allclose(np.exp(2 * params["gamma_log"]), 1 - size**2, atol=1e-12)
    for bad in ({"r_min": 0.9, "r_max": 0.5}, {"r_max": 1.0}, {"r_min": -0.1}, {"max_phase": 7}):
        with pytest.raises(ValueError, match="expected"):
            rl.LRUCell(3, 4, **bad)
    with pytest.raises(ValueError, match="expected an even hidden_size"):
        rl.LRUCell(3, 5)


def test_gamma_keeps_the_size_of_the_state():
    """Proposition 3.3 of Orvieto et al.: without gamma, states grow by log((1 - r_min^2) / (1 - r_max^2)) / (...)."""
    cell = rl.LRUCell(1, 400, r_min=0.8, r_max=0.98)
    params, x = cell.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(400, 30, 1))
    bare = {**params, "gamma_log": 0 * params["gamma_log"], "weight_ih": np.tile([[1.0], [0.0]], (200, 1))}
    grown = (rl.unroll(cell, bare, x)[0][-1] ** 2).sum(axis=1).mean() / 200
    low, high = 0.8**2, 0.98**2
    assert grown == pytest.approx(np.log((1 - low) / (1 - high)) / (high - low), rel=0.1)
    held = (rl.unroll(cell, bare | {"gamma_log": params["gamma_log"]}, x)[0][-1] ** 2).sum(axis=1).mean() / 200
    assert held == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("kind", [rl.MinGRUCell, rl.MinLSTMCell])
def test_chrono_holds_the_gates_open(kind):
    cell, rng = kind(2, 50), np.random.default_rng(0)
    params = rl.chrono(cell, cell.init(rng), 100, rng)
    tape = rl.unroll(cell, params, np.zeros((1, 1, 2)))[2]
    keep = tape.keep[0, 0, 0]
    assert keep.min() >= 0.5 and keep.max() <= 0.99 + 1e-3 and np.median(1 / (1 - keep)) > 20
    flow = rl.gate_saturation(cell, params, np.zeros((1, 1, 2)))
    assert set(flow) == set(cell.gates[:-1])


def test_an_empty_sequence_state_before_is_the_same_in_torch():
    model = rl.Model(rl.SLSTMCell(2, 4), 1, rl.squared_error)
    batch, params = rl.Adding(12).sample(np.random.default_rng(0), 3), model.init(np.random.default_rng(1))
    ours, theirs = model.loss_and_grads(params, batch), TorchModel(model).loss_and_grads(params, batch)
    assert worst_gap(ours.grads, {name: grad.numpy() for name, grad in theirs.grads.items()}) < 1e-12
    np.testing.assert_allclose(ours.d_c, theirs.d_c, atol=1e-12)


def test_parity_is_a_product_of_signs():
    """With a_t = -1 at a one and +1 at a zero, a state that starts at 1 is the parity: a linear recurrence."""
    cell = rl.MinGRUCell(1, 1, negative=True)
    params = {"weight_ih": np.array([[-80.0], [0.0]]), "bias_ih": np.array([40.0, 0.0])}
    bits = np.random.default_rng(0).integers(0, 2, (300, 8, 1)).astype(float)
    h = rl.unroll(cell, params, bits, np.ones((8, 1)))[0]
    np.testing.assert_allclose(h, 1 - 2 * (np.cumsum(bits, axis=0) % 2), atol=1e-9)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnlab as rl
from oracles import finite_differences, worst_gap
from problems import (
    CELLS,
    SMOOTH,
    all_gradients,
    as_arrays,
    by_the_equations,
    names,
    random_problem,
    seeds,
    sigmoid,
    sizes,
)


def finite_difference_gradients(cell, params, x, state, d_h):
    def loss():
        return float((rl.unroll(cell, params, x, state)[0] * d_h).sum())

    arrays = {**params, "x": x, **as_arrays(state)}
    return {name: finite_differences(loss, array) for name, array in arrays.items()}


@settings(max_examples=150)
@given(sizes, sizes, sizes, sizes, names, seeds)
def test_states_follow_the_equation(T, B, D, H, name, seed):
    cell, params, x, state, _ = random_problem(T, B, D, H, name, seed)
    h, final, _ = rl.unroll(cell, params, x, state)
    scale = max(1, np.abs(h).max())
    np.testing.assert_allclose(h, by_the_equations(cell, params, x, state), rtol=0, atol=1e-12 * scale)
    np.testing.assert_array_equal(as_arrays(final)["state 0"], h[-1])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.sampled_from(SMOOTH), seeds)
def test_gradients_match_finite_differences(T, B, D, H, name, seed):
    problem = random_problem(T, B, D, H, name, seed)
    assert worst_gap(all_gradients(*problem), finite_difference_gradients(*problem)) < 1e-6


@pytest.mark.parametrize("name", SMOOTH)
def test_every_cell_matches_finite_differences(name):
    problem = random_problem(5, 3, 2, 4, name, seed=7)
    assert worst_gap(all_gradients(*problem), finite_difference_gradients(*problem)) < 1e-6


class WithoutSlope(rl.RNNCell):
    def steps_back(self, views, dot, W_hh, d_h_before):
        for d_h, d_z in views:
            d_h += d_h_before
            d_z[...] = d_h  # the tanh derivative is missing
            dot(d_z, W_hh, d_h_before)


class Transposed(rl.RNNCell):
    def steps_back(self, views, dot, W_hh, d_h_before):
        super().steps_back(views, dot, W_hh.T, d_h_before)


class Forgetful(rl.RNNCell):
    def steps_back(self, views, dot, W_hh, d_h_before):
        for d_h, d_z in views:
            d_z *= d_h  # what came back through time is not added
            dot(d_z, W_hh, d_h_before)


@pytest.mark.parametrize("faulty", [WithoutSlope, Transposed, Forgetful])
def test_finite_differences_catch_a_planted_fault(faulty):
    _, *arrays = random_problem(4, 3, 2, 5, "tanh", seed=0)
    problem = (faulty(2, 5), *arrays)
    assert worst_gap(all_gradients(*problem), finite_difference_gradients(*problem)) > 1e-2


GATED = ["lstm", "coupled lstm", "peephole lstm", "gru", "cho gru"]


@pytest.mark.parametrize("name", GATED)
def test_finite_differences_catch_a_fault_in_each_local_derivative(name):
    """Each row of the table of local derivatives is needed: zero it, or double it, and the gradients are wrong."""
    problem = random_problem(4, 3, 2, 5, name, seed=1)
    cell, reference = problem[0], finite_difference_gradients(*problem)
    right = cell.local_derivatives
    assert worst_gap(all_gradients(*problem), reference) < 1e-6
    for row in range(5 if "gru" in name else 6):
        for factor in (0, 2):

            def wrong(*args, row=row, factor=factor):
                right(*args)
                args[-1][row] *= factor

            cell.local_derivatives = wrong
            assert worst_gap(all_gradients(*problem), reference) > 1e-3, (row, factor)


@pytest.mark.parametrize("name", GATED)
def test_finite_differences_catch_a_state_that_forgets_the_way_back(name):
    problem = random_problem(4, 3, 2, 5, name, seed=1)
    cell, reference = problem[0], finite_difference_gradients(*problem)
    right = type(cell).steps_back

    def wrong(views, W_times, d_h_before, *shared):
        for view in views:
            d_h_before[...] = 0  # what came back through time is not added
            right(cell, [view], W_times, d_h_before, *shared)

    cell.steps_back = wrong
    assert worst_gap(all_gradients(*problem), reference) > 1e-2


@pytest.mark.parametrize("name", CELLS)
def test_float32_stays_float32(name):
    problem = random_problem(6, 3, 2, 4, name, seed=1, dtype=np.float32)
    gradients = all_gradients(*problem)
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}
    cell, params, x, state, d_h = problem
    wide = {key: param.astype(float) for key, param in params.items()}
    state = tuple(a.astype(float) for a in state) if isinstance(state, tuple) else state.astype(float)
    assert worst_gap(gradients, all_gradients(cell, wide, x.astype(float), state, d_h.astype(float))) < 1e-5


@pytest.mark.parametrize("name", [name for name in CELLS if "bias_hh" in CELLS[name](2, 4).shapes])
def test_the_two_biases_are_two_arrays(name):
    gradients = all_gradients(*random_problem(3, 2, 2, 4, name))
    assert not np.shares_memory(gradients["bias_ih"], gradients["bias_hh"])
    same = np.array_equal(gradients["bias_ih"], gradients["bias_hh"])
    assert same == (name != "gru")  # torch's GRU has its reset gate between them


def state_jacobian(cell, params, x, state):
    """Return d(state after)/d(state before) of one step of one sequence by finite differences."""
    arrays, H = as_arrays(state), cell.hidden_size
    rows = []
    for array_after in range(len(arrays)):
        for unit in range(H):

            def after(array_after=array_after, unit=unit):
                return float(as_arrays(rl.unroll(cell, params, x, state)[1])[f"state {array_after}"][0, unit])

            rows.append(np.concatenate([finite_differences(after, array)[0] for array in arrays.values()]))
    return np.array(rows)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.sampled_from(SMOOTH), seeds)
def test_jacobians_match_finite_differences(H, name, seed):
    cell, params, x, state, _ = random_problem(1, 1, 2, H, name, seed)
    _, _, tape = rl.unroll(cell, params, x, state)
    np.testing.assert_allclose(cell.jacobians(params, tape)[0, 0], state_jacobian(cell, params, x, state), atol=1e-7)


@pytest.mark.parametrize("name", SMOOTH)
def test_every_cell_has_the_jacobian_of_each_step_and_sequence(name):
    T, B = 3, 2
    cell, params, x, state, _ = random_problem(T, B, 2, 2, name, seed=9)
    ours = cell.jacobians(params, rl.unroll(cell, params, x, state)[2])
    size = len(cell.state_names) * cell.hidden_size
    assert ours.shape == (T, B, size, size)
    for t, b in np.ndindex(T, B):
        before = state_after(cell, params, x[:t], state)
        own = tuple(array[b : b + 1].copy() for array in as_arrays(before).values())
        reference = state_jacobian(cell, params, x[t : t + 1, b : b + 1], own if len(own) > 1 else own[0])
        np.testing.assert_allclose(ours[t, b], reference, atol=1e-7, err_msg=f"step {t}, sequence {b}")


def state_after(cell, params, x, state):
    return rl.unroll(cell, params, x, state)[1] if len(x) else state


def gates_by_the_equations(cell, p, x_t, before, after):
    """Return what each gate of a step is, between 0 and 1, from the states before and after it."""
    H, h, now = cell.hidden_size, as_arrays(before)["state 0"], as_arrays(after)
    from_x, from_h = x_t @ p["weight_ih"].T + p["bias_ih"], h @ p["weight_hh"].T + p["bias_hh"]
    pre = {gate: (from_x + from_h)[:, cell.rows(gate)] for gate in cell.gates}
    if isinstance(cell, rl.RNNCell):
        return {"h": (1 + now["state 0"]) / 2}
    if isinstance(cell, rl.SLSTMCell):
        kept = before[3] + (pre["f"] if cell.forget == "exp" else np.log(sigmoid(pre["f"])))
        i, f = np.exp(pre["i"] - now["state 3"]), np.exp(kept - now["state 3"])
        return {"i": i, "f": f, "z": (1 + np.tanh(pre["z"])) / 2, "o": sigmoid(pre["o"])}
    if isinstance(cell, rl.LSTMCell):
        for k, gate in enumerate(getattr(cell, "peepholes", ())):
            pre[gate] = pre[gate] + p["weight_ch"][k * H : k * H + H] * (now["state 1"] if gate == "o" else before[1])
        return {gate: (1 + np.tanh(z)) / 2 if gate == "g" else sigmoid(z) for gate, z in pre.items()}
    r, z, n = sigmoid(pre["r"]), sigmoid(pre["z"]), cell.rows("n")
    recurrent = r * from_h[:, n]
    if isinstance(cell, rl.ChoGRUCell):
        recurrent = (r * h) @ p["weight_hh"][n].T + p["bias_hh"][n]
    return {"r": r, "z": z, "n": (1 + np.tanh(from_x[:, n] + recurrent)) / 2}


@pytest.mark.parametrize("name", [name for name in CELLS if "weight_hh" in CELLS[name](2, 4).shapes])
def test_activations_are_the_gates_of_each_step(name):
    cell, params, x, state, _ = random_problem(3, 2, 3, 4, name, seed=9)
    ours = cell.activations(rl.unroll(cell, params, x, state)[2])
    for t, x_t in enumerate(x):
        before, after = (state_after(cell, params, x[:k], state) for k in (t, t + 1))
        expected = gates_by_the_equations(cell, params, x_t, before, after)
        assert list(ours) == list(expected)
        for gate, values in expected.items():
            np.testing.assert_allclose(ours[gate][t], values, atol=1e-12, err_msg=f"{gate} at step {t}")


@pytest.mark.parametrize("name", [name for name in CELLS if "weight_hh" in CELLS[name](2, 4).shapes])
def test_what_was_computed_from_padding_is_blank(name):
    cell, params, x, state, _ = random_problem(5, 2, 3, 4, name, seed=9)
    x[3:, 1] = np.nan
    _, _, tape = rl.unroll(cell, params, x, state, lengths=[5, 3])
    one = tuple(array[1:] for array in as_arrays(state).values())
    _, _, alone = rl.unroll(cell, params, x[:3, 1:], one if len(one) > 1 else one[0])
    pairs = {gate: (cell.activations(tape)[gate], values) for gate, values in cell.activations(alone).items()}
    pairs |= {memory: (getattr(tape, memory), getattr(alone, memory)) for memory in ("h", "c") if hasattr(tape, memory)}
    for key, (together, own) in pairs.items():
        np.testing.assert_allclose(together[:3, 1], own[:, 0], atol=1e-12, err_msg=key)
        assert np.isin(together[3:, 1], (0, 0.5)).all() and np.isfinite(together[:, 0]).all(), key


def test_the_jacobian_of_an_rnn_from_its_states_alone():
    cell, params, x, state, _ = random_problem(1, 1, 2, 4, "tanh")
    h, _, _ = rl.unroll(cell, params, x, state)
    np.testing.assert_allclose(cell.jacobian(params, h[0, 0]), state_jacobian(cell, params, x, state), atol=1e-8)


def test_variants_are_limits_of_the_full_cell():
    """A gate that is not there equals one whose bias holds it open."""
    _, params, x, state, _ = random_problem(6, 2, 3, 4, "lstm")
    for gate, option in (("i", "input_gate"), ("f", "forget_gate"), ("o", "output_gate")):
        full, less = rl.LSTMCell(3, 4), rl.LSTMCell(3, 4, **{option: False})
        held = {key: param.copy() for key, param in params.items()}
        for param in held.values():
            param[full.rows(gate)] = 0
        held["bias_ih"][full.rows(gate)] = 100
        kept = np.concatenate([np.arange(16)[full.rows(name)] for name in less.gates])
        h = rl.unroll(less, {key: param[kept] for key, param in params.items()}, x, state)[0]
        np.testing.assert_allclose(h, rl.unroll(full, held, x, state)[0], atol=1e-12)
        assert np.abs(h - rl.unroll(full, params, x, state)[0]).max() > 1e-2


def test_the_two_grus_differ_and_agree_where_the_reset_gate_is_open():
    _, params, x, state, _ = random_problem(6, 2, 3, 4, "gru")
    after, before = rl.GRUCell(3, 4), rl.ChoGRUCell(3, 4)
    assert np.abs(rl.unroll(after, params, x, state)[0] - rl.unroll(before, params, x, state)[0]).max() > 1e-2
    for name, param in params.items():
        param[after.rows("r")] = 50 if name == "bias_ih" else 0
    np.testing.assert_allclose(
        rl.unroll(after, params, x, state)[0], rl.unroll(before, params, x, state)[0], atol=1e-12
    )


@pytest.mark.parametrize("size", [0, -1, 2.5, True, None, "3"])
@pytest.mark.parametrize("kind", [rl.RNNCell, rl.LSTMCell, rl.PeepholeLSTMCell, rl.GRUCell, rl.ChoGRUCell])
def test_sizes_are_checked(kind, size):
    with pytest.raises(ValueError, match="expected hidden_size to be a whole number of at least 1, got"):
        kind(2, size)
    with pytest.raises(ValueError, match="expected input_size to be a whole number of at least 1, got"):
        kind(size, 2)


def test_options_are_checked():
    with pytest.raises(ValueError, match="expected nonlinearity to be one of .* got 'sigmoid'"):
        rl.RNNCell(2, 3, "sigmoid")
    with pytest.raises(ValueError, match="expected forget_gate to be True or False, got 'no'"):
        rl.LSTMCell(2, 3, forget_gate="no")
    with pytest.raises(ValueError, match="coupling is i = 1 - f"):
        rl.LSTMCell(2, 3, input_gate=False, coupled=True)
    with pytest.raises(ValueError, match=r"expected one of the gates \('i', 'g', 'o'\) .* got 'f'"):
        rl.LSTMCell(2, 3, forget_gate=False).rows("f")


@pytest.mark.parametrize("name", [name for name in CELLS if "weight_hh" in CELLS[name](2, 4).shapes])
def test_first_values_fill_the_range_of_torch(name):
    cell, bound = CELLS[name](50, 25), 1 / 5
    params = cell.init(np.random.default_rng(3))
    assert {key: param.shape for key, param in params.items()} == cell.shapes
    values = np.concatenate([param.ravel() for param in params.values()])
    assert -bound <= values.min() < -0.98 * bound and 0.98 * bound < values.max() <= bound
    assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.05) and values.dtype == np.float64
    assert all(np.array_equal(param, cell.init(np.random.default_rng(3))[key]) for key, param in params.items())


def test_a_cell_prints_as_it_is_made():
    assert repr(rl.RNNCell(2, 3)) == "RNNCell(2, 3, nonlinearity='tanh')"
    assert repr(rl.LSTMCell(2, 3)) == "LSTMCell(2, 3)"
    assert repr(rl.LSTMCell(2, 3, coupled=True, output_gate=False)) == "LSTMCell(2, 3, output_gate=False, coupled=True)"
    for make in CELLS.values():
        wide = make(2, 3).with_input(7)
        assert (wide.input_size, wide.gates, type(wide)) == (7, make(2, 3).gates, type(make(2, 3)))

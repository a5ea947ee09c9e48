import numpy as np
import pytest

import rnnlab as rl
from oracles import finite_differences
from problems import CELLS, as_arrays, random_problem, random_state
from rnnlab import diagnostics
from rnnlab.torch_twin import TorchModel


def problem(hidden=6, length=12, nonlinearity="tanh"):
    rng = np.random.default_rng(0)
    model = rl.Model(rl.RNNCell(2, hidden, nonlinearity), 1, rl.squared_error)
    return model, model.init(rng), rl.Adding(length).sample(rng, 3)


def test_gradient_flow_is_the_norm_of_the_total_derivative_in_both_engines():
    model, params, batch = problem()
    flow = rl.gradient_flow(model, params, batch)
    assert flow.shape == (12,)
    d_h = model.loss_and_grads(params, batch).d_h
    np.testing.assert_allclose(flow, [np.linalg.norm(d) for d in d_h])
    np.testing.assert_allclose(flow, rl.gradient_flow(TorchModel(model), params, batch), rtol=1e-10)


def test_gradient_flow_of_a_scalar_linear_network_is_a_power():
    model, params, batch = problem(hidden=1, length=40, nonlinearity="linear")
    flow = rl.gradient_flow(model, params, batch)
    a = abs(params["weight_hh"][0, 0])
    np.testing.assert_allclose(flow[:-1] / flow[1:], a, rtol=1e-10)


def test_jacobian_products_match_finite_differences():
    model, params, batch = problem(hidden=4, length=6)
    x = batch.x[:, :1]
    products = rl.jacobian_products(model.cell, params, x)
    np.testing.assert_array_equal(products[-1], np.eye(4))
    for t in range(5):
        state = rl.unroll(model.cell, params, x[: t + 1])[1].copy()
        for i in range(4):
            rest = finite_differences(
                lambda i=i, t=t, state=state: rl.unroll(model.cell, params, x[t + 1 :], state)[0][-1, 0, i], state
            )
            np.testing.assert_allclose(products[t, i], rest[0], atol=1e-8)


def test_jacobian_products_carry_the_gradient():
    """dL/dh_t = P_t^T dL/dh_T for a loss on the last step: two instruments, one answer."""
    model, params, batch = problem()
    one = rl.Batch(*(array[:, :1] for array in batch))
    d_h = model.loss_and_grads(params, one).d_h[:, 0]
    products = rl.jacobian_products(model.cell, params, one.x)
    np.testing.assert_allclose(np.einsum("tij,i->tj", products, d_h[-1]), d_h, rtol=1e-10)


def test_the_elementwise_product_of_a_circulated_lab_is_caught():
    """A widely copied lab multiplies Jacobians entry by entry; the chain rule is a matrix product."""
    model, params, batch = problem()
    h = rl.unroll(model.cell, params, batch.x[:, :1])[0][:, 0]
    wrong = np.prod(model.cell.jacobian(params, h)[1:], axis=0)
    assert np.abs(wrong - rl.jacobian_products(model.cell, params, batch.x[:, :1])[0]).max() > 1e-4


def test_singular_values_of_an_orthogonal_linear_network_are_one():
    model, params, batch = problem(hidden=6, length=50, nonlinearity="linear")
    params["weight_hh"] = rl.orthogonal(np.random.default_rng(1), 6)
    values = rl.jacobian_singular_values(model.cell, params, batch.x[:, :1])
    np.testing.assert_allclose(values, 1, atol=1e-12)


def test_one_sequence_is_asked_for():
    model, params, batch = problem()
    with pytest.raises(ValueError, match=r"one sequence, x of shape \(T, 1, D\), got \(12, 3, 2\)"):
        rl.jacobian_products(model.cell, params, batch.x)


GATED = ["lstm", "coupled lstm", "peephole lstm", "gru", "cho gru"]


@pytest.mark.parametrize("name", GATED)
def test_jacobian_products_of_gated_cells_carry_the_gradient(name):
    """The derivative that enters with the final state leaves with the first as P_0 J_1: tape and products agree."""
    cell, params, x, state, d_h = random_problem(7, 1, 2, 4, name, seed=3)
    d_state = random_state(cell, 1, seed=5)
    _, _, tape = rl.unroll(cell, params, x, state)
    d_first = rl.backprop(cell, params, tape, 0 * d_h, d_state).d_state
    flat = [np.concatenate([a[0] for a in as_arrays(s).values()]) for s in (d_state, d_first)]
    through = rl.jacobian_products(cell, params, x, state)[0] @ rl.step_jacobians(cell, params, x, state)[0]
    np.testing.assert_allclose(flat[0] @ through, flat[1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", GATED)
def test_gradient_flow_of_gated_cells_in_both_engines(name):
    rng = np.random.default_rng(0)
    model = rl.Model(CELLS[name](2, 6), 1, rl.squared_error)
    params, batch = model.init(rng), rl.Adding(12).sample(rng, 3)
    flow = rl.gradient_flow(model, params, batch)
    np.testing.assert_allclose(flow, rl.gradient_flow(TorchModel(model), params, batch), rtol=1e-10)


def orthogonal_linear(H, T):
    rng, cell = np.random.default_rng(2), rl.RNNCell(2, H, "linear")
    return cell, cell.init(rng) | {"weight_hh": rl.orthogonal(rng, H)}, rng.normal(size=(T, 1, 2))


def test_an_orthogonal_linear_network_has_exponents_zero():
    np.testing.assert_allclose(rl.lyapunov_exponents(*orthogonal_linear(8, 300)), 0, atol=1e-12)


def test_the_exponents_of_a_linear_network_are_those_of_its_eigenvalues():
    cell, params, x = orthogonal_linear(6, 4000)
    rng = np.random.default_rng(0)
    params["weight_hh"] = rng.normal(size=(6, 6)) / np.sqrt(6)
    expected = np.sort(np.log(np.abs(np.linalg.eigvals(params["weight_hh"]))))[::-1]
    np.testing.assert_allclose(rl.lyapunov_exponents(cell, params, x, warmup=1000), expected, atol=0.002)


def test_the_exponent_of_a_scalar_tanh_network_is_the_mean_log_slope():
    cell, params, x, state, _ = random_problem(500, 1, 2, 1, "tanh", seed=4)
    h = rl.unroll(cell, params, x, state)[0]
    expected = np.log(np.abs((1 - h**2) * params["weight_hh"])).mean()
    np.testing.assert_allclose(rl.lyapunov_exponents(cell, params, x, state), [expected], rtol=1e-10)


@pytest.mark.parametrize("g", [0.5, 0.9, 0.99])
def test_below_one_the_leading_exponent_is_the_log_of_the_spectral_radius(g):
    """Without input a tanh network with spectral radius g < 1 falls to 0, where its Jacobian is W_hh."""
    rng, cell = np.random.default_rng(1), rl.RNNCell(1, 20)
    params = {name: 0 * param for name, param in cell.init(rng).items()}
    params["weight_hh"] = rl.scale_to_spectral_radius(rng.normal(size=(20, 20)), g)
    leading = rl.lyapunov_exponents(cell, params, np.zeros((6000, 1, 1)), rng.normal(size=(1, 20)), warmup=3000)[0]
    assert leading == pytest.approx(np.log(g), abs=0.002)


def test_pieces_of_a_long_sequence_give_the_same_exponents(monkeypatch):
    cell, params, x, state, _ = random_problem(40, 1, 2, 4, "lstm")
    whole = rl.lyapunov_exponents(cell, params, x, state)
    assert whole.shape == (8,)
    monkeypatch.setattr(diagnostics, "LYAPUNOV_STEPS", 7)
    np.testing.assert_allclose(rl.lyapunov_exponents(cell, params, x, state), whole, rtol=1e-9)


def test_a_forget_gate_alone_carries_the_memory_by_its_powers():
    """An LSTM whose gates stand still: the derivative of c_T with respect to c_t is f^(T-t), in closed form."""
    cell, T, forget = rl.LSTMCell(1, 3), 20, 0.9
    params = {name: np.zeros(shape) for name, shape in cell.shapes.items()}
    params["bias_ih"][cell.rows("f")] = np.log(forget / (1 - forget))
    products = rl.jacobian_products(cell, params, np.zeros((T, 1, 1)))
    memory = products[:, 3:, 3:]
    np.testing.assert_allclose(memory, forget ** np.arange(T - 1, -1, -1)[:, None, None] * np.eye(3), rtol=1e-12)


def test_gate_saturation_and_memory_norm():
    cell, params, x, state, _ = random_problem(6, 4, 2, 3, "lstm", seed=2)
    params["bias_ih"][cell.rows("f")] = 100
    params["bias_ih"][cell.rows("i")] = -100
    shares = rl.gate_saturation(cell, params, x, state)
    assert list(shares) == ["i", "f", "g", "o"]
    np.testing.assert_array_equal(shares["f"], [[0] * 3, [1] * 3])
    np.testing.assert_array_equal(shares["i"], [[1] * 3, [0] * 3])
    norms = rl.memory_norm(cell, params, x, state)  # open and with nothing written: the memory stands still
    np.testing.assert_allclose(norms, np.broadcast_to(np.linalg.norm(state[1], axis=1), (6, 4)), rtol=1e-12)
    plain, params, x, state, _ = random_problem(6, 4, 2, 3, "tanh")
    h = rl.unroll(plain, params, x, state)[0]
    np.testing.assert_allclose(rl.memory_norm(plain, params, x, state), np.linalg.norm(h, axis=2))
    np.testing.assert_array_equal(rl.gate_saturation(plain, params, x, state)["h"][1], (h > 0.8).mean(axis=(0, 1)))
    with pytest.raises(ValueError, match="closed < open"):
        rl.gate_saturation(plain, params, x, closed=0.9, open=0.1)


def test_exponents_ask_for_steps_to_count_and_one_run():
    cell, params, x, state, _ = random_problem(5, 1, 2, 3, "gru")
    with pytest.raises(ValueError, match="expected warmup below the 5 steps of x, got 5"):
        rl.lyapunov_exponents(cell, params, x, state, warmup=5)
    _, params, *_ = random_problem(5, 1, 2, 3, "gru", runs=(2,))
    with pytest.raises(ValueError, match=r"parameters of one run, got leading axes \(2,\)"):
        rl.jacobian_products(cell, params, x)

import numpy as np
import pytest

import rnnlab as rl
from oracles import finite_differences
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

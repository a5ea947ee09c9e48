import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnlab as rl
from oracles import finite_differences, worst_gap
from rnnlab.torch_twin import TorchModel

TASKS = {
    "adding": (rl.Adding(8), rl.squared_error),
    "temporal order": (rl.TemporalOrder(10), rl.cross_entropy),
    "copy": (rl.Copy(2), rl.cross_entropy),
}


def problem(task_name, hidden=5, batch_size=3, seed=0, dtype=np.float64, nonlinearity="tanh"):
    task, loss = TASKS[task_name]
    rng = np.random.default_rng(seed)
    model = rl.Model(rl.RNNCell(task.input_size, hidden, nonlinearity), task.output_size, loss)
    return model, model.init(rng, dtype), task.sample(rng, batch_size, dtype)


@pytest.mark.parametrize("task_name", TASKS)
def test_gradients_match_finite_differences(task_name):
    model, params, batch = problem(task_name)
    grads = model.loss_and_grads(params, batch).grads
    reference = {
        name: finite_differences(lambda: model.loss_and_grads(params, batch).loss, param)
        for name, param in params.items()
    }
    assert worst_gap(grads, reference) < 1e-8


@settings(max_examples=30)
@given(st.sampled_from(list(TASKS)), st.integers(1, 6), st.integers(1, 4), st.integers(0, 10**6),
       st.none() | st.integers(1, 5), st.sampled_from(["tanh", "relu", "linear"]))  # fmt: skip
def test_the_torch_twin_agrees(task_name, hidden, batch_size, seed, truncate, nonlinearity):
    model, params, batch = problem(task_name, hidden, batch_size, seed, nonlinearity=nonlinearity)
    ours = model.loss_and_grads(params, batch, truncate=truncate)
    theirs = TorchModel(model).loss_and_grads(params, batch, truncate=truncate)
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-12)
    assert worst_gap(ours.grads, {name: grad.numpy() for name, grad in theirs.grads.items()}) < 1e-12
    np.testing.assert_allclose(ours.d_h, theirs.d_h.numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.outputs, theirs.outputs.numpy(), rtol=0, atol=1e-12)


def test_the_torch_twin_agrees_in_float32():
    model, params, batch = problem("adding", hidden=16, dtype=np.float32)
    ours, theirs = model.loss_and_grads(params, batch), TorchModel(model).loss_and_grads(params, batch)
    assert {grad.dtype for grad in ours.grads.values()} == {np.dtype(np.float32)}
    assert worst_gap(ours.grads, {name: grad.numpy() for name, grad in theirs.grads.items()}) < 1e-5


def test_the_twin_starts_from_the_same_numbers():
    model, _, _ = problem("adding")
    ours, theirs = model.init(np.random.default_rng(3)), TorchModel(model).init(np.random.default_rng(3))
    assert worst_gap(ours, {name: param.numpy() for name, param in theirs.items()}) == 0


def test_the_initial_state_carries_a_sequence_on():
    """Two halves, the second started from the first's final state, give the whole's outputs."""
    model, params, batch = problem("adding")
    whole, _ = model.forward(params, batch.x)
    first, state = model.forward(params, batch.x[:3])
    second, _ = model.forward(params, batch.x[3:], state)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-15)


def test_out_grad_of_torch_rnn_is_the_immediate_derivative_only():
    """The claim of lesson 02: for a loss on the last step, torch.nn.RNN's out.grad is 0 at every earlier step."""
    import torch

    rnn = torch.nn.RNN(2, 4)
    out, _ = rnn(torch.ones(6, 1, 2))
    out.retain_grad()
    out[-1].sum().backward()
    assert out.grad[:-1].abs().max() == 0
    model, params, batch = problem("adding")
    assert model.loss_and_grads(params, batch).d_h[0].any()


def test_bad_models_and_batches():
    cell = rl.RNNCell(2, 3)
    with pytest.raises(ValueError, match="output_size"):
        rl.Model(cell, 0, rl.squared_error)
    with pytest.raises(TypeError, match="expected loss to be a function"):
        rl.Model(cell, 1, "mse")
    with pytest.raises(ValueError, match="one of rnnlab's losses"):
        TorchModel(rl.Model(cell, 1, lambda *_: None))
    model, params, batch = problem("adding")
    with pytest.raises(ValueError, match=r"expected mask of shape \(8, 3\), got \(7, 3\)"):
        model.loss_and_grads(params, batch._replace(mask=batch.mask[1:]))
    with pytest.raises(ValueError, match=r"missing \['weight_out'\]"):
        model.forward({name: p for name, p in params.items() if name != "weight_out"}, batch.x)

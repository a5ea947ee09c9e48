import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl


@given(st.floats(1e-4, 1), st.sampled_from([0.0, 0.5, 0.9]), st.booleans(), st.integers(0, 10**6))
def test_sgd_equals_torch(lr, momentum, nesterov, seed):
    nesterov = nesterov and momentum > 0
    rng = np.random.default_rng(seed)
    params = {"w": rng.normal(size=(3, 2)), "b": rng.normal(size=3)}
    theirs = {name: torch.nn.Parameter(torch.tensor(param)) for name, param in params.items()}
    reference = torch.optim.SGD(theirs.values(), lr=lr, momentum=momentum, nesterov=nesterov)
    optimizer = rl.SGD(lr, momentum, nesterov)
    state = optimizer.init(params)
    for _ in range(8):
        grads = {name: rng.normal(size=param.shape) for name, param in params.items()}
        params, state = optimizer.update(params, grads, state)
        for name, param in theirs.items():
            param.grad = torch.tensor(grads[name])
        reference.step()
    for name, param in params.items():
        np.testing.assert_allclose(param, theirs[name].detach().numpy(), rtol=0, atol=1e-12)


def test_an_update_leaves_its_arguments_and_serves_torch_tensors():
    optimizer = rl.SGD(0.1, momentum=0.9)
    for make in (np.array, torch.tensor):
        params, grads = {"w": make([1.0, 2.0])}, {"w": make([1.0, -1.0])}
        state = optimizer.init(params)
        new, new_state = optimizer.update(params, grads, state)
        assert params["w"].tolist() == [1.0, 2.0] and grads["w"].tolist() == [1.0, -1.0]
        assert state["velocity"]["w"].tolist() == [0.0, 0.0]
        assert type(new["w"]) is type(params["w"]) and type(new_state["velocity"]["w"]) is type(params["w"])
        assert new["w"].tolist() == pytest.approx([0.9, 2.1])


@pytest.mark.parametrize(("settings", "message"), [
    ({"lr": -1}, "expected lr to be a number of at least 0, got -1"),
    ({"lr": float("nan")}, "lr"),
    ({"lr": "fast"}, "lr"),
    ({"lr": 0.1, "momentum": 1.0}, r"momentum in \[0, 1\)"),
    ({"lr": 0.1, "nesterov": True}, "needs a velocity"),
])  # fmt: skip
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        rl.SGD(**settings)


def test_names_and_shapes_must_agree():
    params = {"w": np.zeros(2), "b": np.zeros(1)}
    with pytest.raises(ValueError, match=r"missing \['b'\], extra \['c'\]"):
        rl.SGD(0.1).update(params, {"w": np.zeros(2), "c": np.zeros(1)}, {})
    with pytest.raises(ValueError, match=r"grads\['b'\] of shape \(1,\), got \(2,\)"):
        rl.SGD(0.1).update(params, {"w": np.zeros(2), "b": np.zeros(2)}, {})

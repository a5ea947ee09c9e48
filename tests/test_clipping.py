import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl

limits = st.floats(1e-3, 1e3)


def random_grads(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return {"w": scale * rng.normal(size=(3, 4)), "b": scale * rng.normal(size=4)}


def flat(grads):
    return np.concatenate([grad.ravel() for grad in grads.values()])


@given(st.integers(0, 10**6), limits, limits)
def test_clip_norm_shortens_and_keeps_the_direction(seed, scale, max_norm):
    grads = random_grads(seed, scale)
    clipped, norm = rl.ClipNorm(max_norm)(grads)
    assert norm == pytest.approx(np.linalg.norm(flat(grads)), rel=1e-12)
    assert np.linalg.norm(flat(clipped)) == pytest.approx(min(norm, max_norm), rel=1e-12)
    cosine = flat(grads) @ flat(clipped) / (np.linalg.norm(flat(grads)) * np.linalg.norm(flat(clipped)))
    assert cosine == pytest.approx(1, abs=1e-12)


@given(st.integers(0, 10**6), limits, limits)
def test_clip_value_equals_torch(seed, scale, max_value):
    grads = random_grads(seed, scale)
    params = [torch.nn.Parameter(torch.zeros(grad.shape, dtype=torch.double)) for grad in grads.values()]
    for param, grad in zip(params, grads.values(), strict=True):
        param.grad = torch.tensor(grad)
    torch.nn.utils.clip_grad_value_(params, max_value)
    clipped, _ = rl.ClipValue(max_value)(grads)
    np.testing.assert_array_equal(flat(clipped), torch.cat([param.grad.ravel() for param in params]).numpy())


@given(st.integers(0, 10**6), limits, limits)
def test_clip_norm_equals_torch_but_for_its_epsilon(seed, scale, max_norm):
    grads = random_grads(seed, scale)
    params = [torch.nn.Parameter(torch.zeros(grad.shape, dtype=torch.double)) for grad in grads.values()]
    for param, grad in zip(params, grads.values(), strict=True):
        param.grad = torch.tensor(grad)
    theirs = torch.nn.utils.clip_grad_norm_(params, max_norm)
    clipped, norm = rl.ClipNorm(max_norm)(grads)
    assert norm == pytest.approx(theirs.item(), rel=1e-12)
    shrunk = norm / (norm + 1e-6) if norm + 1e-6 > max_norm and norm > max_norm else 1.0
    np.testing.assert_allclose(torch.cat([param.grad.ravel() for param in params]).numpy(), flat(clipped) * shrunk,
                               rtol=2e-6 / max_norm + 1e-12)  # fmt: skip


@pytest.mark.parametrize("clip", [rl.ClipNorm(1.0), rl.ClipValue(0.1)])
def test_a_clip_leaves_its_argument_and_serves_torch_tensors(clip):
    grads = random_grads(0, scale=10)
    kept = {name: grad.copy() for name, grad in grads.items()}
    clipped, norm = clip(grads)
    tensors, torch_norm = clip({name: torch.tensor(grad) for name, grad in grads.items()})
    for name in grads:
        np.testing.assert_array_equal(grads[name], kept[name])
        np.testing.assert_allclose(tensors[name].numpy(), clipped[name], rtol=1e-14)
    assert isinstance(norm, float) and norm == pytest.approx(torch_norm, rel=1e-12)


def test_the_norm_is_global_and_not_per_array():
    grads = {"a": np.array([3.0]), "b": np.array([4.0])}
    clipped, norm = rl.ClipNorm(2.5)(grads)
    assert norm == 5 and clipped["a"] == 1.5 and clipped["b"] == 2


@pytest.mark.parametrize(("dtype", "huge"), [(np.float64, 1e300), (np.float32, 1e30)])
def test_huge_gradients_do_not_overflow(dtype, huge):
    grads = {"w": np.array([3 * huge, 4 * huge], dtype)}
    clipped, norm = rl.ClipNorm(1.0)(grads)
    assert norm == pytest.approx(5 * huge, rel=1e-6)
    np.testing.assert_allclose(clipped["w"], [0.6, 0.8], rtol=1e-6)


def test_zero_and_non_finite_gradients():
    clipped, norm = rl.ClipNorm(1.0)({"w": np.zeros(3)})
    assert norm == 0 and not clipped["w"].any()
    assert rl.ClipNorm(1.0)({"w": np.array([np.inf, 1.0])})[1] == math.inf
    assert math.isnan(rl.ClipNorm(1.0)({"w": np.array([1.0, np.nan]), "b": np.array([1.0])})[1])
    assert math.isnan(rl.ClipNorm(1.0)({"b": np.array([1.0]), "w": np.array([1.0, np.nan])})[1])


@pytest.mark.parametrize("clip", [rl.ClipNorm, rl.ClipValue])
@pytest.mark.parametrize("limit", [0, -1, math.nan, None, "1"])
def test_bad_limits(clip, limit):
    with pytest.raises(ValueError, match="to be a number above 0"):
        clip(limit)


def test_no_gradients():
    for clip in (rl.ClipNorm(1.0), rl.ClipValue(1.0)):
        with pytest.raises(ValueError, match="at least one gradient"):
            clip({})

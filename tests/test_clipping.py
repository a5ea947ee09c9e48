import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl
from rnnlab.adaptive_clipping import norms

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
def test_clip_norm_with_its_epsilon_equals_torch(seed, scale, max_norm):
    grads = random_grads(seed, scale)
    params = [torch.nn.Parameter(torch.zeros(grad.shape, dtype=torch.double)) for grad in grads.values()]
    for param, grad in zip(params, grads.values(), strict=True):
        param.grad = torch.tensor(grad)
    theirs = torch.nn.utils.clip_grad_norm_(params, max_norm)
    clipped, norm = rl.ClipNorm(max_norm, eps=1e-6)(grads)
    assert norm == pytest.approx(theirs.item(), rel=1e-12)
    torch_grads = torch.cat([param.grad.ravel() for param in params]).numpy()
    np.testing.assert_allclose(flat(clipped), torch_grads, rtol=1e-12)
    if norm > max_norm:  # the planted fault: without the epsilon the oracle sees the difference
        assert np.abs(flat(rl.ClipNorm(max_norm)(grads)[0]) / torch_grads - 1).max() > 0.9e-6 / norm


def test_torchs_epsilon_acts_at_the_threshold_too():
    param = torch.nn.Parameter(torch.zeros(2, dtype=torch.double))
    param.grad = torch.tensor([3.0, 4.0], dtype=torch.double)
    torch.nn.utils.clip_grad_norm_([param], 5.0)
    clipped, _ = rl.ClipNorm(5.0, eps=1e-6)({"w": np.array([3.0, 4.0])})
    assert clipped["w"][1] < 4 and clipped["w"].tolist() == pytest.approx(param.grad.tolist(), rel=1e-14)


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


def test_two_axes_of_runs_have_one_norm_each_and_do_not_warn():
    rng = np.random.default_rng(0)
    grads = {"w": rng.normal(size=(2, 3, 4, 5)), "b": rng.normal(size=(2, 3, 5))}
    grads["w"][1, 2, 0, :2] = 1e300, np.inf
    flat = np.concatenate([grad.reshape(2, 3, -1) for grad in grads.values()], axis=-1)
    with np.errstate(over="raise", invalid="raise"):
        norms = rl.global_norm(grads, runs=2)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(norms, np.linalg.norm(flat, axis=-1), rtol=1e-12)
    assert np.isinf(norms[1, 2])


def test_zero_and_non_finite_gradients():
    clipped, norm = rl.ClipNorm(1.0)({"w": np.zeros(3)})
    assert norm == 0 and not clipped["w"].any()
    assert rl.ClipNorm(1.0)({"w": np.array([np.inf, 1.0])})[1] == math.inf
    assert math.isnan(rl.ClipNorm(1.0)({"w": np.array([1.0, np.nan]), "b": np.array([1.0])})[1])
    assert math.isnan(rl.ClipNorm(1.0)({"b": np.array([1.0]), "w": np.array([1.0, np.nan])})[1])


@pytest.mark.parametrize("clip", [rl.ClipNorm, rl.ClipValue, rl.ClipEachNorm, rl.AGC])
@pytest.mark.parametrize("limit", [0, -1, math.nan, None, "1"])
def test_bad_limits(clip, limit):
    name = dataclasses.fields(clip)[0].name
    with pytest.raises(ValueError, match=f"^expected {name} to be a number above 0, got {limit!r}"):
        clip(limit)


@pytest.mark.parametrize("clip", [rl.ClipNorm, rl.ClipValue, rl.ClipEachNorm, rl.AGC, rl.AutoClip])
def test_bad_axes_of_runs(clip):
    for runs in (-1, True, 1.0):
        with pytest.raises(ValueError, match=f"^expected runs to be a whole number of at least 0, got {runs!r}"):
            clip(1.0, runs=runs)
    if clip is not rl.AutoClip:
        assert clip(np.ones(3), runs=1).runs == 1
        with pytest.raises(ValueError, match=r"^expected a setting with 2 axes of runs, got shape \(3,\)"):
            clip(np.ones(3), runs=2)


def test_no_gradients():
    for clip in (rl.ClipNorm(1.0), rl.ClipValue(1.0), rl.ClipEachNorm(1.0), rl.AutoClip()):
        with pytest.raises(ValueError, match="at least one gradient"):
            clip({})


# ---------------------------------------------------------------- per parameter, beside the weights, by the history


@given(st.integers(0, 10**6), limits, limits)
def test_each_parameter_is_clipped_by_its_own_norm(seed, scale, max_norm):
    grads = random_grads(seed, scale)
    clipped, norm = rl.ClipEachNorm(max_norm)(grads)
    assert norm == pytest.approx(np.linalg.norm(flat(grads)), rel=1e-12)
    for name, grad in grads.items():
        share = min(1, max_norm / np.linalg.norm(grad))
        np.testing.assert_allclose(clipped[name], share * grad, rtol=1e-12)


@given(st.integers(0, 10**6), limits, st.floats(1e-3, 1), st.sampled_from([0, -1]))
def test_agc_clips_each_unit_beside_its_weights(seed, scale, clipping, unit_axis):
    grads, params = random_grads(seed, scale), random_grads(seed + 1)
    params["b"][:] = 0
    kept = {name: param.copy() for name, param in params.items()}
    clipped, norm = rl.AGC(clipping, unit_axis=unit_axis)(grads, params)
    assert norm == pytest.approx(np.linalg.norm(flat(grads)), rel=1e-12)
    rows = (lambda matrix: matrix) if unit_axis == 0 else (lambda matrix: matrix.T)
    units = [("w", rows(grads["w"]), rows(params["w"]), rows(clipped["w"])), ("b", [grads["b"]], [0], [clipped["b"]])]
    for name, gs, ws, ours in units:
        for g, w, own in zip(gs, ws, ours, strict=True):
            limit = clipping * max(np.linalg.norm(w), 1e-3)
            share = limit / np.linalg.norm(g) if np.linalg.norm(g) > limit else 1
            np.testing.assert_allclose(own, share * g, rtol=1e-12, err_msg=name)
        np.testing.assert_array_equal(params[name], kept[name])


def test_the_axis_of_the_units_matters():
    grads, params = random_grads(0, 10.0), random_grads(1)
    by_rows, by_columns = (rl.AGC(0.1, unit_axis=axis)(grads, params)[0] for axis in (0, -1))
    assert (by_rows["w"] != by_columns["w"]).any() and (by_rows["b"] == by_columns["b"]).all()


@given(st.integers(0, 10**6), st.floats(0, 100), st.none() | st.integers(1, 5))
def test_autoclip_clips_at_a_percentile_of_the_norms_so_far(seed, percentile, window):
    clip = rl.AutoClip(percentile, window)
    state, seen = clip.init(), []
    for t in range(8):
        grads = random_grads(seed + t, 10.0 ** (t % 3))
        clipped, norm, state = clip.update(grads, None, state)
        seen.append(norm)
        expected, _ = rl.ClipNorm(np.percentile(seen[-(window or 8) :], percentile))(grads)
        np.testing.assert_allclose(flat(clipped), flat(expected), rtol=1e-12)
        assert state["norms"].tolist() == seen[-(window or 8) :]


def test_autoclip_is_the_class_of_the_lesson():
    """Seetharaman's code keeps the norms in the object; here they are the state, and the gradients are the same."""
    kept, clip = [], rl.AutoClip()
    state = clip.init()
    for t in range(20):
        grads = random_grads(t, 1.5**t)
        kept.append(rl.global_norm(grads))
        expected, _ = rl.ClipNorm(np.percentile(kept, 10))(grads)
        clipped, _, state = clip.update(grads, None, state)
        assert (flat(clipped) == flat(expected)).all()
        assert (flat(clip(grads, kept[:-1])[0]) == flat(expected)).all()


@pytest.mark.parametrize("loss_scale", [1e-5, 1.0, 1e3])
def test_autoclip_scales_with_the_loss(loss_scale):
    clip = rl.AutoClip()
    state, plain_state = clip.init(), clip.init()
    for t in range(10):
        grads = random_grads(t, 1.3**t)
        scaled, _, state = clip.update({name: loss_scale * grad for name, grad in grads.items()}, None, state)
        plain, _, plain_state = clip.update(grads, None, plain_state)
        np.testing.assert_allclose(flat(scaled), loss_scale * flat(plain), rtol=1e-12)


def test_autoclip_does_not_remember_what_is_not_finite():
    clip, good = rl.AutoClip(100), {"w": np.array([3.0, 4.0])}
    _, _, state = clip.update(good, None, clip.init())
    clipped, norm, after = clip.update({"w": np.array([np.nan, 1.0])}, None, state)
    assert math.isnan(norm) and clipped["w"][1] == 1 and after["norms"].tolist() == [5]
    assert clip.update({"w": np.array([np.inf])}, None, clip.init())[2]["norms"].tolist() == []


ALL = [
    rl.ClipNorm(1.0), rl.ClipNorm(1.0, eps=1e-6), rl.ClipValue(0.1), rl.ClipEachNorm(0.5), rl.AGC(0.1),
    rl.AGC(0.1, unit_axis=-1), rl.AutoClip(30), rl.AutoClip(30, window=3),
]  # fmt: skip
each = pytest.mark.parametrize("clip", ALL, ids=lambda clip: type(clip).__name__)


@each
def test_every_clip_is_called_alike_and_serves_torch_tensors(clip):
    params = random_grads(9)
    tensors = {name: torch.tensor(param) for name, param in params.items()}
    state, torch_state = clip.init(), clip.init()
    for t in range(5):
        grads = random_grads(t, 10.0)
        kept = {name: grad.copy() for name, grad in grads.items()}
        ours, norm, state = clip.update(grads, params, state)
        theirs = {name: torch.tensor(grad) for name, grad in grads.items()}
        theirs, torch_norm, torch_state = clip.update(theirs, tensors, torch_state)
        assert isinstance(norm, float) and norm == pytest.approx(torch_norm, rel=1e-12)
        for name in grads:
            np.testing.assert_array_equal(grads[name], kept[name])
            np.testing.assert_allclose(theirs[name].numpy(), ours[name], rtol=1e-13)


@pytest.mark.parametrize(
    ("clip", "own_limits"), [(clip, own) for clip in ALL for own in (False, not isinstance(clip, rl.AutoClip))]
)
def test_runs_are_clipped_by_their_own(clip, own_limits):
    (setting, limit), *_ = dataclasses.asdict(clip).items()
    limits = limit * np.array([1.0, 0.3, 4.0])
    together = dataclasses.replace(clip, **({setting: limits} if own_limits else {"runs": 1}))
    alone = [dataclasses.replace(clip, **({setting: own} if own_limits else {})) for own in limits]
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(size=(3, 4, 2)), "b": rng.normal(size=(3, 4))}
    state, states = together.init(), [clip.init() for clip in alone]
    for t in range(5):
        grads = {name: rng.normal(size=param.shape) for name, param in params.items()}
        if t > 2:
            grads["w"][2, 0, 0] = np.inf  # this run has diverged
        clipped, norm, state = together.update(grads, params, state)
        for run in range(3 if t <= 2 else 2):
            own, own_norm, states[run] = alone[run].update(
                *({name: array[run] for name, array in arrays.items()} for arrays in (grads, params)), states[run]
            )
            assert norm[run] == pytest.approx(own_norm, rel=1e-12)
            for name in grads:
                np.testing.assert_allclose(clipped[name][run], own[name], rtol=1e-12)
        assert np.isfinite(norm).tolist() == [True, True, t <= 2]


@each
@pytest.mark.parametrize("huge", [1e30, 1e-30])
def test_float32_stays_float32_and_does_not_overflow(clip, huge):
    (setting, limit), *_ = dataclasses.asdict(clip).items()
    clip = dataclasses.replace(clip, **{setting: np.float64(limit)})  # as np.logspace gives it
    grads = {"w": np.float32(huge) * np.array([[3, 4], [0, 0]], np.float32), "b": np.float32([0.5])}
    clipped, norm, _ = clip.update(grads, {"w": np.ones((2, 2), np.float32), "b": np.ones(1, np.float32)}, clip.init())
    assert {grad.dtype for grad in clipped.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(grad).all() for grad in clipped.values()) and clipped["w"][0].all()
    if huge < 1:
        np.testing.assert_array_equal(clipped["w"], grads["w"])


def test_norms_of_units_do_not_overflow():
    array = np.array([[3e300, 4e300], [0.0, 0.0], [3e-300, 4e-300]])
    for rows in (array, torch.tensor(array)):
        assert norms(rows, (1,)).ravel().tolist() == pytest.approx([5e300, 0, 5e-300], rel=1e-14)
        assert norms(rows[[0, 2]].T, (0,)).tolist() == [pytest.approx([5e300, 5e-300], rel=1e-14)]


@pytest.mark.parametrize(("make", "message"), [
    (lambda: rl.ClipNorm(1.0, eps=-1.0), "expected eps to be a number of at least 0"),
    (lambda: rl.ClipEachNorm(np.array([1.0, -1.0])), "expected max_norm to be numbers above 0"),
    (lambda: rl.AGC(eps=0.0), "expected eps to be a number above 0"),
    (lambda: rl.AGC(unit_axis=1), r"expected unit_axis 0 for \(out, in\) or -1 for \(in, out\), got 1"),
    (lambda: rl.AutoClip(101), "expected percentile from 0 to 100, got 101"),
    (lambda: rl.AutoClip(math.nan), "^expected percentile to be a number of at least 0, got nan"),
    (lambda: rl.AutoClip(window=0), "expected window to be a whole number of at least 1"),
    (lambda: rl.AGC()({"w": np.ones(2)}, {"b": np.ones(2)}), r"missing \['b'\], extra \['w'\]"),
    (lambda: rl.AGC()({"w": np.ones(2)}, {"w": np.ones(3)}), r"grads\['w'\] of shape \(3,\), got \(2,\)"),
])  # fmt: skip
def test_bad_clips(make, message):
    with pytest.raises(ValueError, match=message):
        make()

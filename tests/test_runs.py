"""Leading axes of the parameters are independent runs: everything equals running them one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnlab as rl
from problems import CELLS, as_arrays, names, random_problem, random_state, seeds, sizes
from rnnlab import tapes


def one(arrays, run):
    if isinstance(arrays, dict):
        return {name: array[run] for name, array in arrays.items()}
    return tuple(array[run] for array in arrays) if isinstance(arrays, tuple) else arrays[run]


def flat(back):
    return {**back.params, "x": back.d_x, "h": back.d_h, **as_arrays(back.d_state)} | (
        {} if back.d_c is None else {"c": back.d_c}
    )


@pytest.mark.parametrize("stacked", [1, 20, 4096])  # every run alone, some together, all together
@settings(max_examples=40, deadline=None)
@given(sizes, sizes, sizes, sizes, names, st.sampled_from([(1,), (5,), (2, 3)]), st.booleans(), st.booleans(), seeds)
def test_runs_equal_one_by_one(stacked, T, B, D, H, name, runs, own_x, own_state, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tapes, "STACKED", stacked)
        patch.setattr(tapes, "FEWEST", 2)
        cell, params, x, state, d_h = random_problem(T, B, D, H, name, seed, runs=runs)
        rng = np.random.default_rng(seed + 3)
        x = rng.normal(size=(*runs, *x.shape)) if own_x else x
        state = random_state(cell, B, seed + 4, runs=runs if own_state else ())
        d_state, lengths = random_state(cell, B, seed + 5, runs=runs), rng.integers(1, T + 1, B)
        h, final, tape = rl.unroll(cell, params, x, state, lengths=lengths)
        back = flat(rl.backprop(cell, params, tape, d_h, d_state, truncate=2))
        for run in np.ndindex(*runs):
            x_1, state_1 = one(x, run) if own_x else x, one(state, run) if own_state else state
            h_1, final_1, tape_1 = rl.unroll(cell, one(params, run), x_1, state_1, lengths=lengths)
            back_1 = flat(rl.backprop(cell, one(params, run), tape_1, d_h[run], one(d_state, run), truncate=2))
            scale = max(1, *(np.abs(array).max() for array in back_1.values()), np.abs(h_1).max())
            np.testing.assert_allclose(h[run], h_1, rtol=0, atol=1e-12 * scale)
            for array, array_1 in zip(as_arrays(final).values(), as_arrays(final_1).values(), strict=True):
                np.testing.assert_allclose(array[run], array_1, rtol=0, atol=1e-12 * scale)
            for key, array in back.items():
                np.testing.assert_allclose(array[run], back_1[key], rtol=0, atol=1e-12 * scale, err_msg=key)


def test_runs_are_cut_into_chunks():
    assert tapes.chunks(1, 10) == [0]
    assert tapes.chunks(5, 16384) == [0, 1, 2, 3, 4]
    assert tapes.chunks(5, 4096) == [0, 1, 2, 3, 4]
    assert tapes.chunks(20, 2048) == [slice(0, 8), slice(8, 16), slice(16, 20)]
    assert tapes.chunks(64, 32) == [slice(0, 64)]


TASKS = [(rl.Adding(6), rl.squared_error), (rl.TemporalOrder(10), rl.cross_entropy)]


@pytest.mark.parametrize("task_loss", TASKS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", ["tanh", "lstm", "gru"])
def test_training_runs_with_rates_and_thresholds_of_their_own(task_loss, layers, name):
    """Model, loss, clip and optimizer together: three updates of four runs at once, and of each alone."""
    task, loss = task_loss
    rates, limits = np.array([0.01, 0.1, 0.5, 1.0]), np.array([0.01, 1e9, 0.3, 0.1])
    model = rl.Model(CELLS[name](task.input_size, 4), task.output_size, loss, layers=layers)
    each = [model.init(np.random.default_rng(run)) for run in range(4)]
    together = {key: np.stack([params[key] for params in each]) for key in each[0]}

    def updates(params, lr, max_norm):
        optimizer, clip, rng = rl.SGD(lr, momentum=0.9), rl.ClipNorm(max_norm), np.random.default_rng(9)
        state, seen = optimizer.init(params), []
        for _ in range(3):
            out = model.loss_and_grads(params, task.sample(rng, 5))
            grads, norm = clip(out.grads)
            params, state = optimizer.update(params, grads, state)
            seen.append((out.loss, norm))
        return params, np.array(seen)

    params, seen = updates(together, rates, limits)
    for run in range(4):
        params_1, seen_1 = updates(each[run], rates[run], limits[run])
        np.testing.assert_allclose(seen[..., run], seen_1, rtol=1e-10)
        for key, param in params_1.items():
            np.testing.assert_allclose(params[key][run], param, rtol=0, atol=1e-12)


@given(seeds, st.floats(1e-3, 1e3))
def test_clip_of_each_run_with_one_threshold(seed, limit):
    rng = np.random.default_rng(seed)
    grads = {"w": rng.normal(size=(3, 4, 2)), "b": rng.normal(size=(3, 4))}
    for clip, plain in (
        (rl.ClipNorm(limit, runs=1), rl.ClipNorm(limit)),
        (rl.ClipValue(limit, runs=1), rl.ClipValue(limit)),
    ):
        clipped, norms = clip(grads)
        for run in range(3):
            clipped_1, norm_1 = plain(one(grads, run))
            assert norms[run] == pytest.approx(norm_1, rel=1e-12)
            for name in grads:
                np.testing.assert_allclose(clipped[name][run], clipped_1[name], rtol=1e-12)


def test_one_diverged_run_leaves_the_others_alone():
    grads = {"w": np.array([[3.0, 4.0], [np.inf, 1.0], [np.nan, 1.0], [0.0, 0.0]])}
    clipped, norms = rl.ClipNorm(1.0, runs=1)(grads)
    np.testing.assert_array_equal(norms, [5, np.inf, np.nan, 0])
    np.testing.assert_allclose(clipped["w"][[0, 3]], [[0.6, 0.8], [0, 0]])
    np.testing.assert_array_equal(clipped["w"][1:3], grads["w"][1:3])


def test_huge_gradients_of_runs_do_not_overflow():
    clipped, norms = rl.ClipNorm(1.0, runs=1)({"w": np.array([[3e300, 4e300], [3e-300, 4e-300]])})
    np.testing.assert_allclose(norms, [5e300, 5e-300])
    np.testing.assert_allclose(clipped["w"], [[0.6, 0.8], [3e-300, 4e-300]])


def test_bad_runs():
    cell, params, x, state, d_h = random_problem(3, 2, 2, 4, "lstm", runs=(3,))
    with pytest.raises(ValueError, match=r"expected bias_ih of shape \(3, 16\), got \(2, 16\)"):
        rl.unroll(cell, params | {"bias_ih": params["bias_ih"][:2]}, x)
    with pytest.raises(ValueError, match=r"expected x of shape \(3, T, B, 2\), got \(4, 3, 2, 2\)"):
        rl.unroll(cell, params, np.zeros((4, 3, 2, 2)))
    with pytest.raises(ValueError, match="at least one run"):
        rl.unroll(cell, {name: param[:0] for name, param in params.items()}, x)
    with pytest.raises(ValueError, match=r"runs \(2,\) in front, got shape \(3, 16, 2\)"):
        rl.SGD(np.array([0.1, 0.2])).update(params, params, {})
    with pytest.raises(ValueError, match="same 2 leading axes"):
        rl.ClipNorm(1.0, runs=2)({"w": np.zeros((2, 3, 4)), "b": np.zeros((2, 4))})
    with pytest.raises(ValueError, match="expected lr to be numbers of at least 0"):
        rl.SGD(np.array([0.1, -0.2]))
    with pytest.raises(ValueError, match="expected max_norm to be numbers above 0"):
        rl.ClipNorm(np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="runs to be a whole number"):
        rl.ClipValue(1.0, runs=-1)

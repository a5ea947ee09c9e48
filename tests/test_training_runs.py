"""Stacks of runs, validation, schedules, callbacks, checkpoints: each held to the plain loop or to what it says."""

import math
import os

import numpy as np
import pytest

import rnnlab as rl
from rnnlab.torch_twin import TorchModel

TASK, PLATEAU = rl.Adding(length=6), rl.ReduceOnPlateau()
MODEL = rl.Model(rl.RNNCell(2, 8), output_size=1, loss=rl.squared_error)


def train(optimizer=None, **settings):
    """Train 12 updates of 8 sequences, without a bar."""
    settings = {"updates": 12, "batch_size": 8, "progress": False, **settings}
    model, task = settings.pop("model", MODEL), settings.pop("task", TASK)
    return rl.train(model, task, optimizer or rl.SGD(0.1, momentum=0.9), **settings)


def assert_same(one, other, exact=True):
    """Assert that two histories are the same in everything."""
    for name in ("diverged_at", "interrupted", "stopped_early"):
        assert getattr(one, name) == getattr(other, name), name
    close = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-9, "atol": 1e-12}
    for name in ("loss", "grad_norm", "clipped", "looked_at", "validation"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), err_msg=name, **close)
    for kept in ("params", "best_params"):
        for name, param in getattr(other, kept).items():
            np.testing.assert_allclose(getattr(one, kept)[name], param, err_msg=f"{kept} {name}", **close)


# ---------------------------------------------------------------- runs


@pytest.mark.parametrize(
    "kind, lrs",
    [
        (lambda lr: rl.SGD(lr), [0.01, 0.3, 1e200]),
        (lambda lr: rl.SGD(lr, momentum=0.9, nesterov=True), [0.01, 1e200, 0.1]),
        (rl.Adam, [1e200, 0.001, 0.1]),
        (lambda lr: rl.AdamW(lr, weight_decay=0.1), [0.01, 0.1, 1e300]),
        (rl.ScheduleFree, [0.001, 0.01, 0.1]),
    ],
)
def test_a_stack_does_what_each_run_does_alone(kind, lrs):
    look = rl.Validation(TASK, every=3, patience=2, samples=16)
    clip = rl.ClipNorm(0.3)
    runs = train(kind(np.array(lrs)), clip=clip, seed=np.array([3, 4, 3]), validation=look, updates=20)
    for run, lr, seed in zip(runs, lrs, (3, 4, 3), strict=True):
        assert_same(run, train(kind(lr), clip=clip, seed=seed, validation=look, updates=20), exact=False)
    assert len({run.loss[0] for run in runs}) == 2  # two seeds: two starts


def test_any_array_among_the_settings_makes_runs():
    limits = np.array([0.1, math.inf])
    for run, limit in zip(train(clip=rl.ClipNorm(limits)), limits, strict=True):
        assert_same(run, train(clip=rl.ClipNorm(limit)), exact=False)
    auto = train(clip=rl.AutoClip(50), seed=np.array([0, 1]))
    for seed, run in enumerate(auto):
        assert_same(run, train(clip=rl.AutoClip(50), seed=seed), exact=False)
    starts = [MODEL.init(np.random.default_rng(seed)) for seed in range(3)]
    stacked = {name: np.stack([start[name] for start in starts]) for name in starts[0]}
    for run, start in zip(train(params=stacked), starts, strict=True):
        assert_same(run, train(params=start), exact=False)


def test_a_tuple_among_the_settings_is_no_axis_of_runs():
    assert isinstance(train(rl.Muon(0.02, hidden=("weight_hh",))), rl.History)
    for run, lr in zip(train(rl.Muon(np.array([0.01, 0.1]), hidden=("weight_hh",))), (0.01, 0.1), strict=True):
        assert_same(run, train(rl.Muon(lr, hidden=("weight_hh",))), exact=False)


def test_one_run_of_a_stack_ends_and_the_others_go_on():
    runs = train(rl.SGD(np.array([0.1, 1e200])), updates=9)
    assert [len(run.loss) for run in runs] == [9, runs[1].diverged_at + 1] and runs[1].diverged_at < 8
    assert all(np.isfinite(param).all() for run in runs for param in run.params.values())


@pytest.mark.parametrize("hidden, batch_size", [(4, 8), (70, 8)])
def test_small_runs_are_stacked_and_large_ones_trained_one_by_one(hidden, batch_size, monkeypatch):
    """Which of the two is seen by the shape of the outputs; the results are the same."""
    model, sizes = rl.Model(rl.RNNCell(2, hidden), output_size=1, loss=rl.squared_error), []
    squared_error = model.loss

    def loss(outputs, y, mask):
        sizes.append(outputs.shape[:-3])
        return squared_error(outputs, y, mask)

    monkeypatch.setattr(model, "loss", loss)
    clip, seeds = rl.ClipNorm(np.array([0.1, 1.0, 2.0])), np.array([0, 1, 1])
    settings = {"model": model, "batch_size": batch_size, "updates": 4, "validation": rl.Validation(TASK, every=2)}
    runs = train(rl.AdamW(np.array([0.1, 0.01, 0.02])), clip=clip, seed=seeds, **settings)
    assert set(sizes) == {(3,) if hidden * batch_size <= 256 else ()}
    for run, lr, limit, seed in zip(runs, [0.1, 0.01, 0.02], clip.max_norm, [0, 1, 1], strict=True):
        alone = train(rl.AdamW(lr), clip=rl.ClipNorm(limit), seed=seed, **settings)
        assert_same(run, alone, exact=hidden == 70)


def test_ctrl_c_ends_runs_that_are_trained_one_by_one():
    model = rl.Model(rl.RNNCell(2, 70), output_size=1, loss=rl.squared_error)
    runs = train(model=model, task=Stopping(6), seed=np.array([0, 1, 2]), updates=4)
    assert [len(run.loss) for run in runs] == [4, 1, 0] and [run.interrupted for run in runs] == [False, True, True]
    start = train(model=model, seed=2, updates=1, optimizer=rl.SGD(0.0)).params
    assert all((runs[2].params[name] == param).all() for name, param in start.items())


class OddMask(rl.Adding):
    def sample(self, rng, batch_size, dtype=np.float64):
        batch = super().sample(rng, batch_size, dtype)
        mask = np.zeros_like(batch.mask)
        mask[rng.integers(self.length)] = 1
        return rl.Batch(batch.x, batch.y, mask)


@pytest.mark.parametrize(
    "error, message, settings",
    [
        (ValueError, "one axis of runs", {"seed": np.arange(3), "optimizer": rl.SGD(np.array([0.1, 0.2]))}),
        (ValueError, "one axis of runs", {"optimizer": rl.SGD(np.ones((2, 2)))}),
        (ValueError, "only rnnlab.Model takes runs", {"seed": np.arange(2), "model": TorchModel(MODEL)}),
        (ValueError, "same steps", {"seed": np.arange(5), "task": OddMask(6)}),
        (ValueError, "one by one", {"seed": np.arange(2), "schedule": PLATEAU, "validation": rl.Validation(TASK)}),
        (TypeError, "setting `runs`", {"seed": np.arange(2), "clip": lambda grads: (grads, 1.0)}),
        (TypeError, "whole number", {"seed": 0.5}),
        (TypeError, "whole number", {"seed": [1, 2]}),
        (TypeError, "whole number", {"seed": True}),
        (ValueError, "at least 0", {"seed": -1}),
        (TypeError, "a rnnlab.Model", {"model": "model"}),
        (TypeError, "a task with sample", {"task": 50}),
        (TypeError, "an optimizer such as", {"optimizer": 0.1}),
        (TypeError, "a clip such as", {"clip": 1.0}),
        (TypeError, "a schedule such as", {"schedule": 0.5}),
        (TypeError, "a rnnlab.Validation", {"validation": TASK}),
        (TypeError, "ReduceOnPlateau follows", {"schedule": PLATEAU}),
        (TypeError, "regularizer", {"regularizer": 2.0}),
        (TypeError, "list of callbacks", {"callbacks": print}),
        (TypeError, "dtype", {"dtype": np.float16}),
        (FileNotFoundError, "folder of checkpoint", {"checkpoint": "nowhere/run.npz"}),
        (ValueError, "batch_size", {"batch_size": 0}),
        (ValueError, "checkpoint_every", {"checkpoint_every": 0}),
    ],
)  # fmt: skip
def test_bad_settings(error, message, settings):
    with pytest.raises(error, match=message):
        train(**settings)


@pytest.mark.parametrize("settings", [{"every": 0}, {"patience": 0}, {"samples": 1.5}])
def test_bad_validation(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        rl.Validation(TASK, **settings)
    with pytest.raises(TypeError, match="a Batch or a task"):
        rl.Validation(3)


# ---------------------------------------------------------------- validation


@pytest.mark.parametrize("twin", [False, True])
def test_looks_are_the_loss_on_the_same_held_out_sequences(twin):
    held_out, seen = TASK.sample(np.random.default_rng(9), 16), []

    def keep(moment):
        if moment.validation is not None:
            seen.append((moment.update, moment.params))

    model = TorchModel(MODEL) if twin else MODEL
    history = train(model=model, validation=rl.Validation(held_out, every=5), callbacks=[keep])
    assert history.looked_at.tolist() == [5, 10] == [update for update, _ in seen]
    for look, (_, params) in zip(history.validation, seen, strict=True):
        assert look == pytest.approx(MODEL.loss_and_grads(as_arrays(params), held_out).loss, rel=1e-12)
    best = seen[int(np.argmin(history.validation))][1]
    assert all((history.best_params[name] == param).all() for name, param in best.items())
    assert history.summary()["validation"] == history.validation.min()


def as_arrays(params):
    return {name: np.asarray(param) for name, param in params.items()}


def test_validation_does_not_touch_the_training():
    plain, looked = train(), train(validation=rl.Validation(TASK, every=1))
    np.testing.assert_array_equal(plain.loss, looked.loss)
    assert plain.best_params is plain.params and len(plain.validation) == 0


def test_a_tasks_validation_sequences_are_no_training_sequences():
    drawn = []

    class Spy(rl.Adding):
        def sample(self, rng, batch_size, dtype=np.float64):
            drawn.append(super().sample(rng, batch_size, dtype))
            return drawn[-1]

    train(task=Spy(6), validation=rl.Validation(Spy(6), samples=8), updates=2)
    assert len(drawn) == 3 and len({batch.x.tobytes() for batch in drawn}) == 3


def test_patience_counts_looks_without_a_lower_loss():
    """With lr 0 no look is lower than the first, so the run ends at look 1 + patience."""
    history = train(rl.SGD(0.0), validation=rl.Validation(TASK, every=2, patience=3), updates=50)
    assert history.stopped_early and len(history.loss) == 8 and history.looked_at.tolist() == [2, 4, 6, 8]
    assert not train(validation=rl.Validation(TASK, every=2), updates=8).stopped_early


def test_a_look_that_is_not_finite_is_never_the_best():
    class Broken(rl.Model):
        looks = 0

        def forward(self, *args):
            outputs, state = super().forward(*args)
            self.looks += 1
            return outputs * (np.nan if self.looks != 2 else 1.0), state

    model = Broken(rl.RNNCell(2, 8), output_size=1, loss=rl.squared_error)
    history = train(model=model, validation=rl.Validation(TASK, every=4))
    assert np.isfinite(history.validation).tolist() == [False, True, False]
    assert history.summary()["validation"] == history.validation[1]


# ---------------------------------------------------------------- schedules, regularizer, callbacks


def test_a_schedule_scales_each_update():
    """With plain SGD the steps of an exponential decay are those of a loop that sets lr by hand."""
    decay, params = rl.ExponentialDecay(0.8), MODEL.init(np.random.default_rng(1))
    history = train(rl.SGD(0.1), schedule=decay, params=params)
    (rng,) = (np.random.default_rng(np.random.SeedSequence(0).spawn(2)[1]),)
    for update in range(12):
        out = MODEL.loss_and_grads(params, TASK.sample(rng, 8))
        assert out.loss == history.loss[update]
        params = {name: param - 0.1 * 0.8**update * out.grads[name] for name, param in params.items()}


def test_a_plateau_ends_the_steps():
    """lr falls to a tenth after each look, because no look is better than infinity times a threshold near 0."""
    plateau, paths = rl.ReduceOnPlateau(factor=0.1, patience=0, threshold=0.999), []
    train(rl.SGD(0.1), schedule=plateau, validation=rl.Validation(TASK, every=1), callbacks=[lambda m: paths.append(m)])
    steps = [
        np.linalg.norm(after.params["bias_out"] - before.params["bias_out"]) / np.linalg.norm(after.grads["bias_out"])
        for before, after in zip(paths, paths[1:], strict=False)
    ]
    np.testing.assert_allclose(steps, 0.1 * 0.1 ** np.maximum(0, np.arange(11)), rtol=1e-3)


def test_a_regularizer_adds_its_gradient():
    """L2 by a regularizer is weight decay with plain SGD: w <- w - lr (g + a w)."""
    history = train(rl.SGD(0.1), regularizer=lambda params, out: {"weight_hh": 0.5 * params["weight_hh"]}, updates=1)
    plain = train(rl.SGD(0.1), updates=1)
    start = train(rl.SGD(0.0), updates=1).params
    change = history.params["weight_hh"] - plain.params["weight_hh"]
    np.testing.assert_allclose(change, -0.1 * 0.5 * start["weight_hh"], atol=1e-15)
    np.testing.assert_array_equal(history.params["bias_hh"], plain.params["bias_hh"])


def test_omega_as_a_regularizer():
    def pascanu(params, out):
        _, grads = rl.omega(MODEL.cell, params, out.h, out.d_h)
        return grads

    assert (train(regularizer=pascanu).params["weight_hh"] != train().params["weight_hh"]).all()


def test_callbacks_see_each_update_and_can_end_the_run():
    moments = []
    first, second = (lambda moment: moment.update == 7), moments.append
    history = train(clip=rl.ClipNorm(0.1), callbacks=[first, second])
    assert history.stopped_early and len(history.loss) == 7
    assert [moment.update for moment in moments] == list(range(1, 8))  # the one that came second saw the last one too
    np.testing.assert_array_equal([moment.loss for moment in moments], history.loss)
    np.testing.assert_array_equal([moment.grad_norm for moment in moments], history.grad_norm)
    assert rl.global_norm(moments[-1].grads) == pytest.approx(0.1) and moments[-1].params is history.params


def test_an_error_in_a_callback_is_the_users():
    with pytest.raises(ZeroDivisionError):
        train(callbacks=[lambda moment: 1 / 0])


# ---------------------------------------------------------------- checkpoints


class Stopping:
    """A task that raises at one of its batches, once."""

    def __init__(self, at, error=KeyboardInterrupt):
        self.left, self.error = at, error

    def sample(self, rng, batch_size, dtype=np.float64):
        self.left -= 1
        batch = TASK.sample(rng, batch_size, dtype)
        if self.left == 0:
            raise self.error  # after the draw: the stream has moved on, and must be set back
        return batch


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": rl.Adam(0.01), "clip": rl.AutoClip(50), "dtype": np.float32},
        {"optimizer": rl.ScheduleFree(0.05), "schedule": rl.CosineDecay(12)},
        {"optimizer": rl.SGD(np.array([0.1, 1e200, 0.3])), "seed": np.array([1, 2, 3]), "clip": rl.ClipNorm(1.0)},
        {"optimizer": rl.SGD(0.2), "validation": rl.Validation(TASK, every=2, patience=4, samples=8)},
        {"validation": rl.Validation(TASK, every=2), "schedule": rl.ReduceOnPlateau(patience=0, threshold=0.9)},
        {"model": TorchModel(MODEL), "optimizer": rl.Adam(0.01), "clip": rl.ClipNorm(0.3)},
        {"optimizer": rl.Muon(0.02, hidden=("weight_hh",)), "clip": rl.ClipValue(0.01)},
    ],
)
@pytest.mark.parametrize("at", [1, 6])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, settings, at):
    file = tmp_path / "run.npz"
    cut = train(**settings, task=Stopping(at), checkpoint=file, checkpoint_every=2)
    for history in cut if isinstance(cut, list) else [cut]:
        assert history.interrupted or history.diverged_at is not None
    resumed, whole = train(**settings, checkpoint=file, checkpoint_every=5), train(**settings)
    for one, other in zip(*([h] if not isinstance(h, list) else h for h in (resumed, whole)), strict=True):
        assert_same(one, other)
    assert os.listdir(tmp_path) == ["run.npz"]


def test_a_finished_run_is_read_and_a_longer_one_goes_on(tmp_path):
    file, counted = tmp_path / "run.npz", []
    first = train(checkpoint=file)
    assert_same(train(checkpoint=file, callbacks=[counted.append]), first)
    assert not counted
    assert_same(train(checkpoint=file, updates=20, callbacks=[counted.append]), train(updates=20))
    assert len(counted) == 8


def test_a_run_that_has_diverged_stays_so(tmp_path):
    settings = {"optimizer": rl.SGD(1e200), "checkpoint": tmp_path / "run.npz"}
    first = train(**settings)
    assert first.diverged_at is not None
    assert_same(train(**settings), first)


def test_after_an_error_the_checkpoint_has_all_that_was_done(tmp_path):
    file = tmp_path / "run.npz"
    with pytest.raises(MemoryError):
        train(task=Stopping(8, MemoryError), checkpoint=file, checkpoint_every=100)
    assert rl.load_state(file)["now"]["update"] == 7
    assert_same(train(checkpoint=file), train())


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"optimizer": rl.SGD(0.2)}, {"clip": rl.ClipNorm(1.0)}, {"batch_size": 4}, {"truncate": 2}]
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, other):
    file = tmp_path / "run.npz"
    train(checkpoint=file)
    with pytest.raises(ValueError, match=f"of this run with .*{next(iter(other))}.* give another file name, or delete"):
        train(checkpoint=file, **other)


def test_a_damaged_or_foreign_checkpoint_is_refused_and_left(tmp_path):
    file = tmp_path / "run.npz"
    train(checkpoint=file)
    whole = file.read_bytes()
    file.write_bytes(whole[:300])
    with pytest.raises(ValueError, match="expected a checkpoint"):
        train(checkpoint=file)
    assert file.read_bytes() == whole[:300]
    rl.save_state(file, {"params": {"w": np.ones(2)}})
    with pytest.raises(ValueError, match="expected a checkpoint that train wrote"):
        train(checkpoint=file)

import math

import numpy as np
import pytest

import rnnlab as rl
from rnnlab.torch_twin import TorchModel

TASK = rl.Adding(length=6)


def make_model(hidden=8):
    return rl.Model(rl.RNNCell(2, hidden), output_size=1, loss=rl.squared_error)


def test_training_learns_a_short_task():
    model = make_model(16)
    history = rl.train(model, rl.Adding(2), rl.SGD(0.1, momentum=0.9), clip=rl.ClipNorm(1.0), updates=400)
    assert history.final_loss() < rl.Adding.baseline / 20
    assert rl.evaluate(model, history.params, rl.Adding(2), rl.squared_error) < rl.Adding.baseline / 20


@pytest.mark.parametrize("clip", [None, rl.ClipNorm(0.1), rl.ClipValue(0.01)])
def test_both_engines_walk_the_same_path(clip):
    model, optimizer = make_model(), rl.SGD(0.05, momentum=0.9)
    ours = rl.train(model, TASK, optimizer, clip=clip, updates=200)
    theirs = rl.train(TorchModel(model), TASK, optimizer, clip=clip, updates=200)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-10)
    np.testing.assert_allclose(ours.grad_norm, theirs.grad_norm, rtol=1e-9)
    np.testing.assert_array_equal(ours.clipped, theirs.clipped)


def test_a_seed_fixes_everything_and_another_changes_it():
    runs = [rl.train(make_model(), TASK, rl.SGD(0.1), updates=5, seed=seed).loss for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).all()


def test_clipped_counts_the_updates_in_which_the_clip_acted():
    history = rl.train(make_model(), TASK, rl.SGD(0.1), clip=rl.ClipNorm(0.3), updates=100)
    np.testing.assert_array_equal(history.clipped, history.grad_norm > 0.3)
    assert 0 < history.clipped.sum() < 100
    assert not rl.train(make_model(), TASK, rl.SGD(0.1), clip=rl.ClipNorm(math.inf), updates=5).clipped.any()
    assert rl.train(make_model(), TASK, rl.SGD(0.1), clip=rl.ClipValue(1e-4), updates=5).clipped.all()


def test_divergence_is_data():
    history = rl.train(make_model(), TASK, rl.SGD(1e200), updates=50)
    assert history.diverged_at is not None and len(history.loss) == history.diverged_at + 1
    assert history.final_loss() == math.inf
    assert not math.isfinite(history.loss[-1]) or not math.isfinite(history.grad_norm[-1])
    assert np.isfinite(history.loss[:-1]).all()
    loss = make_model().loss_and_grads(history.params, TASK.sample(np.random.default_rng(0), 4)).loss
    assert math.isfinite(loss)


def test_training_starts_from_given_parameters_and_leaves_them():
    model = make_model()
    params = model.init(np.random.default_rng(5))
    kept = {name: param.copy() for name, param in params.items()}
    history = rl.train(model, TASK, rl.SGD(0.1), updates=3, params=params)
    for name, param in params.items():
        np.testing.assert_array_equal(param, kept[name])
        assert (history.params[name] != param).any()


def test_ctrl_c_keeps_what_was_done():
    class Interrupted:
        def __init__(self):
            self.calls = 0

        def sample(self, rng, batch_size, dtype):
            self.calls += 1
            if self.calls == 4:
                raise KeyboardInterrupt
            return TASK.sample(rng, batch_size, dtype)

    history = rl.train(make_model(), Interrupted(), rl.SGD(0.1), updates=50)
    whole = rl.train(make_model(), TASK, rl.SGD(0.1), updates=3)
    assert history.interrupted and not whole.interrupted
    np.testing.assert_array_equal(history.loss, whole.loss)
    for name, param in whole.params.items():
        np.testing.assert_array_equal(history.params[name], param)


def test_truncation_reaches_the_gradient():
    full, truncated = (rl.train(make_model(), TASK, rl.SGD(0.1), updates=1, truncate=k) for k in (None, 1))
    assert full.loss[0] == truncated.loss[0] and full.grad_norm[0] != truncated.grad_norm[0]


def test_float32_training_stays_float32():
    history = rl.train(
        make_model(), TASK, rl.SGD(0.1, momentum=0.9), clip=rl.ClipNorm(0.1), updates=5, dtype=np.float32
    )
    assert {param.dtype for param in history.params.values()} == {np.dtype(np.float32)}


def test_the_progress_bar_writes_to_stderr_only_and_can_be_silenced(capfd, monkeypatch):
    monkeypatch.setattr("rnnlab.training.BAR_DELAY", 0)
    rl.train(make_model(), TASK, rl.SGD(0.1), updates=3)
    shown = capfd.readouterr()
    assert "train" in shown.err and shown.out == ""
    rl.train(make_model(), TASK, rl.SGD(0.1), updates=3, progress=False)
    assert capfd.readouterr().err == ""


def test_updates_are_checked():
    with pytest.raises(ValueError, match="updates"):
        rl.train(make_model(), TASK, rl.SGD(0.1), updates=0)

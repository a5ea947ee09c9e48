"""Schedules: equal to torch.optim.lr_scheduler, update by update."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

import rnnlab as rl

counts = st.integers(1, 20)
gammas = st.floats(0.1, 1.5)


def torch_rates(make, updates, lr=1.0):
    """The learning rates that a scheduler of torch gives to updates 0, 1, 2, ..."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, rates = make(optimizer), []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def assert_equal(schedule, make, updates=40):
    ours = [schedule(update) for update in range(updates)]
    np.testing.assert_allclose(ours, torch_rates(make, updates), rtol=1e-10, atol=1e-12)


@given(counts, gammas)
def test_step_and_exponential_equal_torch(every, gamma):
    assert_equal(rl.StepDecay(every, gamma), lambda opt: lr_scheduler.StepLR(opt, every, gamma))
    assert_equal(rl.ExponentialDecay(gamma), lambda opt: lr_scheduler.ExponentialLR(opt, gamma))
    assert_equal(rl.Constant(), lambda opt: lr_scheduler.ConstantLR(opt, factor=1.0))


@given(counts, st.floats(0, 1))
def test_cosine_equals_torch_and_then_stays(updates, final):
    schedule = rl.CosineDecay(updates, final)
    assert_equal(schedule, lambda opt: lr_scheduler.CosineAnnealingLR(opt, updates, eta_min=final), updates + 1)
    assert schedule(updates + 1) == schedule(10**6) == pytest.approx(final, abs=1e-15)


@given(counts, st.floats(0.01, 1), st.integers(1, 30))
def test_warm_up_and_what_comes_then_equal_torch(updates, start, fall):
    def rise(opt):
        return lr_scheduler.LinearLR(opt, start, total_iters=updates)

    def both(opt):
        return lr_scheduler.SequentialLR(opt, [rise(opt), lr_scheduler.CosineAnnealingLR(opt, fall)], [updates])

    assert_equal(rl.WarmUp(updates, start), rise)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own SequentialLR uses a deprecated argument
        assert_equal(rl.WarmUp(updates, start, rl.CosineDecay(fall)), both, updates + fall)


@given(st.integers(10, 60), st.floats(0.2, 0.8), st.floats(1, 100), st.floats(1, 1e5))
def test_one_cycle_equals_torch(updates, pct_start, div_factor, final_div_factor):
    settings = {"pct_start": pct_start, "div_factor": div_factor, "final_div_factor": final_div_factor}

    def make(opt):
        return lr_scheduler.OneCycleLR(opt, 1.0, updates, cycle_momentum=False, **settings)

    schedule = rl.OneCycle(updates, **settings)
    assert_equal(schedule, make, updates)
    assert schedule(10**6) == schedule(updates - 1)
    assert max(map(schedule, range(updates))) <= 1 + 1e-15


@given(
    st.lists(st.sampled_from([0.9, 0.99, 0.9999, 1.0, 1.1, math.nan, math.inf]), min_size=1, max_size=40),
    st.sampled_from([0.1, 0.5]), st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 1e-4, 0.05]),
    st.sampled_from([0.0, 0.2]),
)  # fmt: skip
def test_reduce_on_plateau_equals_torch(ratios, factor, patience, cooldown, threshold, min_factor):
    losses = np.cumprod(ratios)
    plateau = rl.ReduceOnPlateau(factor, patience, threshold, cooldown, min_factor)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer, "min", factor, patience, threshold, cooldown=cooldown, min_lr=min_factor, eps=0
    )
    state = plateau.init()
    for loss in losses:
        scheduler.step(loss)
        state = plateau.update(loss, state)
        assert plateau(state) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize(("fault", "make"), [
    (lambda update: rl.StepDecay(3)(update + 1), lambda opt: lr_scheduler.StepLR(opt, 3)),
    (rl.CosineDecay(39), lambda opt: lr_scheduler.CosineAnnealingLR(opt, 40)),
    (lambda update: rl.WarmUp(5)(update + 1), lambda opt: lr_scheduler.LinearLR(opt, total_iters=5)),
    (rl.OneCycle(40, 0.31), lambda opt: lr_scheduler.OneCycleLR(opt, 1.0, 40, cycle_momentum=False)),
])  # fmt: skip
def test_the_comparison_with_torch_catches(fault, make):
    with pytest.raises(AssertionError):
        assert_equal(fault, make)


def test_an_optimizer_follows_a_schedule_with_one_rate_or_with_many():
    schedule, grads = rl.WarmUp(3, then=rl.ExponentialDecay(0.5)), {"w": np.array([[1.0], [2.0]])}
    places = {}
    for lr in (0.1, np.array([0.1, 0.1])):
        optimizer, params = rl.SGD(lr), {"w": np.zeros((2, 1))}
        for update in range(8):
            params, _ = optimizer.scaled(schedule(update)).update(params, grads, {})
        places[np.ndim(lr)] = params["w"]
        assert (optimizer.lr == lr) if np.ndim(lr) == 0 else (optimizer.lr is lr)
    total = sum(schedule(update) for update in range(8))
    np.testing.assert_allclose(places[0], -0.1 * total * grads["w"], rtol=1e-12)
    np.testing.assert_allclose(places[0], places[1], rtol=1e-12)


def test_a_plateau_goes_on_from_a_saved_state(tmp_path):
    plateau, losses = rl.ReduceOnPlateau(patience=1, cooldown=1), [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    whole = state = plateau.init()
    for loss in losses:
        whole = plateau.update(loss, whole)
    for loss in losses[:4]:
        state = plateau.update(loss, state)
    rl.save_state(tmp_path / "plateau.npz", state)
    state = rl.load_state(tmp_path / "plateau.npz")
    for loss in losses[4:]:
        state = plateau.update(loss, state)
    assert state == whole and state["factor"] < 1


def test_schedules_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        rl.StepDecay(3).every = 4


@pytest.mark.parametrize(("make", "message"), [
    (lambda: rl.StepDecay(0), "expected every to be a whole number of at least 1, got 0"),
    (lambda: rl.StepDecay(2, -0.1), "gamma"),
    (lambda: rl.ExponentialDecay(math.nan), "expected gamma to be a number above 0, got nan"),
    (lambda: rl.CosineDecay(1.5), "updates"),
    (lambda: rl.CosineDecay(5, -1), "final"),
    (lambda: rl.WarmUp(5, start=-0.1), "start"),
    (lambda: rl.WarmUp(5, then=0.1), "expected then to be a schedule"),
    (lambda: rl.OneCycle(5, pct_start=1.0), "pct_start"),
    (lambda: rl.OneCycle(3), "a rise and a fall in 3 updates"),
    (lambda: rl.OneCycle(10, div_factor=0), "div_factor"),
    (lambda: rl.ReduceOnPlateau(factor=1.0), "expected factor below 1, got 1.0"),
    (lambda: rl.ReduceOnPlateau(patience=-1), "patience"),
    (lambda: rl.ReduceOnPlateau(cooldown=0.5), "cooldown"),
])  # fmt: skip
def test_bad_schedules(make, message):
    with pytest.raises(ValueError, match=message):
        make()

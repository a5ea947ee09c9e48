import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl


def sample(task, batch_size=4000, seed=0):
    return task.sample(np.random.default_rng(seed), batch_size)


@given(st.integers(2, 40), st.integers(0, 10**6))
def test_adding_asks_for_the_sum_of_the_two_marked_numbers(length, seed):
    x, y, mask = sample(rl.Adding(length), 20, seed)
    np.testing.assert_allclose((x[:, :, 0] * x[:, :, 1]).sum(axis=0), y[-1, :, 0])
    half = length // 2
    assert (x[:half, :, 1].sum(axis=0) == 1).all() and (x[half:, :, 1].sum(axis=0) == 1).all()
    assert (mask[:-1] == 0).all() and (mask[-1] == 1).all()


@given(st.integers(10, 60), st.integers(0, 10**6))
def test_temporal_order_puts_the_symbols_where_the_paper_does(length, seed):
    x, y, mask = sample(rl.TemporalOrder(length), 20, seed)
    symbols = x.argmax(axis=2)
    for b in range(20):
        first, second = np.flatnonzero(symbols[:, b] < 2)
        assert length // 10 <= first < length // 5
        assert length // 2 <= second < length * 6 // 10
        assert y[-1, b] == 2 * symbols[first, b] + symbols[second, b]
    assert (x.sum(axis=2) == 1).all() and mask.sum() == 20


@given(st.integers(1, 30), st.integers(0, 10**6))
def test_copy_asks_for_the_ten_symbols_after_the_signal(length, seed):
    x, y, mask = sample(rl.Copy(length), 5, seed)
    shown = x.argmax(axis=2)
    assert x.shape == (length + 20, 5, 10)
    np.testing.assert_array_equal(shown[:10], y[-10:])
    assert ((shown[:10] >= 1) & (shown[:10] <= 8)).all()
    np.testing.assert_array_equal(np.argwhere(shown == 9)[:, 0], length + 9)
    assert not y[:-10].any() and (mask == 1).all()


def best_constant_loss(task):
    """Measure the baseline: the best constant answer on a large sample."""
    _, y, mask = sample(task, 40_000)  # the standard error of the loss is then 0.6% of it
    if isinstance(task, rl.Adding):
        answers = y[mask == 1]
        return rl.squared_error(np.full_like(y, answers.mean()), y, mask)[0]
    if isinstance(task, rl.TemporalOrder):
        return rl.cross_entropy(np.zeros((*y.shape, 4)), y, mask)[0]
    outputs = np.zeros((*y.shape, 9))
    outputs[:-10, :, 0] = 50  # blanks are certain, the ten symbols are guessed among eight
    outputs[-10:, :, 0] = -50
    return rl.cross_entropy(outputs, y, mask)[0]


@pytest.mark.parametrize(
    "task",
    [
        rl.Adding(50),
        rl.TemporalOrder(50),
        rl.Copy(50),
        pytest.param(rl.Copy(200), marks=pytest.mark.full("one length of each task has its baseline measured")),
    ],
)
def test_the_stated_baseline_is_what_the_best_constant_answer_gets(task):
    assert best_constant_loss(task) == pytest.approx(task.baseline, rel=0.03)


def test_baselines_in_closed_form():
    assert rl.Adding(9).baseline == pytest.approx(2 * (1 / 12))
    assert rl.TemporalOrder(10).baseline == pytest.approx(-math.log(1 / 4))
    assert [round(rl.Copy(T).baseline, 5) for T in (50, 100, 200)] == [0.29706, 0.17329, 0.09452]


@pytest.mark.parametrize("task", [rl.Adding(20), rl.TemporalOrder(20), rl.Copy(20)])
def test_batches_are_deterministic_and_of_the_asked_type(task):
    one, two = (task.sample(np.random.default_rng(7), 3, np.float32) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.x.dtype == one.mask.dtype == np.float32
    assert one.x.shape[2] == task.input_size
    assert not np.array_equal(one.x, task.sample(np.random.default_rng(8), 3).x)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: rl.Adding(1), "length of at least 2 for Adding, got 1"),
    (lambda: rl.TemporalOrder(9), "length of at least 10 for TemporalOrder, got 9"),
    (lambda: rl.Copy(0), "whole number of at least 1, got 0"),
    (lambda: rl.Adding(2.5), "whole number"),
    (lambda: sample(rl.Adding(10), 0), "batch_size"),
])  # fmt: skip
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()

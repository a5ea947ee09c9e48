import math

import numpy as np
import pytest

from rnnlab.forecasts import block_interval, diebold_mariano, future_leak, gaussian_crps, moving_blocks

# ---------------------------------------------------------------- the leak test, on planted faults


def walk(n=200, columns=None, seed=0):
    return np.random.default_rng(seed).standard_normal(n if columns is None else (n, columns)).cumsum(axis=0)


def persistence(y):
    return y


def trailing_mean(y):
    return np.array([y[max(0, t - 2) : t + 1].mean() for t in range(len(y))])


def standardized_by_the_past(y):
    return np.array([(y[t] - y[: t + 1].mean()) / max(y[: t + 1].std(), 1e-3) for t in range(len(y))])


def fitted_on_the_first_half(y):
    half = y[: len(y) // 2]
    slope = half[1:] @ half[:-1] / (half[:-1] @ half[:-1])
    return slope * y


def fitted_on_everything(y):
    return (y[1:] @ y[:-1] / (y[:-1] @ y[:-1])) * y


@pytest.mark.parametrize("forecast", [persistence, trailing_mean, standardized_by_the_past])
def test_forecasts_from_the_past_pass(forecast):
    assert future_leak(forecast, walk(), [3, 50, 198]) == []


def test_what_was_fitted_before_the_origin_passes():
    assert future_leak(fitted_on_the_first_half, walk(), [100, 150]) == []
    assert future_leak(fitted_on_the_first_half, walk(), [50]), "at step 50 the fit has seen steps to come"


FAULTS = {
    "next value": (lambda y: np.append(y[1:], 0), 1),
    "centred mean of three": (lambda y: np.convolve(y, np.ones(3) / 3, mode="same"), 1),
    "centred window of eleven": (lambda y: np.convolve(y, np.ones(11) / 11, mode="same"), 1),
    "the day after tomorrow": (lambda y: y + 0.01 * np.roll(y, -2), 2),
    "filled from behind": (lambda y: np.roll(y, -7), 7),
    "standardized by all years": (lambda y: (y - y.mean()) / y.std(), None),
    "scaled by the largest": (lambda y: y / np.abs(y).max(), None),
    "fitted on everything": (fitted_on_everything, None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_leak_test_finds(fault):
    forecast, ahead = FAULTS[fault]
    found = future_leak(forecast, walk(), [30, 120])
    assert [leak.origin for leak in found] == [30, 120] and all(leak.moved > 0 for leak in found)
    if fault != "scaled by the largest":  # a single step need not become the largest
        assert all(leak.ahead == ahead for leak in found)


def test_a_leak_through_another_column_or_a_forecast_that_vanishes_is_found():
    assert future_leak(lambda x: np.roll(x[:, 1], -1), walk(columns=3), [5])[0].ahead == 1
    assert future_leak(lambda x: x[:, 0], walk(columns=3), [5]) == []
    gone = future_leak(lambda y: np.where(np.roll(y, -1) % 1 == 0, y, np.nan), np.arange(20.0), [5, 9])
    assert [(leak.ahead, leak.moved) for leak in gone] == [(1, math.inf), (1, math.inf)]


def test_missing_numbers_stay_missing_and_leak_nothing():
    y = walk()
    y[:10], y[90] = np.nan, np.nan
    seen = []
    assert future_leak(lambda z: seen.append(np.isnan(z)) or z, y, [9, 50]) == []
    assert all((one == np.isnan(y)).all() for one in seen)


def test_the_series_of_the_caller_is_not_changed():
    y = walk()
    before = y.copy()
    future_leak(lambda z: np.multiply(z, 0, out=z), y, [10])
    np.testing.assert_array_equal(y, before)


def test_the_leak_test_says_what_is_wrong():
    for origins in ([199], [-1], []):
        with pytest.raises(ValueError, match="origins from 0 to 198"):
            future_leak(persistence, walk(), origins)
    with pytest.raises(ValueError, match="200 forecasts, one for each step"):
        future_leak(lambda y: y[1:], walk(), [5])
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="fix the forecaster's seed"):
        future_leak(lambda y: y + rng.standard_normal(len(y)), walk(), [5])


# ---------------------------------------------------------------- blocks and the test of a difference


def test_blocks_are_consecutive_steps_and_every_start_is_drawn():
    rng, starts = np.random.default_rng(0), set()
    for _ in range(300):
        drawn = moving_blocks(rng, 10, 4)
        assert len(drawn) == 10 and drawn.min() >= 0 and drawn.max() <= 9
        for block in (drawn[:4], drawn[4:8]):
            assert (np.diff(block) == 1).all()
            starts.add(int(block[0]))
    assert starts == set(range(7))


def autocorrelated(n, phi, seeds):
    """Rows of first-order autoregressive noise with mean 0 and variance 1."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((seeds, n)) * math.sqrt(1 - phi**2)
    rows = np.empty_like(noise)
    rows[:, 0] = rng.standard_normal(seeds)
    for t in range(1, n):
        rows[:, t] = phi * rows[:, t - 1] + noise[:, t]
    return rows


def test_blocks_and_lags_allow_for_autocorrelation_and_without_them_it_shows():
    """The planted fault is to take dependent errors for independent ones: intervals come out too narrow."""
    rows = autocorrelated(300, 0.6, 200)

    def held(length):
        pairs = [block_interval(row, length, draws=200) for row in rows]
        return np.mean([low < 0 < high for low, high in pairs])

    assert held(20) > 0.87 and held(1) < 0.75
    rejected = {lags: np.mean([diebold_mariano(row, lags).p < 0.05 for row in rows]) for lags in (0, 12)}
    assert rejected[12] < 0.14 and rejected[0] > 0.25


def test_the_error_is_that_of_statsmodels():
    statsmodels, stattools = map(pytest.importorskip, ("statsmodels.api", "statsmodels.tsa.stattools"))
    row = autocorrelated(80, 0.5, 1)[0] + 0.3
    for lags in (0, 1, 5):
        kernel = {"maxlags": lags, "use_correction": False, "kernel": "bartlett"}
        theirs = statsmodels.OLS(row, np.ones(80)).fit(cov_type="HAC", cov_kwds=kernel)
        ours = diebold_mariano(row, lags)
        assert ours.error == pytest.approx(theirs.bse[0], rel=1e-10)
        assert (ours.statistic, ours.p) == pytest.approx((theirs.tvalues[0], theirs.pvalues[0]), rel=1e-8)
        test = stattools.diebold_mariano_test(0 * row, row, 0 * row, lags=lags, criterion=lambda y, forecast: forecast)
        assert (ours.statistic, ours.p) == pytest.approx((test.statistic, test.pvalue), rel=1e-8)


def test_seeds_widen_the_interval_and_missing_values_are_left_out():
    rng = np.random.default_rng(1)
    same = np.tile(rng.standard_normal(100), (5, 1))
    apart = same + np.linspace(-1, 1, 5)[:, None]
    widths = [np.diff(block_interval(values, 5))[0] for values in (same[0], same, apart)]
    assert widths[0] == pytest.approx(widths[1], rel=0.15) and widths[2] > 1.5 * widths[0]
    values = np.where(np.arange(100) % 10 == 0, np.nan, 3.0)
    assert block_interval(values, 4) == (3.0, 3.0)


def test_differences_say_what_is_wrong():
    for wrong, message in (
        (lambda: block_interval(np.ones(5), 6), "at most the 5 steps"),
        (lambda: block_interval(np.ones(5), 2, level=95), "level between 0 and 1"),
        (lambda: diebold_mariano(np.ones((2, 2))), "in one row"),
        (lambda: diebold_mariano(np.array([1.0, np.nan])), "finite differences"),
        (lambda: diebold_mariano(np.arange(4.0), lags=4), "lags from 0 to 3"),
        (lambda: diebold_mariano(np.ones(9)), "not all equal"),
        (lambda: gaussian_crps(0.0, 0.0, 0.0), "deviations above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


# ---------------------------------------------------------------- the score


def test_the_score_is_the_integral_it_is_defined_by():
    """crps = integral of (P(Y <= x) - [x >= y])^2 dx."""
    x = np.linspace(-40, 40, 800_001)
    for y, mean, sd in ((0.3, 0.0, 1.0), (-2.0, 1.0, 0.5), (5.0, 1.0, 3.0)):
        z = (x - mean) / sd
        below = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
        integral = ((below - (x >= y)) ** 2).sum() * (x[1] - x[0])
        assert gaussian_crps(y, mean, sd) == pytest.approx(integral, abs=1e-3)


def test_the_true_spread_has_the_best_score():
    y = np.random.default_rng(0).standard_normal(20_000)
    scores = {sd: gaussian_crps(y, 0 * y, 0 * y + sd).mean() for sd in (0.5, 1.0, 2.0)}
    assert scores[1.0] < min(scores[0.5], scores[2.0])

"""Judge forecasts of series in order of time: does one see the future, is it better, does its interval hold?

Imported by name, `from rnnlab.forecasts import future_leak`; it needs NumPy alone.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from rnnlab.checks import positive_integer, random_generator

__all__ = ["Difference", "Leak", "block_interval", "diebold_mariano", "future_leak", "gaussian_crps", "moving_blocks"]


# ---------------------------------------------------------------- does a forecast see the future?


@dataclass(frozen=True)
class Leak:
    """Say that a forecast moved when something was changed that had not happened yet.

    Attributes:
        origin: the last step that the forecast may know.
        ahead: the nearest changed step that moved it, counted from the origin; None if only changing all of the future
            did, as with a mean over all years.
        moved: by how much it moved when all of the future was changed.
    """

    origin: int
    ahead: int | None
    moved: float


def future_leak(forecast, series, origins, reach=12, tolerance=1e-9, seed=0):
    """Change the future and look whether the forecast moves, which it must not.

    Args:
        forecast: a function of a series (n, D) or (n,) that returns n forecasts: a number or an array for each step t,
            that may depend on the steps up to and with t. All that is learned or computed from the data belongs inside:
            standardizing, smoothing, fitting.
        series: (n, D) or (n,), numbers. NaN stay NaN.
        origins: steps whose forecasts are looked at, each with at least one step behind it.
        reach: how many single steps after the origin are changed to find the nearest that matters, at least 1.
        tolerance: how far a forecast may move by rounding, as a share of the largest one.
        seed: of the random changes. Values get another mean and spread, so that a mean over all years moves as well.

    Returns:
        A list of `Leak`, empty if no forecast moved. What it cannot see: a choice that somebody made by looking at the
        test years, values that were revised later, and a forecast that reads no more than the length of the series.

    Raises:
        ValueError: an origin without a future, a wrong number of forecasts, or one that differs between two calls
            with the same series.

    >>> series = np.sin(np.arange(40.0))
    >>> future_leak(lambda y: y, series, [10, 20])  # persistence
    []
    >>> centred = lambda y: np.convolve(y, np.ones(3) / 3, mode="same")
    >>> [(leak.origin, leak.ahead) for leak in future_leak(centred, series, [10, 20])]
    [(10, 1), (20, 1)]
    """
    series, rng, n = np.asarray(series, float), np.random.default_rng(seed), len(series)
    positive_integer(reach, "reach")
    origins = [int(origin) for origin in origins]
    if not origins or min(origins) < 0 or max(origins) > n - 2:
        raise ValueError(f"expected origins from 0 to {n - 2}, so that there is a future to change, got {origins}")
    before = _forecasts(forecast, series)
    if not np.array_equal(before, _forecasts(forecast, series), equal_nan=True):
        raise ValueError("expected the same forecasts for the same series twice, got others: fix the forecaster's seed")
    size = tolerance * max(1.0, np.nan_to_num(np.abs(before)).max(initial=0.0))
    noise = _other(series, rng)

    def moved(origin, changed_steps):
        changed = series.copy()
        changed[changed_steps] = noise[changed_steps]
        now, then = _forecasts(forecast, changed)[origin], before[origin]
        lost = np.isnan(now) != np.isnan(then)  # a forecast that disappears has moved too
        return math.inf if lost.any() else float(np.nan_to_num(np.abs(now - then)).max(initial=0.0))

    leaks = []
    for origin in origins:
        distance = moved(origin, slice(origin + 1, n))
        if distance > size:
            near = (k for k in range(1, min(reach, n - 1 - origin) + 1) if moved(origin, [origin + k]) > size)
            nearest = next(near, None)
            # A statistic of all steps moves with each of them, the nearest says nothing then: a far one does.
            everywhere = nearest == 1 and n - 1 - origin > reach and moved(origin, [n - 1]) > size
            leaks.append(Leak(origin, None if everywhere else nearest, distance))
    return leaks


def _forecasts(forecast, series):
    found = np.asarray(forecast(series.copy()), float)
    if found.ndim < 1 or len(found) != len(series):
        raise ValueError(
            f"expected {len(series)} forecasts, one for each step of the series (NaN where there is none), got "
            f"an array of shape {found.shape}"
        )
    return found


def _other(series, rng):
    """Return numbers of another mean and spread than the series has, column by column; NaN stay."""
    mean, spread = np.nanmean(series, axis=0), np.nanstd(series, axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return np.where(np.isnan(series), np.nan, mean + spread * (2 + 3 * rng.standard_normal(series.shape)))


# ---------------------------------------------------------------- is it better?


def moving_blocks(rng, n, length):
    """Draw n steps with replacement as blocks of consecutive ones; what hangs together within a block stays together.

    Args:
        rng: a numpy.random.Generator.
        n: steps of the series.
        length: of a block, 1 to n; 1 is the ordinary bootstrap, for steps that are independent.

    Returns:
        (n,) indices of steps.

    Source: the moving block bootstrap of Künsch (1989).

    >>> moving_blocks(np.random.default_rng(0), 6, 3)
    array([3, 4, 5, 2, 3, 4])
    """
    random_generator(rng)
    if not 1 <= positive_integer(length, "length") <= n:
        raise ValueError(f"expected blocks of at most the {n} steps there are, got length={length}")
    starts = rng.integers(0, n - length + 1, -(-n // length))
    return (starts[:, None] + np.arange(length)).ravel()[:n]


def block_interval(values, length, level=0.95, draws=2000, seed=0):
    """Return the interval of a mean over time, (low, high), by drawing blocks of steps anew, and seeds where given.

    It assumes that the series goes on as it was: values that are alike in distribution throughout, and independent when
    further apart than a block. It says how far chance within this period reaches, not what another period would bring.

    Args:
        values: (n,) such as differences of two methods' errors, or (S, n) for S seeds of a network, which are drawn
            anew too, as others of the same kind. NaN are left out of the mean.
        length: steps in a block, 1 to n.
        level: 0 to 1.
        draws: number of means.
        seed: of the draws.

    >>> low, high = block_interval(np.r_[np.zeros(50), np.ones(50)], length=1)
    >>> round(float(low), 1), round(float(high), 1)
    (0.4, 0.6)
    """
    values, rng = np.atleast_2d(np.asarray(values, float)), np.random.default_rng(seed)
    S, n = values.shape
    if not 0 < level < 1:
        raise ValueError(f"expected a level between 0 and 1, got {level}")
    means = np.empty(draws)
    for draw in range(draws):
        seeds = rng.integers(0, S, S) if S > 1 else np.zeros(1, int)
        means[draw] = np.nanmean(values[seeds][:, moving_blocks(rng, n, length)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """Hold a test of whether a mean over time is 0.

    Attributes:
        mean: the mean.
        error: its standard error, which allows for autocorrelation.
        statistic: mean / error, near a standard normal number if the true mean is 0.
        p: the chance of one at least as far from 0, two-sided.
    """

    mean: float
    error: float
    statistic: float
    p: float


def diebold_mariano(difference, lags=0):
    """Test whether two forecasts have the same expected loss, from the differences of their losses.

    mean = sum over t of d_t / n
    error^2 = (gamma_0 + 2 sum over k of (1 - k / (lags + 1)) gamma_k) / n

    gamma_k is the autocovariance of d at a distance of k steps. The weights, Bartlett's, keep error^2 from being
    negative. It assumes that d is alike in distribution throughout, with no dependence beyond `lags`, and enough
    steps for a normal approximation; with few steps it finds differences somewhat too often.

    Args:
        difference: (n,) loss of the one forecast minus loss of the other.
        lags: autocovariances that count, 0 to n - 1; at least h - 1 for forecasts of h steps, which overlap.

    Returns:
        A `Difference`.

    Source: Diebold and Mariano (1995); the weights of Newey and West (1987).

    >>> diebold_mariano(np.array([1.0, 2.0, 3.0, 2.0])).mean
    2.0
    """
    d = np.asarray(difference, float)
    if d.ndim != 1 or len(d) < 2 or not np.isfinite(d).all():
        raise ValueError(f"expected at least two finite differences in one row, got an array of shape {d.shape}")
    if not 0 <= lags < len(d):
        raise ValueError(f"expected lags from 0 to {len(d) - 1}, got {lags}")
    n, mean, centred = len(d), d.mean(), d - d.mean()
    gamma = [centred[k:] @ centred[: n - k] / n for k in range(lags + 1)]
    error = math.sqrt((gamma[0] + 2 * sum((1 - k / (lags + 1)) * gamma[k] for k in range(1, lags + 1))) / n)
    if error == 0:
        raise ValueError("expected differences that are not all equal, got the same number throughout")
    statistic = mean / error
    return Difference(float(mean), error, float(statistic), 2 * NormalDist().cdf(-abs(statistic)))


# ---------------------------------------------------------------- is it sharp and calibrated?


def gaussian_crps(y, mean, sd):
    """Return the continuous ranked probability score of normal forecasts, in the unit of y; smaller is better.

    crps = sd (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (y - mean) / sd

    With sd towards 0 it is the absolute error. It rewards an interval for being narrow and for holding.

    Args:
        y, mean, sd: arrays of one shape; sd above 0.

    Source: Gneiting and Raftery (2007).

    >>> round(float(gaussian_crps(0.0, 0.0, 1.0)), 4), round(float(gaussian_crps(3.0, 0.0, 1e-9)), 4)
    (0.2337, 3.0)
    """
    y, mean, sd = (np.asarray(array, float) for array in (y, mean, sd))
    if not (sd > 0).all():
        raise ValueError("expected standard deviations above 0")
    z = (y - mean) / sd
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    below = 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(z / math.sqrt(2)))
    return sd * (z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi))

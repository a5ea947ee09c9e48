"""Series in order of time that installed packages ship, and the task to forecast them."""

import csv

import numpy as np

from rnnlab.checks import positive_integer
from rnnlab.shipped import Baseline, Dataset, counted, read
from rnnlab.tasks import Batch

__all__ = ["Forecast", "co2", "seattle_weather", "stocks"]


class Forecast:
    """Ask for the next value of one column after a window of `length` steps.

    Args:
        series: (days, D), such as `dataset.train`.
        length: T, steps in a window, at least 1 and below the number of days.
        target: which column is asked for.

    Attributes:
        baseline: mean squared error of persistence, "tomorrow will be as today", over the whole series.

    >>> task = Forecast(np.arange(10.0)[:, None], length=3)
    >>> batch = task.sample(np.random.default_rng(0), batch_size=2)
    >>> batch.x.shape, bool((batch.y[-1] == batch.x[-1] + 1).all()), task.baseline
    ((3, 2, 1), True, 1.0)
    """

    output_size = 1

    def __init__(self, series, length, target=0):
        self.series, self.length, self.target = series, positive_integer(length, "length"), target
        self.input_size = series.shape[1]
        if length >= len(series):
            raise ValueError(f"expected length below the {len(series)} steps of the series, got {length}")
        self.baseline = float((np.diff(series[:, target]) ** 2).mean())

    def sample(self, rng, batch_size, dtype=np.float64):
        """Draw a batch of windows: x (length, B, D), y (length, B, 1) the value of the day after, mask (length, B)."""
        return self._windows(rng.integers(0, len(self.series) - self.length, batch_size), dtype)

    def every(self, dtype=np.float64):
        """Return all windows of the series as one batch, in order of time."""
        return self._windows(np.arange(len(self.series) - self.length), dtype)

    def _windows(self, starts, dtype):
        days = np.arange(self.length)[:, None] + starts
        x = self.series[days].astype(dtype)
        answer = self.series[starts + self.length, self.target].astype(dtype)
        mask = np.zeros(days.shape, dtype)
        mask[-1] = 1
        return Batch(x, np.broadcast_to(answer[:, None], (*days.shape, 1)), mask)


def seattle_weather():
    """Load daily weather in Seattle, 2012 to 2015: 1,461 days of 4 numbers, a series for `Forecast`.

    Two years to train, one to validate, one to test.
    """
    sha = "62f0609f787158128aa2bd102967173a4953122dd4f872bf1d502cae1037df0b"
    rows = list(csv.DictReader(read("vega_datasets", "_data/seattle-weather.csv", sha).decode().splitlines()))
    counted("seattle_weather", "days", len(rows), 1461)
    columns = ("temp_max", "temp_min", "precipitation", "wind")
    days = np.array([[float(row[column]) for column in columns] for row in rows])
    days[:, 2] = np.log1p(days[:, 2])  # rain is mostly 0 with rare heavy days
    parts = _in_order(days, 731, 1096)
    return Dataset(
        name="seattle_weather",
        features=("highest temperature (°C)", "lowest temperature (°C)", "log(1 + rain in mm)", "wind (m/s)"),
        **parts,
        source="NOAA, as shipped by the package vega_datasets",
        licence="public domain",
        baseline=Baseline(
            "persistence: tomorrow's highest temperature is today's",
            "mean squared error, in variances of the training years",
            Forecast(parts["validation"], length=1).baseline,
        ),
    )


def co2():
    """Load carbon dioxide in the air at Mauna Loa: 516 monthly means, January 1959 to December 2001, for `Forecast`.

    Each is the mean of the weekly values dated in that month. Three months of 1964 have none; they are filled from what
    came before alone: the month of the year before, moved by the change between the two years so far,
    y[t - 12] + y[t - 1] - y[t - 13]. 23 years to train, ten to validate, ten to test.
    """
    sha = "16695fa2786e53414e5a6b54767a3fdf5de99cfbc68617f69d1362d92776a92f"
    rows = list(csv.DictReader(read("statsmodels", "datasets/co2/co2.csv", sha).decode().splitlines()))
    counted("co2", "weeks", len(rows), 2284)
    weeks = [[] for _ in range(516)]
    for row in rows:
        month = 12 * (int(row["date"][:4]) - 1959) + int(row["date"][4:6]) - 1
        if row["co2"] and month >= 0:
            weeks[month].append(float(row["co2"]))
    counted("co2", "months without a value", sum(not values for values in weeks), 3)
    months = np.empty((516, 1))
    for t, values in enumerate(weeks):
        months[t] = np.mean(values) if values else months[t - 12] + months[t - 1] - months[t - 13]
    parts = _in_order(months, 276, 396)
    return Dataset(
        name="co2",
        features=("carbon dioxide, monthly mean (parts per million)",),
        **parts,
        source="C. D. Keeling and T. P. Whorf (2004), as shipped by the package statsmodels",
        licence="public domain, says statsmodels",
        baseline=Baseline(
            "persistence: next month is as this month",
            "mean squared error, in variances of the training years",
            Forecast(parts["validation"], length=1).baseline,
        ),
    )


def stocks():
    """Load monthly returns of five stocks, February 2000 to March 2010: 122 months of 5 numbers.

    A return is 100 times the change of the price's logarithm, close to the change in percent. Google came to the market
    in August 2004; before it has a return its column is NaN, so choose columns or rows before you train. All are
    standardized by one mean and one standard deviation, of all training returns together, since Google has only four.
    59 months to train, 24 to validate, 39 to test.
    """
    sha = "f9953ac6693e587476b4ebf2f0b00d9bb95371ca8c39da4cc6155077b3e417cd"
    rows = list(csv.DictReader(read("vega_datasets", "_data/stocks.csv", sha).decode().splitlines()))
    counted("stocks", "prices", len(rows), 4 * 123 + 68)
    names = ("AAPL", "AMZN", "GOOG", "IBM", "MSFT")
    prices = np.full((123, len(names)), np.nan)
    for row in rows:
        month, _, year = row["date"].split()
        prices[12 * (int(year) - 2000) + MONTHS.index(month), names.index(row["symbol"])] = float(row["price"])
    returns = 100 * np.diff(np.log(prices), axis=0)
    moments = (np.full(len(names), value) for value in (np.nanmean(returns[:59]), np.nanstd(returns[:59])))
    parts = _in_order(returns, 59, 83, *moments)
    validation = parts["validation"] * parts["std"] + parts["mean"]
    return Dataset(
        name="stocks",
        features=tuple(f"{name}, log return (%)" for name in names),
        **parts,
        source="the package vega_datasets, whose files do not say where the prices are from",
        licence="the files name none; vega_datasets, which ships them, is under the MIT licence",
        baseline=Baseline(
            "persistence: next month's price is this month's, a return of 0",
            "mean absolute error of the log return, in percent",
            float(np.nanmean(np.abs(validation))),
        ),
    )


def _in_order(series, validation, test, mean=None, std=None):
    """Return what a `Dataset` has of a series (steps, D), whose later parts begin at these steps.

    It is standardized by mean and std (D,), which are those of the part to train unless given.
    """
    mean = series[:validation].mean(axis=0) if mean is None else mean
    std = series[:validation].std(axis=0) if std is None else std
    series = (series - mean) / std
    parts = {"train": series[:validation], "validation": series[validation:test], "test": series[test:]}
    return parts | {"mean": mean, "std": std}


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LOADERS = {"co2": co2, "seattle_weather": seattle_weather, "stocks": stocks}

"""Series in order of time that installed packages ship, and the task to forecast them."""

import csv

import numpy as np

from rnnlab.checks import positive_integer
from rnnlab.shipped import Baseline, Dataset, counted, read
from rnnlab.tasks import Batch

__all__ = ["Forecast", "seattle_weather"]


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
    mean, std = days[:731].mean(axis=0), days[:731].std(axis=0)
    days = (days - mean) / std
    return Dataset(
        name="seattle_weather",
        features=("highest temperature (°C)", "lowest temperature (°C)", "log(1 + rain in mm)", "wind (m/s)"),
        train=days[:731],
        validation=days[731:1096],
        test=days[1096:],
        mean=mean,
        std=std,
        source="NOAA, as shipped by the package vega_datasets",
        licence="public domain",
        baseline=Baseline(
            "persistence: tomorrow's highest temperature is today's",
            "mean squared error, in variances of the training years",
            Forecast(days[731:1096], length=1).baseline,
        ),
    )


LOADERS = {"seattle_weather": seattle_weather}

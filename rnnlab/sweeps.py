"""Sweeps: one function over a grid of settings, on any executor, with what was done kept whatever happens.

Each setting is a row of a tidy table. A row is stored when it arrives; a setting that failed is named in its row and
run again the next time; a worker that died costs its setting one more try, not the sweep.
"""

import inspect
import itertools
import numbers
import os
import tokenize
import warnings
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rnnlab.jobs import Flight
from rnnlab.provenance import provenance
from rnnlab.tables import ADDED, Table


def sweep(run, executor=None, *, store=None, stack=True, progress=True, **grid):
    """Call a function at every setting of a grid and return a tidy table.

    Args:
        run: a function of the grid's names, such as `run(lr, seed)`. It returns a `History`, a number, or a dict of
            numbers, texts and lists of numbers, such as `{**history.summary(), "curve": history.loss}`.
        executor: None for this process, `processes()` for the cores of this machine, the `get_executor()` of a Dask
            client for a cluster, or any other concurrent.futures.Executor.
        store: a Parquet file in which each result is kept as it arrives. Settings that are there already are not run
            again, but for those that failed; so a larger grid only adds, and after a crash the same call goes on. One
            sweep at a time may use a file.
        stack: where `run` calls `train` on networks so small that a stack of runs is faster (see there), do up to 32
            settings together: each `run` waits in its `train` for the others, and trainings that differ only in seed,
            learning rate or threshold are one. A training gives the same numbers as alone, to rounding; but runs take
            turns in one process, so set False if `run` changes what they share, such as numpy.random.seed.
        progress: show a progress bar on the terminal.
        **grid: for each argument of `run` its values: numbers, or texts, or booleans; None too. What else `run` needs
            it makes itself from a name.

    Returns:
        pandas.DataFrame: one row for each setting, in the order of the grid (the last name changes fastest), with the
        settings, the results, `seconds` (each one's share where many were done together) and `error`, which is missing
        where all went well. Ctrl-C ends the sweep early, with the rows that are done.

    Raises:
        TypeError, ValueError: the grid, `run` or the store do not fit; nothing has been run then. An error within
            `run` is not raised: it stands in the setting's row, and a warning at the end names the setting.

    >>> import rnnlab as rl
    >>> model = rl.Model(rl.RNNCell(2, 8), output_size=1, loss=rl.squared_error)
    >>> def run(lr, seed):
    ...     return rl.train(model, rl.Adding(length=5), rl.SGD(lr), updates=5, seed=seed)
    >>> results = rl.sweep(run, lr=[0.01, 0.1, 1e200], seed=range(2), progress=False)
    >>> results.groupby("lr").loss.median().round(2).to_dict()
    {0.01: 1.62, 0.1: 0.62, 1e+200: inf}
    """
    axes = {name: _values(name, values) for name, values in grid.items()}
    _check(run, executor, axes, store, stack)
    settings = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    table = Table(axes, store, _provenance(run))
    waiting = [setting for setting in settings if setting not in table]
    flight = Flight(executor, run, waiting, stack)
    try:
        with tqdm(total=len(waiting), desc="sweep", unit="setting", leave=False, disable=not progress) as bar:
            for rows in flight.arrivals():
                table.add(rows)
                bar.update(len(rows))
    except KeyboardInterrupt:
        table.add(flight.landed())
        warnings.warn(f"interrupted: {len(table.frame(settings))} of {len(settings)} settings are done", stacklevel=2)
    finally:
        flight.cancel()
    results = table.frame(settings)
    _name_failures(results, list(axes))
    return results


def _values(name, values):
    """Return the values of one axis as a list of plain Python values."""
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise TypeError(f"expected {name} to be a list of values, got {values!r}; one value goes into a list too")
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    odd = [value for value in values if not _allowed(value)]
    kinds = {str if isinstance(value, str) else isinstance(value, bool) for value in values if value is not None}
    if odd or len(kinds) > 1:
        raise TypeError(
            f"expected {name} to be numbers, or texts, or booleans, got {odd[0] if odd else values!r}; "
            "give names, and let run make the objects"
        )
    if not values or len(set(values)) < len(values):
        raise ValueError(f"expected {name} to have at least one value and none twice, got {values!r}")
    return values


def _allowed(value):
    return value is None or (isinstance(value, str | numbers.Real) and value == value)


def _check(run, executor, axes, store, stack):
    if not axes:
        raise ValueError("expected at least one name with its values, such as lr=[0.1, 1.0], got none")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(f"expected an executor with submit, or None, got {executor!r}; Dask: client.get_executor()")
    if store is not None and not isinstance(store, str | os.PathLike):
        raise TypeError(f"expected store to be a path, got {store!r}; an argument of run needs another name")
    if store is not None and not Path(store).parent.is_dir():
        raise FileNotFoundError(f"expected the folder of store to be there, got {str(store)!r}; make it first")
    if not isinstance(stack, bool):
        raise TypeError(f"expected stack to be True or False, got {stack!r}; an argument of run needs another name")
    reserved = sorted(axes.keys() & set(ADDED))
    if reserved:
        raise ValueError(f"expected names other than {list(ADDED)}, which the table has itself, got {reserved}")
    try:
        inspect.signature(run).bind(**{name: None for name in axes})
    except TypeError as error:
        raise TypeError(f"expected run to be a function of {list(axes)}: {error}") from error


def _provenance(run):
    try:
        # A lambda's source is its whole line, often with the grid in it, which may change.
        source = "lambda" if getattr(run, "__name__", "") == "<lambda>" else inspect.getsource(run)
    except (OSError, TypeError, SyntaxError, tokenize.TokenError):  # no source, or a file that is none
        source = repr(type(run))
    return {"run": source, **provenance()}


def _name_failures(results, names):
    failed = results[results.error.notna()]
    if len(failed):
        rows = failed.head(5).to_dict("records")
        shown = "; ".join(", ".join(f"{name}={row[name]!r}" for name in names) + f": {row['error']}" for row in rows)
        more = f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
        warnings.warn(f"{len(failed)} of {len(results)} settings failed: {shown}{more}", stacklevel=3)

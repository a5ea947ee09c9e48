"""Jobs on an executor: kept flying, handed over as they land, tried once more when a worker died with them.

A job is what one call of the function takes: most have one setting.
"""

import numbers
import os
import queue
import time
import traceback
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from rnnlab.pools import noticing_ctrl_c
from rnnlab.tables import as_row


class _Here(Executor):
    """Run what is submitted at once, in this process."""

    window = 1  # the next is submitted when the last is stored

    def submit(self, function, /, *args):
        future = Future()
        future.set_result(function(*args))
        return future


class Job(NamedTuple):
    """Settings for one call, the names that take many values in it, and whether it was lost before."""

    settings: list
    together: tuple = ()
    again: bool = False  # sent along, because Dask knows a call by its arguments and would remember how the first ended


class Flight:
    """Keep an executor busy with jobs and hand over their rows as they land.

    Errors of the function itself are rows. What a future raises is the executor's: its job was lost on the way, with a
    worker that died most likely. Then each of its settings flies once more, alone in the air, so that a pool which
    breaks again names the setting that breaks it.
    """

    def __init__(self, executor, run, jobs):
        self.executor, self.waiting, self.lost = executor or _Here(), list(reversed(jobs)), []
        self.payload = _packed(run, executor)
        self.window = getattr(self.executor, "window", len(jobs))
        self.flying, self.done = {}, queue.SimpleQueue()

    def arrivals(self):
        """Yield the rows of one job after the other, in the order in which they end."""
        while self._submit():
            try:
                future = self.done.get(timeout=1)  # a wait without an end would not hear Ctrl-C on Windows
            except queue.Empty:
                continue
            rows = self._rows(future)
            if rows:
                yield rows
            del self.flying[future]  # only now: what flies and has ended is picked up by `landed`

    def landed(self):
        """Return the rows of jobs that have ended well and that nobody has taken yet."""
        ended = [future for future in self.flying if future.done() and _error_of(future) is None]
        rows = [row for future in ended for row in _labelled(self.flying[future], future.result())]
        return [row for row in rows if row["error"] is None]

    def cancel(self):
        """Take back what has not begun."""
        for future in self.flying:
            future.cancel()

    def _submit(self):
        """Fill the window; return False when nothing flies and nothing waits."""
        if self.lost:
            if not self.flying:
                self._fly(self.lost[-1])
                self.lost.pop()
            return True
        while self.waiting and len(self.flying) < self.window:
            self._fly(self.waiting[-1])
            self.waiting.pop()
        return bool(self.flying)

    def _fly(self, job):
        try:
            future = self.executor.submit(_call, self.payload, job)
        except Exception as error:
            if not (job.again or isinstance(error, BrokenExecutor)):
                raise  # an executor that takes nothing, as after its shutdown
            future = Future()
            future.set_exception(error)
        self.flying[future] = job
        future.add_done_callback(self.done.put)

    def _rows(self, future):
        """Return the rows of an ended job; nothing if its settings fly again."""
        job, error = self.flying[future], _error_of(future)
        if isinstance(error, KeyboardInterrupt):  # it came to the worker first
            raise error
        alone = [Job([setting], job.together, again=error is not None) for setting in reversed(job.settings)]
        if error is not None and not job.again:
            self.lost += alone
            return []
        if error is not None:
            return _labelled(job, [{"error": f"lost with its worker: {_text(error)}"}])
        rows = future.result()
        if len(rows) > 1 and rows[0]["error"] is not None:  # which of them it was shows when each flies alone
            self.waiting += alone
            return []
        return _labelled(job, rows)


def _labelled(job, rows):
    return [setting | row for setting, row in zip(job.settings, rows, strict=True)]


def _call(payload, job):
    """Run one job, here or on a worker, and return its rows without the settings."""
    start = time.perf_counter()
    try:
        with noticing_ctrl_c():
            results = _unpacked(payload)(**_arguments(job))
            results = _list_of_results(results, len(job.settings)) if job.together else [results]
            rows = [as_row(result, job.settings[0]) for result in results]
    except Exception as error:
        rows = [{"error": _text(error)}] * len(job.settings)
    share = (time.perf_counter() - start) / len(job.settings)
    return [{**row, "seconds": share} for row in rows]


def _arguments(job):
    columns = {name: [setting[name] for setting in job.settings] for name in job.together}
    arrays = {name: np.array(c) if isinstance(c[0], numbers.Real) else c for name, c in columns.items()}
    return job.settings[0] | arrays


def _list_of_results(results, expected):
    if isinstance(results, list | tuple) and len(results) == expected:
        return results
    got = f"{len(results)} of them" if isinstance(results, list | tuple) else f"a {type(results).__name__}"
    raise TypeError(f"expected run to return a list of {expected} results, one for each setting together, got {got}")


def _packed(run, executor):
    """Return what reaches a worker: the function itself within this process, else its bytes.

    cloudpickle sends functions of a notebook by value, where pickle would send a name that no worker knows.
    """
    if executor is None or isinstance(executor, ThreadPoolExecutor):
        return run
    import cloudpickle  # here, so that `import rnnlab` needs only NumPy and tqdm

    try:
        return cloudpickle.dumps(run)
    except Exception as error:  # whatever an object's own pickling raises
        raise TypeError(
            f"expected a run that can be sent to another process, got {run!r}: {error}; make open files, locks and "
            "clients inside run"
        ) from error


def _unpacked(payload):
    if not isinstance(payload, bytes):
        return payload
    import cloudpickle

    return cloudpickle.loads(payload)


def _error_of(future):
    try:
        return future.exception()
    except CancelledError as error:
        return error


def _text(error):
    """Return an error as one line, with the place that raised it."""
    lines = str(error).splitlines() or [""]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {lines[0]}{place}"

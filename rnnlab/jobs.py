"""Jobs on an executor: kept flying, handed over as they land, tried once more when a worker died with them.

A job is what one worker takes at once: one setting, or many whose trainings become one stack.
"""

import os
import queue
import time
import traceback
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from typing import NamedTuple

from rnnlab.gathering import gather, watched
from rnnlab.pools import noticing_ctrl_c
from rnnlab.tables import as_row

TOGETHER = 32  # settings in one job, at most: beyond it stacking saves little, and a crash loses more
SOME = 16  # workers that an executor is taken to have that does not say, such as Dask's


class _Here(Executor):
    """Run what is submitted at once, in this process."""

    workers = 1
    window = 1  # the next is submitted when the last is stored

    def submit(self, function, /, *args):
        future = Future()
        future.set_result(function(*args))
        return future


class Job(NamedTuple):
    """Settings for one worker, and whether they were lost before."""

    settings: list
    again: bool = False  # sent along, because Dask knows a call by its arguments and would remember how the first ended


class Flight:
    """Keep an executor busy with settings and hand over their rows as they land.

    At first each setting flies alone. As soon as one has landed that trained what stacks, the others fly together.

    Errors of the function itself are rows. What a future raises is the executor's: its job was lost on the way, with a
    worker that died most likely. Then each of its settings flies once more, alone in the air, so that a pool which
    breaks again names the setting that breaks it.
    """

    def __init__(self, executor, run, settings, stack=True):
        self.executor, self.waiting, self.lost = executor or _Here(), list(reversed(settings)), []
        self.payload = _packed(run, executor)
        self.workers = _workers(self.executor)
        self.window = getattr(self.executor, "window", len(settings))
        self.flying, self.done = {}, queue.SimpleQueue()
        self.size = None if stack else 1  # settings in a job; None until the first has landed

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
        rows = [row for future in ended for row in _labelled(self.flying[future], future.result()[0])]
        return [row for row in rows if row["error"] is None]

    def cancel(self):
        """Take back what has not begun."""
        for future in self.flying:
            future.cancel()

    def _submit(self):
        """Fill the window; return False when nothing flies and nothing waits."""
        window = self.window if self.size else min(self.window, self.workers)
        if self.lost:
            if not self.flying:
                self._fly(self.lost[-1])
                self.lost.pop()
            return True
        while self.waiting and len(self.flying) < window:
            settings = self.waiting[: -(self.size or 1) - 1 : -1]
            self._fly(Job(settings))
            del self.waiting[-len(settings) :]
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
        if error is not None and not job.again:
            self.lost += [Job([setting], again=True) for setting in reversed(job.settings)]
            return []
        if error is not None:
            return _labelled(job, [{"error": f"lost with its worker: {_text(error)}"}])
        rows, stacks = future.result()
        if self.size is None and rows[0]["error"] is None:
            self.size = self._together() if stacks else 1
        return _labelled(job, rows)

    def _together(self):
        """Return how many settings fly together: as many as pay, and an equal share for each worker."""
        rounds = -(-len(self.waiting) // (self.workers * TOGETHER)) or 1
        return max(1, -(-len(self.waiting) // (self.workers * rounds)))


def _labelled(job, rows):
    return [setting | row for setting, row in zip(job.settings, rows, strict=True)]


def _call(payload, job):
    """Run one job, here or on a worker; return its rows without the settings, and whether it trained what stacks."""
    start = time.perf_counter()
    with noticing_ctrl_c():
        try:
            run = _unpacked(payload)
        except Exception as error:  # a module that the worker lacks
            outcomes, stacks = [error] * len(job.settings), False
        else:
            outcomes, stacks = _outcomes(run, job.settings)
        rows = [_row(outcome, setting) for outcome, setting in zip(outcomes, job.settings, strict=True)]
    share = (time.perf_counter() - start) / len(job.settings)
    return [{**row, "seconds": share} for row in rows], stacks


def _outcomes(run, settings):
    if len(settings) > 1:
        return gather(run, settings), True
    outcome, stacks = watched(run, settings[0])
    return [outcome], stacks


def _row(outcome, setting):
    try:
        if isinstance(outcome, Exception):
            raise outcome
        return as_row(outcome, setting)
    except Exception as error:
        return {"error": _text(error)}


def _workers(executor):
    """Return how many workers an executor has, as far as it says so."""
    return getattr(executor, "workers", None) or getattr(executor, "_max_workers", None) or SOME


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

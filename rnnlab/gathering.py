"""Trainings that several settings of a sweep ask for, done as one stack of runs.

Each setting's function lives in a thread of its own, and one of them runs at a time. Where it calls `train` it waits;
when all wait or have ended, calls that differ only in what `train` takes as arrays become one call, and each gets its
own History. So the function is written for one setting, and what it does before and after stays its own.
"""

import functools
import inspect
import numbers
import queue
import threading
from dataclasses import fields, is_dataclass, replace
from typing import NamedTuple, get_args

import numpy as np

# Units times sequences up to which a stack of runs is faster than one run after the other, as benchmarks/bench_runs.py
# measures it: NumPy's calls count there, and beyond it the arithmetic.
STACKED = 256

_here = threading.local()  # .lane: the lane that this thread is; .seen: what `watched` looks at


class Call(NamedTuple):
    """One call of `train`: the function and its arguments by name, with the defaults."""

    function: object
    arguments: dict

    def stacks(self):
        """Say whether `train` would do this call faster as one of many."""
        a = self.arguments
        return (
            not (a["callbacks"] or a["regularizer"] or a["checkpoint"] or a["params"])
            and hasattr(a["model"], "stack")  # a NumPy model
            and isinstance(a["batch_size"], int)
            and a["model"].stack.width * a["batch_size"] <= STACKED
            and isinstance(a["seed"], numbers.Integral)
            and all(_of_one_run(a[part]) for part in ("optimizer", "clip"))
        )


class Lane:
    """One setting on its way: a thread that runs only while `go` waits for it."""

    def __init__(self, run, setting):
        self.run, self.setting = run, setting
        self.call, self.outcome = None, None
        self.answers, self.news = queue.SimpleQueue(), queue.SimpleQueue()
        self.thread = threading.Thread(target=self._live, daemon=True)

    def go(self, answer=None):
        """Let it run to its next call of `train` or to its end."""
        self.call = None
        self.answers.put(answer)
        if not self.thread.ident:
            self.thread.start()
        while True:
            try:
                self.call = self.news.get(timeout=1)  # a wait without an end would not hear Ctrl-C on Windows
                return
            except queue.Empty:
                continue

    def ask(self, call):
        """Hand a call over and wait for its answer; in the lane's own thread."""
        self.news.put(call)
        return self.answers.get()()

    def abandon(self):
        """End the thread at its next call of `train`, if it has not ended."""
        self.answers.put(_end_the_thread)

    def _live(self):
        self.answers.get()
        _here.lane = self
        try:
            self.outcome = self.run(**self.setting)
        except BaseException as error:  # sys.exit too: whoever waits must hear that it has ended
            self.outcome = error
        finally:
            self.news.put(None)


def gathered(train):
    """Let a call of `train` within `gather` become part of a stack."""
    signature = inspect.signature(train)

    @functools.wraps(train)
    def asking(*args, **kwargs):
        lane, seen = getattr(_here, "lane", None), getattr(_here, "seen", None)
        if lane is None and seen is None:
            return train(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        call = Call(train, bound.arguments)
        if lane is not None:
            return lane.ask(call)
        seen.append(call.stacks())
        return train(*args, **kwargs)

    return asking


def watched(run, setting):
    """Return the outcome of `run(**setting)`, its result or its exception, and whether it trained what stacks."""
    before, _here.seen = getattr(_here, "seen", None), []
    try:
        return run(**setting), any(_here.seen)
    except Exception as error:
        return error, any(_here.seen)
    finally:
        _here.seen = before


def gather(run, settings):
    """Return the outcome of `run(**setting)` for each setting: its result or its exception.

    Raises:
        KeyboardInterrupt: Ctrl-C came; what the settings have done is lost.
    """
    lanes = [Lane(run, setting) for setting in settings]
    try:
        for lane in lanes:
            lane.go()
        while waiting := [lane for lane in lanes if lane.call is not None]:
            alike = {}
            for lane in waiting:
                alike.setdefault(_likeness(lane.call), []).append(lane)
            for group in alike.values():
                for lane, answer in zip(group, _answers([lane.call for lane in group]), strict=True):
                    lane.go(answer)
    finally:
        for lane in lanes:
            lane.abandon()
    for lane in lanes:
        if isinstance(lane.outcome, BaseException) and not isinstance(lane.outcome, Exception):
            raise lane.outcome
    return [lane.outcome for lane in lanes]


def _answers(calls):
    """Return for each call a function that gives its History, or raises what the training raised."""
    if len(calls) > 1:
        try:
            return [functools.partial(_give, history) for history in _uninterrupted(*_as_one(calls))]
        except Exception:
            pass  # whose fault it was shows when each is done alone
    return [_answer(call) for call in calls]


def _answer(call):
    try:
        history = call.function(**call.arguments)
    except Exception as error:
        return functools.partial(_fail, error)
    return functools.partial(_give, *_uninterrupted(history))


def _as_one(calls):
    """Train all in one call: what differs between them becomes an array."""
    together = {part: _joined([call.arguments[part] for call in calls]) for part in ("optimizer", "clip")}
    seeds = np.array([call.arguments["seed"] for call in calls])
    return calls[0].function(**{**calls[0].arguments, **together, "seed": seeds})


def _joined(parts):
    own = {name: [getattr(part, name) for part in parts] for name in _per_run(parts[0])}
    differing = {name: np.array(values, float) for name, values in own.items() if len(set(values)) > 1}
    return replace(parts[0], **differing) if differing else parts[0]


def _likeness(call):
    """Return what calls must share to be one stack; a call that cannot be part of one is like no other."""
    if not call.stacks():
        return id(call)
    import cloudpickle  # here, so that `import rnnlab` needs only NumPy and tqdm

    a = call.arguments
    shared = {name: value for name, value in a.items() if name not in ("optimizer", "clip", "seed")}
    try:
        return cloudpickle.dumps((shared, _shared(a["optimizer"]), _shared(a["clip"])))
    except Exception:  # whatever an object's own pickling raises
        return id(call)


def _shared(part):
    """Return an optimizer or a clip without what a stack may have in different ways."""
    own = _per_run(part)
    return replace(part, **dict.fromkeys(own, 1.0)) if own else part


def _per_run(part):
    """Return the names of the settings that may be arrays, one number for each run."""
    return [f.name for f in fields(part) if np.ndarray in get_args(f.type)] if is_dataclass(part) else []


def _of_one_run(part):
    """Say whether an optimizer or a clip is made for one run and could be for many."""
    of_one = all(isinstance(getattr(part, name), numbers.Real) for name in _per_run(part))
    return part is None or (of_one and getattr(part, "runs", None) == 0)


def _uninterrupted(*histories):
    if any(getattr(history, "interrupted", False) for history in histories):
        raise KeyboardInterrupt
    return histories


def _give(history):
    return history


def _fail(error):
    raise error


def _end_the_thread():
    raise SystemExit

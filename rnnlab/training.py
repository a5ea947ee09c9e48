"""One training loop for both engines. Divergence is data: it is recorded, never raised and never a NaN that wins."""

import sys
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rnnlab import gathering
from rnnlab.checks import float_type, positive_integer
from rnnlab.histories import History, Validation
from rnnlab.loops import Checkpoint, Loop, in_words
from rnnlab.schedules import ReduceOnPlateau
from rnnlab.streams import Streams

BAR_DELAY = 2  # seconds: a bar for a short run would only flicker


@gathering.gathered
def train(
    model, task, optimizer, clip=None, updates=500, seed=0, batch_size=32, params=None, truncate=None,
    dtype=np.float64, progress=True, *, schedule=None, validation=None, regularizer=None, callbacks=(),
    checkpoint=None, checkpoint_every=100,
):  # fmt: skip
    """Train a model on fresh batches of a task.

    Each update: draw a batch, run forward and back, regularize, clip, scale the learning rate, move; then, if it is
    time, look at the validation data, call the callbacks, write the checkpoint.

    With a NumPy model many runs can be trained in one call: where seed, or a setting of optimizer or clip, such as lr
    or max_norm, is an array (R,), each run gets its own, and does what it would do alone. They are stacked while
    H * batch_size is at most 256, where that is several times faster, else trained one after the other; with callbacks,
    a regularizer or a checkpoint they are always stacked.

    Args:
        model: a `Model` or a `TorchModel`.
        task: has `sample(rng, batch_size, dtype)` and draws from `rng` alone.
        optimizer: has `init(params)` and `update(params, grads, state)`, such as `SGD(lr=0.1)`.
        clip: such as `ClipNorm(1.0)`, or None; it acts between the backward pass and the update.
        updates: number of updates, at least 1.
        seed: seeds the starting parameters, the batches and the validation data, each apart from the others.
        batch_size: B.
        params: starting parameters; drawn by `model.init` if None. They are not changed.
        truncate: see `backprop`.
        dtype: numpy.float64 or numpy.float32.
        progress: show a progress bar on the terminal if the run takes longer than two seconds.
        schedule: factor on the learning rate: a function of the update, counted from 0, such as `CosineDecay(500)`, or
            `ReduceOnPlateau`, which needs a validation.
        validation: a `Validation`, or None.
        regularizer: a function (params, out) that returns gradients to add, a dict by name; `out` is what
            `loss_and_grads` returned.
        callbacks: functions that are called with a `Moment` after each update. One that returns True ends the run.
        checkpoint: a file, by custom named .npz, written every `checkpoint_every` updates and at the end, Ctrl-C and
            errors included. If it is there already, the run goes on from it, bit for bit as if it had not been
            interrupted; with more `updates` than before it goes further.
        checkpoint_every: updates between two checkpoints, at least 1.

    Returns:
        History; a list of them, one for each run, where there are runs. A run that diverges ends early with
        `diverged_at` set; it raises nothing.

    Raises:
        TypeError, ValueError: a setting does not fit, or the checkpoint is damaged or of another run. Nothing has been
            trained then.

    >>> import rnnlab as rl
    >>> model = rl.Model(rl.RNNCell(2, 8), output_size=1, loss=rl.squared_error)
    >>> history = rl.train(model, rl.Adding(length=5), rl.SGD(lr=0.1), updates=20)
    >>> len(history.loss), history.diverged_at
    (20, None)
    >>> [run.diverged_at for run in rl.train(model, rl.Adding(5), rl.SGD(lr=np.array([0.1, 1e200])), updates=20)]
    [None, 1]
    """
    positive_integer(updates, "updates")
    positive_integer(batch_size, "batch_size")
    positive_integer(checkpoint_every, "checkpoint_every")
    _check(model, task, optimizer, clip, schedule, validation, regularizer, callbacks)
    streams = Streams(seed, task, batch_size, float_type(dtype))
    runs = _runs(model, optimizer, clip, schedule, seed, params)
    optimizer, clip = _stacked(optimizer, runs), _stacked(clip, runs)
    params = _starting_params(model, streams, params, runs)
    if runs and not (callbacks or regularizer or checkpoint) and model.stack.width * batch_size > gathering.STACKED:
        alone = partial(
            train, model, task, updates=updates, batch_size=batch_size, truncate=truncate, dtype=dtype,
            progress=progress, schedule=schedule, validation=validation,
        )  # fmt: skip
        return _one_by_one(alone, runs, optimizer, clip, seed, params)
    loop = Loop(model, streams, optimizer, clip, schedule, validation, regularizer, tuple(callbacks), truncate, runs)
    now, file = loop.start(params), None
    if checkpoint is not None:
        if not Path(checkpoint).resolve().parent.is_dir():
            raise FileNotFoundError(
                f"expected the folder of checkpoint to be there, got {str(checkpoint)!r}; make it first"
            )
        about = {"model": repr({name: tuple(param.shape) for name, param in params.items()})}
        parts = {"optimizer": optimizer, "clip": clip, "schedule": schedule, "seed": seed}
        parts |= {"batch_size": batch_size, "truncate": truncate, "dtype": np.dtype(dtype).name}
        file = Checkpoint(checkpoint, loop, about | {name: in_words(part) for name, part in parts.items()})
        now = file.load() or now
    return _carry_on(loop, now, updates, progress, file, checkpoint_every)


def _one_by_one(alone, runs, optimizer, clip, seed, params):
    """Train each run alone; after Ctrl-C those that have not begun are where they started."""
    histories = []
    for r, own_seed in enumerate(np.broadcast_to(seed, runs).tolist()):
        start = {name: param[r] for name, param in params.items()}
        if histories and histories[-1].interrupted:
            histories.append(History(*np.empty((2, 0)), np.empty(0, bool), None, start, interrupted=True))
        else:
            own = {"optimizer": _of_run(optimizer, r), "clip": _of_run(clip, r)}
            histories.append(alone(**own, seed=own_seed, params=start))
    return histories


def _of_run(part, r):
    """Return the optimizer or the clip of one run."""
    if part is None:
        return None
    settings = {field.name: getattr(part, field.name) for field in fields(part)}
    own = {name: value[r].item() for name, value in settings.items() if isinstance(value, np.ndarray)}
    return replace(part, **own, runs=0)


def _carry_on(loop, now, updates, progress, file, checkpoint_every):
    """Run the updates that are left; whatever ends them, keep what was done."""
    interrupted = False
    try:
        with _bar(now.update, updates, progress) as bar:
            while now.update < updates and (now.ended < 0).any():
                now = loop.step(now)
                bar.update()
                if file and now.update % checkpoint_every == 0:
                    file.save(now)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if file:
            file.save(now)
    return loop.histories(now, interrupted)


def evaluate(model, params, task, metric, samples=1000, seed=0, dtype=np.float64):
    """Return a metric on fresh sequences, such as `evaluate(model, params, task, rl.accuracy)`.

    Args:
        model: a `Model` or a `TorchModel`.
        params: its parameters.
        task: has `sample(rng, batch_size, dtype)`.
        metric: a function of the NumPy arrays (outputs, y, mask); of a pair, as the losses return, the first is taken.
        samples: number of sequences.
        seed: seeds the sequences; use another than for training.
    """
    batch = task.sample(np.random.default_rng([seed, 0xE7A1]), samples, dtype)
    outputs, _ = model.forward(params, batch.x)
    value = metric(np.asarray(outputs), batch.y, batch.mask)
    return float(value[0] if isinstance(value, tuple) else value)


def _check(model, task, optimizer, clip, schedule, validation, regularizer, callbacks):
    """Raise unless each part can do what the loop asks of it."""
    plateau = isinstance(schedule, ReduceOnPlateau)
    wanted = (
        (hasattr(model, "loss_and_grads"), "a rnnlab.Model or a TorchModel", model),
        (hasattr(task, "sample"), "a task with sample(rng, batch_size, dtype), such as rnnlab.Adding(50)", task),
        (
            hasattr(optimizer, "init") and hasattr(optimizer, "update"),
            "an optimizer such as rnnlab.SGD(0.1)",
            optimizer,
        ),
        (clip is None or callable(clip), "a clip such as rnnlab.ClipNorm(1.0), or None", clip),
        (schedule is None or callable(schedule), "a schedule such as rnnlab.CosineDecay(500), or None", schedule),
        (
            schedule is None or hasattr(optimizer, "scaled"),
            "an optimizer with scaled for a schedule",
            optimizer,
        ),
        (validation is None or isinstance(validation, Validation), "a rnnlab.Validation, or None", validation),
        (not plateau or validation is not None, "a validation, which ReduceOnPlateau follows", validation),
        (regularizer is None or callable(regularizer), "a function (params, out) as regularizer, or None", regularizer),
        (isinstance(callbacks, list | tuple) and all(map(callable, callbacks)), "a list of callbacks", callbacks),
    )
    for fits, what, got in wanted:
        if not fits:
            raise TypeError(f"expected {what}, got {got!r:.200}")


def _runs(model, optimizer, clip, schedule, seed, params):
    """Return the number of runs that arrays among the settings ask for, or None."""
    found = {"seed": np.shape(seed)}
    for part in (optimizer, clip):
        for setting in fields(part) if is_dataclass(part) else ():
            value = getattr(part, setting.name)
            if isinstance(value, np.ndarray):  # a tuple, such as Muon's names, is no axis of runs
                found[f"{type(part).__name__}'s {setting.name}"] = value.shape
    if params is not None and hasattr(model, "shapes"):
        name, shape = next(iter(model.shapes.items()))
        own = np.shape(params.get(name, ()))
        found[f"params[{name!r}]"] = own[: len(own) - len(shape)]
    found = {name: shape for name, shape in found.items() if shape}
    if not found:
        return None
    if len(set(found.values())) > 1 or len(next(iter(found.values()))) > 1:
        raise ValueError(f"expected one axis of runs, (R,), in all settings that are arrays, got {found}")
    if hasattr(model, "as_tensor"):
        raise ValueError(f"expected settings of one run for a TorchModel, got {found}; only rnnlab.Model takes runs")
    if isinstance(schedule, ReduceOnPlateau):
        raise ValueError(f"expected a schedule that suits all runs, got {schedule!r}; train the runs one by one")
    return next(iter(found.values()))[0]


def _stacked(part, runs):
    """Return an optimizer or a clip that knows of the axis of runs."""
    if runs is None or part is None:
        return part
    if not hasattr(part, "runs"):
        raise TypeError(f"expected an optimizer and a clip with a setting `runs` where there are runs, got {part!r}")
    return replace(part, runs=1)


def _starting_params(model, streams, params, runs):
    drawn = streams.params(model, runs)
    if params is None:
        return drawn
    if runs is None:
        return dict(params)
    return {name: np.broadcast_to(param, np.shape(drawn[name])) for name, param in params.items()}


def _bar(done, updates, progress):
    return tqdm(
        total=updates, initial=done, desc="train", unit="update", delay=BAR_DELAY, leave=False, disable=not progress,
        file=sys.stderr,
    )  # fmt: skip

"""One training loop for both engines. Divergence is data: it is recorded, never raised and never a NaN that wins."""

import math
import sys
from dataclasses import dataclass, field

import numpy as np

from rnnlab.bptt import Workspace
from rnnlab.checks import positive_integer
from rnnlab.clipping import global_norm

BAR_DELAY = 2  # seconds: a bar for a short run would only flicker


@dataclass
class History:
    """Hold what happened in a training run.

    Attributes:
        loss: (updates,), loss of each update's batch before the update.
        grad_norm: (updates,), global norm BEFORE clipping.
        clipped: (updates,), True where the clip changed the gradient.
        diverged_at: index of the update whose loss or gradient norm was not finite, or None. It is the last entry.
        params: the last parameters whose loss was finite.
        interrupted: True if Ctrl-C ended the run; everything up to there is kept.
    """

    loss: np.ndarray
    grad_norm: np.ndarray
    clipped: np.ndarray
    diverged_at: int | None
    params: dict = field(repr=False)
    interrupted: bool = False

    def final_loss(self, last=50):
        """Return the mean loss of the last updates; infinity if the run diverged."""
        return math.inf if self.diverged_at is not None else float(self.loss[-last:].mean())


def train(
    model, task, optimizer, clip=None, updates=500, seed=0, batch_size=32, params=None, truncate=None,
    dtype=np.float64, progress=True,
):  # fmt: skip
    """Train a model on fresh batches of a task.

    Args:
        model: a `Model` or a `TorchModel`.
        task: has `sample(rng, batch_size, dtype)`.
        optimizer: has `init(params)` and `update(params, grads, state)`, such as `SGD(lr=0.1)`.
        clip: `ClipNorm`, `ClipValue` or None; it acts between the backward pass and the update.
        updates: number of updates, at least 1.
        seed: seeds the starting parameters and, apart from them, the batches.
        batch_size: B.
        params: starting parameters; drawn by `model.init` if None. They are not changed.
        truncate: see `backprop`.
        dtype: numpy.float64 or numpy.float32.
        progress: show a progress bar on the terminal if the run takes longer than two seconds.

    Returns:
        History. A run that diverges ends early with `diverged_at` set; it raises nothing.

    >>> import rnnlab as rl
    >>> model = rl.Model(rl.RNNCell(2, 8), output_size=1, loss=rl.squared_error)
    >>> history = rl.train(model, rl.Adding(length=5), rl.SGD(lr=0.1), updates=20)
    >>> len(history.loss), history.diverged_at
    (20, None)
    """
    positive_integer(updates, "updates")
    # Two streams, so that a model of another size still sees the same batches.
    init_rng, batch_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    params = model.init(init_rng, dtype) if params is None else params
    state, work, rows = optimizer.init(params), Workspace(), []
    diverged_at, interrupted, last_finite = None, False, params
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            for update in _bar(updates, progress):
                batch = task.sample(batch_rng, batch_size, dtype)
                out = model.loss_and_grads(params, batch, truncate=truncate, work=work)
                grads, norm = clip(out.grads) if clip else (out.grads, global_norm(out.grads))
                rows.append((out.loss, norm, any(_differ(grads[name], out.grads[name]) for name in grads)))
                if not (math.isfinite(out.loss) and math.isfinite(norm)):
                    diverged_at, params = update, last_finite
                    break
                last_finite = params
                params, state = optimizer.update(params, grads, state)
    except KeyboardInterrupt:
        interrupted = True
    loss, grad_norm, clipped = np.array(rows, dtype=float).reshape(-1, 3).T
    return History(loss, grad_norm, clipped.astype(bool), diverged_at, params, interrupted)


def evaluate(model, params, task, metric, samples=1000, seed=0, dtype=np.float64):
    """Return a metric on fresh sequences, such as `evaluate(model, params, task, rl.accuracy)`.

    Args:
        model: a `Model`.
        params: its parameters.
        task: has `sample(rng, batch_size, dtype)`.
        metric: a function of (outputs, y, mask); of a pair, as the losses return, the first is taken.
        samples: number of sequences.
        seed: seeds the sequences; use another than for training.
    """
    batch = task.sample(np.random.default_rng([seed, 0xE7A1]), samples, dtype)
    outputs, _ = model.forward(params, batch.x)
    value = metric(outputs, batch.y, batch.mask)
    return float(value[0] if isinstance(value, tuple) else value)


def _differ(a, b):
    return a is not b and bool((a != b).any())


def _bar(updates, progress):
    from tqdm import tqdm  # here, because it takes as long to load as all of rnnlab

    return tqdm(
        range(updates), desc="train", unit="update", delay=BAR_DELAY, leave=False, disable=not progress, file=sys.stderr
    )

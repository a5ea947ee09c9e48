"""What a training run leaves behind, what a callback sees of it, and how it is looked at on the way."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnlab.checks import positive_integer


@dataclass
class History:
    """Hold what happened in a training run.

    Attributes:
        loss: (updates,), loss of each update's batch before the update.
        grad_norm: (updates,), global norm BEFORE clipping.
        clipped: (updates,), True where the clip changed the gradient.
        diverged_at: index of the update whose loss or gradient norm was not finite, or None. It is the last entry.
        params: the parameters at the end; those of the last finite loss if the run diverged. Where an optimizer
            averages them (`ScheduleFree`), the average.
        interrupted: True if Ctrl-C ended the run; everything up to there is kept.
        stopped_early: True if the validation's patience or a callback ended the run.
        looked_at: (looks,), updates done before each look at the validation data.
        validation: (looks,), the loss of each look.
        best_params: the parameters of the lowest validation loss; `params` without a validation.
    """

    loss: np.ndarray
    grad_norm: np.ndarray
    clipped: np.ndarray
    diverged_at: int | None
    params: dict = field(repr=False)
    interrupted: bool = False
    stopped_early: bool = False
    looked_at: np.ndarray = field(default_factory=lambda: np.empty(0, int), repr=False)
    validation: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    best_params: dict = field(default=None, repr=False)

    def __post_init__(self):
        if self.best_params is None:
            self.best_params = self.params

    def final_loss(self, last=50):
        """Return the mean loss of the last updates; infinity if the run diverged, NaN if it had no update."""
        if self.diverged_at is not None:
            return math.inf
        return float(self.loss[-last:].mean()) if len(self.loss) else math.nan

    def summary(self):
        """Return the run as one row of a table: final loss, diverged_at, updates, share of clipped updates.

        With a validation also the lowest validation loss, infinity if no look was finite.
        """
        row = {
            "loss": self.final_loss(),
            "diverged_at": self.diverged_at,
            "updates": len(self.loss),
            "clipped": float(self.clipped.mean()) if len(self.clipped) else 0.0,
        }
        if len(self.validation):
            row["validation"] = float(np.where(np.isfinite(self.validation), self.validation, np.inf).min())
        return row


@dataclass(frozen=True)
class Validation:
    """Look at held-out sequences while a run trains, and end it when they get no better.

    Args:
        data: a `Batch`, or a task of which `samples` sequences are drawn once, by the run's seed and apart from all
            that it trains on.
        every: updates between two looks, at least 1.
        patience: looks in a row without a new lowest loss after which the run ends; None never ends it.
        samples: sequences to draw of a task, at least 1.

    >>> import rnnlab as rl
    >>> model = rl.Model(rl.RNNCell(2, 8), output_size=1, loss=rl.squared_error)
    >>> look = Validation(rl.Adding(length=2), every=50, patience=2)
    >>> history = rl.train(model, rl.Adding(length=2), rl.SGD(lr=0.2), updates=200, validation=look)
    >>> history.looked_at
    array([ 50, 100, 150, 200])
    >>> bool(history.validation[-1] < history.validation[0]), history.stopped_early
    (True, False)
    """

    data: Any
    every: int = 100
    patience: int | None = None
    samples: int = 500

    def __post_init__(self):
        if not (hasattr(self.data, "sample") or hasattr(self.data, "mask")):
            raise TypeError(f"expected a Batch or a task with sample(rng, batch_size, dtype), got {self.data!r}")
        positive_integer(self.every, "every")
        positive_integer(self.samples, "samples")
        if self.patience is not None:
            positive_integer(self.patience, "patience")


@dataclass(frozen=True)
class Moment:
    """What a callback sees after an update. With runs, each number is an array (R,).

    Attributes:
        update: number of updates done, from 1.
        params: the parameters after the update.
        grads: the gradients that the optimizer got, after clipping.
        loss, grad_norm: of this update's batch, before the update and before clipping.
        validation: the loss of a look, if there was one after this update, else None.
        out: what `loss_and_grads` returned. Its `h` and `d_h` hold until the next update: copy what you keep.
    """

    update: int
    params: dict
    grads: dict
    loss: float
    grad_norm: float
    validation: float | None
    out: Any

"""The loop that `train` runs: one update after the other, for one run or for a stack of runs on a leading axis.

All that changes from update to update is in a `Now`, which is replaced as a whole. So wherever Ctrl-C comes, the last
`Now` is complete, and a checkpoint of it goes on bit for bit.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnlab.bptt import Workspace
from rnnlab.checkpoints import load_state, save_state
from rnnlab.clipping import Clip, global_norm
from rnnlab.histories import History, Moment


class Now(NamedTuple):
    """Hold a training run between two updates; masks and numbers of runs are arrays (R,), with R = 1 for a single one.

    Attributes:
        update: updates done.
        params, last_finite: the parameters, and the last ones whose loss was finite.
        optimizer, clip, schedule: their states.
        streams: how far the batches have been drawn.
        ended: after how many updates a run ended; -1 while it moves. One that ended stays where it is.
        diverged: True where divergence ended it.
        best, best_loss, worse: parameters and loss of the best look at the validation data, and looks since then.
    """

    update: int
    params: dict
    last_finite: dict
    optimizer: dict
    clip: dict
    schedule: dict
    streams: list
    ended: np.ndarray
    diverged: np.ndarray
    best: dict
    best_loss: np.ndarray
    worse: np.ndarray


class NoClip(Clip):
    """Leave the gradient as it is, and measure it."""

    def __init__(self, runs):
        self.runs = 0 if runs is None else 1

    def __call__(self, grads):
        """Return the gradients and their global norm."""
        return grads, global_norm(grads, self.runs)


class Loop:
    """Carry a run from one update to the next; see `train` for what the parts are."""

    def __init__(self, model, streams, optimizer, clip, schedule, validation, regularizer, callbacks, truncate, runs):
        self.model, self.streams, self.optimizer, self.clip = model, streams, optimizer, clip or NoClip(runs)
        self.schedule, self.validation, self.regularizer, self.callbacks = schedule, validation, regularizer, callbacks
        self.truncate, self.runs, self.work = truncate, runs, Workspace()
        self.rows, self.looks = [], []  # (loss, grad_norm, clipped) of each update, (update, loss) of each look
        self.held_out = validation and streams.validation_batch(validation.data, validation.samples)

    def start(self, params):
        """Return the state before the first update."""
        R = self.runs or 1
        return Now(
            update=0, params=params, last_finite=params, optimizer=self.optimizer.init(params),
            clip=self.clip.init() if hasattr(self.clip, "init") else {},
            schedule=self.schedule.init() if hasattr(self.schedule, "init") else {},
            streams=self.streams.state, ended=np.full(R, -1), diverged=np.zeros(R, bool),
            best=params, best_loss=np.full(R, np.inf), worse=np.zeros(R, int),
        )  # fmt: skip

    def step(self, now):
        """Return the state after one update; a row, and a look if it is time for one, have been written."""
        batch = self.streams.batch()
        with np.errstate(over="ignore", invalid="ignore"):
            out = self.model.loss_and_grads(now.params, batch, truncate=self.truncate, work=self.work)
            raw = self._regularized(now.params, out)
            grads, norm, clip = self._clipped(raw, now)
            loss, grad_norm = np.reshape(out.loss, -1), np.reshape(norm, -1)
            self.rows.append((loss, grad_norm, self._changed(grads, raw)))
            finite = np.isfinite(loss) & np.isfinite(grad_norm)
            moving, diverged = (now.ended < 0) & finite, (now.ended < 0) & ~finite
            now = now._replace(last_finite=self._choose(finite, now.params, now.last_finite))
            params, optimizer = self._moved(now, grads, moving, diverged)
        now = now._replace(
            update=now.update + 1, params=params, optimizer=optimizer, clip=clip, streams=self.streams.state,
            ended=np.where(diverged, now.update + 1, now.ended), diverged=now.diverged | diverged,
        )  # fmt: skip
        now, look = self._looked(now)
        moment = Moment(now.update, params, grads, out.loss, norm, look, out)
        if any([callback(moment) is True for callback in self.callbacks]):  # a list: all of them see the update
            now = self._stopped(now, True)
        return now

    def histories(self, now, interrupted):
        """Return what happened: one History, or a list of them with runs."""
        R = self.runs or 1
        loss, grad_norm, clipped = np.array(self.rows[: now.update]).reshape(-1, 3, R).transpose(1, 2, 0)
        at = np.array([update for update, _ in self.looks if update <= now.update], int)
        looks = np.array([loss for update, loss in self.looks if update <= now.update]).reshape(-1, R)
        final = self._evaluation_params(now)
        best = self._choose(np.isfinite(now.best_loss), now.best, final)
        result = []
        for r in range(R):
            updates = now.update if now.ended[r] < 0 else int(now.ended[r])
            seen = at <= updates
            result.append(
                History(
                    loss[r, :updates],
                    grad_norm[r, :updates],
                    clipped[r, :updates].astype(bool),
                    diverged_at=updates - 1 if now.diverged[r] else None,
                    params=self._of_run(final, r),
                    interrupted=bool(interrupted and now.ended[r] < 0),
                    stopped_early=bool(now.ended[r] >= 0 and not now.diverged[r]),
                    looked_at=at[seen],
                    validation=looks[seen, r],
                    best_params=self._of_run(best, r),
                )
            )
        return result[0] if self.runs is None else result

    def _regularized(self, params, out):
        if self.regularizer is None:
            return out.grads
        return out.grads | {name: out.grads[name] + d for name, d in self.regularizer(params, out).items()}

    def _clipped(self, grads, now):
        if hasattr(self.clip, "update"):
            return self.clip.update(grads, now.params, now.clip)
        return *self.clip(grads), now.clip

    def _changed(self, grads, raw):
        """Say for each run whether the clip changed an entry."""
        changed = np.zeros(self.runs or 1, bool)
        for name, grad in grads.items():
            if grad is not raw[name]:
                differs = (grad != raw[name]) & (raw[name] == raw[name])  # NaN, which equals nothing, stays NaN
                changed |= differs.reshape(len(changed), -1).any(-1) if self.runs else bool(differs.any())
        return changed

    def _moved(self, now, grads, moving, diverged):
        """Return parameters and optimizer's state after an update; what has diverged goes back to the last finite."""
        if not moving.any():
            return self._choose(diverged, now.last_finite, now.params), now.optimizer
        factor = 1.0
        if self.schedule is not None:
            factor = self.schedule(now.schedule if now.schedule else now.update)
        optimizer = self.optimizer if factor == 1 else self.optimizer.scaled(factor)
        params, state = optimizer.update(now.params, grads, now.optimizer)
        if not moving.all():
            params = self._choose(moving, params, self._choose(diverged, now.last_finite, now.params))
        return params, state

    def _looked(self, now):
        """Look at the validation data if it is time; return the state and the loss of the look, or None."""
        if self.validation is None or now.update % self.validation.every:
            return now, None
        params = self._evaluation_params(now)
        with np.errstate(over="ignore", invalid="ignore"):
            look = held_out_loss(self.model, params, self.held_out)
        losses = np.reshape(look, -1)
        self.looks.append((now.update, losses))
        moving = now.ended < 0
        better = moving & (losses < now.best_loss)
        now = now._replace(
            best=self._choose(better, params, now.best), best_loss=np.where(better, losses, now.best_loss),
            worse=np.where(better, 0, now.worse + 1),
            schedule=self.schedule.update(look, now.schedule) if now.schedule else {},
        )  # fmt: skip
        out_of_patience = self.validation.patience is not None and now.worse >= self.validation.patience
        return self._stopped(now, out_of_patience), look

    def _stopped(self, now, which):
        return now._replace(ended=np.where((now.ended < 0) & which, now.update, now.ended))

    def _evaluation_params(self, now):
        own = getattr(self.optimizer, "evaluation_params", None)
        params = own(now.params, now.optimizer) if own else now.params
        # The average of a run that has diverged is lost with the optimizer's state.
        return self._choose(now.diverged, now.params, params)

    def _choose(self, mask, new, old):
        """Return the parameters of `new` where the mask says so, else of `old`."""
        if new is old or not mask.any():
            return old
        if mask.all():
            return new
        return {name: np.where(mask.reshape(-1, *[1] * (new[name].ndim - 1)), new[name], old[name]) for name in new}

    def _of_run(self, params, r):
        return params if self.runs is None else {name: param[r] for name, param in params.items()}


def held_out_loss(model, params, batch):
    """Return the loss on a batch without a backward pass: a float, or (R,) with runs."""
    outputs, _ = model.forward(params, batch.x)
    # A twin's outputs are tensors; the loss is the NumPy model's, so that both are judged by the same code.
    outputs = outputs.numpy() if hasattr(outputs, "numpy") else outputs
    return getattr(model, "model", model).loss(outputs, batch.y, batch.mask)[0]


class Checkpoint:
    """Keep a loop and its state in a file.

    Args:
        path: the file.
        loop: the `Loop`.
        about: dict of texts that say what the run is; a file of another run is refused.
    """

    def __init__(self, path, loop, about):
        self.path, self.loop, self.about = Path(path), loop, about

    def save(self, now):
        """Write the state, all of it or nothing."""
        loop = self.loop
        rows = [np.array([row[n] for row in loop.rows[: now.update]]) for n in range(3)]
        looks = [(at, loss) for at, loss in loop.looks if at <= now.update]
        state = now._asdict()
        looks = {"at": [at for at, _ in looks], "loss": [loss for _, loss in looks]}
        save_state(self.path, {"about": self.about, "now": state, "rows": rows, "looks": looks})

    def load(self):
        """Return the state of the file, and put its rows, looks and streams into the loop; None if there is no file."""
        if not os.path.exists(self.path):
            return None
        kept = load_state(self.path, getattr(self.loop.model, "as_tensor", None))
        if not isinstance(kept, dict) or kept.keys() != {"about", "now", "rows", "looks"}:
            raise ValueError(f"expected a checkpoint that train wrote, got {str(self.path)!r}; give another file name")
        other = {name: text for name, text in kept["about"].items() if self.about.get(name) != text}
        if other or kept["about"].keys() != self.about.keys():
            wanted = {name: self.about.get(name) for name in other}
            raise ValueError(
                f"expected a checkpoint of this run with {wanted}, got one with {other} in {str(self.path)!r}; "
                "give another file name, or delete it"
            )
        now = Now(**kept["now"])
        self.loop.rows = list(zip(*kept["rows"], strict=True))
        self.loop.looks = list(zip(kept["looks"]["at"], kept["looks"]["loss"], strict=True))
        self.loop.streams.state = now.streams
        return now


def in_words(value):
    """Return the repr of a setting without the addresses of this process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))

"""Where the numbers of a training run come from: for each seed one stream of starting parameters, batches, and held-out
sequences, apart from each other, so that a model of another size still sees the same batches."""

import numbers

import numpy as np

from rnnlab.tasks import Batch


class Streams:
    """Draw for one run, or for a stack of runs, each what it would draw alone.

    Args:
        seed: a whole number of at least 0, or an array (R,) of them, one for each run.
        task: has `sample(rng, batch_size, dtype)`.
        batch_size: B.
        dtype: of what is drawn.

    Raises:
        TypeError: the seed is something else.
        ValueError: a seed is negative.
    """

    def __init__(self, seed, task, batch_size, dtype):
        self.task, self.batch_size, self.dtype = task, batch_size, dtype
        # Runs of the same seed have one stream, drawn once.
        self.seeds, self.stream_of_run = np.unique(_seeds(seed), return_inverse=True)
        spawned = [np.random.SeedSequence(int(one)).spawn(3) for one in self.seeds]
        self.starts, self.batches, self.held_out = (
            [np.random.default_rng(three[n]) for three in spawned] for n in range(3)
        )

    def params(self, model, runs):
        """Return starting parameters; with a number of runs, stacked on a leading axis."""
        drawn = [model.init(rng, self.dtype) for rng in self.starts]
        if runs is None:
            return drawn[0]
        which = np.broadcast_to(self.stream_of_run, runs)
        return {name: np.stack([drawn[stream][name] for stream in which]) for name in drawn[0]}

    def batch(self):
        """Return the next batch of each run."""
        return self._stacked([self.task.sample(rng, self.batch_size, self.dtype) for rng in self.batches])

    def validation_batch(self, data, samples):
        """Return a given batch as it is, or `samples` sequences of a task."""
        if not hasattr(data, "sample"):
            return data
        return self._stacked([data.sample(rng, samples, self.dtype) for rng in self.held_out])

    @property
    def state(self):
        """How far the batches have been drawn."""
        return [rng.bit_generator.state for rng in self.batches]

    @state.setter
    def state(self, states):
        for rng, state in zip(self.batches, states, strict=True):
            rng.bit_generator.state = state

    def _stacked(self, batches):
        if len(batches) == 1:
            return batches[0]
        if any((batch.mask != batches[0].mask).any() for batch in batches):
            raise ValueError(
                "expected a task that asks all runs at the same steps, got masks that differ between seeds; train the "
                "seeds one by one"
            )
        x, y = (np.stack([getattr(batch, name) for batch in batches])[self.stream_of_run] for name in ("x", "y"))
        return Batch(x, y, batches[0].mask)


def _seeds(seed):
    """Return the seeds as an array (R,), R = 1 for a single number."""
    one = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    many = isinstance(seed, np.ndarray) and seed.ndim == 1 and seed.size and seed.dtype.kind in "iu"
    if not (one or many):
        raise TypeError(
            f"expected seed to be a whole number, or a NumPy array of them with one for each run, got {seed!r}"
        )
    if np.any(np.less(seed, 0)):
        raise ValueError(f"expected seed to be at least 0, got {seed!r}")
    return np.atleast_1d(seed)

"""Clipping: bound the gradient between the backward pass and the update.

A clip is called with a flat dict of gradients, NumPy or torch, and returns new gradients and the GLOBAL norm before
clipping: one norm over all parameters together. What was passed in is left as it was.

Where the gradients (NumPy only) have axes of independent runs in front, `runs` says how many such axes there are: then
there is one norm for each run, and each run is clipped by its own.
"""

import math
from dataclasses import dataclass

import numpy as np

from rnnlab.checks import positive_numbers
from rnnlab.runs import per_run, runs_shape


def global_norm(grads, runs=0):
    """Return the Euclidean norm of all gradients taken together, as a float; infinity or NaN if an entry is so.

    Args:
        grads: dict name -> array.
        runs: number of leading axes that are independent runs; above 0 the result is an array with these axes.

    >>> global_norm({"a": np.array([3.0]), "b": np.array([[4.0]])})
    5.0
    >>> global_norm({"a": np.array([[3.0], [6.0]]), "b": np.array([[4.0], [8.0]])}, runs=1)
    array([ 5., 10.])
    """
    if not grads:
        raise ValueError("expected at least one gradient, got an empty dict")
    if runs:
        return _norm_of_each_run(grads, runs)
    # One scale for all, because the square of a large float32 or float64 would overflow.
    scale = max(float(abs(grad).max()) for grad in grads.values())
    if scale == 0 or not math.isfinite(scale):
        return scale
    return scale * math.sqrt(sum(float(((grad / scale) ** 2).sum()) for grad in grads.values()))


def _norm_of_each_run(grads, runs):
    shape = runs_shape(grads, runs)
    rows = [grad.reshape(*shape, -1).astype(np.float64) for grad in grads.values()]
    scale = np.max([np.abs(row).max(axis=-1) for row in rows], axis=0)
    divisor = np.where((scale == 0) | ~np.isfinite(scale), 1, scale)[..., None]
    with np.errstate(over="ignore", invalid="ignore"):
        return divisor[..., 0] * np.sqrt(sum(((row / divisor) ** 2).sum(axis=-1) for row in rows))


@dataclass(frozen=True)
class ClipNorm:
    """Shorten the gradient to length max_norm if it is longer: g <- g min(1, max_norm / ||g||).

    The direction stays. ||g|| is the global norm. A gradient with a NaN or an infinity has no direction: it is returned
    as it came, and the norm says so.

    Args:
        max_norm: longest gradient let through, above 0; infinity never clips. An array (*runs,) has one for each run.
        runs: number of leading axes of the gradients that are independent runs; an array max_norm says it itself.

    Source: Pascanu, Mikolov and Bengio (2013), Algorithm 1. (torch divides by ||g|| + 1e-6, so it never quite gives
    max_norm.)

    >>> ClipNorm(max_norm=1.0)({"w": np.array([3.0, 4.0])})
    ({'w': array([0.6, 0.8])}, 5.0)
    """

    max_norm: float | np.ndarray
    runs: int = 0

    def __post_init__(self):
        positive_numbers(self.max_norm, "max_norm")
        _check_runs(self.max_norm, self.runs)

    def __call__(self, grads):
        """Return the clipped gradients and the global norm before clipping."""
        norm = global_norm(grads, self.runs or np.ndim(self.max_norm))
        if isinstance(norm, np.ndarray):
            return self._clip_each_run(grads, norm), norm
        if not math.isfinite(norm) or norm <= self.max_norm:
            return dict(grads), norm
        return {name: grad * (self.max_norm / norm) for name, grad in grads.items()}, norm

    def _clip_each_run(self, grads, norm):
        if np.ndim(self.max_norm) and self.max_norm.shape != norm.shape:
            raise ValueError(f"expected gradients of runs {self.max_norm.shape}, got runs {norm.shape}")
        too_long = np.isfinite(norm) & (norm > self.max_norm)
        share = np.divide(self.max_norm, norm, out=np.ones_like(norm), where=too_long)
        return {name: grad * per_run(share, grad) for name, grad in grads.items()}


@dataclass(frozen=True)
class ClipValue:
    """Cut every entry of the gradient to [-max_value, max_value]: g_i <- max(-v, min(v, g_i)).

    The direction changes as soon as one entry is cut and another is not.

    Args:
        max_value: largest absolute entry let through, above 0; infinity never clips. An array (*runs,) has one for
            each run.
        runs: number of leading axes of the gradients that are independent runs; an array max_value says it itself.

    Source: the element-wise clip of Mikolov (2012).

    >>> ClipValue(max_value=1.0)({"w": np.array([3.0, 0.5])})[0]
    {'w': array([1. , 0.5])}
    """

    max_value: float | np.ndarray
    runs: int = 0

    def __post_init__(self):
        positive_numbers(self.max_value, "max_value")
        _check_runs(self.max_value, self.runs)

    def __call__(self, grads):
        """Return the clipped gradients and the global norm before clipping."""
        norm, clipped = global_norm(grads, self.runs or np.ndim(self.max_value)), {}
        for name, grad in grads.items():
            limit = per_run(self.max_value, grad)
            clipped[name] = grad.clip(-limit, limit)
        return clipped, norm


def _check_runs(setting, runs):
    if isinstance(runs, bool) or not isinstance(runs, int) or runs < 0:
        raise ValueError(f"expected runs to be a whole number of at least 0, got {runs!r}")
    if runs and np.ndim(setting) not in (0, runs):
        raise ValueError(f"expected a setting with {runs} axes of runs, got shape {np.shape(setting)}")

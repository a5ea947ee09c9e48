"""Clipping: bound the gradient between the backward pass and the update.

A clip is called with a flat dict of gradients, NumPy or torch, and returns new gradients and the GLOBAL norm before
clipping: one norm over all parameters together. What was passed in is left as it was.

Where the gradients (NumPy only) have axes of independent runs in front, `runs` says how many such axes there are: then
there is one norm for each run, and each run is clipped by its own.

A training loop calls every clip here in one way, as it calls an optimizer: `state = clip.init()`, then
`grads, norm, state = clip.update(grads, params, state)`. The state is what a clip remembers: nothing for most,
the norms so far for `AutoClip`. So a clip may serve many trainings at once, and its memory is saved with the rest.
"""

import math
from dataclasses import dataclass, field

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


class Clip:
    """What all clips share: the call with a state."""

    def init(self):
        """Return the state before the first update: empty, where nothing is remembered."""
        return {}

    def update(self, grads, params, state):
        """Return the clipped gradients, the global norm before clipping and the new state.

        Args:
            grads: dict name -> array.
            params: dict name -> array, the same names and shapes; most clips do not look at it.
            state: what `init` or the last `update` returned.
        """
        return *self(grads), state


@dataclass(frozen=True)
class ClipNorm(Clip):
    """Shorten the gradient to length max_norm if it is longer: g <- g min(1, max_norm / (||g|| + eps)).

    The direction stays. ||g|| is the global norm. A gradient with a NaN or an infinity has no direction: it is returned
    as it came, and the norm says so.

    Args:
        max_norm: longest gradient let through, above 0; infinity never clips. An array (*runs,) has one for each run.
        runs: number of leading axes of the gradients that are independent runs; an array max_norm says it itself.
        eps: added to the norm, at least 0; torch's clip_grad_norm_ has 1e-6, so it never quite gives max_norm.

    Source: Pascanu, Mikolov and Bengio (2013), Algorithm 1, which has no eps.

    >>> ClipNorm(max_norm=1.0)({"w": np.array([3.0, 4.0])})
    ({'w': array([0.6, 0.8])}, 5.0)
    """

    max_norm: float | np.ndarray
    runs: int = 0
    eps: float = field(default=0.0, kw_only=True)

    def __post_init__(self):
        positive_numbers(self.max_norm, "max_norm")
        positive_numbers(self.eps, "eps", zero_allowed=True)
        check_runs(self.max_norm, self.runs)

    def __call__(self, grads):
        """Return the clipped gradients and the global norm before clipping."""
        norm = global_norm(grads, self.runs or np.ndim(self.max_norm))
        return shorten(grads, norm, self.max_norm, self.eps), norm


def shorten(grads, norm, max_norm, eps=0.0):
    """Return gradients of this global norm times min(1, max_norm / (norm + eps)); not finite, they stay as they are."""
    if not isinstance(norm, np.ndarray):
        if not math.isfinite(norm) or norm + eps <= max_norm:
            return dict(grads)
        share = float(max_norm / (norm + eps))  # NumPy's own float64 would turn float32 gradients into float64
        return {name: grad * share for name, grad in grads.items()}
    if np.ndim(max_norm) and np.shape(max_norm) != norm.shape:
        raise ValueError(f"expected gradients of runs {np.shape(max_norm)}, got runs {norm.shape}")
    too_long = np.isfinite(norm) & (norm + eps > max_norm)
    share = np.divide(max_norm, norm + eps, out=np.ones_like(norm), where=too_long)
    return {name: grad * per_run(share, grad) for name, grad in grads.items()}


@dataclass(frozen=True)
class ClipEachNorm(Clip):
    """Shorten the gradient of each parameter by itself: g_k <- g_k min(1, max_norm / ||g_k||) for every name k.

    The direction of the whole changes as soon as one is shortened and another is not. This is what Keras' `clipnorm`
    does; what the literature calls clipping by norm is `ClipNorm`.

    Args:
        max_norm: longest gradient of one parameter let through, above 0; infinity never clips. An array (*runs,) has
            one for each run.
        runs: number of leading axes of the gradients that are independent runs; an array max_norm says it itself.

    >>> ClipEachNorm(max_norm=1.0)({"a": np.array([3.0, 4.0]), "b": np.array([0.5])})[0]
    {'a': array([0.6, 0.8]), 'b': array([0.5])}
    """

    max_norm: float | np.ndarray
    runs: int = 0

    def __post_init__(self):
        positive_numbers(self.max_norm, "max_norm")
        check_runs(self.max_norm, self.runs)

    def __call__(self, grads):
        """Return the clipped gradients and the global norm before clipping."""
        runs, clipped = self.runs or np.ndim(self.max_norm), {}
        for name, grad in grads.items():
            clipped.update(shorten({name: grad}, global_norm({name: grad}, runs), self.max_norm))
        return clipped, global_norm(grads, runs)


@dataclass(frozen=True)
class ClipValue(Clip):
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
        check_runs(self.max_value, self.runs)

    def __call__(self, grads):
        """Return the clipped gradients and the global norm before clipping."""
        norm, clipped = global_norm(grads, self.runs or np.ndim(self.max_value)), {}
        for name, grad in grads.items():
            limit = per_run(self.max_value, grad)
            clipped[name] = grad.clip(-limit, limit)
        return clipped, norm


def check_runs(setting, runs):
    """Raise ValueError unless `runs` is a number of axes that fits a setting with one number for each run."""
    if isinstance(runs, bool) or not isinstance(runs, int) or runs < 0:
        raise ValueError(f"expected runs to be a whole number of at least 0, got {runs!r}")
    if runs and np.ndim(setting) not in (0, runs):
        raise ValueError(f"expected a setting with {runs} axes of runs, got shape {np.shape(setting)}")

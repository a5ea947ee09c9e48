"""Clips whose threshold is no constant: it follows the weights (`AGC`) or the gradients so far (`AutoClip`)."""

from dataclasses import dataclass

import numpy as np

from rnnlab.checks import positive_integer, positive_number, positive_numbers, same_names
from rnnlab.clipping import Clip, check_runs, global_norm, shorten
from rnnlab.runs import per_run


@dataclass(frozen=True)
class AGC(Clip):
    """Shorten what is long beside its weights: g_i <- g_i min(1, clipping max(||w_i||, eps) / ||g_i||) for each unit i.

    A unit is all that feeds one output: a row of a weight matrix (out, in), as here and in torch. A vector, such as a
    bias, is one unit. An update then changes no unit by more than a share of its length.

    Args:
        clipping: longest gradient over the length of the weights, above 0; the source has 0.01 at batches of 4096 and
            more at smaller ones. An array (*runs,) has one for each run.
        eps: shortest length that weights count with, above 0, so that weights that start at 0 can move.
        unit_axis: the axis that numbers the units: 0 for (out, in), -1 for (in, out), as in Keras and Optax. There the
            other choice would clip by what a unit feeds, not by what feeds it.
        runs: number of leading axes that are independent runs; an array clipping says it itself.

    Source: Brock et al. (2021), section 4.

    >>> params = {"w": np.array([[3.0, 4.0], [0.0, 0.0]])}
    >>> AGC(clipping=0.1)({"w": np.array([[30.0, 40.0], [3.0, 4.0]])}, params)[0]["w"]
    array([[3.e-01, 4.e-01],
           [6.e-05, 8.e-05]])
    """

    clipping: float | np.ndarray = 0.01
    eps: float = 1e-3
    unit_axis: int = 0
    runs: int = 0

    def __post_init__(self):
        positive_numbers(self.clipping, "clipping")
        positive_number(self.eps, "eps")
        check_runs(self.clipping, self.runs)
        if self.unit_axis not in (0, -1):
            raise ValueError(f"expected unit_axis 0 for (out, in) or -1 for (in, out), got {self.unit_axis!r}")

    def __call__(self, grads, params):
        """Return the clipped gradients and the global norm before clipping; the parameters are only read."""
        same_names(params, grads)
        runs, clipped = self.runs or np.ndim(self.clipping), {}
        norm = global_norm(grads, runs)
        for name, grad in grads.items():
            axes = self._within_unit(grad.ndim, runs)
            limit = per_run(self.clipping, grad) * norms(params[name], axes).clip(self.eps)
            clipped[name] = grad * (limit / norms(grad, axes).clip(limit))  # limit / max(||g||, limit)
        return clipped, norm

    def update(self, grads, params, state):
        """Return the clipped gradients, the global norm before clipping and the state, which is empty."""
        return *self(grads, params), state

    def _within_unit(self, ndim, runs):
        axes = list(range(runs, ndim))
        if len(axes) > 1:
            axes.pop(self.unit_axis)
        return tuple(axes)


def norms(array, axes):
    """Return the Euclidean norms over some axes, which stay with size 1.

    >>> norms(np.array([[3e300, 4e300], [6.0, 8.0]]), (1,))
    array([[5.e+300],
           [1.e+001]])
    """
    largest = abs(array)
    largest = largest.amax(axes, keepdim=True) if hasattr(largest, "amax") else largest.max(axis=axes, keepdims=True)
    scale = largest + (largest == 0)  # the square of a large float32 or float64 would overflow
    with np.errstate(invalid="ignore"):  # infinity / infinity: what is not finite gets a norm that is NaN
        return scale * ((array / scale) ** 2).sum(axis=axes, keepdims=True) ** 0.5


@dataclass(frozen=True)
class AutoClip(Clip):
    """Clip by norm at a percentile of the norms so far: g <- g min(1, eta / ||g||), eta of ||g_1||, ..., ||g_t||.

    The threshold eta scales with the loss, so it need not be tuned anew. The norm of now is in the history too; so the
    first gradient is never clipped. One that is not finite is neither clipped nor remembered.

    The history is the state, `state["norms"]`: an array (t, *runs) that can be drawn, saved and emptied.

    Args:
        percentile: of the norms, 0 to 100: 0 clips to the shortest so far, 100 not at all. The source has 10.
        window: number of last norms that count, at least 1; None for all.
        runs: number of leading axes of the gradients that are independent runs.

    Source: Seetharaman et al. (2020), with all norms.

    >>> clip = AutoClip(percentile=50)
    >>> state = clip.init()
    >>> for g in (1.0, 3.0, 100.0):
    ...     grads, norm, state = clip.update({"w": np.array([g])}, None, state)
    >>> grads["w"], norm, state["norms"]
    (array([3.]), 100.0, array([  1.,   3., 100.]))
    """

    percentile: float = 10.0
    window: int | None = None
    runs: int = 0

    def __post_init__(self):
        positive_number(self.percentile, "percentile", zero_allowed=True)
        if self.percentile > 100:
            raise ValueError(f"expected percentile from 0 to 100, got {self.percentile!r}")
        if self.window is not None:
            positive_integer(self.window, "window")
        check_runs(self.percentile, self.runs)

    def init(self):
        """Return the state before the first update: a history without a norm."""
        return {"norms": np.empty(0)}

    def __call__(self, grads, norms=()):
        """Return the clipped gradients and their global norm, given the norms (t, *runs) before them."""
        clipped, norm, _ = self.update(grads, None, {"norms": norms})
        return clipped, norm

    def update(self, grads, params, state):
        """Return the clipped gradients, the global norm before clipping, and the history with this norm."""
        norm = global_norm(grads, self.runs)
        norms = self._remember(state["norms"], norm)
        return shorten(grads, norm, self._threshold(norms)), norm, {"norms": norms}

    def _remember(self, norms, norm):
        if not self.runs and not np.isfinite(norm):
            return norms
        norms = np.append(norms, [norm], axis=0) if len(norms) else np.array([norm])
        return norms if self.window is None else norms[-self.window :]

    def _threshold(self, norms):
        if not len(norms):
            return np.inf  # nothing finite yet
        with np.errstate(invalid="ignore"):  # infinity - infinity, in a run that diverged: it clips no more
            return np.percentile(norms, self.percentile, axis=0)

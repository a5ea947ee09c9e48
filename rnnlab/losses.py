"""Losses over the steps that a mask selects: the value and its derivative with respect to the outputs.

Outputs may have axes of independent runs in front, (*runs, T, B, C): then there is one loss for each run.
"""

import math

import numpy as np

from rnnlab.checks import all_finite, shaped, whole_numbers, zeros_and_ones


def squared_error(outputs, y, mask):
    """Return the mean squared error and its derivative: L = mean over selected (t, b) and c of (output - y)^2.

    Args:
        outputs: (T, B, C), what the model says at each step.
        y: (T, B, C), targets.
        mask: (T, B), 1 where a step counts and 0 elsewhere.

    Returns:
        the loss (float; (*runs,) with runs) and d_outputs, shaped as outputs. NaN or infinite outputs give such a loss.

    Raises:
        TypeError: an array is not float32/float64, or dtypes are mixed.
        ValueError: wrong rank or size, an empty batch, a NaN or infinity in y, a mask with other numbers than 0 and 1
            or without any 1.

    >>> squared_error(np.full((1, 2, 1), 3.0), np.full((1, 2, 1), 1.0), np.ones((1, 2)))[0]
    4.0
    """
    mask = _check(outputs, mask)
    shaped(y, _shape(y, outputs, 3), "y", "one target for each output")
    if y.dtype != outputs.dtype:
        raise TypeError(f"expected one dtype, got outputs of {outputs.dtype} and y of {y.dtype}; use astype")
    all_finite(y, "y")
    weight = _weight(mask, outputs) / outputs.shape[-1]
    difference = outputs - y
    return _total(weight * difference**2), 2 * weight * difference


def gaussian_nll(outputs, y, mask):
    """Return the mean negative log likelihood of normal answers in nats, and its derivative.

    L = mean over selected (t, b) and c of (s + (y - m)^2 exp(-s) + log 2 pi) / 2, s the logarithm of the variance

    Args:
        outputs: (T, B, 2C), first the C means m, then the C log variances s.
        y: (T, B, C), targets.
        mask: (T, B), 1 where a step counts and 0 elsewhere.

    Returns:
        the loss in nats (float; (*runs,) with runs) and d_outputs, shaped as outputs.

    Raises:
        TypeError, ValueError: as `squared_error`; outputs must have two numbers for each target.

    >>> round(gaussian_nll(np.zeros((1, 1, 2)), np.ones((1, 1, 1)), np.ones((1, 1)))[0], 4)  # (1 + log 2 pi) / 2
    1.4189
    """
    mask = _check(outputs, mask)
    if outputs.shape[-1] % 2:
        raise ValueError(f"expected a mean and a log variance for each target, got {outputs.shape[-1]} outputs")
    m, s = np.split(outputs, 2, axis=-1)
    shaped(y, _shape(y, m, 3), "y", "one target for each mean")
    if y.dtype != outputs.dtype:
        raise TypeError(f"expected one dtype, got outputs of {outputs.dtype} and y of {y.dtype}; use astype")
    all_finite(y, "y")
    weight, difference = _weight(mask, outputs) / m.shape[-1], m - y
    scaled = difference * np.exp(-s)
    loss = _total(weight * (s + difference * scaled + math.log(2 * math.pi)) / 2)
    return loss, np.concatenate([weight * scaled, weight * (1 - difference * scaled) / 2], axis=-1)


def cross_entropy(outputs, y, mask):
    """Return the mean cross-entropy of softmax(outputs) in nats and its derivative: softmax - one_hot(y).

    Args:
        outputs: (T, B, C), unnormalized log-probabilities (logits).
        y: (T, B), integer classes from 0 to C-1.
        mask: (T, B), 1 where a step counts and 0 elsewhere.

    Returns:
        the loss in nats (float; (*runs,) with runs) and d_outputs, shaped as outputs.

    Raises:
        TypeError, ValueError: as `squared_error`; y must be whole numbers from 0 to C-1.

    >>> round(cross_entropy(np.zeros((1, 1, 4)), np.array([[2]]), np.ones((1, 1)))[0], 4)
    1.3863
    """
    mask = _check(outputs, mask)
    y = _classes(y, outputs)
    weight = _weight(mask, outputs)
    shifted = outputs - outputs.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    index = np.broadcast_to(y, outputs.shape[:-1])[..., None]
    loss = _total(-weight * np.take_along_axis(log_p, index, axis=-1))
    d_outputs = np.exp(log_p)
    np.put_along_axis(d_outputs, index, np.take_along_axis(d_outputs, index, axis=-1) - 1, axis=-1)
    return loss, weight * d_outputs


def accuracy(outputs, y, mask):
    """Return the share of selected steps at which the largest output is the right class; NaN where outputs are NaN.

    Args: as for `cross_entropy`.
    """
    mask = _check(outputs, mask)
    right = np.where(np.isnan(outputs).any(axis=-1), np.nan, outputs.argmax(axis=-1) == _classes(y, outputs))
    share = right[..., mask == 1].mean(axis=-1)
    return float(share) if share.ndim == 0 else share


def _total(terms):
    """Return the sum over steps, sequences and outputs: a float, or (*runs,) numbers."""
    total = terms.sum(axis=(-3, -2, -1))
    return float(total) if total.ndim == 0 else total


def _weight(mask, outputs):
    return (mask / mask.sum()).astype(outputs.dtype)[:, :, None]


def _check(outputs, mask):
    """Raise unless outputs and mask fit each other; return the mask as an array."""
    shaped(outputs, (*np.shape(outputs)[:-3], "T", "B", "C"), "outputs")
    if 0 in outputs.shape:
        raise ValueError(f"expected at least one step, sequence and output, got outputs of shape {outputs.shape}")
    return zeros_and_ones(mask, outputs.shape[-3:-1], "mask")


def _shape(y, outputs, axes):
    """Return the shape that targets must have: one for all runs, or with the axes of runs in front."""
    first = outputs.shape[:-3] if np.ndim(y) > axes else ()
    return first + outputs.shape[-3:][:axes]


def _classes(y, outputs):
    return whole_numbers(y, _shape(y, outputs, 2), 0, outputs.shape[-1] - 1, "y")

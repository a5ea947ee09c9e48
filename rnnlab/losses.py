"""Losses over the steps that a mask selects: the value and its derivative with respect to the outputs.

Outputs may have axes of independent runs in front, (*runs, T, B, C): then there is one loss for each run.
"""

import numpy as np


def squared_error(outputs, y, mask):
    """Return the mean squared error and its derivative: L = mean over selected (t, b) and c of (output - y)^2.

    Args:
        outputs: (T, B, C), what the model says at each step.
        y: (T, B, C), targets.
        mask: (T, B), 1 where a step counts and 0 elsewhere.

    Returns:
        the loss (float; (*runs,) with runs) and d_outputs, shaped as outputs.

    >>> squared_error(np.full((1, 2, 1), 3.0), np.full((1, 2, 1), 1.0), np.ones((1, 2)))[0]
    4.0
    """
    weight = _weight(mask, outputs) / outputs.shape[-1]
    difference = outputs - y
    return _total(weight * difference**2), 2 * weight * difference


def cross_entropy(outputs, y, mask):
    """Return the mean cross-entropy of softmax(outputs) in nats and its derivative: softmax - one_hot(y).

    Args:
        outputs: (T, B, C), unnormalized log-probabilities (logits).
        y: (T, B), integer classes from 0 to C-1.
        mask: (T, B), 1 where a step counts and 0 elsewhere.

    Returns:
        the loss in nats (float; (*runs,) with runs) and d_outputs, shaped as outputs.

    >>> round(cross_entropy(np.zeros((1, 1, 4)), np.array([[2]]), np.ones((1, 1)))[0], 4)
    1.3863
    """
    weight = _weight(mask, outputs)
    shifted = outputs - outputs.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    index = np.broadcast_to(np.asarray(y), outputs.shape[:-1])[..., None]
    loss = _total(-weight * np.take_along_axis(log_p, index, axis=-1))
    d_outputs = np.exp(log_p)
    np.put_along_axis(d_outputs, index, np.take_along_axis(d_outputs, index, axis=-1) - 1, axis=-1)
    return loss, weight * d_outputs


def accuracy(outputs, y, mask):
    """Return the share of selected steps at which the largest output is the right class.

    Args: as for `cross_entropy`.
    """
    right = outputs.argmax(axis=-1) == y
    share = (right * mask).sum(axis=(-2, -1)) / mask.sum()
    return float(share) if share.ndim == 0 else share


def _total(terms):
    """Return the sum over steps, sequences and outputs: a float, or (*runs,) numbers."""
    total = terms.sum(axis=(-3, -2, -1))
    return float(total) if total.ndim == 0 else total


def _weight(mask, outputs):
    selected = mask.sum()
    if selected == 0:
        raise ValueError("expected a mask that selects at least one step, got only zeros")
    return (mask / selected).astype(outputs.dtype)[:, :, None]

"""Losses over the steps that a mask selects: the value and its derivative with respect to the outputs."""

import numpy as np


def squared_error(outputs, y, mask):
    """Return the mean squared error and its derivative: L = mean over selected (t, b) and c of (output - y)^2.

    Args:
        outputs: (T, B, C), what the model says at each step.
        y: (T, B, C), targets.
        mask: (T, B), 1 where a step counts and 0 elsewhere.

    Returns:
        the loss (float) and d_outputs (T, B, C).

    >>> squared_error(np.full((1, 2, 1), 3.0), np.full((1, 2, 1), 1.0), np.ones((1, 2)))[0]
    4.0
    """
    weight = _weight(mask, outputs) / outputs.shape[2]
    difference = outputs - y
    loss = float((weight * difference**2).sum())
    return loss, 2 * weight * difference


def cross_entropy(outputs, y, mask):
    """Return the mean cross-entropy of softmax(outputs) in nats and its derivative: softmax - one_hot(y).

    Args:
        outputs: (T, B, C), unnormalized log-probabilities (logits).
        y: (T, B), integer classes from 0 to C-1.
        mask: (T, B), 1 where a step counts and 0 elsewhere.

    Returns:
        the loss in nats (float) and d_outputs (T, B, C).

    >>> round(cross_entropy(np.zeros((1, 1, 4)), np.array([[2]]), np.ones((1, 1)))[0], 4)
    1.3863
    """
    weight = _weight(mask, outputs)
    shifted = outputs - outputs.max(axis=2, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    index = np.asarray(y)[:, :, None]
    loss = float(-(weight * np.take_along_axis(log_p, index, axis=2)).sum())
    d_outputs = np.exp(log_p)
    np.put_along_axis(d_outputs, index, np.take_along_axis(d_outputs, index, axis=2) - 1, axis=2)
    return loss, weight * d_outputs


def accuracy(outputs, y, mask):
    """Return the share of selected steps at which the largest output is the right class.

    Args: as for `cross_entropy`.
    """
    right = outputs.argmax(axis=2) == y
    return float((right * mask).sum() / mask.sum())


def _weight(mask, outputs):
    selected = mask.sum()
    if selected == 0:
        raise ValueError("expected a mask that selects at least one step, got only zeros")
    return (mask / selected).astype(outputs.dtype)[:, :, None]

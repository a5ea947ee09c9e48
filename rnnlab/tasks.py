"""Synthetic tasks on which memory is measured, each with the loss of the best constant answer.

A task gives batches: `x` (T, B, D) inputs; `y` (T, B, C) numbers or (T, B) classes; `mask` (T, B), 1 at the steps that
are asked. Where one answer is asked for the whole sequence, `y` repeats it at every step and the mask selects the last.
"""

import math
from typing import NamedTuple

import numpy as np

from rnnlab.checks import positive_integer


class Batch(NamedTuple):
    """Hold one batch: x (T, B, D), y (T, B, C) or (T, B), mask (T, B)."""

    x: np.ndarray
    y: np.ndarray
    mask: np.ndarray


class Adding:
    """Ask for the sum of two marked numbers among `length` random ones.

    Input: a number from U[0, 1] and a mark that is 1 at two steps, one in each half. Output: their sum, at the end.

    Args:
        length: T, steps in a sequence, at least 2.

    Attributes:
        baseline: 1/6, the mean squared error of always answering 1 (the variance of the sum of two U[0, 1]).

    Source: the form of Hochreiter and Schmidhuber (1997) as used since: U[0, 1], target not rescaled.

    >>> batch = Adding(length=10).sample(np.random.default_rng(0), batch_size=4)
    >>> batch.x.shape, batch.y.shape, batch.mask.sum(axis=0)
    ((10, 4, 2), (10, 4, 1), array([1., 1., 1., 1.]))
    """

    input_size, output_size = 2, 1
    baseline = 1 / 6

    def __init__(self, length):
        self.length = _length(length, 2, "Adding")

    def sample(self, rng, batch_size, dtype=np.float64):
        """Draw a batch: x (length, B, 2), y (length, B, 1), mask (length, B)."""
        T, B, half = self.length, positive_integer(batch_size, "batch_size"), self.length // 2
        x = np.zeros((T, B, 2), dtype)
        x[:, :, 0] = rng.random((T, B))
        b = np.arange(B)
        first, second = rng.integers(0, half, B), rng.integers(half, T, B)
        x[first, b, 1] = x[second, b, 1] = 1
        answer = x[first, b, 0] + x[second, b, 0]
        return Batch(x, np.broadcast_to(answer[:, None], (T, B, 1)), _last_step(T, B, dtype))


class TemporalOrder:
    """Ask in which order two symbols A or B came, among distractors.

    Input: one of six symbols (A, B and four distractors), one-hot. Output at the end: one of four classes (AA, AB, BA,
    BB). The first symbol stands within [0.1 T, 0.2 T), the second within [0.5 T, 0.6 T).

    Args:
        length: T, steps in a sequence, at least 10.

    Attributes:
        baseline: ln 4, the cross-entropy in nats of four equal probabilities.
        baseline_error: 0.75, the error rate of guessing.

    Source: Hochreiter and Schmidhuber (1997); positions as in Pascanu, Mikolov and Bengio (2013).

    >>> batch = TemporalOrder(length=20).sample(np.random.default_rng(0), batch_size=4)
    >>> batch.x.shape, batch.y.shape
    ((20, 4, 6), (20, 4))
    """

    input_size, output_size = 6, 4
    baseline = math.log(4)
    baseline_error = 0.75

    def __init__(self, length):
        self.length = _length(length, 10, "TemporalOrder")

    def sample(self, rng, batch_size, dtype=np.float64):
        """Draw a batch: x (length, B, 6), y (length, B) classes 0 to 3, mask (length, B)."""
        T, B = self.length, positive_integer(batch_size, "batch_size")
        b = np.arange(B)
        symbols = rng.integers(2, 6, (T, B))
        first, second = rng.integers(0, 2, B), rng.integers(0, 2, B)
        symbols[rng.integers(T // 10, T // 5, B), b] = first
        symbols[rng.integers(T // 2, T * 6 // 10, B), b] = second
        x = np.eye(6, dtype=dtype)[symbols]
        return Batch(x, np.broadcast_to(2 * first + second, (T, B)), _last_step(T, B, dtype))


class Copy:
    """Ask for ten symbols again after a delay.

    Input, one-hot over ten symbols: ten of the eight data symbols (classes 1 to 8), `length` blanks (class 0) the last
    of which is the signal to answer (class 9), and ten blanks more. Output: blanks, then the ten symbols.

    Args:
        length: the delay in steps, at least 1; a sequence has `length` + 20 steps.

    Attributes:
        baseline: 10 ln 8 / (length + 20), the cross-entropy in nats, averaged over ALL steps, of a network that has
            learned when to answer but remembers nothing. (Averaged over the ten asked steps alone it would be ln 8.)

    Source: Hochreiter and Schmidhuber (1997); form and baseline as in Arjovsky, Shah and Bengio (2016).

    >>> round(Copy(length=100).baseline, 5)
    0.17329
    """

    input_size, output_size = 10, 9
    symbols = 10

    def __init__(self, length):
        self.length = _length(length, 1, "Copy")
        self.baseline = self.symbols * math.log(8) / (self.length + 2 * self.symbols)

    def sample(self, rng, batch_size, dtype=np.float64):
        """Draw a batch: x (length + 20, B, 10), y (length + 20, B) classes 0 to 8, mask of ones."""
        n, B = self.symbols, positive_integer(batch_size, "batch_size")
        T = self.length + 2 * n
        data = rng.integers(1, 9, (n, B))
        shown, asked = np.zeros((T, B), int), np.zeros((T, B), int)
        shown[:n], shown[n + self.length - 1], asked[-n:] = data, 9, data
        return Batch(np.eye(10, dtype=dtype)[shown], asked, np.ones((T, B), dtype))


class Parity:
    """Ask after every bit whether the number of ones so far is odd.

    Input: a bit, 0 or 1, with equal chances. Output at every step: class 1 after an odd number of ones, else 0.

    Args:
        length: T, steps in a sequence, at least 1.

    Attributes:
        baseline: ln 2, the cross-entropy in nats of two equal probabilities.
        baseline_error: 0.5, the error rate of guessing.

    Source: as a test of what recurrences can compute, Beck et al. (2024) and Grazzi et al. (2025).

    >>> batch = Parity(length=5).sample(np.random.default_rng(0), batch_size=1)
    >>> batch.x.ravel(), batch.y.ravel()
    (array([1., 1., 1., 0., 0.]), array([1, 0, 1, 1, 1]))
    """

    input_size, output_size = 1, 2
    baseline = math.log(2)
    baseline_error = 0.5

    def __init__(self, length):
        self.length = _length(length, 1, "Parity")

    def sample(self, rng, batch_size, dtype=np.float64):
        """Draw a batch: x (length, B, 1), y (length, B) classes 0 and 1, mask of ones."""
        T, B = self.length, positive_integer(batch_size, "batch_size")
        bits = rng.integers(0, 2, (T, B))
        return Batch(bits[..., None].astype(dtype), bits.cumsum(axis=0) % 2, np.ones((T, B), dtype))


def _length(length, least, task):
    if positive_integer(length, "length") < least:
        raise ValueError(f"expected length of at least {least} for {task}, got {length}")
    return int(length)


def _last_step(T, B, dtype):
    mask = np.zeros((T, B), dtype)
    mask[-1] = 1
    return mask

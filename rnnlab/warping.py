"""Dynamic time warping: the distance of two sequences when time may be stretched, within a window."""

import numpy as np

from rnnlab.checks import all_finite, shaped


def warped_distances(a, b, window):
    """Return the warped distance of each sequence in a from each in b, all pairs at once.

    Every step of one is laid beside steps of the other, in order and without a gap; c_ij is the squared Euclidean
    distance of step i and step j, and the cheapest way of doing it costs

    cost_ij = c_ij + min(cost_i-1,j-1, cost_i-1,j, cost_i,j-1), where |i - j| <= window

    Args:
        a, b: (T, A, D) and (T, B, D), of one length T.
        window: how many steps may lie between two that are laid side by side; 0 gives the Euclidean distance, T or
            more leaves all free.

    Returns:
        (A, B), the square roots of the costs of the whole sequences.

    Raises:
        TypeError, ValueError: shapes that do not fit, data that are not finite, a window below 0.

    >>> late = np.array([0.0, 0, 1, 2, 0]).reshape(5, 1, 1)
    >>> early = np.array([0.0, 1, 2, 0, 0]).reshape(5, 1, 1)
    >>> [float(warped_distances(late, early, window)[0, 0].round(3)) for window in (0, 1)]
    [2.449, 0.0]

    Source: Sakoe and Chiba (1978).
    """
    a, b, window = _checked(a, b, window)
    above = _first_row(a, b)
    for i in range(len(a)):
        row = np.full_like(above, np.inf)
        for j in _steps(i, window, len(b)):
            best = np.minimum(np.minimum(above[j], above[j + 1]), row[j])
            row[j + 1] = ((a[i][:, None] - b[j]) ** 2).sum(axis=-1) + best
        above = row
    return np.sqrt(above[-1])


def warping_path(one, other, window):
    """Return which steps of two sequences the cheapest warping lays side by side.

    Args:
        one, other: (T, D), of one length T.
        window: see `warped_distances`.

    Returns:
        (P, 2), pairs of steps from (0, 0) to (T - 1, T - 1); T <= P < 2 T.

    >>> warping_path(np.array([[0.0], [0], [5]]), np.array([[0.0], [5], [5]]), window=1).tolist()
    [[0, 0], [1, 0], [2, 1], [2, 2]]
    """
    a, b, window = _checked(np.asarray(one)[:, None], np.asarray(other)[:, None], window)
    cost = np.full((len(a) + 1, len(b) + 1), np.inf)
    cost[0, 0] = 0
    for i in range(len(a)):
        for j in _steps(i, window, len(b)):
            cost[i + 1, j + 1] = ((a[i] - b[j]) ** 2).sum() + min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
    path, i, j = [], len(a), len(b)
    while i > 0:
        path.append((i - 1, j - 1))
        i, j = min([(i - 1, j - 1), (i - 1, j), (i, j - 1)], key=lambda cell: cost[cell])
    return np.array(path[::-1])


def _steps(i, window, steps):
    return range(max(0, i - window), min(steps, i + window + 1))


def _first_row(a, b):
    """Return the costs before the first step, (T + 1, A, B): only nothing beside nothing is free."""
    row = np.full((len(b) + 1, a.shape[1], b.shape[1]), np.inf)
    row[0] = 0
    return row


def _checked(a, b, window):
    shaped(a, ("T", "A", "D"), "a")
    shaped(b, (len(a), "B", a.shape[2]), "b", "of the same length and columns as a")
    all_finite(a, "a")
    all_finite(b, "b")
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 0:
        raise ValueError(f"expected window to be a whole number of steps from 0, got {window!r}")
    return a, b, int(window)

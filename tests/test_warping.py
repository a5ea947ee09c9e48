"""Dynamic time warping against all ways of laying two short sequences side by side, one by one."""

import inspect

import numpy as np
import pytest

from rnnlab import warping


def ways(a, b, window, i=0, j=0):
    """Yield the cost of every allowed way from (i, j) to the ends of two sequences (T, D), one by one: the oracle."""
    if abs(i - j) > window:
        return
    here = ((a[i] - b[j]) ** 2).sum()
    if i == len(a) - 1 and j == len(b) - 1:
        yield here
    for one, other in ((i + 1, j + 1), (i + 1, j), (i, j + 1)):
        if one < len(a) and other < len(b):
            yield from (here + rest for rest in ways(a, b, window, one, other))


def by_brute_force(a, b, window):
    pairs = [[min(ways(a[:, m], b[:, n], window)) for n in range(b.shape[1])] for m in range(a.shape[1])]
    return np.sqrt(pairs)


@pytest.mark.parametrize("window", [0, 1, 2, 6])
@pytest.mark.parametrize("columns", [1, 2])
def test_the_warped_distance_is_that_of_the_cheapest_of_all_ways(window, columns):
    rng = np.random.default_rng(window)
    a, b = rng.standard_normal((6, 2, columns)), rng.standard_normal((6, 3, columns))
    np.testing.assert_allclose(warping.warped_distances(a, b, window), by_brute_force(a, b, window), rtol=1e-12)


@pytest.mark.parametrize("window", [0, 1, 2, 6])
def test_the_path_is_allowed_and_costs_what_the_distance_says(window):
    rng = np.random.default_rng(window)
    a, b = rng.standard_normal((6, 1, 2)), rng.standard_normal((6, 1, 2))
    path = warping.warping_path(a[:, 0], b[:, 0], window)
    assert path[0].tolist() == [0, 0] and path[-1].tolist() == [5, 5]
    assert set(map(tuple, np.diff(path, axis=0))) <= {(1, 0), (0, 1), (1, 1)}
    assert np.abs(path[:, 0] - path[:, 1]).max() <= window
    cost = ((a[path[:, 0], 0] - b[path[:, 1], 0]) ** 2).sum()
    assert np.sqrt(cost) == pytest.approx(warping.warped_distances(a, b, window)[0, 0])


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("np.minimum(above[j], above[j + 1])", "np.minimum(above[j + 1], above[j + 1])"),  # no step in both
        ("above[j + 1]), row[j])", "above[j + 1]), above[j + 1])"),  # one of them may not wait
        ("min(steps, i + window + 1)", "steps"),  # the window is open on one side
        ("row[0] = 0", "row[:] = 0"),  # may begin anywhere
    ],
)
def test_the_brute_force_catches_a_planted_fault(right, wrong):
    source = inspect.getsource(warping)
    assert source.count(right) == 1
    faulty = {}
    exec(source.replace(right, wrong), faulty)
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((6, 5, 1)), rng.standard_normal((6, 5, 1))
    a[1:, 0, 0] = b[:-1, 0, 0] + 0.1  # one pair a step late, the other way round in another
    b[2:, 1, 0] = a[:-2, 1, 0] + 0.1
    worst = max(np.abs(faulty["warped_distances"](a, b, w) - by_brute_force(a, b, w)).max() for w in (1, 2))
    assert worst > 1e-3


def test_warping_says_what_is_wrong():
    a = np.zeros((4, 2, 1))
    with pytest.raises(ValueError, match=r"b of shape \(4, B, 1\), got \(5, 2, 1\); of the same length"):
        warping.warped_distances(a, np.zeros((5, 2, 1)), 1)
    with pytest.raises(ValueError, match="window to be a whole number of steps from 0, got -1"):
        warping.warped_distances(a, a, -1)
    with pytest.raises(ValueError, match="expected finite b"):
        warping.warped_distances(a, a * np.nan, 1)

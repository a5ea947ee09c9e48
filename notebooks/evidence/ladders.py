"""How the comparisons of lessons 10 and 11 tune a learning rate: on along a ladder, while an outer rate is best."""

import numpy as np


def climb(losses_of, rates, ladder):
    """Try rates, and on along the ladder until the best has a worse one on both sides or the ladder ends.

    Args:
        losses_of: takes a rate and returns its losses, one for each pilot seed.
        rates: those that are tried in any case, a part of the ladder.
        ladder: all rates, in rising order.

    Returns:
        dict: the losses of each rate tried.
    """
    trials, wanted = {}, list(rates)
    while wanted:
        lr = wanted.pop(0)
        trials[lr] = losses_of(lr)
        if not wanted:
            at = ladder.index(best_of(trials))
            wanted = [near for near in ladder[max(at - 1, 0) : at + 2] if near not in trials]
    return trials


def best_of(trials):
    """Return the rate with the lowest mean loss over the pilot seeds."""
    return min(trials, key=lambda lr: np.mean(trials[lr]))

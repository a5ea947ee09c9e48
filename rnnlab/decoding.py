"""From probabilities for the next symbol to a whole sequence: step by step, or with several candidates kept."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Candidate", "beam_search", "greedy_search"]


@dataclass(frozen=True)
class Candidate:
    """Hold a sequence that a search has found.

    Attributes:
        symbols: tuple of whole numbers, without the start, with the end where there is one.
        log_prob: the sum of the symbols' log probabilities, in nats.
        finished: whether the last symbol is the end.
    """

    symbols: tuple
    log_prob: float
    finished: bool


def greedy_search(step, state, start, end, longest):
    """Take the most probable symbol at each step: y_t = argmax over c of log p(c | y_1 ... y_{t-1}).

    The sequence need not be the most probable one: a first symbol may be the best alone and lead nowhere. But if its
    probability is above 1/2, it is: all others share the rest.

    Args:
        step, state, start, end, longest: as for `beam_search`.

    Returns:
        a `Candidate`.
    """
    symbols, log_prob = [], 0.0
    while len(symbols) < longest and (not symbols or symbols[-1] != end):
        scores, state = step(state, np.array([symbols[-1] if symbols else start]))
        symbols.append(int(scores[0].argmax()))
        log_prob += float(scores[0, symbols[-1]])
    return Candidate(tuple(symbols), log_prob, symbols[-1] == end)


def beam_search(step, state, start, end, longest, width, power=0.0):
    """Keep the `width` most probable beginnings at each step; return the finished sequences, best first.

    log p(y_1 ... y_T) = sum over t of log p(y_t | y_1 ... y_{t-1})

    With width 1 it is `greedy_search`; with a width of all beginnings it looks at every sequence.

    Args:
        step: a function of a state with K rows and the K last symbols, (K,), that returns log probabilities (K, C) of
            the next one, and the new state with K rows.
        state: of one row: an array, or a tuple of arrays, whose first axis is the candidate.
        start, end: the symbol that is given first, and the one that finishes a sequence; both from 0 to C - 1.
        longest: most symbols in a sequence, the end counted.
        width: candidates kept, at least 1.
        power: the finished are ranked by log p / T**power. 0 ranks by probability, 1 by the mean per symbol: long
            sequences have low probabilities.

    Returns:
        list of up to `width` `Candidate`, best first. If none has come to its end, those kept last, unfinished.

    Source: Sutskever, Vinyals and Le (2014), for translation.

    >>> table = np.log([[0.0, 0.6, 0.4], [0.55, 0.45, 0.0], [0.99, 0.01, 0.0]] + np.full((3, 3), 1e-9))
    >>> step = lambda state, last: (table[last], state)  # a chain: only the last symbol counts
    >>> searched = [beam_search(step, np.zeros(1), start=0, end=0, longest=4, width=width)[0] for width in (1, 2)]
    >>> [(one.symbols, round(float(np.exp(one.log_prob)), 2)) for one in searched]
    [((1, 0), 0.33), ((2, 0), 0.4)]
    """
    if width < 1 or longest < 1:
        raise ValueError(f"expected width and longest to be at least 1, got {width} and {longest}")

    def rank(log_prob, length):
        return log_prob / length**power

    live, log_probs, finished = [()], np.zeros(1), []
    for _ in range(longest):
        scores, state = step(state, np.array([symbols[-1] if symbols else start for symbols in live]))
        total = log_probs[:, None] + np.asarray(scores)
        order = np.argsort(-total, axis=None, kind="stable")[:width]
        rows, columns = np.unravel_index(order[np.isfinite(total.ravel()[order])], total.shape)
        found = [(*live[row], int(symbol)) for row, symbol in zip(rows, columns, strict=True)]
        ends = columns == end
        finished += [Candidate(found[n], float(total[rows[n], end]), True) for n in np.flatnonzero(ends)]
        finished = sorted(finished, key=lambda one: -rank(one.log_prob, len(one.symbols)))[:width]
        live = [found[n] for n in np.flatnonzero(~ends)]
        log_probs, state = total[rows, columns][~ends], _taken(state, rows[~ends])
        # A probability only falls as a sequence grows: what cannot overtake the worst that is kept need not go on.
        full = len(finished) == width
        if not live or full and rank(log_probs[0], longest) <= rank(finished[-1].log_prob, len(finished[-1].symbols)):
            break
    return finished or [Candidate(one, float(score), False) for one, score in zip(live, log_probs, strict=True)]


def _taken(state, rows):
    """Return the rows of a state, or of each array of a tuple: a candidate goes on from its own beginning's state."""
    return tuple(part[rows] for part in state) if isinstance(state, tuple) else state[rows]

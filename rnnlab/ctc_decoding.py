"""From the outputs of a network trained with `rnnlab.ctc` to labels, and how far these are from the right ones."""

import math
from itertools import groupby

import numpy as np

from rnnlab.checks import positive_integer, shaped, whole_numbers

__all__ = ["beam_search", "collapse", "edit_distance", "greedy", "label_error_rate"]


def collapse(path, *, blank=0):
    """Return the labelling of a path, a tuple: merge what is repeated, then drop the blanks.

    >>> collapse([0, 3, 3, 0, 0, 3, 5, 5])
    (3, 3, 5)

    Source: Graves, Fernandez, Gomez and Schmidhuber (2006), the map B.
    """
    return tuple(symbol for symbol, _ in groupby(np.asarray(path).tolist()) if symbol != blank)


def greedy(logits, input_lengths, *, blank=0):
    """Return the labelling of the most probable path of each sequence, which need not be the most probable labelling.

    Args:
        logits: (T, B, C).
        input_lengths: (B,), from 1 to T.
        blank: the symbol that stands for no label.

    Returns:
        a list of B tuples.

    >>> greedy(np.log([[[0.6, 0.4]], [[0.6, 0.4]]]), np.array([2]))  # though p(1) = 1 - 0.36
    [()]
    """
    shaped(logits, ("T", "B", "C"), "logits", "rnnlab is time-major")
    steps = whole_numbers(input_lengths, logits.shape[1:2], 1, len(logits), "input_lengths")
    best = logits.argmax(axis=2)
    return [collapse(best[:length, b], blank=blank) for b, length in enumerate(steps)]


def beam_search(logits, width, *, blank=0):
    """Return the most probable labellings of one sequence that a search with so many prefixes at each step finds.

    A prefix is a beginning of a labelling. For each, the paths that end in a blank and those that end in its last label
    are summed apart: only after a blank does the same label again make the prefix longer. With a width of all prefixes
    that there can be, the probabilities are those of `ctc_loss`; else they are too small, and the best may be missed.

    Args:
        logits: (T, C), of one sequence without its padding.
        width: how many prefixes are kept.
        blank: the symbol that stands for no label.

    Returns:
        a list of (labels, log-probability), the best first; labels are a tuple.

    >>> (best, log_p), *_ = beam_search(np.log([[0.6, 0.4], [0.6, 0.4]]), width=2)
    >>> best, round(math.exp(log_p), 2)
    ((1,), 0.64)

    Source: Graves (2012), the prefix search; with a width as Hannun, Maas, Jurafsky and Ng (2014).
    """
    shaped(logits, ("T", "C"), "logits", "one sequence at a time")
    positive_integer(width, "width")
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_y = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    beam = {(): (0.0, -math.inf)}  # prefix -> log-probabilities of its paths: those that end in a blank, the others
    for y in log_y.tolist():
        found = {}
        for prefix, (in_blank, in_label) in beam.items():
            both = _add(in_blank, in_label)
            _put(found, prefix, 0, both + y[blank])
            for symbol, log_p in enumerate(y):
                if symbol == blank:
                    continue
                if prefix and symbol == prefix[-1]:
                    _put(found, prefix, 1, in_label + log_p)
                    _put(found, (*prefix, symbol), 1, in_blank + log_p)
                else:
                    _put(found, (*prefix, symbol), 1, both + log_p)
        beam = dict(sorted(found.items(), key=lambda item: -_add(*item[1]))[:width])
    return [(prefix, _add(*ends)) for prefix, ends in beam.items()]


def _add(a, b):
    """Return log(exp(a) + exp(b))."""
    low, high = (a, b) if a < b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _put(found, prefix, end, log_p):
    """Add a probability, unless it is 0, to one of the two of a prefix."""
    if log_p == -math.inf:
        return
    ends = list(found.get(prefix, (-math.inf, -math.inf)))
    ends[end] = _add(ends[end], log_p)
    found[prefix] = tuple(ends)


def edit_distance(found, wanted):
    """Return how many labels must be inserted, deleted or replaced to make one sequence of the other.

    >>> edit_distance([1, 2, 3], [2, 3, 3])
    2

    Source: Levenshtein (1966).
    """
    row = list(range(len(wanted) + 1))  # from nothing to each beginning of `wanted`
    for i, label in enumerate(found, start=1):
        before, row = row, [i]
        for j, other in enumerate(wanted, start=1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (label != other)))
    return row[-1]


def label_error_rate(found, wanted):
    """Return all edits over all wanted labels: 0 where everything is right. It may exceed 1.

    Args:
        found, wanted: lists of as many sequences of labels.

    >>> label_error_rate([(1, 2), (3,)], [(1, 2), (3, 4)])
    0.25
    """
    if len(found) != len(wanted) or not sum(map(len, wanted)):
        raise ValueError(f"expected as many sequences, with at least one label, got {len(found)} and {len(wanted)}")
    return sum(map(edit_distance, found, wanted)) / sum(map(len, wanted))

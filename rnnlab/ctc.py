"""Connectionist temporal classification: a loss for labels of which nobody has said at which step they occur.

At each step a network gives a distribution y over C symbols, the labels and one more, the *blank*. A path is one symbol
for each step; its labelling is what is left when repeated symbols are merged and the blanks removed. The probability of
a labelling is the sum over all its paths, the loss minus its logarithm.

A path of the labelling l walks through 2 S + 1 nodes: the labels with a blank before, between and behind them. From
node s it stays, steps to s + 1, or jumps over a blank to s + 2, unless the labels on both sides of it are equal.

Source: Graves, Fernandez, Gomez and Schmidhuber (2006).
"""

from typing import NamedTuple

import numpy as np

from rnnlab.checks import shaped, whole_numbers

__all__ = ["align", "ctc_loss", "occupation"]

# The logarithm of 0. Unlike -inf it survives a subtraction, and a million of them can be added in float32.
NEVER = -1e30
REDUCTIONS = ("none", "sum", "mean")


def ctc_loss(logits, targets, input_lengths, target_lengths, *, blank=0, reduction="mean", zero_infinity=False):
    """Return -log p(targets | logits) and its derivative, as `torch.nn.CTCLoss` behind a log-softmax.

    d_logits = softmax(logits) - gamma_k, where gamma_k is the probability, given the targets, of being at a node of the
    symbol k at this step. At steps behind the end of a sequence it is 0.

    Args:
        logits: (T, B, C), unnormalized log-probabilities of the symbols.
        targets: (B, S), labels from 0 to C-1 without the blank; what stands behind a target's length is ignored.
        input_lengths: (B,), from 1 to T: how many steps of each sequence are real.
        target_lengths: (B,), from 0 to S.
        blank: the symbol that stands for no label.
        reduction: "none" returns a loss (B,) for each sequence and the derivative of their sum; "sum" adds them;
            "mean" divides each by its target's length (at least 1), then takes the mean over the batch.
        zero_infinity: count a sequence that is too short for its target as loss 0 with derivative 0. Otherwise its
            loss is infinite, and its derivative NaN.

    Returns:
        the loss (float, or (B,)) in nats and d_logits, shaped as logits.

    Raises:
        TypeError, ValueError: shapes that do not fit, a target that is the blank or no symbol, an unknown reduction.

    >>> logits = np.log([[[0.2, 0.8]], [[0.5, 0.5]]])  # two steps, blank and one label
    >>> loss, d_logits = ctc_loss(logits, np.array([[1]]), np.array([2]), np.array([1]))
    >>> np.exp(-loss).round(2), d_logits.shape  # all paths but "blank, blank": 1 - 0.2 * 0.5
    (np.float64(0.9), (2, 1, 2))
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"expected reduction to be one of {list(REDUCTIONS)}, got {reduction!r}")
    lattice = _lattice(logits, targets, input_lengths, target_lengths, blank)
    gamma, log_p = _occupation(lattice)
    symbols = np.arange(logits.shape[2]) == lattice.labels[..., None]  # (B, L, C): which node is of which symbol
    of_symbol = np.matmul(gamma.swapaxes(0, 1), symbols.astype(logits.dtype)).swapaxes(0, 1)
    real, impossible = np.arange(len(logits))[:, None] < lattice.steps, log_p < NEVER / 2
    d_logits = np.where(real[..., None], np.exp(lattice.log_y) - of_symbol, 0)
    losses = np.where(impossible, 0 if zero_infinity else np.inf, -log_p)
    d_logits[real & impossible] = 0 if zero_infinity else np.nan
    if reduction == "none":
        return losses, d_logits
    share = np.maximum(lattice.last // 2, 1) * len(losses) if reduction == "mean" else np.ones(len(losses))
    return float((losses / share).sum()), d_logits / share.astype(logits.dtype)[:, None]


def occupation(logits, targets, input_lengths, target_lengths, *, blank=0):
    """Return gamma, the probability of being at each node at each step, given that the path has this labelling.

    gamma[t, b, s] = alpha[t, b, s] beta[t, b, s] / p, and the nodes of a step add up to 1

    Args: as `ctc_loss`.

    Returns:
        (T, B, 2 S + 1); 0 behind a sequence's end and behind its target's nodes, NaN where no path has the labelling.

    >>> even = occupation(np.zeros((3, 1, 2)), np.array([[1]]), np.array([3]), np.array([1]))
    >>> (6 * even[:, 0]).round(6)  # of the six paths "a", each equally likely
    array([[3., 3., 0.],
           [1., 4., 1.],
           [0., 3., 3.]])
    """
    lattice = _lattice(logits, targets, input_lengths, target_lengths, blank)
    gamma, log_p = _occupation(lattice)
    return np.where((log_p < NEVER / 2)[:, None], np.nan, gamma)


def align(logits, targets, input_lengths, target_lengths, *, blank=0):
    """Return the most probable single path of each labelling: where it has each label (a forced alignment).

    Args: as `ctc_loss`.

    Returns:
        nodes (T, B), from 0 to 2 S, an odd one being a label, -1 behind an end and where no path has the labelling;
        and the log-probability of the path (B,), -inf where there is none.

    >>> path, score = align(np.log([[[0.2, 0.8]], [[0.4, 0.6]]]), np.array([[1]]), np.array([2]), np.array([1]))
    >>> path[:, 0], np.exp(score).round(2)
    (array([1, 1]), array([0.48]))

    Source: Viterbi (1967), on the nodes of `ctc_loss`.
    """
    lattice = _lattice(logits, targets, input_lengths, target_lengths, blank)
    (T, B, _), steps, last, jumps = logits.shape, lattice.steps, lattice.last, _jumps(lattice.labels, logits.dtype)
    moves, best, rows = np.zeros(lattice.nodes.shape, int), _first(lattice.nodes), np.arange(B)
    final = best.copy()  # what each sequence has at its own end
    for t in range(1, T):
        ways = _ways(best, jumps)
        moves[t] = ways.argmax(axis=0)
        best[:, 2:] = lattice.nodes[t] + ways.max(axis=0)
        final[t < steps] = best[t < steps]
    final = final[:, 1:]  # the node in front of the first stands for "no last label"
    node = np.where(final[rows, last + 1] >= final[rows, last], last, last - 1)
    score, path = final[rows, node + 1], np.full((T, B), -1)
    for t in reversed(range(T)):
        path[t] = np.where((t < steps) & (score > NEVER / 2), node, -1)
        node = np.where(t < steps, node - moves[t, rows, node], node)
    return path, np.where(score > NEVER / 2, score, -np.inf)


# ---------------------------------------------------------------- the nodes


class Lattice(NamedTuple):
    """Hold the nodes of a batch, L = 2 S + 1 for each sequence.

    Attributes:
        labels: (B, L), the symbol of each node.
        log_y: (T, B, C), log-probabilities of the symbols.
        nodes: (T, B, L), those of the nodes; NEVER where a step or a node is padding.
        steps: (B,), how many steps of each sequence are real.
        last: (B,), the last node of each, which is twice the length of its target.
    """

    labels: np.ndarray
    log_y: np.ndarray
    nodes: np.ndarray
    steps: np.ndarray
    last: np.ndarray


def _lattice(logits, targets, input_lengths, target_lengths, blank):
    """Check what was given and return its Lattice."""
    shaped(logits, ("T", "B", "C"), "logits", "rnnlab is time-major")
    if logits.size == 0:
        raise ValueError(f"expected at least one step, sequence and symbol, got logits of shape {logits.shape}")
    T, B, C = logits.shape
    whole_numbers(blank, (), 0, C - 1, "blank")
    targets = np.asarray(targets)
    if targets.ndim != 2 or len(targets) != B:
        raise ValueError(f"expected targets of shape ({B}, S), one row for each sequence, got {targets.shape}")
    S = targets.shape[1]
    steps = whole_numbers(input_lengths, (B,), 1, T, "input_lengths")
    last = 2 * whole_numbers(target_lengths, (B,), 0, S, "target_lengths")
    given = 2 * np.arange(S) < last[:, None]
    if given.any():
        whole_numbers(targets[given], (given.sum(),), 0, C - 1, "targets")
    if (targets[given] == blank).any():
        raise ValueError(f"expected targets without the blank, which is {blank} here")
    labels = np.full((B, 2 * S + 1), blank)
    labels[:, 1::2] = np.where(given, targets, blank)
    shifted = logits - logits.max(axis=2, keepdims=True)
    log_y = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    real = (np.arange(T)[:, None] < steps)[..., None] & (np.arange(2 * S + 1) <= last[:, None])
    nodes = np.where(real, np.maximum(np.take_along_axis(log_y, labels[None], axis=2), NEVER), NEVER)
    return Lattice(labels, log_y, nodes.astype(logits.dtype), steps, last)


def _jumps(labels, dtype):
    """Return the logarithm (B, L) of whether a node may be reached over a blank: a label other than the one before."""
    jumps = np.full(labels.shape, NEVER, dtype)
    jumps[:, 2:][labels[:, 2:] != labels[:, :-2]] = 0  # two blanks are alike
    return jumps


# ---------------------------------------------------------------- sums over all paths


def _first(nodes):
    """Return the first step's alpha (B, 2 + L): a path begins at the first two nodes. Nothing is at the two before."""
    alpha = np.full((nodes.shape[1], 2 + nodes.shape[2]), NEVER, nodes.dtype)
    alpha[:, 2:4] = nodes[0, :, :2]
    return alpha


def _ways(alpha, jumps):
    """Return the three ways to a node, (3, B, L): from itself, from the one before, over a blank."""
    return np.stack([alpha[:, 2:], alpha[:, 1:-1], alpha[:, :-2] + jumps])


def _log_sum(logs, axis):
    """Return the logarithm of a sum of numbers whose logarithms are given; the largest is taken out, or all vanish."""
    top = logs.max(axis=axis, keepdims=True)
    return (top + np.log(np.exp(logs - top).sum(axis=axis, keepdims=True))).squeeze(axis)


def _forward(nodes, labels):
    """Return log alpha (T, B, L), the probability of all ways to be at a node after the symbol of its step.

    alpha[t, s] = y[t, s] (alpha[t-1, s] + alpha[t-1, s-1] + alpha[t-1, s-2] where a jump is allowed)
    """
    (T, B, L), jumps = nodes.shape, _jumps(labels, nodes.dtype)
    alpha = np.full((T, B, 2 + L), NEVER, nodes.dtype)
    alpha[0] = _first(nodes)
    for t in range(1, T):
        alpha[t, :, 2:] = nodes[t] + _log_sum(_ways(alpha[t - 1], jumps), axis=0)
    return alpha[..., 2:]


def _occupation(lattice):
    """Return gamma (T, B, L) and log p (B,).

    beta, the probability of all ways from a node to the end, is alpha of the reversed sequence: one loop for both.
    """
    labels, _, nodes, steps, last = lattice
    t, b, s = np.ogrid[: len(nodes), : len(labels), : labels.shape[1]]
    from_end, last = np.where(t < steps[:, None], steps[:, None] - 1 - t, t), last[:, None]
    turned = from_end, b, np.where(s <= last, last - s, s)  # done twice it is as before
    both = _forward(np.concatenate([nodes, nodes[turned]], axis=1), np.concatenate([labels, labels[turned[1:]][0]]))
    ways = both[:, : len(labels)] + both[:, len(labels) :][turned] - nodes  # the node's own symbol is in both
    log_p = _log_sum(ways[0], axis=1)
    return np.exp(ways - log_p[:, None]), log_p

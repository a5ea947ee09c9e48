"""The next word from two places: a vocabulary, or the words of the source, of which the vocabulary may lack some.

Words have numbers: below V those of the vocabulary, from V to W - 1 those that only this source has.
"""

import numpy as np

__all__ = ["copied", "mix", "mix_back", "pointer_loss"]


def copied(attention, source, size):
    """Return the probability of each word if the next word is one of the source: attention, summed over equal words.

    copied[b, w] = sum over the places s with source[s, b] = w of attention[s, b]

    Args:
        attention: (S, B), not negative; over the places of a source it sums to 1.
        source: (S, B), the number of the word at each place; where attention is 0, as on padding, any.
        size: W, how many words there are with the unknown ones.

    Returns:
        (B, W).

    >>> copied(np.array([[0.5], [0.2], [0.3]]), np.array([[4], [1], [4]]), size=5)
    array([[0. , 0.2, 0. , 0. , 0.8]])

    Source: See, Liu and Manning (2017).
    """
    S, B = source.shape
    if attention.shape != (S, B):
        raise ValueError(f"expected attention of the source's shape, {(S, B)}, got {attention.shape}: one word each?")
    if source.min() < 0 or source.max() >= size:
        raise ValueError(f"expected words from 0 to {size - 1} in the source, got {source.min()} to {source.max()}")
    words = np.zeros((B, size))
    np.add.at(words, (np.arange(B), source), attention)  # `words[...] += attention` would count equal words once
    return words


def mix(gen, vocabulary, attention, source, size):
    """Return the probability of each word as the next one.

    p = gen * vocabulary + (1 - gen) * copied

    Args:
        gen: (B,), from 0 to 1, the probability of taking a word of the vocabulary; in the paper p_gen.
        vocabulary: (B, V), the probability of each word then; V is at most `size`.
        attention, source, size: see `copied`.

    Returns:
        (B, W), with rows that sum to 1.

    >>> mix(np.array([0.5]), np.array([[0.9, 0.1]]), np.array([[1.0]]), np.array([[2]]), size=3)
    array([[0.45, 0.05, 0.5 ]])

    Source: See, Liu and Manning (2017).
    """
    p = (1 - gen)[:, None] * copied(attention, source, size)
    p[:, : vocabulary.shape[1]] += gen[:, None] * vocabulary
    return p


def mix_back(d_p, gen, vocabulary, attention, source):
    """Return the derivatives of `mix`: d_gen (B,), d_vocabulary (B, V) and d_attention (S, B), from d_p (B, W).

    d_gen = sum over w of d_p * (vocabulary - copied)
    d_vocabulary = gen * d_p, for the words below V
    d_attention[s, b] = (1 - gen[b]) * d_p[b, source[s, b]]
    """
    B, V = vocabulary.shape
    d_gen = (d_p[:, :V] * vocabulary).sum(axis=1) - (d_p * copied(attention, source, d_p.shape[1])).sum(axis=1)
    return d_gen, gen[:, None] * d_p[:, :V], (1 - gen) * d_p[np.arange(B), source]


def pointer_loss(z, logits, scores, source, target):
    """Return -log p of the next word, and its derivatives with respect to what a network computes.

    gen = sigmoid(z), vocabulary = softmax(logits) and attention = softmax(scores over s). With the two shares of p,

    written = gen vocabulary[target] / p and taken = 1 - written,

    d_z = gen - written
    d_logits = written (vocabulary - [w = target])
    d_scores = taken (attention - attention [source = target] / copied[target])

    so z learns as in a logistic regression whose label is the share of p that the vocabulary has.

    Args:
        z: (B,). logits: (B, V). scores: (S, B), -inf on padding.
        source: (S, B). target: (B,), words that the vocabulary or the source has.

    Returns:
        loss (B,), d_z (B,), d_logits (B, V), d_scores (S, B).

    >>> flat, scores, source = np.zeros((1, 2)), np.zeros((4, 1)), np.full((4, 1), 2)
    >>> loss, d_z, _, _ = pointer_loss(np.zeros(1), flat, scores, source, target=np.array([2]))
    >>> np.exp(-loss), d_z  # half of the probability is copied, and all of it is the target's
    (array([0.5]), array([0.5]))
    """
    B, V = logits.shape
    gen, vocabulary, attention = 1 / (1 + np.exp(-z)), _softmax(logits, axis=1), _softmax(scores, axis=0)
    known, place = target < V, np.minimum(target, V - 1)
    is_target = source == target
    there = (attention * is_target).sum(axis=0)
    p = gen * vocabulary[np.arange(B), place] * known + (1 - gen) * there
    written = gen * vocabulary[np.arange(B), place] * known / p
    d_logits = written[:, None] * vocabulary
    d_logits[np.arange(B), place] -= written
    in_source = np.where(there > 0, there, 1)  # where the target is not in the source, nothing is taken
    d_scores = (1 - written) * (attention - attention * is_target / in_source)
    return -np.log(p), gen - written, d_logits, d_scores


def _softmax(z, axis):
    """Return exp(z) / sum of exp(z) along an axis."""
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)

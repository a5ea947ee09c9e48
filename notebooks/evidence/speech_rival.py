"""A rival for the network of `speech_streams`: linear discriminant analysis of frames, and the best path through them.

Unlike the network it is told whose each training frame is, and where an utterance begins and ends.
"""

from functools import cache

import numpy as np
from speech_streams import CLASSES, SHORT, batch_of, stream, utterances


def windows(batch, size):
    """Return for each stream the frames with so many neighbours on both sides, (T_b, (2 size + 1) 12)."""
    found = []
    for b, length in enumerate(batch.mask.sum(axis=0)):
        at = np.clip(np.arange(length)[:, None] + np.arange(-size, size + 1), 0, length - 1)
        found.append(batch.x[at, b].reshape(length, -1).astype(float))
    return found


@cache
def discriminant(size, parts):
    """Return weights and offsets of the linear discriminant analysis of a window, from 200 training streams.

    A class is a speaker and one of so many equal parts of his utterance.
    """
    part, rng = utterances().train, np.random.default_rng(3)
    streams = [stream(part, rng, *SHORT) for _ in range(200)]
    x, classes = np.concatenate(windows(batch_of(part, streams), size)), []
    for n in np.concatenate(streams):
        classes.append(part.labels[n] * parts + np.arange(part.lengths[n]) * parts // part.lengths[n])
    classes = np.concatenate(classes)
    centers = np.array([x[classes == one].mean(axis=0) for one in range(CLASSES * parts)])
    inner = x - centers[classes]
    weight = np.linalg.pinv(inner.T @ inner / len(x), hermitian=True) @ centers.T
    return weight, (centers * weight.T).sum(axis=1) / 2


def best_speakers(scores, price):
    """Return the best path through the parts: at each frame stay, or go on to the next, or leave the last.

    Args:
        scores: (T, 9, K), of each frame for each speaker and part.
        price: of going from the last part of one speaker to the first of another.

    Returns:
        a list of pairs (speaker, first frame).
    """
    best, came = np.full(scores.shape[1:], -np.inf), np.empty((len(scores), *scores.shape[1:]), int)
    best[:, 0], itself = scores[0, :, 0], np.arange(best.size).reshape(best.shape)
    for t in range(1, len(scores)):
        entry, last = best[:, -1].max() - price, itself[best[:, -1].argmax(), -1]
        before = np.concatenate([np.full((CLASSES, 1), entry), best[:, :-1]], axis=1)
        origin = np.concatenate([np.full((CLASSES, 1), last), itself[:, :-1]], axis=1)
        came[t] = np.where(best >= before, itself, origin)
        best = np.maximum(best, before) + scores[t]
    state, parts, found = itself[best[:, -1].argmax(), -1], best.shape[1], []
    for t in range(len(scores) - 1, 0, -1):
        earlier = came[t].flat[state]
        if state % parts == 0 and earlier != state:
            found.append((int(state // parts), t))
        state = earlier
    return [(int(state // parts), 0), *found[::-1]]


def rival(batch, window, parts, price):
    """Return what the rival finds in each stream: a list of pairs (label from 1 to 9, first frame)."""
    weight, offset = discriminant(window, parts)
    scores = [(one @ weight - offset).reshape(len(one), CLASSES, parts) for one in windows(batch, window)]
    return [[(1 + speaker, first) for speaker, first in best_speakers(one, price)] for one in scores]


def labels_of(found):
    """Return the labels of what the rival finds, tuples."""
    return [tuple(label for label, _ in one) for one in found]


def owners(part, streams):
    """Return whose each frame is, from 1 to 9, for each stream."""
    return [np.repeat(part.labels[one] + 1, part.lengths[one]) for one in streams]

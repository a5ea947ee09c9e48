"""Streams of utterances, and a network that says who speaks in them, trained with `rnnlab.ctc` from the labels alone.

A stream is some utterances of the Japanese vowels, each of another speaker, one behind the other without a mark. Its
labels are the speakers, from 1 to 9; 0 is the blank. Train, validation and test streams are made of the train,
validation and test utterances.
"""

from functools import cache

import numpy as np

import rnnlab as rl
from rnnlab import datasets
from rnnlab.ctc import ctc_loss
from rnnlab.ctc_decoding import greedy, label_error_rate

HIDDEN, BATCH, UPDATES, EVERY, CLASSES = 32, 16, 600, 25, 9
SHORT, LONG = (2, 5), (6, 8)  # utterances in a stream, from and to

# ---------------------------------------------------------------- streams


@cache
def utterances():
    """Return the data set: `Sequences` of 12 standardized coefficients, by part."""
    return datasets.load("japanese_vowels")


def stream(part, rng, least, most):
    """Draw a stream: the numbers of utterances of different speakers, each speaker as likely."""
    speakers = rng.permutation(CLASSES)[: rng.integers(least, most + 1)]
    return [rng.choice(np.flatnonzero(part.labels == speaker)) for speaker in speakers]


def without_return(part, rng, least, most):
    """Return streams that use no utterance twice, until too few speakers are left; one with more left comes sooner."""
    left = [rng.permutation(np.flatnonzero(part.labels == speaker)).tolist() for speaker in range(CLASSES)]
    streams = []
    while True:
        number, weight = rng.integers(least, most + 1), np.array([len(one) for one in left], float)
        if (weight > 0).sum() < number:
            return streams
        speakers = rng.choice(CLASSES, number, replace=False, p=weight / weight.sum())
        streams.append([left[speaker].pop() for speaker in speakers])


def batch_of(part, streams, dtype=np.float32):
    """Return a Batch: x (T, B, 12) padded, y the pair labels (B, S) from 1 to 9 and their lengths, mask (T, B)."""
    frames = [np.concatenate([part[n] for n in one]) for one in streams]
    lengths, sizes = np.array([len(one) for one in frames]), np.array([len(one) for one in streams])
    x = np.zeros((lengths.max(), len(streams), 12), dtype)
    labels = np.zeros((len(streams), sizes.max()), int)
    for b, (one, numbers) in enumerate(zip(frames, streams, strict=True)):
        x[: len(one), b], labels[b, : len(numbers)] = one, part.labels[numbers] + 1  # 0 is the blank
    return rl.Batch(x, (labels, sizes), np.arange(len(x))[:, None] < lengths)


def wanted(batch):
    """Return the right labels of each stream, tuples."""
    labels, sizes = batch.y
    return [tuple(row[:size].tolist()) for row, size in zip(labels, sizes, strict=True)]


@cache
def fixed(name, length=SHORT):
    """Return streams that are the same for every run: of the validation part with, of the test part without return."""
    part = getattr(utterances(), name)
    if name == "test":
        return without_return(part, np.random.default_rng(length), *length)
    rng = np.random.default_rng(7)
    return [stream(part, rng, *length) for _ in range(100)]


# ---------------------------------------------------------------- the network


def loss(outputs, y, mask):
    """Return the CTC loss of a batch and its derivative: the whole of what this lesson adds to an LSTM."""
    labels, sizes = y
    return ctc_loss(outputs, labels, mask.sum(axis=0), sizes)


def network(bidirectional=True, hidden=HIDDEN):
    """Return the model: an LSTM, and a linear readout of ten symbols at each frame, the blank first."""
    return rl.Model(rl.LSTMCell(12, hidden), 1 + CLASSES, loss, bidirectional=bidirectional)


def outputs_of(model, params, batch):
    """Return what the network says at each frame, (T, B, 10)."""
    return model.forward(params, batch.x, lengths=batch.mask.sum(axis=0))[0]


def score(model, params, batch):
    """Return the loss, the label error rate of greedy decoding and the share of frames where the blank is largest."""
    outputs = outputs_of(model, params, batch)
    found = greedy(outputs, batch.mask.sum(axis=0))
    blank = (outputs.argmax(axis=2) == 0)[batch.mask].mean()
    return float(loss(outputs, batch.y, batch.mask)[0]), label_error_rate(found, wanted(batch)), float(blank)


def train(seed, bidirectional, lr, updates=UPDATES, keep=(), every=EVERY):
    """Train on fresh streams at each update; return the model, its parameters, a curve, and kept parameters.

    The curve has a row (update, training loss, validation loss, error rate, share of blanks) every so many updates.
    """
    rng, model, part = np.random.default_rng(seed), network(bidirectional), utterances().train
    params, work = model.init(rng, np.float32), rl.Workspace()
    optimizer, clip, cosine = rl.Adam(lr=lr), rl.ClipNorm(5.0), rl.CosineDecay(UPDATES)
    state, check = optimizer.init(params), batch_of(utterances().validation, fixed("validation"))
    curve, kept, recent = [], {}, []
    for update in range(updates + 1):
        if update in keep:
            kept[update] = {name: param.copy() for name, param in params.items()}
        if update % every == 0:
            train_loss = np.mean(recent) if recent else None
            curve.append([update, train_loss, *score(model, params, check)])
            recent = []
        if update == updates:
            break
        batch = batch_of(part, [stream(part, rng, *SHORT) for _ in range(BATCH)])
        out = model.loss_and_grads(params, batch, lengths=batch.mask.sum(axis=0), work=work)
        grads, _ = clip(out.grads)
        params, state = optimizer.scaled(cosine(update)).update(params, grads, state)
        recent.append(out.loss)
    return model, params, curve, kept

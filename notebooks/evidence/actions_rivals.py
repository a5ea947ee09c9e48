"""What knows no recurrence and names actions too: nearest neighbours, warped or not, and ridge regression on features.

Every method is called alike, `method(x, labels, asked, settings, seed)`: x (T, B, D) with labels (B,) to learn from,
asked (T, A, D) to name, a list of settings; back comes for each setting a score (A, C) for every class, the higher the
likelier. So one loop tunes all of them, on the same folds with the same number of settings.
"""

import numpy as np

from rnnlab.warping import warped_distances

TRIALS, FOLDS = 24, 5

# ---------------------------------------------------------------- nearest neighbours


def votes(apart, labels, k):
    """Return how many of the k nearest have each class, (A, C), from distances (A, B); the nearest breaks ties."""
    nearest = apart.argsort(axis=1, kind="stable")[:, :k]
    scores = np.eye(labels.max() + 1)[labels[nearest]].sum(axis=1)
    scores[np.arange(len(apart)), labels[nearest[:, 0]]] += 0.5
    return scores


def seen_as(x, view):
    """Return x (T, B, D) as it is, or its steps from one frame to the next, or in its own scale."""
    if view == "steps":
        return np.diff(x, axis=0, append=x[-1:])
    return (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6) if view == "own scale" else x


def euclidean(x, labels, asked, settings, seed=0):
    """Name by the k nearest, steps laid side by side as they are; settings: view, stride, k."""
    found = []
    for one in settings:
        near, far = (seen_as(part, one["view"])[:: one["stride"]] for part in (x, asked))
        apart = ((far[:, :, None] - near[:, None]) ** 2).sum(axis=(0, 3))
        found.append(votes(apart, labels, one["k"]))
    return found


def warped(x, labels, asked, settings, seed=0):
    """Name by the k nearest after warping; settings: window as a share of T, columns together or each alone, k."""
    memory = {}
    for one in settings:
        key = one["window"], one["alone"]
        if key not in memory:
            window = round(one["window"] * len(x))
            parts = [[d] for d in range(x.shape[2])] if one["alone"] else [slice(None)]
            memory[key] = sum(warped_distances(asked[..., d], x[..., d], window) ** 2 for d in parts)
    return [votes(memory[one["window"], one["alone"]], labels, one["k"]) for one in settings]


# ---------------------------------------------------------------- ridge regression on features


def ridge(features, labels, asked, penalties):
    """Return for each penalty the scores (A, C) of linear regression on 0 and 1 with a squared penalty.

    W = argmin ||F W - Y||^2 + penalty n ||W||^2, in its dual form, with every feature standardized by those given.
    """
    mean, std = features.mean(axis=0), features.std(axis=0)
    scale = np.sqrt(len(mean)) * np.where(std > 1e-9, std, np.inf)
    f, g = (features - mean) / scale, (asked - mean) / scale
    y = np.eye(labels.max() + 1)[labels]
    kernel, center = f @ f.T, y.mean(axis=0)
    n = len(f)
    return [g @ f.T @ np.linalg.solve(kernel + penalty * n * np.eye(n), y - center) + center for penalty in penalties]


def summaries(x, parts):
    """Return mean, standard deviation, lowest and highest of each column in each of equal parts, (B, 4 D parts)."""
    pieces = np.array_split(x, min(parts, len(x)))
    rows = [f(piece, axis=0) for piece in pieces for f in (np.mean, np.std, np.min, np.max)]
    return np.concatenate(rows, axis=1)


def linear(x, labels, asked, settings, seed=0):
    """Name by ridge regression on summaries; settings: parts, penalty."""
    return [
        ridge(summaries(x, one["parts"]), labels, summaries(asked, one["parts"]), [one["penalty"]])[0]
        for one in settings
    ]


def random_convolutions(x, asked, number, seed):
    """Return what random kernels find, (B, 2 number) and (A, 2 number): the highest response, the share above 0.

    Length 7, 9 or 11, normal weights of mean 0, a uniform bias, a dilation from 1 to all of the sequence, padding or
    none, on a random choice of columns.

    Source: Dempster, Petitjean and Webb (2020); the choice of columns as in its implementations for many.
    """
    rng, both = np.random.default_rng(seed), np.concatenate([x, asked], axis=1)
    T, _, D = both.shape
    found = []
    for _ in range(number):
        length = min(rng.choice([7, 9, 11]), T)
        dilation = int(2 ** rng.uniform(0, np.log2(max(1, (T - 1) / max(1, length - 1)))))
        columns = rng.permutation(D)[: int(2 ** rng.uniform(0, np.log2(D + 1)))]
        weights = rng.standard_normal((length, len(columns)))
        weights -= weights.mean(axis=0)
        padding = (length - 1) * dilation // 2 if rng.integers(2) else 0
        padded = np.pad(both[:, :, columns], ((padding, padding), (0, 0), (0, 0)))
        out = len(padded) - (length - 1) * dilation
        response = sum(padded[i * dilation : i * dilation + out] @ weights[i] for i in range(length))
        response += rng.uniform(-1, 1)
        found += [response.max(axis=0), (response > 0).mean(axis=0)]
    features = np.stack(found, axis=1)
    return features[: x.shape[1]], features[x.shape[1] :]


def convolutions(x, labels, asked, settings, seed=0):
    """Name by ridge regression on random convolutions; settings: kernels, penalty."""
    memory = {number: random_convolutions(x, asked, number, seed) for number in {one["kernels"] for one in settings}}
    return [
        ridge(memory[one["kernels"]][0], labels, memory[one["kernels"]][1], [one["penalty"]])[0] for one in settings
    ]


def grid(**values):
    """Return all combinations as dicts, the first name slowest."""
    found = [{}]
    for name, options in values.items():
        found = [one | {name: option} for one in found for option in options]
    return found


PENALTIES = [float(f"{penalty:.1g}") for penalty in np.geomspace(1e-4, 3, 8)]
WINDOWS = [0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0]
METHODS = {
    "nearest, Euclidean": (euclidean, grid(view=["as it is", "steps"], stride=[1, 2, 3, 5], k=[1, 3, 5])),
    "nearest, warped": (warped, grid(alone=[False, True], window=WINDOWS, k=[1])),
    "linear on summaries": (linear, grid(parts=[1, 4, 10], penalty=PENALTIES)),
    "random convolutions": (convolutions, grid(kernels=[100, 300, 1000], penalty=PENALTIES)),
}
assert all(len(settings) == TRIALS for _, settings in METHODS.values())


# ---------------------------------------------------------------- the same rule for all


def folds(labels, seed=0):
    """Return for each sequence the number of its fold, (B,): every class is spread evenly over all of them."""
    rng, found, at = np.random.default_rng(seed), np.empty(len(labels), int), 0
    for label in np.unique(labels):
        where = rng.permutation(np.flatnonzero(labels == label))
        found[where] = (at + np.arange(len(where))) % FOLDS
        at += len(where)
    return found


def judged(method, x, labels, settings):
    """Return for each setting how many sequences are named wrongly by what has learned from the other folds, (S,)."""
    wrong, fold = np.zeros(len(settings), int), folds(labels)
    for number in range(FOLDS):
        own = fold == number
        for s, scores in enumerate(method(x[:, ~own], labels[~own], x[:, own], settings)):
            wrong[s] += (scores.argmax(axis=1) != labels[own]).sum()
    return wrong

"""Which characters moved a decision? Three answers, and how far they agree.

Each function gives one number for each character of a text; above 0 it spoke for praise.
"""

import numpy as np
import pandas as pd
import torch
from sentiment_counts import cut


def by_gradient(model, alphabet, text):
    """Return gradient times input, (T,): d odds / d x_t . x_t, for the vector x_t of each character.

    What an infinitely small change of that vector's length would do, per unit of relative change. It says nothing
    about what would happen without the character.
    """
    numbers, lengths = alphabet.padded(cut([text]))
    vectors = model.embedding(torch.tensor(numbers)).detach().requires_grad_()
    model.read(vectors, torch.tensor(lengths)).sum().backward()
    return (vectors.grad * vectors).sum(-1)[:, 0].detach().numpy()


def by_deletion(odds_of, text):
    """Return odds(text) - odds(text without the character), (T,).

    Args:
        odds_of: texts -> log odds (B,), of a network or of counts.

    What the model says about a text that nobody wrote: the rest closes up, and new neighbours meet.
    """
    text = cut([text])[0]
    odds = odds_of([text] + [text[:t] + text[t + 1 :] for t in range(len(text))])
    return odds[0] - odds[1:]


def by_weights(weights, order, text):
    """Return each character's share of the weights of counts, (T,); with the intercept they sum to the log odds.

    A run's weight is divided evenly among its characters, and among the places where the run occurs.
    """
    text, shares = cut([text])[0], np.zeros(min(len(text), len(cut([text])[0])))
    for n in range(1, order + 1):
        places = {}
        for t in range(len(text) - n + 1):
            places.setdefault(text[t : t + n], []).append(t)
        for run, starts in places.items():
            for t in starts:
                shares[t : t + n] += weights.get(run, 0.0) / n / len(starts)
    return shares


def rank_correlation(one, other):
    """Return Spearman's rank correlation of two answers about one text; NaN where one of them is constant.

    >>> round(float(rank_correlation(np.array([1.0, 2, 3, 4]), np.array([0.1, 0.2, 0.2, 9]))), 3)
    0.949
    """
    ranks = pd.DataFrame({"one": one, "other": other}).rank()
    with np.errstate(invalid="ignore", divide="ignore"):
        return ranks.corr().loc["one", "other"]


def without_strongest(odds_of, text, shares, most):
    """Return how far the log odds for the model's answer fall when k characters go, k = 0 to `most`, (most + 1,).

    Those go first that spoke most for the answer by `shares`; all are deleted at once.
    """
    text = cut([text])[0]
    sign = 1 if odds_of([text])[0] > 0 else -1
    order = np.argsort(-sign * shares, kind="stable")
    shorter = ["".join(np.delete(list(text), order[:k])) for k in range(most + 1)]
    odds = sign * odds_of(shorter)
    return odds[0] - odds


def shuffled(texts, seed=0):
    """Return each text, cut, with its characters in another order."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.permutation(list(text))) for text in cut(texts)]

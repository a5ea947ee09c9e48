"""The baseline of `sentiment.py`: which runs of characters a review has, and logistic regression."""

from functools import cache

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

STEPS, RARE = 60, 2  # characters that are read of a text; a character or run must occur so often to be known
PENALTIES, ORDERS = [0.03, 0.1, 0.3, 1.0], [1, 2, 3]


def cut(texts):
    """Return what every method reads of each text."""
    return [text[:STEPS] for text in texts]


def cross_entropy(odds, labels):
    """Return the mean of -log p(label), in nats."""
    return float(np.logaddexp(0, np.where(labels == 1, -odds, odds)).mean())


@cache
def counted(order, texts):
    """Return what finds the known runs of characters in a text, and where they are in these, (N, runs)."""
    bag = CountVectorizer(analyzer="char", lowercase=False, binary=True, ngram_range=(1, order), min_df=RARE)
    seen = bag.fit_transform(texts)
    return bag, seen


class Counts:
    """Give the log odds of praise as a sum of weights, one for each run of up to `order` characters that occurs.

    Args:
        order: length of the longest run.
        penalty: scikit-learn's C; smaller keeps the weights smaller.
        train: `Texts`.
        whole: read whole texts and not only their first characters.
    """

    def __init__(self, order, penalty, train, whole=False):
        self.order, self.cut = order, list if whole else cut
        self.bag, seen = counted(order, tuple(self.cut(train.texts)))
        self.model = LogisticRegression(C=penalty, max_iter=1000).fit(seen, train.labels)

    def log_odds(self, texts):
        """Return the log odds of praise of each text, (B,)."""
        return self.model.decision_function(self.bag.transform(self.cut(texts)))

    def weights(self):
        """Return dict run of characters -> its weight."""
        return dict(zip(self.bag.get_feature_names_out(), self.model.coef_[0].tolist(), strict=True))


def tuned_counts(parts, orders=ORDERS, whole=False):
    """Return a row for each order and penalty: loss and share of right answers on validation."""
    rows = []
    for order in orders:
        for penalty in PENALTIES:
            odds = Counts(order, penalty, parts.train, whole).log_odds(parts.validation.texts)
            right = float(((odds > 0) == parts.validation.labels).mean())
            loss = cross_entropy(odds, parts.validation.labels)
            rows.append({"order": order, "penalty": penalty, "whole": whole, "loss": loss, "validation": right})
    return rows

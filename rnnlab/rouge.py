"""ROUGE: how much of a summary's wording a reference shares. For English, by words; case and marks are ignored."""

import re
from collections import Counter

__all__ = ["rouge_l", "rouge_n"]


def rouge_n(summary, reference, n=1):
    """Return the F1 score of shared n-grams of words, from 0 to 1.

    precision = shared / n-grams of the summary, recall = shared / n-grams of the reference, and
    F1 = 2 precision recall / (precision + recall); an n-gram that occurs twice in one and once in the other is shared
    once.

    >>> round(rouge_n("the cat sat", "the cat lay down"), 3), rouge_n("the cat sat", "the cat lay down", n=2)
    (0.571, 0.4)

    Source: Lin (2004), the measure ROUGE-N, as an F1 score.
    """
    one, two = (Counter(zip(*(words[i:] for i in range(n)), strict=False)) for words in _words(summary, reference))
    return _f1((one & two).total(), one.total(), two.total())


def rouge_l(summary, reference):
    """Return the F1 score of the longest common subsequence of words, which need not be without gaps.

    >>> round(rouge_l("the cat sat down", "the dog sat down"), 3)
    0.75

    Source: Lin (2004), the measure ROUGE-L, as an F1 score.
    """
    one, two = _words(summary, reference)
    longest = [0] * (len(two) + 1)
    for word in one:
        before = longest
        longest = [0]
        for j, other in enumerate(two):
            longest.append(before[j] + 1 if word == other else max(before[j + 1], longest[j]))
    return _f1(longest[-1], len(one), len(two))


def _words(*texts):
    """Return the words of each text, in small letters."""
    return [re.findall(r"[a-z0-9]+", text.lower()) for text in texts]


def _f1(shared, size, other_size):
    """Return 2 shared / (size + other size), which is the F1 score, and 0 where both are empty."""
    return 2 * shared / (size + other_size) if size + other_size else 0.0

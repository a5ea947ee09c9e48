"""Translation without a network: the most similar known pair, with what differs replaced by a learned dictionary."""

import re
from collections import Counter, defaultdict

import numpy as np

__all__ = ["Analogies", "words"]

# Runs of digits and of letters are words; every Chinese character and every other mark is one of its own.
LETTER = r"[^\W\d_\u3007\u4e00-\u9fff]"
WORD = re.compile(rf"\d+|{LETTER}+|.")
# German writes 985 as one word, Chinese ten words without a space. Who knows these is told more than the network.
PARTS = re.compile(rf"\d+月?|.十|hundert|tausend|und|(?:(?!hundert|tausend|und){LETTER})+|.")
LONGEST, SAMPLE, TRIED = 14, 100, 50  # characters of a piece, pairs looked at for a word, neighbours


def words(text, parts=False):
    """Return a text as a list of words; with `parts`, German number words in pieces.

    >>> words("May 5, 1985"), words("fünfundachtzig", parts=True)
    (['May', ' ', '5', ',', ' ', '1985'], ['fünf', 'und', 'achtzig'])
    """
    return (PARTS if parts else WORD).findall(text)


class Analogies:
    """Translate by analogy: if "Monday, 3 May" is "Montag, 3. Mai", then "Friday, 3 May" is "Freitag, 3. Mai".

    For each word a of the sources of one group it learns a piece of the targets: the p that maximizes
    P(p in target | a in source) - P(p in target | a not in source), the longest of equals. A new source is translated
    by the pair that has as many words and differs from it in the fewest (the first of equals): at each word that
    differs, the old word's piece in that pair's target gives way to the new word's. Numbers in digits stand for
    themselves.

    Args:
        pairs: `Pairs` to learn from.
        group: a function of a source; pairs of one group are alike, as those into one language are.
        words: a function that cuts a source into words.
    """

    def __init__(self, pairs, group, words=words):
        self.group, self.words = group, words
        self.known = defaultdict(list)
        for source, target in pairs:
            self.known[group(source)].append((tuple(words(source)), target))
        self.tables = {name: _dictionary(known) for name, known in self.known.items()}
        self.numbers, self.rows = {}, {}
        for name, known in self.known.items():
            for length in {len(row) for row, _ in known}:
                alike = [pair for pair in known if len(pair[0]) == length]
                self.rows[name, length] = np.array([self._numbered(row) for row, _ in alike]), alike

    def translate(self, source):
        """Return the translation of a source, "" where no known pair has as many words."""
        name, row = self.group(source), tuple(self.words(source))
        if (name, len(row)) not in self.rows:
            return ""
        rows, alike = self.rows[name, len(row)]
        apart = (rows != np.array(self._numbered(row))).sum(axis=1)
        for nearest in np.argsort(apart, kind="stable")[:TRIED]:
            known, target = alike[nearest]
            target, marks, missed = self._changed(self.tables[name], known, row, target)
            if not missed:
                break
        for mark, piece in marks.items():
            target = target.replace(mark, piece)
        return target

    def _changed(self, table, known, row, target):
        """Return a target with marks for what differs, what they stand for, and how many words it lacks."""
        marks, missed = {}, 0
        for old, new in zip(known, row, strict=True):
            if old != new:
                piece, mark = _piece(table, old), chr(0xE000 + len(marks))  # a mark is not replaced again
                if piece and piece in target:
                    target, marks[mark] = target.replace(piece, mark, 1), _piece(table, new) or new
                else:
                    missed += 1
        return target, marks, missed

    def _numbered(self, row):
        return [self.numbers.setdefault(word, len(self.numbers)) for word in row]


def _piece(table, word):
    """Return what stands for a word in targets."""
    return word if word.isdigit() and word.isascii() else table.get(word, "")


def _dictionary(known):
    """Return for each word that is not a number its surest piece of the targets."""
    table = {}
    for word in sorted({word for row, _ in known for word in row if not (word.isdigit() and word.isascii())}):
        have = [target for row, target in known if word in row][:SAMPLE]
        lack = [target for row, target in known if word not in row]
        lack = lack[:: max(1, len(lack) // SAMPLE)]
        counts = Counter(piece for target in have for piece in _pieces(target))
        most = max(counts.values())
        candidates = [piece for piece, count in counts.items() if count > 0.7 * most]
        surest = {
            piece: counts[piece] / len(have) - sum(piece in target for target in lack) / max(1, len(lack))
            for piece in candidates
        }
        table[word] = max(candidates, key=lambda piece: (surest[piece], len(piece), piece))
    return table


def _pieces(text):
    return {text[i:j] for i in range(len(text)) for j in range(i + 1, min(i + LONGEST, len(text)) + 1)}

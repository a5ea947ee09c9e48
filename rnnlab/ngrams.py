"""Predict the next character from the last few by counting: n-grams with interpolated Kneser-Ney smoothing."""

import numpy as np

from rnnlab.checks import positive_integer

__all__ = ["NGrams"]


class NGrams:
    """Count which character follows which others, and give a probability to every character that may come next.

    p_k(c | s) = (max(n_k(s c) - d, 0) + d N_k(s) p_{k-1}(c | s')) / n_k(s), with p_k = p_{k-1} where n_k(s) = 0,

    where s is the last k characters and s' is s without its first, n_k(s) the sum of n_k(s c) over all c, and N_k(s)
    the number of different c seen after s. For the longest s, n_k counts occurrences; for a shorter one it counts the
    different characters that have stood before s c. Below p_0, with nothing known, each symbol has the same share.

    Args:
        order: n, at least 1: it looks at n - 1 characters.
        symbols: all characters that may come, each once.
        discount: d, between 0 and 1: what each count gives away to what was not seen.

    Source: Kneser and Ney (1995), in the interpolated form of Chen and Goodman (1999), with one discount.

    >>> model = NGrams(order=3, symbols="abc").learn("abcabcab")
    >>> round(model.probability("ab", "c"), 3), round(float(model.distribution("ab").sum()), 12)
    (0.789, 1.0)
    """

    def __init__(self, order, symbols, discount=0.75):
        self.order, self.symbols, self.discount = positive_integer(order, "order"), tuple(symbols), discount
        if not 0 < discount < 1:
            raise ValueError(f"expected a discount between 0 and 1, got {discount!r}")
        self.known = frozenset(self.symbols)
        if not self.symbols or len(self.known) < len(self.symbols):
            raise ValueError("expected at least one symbol, and each once")
        self.counts = [{} for _ in range(order)]  # by k: context of k characters -> {next character: n_k}
        self.totals = [{} for _ in range(order)]  # by k: context -> n_k(s)

    def learn(self, text, before=""):
        """Count each character of a text, and return this model.

        Args:
            text: a string of known symbols.
            before: what stood before it; the start of a text has shorter contexts only.
        """
        self._check(text)
        whole = before + text
        for i in range(len(before), len(whole)):
            self._count(whole[max(0, i - self.order + 1) : i], whole[i])
        return self

    def _count(self, history, character):
        """Count one character after each of its contexts, from the longest; stop where it has stood before."""
        for k in range(len(history), -1, -1):
            context = history[len(history) - k :]
            row = self.counts[k].setdefault(context, {})
            seen = character in row
            row[character] = row.get(character, 0) + 1
            self.totals[k][context] = self.totals[k].get(context, 0) + 1
            if seen:  # what stands before the shorter one is not new
                return

    def probability(self, history, character):
        """Return p(character | history)."""
        self._check(character)
        p = 1 / len(self.symbols)
        for k in range(min(self.order, len(history) + 1)):
            context = history[len(history) - k :]
            row = self.counts[k].get(context)
            if row is None:  # then no longer context has been seen either
                break
            kept = max(row.get(character, 0) - self.discount, 0)
            p = (kept + self.discount * len(row) * p) / self.totals[k][context]
        return p

    def distribution(self, history):
        """Return p of each symbol after a history, (V,)."""
        return np.array([self.probability(history, symbol) for symbol in self.symbols])

    def bits(self, text, before="", learn=False):
        """Return -log2 p of each character of a text, (T,): what it costs to name it.

        Args:
            text: a string of known symbols.
            before: what stands before it.
            learn: count each character once it has been named, as a compressor does.
        """
        self._check(text)
        whole, costs = before + text, np.empty(len(text))
        for n, i in enumerate(range(len(before), len(whole))):
            history = whole[max(0, i - self.order + 1) : i]
            costs[n] = -np.log2(self.probability(history, whole[i]))
            if learn:
                self._count(history, whole[i])
        return costs

    def _check(self, text):
        if strange := set(text) - self.known:
            raise ValueError(f"expected only the {len(self.symbols)} symbols of this model, got {sorted(strange)[:5]}")

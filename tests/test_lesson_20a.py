"""The two data sets of lesson 20a, what it says and shows, and parts of its record computed again."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from rnnlab import datasets

FILES = Path(importlib.util.find_spec("sktime").submodule_search_locations[0], "datasets/data")


# ---------------------------------------------------------------- the data


@pytest.mark.parametrize(
    "name, folder, kinds",
    [
        ("gunpoint", "GunPoint", {"1": "gun", "2": "point"}),
        ("basic_motions", "BasicMotions", {kind.title(): kind for kind in datasets.load("basic_motions").classes}),
    ],
)
def test_the_recordings_are_those_of_the_files(name, folder, kinds):
    """Against a reading of the files that shares no line with the loader's; each recording is in one part only."""
    data, ends = datasets.load(name), {"TRAIN": ("train", "validation"), "TEST": ("test",)}
    for end, parts in ends.items():
        text = (FILES / folder / f"{folder}_{end}.ts").read_text()
        theirs = {}
        for line in text[text.index("@data") + 6 :].strip().split("\n"):
            cells, _, kind = line.rpartition(":")
            columns = np.array([list(map(float, column.split(","))) for column in cells.split(":")])
            theirs[tuple(columns[0, :20].round(6))] = (kinds[kind], columns.T)
        number = len(theirs)
        for part in (getattr(data, part) for part in parts):
            for b in range(len(part)):
                frames = part[b] if data.std is None else part[b] * data.std + data.mean
                kind, expected = theirs.pop(tuple(frames[:20, 0].round(6)))
                assert data.classes[part.labels[b]] == kind
                np.testing.assert_allclose(frames, expected, atol=1e-9)
        assert not theirs and number == {"GunPointTRAIN": 50, "GunPointTEST": 150}.get(folder + end, 40)


def test_the_tracks_are_normalized_over_the_whole_video_and_the_motions_by_the_training_part():
    tracks, motions = datasets.load("gunpoint"), datasets.load("basic_motions")
    for part in (tracks.train, tracks.validation, tracks.test):
        np.testing.assert_allclose(part.x.mean(axis=0), 0, atol=1e-7)
        np.testing.assert_allclose(part.x.std(axis=0, ddof=1), 1, atol=1e-7)
        assert np.abs(part.x[:75].mean(axis=0)).min() < 0.1 < np.abs(part.x[:75].mean(axis=0)).max()
    np.testing.assert_allclose(motions.train.x.mean(axis=(0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(motions.train.x.std(axis=(0, 1)), 1, atol=1e-12)
    assert motions.test.x.std(axis=0).max() > 20 * motions.test.x.std(axis=0).min(), "each recording keeps its size"
    assert [list(np.bincount(part.labels)) for part in (motions.train, motions.validation, motions.test)] == [
        [8] * 4, [2] * 4, [10] * 4,
    ]  # fmt: skip
    assert [list(np.bincount(part.labels)) for part in (tracks.train, tracks.validation, tracks.test)] == [
        [19, 21], [5, 5], [76, 74],
    ]  # fmt: skip


def test_the_nearest_neighbour_by_hand():
    near = datasets.Sequences(np.array([[[0.0], [5.0]], [[0.0], [5.0]]]), np.array([2, 2]), np.array([0, 1]), 2)
    asked = datasets.Sequences(np.array([[[1.0], [2.0], [4.0]], [[1.0], [4.0], [4.0]]]), np.full(3, 2), [0, 0, 1], 2)
    assert datasets.nearest_accuracy(near, asked) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="sequences of one length, got 7 to 29 steps"):
        vowels = datasets.load("japanese_vowels")
        datasets.nearest_accuracy(vowels.train, vowels.test)

"""The two data sets of lesson 20a, what it says and shows, and parts of its record computed again."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from evidence import script
from rnnlab import datasets

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "20_video_a_actions.ipynb"
FILES = Path(importlib.util.find_spec("sktime").submodule_search_locations[0], "datasets/data")


@pytest.fixture(scope="module")
def study():
    """The script that made the record."""
    return script("actions")


@pytest.fixture(scope="module")
def rivals():
    """The methods without recurrence."""
    return script("actions_rivals")


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


# ---------------------------------------------------------------- the methods without recurrence


def test_the_votes_of_the_nearest_by_hand(rivals):
    apart, labels = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]]), np.array([0, 1, 0])
    assert rivals.votes(apart, labels, 1).argmax(axis=1).tolist() == [1, 0]
    assert rivals.votes(apart, labels, 3).argmax(axis=1).tolist() == [0, 0]
    assert rivals.votes(apart, labels, 2).argmax(axis=1).tolist() == [1, 0], "the nearest breaks a tie"


def test_the_ridge_in_its_dual_form_is_that_of_the_normal_equations(rivals):
    rng = np.random.default_rng(0)
    f, g, labels = rng.standard_normal((12, 4)), rng.standard_normal((5, 4)), np.arange(12) % 3
    mean, std = f.mean(axis=0), 2 * f.std(axis=0)  # 2 is the root of the number of features
    x, y = (f - mean) / std, np.eye(3)[labels]
    for penalty, scores in zip([0.01, 1.0], rivals.ridge(f, labels, g, [0.01, 1.0]), strict=True):
        weight = np.linalg.solve(x.T @ x + penalty * 12 * np.eye(4), x.T @ (y - y.mean(axis=0)))
        np.testing.assert_allclose(scores, (g - mean) / std @ weight + y.mean(axis=0), atol=1e-10)


def test_a_random_convolution_is_torchs(rivals, monkeypatch):
    """The same kernels, drawn again in the same order, by conv1d."""
    rng = np.random.default_rng(1)
    x, asked = rng.standard_normal((40, 3, 4)), rng.standard_normal((40, 2, 4))
    found = np.concatenate(rivals.random_convolutions(x, asked, 12, seed=5))
    both = torch.tensor(np.concatenate([x, asked], axis=1)).permute(1, 2, 0)
    rng = np.random.default_rng(5)
    for number in range(12):
        length = rng.choice([7, 9, 11])
        dilation = int(2 ** rng.uniform(0, np.log2(39 / (length - 1))))
        columns = rng.permutation(4)[: int(2 ** rng.uniform(0, np.log2(5)))]
        weights = rng.standard_normal((length, len(columns)))
        kernel = torch.tensor((weights - weights.mean(axis=0)).T[None])
        padding = (length - 1) * dilation // 2 if rng.integers(2) else 0
        response = torch.conv1d(both[:, columns], kernel, padding=padding, dilation=dilation)[:, 0]
        response += rng.uniform(-1, 1)
        np.testing.assert_allclose(found[:, 2 * number], response.amax(dim=1), atol=1e-10)
        np.testing.assert_allclose(found[:, 2 * number + 1], (response > 0).double().mean(dim=1), atol=1e-10)


def test_every_method_names_what_is_easy_and_folds_are_even(rivals):
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    x = rng.standard_normal((40, 30, 2)) * 0.1 + np.sin(np.arange(40)[:, None] / 3 * (1 + labels))[..., None]
    for method, (answers, settings) in rivals.METHODS.items():
        wrong = rivals.judged(answers, x, labels, settings[:16:5])
        assert len(settings) == rivals.TRIALS and wrong.min() == 0, method
    fold = rivals.folds(labels)
    assert all(np.bincount(labels[fold == number]).tolist() == [2, 2, 2] for number in range(rivals.FOLDS))
    assert (rivals.folds(labels) == fold).all() and sorted(np.bincount(rivals.folds(np.repeat([0, 1], [24, 26])))) == [
        10
    ] * 5


# ---------------------------------------------------------------- the network


def test_the_loss_of_the_mean_has_the_derivative_of_torch_and_of_finite_differences(study):
    rng = np.random.default_rng(0)
    outputs, labels = rng.standard_normal((5, 4, 3)), np.array([0, 2, 1, 1])
    y, mask = np.broadcast_to(labels, (5, 4)), np.ones((5, 4))
    loss, d_outputs = study.mean_cross_entropy(outputs, y, mask)
    theirs = torch.tensor(outputs, requires_grad=True)
    their_loss = F.cross_entropy(theirs.mean(dim=0), torch.tensor(labels))
    their_loss.backward()
    assert loss == pytest.approx(their_loss.item())
    np.testing.assert_allclose(d_outputs, theirs.grad, atol=1e-14)
    for place in [(0, 0, 0), (4, 3, 2), (2, 1, 1)]:
        sides = [outputs.copy(), outputs.copy()]
        sides[0][place] += 1e-6
        sides[1][place] -= 1e-6
        up, down = (study.mean_cross_entropy(side, y, mask)[0] for side in sides)
        assert d_outputs[place] == pytest.approx((up - down) / 2e-6, rel=1e-6)
        assert abs(5 * d_outputs[place] - (up - down) / 2e-6) > 1e-3, "the oracle sees a forgotten 1/T"


def test_the_gradient_of_the_whole_network_is_right_at_each_reading(study):
    """Through the mean over time too: one weight of each parameter by finite differences, in float64."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((7, 5, 2)), np.array([0, 1, 2, 2, 0])
    for reading in study.READINGS:
        model, batch = study.network(2, 3, reading), study.as_batch(x, labels, reading)
        params = model.init(rng)
        grads = model.loss_and_grads(params, batch).grads
        for name, param in params.items():
            place = tuple(rng.integers(0, size) for size in param.shape)
            sides = []
            for change in (1e-6, -1e-6):
                moved = param.copy()
                moved[place] += change
                sides.append(model.loss_and_grads(params | {name: moved}, batch).loss)
            assert grads[name][place] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-4, abs=1e-9)


def test_augmentation_keeps_what_it_should(study):
    x = np.random.default_rng(0).standard_normal((50, 400, 2)).astype(np.float32).cumsum(axis=0)
    rng = np.random.default_rng(1)
    np.testing.assert_allclose(study.augmented(x, rng), x, atol=1e-5)
    noise = study.augmented(x, rng, jitter=0.2) - x
    assert noise.std() == pytest.approx(0.2, rel=0.02) and abs(noise.mean()) < 0.01
    warped = study.augmented(x, rng, warp=0.1)
    np.testing.assert_allclose(warped[[0, -1]], x[[0, -1]], atol=1e-4)
    assert np.abs(warped - x).max() > 0.5 and (warped.max(axis=0) <= x.max(axis=0) + 1e-4).all()
    ramp = np.arange(50, dtype=np.float32)[:, None, None] + np.zeros((1, 400, 1), np.float32)
    shifted = study.augmented(ramp, rng, shift=0.1)
    ways = shifted[25, :, 0] - 25
    assert np.abs(ways).max() <= 4.9 + 1e-4 and np.abs(ways).max() > 4.5
    assert set(np.sign(np.diff(study.augmented(ramp, rng, warp=0.1), axis=0)).ravel()) <= {0.0, 1.0}, (
        "time goes forward"
    )


def test_what_is_seen_so_far_does_not_know_what_comes(study):
    x = study.load("gunpoint")[0][0]
    seen = study.as_seen(x)
    np.testing.assert_allclose(study.as_seen(x[:60]), seen[:60], atol=1e-5)
    walk = np.random.default_rng(0).standard_normal((90, 20, 2)).cumsum(axis=0)
    np.testing.assert_allclose(
        study.as_seen(5 * walk + 3)[5:], study.as_seen(walk)[5:], atol=0.01
    )  # no place, no scale
    by_hand = (x[:91, 7, 0] - x[:91, 7, 0].mean()) / (x[:91, 7, 0].std() + 1e-3)
    assert seen[90, 7, 0] == pytest.approx(by_hand[90], abs=1e-4)
    assert not np.allclose(study.as_seen(x[30:])[:30], seen[30:60], atol=0.1)


def test_beliefs_are_those_of_the_beginnings(study):
    """The belief after step t of a whole recording is the last belief when only its beginning is shown."""
    x = study.load("gunpoint")[0][0][:, :6]
    for reading in study.READINGS:
        setting = {"stride": 3, "reading": reading}
        params = study.network(1, 2, reading).init(np.random.default_rng(0), np.float32)
        whole = study.beliefs(params, x, 2, setting)
        assert whole.shape == (50, 6, 2)
        np.testing.assert_allclose(np.exp(whole).sum(axis=2), 1, atol=1e-5)
        for steps in (1, 20, 50):
            np.testing.assert_allclose(
                study.beliefs(params, x[: 3 * steps], 2, setting)[-1], whole[steps - 1], atol=1e-5
            )


def test_a_short_training_learns(study):
    """The network names what it was shown and most of what it was not, after a few seconds; chance is a half."""
    (x, labels), _, classes = study.load("gunpoint")
    setting, own = {"stride": 5, "reading": "last", "lr": 0.03}, study.folds(labels) == 0
    params, losses = study.learn(x[:, ~own], labels[~own], classes, setting, seed=0, updates=120)
    assert np.mean(losses[:5]) > 0.6 and np.mean(losses[-5:]) < 0.2
    said = study.beliefs(params, x[:, own], classes, setting)[-1].argmax(axis=1)
    assert (said == labels[own]).mean() >= 0.8
    mixed = np.random.default_rng(0).permutation(labels[~own])
    _, hopeless = study.learn(x[:, ~own], mixed, classes, setting, seed=0, updates=120)
    assert np.mean(hopeless[-5:]) > 2 * np.mean(losses[-5:]), (
        "it learned the labels of these tracks, and not any labels"
    )

"""What lesson 20b says and shows, asserted on its record, its saved network and a short training."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from drawings import assert_lines_stay_inside
from evidence import EVIDENCE
from explorables import load
from rnnlab import data_digits

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def lesson():
    """The lesson after all its cells have run."""
    return load(NOTEBOOKS / "20_video_b_captions.ipynb")


@pytest.fixture(scope="module")
def study(lesson):
    """The script that made the record, with the data that the lesson has loaded."""
    return lesson.namespace["study"]


@pytest.fixture(scope="module")
def record():
    return json.loads((EVIDENCE / "captions.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- the record


def test_the_record_is_whole_and_fair(study, record):
    assert study.PILOT_SEED not in study.FRESH_SEEDS
    for kind in study.KINDS:
        pilot = [row for row in record["pilot"] if row["kind"] == kind]
        assert [row["rate"] for row in pilot] == study.RATES
        rate = min((row["validation_loss"], row["rate"]) for row in pilot)[1]
        fresh = [row for row in record["fresh"] if row["kind"] == kind]
        assert [row["seed"] for row in fresh] == list(study.FRESH_SEEDS) and {row["rate"] for row in fresh} == {rate}
        assert all(len(row["loss"]) == study.UPDATES // study.EVERY for row in fresh)
    assert list(record["rivals"]) == list(study.RIVALS)
    for name in ("rates", "updates", "pilot_updates", "batch", "hidden", "maps", "every"):
        assert record["settings"][name] == getattr(study, name.upper())
    for name in ("linear", "by hand"):
        assert all(len(one["validation"]) == len(study.PENALTIES) for one in record["rivals"][name]["chosen"])


def test_the_shares_follow_from_what_was_said(study, record):
    test, _, y = study.data()["test"]
    for row in [*record["fresh"], *record["rivals"].values()]:
        said = study.decoded(row["said"])
        assert said.shape == (8, 600) and row["shares"] == study.shares(said)
        sentences = [" ".join(study.WORDS[word] for word in column if word).replace(" ,", ",") for column in said.T]
        right = np.array([one == caption for one, caption in zip(sentences, test.captions, strict=True)])
        for name, chosen in (("all", right | True), ("seen", ~test.unseen), ("unseen", test.unseen)):
            assert row["shares"][name]["caption"] == pytest.approx(right[chosen].mean(), abs=1e-5)
    assert (study.targets(test.captions) == y).all()
    assert study.application(record) == record["application"]


def test_the_saved_network_gives_the_stored_figure_again(study, record):
    """A few films of 600 may flip where another processor rounds otherwise: their likeliest words are nearly level."""
    net, row = study.load_model(), record["fresh"][0]
    assert (row["kind"], row["seed"]) == ("attention", study.FRESH_SEEDS[0])
    said, sure = net.caption(study.data()["test"][1])
    same = (said == study.decoded(row["said"])).all(dim=0).numpy()
    assert same.sum() >= 597
    np.testing.assert_allclose(sure.numpy()[same], np.array(row["sure"])[same], atol=0.02)
    assert study.shares(said)["all"]["caption"] == pytest.approx(row["shares"]["all"]["caption"], abs=0.005)
    assert study.MODEL.stat().st_size < 400_000


def test_a_random_run_begins_as_stored(study, record):
    """The mean of its first updates, within what rounding can do in so few."""
    row = random.choice(record["fresh"])
    _, losses = study.train(row["kind"], row["rate"], row["seed"], stop=study.EVERY)
    assert losses[0] == pytest.approx(row["loss"][0], rel=0.02), (row["kind"], row["seed"])


def test_a_rival_is_fitted_again(study, record):
    """The paths of the rule by hand do not depend on rounding; its digits may, in a case or two."""
    numbers, _ = study.shift_and_add(study.data()["test"][0].frames[:, :200])
    said = study.questions(study.decoded(record["rivals"]["by hand"]["said"]))[:, :200].numpy()
    routes = [study.paths()[n][0] for n in numbers]
    assert [study.WAYS[way] for way in said[1]] == [route[0] for route in routes]
    assert ["none" if way == 4 else study.WAYS[way] for way in said[2]] == [
        route[1] if len(route) == 2 else "none" for route in routes
    ]


@pytest.mark.full("networks learn in a short training in lessons 17a, 18, 19 and 20a; here a stored run begins again")
def test_a_short_training_learns_to_look(study):
    """Below what the best speaker reaches who sees no film and knows only the place and the word before."""
    y, seen = study.data()["train"][2], study.data()["validation"][2]
    counts = np.full((8, len(study.WORDS), len(study.WORDS)), 1e-3)
    before, after = (torch.cat([torch.zeros_like(one[:1]), one[:-1]]) for one in (y, seen))
    places = np.arange(8)[:, None]
    np.add.at(counts, (places, before.numpy(), y.numpy()), 1)
    p = counts / counts.sum(axis=2, keepdims=True)
    blind = -np.log(p[places, after.numpy(), seen.numpy()])[study.real(seen).numpy()].mean()
    net, losses = study.train("attention", 0.01, seed=7, updates=200)
    assert study.validation_loss(net) < 0.9 * blind and losses[-1] < losses[0]


# ---------------------------------------------------------------- captions, answers, views


def test_answers_and_words_are_the_same_captions(study):
    captions = [data_digits.caption_of(digit, route) for digit in range(10) for route in data_digits.ROUTES]
    y = study.targets(captions)
    assert len({tuple(column.tolist()) for column in y.T}) == 160
    assert (study.spoken(study.questions(y).numpy()) == y).all()
    assert (study.decoded(study.coded(y)) == y).all()
    lengths = [len(caption.replace(",", " ,").split()) for caption in captions]
    assert study.real(y).sum(dim=0).tolist() == [min(length + 1, 8) for length in lengths]


def test_what_counts_as_right(study):
    y = study.data()["test"][2]
    said = y.clone()
    turned = int(torch.nonzero(y[6])[0])
    said[6, turned] = study.WORDS.index("up") + (y[6, turned] - study.WORDS.index("up") + 1) % 4
    right = study.judge(said)
    for name, wrong in (("digit", 0), ("first way", 0), ("second way", 1), ("both ways", 1), ("caption", 1)):
        assert (right[name] == 0).sum() == wrong, name
    assert right["words"][turned] == pytest.approx(7 / 8) and np.delete(right["words"], turned).min() == 1


def test_mixed_frames_are_the_same_frames(study):
    frames = torch.arange(9.0)[:, None, None, None] + 100 * torch.arange(5.0)[None, :, None, None]
    mixed = study.view(frames, "mixed", torch.Generator().manual_seed(0))
    assert (mixed.sort(dim=0).values == frames).all() and (mixed != frames).any()
    assert len({tuple(column.tolist()) for column in (mixed[..., 0, 0] % 100).T}) > 1, "each film in its own order"
    assert (study.view(frames, "first and last", None) == frames[[0, 8]]).all()


# ---------------------------------------------------------------- the network


@pytest.fixture
def net(study):
    torch.manual_seed(random.randrange(1000))
    return study.Captioner("attention").double().eval()


def test_attention_by_hand(study, net):
    states, said = torch.randn(9, 3, study.HIDDEN).double(), torch.randint(20, (4, 3))
    logits, _, alpha = net.say(states, said, states[-1:].contiguous())
    speech = net.speaker(net.embedding(said), states[-1:].contiguous())[0]
    for n, b in itertools.product(range(4), range(3)):
        scores = [float(states[t, b] @ (net.query.weight @ speech[n, b])) / 8 for t in range(9)]
        weights = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(alpha[n, b].detach(), weights, atol=1e-12)
        context = (torch.tensor(weights)[:, None] * states[:, b]).sum(dim=0)
        expected = net.out(torch.cat([speech[n, b], context]))
        torch.testing.assert_close(logits[n, b], expected, rtol=0, atol=1e-12)


def test_what_it_says_is_as_sure_as_the_forced_speaker_finds_it(study, net):
    """Said one by one, and the same words given all at once."""
    frames = torch.rand(9, 6, 20, 20).double()
    said, sure = net.caption(frames)
    states = net.read(frames)
    before = torch.cat([torch.zeros_like(said[:1]), said[:-1]])
    p = net.say(states, before, states[-1:].contiguous())[0].log_softmax(dim=2)
    each = p.gather(2, said[..., None])[..., 0]
    torch.testing.assert_close(
        sure.double(), torch.where(study.real(said), each, 0).sum(dim=0).detach(), rtol=0, atol=1e-5
    )
    assert (p.argmax(dim=2) == said)[study.real(said)].all()


def test_what_and_where_of_the_eye(study, net):
    """What forgets a shift by the stride, where follows it by half a place of the second convolution's grid."""
    field = torch.full((2, 20, 20), 0.2, dtype=torch.float64)  # 0 after the eye's own shift, as its padding
    field[0, 8:10, 8:10] = field[1, 8:10, 10:12] = 2 + torch.rand(2, 2).double()  # bright, far from the borders
    with torch.no_grad():
        net.eye.edges.bias.zero_()
        seen = net.eye(field)
    maps = study.MAPS
    torch.testing.assert_close(seen[0, :maps], seen[1, :maps], rtol=0, atol=1e-9)
    assert (seen[1, 2 * maps :] - seen[0, 2 * maps :]).abs().max() > 0.1


def test_beliefs_are_probabilities(study):
    digit, first, second = study.beliefs(study.load_model(), study.data()["test"][1][:, :20])
    for p in (digit, first, second):
        assert (p >= 0).all() and (p.sum(axis=1) < 1 + 1e-5).all() and p.sum(axis=1).mean() > 0.9


# ---------------------------------------------------------------- the rule by hand, and the intervals


def test_shift_and_add_by_brute_force(study):
    frames = study.data()["test"][0].frames[:, [3, 8]].astype(float)
    numbers, pictures = study.shift_and_add(frames)
    for b in range(2):
        film, best = frames[:, b] - np.median(frames[:, b]), (-1, None, None)
        for n, (_, path) in enumerate(study.paths()):
            for r, c in itertools.product(range(13), repeat=2):
                at = path + (r, c)
                if at.min() >= 0 and at.max() <= 12:
                    mean = np.mean([film[t, i : i + 8, j : j + 8] for t, (i, j) in enumerate(at)], axis=0)
                    best = max(best, ((mean**2).sum(), n, mean), key=lambda one: one[0])
        assert numbers[b] == best[1]
        np.testing.assert_allclose(pictures[b], (best[2] / np.linalg.norm(best[2])).ravel(), atol=1e-9)


def test_intervals_widen_with_what_belongs_together(study):
    values = np.random.default_rng(0).standard_normal((1, 400))
    low, high = study.resampled(values, np.arange(400))
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    low, high = study.resampled(np.repeat(values[:, :100], 4, axis=1), np.repeat(np.arange(100), 4))
    assert high - low == pytest.approx(2 * 1.96 * values[:, :100].std() / 10, rel=0.15)
    assert np.ptp(study.resampled(np.array([[0.0] * 50, [1.0] * 50]), np.arange(50))) == 1, "seeds are drawn too"


# ---------------------------------------------------------------- what the lesson says


@pytest.mark.parametrize("name", ["by_group", "frames_seen"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson.namespace[name])


def test_sentences_name_what_the_record_has(lesson, record):
    ours = [row for row in record["fresh"] if row["kind"] == "attention"]
    mixed = np.mean([row["views"]["mixed"]["all"]["digit"] for row in ours])
    sentence = lesson.explorables["frames_seen"].fn(_Canvas(), view="nine, mixed")
    assert f"digit {100 * mixed:.0f}%" in sentence
    table = lesson.namespace["table"]
    for asked in ("digit", "first way", "second way"):
        for pair in ("seen", "unseen"):
            share = np.mean([row["shares"][pair][asked] for row in ours])
            counts = table(asked, pair)
            assert counts.sum() == 900 and np.trace(counts) / 900 == pytest.approx(share, abs=0.01), (asked, pair)


class _Canvas:
    """Take every call of a drawing function and draw nothing."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None

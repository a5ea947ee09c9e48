"""What lesson 18 says and shows, asserted on its data, and parts of its record computed again."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import rnnlab as rl
from drawings import assert_lines_stay_inside
from evidence import begins_as_stored, script
from explorables import load
from oracles import worst_gap
from rnnlab.ctc_decoding import collapse, edit_distance, greedy

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@pytest.fixture(scope="module")
def loaded():
    return load(NOTEBOOKS / "18_speech.ipynb")


@pytest.fixture(scope="module")
def lesson(loaded):
    """The lesson's namespace after all its cells have run."""
    return loaded.namespace


@pytest.fixture(scope="module")
def study():
    """The script that made the record."""
    return script("speech_ctc")


@pytest.fixture(scope="module")
def streams():
    return script("speech_streams")


@pytest.fixture(scope="module")
def record():
    """What the script stored."""
    return json.loads((NOTEBOOKS / "evidence" / "speech_ctc.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- streams


def test_streams_are_of_different_speakers_and_use_no_test_utterance_twice(streams, study):
    for name, length in (("test", (2, 5)), ("test", (6, 8)), ("validation", (2, 5))):
        part, made = getattr(streams.utterances(), name), streams.fixed(name, length)
        assert {len(one) for one in made} == set(range(length[0], length[1] + 1))
        assert all(len(set(part.labels[one])) == len(one) for one in made)
        if name == "test":
            used = [n for one in made for n in one]
            assert len(set(used)) == len(used)
    twice = [n for pair in study.pairs() for n in pair]
    labels = streams.utterances().test.labels
    assert len(set(twice)) == len(twice) and all(labels[one] == labels[other] for one, other in study.pairs())


def test_a_batch_is_the_utterances_one_behind_the_other(streams):
    part, made = streams.utterances().train, [[3, 40], [100, 7, 200]]
    batch = streams.batch_of(part, made, np.float64)
    for b, one in enumerate(made):
        frames = np.concatenate([part[n] for n in one])
        np.testing.assert_array_equal(batch.x[batch.mask[:, b], b], frames)
        assert not batch.x[len(frames) :, b].any()
    assert streams.wanted(batch) == [tuple(part.labels[one] + 1) for one in made]


# ---------------------------------------------------------------- the network


@pytest.mark.parametrize("bidirectional", [False, True])
def test_its_gradient_is_that_of_torch(streams, bidirectional):
    torch = pytest.importorskip("torch")
    part, rng = streams.utterances().train, np.random.default_rng(0)
    batch = streams.batch_of(part, [streams.stream(part, rng, 2, 3) for _ in range(3)], np.float64)
    model, lengths = streams.network(bidirectional, hidden=5), batch.mask.sum(axis=0)
    params = model.init(rng)
    out = model.loss_and_grads(params, batch, lengths=lengths)
    lstm, head = torch.nn.LSTM(12, 5, bidirectional=bidirectional).double(), torch.nn.Linear(5 + 5 * bidirectional, 10)
    theirs = {"weight_out": head.double().weight, "bias_out": head.bias}
    for name, param in lstm.named_parameters():
        theirs[name if bidirectional else name.removesuffix("_l0")] = param
    with torch.no_grad():
        for name, param in theirs.items():
            param.copy_(torch.tensor(params[name]))
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(batch.x), lengths, enforce_sorted=False)
    h, _ = torch.nn.utils.rnn.pad_packed_sequence(lstm(packed)[0])
    loss = torch.nn.CTCLoss()(head(h).log_softmax(2), *map(torch.tensor, (batch.y[0], lengths, batch.y[1])))
    loss.backward()
    assert out.loss == pytest.approx(loss.item(), rel=1e-10)
    found = {name: param.grad.numpy() for name, param in theirs.items()}
    assert worst_gap(out.grads, found) < 1e-9
    if bidirectional:  # the fault that lengths prevent: the second direction would begin in the padding
        assert worst_gap(model.loss_and_grads(params, batch).grads, found) > 1e-4


def test_a_short_training_learns(streams):
    _, _, curve, _ = streams.train(3, bidirectional=True, lr=0.03, updates=120, every=60)
    first, *_, last = curve
    assert first[3] > 0.9 and last[2] < 0.1 * first[2] and last[3] < 0.5


def test_a_run_begins_as_stored(streams, record):
    row = record["fresh"][2]
    _, _, curve, _ = streams.train(row["seed"], **record["chosen"]["network"], updates=25)
    for found, stored in zip(curve, row["curve"], strict=False):
        begins_as_stored(found[2:3], stored[2:3], rtol=0.02)
    assert curve[1][1] == pytest.approx(row["curve"][1][1], rel=0.02)


# ---------------------------------------------------------------- the rival


def all_paths(scores, price):
    """Return (score, speakers) of every path through the parts, by walking all of them."""
    T, speakers, parts = scores.shape

    def walk(t, speaker, part):
        own = scores[t, speaker, part]
        if t == T - 1:
            if part == parts - 1:
                yield own, (speaker,)
            return
        for total, labels in walk(t + 1, speaker, part):
            yield own + total, labels
        if part < parts - 1:
            for total, labels in walk(t + 1, speaker, part + 1):
                yield own + total, labels
        else:
            for other in range(speakers):
                for total, labels in walk(t + 1, other, 0):
                    yield own - price + total, (speaker, *labels)

    return [path for speaker in range(speakers) for path in walk(0, speaker, 0)]


@pytest.mark.parametrize("T, parts", [(4, 1), (5, 2), (7, 3)])
def test_the_rivals_path_is_the_best_of_all(T, parts):
    rival, caught = script("speech_rival"), 0
    for seed in range(3):
        scores = 3 * np.random.default_rng(seed).normal(size=(T, 9, parts))
        paths = all_paths(scores, 2.0)
        found = tuple(speaker for speaker, _ in rival.best_speakers(scores, 2.0))
        merged = max(paths)[1]
        assert (found == merged) or parts == 1 and found == collapse(merged, blank=-1)
        caught += found != tuple(speaker for speaker, _ in rival.best_speakers(scores, -50.0))
    assert caught, "another price would pass"


def test_the_rival_does_again_what_is_stored(study, record):
    for name, batch in study.cases().items():
        found = study.labels_of(study.rival(batch, **record["chosen"]["rival"]))
        stored = np.array(record["rival"]["edits"][name])
        assert (np.array(study.edits(found, batch)) != stored).sum() <= 1, "rounding may move one stream"


# ---------------------------------------------------------------- the record


def test_the_record_is_whole_and_the_choice_fair(study, record):
    assert not set(study.PILOT_SEEDS) & set(study.FRESH_SEEDS)
    assert len(record["pilot"]) == len(study.GRID) * len(study.PILOT_SEEDS) and len(study.RIVALS) > len(study.GRID)
    assert not any("test" in key for row in record["pilot"] + record["rivals"] for key in row)

    def quality(settings):
        rows = [row for row in record["pilot"] if settings.items() <= row.items()]
        assert [row["seed"] for row in rows] == list(study.PILOT_SEEDS)
        return tuple(np.mean([row[name] for row in rows]) for name in ("validation_error", "validation_loss"))

    assert record["chosen"]["network"] == min(study.GRID, key=quality)
    best = min(record["rivals"], key=lambda row: (row["validation_error"], -row["frames_right"]))
    assert record["chosen"]["rival"].items() <= best.items()
    assert [row["seed"] for row in record["fresh"]] == list(study.FRESH_SEEDS)
    sums = {how: sum(sum(row["edits"]["validation"][how]) for row in record["fresh"])
            for how in record["fresh"][0]["edits"]["validation"]}  # fmt: skip
    assert sums[record["chosen"]["search"]] == min(sums.values())


def test_conclusions_follow_from_what_was_measured(study, record):
    again = json.loads(json.dumps(record))
    study.conclude(again)
    for name, row in again["summary"].items():
        for key, value in row.items():
            np.testing.assert_allclose(value, record["summary"][name][key], atol=1e-9)
    for row, stored in zip(again["application"], record["application"], strict=True):
        assert row.keys() == stored.keys()
        np.testing.assert_allclose(row["difference"], stored["difference"], atol=1e-9)
        assert row["ours"] == pytest.approx(stored["ours"]) and row["baseline"] == pytest.approx(stored["baseline"])


def test_the_interval_of_a_difference_covers_what_it_should(study):
    """On made-up edits with a known difference of 0: about 95 of 100 intervals hold it."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(100):
        each = rng.random(80) * 0.3
        ours, theirs = rng.random((5, 80)) < each, rng.random(80) < each
        low, high = study.difference(ours, theirs, np.ones(80), draws=300)
        held += low <= 0 <= high
    assert 85 <= held <= 100


def test_the_saved_network_gives_the_stored_errors(lesson, record):
    found = greedy(lesson["said"](lesson["KEPT"][-1]), lesson["LENGTHS"])
    edits = np.array([edit_distance(one, other) for one, other in zip(found, lesson["WANTED"], strict=True)])
    assert (edits != np.array(record["fresh"][0]["edits"]["test"]["greedy"])).sum() <= 2, "rounding may move a stream"


def test_the_saved_listener_is_the_network_of_lesson_14(lesson, record):
    assert record["speakers"]["test_accuracy"] == pytest.approx(record["speakers"]["in_lesson_14"], abs=1e-9)
    assert lesson["right_after"](29) == pytest.approx(record["speakers"]["test_accuracy"], abs=2.5 / 370)


# ---------------------------------------------------------------- what the lesson says


@pytest.mark.parametrize("labels, T", [([1, 2, 3], 7), ([1, 1, 1], 6), ([2, 2, 5, 5], 8), ([4], 1), ([3, 3], 2)])
def test_the_number_of_paths_of_exercise_1(lesson, labels, T):
    S, r = len(labels), sum(one == other for one, other in zip(labels, labels[1:], strict=False))
    assert round(lesson["even"](T, labels)[1]) == (math.comb(T + S - r, 2 * S) if S + r <= T else 0)


def test_the_lessons_own_sum_is_that_of_the_module(lesson):
    from rnnlab.ctc import ctc_loss

    rng = np.random.default_rng(4)
    for labels in ([], [1], [1, 1], [3, 1, 3]):
        logits = rng.normal(size=(9, 1, 4))
        p = lesson["probability"](lesson["softmax"](logits[:, 0]), labels)
        given = np.array([labels], int).reshape(1, -1), np.array([9]), np.array([len(labels)])
        assert -np.log(p) == pytest.approx(ctc_loss(logits, *given, reduction="sum")[0], rel=1e-10)


def test_the_explorables_say_what_the_data_say(lesson, loaded):
    from drawings import axes_of

    for state in loaded.explorables["mistakes"].grid():
        b = lesson["ERRORS"][state["error"] - 1]
        (ax,) = axes_of(lesson["mistakes"], **state)
        sentence = lesson["mistakes"](ax, **state)
        wanted, found = (lesson["spoken"](lesson[name][b]) for name in ("WANTED", "FOUND"))
        assert f"Right is {wanted}. The network says {found}" in sentence
        assert lesson["FOUND"][b] != lesson["WANTED"][b]
    last = max(lesson["KEPT"])
    for stream, b in enumerate(lesson["PICKED"], start=1):
        axes = axes_of(lesson["learning"], update=last, stream=stream)
        assert f"it says {lesson['spoken'](lesson['FOUND'][b])}," in lesson["learning"](
            axes, update=last, stream=stream
        )
    assert "it says nothing" in lesson["learning"](
        axes_of(lesson["learning"], update=25, stream=1), update=25, stream=1
    )
    wrong = len(lesson["WRONG"])
    for utterance in range(1, len(lesson["SHOWN"]) + 1):
        axes = axes_of(lesson["listening"], utterance=utterance)
        assert ("is right" in lesson["listening"](axes, utterance=utterance)) == (utterance > wrong)


def test_the_confusions_count_each_utterance_once(lesson):
    assert lesson["CONFUSED"].sum() == sum(map(len, lesson["WANTED"]))
    assert (
        lesson["CONFUSED"].sum(axis=1) == np.bincount([n for one in lesson["WANTED"] for n in one], minlength=10)[1:]
    ).all()


@pytest.mark.parametrize("name", ["listening", "learning", "paths", "mistakes"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])


def test_the_network_is_small_enough_for_the_page(lesson):
    for name in ("speech_ctc_model.npz", "speech_speakers_model.npz"):
        assert (NOTEBOOKS / "evidence" / name).stat().st_size <= 400_000
    assert isinstance(lesson["model"], rl.Model)

"""What lesson 17b says and shows, recomputed from its record and its stored network, and a short training."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import rnnlab as rl
from drawings import assert_lines_stay_inside, axes_of
from evidence import EVIDENCE, script
from explorables import load
from rnnlab import datasets
from rnnlab.data_dates import analogies
from rnnlab.decoding import beam_search, greedy_search

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
START, END = datasets.Alphabet.START, datasets.Alphabet.END


@pytest.fixture(scope="module")
def lesson():
    """The lesson after all its cells have run."""
    return load(NOTEBOOKS / "17_language_b_translation.ipynb")


@pytest.fixture(scope="module")
def study():
    """The script that made the record."""
    torch.set_num_threads(1)
    return script("translation")


@pytest.fixture(scope="module")
def net():
    """The networks of the script."""
    return script("translation_model")


@pytest.fixture(scope="module")
def record():
    """What the script stored."""
    return json.loads((EVIDENCE / "translation.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def data(load_data):
    return load_data("dates")


# ---------------------------------------------------------------- the network


@pytest.mark.parametrize("score", ["dot", "additive"])
def test_torch_attention_is_that_of_the_module_with_its_derivatives(net, score):
    """Contexts, weights and gradients, on random numbers; the module's own are checked by finite differences."""
    rng = np.random.default_rng(random.randrange(1000))
    model = rl.AttentionModel(rl.GRUCell(3, 6), 5, rl.cross_entropy, score, attention_size=4)
    params, h = model.init(rng), rng.standard_normal((7, 2, 6))
    steps = np.arange(7)
    outputs, attended = model.read(params, h, steps)
    d_outputs = rng.standard_normal(outputs.shape)
    grads, d_h = model.read_back(params, h, steps, attended, d_outputs)
    twin = net.Attention(6, 6, 4, score).double()
    named = {"query.weight": "weight_query", "key.weight": "weight_key", "score": "weight_score"}
    twin.load_state_dict({name: torch.from_numpy(params[named[name]]) for name in twin.state_dict()})
    states = torch.from_numpy(h).requires_grad_()
    context, weights = twin(states, states, torch.ones(7, 7, dtype=torch.bool).triu(1)[None])
    both = torch.cat([states, context.transpose(0, 1)], dim=-1)
    logits = both @ torch.from_numpy(params["weight_out"]).T + torch.from_numpy(params["bias_out"])
    logits.backward(torch.from_numpy(d_outputs))
    np.testing.assert_allclose(weights.detach(), attended[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(logits.detach(), outputs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(states.grad, d_h, rtol=0, atol=1e-12)
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(parameter.grad, grads[named[name]], rtol=0, atol=1e-12)


def small(net, data, head, count=4):
    torch.manual_seed(0)
    alphabets = datasets.Alphabet.of(map(net.symbols, data.train.sources)), datasets.Alphabet.of(data.train.targets)
    return net.Translator(*alphabets, head, hidden=16, size=8), data.train.take(range(0, 13_200, 13_200 // count))


@pytest.mark.parametrize("head", ["none", "dot", "additive"])
def test_padding_and_company_change_nothing(net, data, head):
    model, pairs = small(net, data, head)
    (numbers, lengths, targets), *_ = net.batches(pairs, model, len(pairs))
    with torch.no_grad():
        together = model.decode(targets[:-1], *(model.encode(numbers, lengths)[n] for n in (1, 0, 2)))[0]
        for b in range(len(pairs)):
            (one, length, target), *_ = net.batches(pairs.take([b]), model, 1)
            states, state, padding = model.encode(one, length)
            alone = model.decode(target[:-1], state, states, padding)[0]
            torch.testing.assert_close(alone[:, 0], together[: len(target) - 1, b], atol=1e-5, rtol=1e-4)


def test_teacher_forcing_is_the_sum_over_single_steps(net, data):
    """A pair's loss, from one call with the true characters, against the searcher that goes step by step."""
    model, pairs = small(net, data, "dot")
    for b in range(len(pairs)):
        (numbers, lengths, targets), *_ = net.batches(pairs.take([b]), model, 1)
        loss = model(numbers, lengths, targets).item() * (len(targets) - 1)
        step, state = net.searcher(model, pairs.sources[b])
        total, last = 0.0, START
        for symbol in targets[1:, 0].tolist():
            scores, state = step(state, np.array([last]))
            total, last = total - scores[0, symbol], symbol
        assert total == pytest.approx(loss, rel=1e-4)


@pytest.mark.full("networks learn in a short training in lessons 17a, 18, 19 and 20a; here a stored run begins again")
def test_a_short_training_learns_to_copy_and_reorder(net, data):
    """English medium and long dates into Chinese: attention gets a part of them in some seconds, without it none."""
    chosen = [b for b, (way, kind) in enumerate(zip(data.train.directions, data.train.kinds, strict=True))
              if way == ("en", "zh") and kind in ("long date", "medium date")]  # fmt: skip
    pairs, losses, exact = data.train.take(chosen), {}, {}
    for head in ("dot", "none"):
        model, _ = small(net, data, head)
        model = net.Translator(*model.alphabets, head, hidden=48)
        losses[head] = net.train(model, pairs, lr=0.02, seed=0, updates=220)
        texts, _ = net.greedy(model, pairs.take(range(200)))
        exact[head] = np.mean([text == target for text, target in zip(texts, pairs.targets[:200], strict=True)])
    ends = {head: one[-20:].mean() for head, one in losses.items()}
    assert ends["dot"] < 0.5 * ends["none"] and losses["dot"][:5].mean() > 3
    assert exact["dot"] > exact["none"] + 0.2


# ---------------------------------------------------------------- the record


def test_the_record_is_whole_and_fair(study, record):
    settings = record["settings"]
    assert settings["rates"] == study.RATES and settings["seeds"] == list(study.SEEDS)
    assert study.PILOT_SEED not in study.SEEDS
    for head in study.HEADS:
        pilot = {row["lr"]: row["validation_loss"] for row in record["pilot"] if row["head"] == head}
        fresh = [row for row in record["fresh"] if row["head"] == head]
        assert list(pilot) == study.RATES and {row["lr"] for row in fresh} == {min(pilot, key=pilot.get)}
        assert [row["seed"] for row in fresh] == list(study.SEEDS)
        assert all(row["updates"] == study.UPDATES for row in fresh)
        assert all({name: len(one) for name, one in row["right"].items()}
                   == {"test": 1440, "decade": 300, "thousands": 300} for row in fresh)  # fmt: skip
    low, high = sorted(settings["weights"].values())
    assert high < 1.2 * low and len(record["baseline"]["trials"]) == len(study.RATES)
    assert not any("right" in row for row in record["pilot"]), "settings were chosen on the validation part"


def test_the_row_of_the_table_follows_from_the_bits(study, record, data):
    row = record["application"][0]
    ours = np.array([study.numbers(one["right"]["test"]) for one in record["fresh"] if one["head"] == "dot"])
    baseline = study.numbers(record["baseline"]["right"]["test"])
    assert row["ours"] == pytest.approx(100 * ours.mean()) and row["baseline"] == pytest.approx(100 * baseline.mean())
    difference = row["ours"] - row["baseline"]
    assert row["difference"][0] < difference < row["difference"][1]
    again = study.interval(ours, baseline, study.english(data.test), draws=500)
    np.testing.assert_allclose([100 * one for one in again], row["difference"], atol=1.0)


def test_the_interval_covers_what_it_should(study):
    """Groups of equal cases count once: ten copies of each case widen nothing and narrow nothing."""
    rng = np.random.default_rng(1)
    ours = rng.random((4, 200)) < 0.8
    one = study.interval(ours, np.zeros(200), np.arange(200), draws=1000)
    copies = study.interval(np.repeat(ours, 10, axis=1), np.zeros(2000), np.repeat(np.arange(200), 10), draws=1000)
    naive = study.interval(np.repeat(ours, 10, axis=1), np.zeros(2000), np.arange(2000), draws=1000)
    assert one[0] < 0.8 < one[1] and copies == pytest.approx(one, abs=0.01)
    assert naive[1] - naive[0] < 0.8 * (one[1] - one[0])


def test_the_baseline_is_as_stored(study, record, data):
    """Exactly: it compares characters and counts, and rounds nothing."""
    trials = {(one["words"], one["group"]): one["validation"] for one in record["baseline"]["trials"]}
    assert max(trials.values()) == data.baseline.value
    tuned, known = analogies(data.train), study.numbers(record["baseline"]["right"]["test"])
    for b in random.sample(range(1440), 200):
        assert (tuned.translate(data.test.sources[b]) == data.test.targets[b]) == known[b]


@pytest.mark.full("the best of the trials, which is the baseline, is made again")
def test_another_trial_of_the_baseline_is_as_stored(study, record, data):
    """Exactly, as above."""
    trials = {(one["words"], one["group"]): one["validation"] for one in record["baseline"]["trials"]}
    plain = study.Analogies(data.train, lambda source: source[:4], study.words)
    right = [plain.translate(source) == target for source, target in data.validation]
    assert trials["words", "language"] == np.mean(right)


def test_the_stored_network_says_again_what_it_said(net, record, data):
    """All of the texts but a few: another processor rounds otherwise, and two characters can be nearly as probable."""
    model = net.load(EVIDENCE / "translation_model.npz")
    texts, shares = net.greedy(model, data.test)
    same = np.array([one == other for one, other in zip(texts, record["saved"]["texts"], strict=True)])
    assert same.mean() > 0.995
    np.testing.assert_allclose(shares[same], np.array(record["saved"]["shares"])[same], atol=0.02)
    stored = np.mean([one == target for one, target in zip(record["saved"]["texts"], data.test.targets, strict=True)])
    first = next(row for row in record["fresh"] if row["head"] == "dot")
    assert stored == pytest.approx(first["right"]["test"].count("1") / 1440, abs=0.01), (
        "half precision costs next to none"
    )
    assert (EVIDENCE / "translation_model.npz").stat().st_size < 400_000


def test_searches_agree_where_they_must(net, record, data):
    """Where greedy has more than one half, a beam finds the same; and what it finds has the probability it says."""
    model = net.load(EVIDENCE / "translation_model.npz")
    shares = np.array(record["saved"]["shares"])
    for b in [*random.sample(list(np.flatnonzero(shares > 0.55)), 5), *np.argsort(shares)[:5]]:
        step, first = net.searcher(model, data.test.sources[b])
        best = beam_search(step, first, START, END, 42, 8)[0]
        if shares[b] > 0.55:
            assert best.symbols == greedy_search(step, first, START, END, 42).symbols
        total, last, state = 0.0, START, first
        for symbol in best.symbols:
            scores, state = step(state, np.array([last]))
            total, last = total + scores[0, symbol], symbol
        assert total == pytest.approx(best.log_prob, abs=1e-3)  # one alone and eight at once round otherwise


@pytest.mark.parametrize("head", ["dot", "none"])
def test_a_random_run_begins_as_stored(study, net, record, data, head):
    """Its first 25 updates, in which rounding has not grown yet."""
    row = random.choice([row for row in record["fresh"] if row["head"] == head])
    torch.manual_seed(row["seed"])
    model, losses = net.Translator(*study.alphabets(data), head), []

    class Enough(Exception):
        pass

    def report(loss):
        losses.append(loss)
        if len(losses) == study.EVERY:
            raise Enough

    with pytest.raises(Enough):
        net.train(model, data.train, row["lr"], row["seed"], study.UPDATES, report=report)
    assert np.mean(losses) == pytest.approx(row["curve"][0], rel=0.01)


# ---------------------------------------------------------------- the page


def test_the_map_shows_the_weights_and_the_day_crosses_the_month(lesson):
    space = lesson.namespace
    for example, b in space["CASES"].items():
        source, weights = space["reading"](b)
        (ax,) = axes_of(lesson.explorables["attention_map"], example=example)
        places, areas = ax.collections[0].get_offsets(), ax.collections[0].get_sizes()
        for (s, t), area in zip(places[::7], areas[::7], strict=True):
            assert area == pytest.approx(60 * weights[int(t), max(0, int(s))], rel=1e-5)
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
        assert len(source) == weights.shape[1]
        assert places[:, 0].max() < ax.get_xlim()[1] and places[:, 1].max() < ax.get_ylim()[0]
    assert len(space["CASES"]) == 12


def test_lengths_and_sentences(lesson):
    space = lesson.namespace
    for languages in ("all", "en to fr"):
        (ax,) = axes_of(lesson.explorables["by_length"], languages=languages)
        chosen = (space["ways"] == languages) | (languages == "all")
        share = space["right"]("dot")[:, chosen].mean()
        assert f"with attention {share:.0%}." in lesson.explorables["by_length"](ax, languages)
    assert_lines_stay_inside(lesson.explorables["by_length"])


def test_every_mistake_is_one(lesson, record, data):
    space = lesson.namespace
    wrong = [b for b in range(1440) if record["saved"]["texts"][b] != data.test.targets[b]]
    assert sorted(space["WRONG"]) == wrong and str(len(wrong)) == lesson.glued["wrong"]
    for mistake in random.sample(range(1, 1 + min(60, len(wrong))), 5):
        (ax,) = axes_of(lesson.explorables["mistakes"], mistake=mistake)
        b = space["WRONG"][mistake - 1]
        heights = [bar.get_height() for bar in ax.patches]
        assert len(heights) == len(record["saved"]["texts"][b]) + 1
        assert np.prod(heights) == pytest.approx(record["saved"]["shares"][b], abs=0.02)


def test_candidates_are_drawn_with_their_probabilities(lesson):
    space = lesson.namespace
    for which in space["LABELS"]:
        for width in (1, 5):
            (ax,) = axes_of(lesson.explorables["kept"], which=which, width=width)
            found = space["candidates"](space["LABELS"][which], width)
            np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [np.exp(c.log_prob) for c in found])
            assert max(np.exp(c.log_prob) for c in found) < 0.6

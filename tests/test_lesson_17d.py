"""What lesson 17d says and shows, on its data; its record computed again in part, its model retrained a while."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import rnnlab as rl
from drawings import assert_lines_stay_inside
from evidence import begins_as_stored, script
from explorables import load
from rnnlab import datasets
from rnnlab.ngrams import NGrams

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
torch.set_num_threads(1)


def _axes(panels):
    return [Figure().subplots() for _ in range(panels)]


@pytest.fixture(scope="module")
def lesson():
    return load(NOTEBOOKS / "17_language_d_characters.ipynb").namespace


@pytest.fixture(scope="module")
def study():
    return script("characters")


@pytest.fixture(scope="module")
def record():
    return json.loads((NOTEBOOKS / "evidence" / "characters.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def docs():
    return datasets.load("python_docs")


@pytest.fixture(scope="module")
def same_text(record, docs):
    """Whether the text here is the one of the record: each release of Python has another."""
    return record["made"]["text"].rsplit(" ", 1)[1] == docs.source.rsplit(" ", 1)[1]


@pytest.fixture(scope="module")
def stored(study):
    """The stored model in PyTorch, float32."""
    params, symbols = study.load(NOTEBOOKS / "evidence" / "characters_model.npz")
    model = study.CharacterLSTM(symbols)
    names = {"embedding.weight": "embedding", "readout.weight": "weight_out", "readout.bias": "bias_out"}
    model.load_state_dict({
        name: torch.tensor(params[names.get(name, name.removeprefix("lstm.").removesuffix("_l0"))]).float()
        for name in model.state_dict()
    })  # fmt: skip
    return model


# ---------------------------------------------------------------- the model and its equations


def test_the_stored_model_costs_what_the_record_says(study, stored, record, docs, same_text):
    """Stored as float16: a thousandth of a bit. Another release's text has other topics and words."""
    text = docs.test.text
    bits = study.per_character(study.lstm_bits(stored, text), text)
    row = record["fresh"][0]
    assert row["trained"] == "carried" and row["seed"] == record["settings"]["seeds"][0]
    assert bits == pytest.approx(row["bits"]["carried"], abs=0.003 if same_text else 0.3)
    again = study.per_character(study.lstm_bits(stored, text, reset=study.WINDOW), text)
    assert again == pytest.approx(row["bits"]["reset"], abs=0.003 if same_text else 0.3)
    assert (NOTEBOOKS / "evidence" / "characters_model.npz").stat().st_size < 400_000


def test_the_equations_in_numpy_are_those_of_torch_and_of_the_module(study, stored, lesson):
    sampling, text = lesson["sampling"], 'The "if" statement (see below) is\n   >>> if x:\n'
    params, symbols = lesson["PARAMS"], lesson["SYMBOLS"]
    numbers = study.encode(text, symbols)
    ours, (h, c) = sampling.read(params, numbers)
    with torch.no_grad():
        theirs, state = stored.double()(torch.tensor(numbers)[:, None])
    stored.float()
    np.testing.assert_allclose(ours, theirs[:, 0].numpy(), atol=1e-9)
    np.testing.assert_allclose(h, state[0][0].numpy(), atol=1e-10)
    cell = rl.LSTMCell(study.EMBEDDING, study.HIDDEN)
    states, (_, memory), _ = rl.unroll(cell, params, params["embedding"][numbers][:, None])
    np.testing.assert_allclose(states[-1], h, atol=1e-10)
    np.testing.assert_allclose(memory, c, atol=1e-9)
    swapped = params | {"weight_hh": np.roll(params["weight_hh"], study.HIDDEN, axis=0)}
    assert np.abs(sampling.read(swapped, numbers)[0] - ours).max() > 0.1, "another order of gates would pass"


@pytest.mark.full("networks learn in a short training in lessons 17a, 18, 19 and 20a; here a stored run begins again")
def test_a_short_training_learns(study, docs):
    model, curve = study.train(docs, True, 0.012, seed=5, epochs=1, stop=140)
    frequencies = NGrams(1, docs.classes).learn(docs.train.text).bits(docs.validation.text[:8000]).mean()
    bits = study.lstm_bits(model, docs.validation.text[:8000]).mean()
    assert curve[0] > 4 > curve[-1] and bits < frequencies - 0.8


def test_a_random_run_begins_as_stored(study, record, docs, same_text):
    """The first 60 updates, where rounding has not grown yet."""
    row = random.choice(record["fresh"])
    _, curve = study.train(docs, row["trained"] == "carried", row["lr"], row["seed"], stop=60)
    begins_as_stored(curve, row["curve"][:3], rtol=0.01 if same_text else 0.15)


def test_windows_go_on_where_the_last_one_ended(study, docs):
    x, y = study.windows(docs.train.text, docs.classes)
    assert x.shape[1:] == (study.WINDOW, study.STREAMS)
    for stream in (0, 7):
        flat, answers = x[:, :, stream].flatten(), y[:, :, stream].flatten()
        assert torch.equal(flat[1:], answers[:-1])
        text = "".join(docs.classes[n] for n in flat[:300])
        assert text in docs.train.text


def test_a_carried_state_takes_no_gradient_along(study, docs):
    """The gradient of a window does not reach the one before, and the state does."""
    model = study.CharacterLSTM(docs.classes)
    x, _ = study.windows(docs.train.text, docs.classes)
    _, state = model(x[0])
    detached = tuple(part.detach() for part in state)
    from_zero, carried = model(x[1])[0], model(x[1], detached)[0]
    assert not torch.allclose(from_zero[0], carried[0])
    assert carried.requires_grad and not detached[0].requires_grad and state[0].requires_grad


def test_costs_in_pieces_are_those_in_one(study, stored):
    text = "The following table lists the operators (in order).\n" * 4
    numbers = torch.tensor(study.encode("\n" + text, stored.symbols))
    with torch.no_grad():
        logits = stored(numbers[:-1, None])[0][:, 0].log_softmax(dim=-1)
    whole = -logits[range(len(text)), numbers[1:]].numpy() / np.log(2)
    slow = study.lstm_bits(stored, text, learn=1e-12)  # in windows of 64, and learning nothing
    np.testing.assert_allclose(whole, slow, atol=1e-3)
    before = {name: value.clone() for name, value in stored.state_dict().items()}
    learned = study.lstm_bits(stored, text, learn=0.3)
    assert learned.sum() < whole.sum(), "a text that repeats itself gets cheaper for one that learns on"
    assert all(torch.equal(value, before[name]) for name, value in stored.state_dict().items())


def test_the_first_window_that_begins_at_zero_is_the_start_of_the_text(study, stored):
    text = "It is written as None. " * 10
    reset, carried = study.lstm_bits(stored, text, reset=50), study.lstm_bits(stored, text)
    again = study.lstm_bits(stored, text[50:100])
    assert len(reset) == len(text) and not np.allclose(reset[50:60], carried[50:60])
    assert abs(again[5:].mean() - reset[55:100].mean()) < 0.5


# ---------------------------------------------------------------- the record


def test_everything_was_chosen_on_validation_with_as_many_trials(study, record):
    pilot, settings = record["pilot"], record["settings"]
    for name in ("carried", "reset", "lstm learning", "ngrams learning"):
        assert len(pilot[name]) == 4, name
        ladder = sorted(map(float, pilot[name]))
        if name in ("carried", "reset"):
            assert ladder[0] < float(study.lowest(pilot[name])) < ladder[-1], f"{name}: the best is at an edge"
    assert all(len(own) == 4 for own in pilot["ngrams"].values()) and len(pilot["ngrams"]) == 10
    for row in record["fresh"]:
        assert row["lr"] == float(study.lowest(pilot[row["trained"]])) and row["seed"] in settings["seeds"]
    assert settings["pilot_seed"] not in settings["seeds"] and len(record["fresh"]) == 6
    lowest = {order: min(own.values()) for order, own in pilot["ngrams"].items()}
    assert record["ngrams"]["order"] == int(min(lowest, key=lowest.get))


def test_n_grams_and_compressors_cost_what_the_record_says(study, record, docs, same_text):
    """Rounding moves a mean over all characters by some 1e-13 bits; another Python has another text."""
    text = docs.test.text
    for order in (1, random.choice([2, 3, 4])):
        discount = float(study.lowest(record["pilot"]["ngrams"][str(order)]))
        model = NGrams(order, docs.classes, discount).learn(docs.train.text)
        bits = study.per_character(model.bits(text, study.BEFORE), text)
        assert bits == pytest.approx(record["ngrams"]["test"][str(order)], abs=1e-9 if same_text else 0.4)
        if same_text:
            assert study.ngram_samples(model, study.PROMPTS[0]) == record["ngrams"]["samples"][str(order)]
    for name, size in study.COMPRESSORS.items():
        given = study.compressed(size, text, docs.train.text)
        margin = 0.02 if same_text else 0.4  # libraries of other versions compress a little otherwise
        assert given == pytest.approx(record["compressors"][name]["given"], abs=margin)


def test_what_a_text_adds_to_a_file(study):
    size, known, text = study.COMPRESSORS["xz"], "the cat sat on the mat. " * 40, "the dog sat on the cat. "
    assert study.compressed(size, text, known) < study.compressed(size, text)
    assert study.compressed(len, "é", "aa") == 16, "bits of UTF-8 for each character"


def test_the_sums_of_blocks_are_the_figures(study, record):
    characters = record["settings"]["characters"]["test"]
    escape = study.ESCAPE * record["settings"]["unknown"] / characters
    for row in record["fresh"][:3]:
        assert sum(row["blocks"]) / characters + escape == pytest.approx(row["bits"]["carried"], abs=1e-5)
        assert sum(row["learning_blocks"]) / characters + escape == pytest.approx(row["learning"], abs=1e-5)
        assert sum(bits for _, bits in row["kinds"].values()) == pytest.approx(sum(row["blocks"]), abs=0.1)
    counted = record["ngrams"]
    assert sum(counted["blocks"]) / characters + escape == pytest.approx(
        counted["test"][str(counted["order"])], abs=1e-5
    )
    assert sum(number for number, _ in counted["kinds"].values()) == characters
    sizes = study.block_sizes("x" * characters)
    for name, ours, baseline in (("lstm", "blocks", "blocks"), ("learning", "learning_blocks", "learning_blocks")):
        interval = study.difference([row[ours] for row in record["fresh"][:3]], counted[baseline], sizes)
        np.testing.assert_allclose(interval, record["differences"][name], atol=1e-9)
    assert study.application(record) == record["application"]


def test_an_interval_covers_what_is_known(study):
    """Of simulated differences with a mean of 0.1, most intervals have it inside; a constant one has no width."""
    rng, inside, sizes = np.random.default_rng(1), 0, np.full(80, 500)
    for _ in range(40):
        gaps = rng.normal(50, 40, (1, 80)) + rng.normal(0, 3, (3, 1))
        low, high = study.difference(gaps, np.zeros(80), sizes, draws=300)
        inside += low < 0.1 < high
    assert inside >= 33
    assert study.difference(np.full((3, 80), 50.0), np.zeros(80), sizes, draws=50) == pytest.approx([0.1, 0.1])


def test_kinds_of_characters(study):
    text = "An if_x, 42\n"
    first, second, later, space, line, digit, other = study.KINDS
    expected = [first, second, space, first, second, second, later, other, space, digit, digit, line]
    assert [study.kind(text, i) for i in range(len(text))] == expected


# ---------------------------------------------------------------- what it remembers


def test_brackets_by_hand():
    probes = script("characters_probes")
    text = "x" * 250 + "f(abc) (a(b)c) [d(e] f) ()" + "(" + "y" * 70 + ")"
    found = probes.find_brackets(text)
    assert [text[opened : close + 1] for opened, close in found] == ["(abc)", "(b)"]
    read = probes.tails(text, found)
    assert all(len(one) == probes.TAIL for own in read.values() for one in own)
    ends = [read[kind][n][-5:] for kind, n in (("round", 0), ("none", 0), ("square", 1))]
    assert ends == ["f(abc", "f abc", " (a[b"]


def test_n_grams_know_nothing_of_brackets_that_they_do_not_see(record):
    order = record["ngrams"]["order"]
    far = [one for one in record["brackets"] if one["inside"] >= order - 1]
    near = [one for one in record["brackets"] if one["inside"] < order - 1]
    assert len(far) > 20 and all(one["ngram"] == 0 for one in far) and any(one["ngram"] != 0 for one in near)


def test_the_brackets_of_the_stored_model(study, stored, record, docs, same_text):
    """The record has the mean of three models; one of them must agree with it in the mean over brackets."""
    probes, text = script("characters_probes"), docs.validation.text + docs.test.text
    counts = NGrams(2, docs.classes).learn(docs.train.text[:5000])
    again = probes.brackets(text, [stored], counts, study.encode)
    for low, high in probes.REACHES:
        ours, theirs = (
            [one["lstm"] for one in found if low <= one["inside"] <= high] for found in (again, record["brackets"])
        )
        assert not same_text or len(ours) == len(theirs)
        assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=1.0 if same_text else 2.5)


def test_cost_by_characters_seen(stored, study, docs):
    """Against one window at a time."""
    probes = script("characters_probes")
    numbers = study.encode(docs.test.text[:340], stored.symbols)
    ours = probes.by_context(stored, numbers)
    starts = range(0, len(numbers) - probes.LENGTH - 1, probes.STRIDE)
    with torch.no_grad():
        read = [stored(torch.tensor(numbers[s : s + 4])[:, None])[0][:, 0].log_softmax(-1) for s in starts]
    first = [-z[range(4), numbers[s + 1 : s + 5]] for z, s in zip(read, starts, strict=True)]
    mean = torch.stack(first).double().mean(dim=0).numpy() / np.log(2)
    np.testing.assert_allclose(ours[:3], [mean[0], mean[1], mean[2:4].mean()], rtol=1e-4)


# ---------------------------------------------------------------- writing


def test_the_texts_it_writes_are_those_of_the_record(lesson, record):
    """In float64 another processor's rounding is some 1e-13 of a probability, so that no choice changes."""
    assert lesson["WRITTEN"] == record["samples"]
    assert all(len(text) == lesson["sampling"].CHARACTERS for texts in record["samples"].values() for text in texts)


def test_temperature(lesson):
    sampling = lesson["sampling"]
    z = np.array([2.0, 1.0, -1.0])
    for tau in (0.2, 1.0, 3.0):
        p = sampling.softmax(z, tau)
        assert p.sum() == pytest.approx(1) and p[0] / p[1] == pytest.approx(np.exp(1 / tau))
        colder, hotter = (lesson["entropy"](sampling.softmax(z, tau + step)) for step in (-1e-5, 1e-5))
        slope = (hotter - colder) / 2e-5
        variance = p @ z**2 - (p @ z) ** 2
        assert slope == pytest.approx(variance / tau**3 / np.log(2), rel=1e-4), "the exercise's formula"


def test_a_draw_follows_the_probabilities(lesson):
    sampling, rng = lesson["sampling"], np.random.default_rng(0)
    p = np.array([0.5, 0.2, 0.3])
    drawn = sampling.choose(np.tile(p, (20_000, 1)), rng.random(20_000))
    np.testing.assert_allclose(np.bincount(drawn) / 20_000, p, atol=0.015)
    assert sampling.choose(np.array([[0.5, 0.5 - 1e-17]]), np.array([1 - 1e-17])) == [1]


def test_cold_texts_have_lower_costs_for_their_writer(lesson, study, stored):
    costs = [study.lstm_bits(stored, lesson["WRITTEN"]["The "][n]).mean() for n in (0, 8, 13)]
    assert costs[0] < costs[1] < costs[2]


# ---------------------------------------------------------------- the page


def test_surprises_are_sorted_and_apart(lesson):
    places, bits = lesson["PLACES"], lesson["LSTM_BITS"]
    assert len(places) == 30 and all(a >= b for a, b in zip(bits[places], bits[places][1:], strict=False))
    assert min(np.diff(sorted(places))) >= 60 and bits[places[0]] > 12
    sentence = lesson["surprised"](_axes(2), rank=1)
    assert sentence.startswith("Rank 1") and f"{bits[places[0]]:.1f} bits" in sentence


def test_bits_on_the_page_are_those_of_torch(lesson, study, stored):
    """Float64 in NumPy against float32 in PyTorch, over the first thousand characters."""
    theirs = study.lstm_bits(stored, lesson["TEXT"][:1000])
    np.testing.assert_allclose(lesson["LSTM_BITS"][:1000], theirs, atol=5e-3)


def test_a_mixture_is_better_than_both(lesson):
    """What exercise 4 says."""
    lstm, ngram = 2.0 ** -lesson["LSTM_BITS"], 2.0 ** -lesson["NGRAM_BITS"]
    mixed = -np.log2(0.5 * lstm + 0.5 * ngram).mean()
    assert mixed < min(lesson["LSTM_BITS"].mean(), lesson["NGRAM_BITS"].mean()) - 0.02


@pytest.mark.parametrize("name", ["orders", "context", "open_brackets", "temperature", "surprised"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])


def test_sentences_have_the_record_s_numbers(lesson, record):
    said = lesson["orders"](_axes(2), order=5)
    assert f"{record['ngrams']['test']['5']:.3f} bits" in said
    said = lesson["context"](_axes(1)[0], seen="1", trained="reset")
    assert f"{np.mean([row['by_context'][0] for row in record['fresh'][3:]]):.3f}" in said
    said = lesson["open_brackets"](_axes(1)[0], span="5–8", instead="a space")
    values = [one["lstm"] for one in record["brackets"] if 5 <= one["inside"] <= 8]
    assert said.startswith(f"{len(values)} brackets") and f"{2 ** np.mean(values):.3g} times" in said

"""What lesson 16 says and shows, asserted on its record, and random parts of the record computed again."""

import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from drawings import assert_lines_stay_inside
from evidence import EVIDENCE, script
from explorables import load
from rnnlab.datasets import load as dataset

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(NOTEBOOKS / "16_better_generalization.ipynb").namespace


@pytest.fixture(scope="module")
def study():
    """The script that made the record."""
    return script("generalization")


@pytest.fixture(scope="module")
def record():
    """The tables of the tuning and of the comparison, and what is said about them."""
    tables = [pd.read_parquet(EVIDENCE / f"generalization_{name}.parquet") for name in ("pilot", "fresh")]
    return *tables, json.loads((EVIDENCE / "generalization_about.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- the record


def test_the_record_is_whole_and_fair(study, record):
    pilot, fresh, about = record
    assert about["failed"] == 0 and pilot.error.isna().all() and fresh.error.isna().all()
    wanted = {(problem, name) for problem, names in study.CONFIGURATIONS.items() for name in names}
    for table in (pilot, fresh):
        assert sorted(table[["problem", "name"]].itertuples(index=False, name=None)) == sorted(wanted)
    assert not set(study.PILOT_SEEDS) & set(study.FRESH_SEEDS)
    rates = pilot.set_index(["problem", "name"]).rate
    for row in pilot.itertuples():
        assert len(row.errors) == len(row.losses) == len(study.RATES)
        assert row.rate == min(zip(row.errors, row.losses, study.RATES, strict=True))[2]
    for row in fresh.itertuples():
        own = rates[row.problem, row.name]
        smallest = [rates[row.problem, study.SMALLEST]] if row.name in study.SIZES else []
        assert list(row.rates) == list(dict.fromkeys([own, *smallest]))
        points = study.UPDATES // study.EVERY
        assert len(row.test_error) == len(row.rates) * len(study.FRESH_SEEDS) * points


def test_the_settings_are_those_of_the_script(study, record):
    settings = record[2]["settings"]
    for problem, nets in study.CONFIGURATIONS.items():
        assert settings["configurations"][problem] == {name: vars(net) for name, net in nets.items()}
        assert settings["problems"][problem] == study.PROBLEMS[problem]().about
    assert settings["rates"] == study.RATES and settings["updates"] == study.UPDATES


@pytest.mark.parametrize("problem", ["speakers", "reviews"])
def test_a_random_run_begins_as_stored(study, record, problem):
    """Alone, where the record had eight runs and more side by side, and to rounding.

    At rates up to 0.01: at 0.03 rounding alone has moved a loss by 3% within these 30 updates.
    """
    rows = record[1][record[1].problem == problem].to_dict("records")
    row = random.choice([row for row in rows if max(row["rates"]) <= 0.01])
    net, seeds = study.CONFIGURATIONS[problem][row["name"]], study.FRESH_SEEDS
    which = random.randrange(len(row["rates"]) * len(seeds))
    rate, seed = row["rates"][which // len(seeds)], seeds[which % len(seeds)]
    again = study.train(study.PROBLEMS[problem](), net, [rate], [seed], updates=study.EVERY)
    for name in ("train_loss", "validation_loss", "test_loss"):
        stored = row[name].reshape(-1, study.UPDATES // study.EVERY)[which, 0]
        assert again[name][0, 0] == pytest.approx(stored, rel=0.01), (row["name"], rate, seed)


def test_a_random_part_comes_out_again(study, record):
    """The begin of a random setting with all its seeds, and a whole run of the linear model.

    Within the rounding of what is stored, to four digits, and of float32: torch's products do not round alike in all
    processes on one machine, and what is left of that after 30 updates is below 0.1%; after 300 it is a different run.
    """
    fresh, points = record[1], study.UPDATES // study.EVERY
    small = fresh[(fresh.problem == "speakers") & (fresh.cpu < 10)]
    calm = [row for row in small.to_dict("records") if max(row["rates"]) <= 0.01]  # as above
    rows = [(random.choice(calm), study.EVERY)]
    rows += [(row, study.UPDATES) for row in fresh[fresh.name == "bag of characters"].to_dict("records")]
    for row, updates in rows:
        net, seeds = study.CONFIGURATIONS[row["problem"]][row["name"]], study.FRESH_SEEDS
        again = study.train(study.PROBLEMS[row["problem"]](), net, list(row["rates"]), seeds, updates)
        for name in ("train_loss", "test_loss"):
            stored = row[name].reshape(-1, points)[:, : updates // study.EVERY]
            np.testing.assert_allclose(again[name], stored, rtol=5e-3, err_msg=row["name"])


# ---------------------------------------------------------------- the data


def test_the_speakers_are_those_of_the_module(study):
    """`load` standardizes by its own training part; the utterances to test are the same."""
    ours, theirs = study.PROBLEMS["speakers"](), dataset("japanese_vowels")
    x, lengths, y = ours.examples([ours.test])
    raw = theirs.test.x * theirs.std + theirs.mean
    np.testing.assert_array_equal(y[0], theirs.test.labels)
    np.testing.assert_array_equal(lengths[0], theirs.test.lengths)
    inside = theirs.test.mask
    ours, raw = x[0].numpy()[: len(raw)][inside], raw[inside]
    scale = raw.std(axis=0) / ours.std(axis=0)
    np.testing.assert_allclose((ours - ours.mean(axis=0)) * scale, raw - raw.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("name", ["speakers", "reviews"])
def test_what_is_learned_validated_and_tested_is_apart(study, name):
    problem = study.PROBLEMS[name]()
    for seed in random.sample(range(1000), 5):
        learned, validated = problem.split(seed, more=2)
        half, same = problem.split(seed)
        assert set(half) < set(learned) and (same == validated).all() and len(learned) == 2 * len(half)
        assert not set(learned) & set(validated) and not (set(learned) | set(validated)) & set(problem.test)


def test_the_vectors_have_not_seen_a_labelled_review(study):
    data = script("generalization_data")
    texts, y = data._labelled()
    assert len(set(texts)) == len(texts) == len(y) and not set(texts) & set(data.other_reviews().split("\n"))
    assert abs(y[study.PROBLEMS["reviews"]().test].mean() - 0.5) < 0.01


def test_the_cooccurrences_are_counted_as_by_hand(monkeypatch):
    data = script("generalization_data")
    number = {character: n + 1 for n, character in enumerate(data.vocabulary())}
    known = data.vocabulary()[:5]
    text = "".join(random.choices([*known, "\n"], k=60))
    counts = np.zeros((data.VOCABULARY, data.VOCABULARY))
    for a in range(len(text)):
        for b in range(len(text)):
            if a != b and abs(a - b) <= data.WINDOW and "\n" not in (text[a], text[b]):
                counts[number[text[a]], number[text[b]]] += 1
    np.testing.assert_array_equal(data.cooccurrences(text), counts)


# ---------------------------------------------------------------- the network and its training


def begun(study, net, problem="speakers", runs=2):
    """Return a problem, stacked float64 parameters and a batch."""
    problem = study.PROBLEMS[problem]()
    starts = [study.start(net, problem, seed) for seed in range(runs)]
    params = {name: torch.tensor(np.stack([one[name] for one in starts])) for name in starts[0]}
    x, lengths, y = problem.examples([problem.pool[5 * run :][:5] for run in range(runs)])
    return problem, params, x.double() if x.ndim == 4 else x, lengths, y


@pytest.mark.parametrize("residual", [False, True])
def test_layers_are_put_above_each_other(study, residual):
    net = study.Net(layers=3, width=6, residual=residual)
    _, params, x, lengths, _ = begun(study, net)
    h = x
    for layer in range(3):
        own = {name[:-3]: p for name, p in params.items() if name.endswith(f"_l{layer}")}
        states = study.lstm_layer(net, own, h, study.Noise())
        h = states + h if residual and layer else states
    last = torch.stack([torch.stack([h[r, lengths[r, b] - 1, b] for b in range(5)]) for r in range(2)])
    logits = last @ params["weight_out"].mT + params["bias_out"][:, None]
    torch.testing.assert_close(study.forward(net, params, x, lengths, study.Noise()), logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("problem", ["speakers", "reviews"])
def test_the_padding_is_not_read(study, problem):
    net = study.Net(layers=2, width=6)
    _, params, x, lengths, _ = begun(study, net, problem)
    behind = torch.arange(x.shape[1])[None, :, None] >= lengths[:, None]
    changed = torch.where(behind[..., None] if x.ndim == 4 else behind, 7 + 0 * x, x)
    assert behind.any() and (changed != x).any()
    before, after = (study.forward(net, params, one, lengths, study.Noise()) for one in (x, changed))
    torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_each_run_moves_as_alone_and_as_torchs_adamw_moves_it(study):
    net, rates, decay = study.Net(layers=2, width=6), [0.01, 0.1], 0.3
    _, params, x, lengths, y = begun(study, net)
    together = {name: p.clone().requires_grad_() for name, p in params.items()}
    ours = study.AdamW(together, torch.tensor(rates, dtype=torch.float64), decay)
    for _ in range(5):
        study.losses(study.forward(net, together, x, lengths, study.Noise()), y).sum().backward()
        ours.step()
    for run, rate in enumerate(rates):
        alone = {name: p[run : run + 1].clone().requires_grad_() for name, p in params.items()}
        decayed = [p for name, p in alone.items() if name.startswith("weight")]
        others = [p for name, p in alone.items() if not name.startswith("weight")]
        groups = [{"params": decayed, "weight_decay": decay}, {"params": others, "weight_decay": 0}]
        theirs = torch.optim.AdamW(groups, lr=rate)
        for _ in range(5):
            logits = study.forward(net, alone, x[run : run + 1], lengths[run : run + 1], study.Noise())
            theirs.zero_grad()
            study.losses(logits, y[run : run + 1]).sum().backward()
            norm = torch.nn.utils.clip_grad_norm_(decayed + others, study.MAX_NORM)
            theirs.step()
        assert norm > study.MAX_NORM or rate == 0.1, "the clip should act in one of them"
        for name, p in alone.items():
            torch.testing.assert_close(together[name][run], p[0], rtol=1e-4, atol=1e-6)


def test_the_noise_of_a_run_does_not_depend_on_its_neighbours(study):
    def masks(seeds):
        noise = study.Noise([torch.Generator().manual_seed(seed) for seed in seeds])
        return [noise.zeros(0.3, 4, 2, 5) for _ in range(3)]

    pair, alone = masks([3, 8]), masks([8])
    assert all((one[1] == other[0]).all() for one, other in zip(pair, alone, strict=True))
    share = study.Noise([torch.Generator().manual_seed(0)]).zeros(0.3, 100_000).mean()
    assert share == pytest.approx(0.3, abs=0.01)


def test_one_mask_for_all_steps_and_the_mean_is_kept(study):
    noise = study.Noise([torch.Generator().manual_seed(0)])
    ones = torch.ones(1, 50, 20, 30)
    same, fresh = noise.dropout(ones, 0.25, same=True), noise.dropout(ones, 0.25)
    assert (same == same[:, :1]).all() and not (fresh == fresh[:, :1]).all()
    assert same.mean() == pytest.approx(1, abs=0.1) and fresh.mean() == pytest.approx(1, abs=0.02)
    assert study.Noise().dropout(ones, 0.25) is ones


def test_early_stopping_keeps_the_lowest_validation_loss(study):
    curves = {"validation_loss": np.array([[3.0, 1.0, 2.0], [np.nan, 5.0, 4.0]])}
    assert study.chosen(study.Net(early=True), curves).tolist() == [1, 2]
    assert study.chosen(study.Net(), curves).tolist() == [2, 2]


# ---------------------------------------------------------------- what the lesson says


@pytest.mark.parametrize("name", ["masks_at_work", "methods", "depth_and_width", "other_text"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])

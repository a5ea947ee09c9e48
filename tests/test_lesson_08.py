"""What lesson 08 says and shows, asserted on its data, and random cells of its record computed again."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import rnnlab as rl
from evidence import begins_as_stored, script, skip_unless_exact
from explorables import load

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
EVIDENCE = NOTEBOOKS / "evidence"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(NOTEBOOKS / "08_after_adam.ipynb").namespace


@pytest.fixture(scope="module")
def compare():
    """The script that made the record."""
    return script("after_adam_compare")


@pytest.fixture(scope="module")
def record():
    """The tables of the tuning and of the comparison, and what is said about them."""
    tables = [pd.read_parquet(EVIDENCE / f"after_adam_{name}.parquet") for name in ("pilot", "fresh")]
    return *tables, json.loads((EVIDENCE / "after_adam_about.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- the record


def test_the_record_is_whole_and_every_method_had_the_same_trials(compare, record):
    pilot, fresh, about = record
    assert len(pilot) == 7 * 8 * 5 and len(fresh) == 7 * 20 and about["failed"] == 0
    assert pilot.error.isna().all() and fresh.error.isna().all()
    assert (pilot.groupby("method").size() == 40).all() and (fresh.groupby("method").size() == 20).all()
    assert set(pilot.seed) == set(compare.PILOT_SEEDS) and set(fresh.seed) == set(compare.FRESH_SEEDS)
    assert not set(compare.PILOT_SEEDS) & set(compare.FRESH_SEEDS)
    best = compare.chosen(pilot)
    for method, setting in best.items():
        lr, others = compare.SETTINGS[method][setting]
        own = fresh[fresh.method == method]
        assert set(own.lr) == {lr} and (own.others.isna().all() if others is None else set(own.others) == {others})
    tried = {method: [list(setting) for setting in settings] for method, settings in compare.SETTINGS.items()}
    assert about["settings"]["tried"] == tried


def test_random_runs_begin_as_stored(compare, record):
    """The first 50 updates, before differences of the machine's rounding have grown."""
    for row in record[1].sample(4, random_state=random.randrange(2**31)).to_dict("records"):
        others = None if row["others"] != row["others"] else row["others"]
        again = compare.run(row["method"], row["lr"], others, int(row["seed"]), updates=50)
        begins_as_stored(again["curve"], row["curve"][:1], about=row["method"])


@pytest.mark.parametrize("table", [0, 1])
def test_random_cells_are_exactly_as_stored(compare, record, table):
    skip_unless_exact(record[2])
    row = random.choice(record[table].to_dict("records"))
    others = None if row["others"] != row["others"] else row["others"]
    again = compare.run(row["method"], row["lr"], others, int(row["seed"]))
    names = ("mean_loss",) if table == 0 else ("mean_loss", "wrong")
    assert {name: row[name] for name in names} == {name: again[name] for name in names}, row


def test_no_look_counts_as_more_than_guessing(compare):
    result = compare.run("Lion", 1e200, None, 0, updates=100)
    assert result["curve"] == [float(f"{compare.TASK.baseline:.6g}")] * 2 and result["wrong"] >= 0.7


# ---------------------------------------------------------------- what the lesson says


@pytest.mark.parametrize("size", [0.1, 10.0])
def test_decoupled_decay_is_the_closed_form_for_every_size(lesson, size):
    left = (1 - 1e-3 * 0.1) ** 2000
    assert lesson["decayed"]("AdamW", size, 0.1)[-1] == pytest.approx(left, abs=0.03)
    assert lesson["decayed"]("SGD, penalty", 0.1, 0.1)[-1] == pytest.approx(left, abs=0.03)


def test_adams_penalty_is_weaker_where_gradients_are_large(lesson):
    left = [lesson["decayed"]("Adam, penalty", size, 0.1)[-1] for size in (0.1, 1.0, 10.0)]
    assert left[0] < 0.5 < left[1] < left[2] and left[2] > 0.95


def test_half_life_of_the_first_exercise():
    for lr, decay, updates in ((0.001, 0.01, 69_000), (0.001, 0.1, 6_900)):
        assert math.log(2) / (lr * decay) == pytest.approx(updates, rel=0.01)
    assert (rl.AdamW().lr, rl.AdamW().weight_decay) == (0.001, 0.01)
    assert (rl.Muon().lr, rl.Muon().weight_decay) == (0.001, 0.1)


def test_the_lengths_and_spectra_of_steps(lesson):
    made, spectrum = lesson["steps_of"](300, 5), lesson["spectrum"]
    assert set(np.abs(made["Lion"]).round(12).ravel()) == {1.0}
    assert np.linalg.norm(made["Lion"]) == pytest.approx(32)
    assert np.linalg.norm(made["Muon"]) == pytest.approx(math.sqrt(32), rel=0.3)
    ratios = {name: values[0] / np.median(values) for name, values in spectrum.items()}
    assert ratios["gradient"] > 10 * ratios["Adam"] > 20 * ratios["Muon"] and ratios["Muon"] < 3
    near = [((v > 0.5) & (v < 1.3)).sum() for v in (lesson["one"], spectrum["Muon"])]
    assert near[1] > 16 > near[0]


def test_what_averaging_does(lesson):
    for lr in (0.1, 0.3, 1.0):
        curves = lesson["walks"](lr, 1.0)
        assert curves["constant"][100:].mean() == pytest.approx(0.5 * lr / (2 - lr), rel=0.1)
        assert curves["Schedule-Free at x"][-1] < 0.5 * curves["constant"][-1]
    curves = lesson["walks"](0.3, 1.0)
    assert curves["Schedule-Free at x"][149] < curves["cosine schedule"][149]
    assert curves["cosine schedule"][-1] < curves["Schedule-Free at x"][-1]
    assert curves["Schedule-Free at z"][-1] > 10 * curves["Schedule-Free at x"][-1]
    slow = lesson["walks"](0.03, 0.0)
    assert slow["Schedule-Free at x"][-1] > 10 * slow["constant"][-1]


def test_the_bar(lesson):
    tail = sum(math.comb(20, wins) for wins in range(17, 21)) / 2**20
    assert round(1 / (2 * tail)) == 388 and 2 * tail < 0.05 / 6
    assert 2 * (tail + math.comb(20, 16) / 2**20) > 0.05 / 6


def test_none_is_better_and_one_is_worse(lesson):
    counts, higher = lesson["counts"], lesson["higher"]
    assert max(counts.values()) < 17
    assert [method for method, count in higher.items() if count >= 17] == ["Lion"]
    for method in ("AMSGrad", "Muon"):
        _, mean, half = lesson["against_adam"](method)
        assert mean < 0 < mean + half
    assert counts["Schedule-Free"] > 10 and lesson["against_adam"]("Schedule-Free")[1] > 0
    assert max(np.bincount(lesson["lowest"], minlength=7)) < 6_000


@pytest.mark.parametrize("name", ["two_decays", "one_step", "averaging", "after_adam"])
def test_no_line_leaves_its_axes(lesson, name):
    explorable = lesson[name]
    for state in random.sample(list(explorable.grid()), 6):
        axes = [Figure().subplots() for _ in range(explorable.panels)]
        explorable(axes[0] if len(axes) == 1 else axes, **state)
        for ax in axes:
            (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
            for line in ax.lines:
                x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
                assert left <= x.min() and x.max() <= right and low <= y.min() and y.max() <= high, (name, state)

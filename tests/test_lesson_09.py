"""What lesson 09 says and shows, asserted on its record, and random cells of the record computed again."""

import json
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
    return load(NOTEBOOKS / "09_choosing_an_optimizer.ipynb").namespace


@pytest.fixture(scope="module")
def choosing():
    """The script that made the record."""
    return script("choosing")


@pytest.fixture(scope="module")
def record():
    """The tables of the tuning and of the comparison, and what is said about them."""
    tables = [pd.read_parquet(EVIDENCE / f"choosing_{name}.parquet") for name in ("pilot", "fresh")]
    return *tables, json.loads((EVIDENCE / "choosing_about.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- the record


def test_the_record_is_whole(choosing, record):
    pilot, fresh, about = record
    pairs = ["cell", "task", "clip", "optimizer"]
    assert len(pilot) == 90 * 6 * 3 and len(fresh) == 90 * 10 and about["failed"] == 0
    assert pilot.error.isna().all() and fresh.error.isna().all()
    for table, own in ((pilot, ["step", "seed"]), (fresh, ["seed"])):
        assert not table.duplicated([*pairs, *own]).any()
        assert table[pairs].drop_duplicates().shape[0] == 90
    assert set(pilot.seed) == set(choosing.PILOT_SEEDS) and set(fresh.seed) == set(choosing.FRESH_SEEDS)
    assert not set(choosing.PILOT_SEEDS) & set(choosing.FRESH_SEEDS)
    budgets = pilot.groupby(pairs).agg(rates=("lr", "nunique"), runs=("lr", "size"))
    assert (budgets.rates == 6).all() and (budgets.runs == 18).all()  # the same budget for all


def test_the_rates_are_those_that_the_tuning_chose(choosing, record):
    pilot, fresh, _ = record
    rates = choosing.chosen_rates(pilot)
    for (cell, task, clip, optimizer), lr in rates.items():
        which = (fresh.cell == cell) & (fresh.task == task) & (fresh["clip"] == clip) & (fresh.optimizer == optimizer)
        assert set(fresh[which].lr) == {lr}


def test_the_settings_are_those_of_the_script(choosing, record):
    settings = record[2]["settings"]
    assert settings["learning_rates"] == {name: list(rates) for name, rates in choosing.LEARNING_RATES.items()}
    assert settings["clips"] == {name: repr(clip) for name, clip in choosing.CLIPS.items()}
    assert settings["constant_answer"] == {name: problem().constant for name, problem in choosing.TASKS.items()}


def again(choosing, row):
    return choosing.run(row["cell"], row["task"], row["clip"], row["optimizer"], row["lr"], int(row["seed"]))


def test_a_random_run_of_the_comparison_begins_as_stored(choosing, record):
    """Its first twenty-fifth, before differences of the machine's rounding have grown."""
    for row in record[1].sample(2, random_state=random.randrange(2**31)).to_dict("records"):
        problem = choosing.TASKS[row["task"]]()
        updates = problem.updates // choosing.POINTS
        model = rl.Model(
            choosing.CELLS[row["cell"]](problem.task.input_size, 32), problem.task.output_size, problem.loss
        )
        rule, clip = choosing.OPTIMIZERS[row["optimizer"]](row["lr"]), choosing.CLIPS[row["clip"]]
        history = rl.train(model, problem.task, rule, clip, updates, int(row["seed"]), 16, progress=False)
        begins_as_stored(history.loss.mean(), row["curve"][0], about=row)


@pytest.mark.parametrize("table", [0, 1])
def test_random_cells_are_exactly_as_stored(choosing, record, table):
    skip_unless_exact(record[2])
    row = random.choice(record[table][record[table].seconds < 3].to_dict("records"))
    result = again(choosing, row)
    names = ("tuning",) if table == 0 else ("tuning", "loss", "largest_norm", "heard", "clipped")
    assert {name: row[name] for name in names} == {name: result[name] for name in names}, row


def test_a_diverged_run_counts_as_a_constant_answer(choosing):
    result = choosing.run("RNN", "weather", "no clip", "SGD", 1e200, 0)
    assert result["diverged_at"] is not None
    assert result["loss"] == result["tuning"] == choosing.weather().constant


# ---------------------------------------------------------------- what the lesson says


def test_one_rate_for_all_decides_the_winner(lesson):
    winners = {rate: table.idxmin(axis=1).value_counts() for rate, table in lesson["RATES"].items()}
    assert winners["0.003"].idxmax() == "Adam" and winners["0.03"].idxmax() != "Adam"
    assert winners["own"].idxmax() == "Adam"


def test_the_duels(lesson):
    duels, lowest = lesson["duels"], lesson["lowest"]
    assert len(duels) == 24
    assert {duels["temporal order, RNN", rival][1] for rival in ("SGD", "momentum")} == {10}
    assert [pair for pair, (lower, _) in duels.items() if lower == 10] == [("weather, RNN", "AdaGrad")]
    assert lowest["adding, RNN"] == lowest["adding, LSTM"] == lowest["temporal order, RNN"] == "Adam"
    assert lowest["temporal order, LSTM"] == "RMSProp"
    lower, higher = duels["temporal order, LSTM", "RMSProp"]
    assert lower >= 8 and higher == 0
    assert 1 / 512 < 0.05 / 24
    sgd = lesson["runs_of"]("temporal order, RNN", "SGD")
    assert (sgd.over_constant > 0.97).all()
    weather = [lesson["runs_of"]("weather, RNN", name).loss.mean() for name in lesson["OPTIMIZERS"]]
    assert max(weather) < 1.03 * min(weather)
    assert lesson["runs_of"]("weather, LSTM", "AdaGrad").loss.mean() < lesson["about"]["settings"]["persistence"]


def test_the_tuning_was_lucky(lesson):
    undecided, lucky = lesson["undecided"], lesson["lucky"]
    assert (undecided.fresh > undecided.tuned).mean() > 0.8
    assert lucky.tuned < 0.05 and lucky.fresh > 0.5


def test_the_gradient_vanishes_unless_the_network_learns(lesson):
    order = lesson["order"]
    before, stuck, plain = order.heard_before.median(), lesson["stuck"], lesson["plain"]
    assert before < 1e-6 and order[order.learned].heard.median() > 0.1
    assert 0.1 < stuck.heard.median() / before < 10 and 0.1 < plain.heard.median() / before < 10


def test_adaptive_rates_bound_the_step_and_not_the_gradient(lesson):
    fresh, adaptive, pilot = lesson["fresh"], lesson["ADAPTIVE"], lesson["pilot"]
    assert fresh[adaptive].largest_norm.max() > 2 * fresh[~adaptive].largest_norm.max()
    bursts = lesson["order"].groupby("optimizer").burst.median()
    assert bursts[["AdaGrad", "RMSProp", "Adam"]].min() > 5 * bursts[["SGD", "momentum"]].max()
    diverged = pilot[pilot.diverged_at.notna()]
    assert set(diverged.optimizer) == {"SGD", "momentum"} and set(diverged["clip"]) == {"no clip"}


def ends(text):
    mean, half = (float(part.replace("−", "-")) for part in text.split(" ± "))
    return mean - half, mean + half


def test_what_the_clips_gain(lesson):
    paired = lesson["paired"]
    for task in ("adding", "temporal order"):
        assert ends(paired(task, "by value", "no clip"))[0] > 0
    assert ends(paired("adding", "by norm", "no clip"))[0] > 0
    assert (
        ends(paired("temporal order", "by norm", "no clip"))[0]
        < 0
        < ends(paired("temporal order", "by norm", "no clip"))[1]
    )
    assert ends(paired("temporal order", "by value", "by norm"))[0] > 0
    assert ends(paired("adding", "by value", "by norm"))[0] < 0


def test_the_solutions_say_what_came_out(lesson):
    updates, heard, loss = np.array(lesson["kept"]).T
    assert updates[heard > 0.01][0] < updates[loss < 1][0]


@pytest.mark.parametrize("name", ["one_rate_for_all", "by_the_rules", "luck", "vanishing_and_exploding", "clips"])
def test_no_point_lies_outside_its_axes(lesson, name):
    explorable = lesson[name]
    for state in explorable.grid():
        axes = [Figure().subplots() for _ in range(explorable.panels)]
        explorable(axes[0] if len(axes) == 1 else axes, **state)
        for ax in axes:
            for line in ax.lines:
                x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
                (left, right), (low, high) = sorted(ax.get_xlim()), sorted(ax.get_ylim())
                if line.get_transform() is ax.transData and len(x) > 1:
                    assert x.min() >= left and x.max() <= right, (name, state)
                    assert np.nanmin(y) >= low and np.nanmax(y) <= high, (name, state)

"""The page of short answers: each link leads to a heading, each number is its record's, computed another way."""

import json
import re
import statistics
from pathlib import Path

import pandas as pd
import pytest

from explorables import load
from rnnlab.doctor import KINDS

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
PAGE = NOTEBOOKS / "92_faq.ipynb"


def prose(path):
    """The Markdown of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def anchors(path):
    """The anchors of a page's headings, as MyST makes them: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#{1,3} (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def answers():
    """The text under each heading, by heading."""
    parts = re.split(r"^## (.+)$", prose(PAGE), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


ANSWERS = {question: text for question, text in answers().items() if not question.startswith("What this page")}


@pytest.mark.parametrize("question", ANSWERS)
def test_an_answer_is_backed_by_an_experiment_and_its_number(question):
    text = ANSWERS[question]
    links = re.findall(r"\]\((\w+\.ipynb)#([\w-]+)\)", text)
    assert links and "{glue:text}" in text
    for page, anchor in links:
        assert anchor in anchors(NOTEBOOKS / page), f"{page}#{anchor}"


def test_an_answer_is_short():
    for question, text in ANSWERS.items():
        plain = re.sub(r"\{glue:text\}`[^`]*`|\([^()]*\)|`[^`]*`", "", text)
        assert 2 <= len(re.findall(r"[.?](?:\s|$)", plain)) <= 6, question


def test_the_list_leads_to_all_answers():
    links = re.findall(r"\]\(#([\w-]+)\)", prose(PAGE))
    assert set(links) <= anchors(PAGE) and len(set(links)) == len(ANSWERS)


def test_the_list_and_the_figure_have_the_same_questions():
    page = load(PAGE).namespace
    assert len(page["ENDS"]) == len(re.findall(r"^ *- .*\]\(#", prose(PAGE), re.MULTILINE))


def test_no_number_is_typed_but_settings():
    """What stands in an answer without glue is a rule of thumb, a setting or a step count of the experiment."""
    for question, text in ANSWERS.items():
        plain = re.sub(r"\{glue:text\}`[^`]*`|\]\([^)]*\)|`[^`]*`|\{cite:t\}", "", text)
        assert set(re.findall(r"\d[\d.]*\d|\d", plain)) <= {
            "0",
            "0.1",
            "1",
            "3",
            "7",
            "8",
            "17",
            "20",
            "24",
            "30",
            "60",
            "100",
        }, question


# ---------------------------------------------------------------- the numbers


def fresh(name):
    return json.loads((NOTEBOOKS / "evidence" / f"{name}.json").read_text(encoding="utf-8"))["fresh"]


def difference(name, column, one, other):
    """The difference of two kinds of runs, paired by seed, as the page writes it."""
    by_seed = [
        {row["seed"]: row[column] for row in fresh(name) if kind.items() <= row.items()} for kind in (one, other)
    ]
    gaps = [by_seed[0][seed] - by_seed[1][seed] for seed in by_seed[0]]
    assert by_seed[0].keys() == by_seed[1].keys() and len(gaps) == 12
    half = 2.201 * statistics.stdev(gaps) / 12**0.5
    return f"{statistics.fmean(gaps):+.3f} ± {half:.3f}".replace("-", "−")


def of_choosing():
    table, pilot = (pd.read_parquet(NOTEBOOKS / "evidence" / f"choosing_{name}.parquet") for name in ("fresh", "pilot"))
    about = json.loads((NOTEBOOKS / "evidence/choosing_about.json").read_text(encoding="utf-8"))
    constant, found = about["settings"]["constant_answer"], {"guessing": f"{1 / 6:.3f}"}
    rows = [row for row in table.to_dict("records") if row["task"] != "weather"]
    good = [row for row in rows if row["loss"] / constant[row["task"]] < 0.5]
    for name in ("SGD", "momentum", "AdaGrad", "RMSProp", "Adam"):
        number, all_of_it = (sum(row["optimizer"] == name for row in some) for some in (good, rows))
        found[f"learned-{name}"] = f"{number} of {all_of_it}"
    for clip, short in (("no clip", "none"), ("by norm", "norm"), ("by value", "value")):
        found[f"clip-{short}"] = sum(row["clip"] == clip for row in good)
    found["clip-of"] = sum(row["clip"] == "no clip" for row in rows)
    plain = table.optimizer.isin(["SGD", "momentum"])
    found["norm-plain"], found["norm-adaptive"] = (f"{max(table.largest_norm[kind]):,.0f}" for kind in (plain, ~plain))
    broken = [row for row in pilot.to_dict("records") if row["diverged_at"] == row["diverged_at"]]
    found["diverged"] = f"{len(broken)} of {len(pilot):,}"
    found["diverged-clipped"] = sum(row["clip"] != "no clip" for row in broken) or "none"
    found["diverged-adaptive"] = sum(row["optimizer"] not in ("SGD", "momentum") for row in broken) or "none"
    return found | {"all-runs": len(table)}


def of_newer_rules():
    table = pd.read_parquet(NOTEBOOKS / "evidence/after_adam_fresh.parquet")
    losses = {method: dict(zip(of.seed, of.mean_loss, strict=True)) for method, of in table.groupby("method")}
    adam = losses.pop("Adam")
    wins = [sum(of[seed] < adam[seed] for seed in adam) for of in losses.values()]
    return {"rivals": len(losses), "seeds": len(adam), "better": sum(win >= 17 for win in wins) or "none"}


def of_counts():
    found = {}
    reach = fresh("adaptive_reach")
    ended = {length: [row for row in reach if row["length"] == length] for length in (20, 60)}
    found["at-60"] = f"{sum(row['loss'] < 1 / 12 for row in ended[60])} of {len(ended[60])}"
    for rule in ("SGD", "Adam"):
        found[f"at-20-{rule}"] = f"{sum(row['loss'] < 1 / 12 and row['rule'] == rule for row in ended[20])} of 10"
    clipping = fresh("clipping_compare")
    for method, short in (("no clip", "none"), ("by norm", "norm"), ("by value", "value")):
        errors = [row["error"] for row in clipping if row["method"] == method]
        found[f"solved-{short}"] = f"{sum(error < 0.01 for error in errors)} of {len(errors)}"
    acted = [row["clipped"] for row in clipping if row["method"] == "by norm"]
    found["acts"] = f"{statistics.fmean(acted):.0%}"
    for window in (0, 3, 7):
        right = [row["accuracy"] for row in fresh("truncation_windows") if row["window"] == window]
        found[f"window-{window}"] = f"{statistics.fmean(right):.0%}"
    first = json.loads((NOTEBOOKS / "evidence/doctor_first_look.json").read_text(encoding="utf-8"))["rows"]
    deaf = ["ignores_history" in row["found"] for row in first if "ignores_history" in row["planted"]]
    well = [bool(set(row["found"]) & set(KINDS)) for row in first if row["planted"] == []]
    return found | {"deaf": f"{sum(deaf)} of {len(deaf)}", "well": f"{sum(well)} of {len(well)}"}


def of_new_data():
    table = pd.read_parquet(NOTEBOOKS / "evidence/generalization_fresh.parquet")
    about = json.loads((NOTEBOOKS / "evidence/generalization_about.json").read_text(encoding="utf-8"))["settings"]
    every = about["updates"] // about["every"]
    rows = {row["name"]: row for row in table.to_dict("records") if row["problem"] == "speakers"}
    found = {}
    for short, (name, rival) in {
        "data": ("twice the data", "plain"),
        "mask": ("variational 0.25", "plain"),
        "layers": ("4 x 24", "1 x 24"),
        "units": ("1 x 24", "1 x 8"),
    }.items():
        # The errors of a configuration: rate by rate, of each seed by seed, the last of whose points is the end.
        ends = [[rows[one]["test_error"][every * (seed + 1) - 1] for seed in range(8)] for one in (rival, name)]
        gaps = [100 * (before - after) for before, after in zip(*ends, strict=True)]
        half = 2.365 * statistics.stdev(gaps) / 8**0.5
        found[f"gain-{short}"] = f"{statistics.fmean(gaps):+.1f} ± {half:.1f}".replace("-", "−")
        assert not about["configurations"]["speakers"][name]["early"]
    return found


def of_differences():
    starts, biases = {"experiment": "starts"}, {"experiment": "biases"}
    adding = {"task": "adding", "cell": "RNN"}
    equal = {"equal": "parameters"}
    return {
        "chrono": difference("lstm_compare", "mean_loss", biases | {"method": "chrono"}, biases | {"method": "0"}),
        "chrono-1": difference("lstm_compare", "mean_loss", biases | {"method": "chrono"}, biases | {"method": "1"}),
        "start": difference(
            "starts_compare", "mean_loss", starts | {"method": "identity relu"}, starts | {"method": "torch"}
        ),
        "attention": difference(
            "attention_paths", "mean_loss", adding | {"read": "additive"}, adding | {"read": "last state"}
        ),
        "gru-adding": difference(
            "gru_lstm",
            "mean_loss",
            equal | {"task": "adding", "cell": "GRU"},
            equal | {"task": "adding", "cell": "LSTM"},
        ),
        "gru-order": difference(
            "gru_lstm",
            "mean_loss",
            equal | {"task": "temporal order", "cell": "GRU"},
            equal | {"task": "temporal order", "cell": "LSTM"},
        ),
        "min-adding": difference(
            "after_gates", "mean_loss", {"task": "adding", "cell": "minGRU"}, {"task": "adding", "cell": "GRU"}
        ),
        "plain-held": difference(
            "gru_lstm",
            "held_out",
            equal | {"task": "weather", "cell": "RNN"},
            equal | {"task": "weather", "cell": "GRU"},
        ),
    }


def test_every_number_is_that_of_its_record():
    expected = of_choosing() | of_newer_rules() | of_counts() | of_differences() | of_new_data()
    found = load(PAGE).glued
    assert found.keys() == expected.keys()
    wrong = {name: (found[name], expected[name]) for name in found if str(found[name]) != str(expected[name])}
    assert not wrong

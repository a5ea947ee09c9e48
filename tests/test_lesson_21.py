"""The page of all applications: a row for each, read from the records, and verdicts that follow from the intervals."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from explorables import load
from rnnlab import datasets

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
KEYS = {
    "lesson": str,
    "task": str,
    "data": str,
    "metric": str,
    "better": str,
    "unit": str,
    "baseline_name": str,
    "baseline": float,
    "model": str,
    "ours": float,
    "interval": float,
    "difference": list,
    "published": str | None,
    "published_source": str | None,
    "seconds": float | int,
}


@pytest.fixture(scope="module")
def lesson():
    return load(NOTEBOOKS / "21_applications.ipynb")


@pytest.fixture(scope="module")
def rows(lesson):
    return lesson.namespace["ROWS"]


def test_every_row_has_every_entry_and_names_what_there_is(rows):
    bibliography = (NOTEBOOKS.parent / "book/references.bib").read_text(encoding="utf-8")
    for row in rows:
        assert row.keys() == KEYS.keys(), row
        for key, kind in KEYS.items():
            assert isinstance(row[key], kind), (row["task"], key)
        assert (NOTEBOOKS / f"{row['lesson']}.ipynb").exists()
        assert row["data"].partition(",")[0] in datasets.LOADERS
        assert row["better"] in ("higher", "lower") and row["interval"] >= 0 and row["seconds"] >= 0
        assert all(map(math.isfinite, (row["baseline"], row["ours"], *row["difference"])))
        assert row["published_source"] is None or f"{{{row['published_source']}," in bibliography
    assert len({row["task"] for row in rows}) == len(rows)


def test_every_lesson_of_applications_has_a_row_and_every_data_set_is_used(rows):
    lessons = {path.stem for number in range(17, 21) for path in NOTEBOOKS.glob(f"{number}_*.ipynb")}
    assert {row["lesson"] for row in rows} == lessons
    assert [row["lesson"] for row in rows] == sorted(row["lesson"] for row in rows)


def test_the_difference_is_about_the_two_figures(rows):
    """The interval is of ours minus the baseline's, so it must lie around their difference."""
    for row in rows:
        low, high = row["difference"]
        assert low - 1e-9 <= row["ours"] - row["baseline"] <= high + 1e-9, row["task"]


@pytest.mark.parametrize(
    "better, difference, verdict",
    [
        ("higher", [0.1, 0.2], "better"),
        ("higher", [-0.2, -0.1], "worse"),
        ("lower", [-0.2, -0.1], "better"),
        ("lower", [0.1, 0.2], "worse"),
        ("lower", [-0.1, 0.2], "open"),
        ("higher", [0.0, 0.2], "open"),
    ],
)
def test_the_verdict_follows_from_the_interval(lesson, better, difference, verdict):
    assert lesson.namespace["verdict"]({"better": better, "difference": difference}) == verdict


def test_the_counts_are_those_of_the_table(lesson, rows):
    counts = {name: int(lesson.glued[name]) for name in ("better", "worse", "open")}
    signs = [np.sign(row["difference"]).sum() * (1 if row["better"] == "higher" else -1) for row in rows]
    assert counts["better"] == sum(sign == 2 for sign in signs)
    assert counts["worse"] == sum(sign == -2 for sign in signs)
    assert sum(counts.values()) == len(rows) == int(lesson.glued["rows"])


def test_the_forest_draws_every_interval_in_percent_of_the_baseline(lesson, rows):
    ax = Figure().subplots()
    for row in (rows[0], rows[-1]):
        ax.clear()
        sentence = lesson.namespace["gains"](ax, task=row["task"])
        assert row["task"] in sentence and lesson.namespace["verdict"](row) in sentence
        (thick,) = [line for line in ax.lines if line.get_linewidth() == 6]
        low, high = 100 * np.array(row["difference"]) / row["baseline"]
        expected = (low, high) if row["better"] == "higher" else (-high, -low)
        np.testing.assert_allclose(thick.get_xdata(), np.clip(expected, -119, 119))
        assert len(ax.lines) == len(rows) + 1


@pytest.mark.parametrize(
    "share, n, low, high", [(0.5, 100, 0.4038, 0.5962), (1.0, 10, 0.7225, 1.0), (0.0, 10, 0, 0.2775)]
)
def test_wilsons_interval(lesson, share, n, low, high):
    assert lesson.namespace["wilson"](share, n) == pytest.approx((low, high), abs=1e-4)


def test_the_limits_close_in_with_the_root_of_the_cases(lesson):
    ax = Figure().subplots()
    sentence = lesson.namespace["limits"](ax, cases=1000, accuracy=50)
    assert sentence.startswith("50% of 1,000 cases: the true accuracy is between 47% and 53%")
    widths = [np.diff(lesson.namespace["wilson"](0.9, n))[0] for n in (1000, 4000)]
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.01)


def test_a_record_without_applications_is_passed_over(lesson):
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (NOTEBOOKS / "evidence").glob("*.json")]
    assert any("application" not in record for record in records)

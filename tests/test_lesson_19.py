"""What lesson 19 says and shows, asserted on its record; its forecasters, tested for leaks; parts computed again."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drawings import assert_lines_stay_inside, axes_of
from evidence import script, skip_unless_exact
from explorables import load
from rnnlab.forecasts import future_leak

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(NOTEBOOKS / "19_time_series.ipynb").namespace


@pytest.fixture(scope="module")
def results():
    return script("time_series_results")


@pytest.fixture(scope="module")
def study(results):
    return results.study


@pytest.fixture(scope="module")
def methods(results):
    return results.methods


PROBLEMS = json.loads((NOTEBOOKS / "evidence" / "time_series.json").read_text(encoding="utf-8"))["problems"]
EVERY = [(name, method) for name, found in PROBLEMS.items() for method in found["trials"]]
SHORT = {"lr": [0.01], "updates": 2, "seeds": [7]}

# ---------------------------------------------------------------- the record


def test_the_record_is_whole_and_fair(results, study):
    assert [(name, method) for name, several in study.METHODS.items() for method in several] == EVERY
    assert not set(study.PILOT_SEEDS) & set(study.FRESH_SEEDS)
    settings = results.record["settings"]
    for key, value in (("pilot_seeds", study.PILOT_SEEDS), ("fresh_seeds", study.FRESH_SEEDS),
                       ("rates", study.RATES), ("updates", study.UPDATES), ("blocks", study.BLOCKS)):  # fmt: skip
        assert settings[key] == value
    for name, method in EVERY:
        found = results.record["problems"][name]
        trials = found["trials"][method]
        tried = study.settings(name, method)
        if method == "GRU":
            tried = [{"lr": lr, "updates": updates} for updates in study.UPDATES[name] for lr in study.RATES]
        assert [row["setting"] for row in trials] == tried
        assert len(trials) == (6 if method in ("AR", "smoothing", "linear", "GRU") else 1)
        assert found["chosen"][method] == min(trials, key=lambda row: row["mae"])["setting"]
        first = len(study.FRESH_SEEDS) if method == "GRU" else 1
        answers = results.actual(name)
        mean = results.forecast(name, method).reshape(first, *answers.shape)
        assert np.isfinite(mean[:, np.isfinite(answers)]).all(), "each method answers the same questions"
        if results.has_interval(name, method):
            deviation = results.forecast(name, method, "deviation").reshape(mean.shape)
            assert (deviation[:, np.isfinite(answers)] > 0).all()


def test_parts_follow_each_other_in_time(results, study):
    for problem in results.PROBLEMS.values():
        last = len(problem.series) - 1
        assert problem.validation[-1] + 1 == problem.test[0] and problem.test[-1] == last - 1
        errors = study.errors(
            problem, np.zeros((len(problem.validation), problem.answers().shape[1])), problem.validation
        )
        beyond = [problem.validation[0] + i + h + 1 for i, h in np.argwhere(np.isfinite(errors))]
        if problem.name == "co2":
            assert max(beyond) == problem.test[0], "no answer of the test years is looked at before"
    assert results.date("weather", results.PROBLEMS["weather"].test[0] + 1) == "2015-01-01"
    assert results.date("co2", results.PROBLEMS["co2"].test[0] + 1) == "1992-01"
    assert results.date("stocks", results.PROBLEMS["stocks"].test[0] + 1) == "2007-01"


@pytest.mark.parametrize("name, method", [pair for pair in EVERY if pair[1] != "GRU"], ids=str)
def test_the_first_forecasts_come_out_again(results, study, methods, name, method):
    """Within half a unit of the last digit stored: rounding is far below it, except where a search stops."""
    problem, number = results.PROBLEMS[name], {"weather": 20, "co2": 14, "stocks": 8}[name]
    chosen = results.record["problems"][name]["chosen"][method]
    mean, deviation = methods.walk(problem, method, chosen, problem.test[:number])
    # Smoothing searches for its shares: another processor may stop the search a little elsewhere.
    slack = 0.02 if method == "smoothing" else 0
    atol = 0.51 * 10 ** -study.DIGITS[name] + slack
    np.testing.assert_allclose(mean, results.forecast(name, method)[:number], rtol=0, atol=atol)
    if results.has_interval(name, method):
        np.testing.assert_allclose(deviation, results.forecast(name, method, "deviation")[:number], rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["weather", "co2", "stocks"])
def test_the_saved_networks_are_those_of_the_record(results, name):
    """Within the rounding of the record and of float32."""
    for what, found in zip(("mean", "deviation"), results.from_saved(name), strict=True):
        stored = results.one(name, "GRU", what)
        known = np.isfinite(results.actual(name))
        np.testing.assert_allclose(found[known], stored[known], rtol=1e-3, atol=0.02)


def test_the_first_networks_of_the_stocks_come_out_again(results, study, methods):
    problem, chosen = results.PROBLEMS["stocks"], results.record["problems"]["stocks"]["chosen"]["GRU"]
    setting = {"lr": [chosen["lr"]], "updates": chosen["updates"], "seeds": study.FRESH_SEEDS[:2]}
    mean, _ = methods.walk(problem, "GRU", setting, problem.test[:6])
    stored = results.forecast("stocks", "GRU")[:2, :6]
    np.testing.assert_allclose(mean, stored, rtol=0, atol=0.3)  # of a deviation of some 10: what rounding may grow to
    skip_unless_exact(results.record)
    np.testing.assert_allclose(mean, stored, rtol=0, atol=0.0051)


def test_the_table_of_applications_follows_from_the_record(results, study):
    assert study.application(results.record, results.PROBLEMS) == [
        row | {key: pytest.approx(row[key]) for key in ("baseline", "ours", "interval", "difference")}
        for row in results.record["application"]
    ]
    for (name, horizon), row in zip(results.BEST, results.record["application"], strict=True):
        each = [np.nanmean(np.abs(mean - results.actual(name))[..., horizon if name != "stocks" else slice(None)])
                for mean in results.forecast(name, "GRU")]  # fmt: skip
        if name != "stocks":  # where months with five stocks weigh as much as those with four
            assert row["ours"] == pytest.approx(np.mean(each))
        low, high = row["difference"]
        assert low <= row["ours"] - row["baseline"] <= high


# ---------------------------------------------------------------- no forecaster sees the future


def forecaster(methods, problem, method, setting, origins):
    """Return a function of a whole series, for the leak test: forecasts of some origins, NaN elsewhere."""

    def forecasts(series):
        mean, _ = methods.walk(replace(problem, series=series), method, setting, origins)
        found = np.full((len(series), mean.shape[-1]), np.nan)
        found[list(origins)] = mean.reshape(-1, len(origins), mean.shape[-1])[0]
        return found

    return forecasts


@pytest.mark.parametrize("name, method", EVERY, ids=str)
def test_the_walk_leaks_nothing(results, study, methods, name, method):
    problem = results.PROBLEMS[name]
    setting = SHORT if method == "GRU" else study.settings(name, method)[-1]
    origins = problem.validation[30:33] if name == "weather" else problem.validation[14:17]
    forecasts = forecaster(methods, problem, method, setting, origins)
    assert future_leak(forecasts, problem.series, [origins[1]]) == []
    # and it reads the day it stands on, or the test would say nothing
    changed = problem.series.copy()
    changed[origins[0]] += 1
    if method not in ("climate", "seasonal naive", "persistence") or name == "co2":
        assert np.nanmax(np.abs(forecasts(changed) - forecasts(problem.series))) > 0


@pytest.mark.parametrize("leak", ["centred", "known", "shuffled"])
def test_the_planted_leaks_are_found(results, study, methods, leak):
    problem = results.PROBLEMS["weather"]
    origins = problem.validation[:2]

    def forecasts(series):
        whole = replace(problem, series=series)
        read = study.centred if leak == "centred" else methods.features
        if leak == "shuffled":
            mean = study.shuffled(whole, SHORT, origins, folds=2)[0]
        else:

            def fit(one, history, setting):
                return methods.fit_gru(one, history, setting, read, known=series if leak == "known" else None)

            mean = methods.walk(whole, (fit, methods.gru), SHORT, origins)[0][0]
        found = np.full((len(series), 1), np.nan)
        found[list(origins)] = mean
        return found

    found = future_leak(forecasts, problem.series[:1000], [origins[0]])
    assert len(found) == 1 and found[0].ahead == (None if leak == "known" else 1)


def test_a_day_that_is_tested_is_not_learned_from(results, study, methods, monkeypatch):
    problem, seen = results.PROBLEMS["weather"], []
    monkeypatch.setattr(study, "fit_gru", lambda *_, keep, **__: seen.append(keep(np.arange(1461))))
    monkeypatch.setattr(study, "gru", lambda problem, fitted, history: (np.full((5, 1), len(history)), None))
    mean = study.shuffled(problem, SHORT, problem.validation)
    np.testing.assert_array_equal(mean[0, :, 0], np.array(problem.validation) + 1)
    held = ~np.array(seen)
    assert (held.sum(axis=0) == np.isin(np.arange(1461), problem.validation)).all(), "each day once"


# ---------------------------------------------------------------- the methods


def test_answers_are_what_comes_after(methods, results):
    co2, stocks = results.PROBLEMS["co2"], results.PROBLEMS["stocks"]
    answers = co2.answers()
    for t, h in ((0, 1), (300, 12), (503, 12)):
        assert answers[t, h - 1] == co2.series[t + h, 0]
    assert np.isnan(answers[504, 11]) and answers[504, 10] == co2.series[515, 0]
    known = np.isfinite(stocks.answers())
    assert known[23:121, 0].all() and not known[:23].any() and not known[121].any()
    first = int(np.flatnonzero(~np.isnan(stocks.series[:, 2]))[0])
    assert known[first + 23, 2] and not known[first + 22, 2], "Google counts from its 24th return on"


def test_the_linear_model_with_its_own_past_is_statsmodels_autoregression(methods, results):
    problem = results.PROBLEMS["weather"]
    y = problem.series[:731, :1]
    x = np.broadcast_to(y, y.shape)[None]
    z = np.append(np.diff(y, axis=0), [[np.nan]], axis=0)[None]
    where = methods.windows(x, z, 3)
    assert where[0].tolist() == [0, 2] and where[-1].tolist() == [0, 729]
    rows = methods.design(methods.pick(x, where, 3))
    weights = np.linalg.lstsq(rows, z[where[:, 0], where[:, 1]], rcond=None)[0][:, 0]
    AutoReg = pytest.importorskip("statsmodels.tsa.ar_model").AutoReg
    const, *phi = AutoReg(y[:, 0], 3, trend="c").fit().params
    np.testing.assert_allclose(weights, [phi[2], phi[1], phi[0] - 1, const], atol=1e-8)


@pytest.mark.parametrize("name", ["weather", "co2"])
def test_ar_forecasts_and_deviations_are_those_of_statsmodels(methods, results, study, name):
    problem = results.PROBLEMS[name]
    history = problem.series[: problem.test[0] + 1]
    for setting in study.settings(name, "AR"):
        mean, deviation = methods.ar(problem, methods.fit_ar(problem, history, setting), history)
        result = methods.autoregression(problem, history[:, 0], setting).fit()
        H = methods.steps(problem)
        theirs = result.get_prediction(len(history), len(history) + H - 1)
        np.testing.assert_allclose(mean, theirs.predicted_mean, rtol=1e-10)
        # theirs divides the squares by all rows, ours by the rows less the parameters
        rows = len(history) - setting["lags"]
        correction = np.sqrt(rows / (rows - len(result.params)))
        np.testing.assert_allclose(deviation, correction * np.sqrt(theirs.var_pred_mean), rtol=1e-6)


def test_smoothing_of_returns_is_a_weighted_mean_of_the_past(methods, results):
    problem = results.PROBLEMS["stocks"]
    history = problem.series[:70]
    fitted = methods.fit_smoothing(problem, history, {"share": 0.1})
    mean, _ = methods.smoothing(problem, fitted, history)
    for column in (0, 2):
        y = history[~np.isnan(history[:, column]), column]
        assert mean[column] == pytest.approx(np.average(y, weights=0.9 ** np.arange(len(y))[::-1]))


def test_smoothing_of_a_level_follows_the_recursion(methods, results):
    problem = results.PROBLEMS["weather"]
    history = problem.series[:800]
    fitted = methods.fit_smoothing(problem, history, {"trend": None, "around": "zero"})
    share, level = fitted[1]["smoothing_level"], history[0, 0]
    for y in history[:, 0]:
        level += share * (y - level)
    assert methods.smoothing(problem, fitted, history)[0][0] == pytest.approx(level, abs=1e-6)


@pytest.mark.parametrize("name", ["weather", "co2", "stocks"])
def test_changes_and_units_are_inverse(methods, results, name):
    problem = results.PROBLEMS[name]
    t = problem.test[5]
    changes = methods.changes(problem, problem.series, methods.features(problem, problem.series))[:, t]
    history = problem.series[: t + 1]
    back, _ = methods.units(problem, history, methods.features(problem, history), changes, changes)
    np.testing.assert_allclose(back, problem.answers()[t])


def test_a_short_training_learns(methods, results, study):
    """Three seeds and 150 updates: better than the day before on the first half of 2014."""
    problem = results.PROBLEMS["weather"]
    history, origins = problem.series[: problem.validation[0] + 1], problem.validation[:180]
    scores = {}
    for updates in (1, 150):
        fitted = methods.fit_gru(problem, history, {"lr": [0.01], "updates": updates, "seeds": [0, 1, 2]})
        pairs = [methods.gru(problem, fitted, problem.series[: t + 1]) for t in origins]
        mean = np.stack([pair[0] for pair in pairs], axis=-2)
        scores[updates] = study.errors(problem, mean, origins).mean()
    persistence = np.abs(np.diff(problem.series[:, 0]))[origins].mean()
    assert scores[150] < 0.97 * persistence and scores[150] < 0.97 * scores[1], (scores, persistence)


# ---------------------------------------------------------------- what the lesson says


def test_coverage_is_counted(results):
    for asked, (name, horizon) in results.ASKED.items():
        share, low, high, width = results.covered(asked, "AR", 0.8)
        inside, widths = [], []
        for t, answers in enumerate(results.actual(name)):
            columns = [c for c in (range(5) if horizon is None else [horizon]) if np.isfinite(answers[c])]
            half = [1.2815515655 * results.forecast(name, "AR", "deviation")[t, c] for c in columns]
            miss = [abs(answers[c] - results.forecast(name, "AR")[t, c]) for c in columns]
            if columns:
                inside.append(np.mean([m <= h for m, h in zip(miss, half, strict=True)]))
                widths += [2 * h for h in half]
        assert share == pytest.approx(np.mean(inside)) and low <= share <= high
        assert width == pytest.approx(np.mean(widths))


def test_the_power_is_the_share_of_significant_results(results):
    rng, error = np.random.default_rng(0), results.against_persistence("GRU").error
    shift = 0.05 * results.mae("stocks", "persistence")
    found = np.abs(rng.normal(-shift, error, 100_000) / error) > 1.959964
    assert results.power(39, 5) == pytest.approx(found.mean(), abs=0.01)
    assert results.power(39, 0) == pytest.approx(0.05, abs=1e-3)
    assert results.power(1200, 5) > results.power(120, 5) > results.power(39, 5)


def test_the_worst_days_come_in_order(lesson, results):
    for method in ("GRU", "linear", "persistence"):
        errors = np.abs(results.one("weather", method) - results.actual("weather"))[:, 0]
        assert errors[results.worst(method)].tolist() == sorted(errors, reverse=True)[:15]
    axes = axes_of(lesson["worst_days"], rank=1, method="linear")
    bars = [bar.get_height() for bar in axes[1].patches[:12]]
    months = np.array([int(results.date("weather", t + 1)[5:7]) for t in results.PROBLEMS["weather"].test])
    errors = results.misses("weather", "linear")
    assert bars == pytest.approx([errors[months == month].mean() for month in range(1, 13)])
    assert max(bars) < 4


def test_the_drawn_forecasts_are_the_stored_ones(lesson, results):
    first, method = random.choice(range(0, 345, 14)), random.choice(["AR", "linear", "climate"])
    (ax,) = axes_of(lesson["three_weeks"], first=first, method=method)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), results.forecast("weather", method)[first : first + 21, 0])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), results.PROBLEMS["weather"].series[1096 + first :, 0][:21])
    origin = random.choice(range(0, 109, 4))
    (ax,) = axes_of(lesson["a_year_ahead"], origin=origin, method="AR")
    now = results.PROBLEMS["co2"].series[395 + origin, 0]
    np.testing.assert_allclose(ax.lines[0].get_ydata() + now, results.forecast("co2", "AR")[origin], atol=1e-9)


NAMES = ["three_weeks", "worst_days", "a_year_ahead", "by_months_ahead", "calibration", "chance_to_notice"]


@pytest.mark.parametrize("name", NAMES)
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])

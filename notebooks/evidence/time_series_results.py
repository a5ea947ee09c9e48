"""What the record of lesson 19 says: errors, differences with intervals, coverage, and what 39 months can show."""

import json
from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
import time_series as study
import time_series_methods as methods
from records import mean_and_half

from rnnlab.forecasts import block_interval, diebold_mariano, gaussian_crps

HERE = Path(__file__).parent
record = json.loads((HERE / "time_series.json").read_text(encoding="utf-8"))
PROBLEMS = methods.problems()
START = {"weather": np.datetime64("2012-01-01"), "co2": np.datetime64("1959-01"), "stocks": np.datetime64("2000-02")}
COLOR = {
    "persistence": "C6", "seasonal naive": "C7", "climate": "C7", "season and growth": "C7", "AR": "C1",
    "smoothing": "C2", "linear": "C3", "GRU": "C0",
}  # fmt: skip
Z80 = NormalDist().inv_cdf(0.9)
ROWS = {row["task"]: row for row in record["application"]}
BEST = {(name, horizon): ROWS[task]["baseline_name"] for name, horizon, task, _, _ in study.TASKS}


def date(name, step):
    """Return the day or month of a step of a series, as text."""
    return str(START[name] + int(step))


def actual(name):
    """Return the answers of the test part, (origins, answers)."""
    return PROBLEMS[name].answers()[list(PROBLEMS[name].test)]


@cache
def forecast(name, method, what="mean"):
    """Return the stored forecasts of the test part, (origins, answers), or (seeds, origins, answers) of the GRU."""
    return study.stored(record["problems"][name], method, what)


def one(name, method, what="mean"):
    """Return forecasts, (origins, answers); of the GRU those of the first seed."""
    found = forecast(name, method, what)
    return found[0] if method == "GRU" else found


def has_interval(name, method):
    return "deviation" in record["problems"][name]["test"][method]


# ---------------------------------------------------------------- errors


@cache
def misses(name, method, horizon=0):
    """Return one absolute error for each origin, (..., origins); of stocks the mean over them."""
    problem = PROBLEMS[name]
    return study.over_time(problem, study.errors(problem, forecast(name, method), problem.test), horizon)


def mae(name, method, horizon=0):
    return float(np.nanmean(misses(name, method, horizon)))


def table(name, horizon=0, digits=2):
    """Print both errors of each method, and the skill: by which share the first is below that of persistence."""
    problem, rival = PROBLEMS[name], mae(name, "persistence", horizon)
    print(f"{problem.unit:17s} MAE  RMSE  skill")
    for method in study.METHODS[name]:
        absolute = study.errors(problem, forecast(name, method), problem.test)
        chosen = absolute if name == "stocks" else absolute[..., horizon]
        chosen = chosen.reshape(len(chosen) if method == "GRU" else 1, -1)
        square = np.sqrt(np.nanmean(chosen**2, axis=1)).mean()
        error = mae(name, method, horizon)
        skill = f"{1 - error / rival:5.0%}".replace("-0%", " 0%")
        print(f"{method:17s} {error:{digits + 2}.{digits}f}  {square:{digits + 2}.{digits}f}  {skill}")


def versus(name, rival, horizon=0):
    """Return by how much the GRU's mean absolute error is above a rival's, and its 95% interval, time and seeds."""
    block = max(study.BLOCKS[name], horizon + 1)
    difference = misses(name, "GRU", horizon) - misses(name, rival, horizon)
    return float(np.nanmean(difference)), *block_interval(difference, block)


def over_seeds(name, horizon=0, digits=2):
    """Return the GRU's mean absolute error and its 95% interval over five seeds, as text."""
    each = np.nanmean(misses(name, "GRU", horizon), axis=1)
    mean, half = mean_and_half(each)
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def signed(numbers, digits=2):
    """Return a difference and its interval as text."""
    mean, low, high = (f"{round(number, digits) + 0.0:+.{digits}f}".replace("-", "−") for number in numbers)
    return f"{mean} ({low} to {high})"


def by_horizon(method, measure):
    """Return the error of the carbon dioxide at each of 12 horizons, of the GRU the mean of its seeds."""
    absolute = study.errors(PROBLEMS["co2"], forecast("co2", method), PROBLEMS["co2"].test)
    power = 1 if measure == "mean absolute" else 2
    return (np.nanmean(absolute**power, axis=-2) ** (1 / power)).reshape(-1, 12).mean(axis=0)


def worst(method, number=15):
    """Return the days of 2015 that a method missed most, the worst first, as numbers from 0."""
    return np.argsort(-np.abs(one("weather", method) - actual("weather"))[:, 0], kind="stable")[:number]


@cache
def by_month(method):
    """Return the mean absolute error of each month of 2015, (12,)."""
    months = np.array([int(date("weather", t + 1)[5:7]) for t in PROBLEMS["weather"].test])
    errors = np.atleast_2d(misses("weather", method)).mean(axis=0)
    return np.array([errors[months == month].mean() for month in range(1, 13)])


# ---------------------------------------------------------------- intervals

ASKED = {
    "weather, 1 day": ("weather", 0), "CO2, 1 month": ("co2", 0), "CO2, 12 months": ("co2", 11),
    "stocks, 1 month": ("stocks", None),
}  # fmt: skip


@cache
def judged(asked, method):
    """Return the truth (1, origins, columns), means and deviations (S, origins, columns) of a problem."""
    name, horizon = ASKED[asked]
    columns = slice(None) if horizon is None else [horizon]
    arrays = actual(name), forecast(name, method), forecast(name, method, "deviation")
    return tuple(array.reshape(-1, *array.shape[-2:])[..., columns] for array in arrays)


@cache
def covered(asked, method, level):
    """Return the share of answers inside the interval, the 95% interval of that share, and the mean width."""
    truth, mean, deviation = judged(asked, method)
    half = np.where(np.isnan(truth), np.nan, NormalDist().inv_cdf((1 + level) / 2) * deviation)
    inside = np.where(np.isnan(half), 0, np.abs(truth - mean) <= half).sum(axis=-1)
    known = np.isfinite(half).sum(axis=-1)
    share = np.where(known > 0, inside / np.maximum(known, 1), np.nan)  # of an origin; five stocks are one
    horizon = ASKED[asked][1] or 0
    block = max(study.BLOCKS[ASKED[asked][0]], horizon + 1)
    return float(np.nanmean(share)), *block_interval(share, block, draws=500), float(np.nanmean(2 * half))


def crps(asked, method, factor=1.0):
    """Return the mean score of a method's normal forecasts, their deviations times a factor."""
    truth, mean, deviation = np.broadcast_arrays(*judged(asked, method))
    known = np.isfinite(truth)
    return float(gaussian_crps(truth[known], mean[known], factor * deviation[known]).mean())


# ---------------------------------------------------------------- stocks


def against_persistence(method, lags=3):
    """Test whether a method's error in a month, a mean over stocks and seeds, differs from that of persistence."""
    months = np.atleast_2d(misses("stocks", method)).mean(axis=0)
    return diebold_mariano(months - misses("stocks", "persistence"), lags)


def power(months, percent):
    """Return the chance of p < 0.05 with so many months if the GRU's error is lower by so many percent in truth."""
    error = against_persistence("GRU").error * np.sqrt(len(actual("stocks")) / months)
    shift, z = percent / 100 * mae("stocks", "persistence") / error, NormalDist().inv_cdf(0.975)
    return 1 - NormalDist().cdf(z - shift) + NormalDist().cdf(-z - shift)


def gain(leak):
    """Return by how much a leak lowers the error of 2014, mean over seeds and half its 95% interval, paired by seed."""
    each = np.array(record["leaks"]["none"]) - np.array(record["leaks"][leak])
    return mean_and_half(each)


# ---------------------------------------------------------------- the networks that come with the page


def saved_network(name, number):
    """Return a stored fit of the first seed: parameters, and the means and deviations of inputs and answers."""
    start = f"{name}/{number}/"
    with np.load(HERE / "time_series_model.npz") as file:
        found = {key.removeprefix(start): file[key] for key in file if key.startswith(start)}
    scales = {of: (found.pop(f"{of}_0"), found.pop(f"{of}_1")) for of in ("of_x", "of_z")}
    return {"params": {key: value[None] for key, value in found.items()}, **scales}


def from_saved(name):
    """Walk through the test part with the stored networks; return means and deviations, (origins, answers)."""
    problem, numbers = PROBLEMS[name], iter(range(99))
    pair = (lambda *_: saved_network(name, next(numbers)), methods.gru)
    return tuple(array[0] for array in methods.walk(problem, pair, None, problem.test))

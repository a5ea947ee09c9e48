"""Who forecasts best: persistence, the season, autoregression, smoothing, a linear model or a GRU?

Seattle's highest temperature of tomorrow, the carbon dioxide of the next twelve months, next month's return of five
stocks. Parts in order of time. Every method that has settings gets six trials on the validation years, judged by the
mean absolute error; the GRU's are three learning rates with two lengths of training, on two pilot seeds. Then each
walks through the test years once, the GRU with five fresh seeds. Both walks fit anew on one schedule, from all that is
known by then. What a leak brings is measured on the validation year of the weather.

    python notebooks/evidence/time_series.py            # three minutes on one core; cut off, it leaves the old files
    python notebooks/evidence/time_series.py --leaks    # only what leaks bring, put into the record that is there
"""

import argparse
import json
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import statsmodels
from records import mean_and_half, whole, write
from time_series_methods import BATCH_SIZE, MAX_NORM, WIDTH, features, fit_gru, gru, problems, walk
from tqdm import tqdm

import rnnlab as rl
from rnnlab.forecasts import block_interval

RECORD, MODEL = (Path(__file__).with_name(f"time_series{end}") for end in (".json", "_model.npz"))
PILOT_SEEDS, FRESH_SEEDS, RATES = [0, 1], [100, 101, 102, 103, 104], [0.001, 0.003, 0.01]
UPDATES = {"weather": [150, 600], "co2": [300, 1200], "stocks": [150, 600]}
BLOCKS = {"weather": 14, "co2": 12, "stocks": 3}  # steps that may hang together
DIGITS = {"weather": 2, "co2": 3, "stocks": 2}


def settings(name, method):
    """Return the six trials of a method, or the only one."""
    grid = {
        ("weather", "AR"): {"lags": [1, 3, 7], "season": [False, True]},
        ("weather", "smoothing"): {"trend": [None, "add", "damped"], "around": ["zero", "season"]},
        ("weather", "linear"): {"lags": [1, 2, 3, 5, 7, 14]},
        ("co2", "AR"): {"lags": [1, 3, 13], "season": [False, True]},
        ("co2", "smoothing"): {"trend": [None, "add", "damped"], "seasonal": ["add", "mul"]},
        ("co2", "linear"): {"lags": [1, 2, 3, 6, 12, 24]},
        ("stocks", "AR"): {"lags": [0, 1, 2, 3, 4, 6]},
        ("stocks", "smoothing"): {"share": [0.01, 0.02, 0.05, 0.1, 0.2, 0.4]},
        ("stocks", "linear"): {"lags": [1, 2, 3, 4, 6, 12]},
    }.get((name, method), {})
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


METHODS = {
    "weather": ["persistence", "seasonal naive", "climate", "AR", "smoothing", "linear", "GRU"],
    "co2": ["persistence", "seasonal naive", "season and growth", "AR", "smoothing", "linear", "GRU"],
    "stocks": ["persistence", "seasonal naive", "AR", "smoothing", "linear", "GRU"],
}

# ---------------------------------------------------------------- errors


def errors(problem, mean, origins):
    """Return absolute errors, (..., origins, answers); NaN where no answer is known, or none before the part's end.

    Raises:
        ValueError: a forecast is missing where there is an answer, which would make the comparison unfair.
    """
    answers = problem.answers(problem.series[: origins[-1] + 2])[list(origins)]
    if np.isnan(np.where(np.isnan(answers), 0, mean)).any():
        raise ValueError(f"expected a forecast of {problem.name} wherever there is an answer")
    return np.abs(mean - answers)


def over_time(problem, absolute, horizon=0):
    """Return one error for each origin, (..., origins): of one answer, or of the stocks' mean."""
    return np.nanmean(absolute, axis=-1) if problem.name == "stocks" else absolute[..., horizon]


# ---------------------------------------------------------------- tuning, then the test


def tuned(problem, method):
    """Try a method's settings on the validation part; return rows of setting and error, and the best setting."""
    if method != "GRU":
        trials = settings(problem.name, method)
        found = [walk(problem, method, one, problem.validation)[0] for one in trials]
    else:
        trials, found = [], []
        for updates in UPDATES[problem.name]:
            setting = {"lr": RATES, "updates": updates, "seeds": PILOT_SEEDS}
            mean = walk(problem, method, setting, problem.validation, progress=True)[0]
            found += list(mean.reshape(len(RATES), len(PILOT_SEEDS), *mean.shape[1:]))
            trials += [{"lr": lr, "updates": updates} for lr in RATES]
    every = [errors(problem, mean, problem.validation) for mean in found]
    rows = [
        {"setting": one, "mae": round(float(np.nanmean(error)), 4), "by_answer": _by_answer(error)}
        for one, error in zip(trials, every, strict=True)
    ]
    return rows, min(rows, key=lambda row: row["mae"])["setting"]


def _by_answer(error):
    with np.errstate(invalid="ignore"):
        known = np.isfinite(error).any(axis=tuple(range(error.ndim - 1)))
        return [round(float(np.nanmean(error[..., c])), 4) if known[c] else None for c in range(len(known))]


def studied(problem, kept):
    """Tune and test all methods on one problem; return what is stored."""
    found = {"trials": {}, "chosen": {}, "test": {}, "seconds": {}}
    for method in METHODS[problem.name]:
        found["trials"][method], chosen = tuned(problem, method)
        found["chosen"][method] = chosen
        began = time.process_time()
        if method == "GRU":
            chosen = {"lr": [chosen["lr"]], "updates": chosen["updates"], "seeds": FRESH_SEEDS}
        keep = kept if method == "GRU" else None
        mean, deviation = walk(problem, method, chosen, problem.test, keep, progress=True)
        errors(problem, mean, problem.test)
        found["seconds"][method] = round(time.process_time() - began, 2)
        found["test"][method] = {"mean": rounded(mean, problem)}
        if not np.isnan(deviation).all():
            found["test"][method]["deviation"] = rounded(deviation, problem)
    return found


def rounded(array, problem):
    """Return nested lists of an array, rounded, None for NaN."""
    digits = DIGITS[problem.name]
    return np.where(np.isnan(array), None, np.round(array, digits).astype(object)).tolist()


# ---------------------------------------------------------------- what a leak brings, on the validation year


def centred(problem, history):
    """Features from columns smoothed over the day before, the day and the day after: the last reads tomorrow."""
    whole = problem.series
    padded = np.concatenate([whole[:1], whole, whole[-1:]])
    return features(problem, ((padded[:-2] + padded[1:-1] + padded[2:]) / 3)[: len(history)])


def trailing(problem, history):
    """Features from columns smoothed over the day and the two before."""
    padded = np.concatenate([history[:1], history[:1], history])
    return features(problem, (padded[:-2] + padded[1:-1] + padded[2:]) / 3)


def shuffled(problem, setting, origins, folds=4):
    """Forecast each quarter of the days, drawn at random, by networks that learned from all days but these."""
    upto = problem.series[: origins[-1] + 2]
    fold_of = np.random.default_rng(0).permutation(np.arange(len(origins)) % folds)
    found = None
    for fold in range(folds):
        held = np.array(origins)[fold_of == fold]
        fitted = fit_gru(problem, upto, setting, keep=lambda steps, held=held: ~np.isin(steps, held))
        for t in held:
            mean, _ = gru(problem, fitted, problem.series[: t + 1])
            found = np.empty((len(mean), len(origins), 1)) if found is None else found
            found[:, t - origins[0]] = mean
    return found


def leaks(problem, chosen):
    """Return the mean absolute error of each seed on the validation year, for each way to prepare the data."""
    setting = {"lr": [chosen["lr"]], "updates": chosen["updates"], "seeds": FRESH_SEEDS}
    ways = {
        "none": fit_gru,
        "standardized by all years": partial(fit_gru, known=problem.series),
        "centred mean": partial(fit_gru, read=centred),
        "trailing mean": partial(fit_gru, read=trailing),
    }
    found = {}
    for name, fit in tqdm(ways.items(), "leaks"):
        mean, _ = walk(problem, (fit, gru), setting, problem.validation)
        found[name] = errors(problem, mean, problem.validation)[..., 0].mean(axis=1)
    found["shuffled days"] = errors(problem, shuffled(problem, setting, problem.validation), problem.validation)
    found["shuffled days"] = found["shuffled days"][..., 0].mean(axis=1)
    return {name: np.round(values, 4).tolist() for name, values in found.items()}


# ---------------------------------------------------------------- the table of applications


TASKS = [
    ("weather", 0, "Tomorrow's highest temperature in Seattle", "seattle_weather", "°C"),
    ("co2", 0, "Carbon dioxide in one month", "co2", "ppm"),
    ("co2", 11, "Carbon dioxide in twelve months", "co2", "ppm"),
    ("stocks", 0, "Next month's return of five stocks", "stocks", "%"),
]


def application(record, everything):
    """Return a row for each task; the baseline is the method without a network that was best in validation."""
    rows = []
    for name, horizon, task, data, unit in TASKS:
        problem, found = everything[name], record["problems"][name]
        judge = {method: best_trial(found, method, horizon) for method in METHODS[name] if method != "GRU"}
        baseline = min(judge, key=judge.get)
        ours, theirs = (
            over_time(problem, errors(problem, stored(found, method), problem.test), horizon)
            for method in ("GRU", baseline)
        )
        per_seed = np.nanmean(ours, axis=1)
        block = max(BLOCKS[name], horizon + 1)
        rows.append({
            "lesson": "19_time_series", "task": task, "data": data, "metric": "mean absolute error on the test years",
            "better": "lower", "unit": unit, "baseline_name": baseline, "baseline": float(np.nanmean(theirs)),
            "model": f"GRU, {WIDTH} units", "ours": float(per_seed.mean()),
            "interval": mean_and_half(per_seed)[1],
            "difference": list(block_interval(ours - theirs, block)), "published": None, "published_source": None,
            "seconds": round(found["seconds"]["GRU"] / len(per_seed), 1),
        })  # fmt: skip
    return rows


def best_trial(found, method, horizon):
    """Return the validation error of a method's chosen setting at one horizon."""
    row = min(found["trials"][method], key=lambda row: row["mae"])
    return row["mae"] if len(row["by_answer"]) != 12 else row["by_answer"][horizon]


def stored(found, method, what="mean"):
    """Return a method's stored test forecasts as an array."""
    return np.array(found["test"][method][what], float)


def studies():
    """Return the whole record, and the networks of the first fresh seed by name."""
    began, everything, models = time.process_time(), problems(), {}
    record = {
        "command": "python notebooks/evidence/time_series.py", **rl.provenance(),
        "statsmodels": statsmodels.__version__,
        "settings": {
            "pilot_seeds": PILOT_SEEDS, "fresh_seeds": FRESH_SEEDS, "rates": RATES, "updates": UPDATES,
            "width": WIDTH, "batch_size": BATCH_SIZE, "max_norm": MAX_NORM, "dtype": "float32", "optimizer": "Adam",
            "schedule": "CosineDecay", "blocks": BLOCKS,
            "refits": {name: one.refits for name, one in everything.items()},
            "windows": {name: one.window for name, one in everything.items()},
        },
        "problems": {},
    }  # fmt: skip
    for name, problem in everything.items():
        kept = []
        record["problems"][name] = studied(problem, kept)
        for number, fitted in enumerate(kept):
            arrays = {key: value[0].astype(np.float32) for key, value in fitted["params"].items()}
            arrays |= {f"{key}_{n}": fitted[key][n] for key in ("of_x", "of_z") for n in (0, 1)}
            models |= {f"{name}/{number}/{key}": value for key, value in arrays.items()}
    record["application"] = application(record, everything)
    record["seconds"] = round(time.process_time() - began)
    return record, models


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leaks", action="store_true", help="only measure what leaks bring")
    if parser.parse_args().leaks:
        record, models = json.loads(RECORD.read_text(encoding="utf-8")), None
    else:
        record, models = studies()
    record["leaks"] = leaks(problems()["weather"], record["problems"]["weather"]["chosen"]["GRU"])
    if models:
        with whole(MODEL) as path:
            np.savez_compressed(path, **models)
    text = json.dumps(record, separators=(",", ":")).replace('},"', '},\n"') + "\n"
    write(RECORD, text)


if __name__ == "__main__":
    main()

"""Five optimizers, three ways to clip, three tasks and two cells: 90 pairs of a method and a problem, tuned alike.

1. Tuning. Every pair gets the same six trials: learning rates in steps of about three, on the same three pilot seeds.
   Momentum, betas, epsilon and the two thresholds are the usual ones and are not tuned.
2. Comparison. Each pair's best learning rate runs on ten fresh seeds. A seed fixes starting weights and batches, so
   methods can be compared seed by seed.

What is tuned and compared is the loss on held-out sequences at the end, and never counts as more than that of the best
constant answer: a run that has diverged and one that learned nothing are equally useless. For the weather, the learning
rate is chosen on one year and the comparison is made on the next.

    python notebooks/evidence/choosing.py          # about half an hour on two cores; goes on where it stopped

A larger benchmark is a larger grid: more names in OPTIMIZERS, CLIPS, TASKS or CELLS. What is stored is not run again.
"""

import argparse
import json
import time
from functools import cache
from pathlib import Path

import numpy as np

import rnnlab as rl
from rnnlab.datasets import Forecast, load

HERE = Path(__file__).parent
PILOT, FRESH, ABOUT = (HERE / f"choosing_{name}" for name in ("pilot.parquet", "fresh.parquet", "about.json"))
HIDDEN, BATCH_SIZE, POINTS = 32, 16, 25
PILOT_SEEDS, FRESH_SEEDS = range(3), range(1000, 1010)

OPTIMIZERS = {
    "SGD": lambda lr: rl.SGD(lr),
    "momentum": lambda lr: rl.SGD(lr, momentum=0.9),
    "AdaGrad": rl.AdaGrad,
    "RMSProp": rl.RMSProp,
    "Adam": rl.Adam,
}
LEARNING_RATES = {
    "SGD": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    "momentum": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    "AdaGrad": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    "RMSProp": (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03),
    "Adam": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
}
CLIPS = {"no clip": None, "by norm": rl.ClipNorm(1.0), "by value": rl.ClipValue(0.1)}
CELLS = {"RNN": rl.RNNCell, "LSTM": rl.LSTMCell}


class Problem:
    """Put a task beside what its results are judged by.

    Args:
        task: to train on.
        updates: length of a training.
        loss: the model's.
        constant: loss of the best constant answer.
        held_out: function of a random generator that returns the two batches to tune and to compare on.
    """

    def __init__(self, task, updates, loss, constant, held_out=None):
        self.task, self.updates, self.loss, self.constant = task, updates, loss, constant
        self.held_out = held_out or (lambda rng: (task.sample(rng, 500), task.sample(rng, 1000)))


@cache
def weather():
    """Return the forecast of Seattle's highest temperature from 30 days, tuned on 2014 and judged on 2015."""
    data = load("seattle_weather")
    years = [Forecast(days, length=30) for days in (data.validation, data.test)]
    constant = float(data.train[30:, 0].var())  # always the mean of the years that it trains on
    return Problem(
        Forecast(data.train, 30), 600, rl.squared_error, constant, lambda rng: [year.every() for year in years]
    )


TASKS = {
    "adding": lambda: Problem(rl.Adding(20), 2500, rl.squared_error, rl.Adding.baseline),
    "temporal order": lambda: Problem(rl.TemporalOrder(30), 1500, rl.cross_entropy, rl.TemporalOrder.baseline),
    "weather": weather,
}


def run(cell, task, clip, optimizer, lr, seed):
    """Train once.

    Returns:
        dict: `tuning` and `loss`, on the two batches that were held out, at most `constant`; `diverged_at`;
        `clipped`, the share of updates in which the clip acted; `largest_norm` and `median_norm` of the gradient;
        `heard_before` and `heard`, ||dL/dh_first|| / ||dL/dh_last|| before and after training; `curve`, the mean
        training loss in 25 equal parts of the run, shorter if it diverged.
    """
    problem = TASKS[task]()
    model = rl.Model(CELLS[cell](problem.task.input_size, HIDDEN), problem.task.output_size, problem.loss)
    rule, settings = OPTIMIZERS[optimizer](lr), {"batch_size": BATCH_SIZE, "progress": False}
    start = model.init(np.random.default_rng(np.random.SeedSequence(seed).spawn(2)[0]))  # as `train` draws it
    history = rl.train(model, problem.task, rule, CLIPS[clip], problem.updates, seed, **settings)
    tuning, test = problem.held_out(np.random.default_rng([seed, 7]))
    part = problem.updates // POINTS
    whole = history.loss[: len(history.loss) // part * part].reshape(-1, part).mean(axis=1)
    finite = history.grad_norm[np.isfinite(history.grad_norm)]
    return {
        "tuning": judged(model, history, tuning, problem),
        "loss": judged(model, history, test, problem),
        "diverged_at": history.diverged_at,
        "clipped": float(history.clipped.mean()),
        "largest_norm": float(finite.max()),
        "median_norm": float(np.median(finite)),
        "heard_before": heard(model, start, test),
        "heard": heard(model, history.params, test),
        "curve": [float(f"{loss:.4g}") for loss in whole],
    }


def judged(model, history, batch, problem):
    """Return the loss on held-out sequences, at most that of a constant answer, as which a run that diverged counts."""
    if history.diverged_at is not None:
        return problem.constant
    outputs, _ = model.forward(history.params, batch.x)
    return min(model.loss(outputs, batch.y, batch.mask)[0], problem.constant)


def heard(model, params, batch):
    """Return how much of the gradient's length at the last step is left at the first; NaN where there is none."""
    flow = rl.gradient_flow(model, params, rl.Batch(batch.x[:, :100], batch.y[:, :100], batch.mask[:, :100]))
    return float(flow[0] / flow[-1]) if flow[-1] > 0 else float("nan")


def pilot_run(cell, task, clip, optimizer, step, seed):
    """Train with one of the optimizer's six learning rates."""
    result = run(cell, task, clip, optimizer, LEARNING_RATES[optimizer][step], seed)
    return {"lr": LEARNING_RATES[optimizer][step], **{name: result[name] for name in ("tuning", "diverged_at")}}


def chosen_rates(pilot):
    """Return the learning rate with the lowest mean tuning loss for each pair; the smaller one of two equals."""
    means = pilot.groupby(["cell", "task", "clip", "optimizer", "lr"]).tuning.mean()
    return {key: of_pair.idxmin()[-1] for key, of_pair in means.groupby(level=[0, 1, 2, 3])}


def compare(executor):
    """Run what is not stored yet: the tuning, then the comparison."""
    pairs = {"cell": list(CELLS), "task": list(TASKS), "clip": list(CLIPS), "optimizer": list(OPTIMIZERS)}
    pilot = rl.sweep(pilot_run, executor, store=PILOT, **pairs, step=range(6), seed=PILOT_SEEDS)
    rates = chosen_rates(pilot)

    def fresh_run(cell, task, clip, optimizer, seed):
        lr = rates[cell, task, clip, optimizer]
        return {"lr": lr, **run(cell, task, clip, optimizer, lr, seed)}

    return pilot, rl.sweep(fresh_run, executor, store=FRESH, **pairs, seed=FRESH_SEEDS)


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    began = time.time()
    with rl.processes() as executor:
        pilot, fresh = compare(executor)
    about = {
        "command": "python notebooks/evidence/choosing.py",
        "settings": {
            "hidden_size": HIDDEN, "batch_size": BATCH_SIZE, "dtype": "float64",
            "updates": {name: problem().updates for name, problem in TASKS.items()},
            "constant_answer": {name: problem().constant for name, problem in TASKS.items()},
            "persistence": Forecast(load("seattle_weather").test, 30).baseline,
            "learning_rates": LEARNING_RATES,
            "clips": {name: repr(clip) for name, clip in CLIPS.items()},
            "pilot_seeds": list(PILOT_SEEDS), "fresh_seeds": list(FRESH_SEEDS),
        },
        **rl.provenance(),
        "failed": int(pilot.error.notna().sum() + fresh.error.notna().sum()),
        "core_seconds": round(float(pilot.seconds.sum() + fresh.seconds.sum())),
        "seconds_of_this_call": round(time.time() - began),
    }  # fmt: skip
    ABOUT.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()

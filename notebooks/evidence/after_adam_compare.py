"""Adam and six optimizers that came after it, on a recurrent task: the same budget for tuning, then fresh seeds.

The task is temporal order (20 steps), the network has 32 tanh units and PyTorch's starting weights, and every gradient
is clipped by norm at 1.

1. Tuning. Every method gets eight settings on the same five pilot seeds. For six of them these are eight learning
   rates, each twice the one before. Muon has two learning rates, one for the recurrent matrix and one for the other
   parameters (Adam moves these), so it gets four times two.
2. Comparison. Each method's best setting runs on twenty fresh seeds. A seed fixes the starting weights and the batches,
   so the methods can be compared seed by seed.

All other settings are the defaults, but Muon has no weight decay and leaves the input's matrix to Adam. What is tuned
and compared is the loss on held-out sequences, every 50 updates, averaged over the WHOLE run, so that learning early
counts as well as learning at all. It is taken at the parameters that a method says are to be evaluated (Schedule-Free:
the average). No entry counts as more than guessing, nor do those that a diverged run has not made.

    python notebooks/evidence/after_adam_compare.py            # about five minutes on two cores; then goes on
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import rnnlab as rl

HERE = Path(__file__).parent
PILOT, FRESH, ABOUT = (HERE / f"after_adam_{name}" for name in ("pilot.parquet", "fresh.parquet", "about.json"))
TASK = rl.TemporalOrder(length=20)
MODEL = rl.Model(rl.RNNCell(TASK.input_size, hidden_size=32), TASK.output_size, rl.cross_entropy)
CLIP = rl.ClipNorm(1.0)
UPDATES, EVERY, BATCH_SIZE, HELD_OUT = 1000, 50, 20, 250
PILOT_SEEDS, FRESH_SEEDS = range(5), range(300, 320)


def doubling(first):
    """Return eight settings: learning rates, each twice the one before, without a second one."""
    return [(round(first * 2**k, 7), None) for k in range(8)]


SETTINGS = {
    "Adam": doubling(0.0005),
    "AdamW": doubling(0.0005),
    "NAdam": doubling(0.0005),
    "AMSGrad": doubling(0.0005),
    "Lion": doubling(0.00005),
    "Muon": [(lr, others) for lr in (0.0025, 0.005, 0.01, 0.02) for others in (0.004, 0.012)],
    "Schedule-Free": doubling(0.001),
}


def optimizer(method, lr, others):
    """Return the optimizer of a method at a setting; `others` is the learning rate of Muon's companion."""
    if method == "Muon":
        return rl.Muon(lr, weight_decay=0.0, hidden=("weight_hh",), others=rl.Adam(others))
    kinds = {"Adam": rl.Adam, "AdamW": rl.AdamW, "NAdam": rl.NAdam, "AMSGrad": rl.AMSGrad}
    return (kinds | {"Lion": rl.Lion, "Schedule-Free": rl.ScheduleFree})[method](lr)


def run(method, lr, others, seed, updates=UPDATES):
    """Train once.

    Returns:
        dict: `curve`, the loss on held-out sequences after every 50 updates, at most that of guessing; `mean_loss`, its
        mean; `wrong`, the share of 1,000 other sequences that are classified wrongly at the end, that of guessing if
        the run diverged; `diverged_at`.
    """
    look = rl.Validation(TASK, every=EVERY, samples=HELD_OUT)
    settings = {"batch_size": BATCH_SIZE, "validation": look, "progress": False}
    history = rl.train(MODEL, TASK, optimizer(method, lr, others), CLIP, updates, seed, **settings)
    curve = np.full(updates // EVERY, TASK.baseline)
    curve[: len(history.validation)] = np.fmin(history.validation, TASK.baseline)  # fmin takes NaN for guessing too
    wrong = TASK.baseline_error
    if history.diverged_at is None:
        wrong = 1 - rl.evaluate(MODEL, history.params, TASK, rl.accuracy, seed=seed)
    curve = [float(f"{loss:.6g}") for loss in curve]
    mean_loss = float(np.mean(curve))
    return {"mean_loss": mean_loss, "wrong": round(wrong, 3), "diverged_at": history.diverged_at, "curve": curve}


def pilot_run(method, setting, seed):
    """Train with one of a method's eight settings."""
    lr, others = SETTINGS[method][setting]
    return {"lr": lr, "others": others, "mean_loss": run(method, lr, others, seed)["mean_loss"]}


def chosen(pilot):
    """Return the number of the setting with the lowest mean loss for each method."""
    means = pilot.groupby(["method", "setting"]).mean_loss.mean()
    return {method: means[method].idxmin() for method in SETTINGS}


def compare(executor):
    """Run what is not stored yet: the tuning, then the comparison."""
    pilot = rl.sweep(pilot_run, executor, store=PILOT, method=list(SETTINGS), setting=range(8), seed=PILOT_SEEDS)
    best = chosen(pilot)

    def fresh_run(method, seed):
        lr, others = SETTINGS[method][best[method]]
        return {"lr": lr, "others": others, **run(method, lr, others, seed)}

    return pilot, rl.sweep(fresh_run, executor, store=FRESH, method=list(SETTINGS), seed=FRESH_SEEDS)


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    began = time.time()
    with rl.processes() as executor:
        pilot, fresh = compare(executor)
    about = {
        "command": "python notebooks/evidence/after_adam_compare.py",
        "settings": {
            "task": f"TemporalOrder(length={TASK.length})", "model": f"{MODEL.cell!r}, float64", "clip": repr(CLIP),
            "updates": UPDATES, "every": EVERY, "batch_size": BATCH_SIZE, "loss_of_guessing": TASK.baseline,
            "tried": SETTINGS, "pilot_seeds": list(PILOT_SEEDS), "fresh_seeds": list(FRESH_SEEDS),
        },
        **rl.provenance(),
        "failed": int(pilot.error.notna().sum() + fresh.error.notna().sum()),
        "core_seconds": round(float(pilot.seconds.sum() + fresh.seconds.sum())),
        "seconds_of_this_call": round(time.time() - began),
    }  # fmt: skip
    ABOUT.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Compare no clip, the clip by norm and the clip by value, each tuned with the same number of trials.

The task is temporal order (30 steps), the network has 50 tanh units and starts as "basic tanh" of Pascanu, Mikolov and
Bengio (2013): all weights from a normal distribution of standard deviation 0.1. Plain SGD with momentum.

1. Tuning. Every method gets 12 settings on the same four pilot seeds. Without a clip these are 12 learning rates; with
   one they are 4 learning rates times 3 thresholds. The thresholds of the two clips have the same reach: the longest
   gradient that the clip by value lets through is max_value times the root of the number of parameters.
2. Comparison. Each method's best setting runs on 48 fresh seeds.

The loss of a run is the mean over its last 50 updates, and never counts as more than that of guessing: a run that has
diverged and one that learned nothing are equally useless.

    python notebooks/evidence/clipping_compare.py              # about eight minutes on one core
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import rnnlab as rl

TASK = rl.TemporalOrder(length=30)
MODEL = rl.Model(rl.RNNCell(TASK.input_size, hidden_size=50), TASK.output_size, rl.cross_entropy)
UPDATES, BATCH_SIZE, MOMENTUM, LAST = 1500, 20, 0.9, 50
PILOT_SEEDS, FRESH_SEEDS = range(4), range(100, 148)

LEARNING_RATES = [0.01, 0.03, 0.1, 0.3]
SETTINGS = {
    "no clip": [(round(lr, 5), None) for lr in np.geomspace(0.0003, 0.3, 12).tolist()],
    "by norm": [(lr, max_norm) for lr in LEARNING_RATES for max_norm in (0.05, 0.5, 5.0)],
    "by value": [(lr, max_value) for lr in LEARNING_RATES for max_value in (0.001, 0.01, 0.1)],
}


def start(seed):
    """Draw the starting parameters: normal with standard deviation 0.1, biases 0."""
    rng = np.random.default_rng(seed)
    drawn = MODEL.init(rng)
    return {name: np.zeros_like(p) if "bias" in name else rng.normal(0, 0.1, p.shape) for name, p in drawn.items()}


def run(method, lr, threshold, seed, updates=UPDATES):
    """Train once.

    Returns:
        dict: `loss` of the last updates, at most that of guessing; `error`, the share of 1,000 fresh sequences that are
        classified wrongly; `largest_norm`; `clipped`, the share of updates in which the clip acted; `diverged_at`;
        `curve`, the mean loss of every 50 updates.
    """
    clip = {"no clip": lambda _: None, "by norm": rl.ClipNorm, "by value": rl.ClipValue}[method](threshold)
    optimizer = rl.SGD(lr, momentum=MOMENTUM)
    history = rl.train(MODEL, TASK, optimizer, clip, updates, seed, BATCH_SIZE, params=start(seed), progress=False)
    whole = history.loss[: len(history.loss) // LAST * LAST].reshape(-1, LAST)
    finite_norms = history.grad_norm[np.isfinite(history.grad_norm)]
    return {
        "loss": min(history.final_loss(LAST), TASK.baseline),
        "error": round(1 - rl.evaluate(MODEL, history.params, TASK, rl.accuracy, samples=1000, seed=seed), 3),
        "largest_norm": float(finite_norms.max()),
        "clipped": float(history.clipped.mean()),
        "diverged_at": history.diverged_at,
        "curve": [float(loss) if math.isfinite(loss) else None for loss in whole.mean(axis=1)],
    }


def compare():
    """Run the tuning and the comparison."""
    trials = [(method, *setting) for method, settings in SETTINGS.items() for setting in settings]
    bar = tqdm(total=len(trials) * len(PILOT_SEEDS) + len(SETTINGS) * len(FRESH_SEEDS), unit="run")
    pilot, fresh = [], []
    for method, lr, threshold in trials:
        losses = []
        for seed in PILOT_SEEDS:
            losses.append(run(method, lr, threshold, seed)["loss"])
            bar.update()
        pilot.append({"method": method, "lr": lr, "threshold": threshold, "losses": losses})
    for method in SETTINGS:
        best = min((trial for trial in pilot if trial["method"] == method), key=lambda trial: np.mean(trial["losses"]))
        for seed in FRESH_SEEDS:
            cell = {"method": method, "lr": best["lr"], "threshold": best["threshold"], "seed": seed}
            fresh.append(cell | run(method, best["lr"], best["threshold"], seed))
            bar.update()
    return {"pilot": pilot, "fresh": fresh}


def settings():
    """Return what a reader needs to judge or repeat the result."""
    return {
        "task": f"TemporalOrder(length={TASK.length})",
        "model": f"{MODEL.cell!r}, all weights N(0, 0.1), float64",
        "optimizer": f"SGD with momentum {MOMENTUM}",
        "updates": UPDATES,
        "batch_size": BATCH_SIZE,
        "loss_of_guessing": TASK.baseline,
        "pilot_seeds": list(PILOT_SEEDS),
        "fresh_seeds": list(FRESH_SEEDS),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began = parser.parse_args().out, time.process_time()
    results = compare()
    made = {
        "command": "python notebooks/evidence/clipping_compare.py",
        **rl.provenance(),
        "cpu_seconds": round(time.process_time() - began),
    }
    out.write_text(json.dumps({"settings": settings(), "made": made} | results, indent=1) + "\n")


if __name__ == "__main__":
    main()

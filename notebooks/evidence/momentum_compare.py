"""Does momentum help a recurrent network? No momentum, heavy ball and Nesterov, without a clip and with one.

The task, network and starting weights are those of `clipping_compare.py`, with 20 steps in a sequence. The rules:

1. Tuning. Each of the six methods gets the same budget: ten learning rates on five pilot seeds. What is the same for
   all is the EFFECTIVE learning rate lr / (1 - momentum), because momentum 0.9 adds up to ten gradients in every step.
2. Comparison. Each method's best learning rate runs on twenty fresh seeds. A seed fixes the starting weights and the
   batches, so the methods can be compared seed by seed.

What is tuned is the mean loss over the WHOLE run, so that learning early counts as well as learning at all. No update
counts as more than guessing, nor do those that a diverged run has not made.

    python notebooks/evidence/momentum_compare.py              # about eight minutes on one core
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import rnnlab as rl

TASK = rl.TemporalOrder(length=20)
MODEL = rl.Model(rl.RNNCell(TASK.input_size, hidden_size=50), TASK.output_size, rl.cross_entropy)
UPDATES, BATCH_SIZE, MAX_NORM, LEARNED, EVERY = 1500, 20, 1.0, 0.1, 25
PILOT_SEEDS, FRESH_SEEDS = range(5), range(200, 220)
EFFECTIVE_RATES = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56]
RULES = {"no momentum": (0.0, False), "momentum": (0.9, False), "Nesterov": (0.9, True)}
CLIPS = {"no clip": None, "clip": rl.ClipNorm(MAX_NORM)}
METHODS = [(rule, clip) for clip in CLIPS for rule in RULES]


def start(seed):
    """Draw the starting parameters: normal with standard deviation 0.1, biases 0."""
    rng = np.random.default_rng(seed)
    drawn = MODEL.init(rng)
    return {name: np.zeros_like(p) if "bias" in name else rng.normal(0, 0.1, p.shape) for name, p in drawn.items()}


def optimizer(rule, effective_rate):
    """Return the optimizer whose steps along a constant gradient are `effective_rate` times the gradient."""
    momentum, nesterov = RULES[rule]
    return rl.SGD(round(effective_rate * (1 - momentum), 6), momentum, nesterov)


def mean_loss(losses, updates):
    """Return the mean loss over all updates, each at most that of guessing; updates not made count as guessing."""
    finite = np.nan_to_num(losses, nan=np.inf)
    return float((np.minimum(finite, TASK.baseline).sum() + TASK.baseline * (updates - len(losses))) / updates)


def run(rule, clip, effective_rate, seed, updates=UPDATES):
    """Train once.

    Returns:
        dict: `mean_loss` over the run; `error`, the share of 1,000 fresh sequences that are classified wrongly at its
        end; `learned_after`, the updates until the mean loss of a block of 25 is below 0.1, or None; `clipped`, the
        share of updates in which the clip acted; `largest_norm` of a gradient; `diverged_at`; `curve`, the mean loss of
        every 25 updates.
    """
    moved = optimizer(rule, effective_rate)
    history = rl.train(MODEL, TASK, moved, CLIPS[clip], updates, seed, BATCH_SIZE, params=start(seed), progress=False)
    whole = history.loss[: len(history.loss) // EVERY * EVERY].reshape(-1, EVERY).mean(axis=1)
    below = np.flatnonzero(whole < LEARNED)
    return {
        "mean_loss": mean_loss(history.loss, updates),
        "error": round(1 - rl.evaluate(MODEL, history.params, TASK, rl.accuracy, samples=1000, seed=seed), 3),
        "learned_after": EVERY * (int(below[0]) + 1) if len(below) else None,
        "clipped": float(history.clipped.mean()),
        "largest_norm": float(history.grad_norm[np.isfinite(history.grad_norm)].max()),
        "diverged_at": history.diverged_at,
        "curve": [float(f"{loss:.6g}") if math.isfinite(loss) else None for loss in whole],
    }


def tune(method, bar):
    """Return the trials of one method: its mean losses on the pilot seeds, for each learning rate."""
    trials = []
    for rate in EFFECTIVE_RATES:
        losses = []
        for seed in PILOT_SEEDS:
            losses.append(run(*method, rate, seed)["mean_loss"])
            bar.update()
        trials.append({"rule": method[0], "clip": method[1], "effective_rate": rate, "losses": losses})
    return trials


def compare():
    """Run the tuning and the comparison."""
    bar = tqdm(total=len(METHODS) * (len(EFFECTIVE_RATES) * len(PILOT_SEEDS) + len(FRESH_SEEDS)), unit="run")
    pilot, fresh = [], []
    for method in METHODS:
        trials = tune(method, bar)
        best = min(trials, key=lambda trial: np.mean(trial["losses"]))["effective_rate"]
        for seed in FRESH_SEEDS:
            cell = {"rule": method[0], "clip": method[1], "effective_rate": best, "seed": seed}
            fresh.append(cell | run(*method, best, seed))
            bar.update()
        pilot += trials
    return {"pilot": pilot, "fresh": fresh}


def settings():
    """Return what a reader needs to judge or repeat the result."""
    return {
        "task": f"TemporalOrder(length={TASK.length})",
        "model": f"{MODEL.cell!r}, all weights N(0, 0.1), float64",
        "rules": {rule: {"momentum": momentum, "nesterov": nesterov} for rule, (momentum, nesterov) in RULES.items()},
        "max_norm": MAX_NORM,
        "updates": UPDATES,
        "batch_size": BATCH_SIZE,
        "effective_rates": EFFECTIVE_RATES,
        "loss_of_guessing": TASK.baseline,
        "pilot_seeds": list(PILOT_SEEDS),
        "fresh_seeds": list(FRESH_SEEDS),
        "every": EVERY,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began = parser.parse_args().out, time.process_time()
    results = compare()
    made = {
        "command": "python notebooks/evidence/momentum_compare.py",
        **rl.provenance(),
        "cpu_seconds": round(time.process_time() - began),
    }
    out.write_text(json.dumps({"settings": settings(), "made": made} | results, indent=1) + "\n")


if __name__ == "__main__":
    main()

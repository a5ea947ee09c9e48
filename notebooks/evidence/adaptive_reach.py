"""Count over which length of the adding task each rule for the step learns, each tuned with the same number of trials.

The network has 32 tanh units and PyTorch's starting weights. Every run has a clip by norm at 1. The rules are SGD with
momentum; the same with a recurrent part that has ten times the learning rate of the readout, fixed by hand; AdaGrad,
RMSProp and Adam.

1. Tuning. For every length every rule gets five learning rates, half a decade apart, on the same three pilot seeds.
2. Count. For every length each rule's best learning rate runs on ten fresh seeds.

The factor ten of the two rates was chosen once, at 20 steps, on two of the pilot seeds, out of 3, 10, 30 and 100.
The loss of a run is the mean over its last 100 updates, and never counts as more than that of always answering 1: a run
that has diverged and one that learned nothing are equally useless.

    python notebooks/evidence/adaptive_reach.py              # about 20 minutes on one core
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

import rnnlab as rl

LENGTHS = [10, 20, 30, 40, 60]
UPDATES, BATCH_SIZE, LAST, BIN = 4000, 16, 100, 200
PILOT_SEEDS, FRESH_SEEDS = range(3), range(100, 110)
CLIP = rl.ClipNorm(1.0)
MODEL = rl.Model(rl.RNNCell(input_size=2, hidden_size=32), output_size=1, loss=rl.squared_error)


@dataclass(frozen=True)
class TwoRates:
    """Give the weights of the recurrent part `factor` times the learning rate of the readout."""

    lr: float
    momentum: float = 0.9
    factor: float = 10.0

    def init(self, params):
        return rl.SGD(self.lr, self.momentum).init(params)

    def update(self, params, grads, state):
        scaled = {name: grad * (1.0 if name.endswith("_out") else self.factor) for name, grad in grads.items()}
        return rl.SGD(self.lr, self.momentum).update(params, scaled, state)


RULES = {
    "SGD": lambda lr: rl.SGD(lr, momentum=0.9),
    "two rates": TwoRates,
    "AdaGrad": rl.AdaGrad,
    "RMSProp": rl.RMSProp,
    "Adam": rl.Adam,
}
LEARNING_RATES = {
    "SGD": [0.001, 0.003, 0.01, 0.03, 0.1],
    "two rates": [0.0003, 0.001, 0.003, 0.01, 0.03],
    "AdaGrad": [0.003, 0.01, 0.03, 0.1, 0.3],
    "RMSProp": [0.0001, 0.0003, 0.001, 0.003, 0.01],
    "Adam": [0.0001, 0.0003, 0.001, 0.003, 0.01],
}


def run(length, rule, lr, seed, updates=UPDATES):
    """Train once.

    Returns:
        dict: `loss` of the last updates, at most that of always answering 1; `error`, the mean squared error on 1,000
        fresh sequences; `heard`, the share of the gradient's length at the last step that arrives at the first, when
        training ends; `largest_norm`; `curve`, the mean loss of every 200 updates.
    """
    task = rl.Adding(length)
    history = rl.train(MODEL, task, RULES[rule](lr), CLIP, updates, seed, BATCH_SIZE, progress=False)
    flow = rl.gradient_flow(MODEL, history.params, task.sample(np.random.default_rng([seed, 7]), 64))
    whole = history.loss[: len(history.loss) // BIN * BIN].reshape(-1, BIN)
    return {
        "loss": min(history.final_loss(LAST), task.baseline),
        "error": rl.evaluate(MODEL, history.params, task, rl.squared_error, samples=1000, seed=seed),
        "heard": float(flow[0] / flow[-1]),
        "largest_norm": float(history.grad_norm[np.isfinite(history.grad_norm)].max()),
        "diverged_at": history.diverged_at,
        "curve": [round(float(loss), 6) for loss in whole.mean(axis=1)],
    }


def attempt(setting):
    """Run a setting (length, rule, lr, seed); return it with its result, and the processor's seconds."""
    began = time.process_time()
    result = dict(zip(("length", "rule", "lr", "seed"), setting, strict=True)) | run(*setting)
    return result, time.process_time() - began


def attempts(pool, settings, name):
    """Run all settings; return their results and the sum of the processor's seconds."""
    rows = list(tqdm(pool.map(attempt, settings), total=len(settings), unit="run", desc=name))
    return [result for result, _ in rows], sum(seconds for _, seconds in rows)


def best_rates(pilot):
    """Return for every (length, rule) the learning rate with the lowest mean loss on the pilot seeds."""
    best = {}
    for length, rule in product(LENGTHS, RULES):
        mean = {
            lr: np.mean([p["loss"] for p in pilot if (p["length"], p["rule"], p["lr"]) == (length, rule, lr)])
            for lr in LEARNING_RATES[rule]
        }
        best[length, rule] = min(mean, key=mean.get)
    return best


def compare(pool):
    """Run the tuning and the count."""
    trials = [
        (n, rule, lr, s) for n, rule in product(LENGTHS, RULES) for lr in LEARNING_RATES[rule] for s in PILOT_SEEDS
    ]
    pilot, seconds = attempts(pool, trials, "tuning")
    chosen = [(*cell, lr, seed) for cell, lr in best_rates(pilot).items() for seed in FRESH_SEEDS]
    fresh, more_seconds = attempts(pool, chosen, "count")
    pilot = [{key: trial[key] for key in ("length", "rule", "lr", "seed", "loss")} for trial in pilot]
    return pilot, fresh, seconds + more_seconds


def settings():
    """Return what a reader needs to judge or repeat the result."""
    return {
        "task": "Adding",
        "model": f"{MODEL.cell!r}, PyTorch's starting weights, float64",
        "clip": f"by norm at {CLIP.max_norm:g}",
        "rules": {rule: repr(make(LEARNING_RATES[rule][0])) for rule, make in RULES.items()},
        "updates": UPDATES,
        "batch_size": BATCH_SIZE,
        "bin": BIN,
        "baseline": rl.Adding.baseline,
        "pilot_seeds": list(PILOT_SEEDS),
        "fresh_seeds": list(FRESH_SEEDS),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    parser.add_argument("--workers", type=int, default=1, help="processes; set OMP_NUM_THREADS=1 for more than one")
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.workers) as pool:
        pilot, fresh, seconds = compare(pool)
    made = {
        "command": "python notebooks/evidence/adaptive_reach.py",
        **rl.provenance(),
        "cpu_seconds": round(seconds),
    }
    parts = {name: ",\n".join(json.dumps(run) for run in runs) for name, runs in (("pilot", pilot), ("fresh", fresh))}
    body = ",\n".join(f'"{name}": [\n{lines}\n]' for name, lines in parts.items())
    arguments.out.write_text(f'{{"settings": {json.dumps(settings())},\n"made": {json.dumps(made)},\n{body}}}\n')


if __name__ == "__main__":
    main()

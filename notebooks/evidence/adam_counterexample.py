"""Follow Adam and AMSGrad for five million steps on the counter-example of Reddi, Kale and Kumar (2018).

The loss of step t is g_t x with x in [-1, 1]. In the cycle, g_t = 1010 at every 101st step and -10 at all others; in
the random form, g_t = 1010 with probability 0.01 and -10 otherwise. The mean of g_t is positive: the best x is -1. The
moments are as in the paper, beta1 = 0.9 and beta2 = 0.99, without bias correction and without epsilon; x starts at 0.
The paper gives no learning rates; here are five.

    python notebooks/evidence/adam_counterexample.py              # about one minute on one core
"""

import argparse
import json
import platform
import time
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

import rnnlab as rl

RULES = ["Adam", "AMSGrad"]
RATES = {
    "0.001": (0.001, 0),
    "0.01": (0.01, 0),
    "0.1": (0.1, 0),
    "0.1 / sqrt(t)": (0.1, 0.5),
    "1 / sqrt(t)": (1.0, 0.5),
}
SEEDS = range(5)  # of the random form
PROBLEMS = ["cycle", *(f"random {seed}" for seed in SEEDS)]
COLUMNS = list(product(RULES, RATES, PROBLEMS))
BETA1, BETA2, STEPS, BLOCK = 0.9, 0.99, 5_000_000, 10_000


def gradients():
    """Yield blocks of gradients, (BLOCK, problems), without end."""
    streams = [np.random.default_rng(seed) for seed in SEEDS]
    first = 0
    while True:
        cycle = np.where(np.arange(first, first + BLOCK) % 101 == 0, 1010.0, -10.0)  # t = 1 is the first large one
        random = [np.where(stream.random(BLOCK) < 0.01, 1010.0, -10.0) for stream in streams]
        yield np.stack([cycle, *random], axis=1)
        first += BLOCK


def follow(looks, progress=False):
    """Return x and the mean regret at these steps, (looks, columns)."""
    start = np.array([RATES[rate][0] for _, rate, _ in COLUMNS])
    power = np.array([RATES[rate][1] for _, rate, _ in COLUMNS])
    keeps_largest = np.array([rule == "AMSGrad" for rule, _, _ in COLUMNS])
    problem = np.array([PROBLEMS.index(problem) for _, _, problem in COLUMNS])
    x, m, v, largest, regret = np.zeros((5, len(COLUMNS)))
    seen, blocks = [], gradients()
    for t in tqdm(range(1, looks[-1] + 1), disable=not progress, unit="step", unit_scale=True):
        row = (t - 1) % BLOCK
        if row == 0:
            block = next(blocks)[:, problem]
        g = block[row]
        regret = regret + g * (x + 1)  # the loss at x less the loss at -1
        if t == looks[len(seen)]:
            seen.append((x, regret / t))
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g * g
        largest = np.where(keeps_largest, np.maximum(largest, v), v)
        x = np.clip(x - start / t**power * m / np.sqrt(largest), -1, 1)
    return np.moveaxis(np.array(seen), 1, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began = parser.parse_args().out, time.process_time()
    looks = np.unique(np.geomspace(1, STEPS, 60).round().astype(int))
    x, regret = follow(looks, progress=True)
    settings = {"beta1": BETA1, "beta2": BETA2, "x_1": 0, "steps": STEPS, "looks": looks.tolist()}
    made = {
        "command": "python notebooks/evidence/adam_counterexample.py",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "rnnlab": rl.__version__,
        "cpu_seconds": round(time.process_time() - began),
    }
    runs = [
        {
            "rule": rule,
            "rate": rate,
            "problem": problem,
            "x": x[:, n].round(6).tolist(),
            "regret": round(regret[-1, n], 4),
        }
        for n, (rule, rate, problem) in enumerate(COLUMNS)
    ]
    lines = ",\n".join(json.dumps(run) for run in runs)
    out.write_text(f'{{"settings": {json.dumps(settings)},\n"made": {json.dumps(made)},\n"runs": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()

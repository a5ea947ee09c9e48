"""Which forget bias trains an LSTM, and which of its gates does it need?

All by the same rules, on networks of 16 units. Each method of an experiment gets the same learning rates on five pilot
seeds; what is tuned is the mean loss over the whole run, where no update counts as more than guessing. On the
first two tasks, where the best rate is the smallest or the largest tried, the next one beyond it is tried too, until
the best has a worse one on both sides. The best rate runs on twelve fresh seeds.

- biases: five forget biases on adding over 60 steps. chrono spreads the biases for lags up to 60.
- adding, latest: the LSTM with one part left out or changed, on adding over 30 steps, where nothing must be forgotten,
  and on a stream of 30 steps where at each step the newest marked number is asked for, and all older ones are in the
  way.

    python notebooks/evidence/lstm_compare.py              # about fifteen minutes on one core
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from ladders import best_of, climb
from tqdm import tqdm

import rnnlab as rl


class Latest:
    """Say at each step the newest marked number, 0 before the first mark.

    Input: (number uniform on (-1, 1), mark); one step in five is marked.
    """

    def __init__(self, length):
        self.length = length
        self.baseline = float(np.mean([self._sample(np.random.default_rng(0), 4000)[1] ** 2]))

    def _sample(self, rng, batch_size):
        numbers, marks = rng.uniform(-1, 1, (self.length, batch_size)), rng.random((self.length, batch_size)) < 0.2
        target, newest = np.zeros_like(numbers), np.zeros(batch_size)
        for t in range(self.length):
            newest = np.where(marks[t], numbers[t], newest)
            target[t] = newest
        return np.stack([numbers, marks], axis=-1), target

    def sample(self, rng, batch_size, dtype=np.float64):
        """Draw a batch: x (length, B, 2), y (length, B, 1), mask of all steps."""
        x, target = self._sample(rng, batch_size)
        return rl.Batch(x.astype(dtype), target[..., None].astype(dtype), np.ones(target.shape, bool))


HIDDEN, BATCH_SIZE, CLIP, EVERY, UPDATES = 16, 16, rl.ClipNorm(1.0), 50, 1500
PILOT_SEEDS, FRESH_SEEDS = range(5), range(100, 112)
LADDER = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
RATES = {"biases": LADDER[2:7], "adding": LADDER[2:7], "latest": LADDER[2:6]}
LADDERS = {"biases": LADDER, "adding": LADDER, "latest": RATES["latest"]}  # the stream keeps to its four rates
TASKS = {"biases": rl.Adding(60), "adding": rl.Adding(30), "latest": Latest(30)}
VARIANTS = {
    "full": rl.LSTMCell(2, HIDDEN),
    "no input gate": rl.LSTMCell(2, HIDDEN, input_gate=False),
    "no forget gate": rl.LSTMCell(2, HIDDEN, forget_gate=False),
    "no output gate": rl.LSTMCell(2, HIDDEN, output_gate=False),
    "coupled gates": rl.LSTMCell(2, HIDDEN, coupled=True),
    "peepholes": rl.PeepholeLSTMCell(2, HIDDEN),
    "plain RNN": rl.RNNCell(2, HIDDEN),
}
METHODS = {"biases": ["0", "1", "3", "5", "chrono"], "adding": list(VARIANTS), "latest": list(VARIANTS)}


def start(experiment, method, model, seed):
    """Draw parameters as torch does; forget gates begin with a bias of 1, or that of the method."""
    rng = np.random.default_rng([seed, 7])
    params = model.init(rng)
    if method == "chrono":
        return rl.chrono(model.cell, params, TASKS[experiment].length, rng)
    if "f" not in model.cell.gates:
        return params
    return rl.forget_bias(model.cell, params, float(method) if experiment == "biases" else 1.0)


def run(experiment, method, lr, seeds, updates=UPDATES):
    """Train all seeds in one call; return a row for each."""
    task, cell = TASKS[experiment], VARIANTS["full" if experiment == "biases" else method]
    model = rl.Model(cell, 1, rl.squared_error)
    starts = [start(experiment, method, model, seed) for seed in seeds]
    params = {name: np.stack([drawn[name] for drawn in starts]) for name in starts[0]}
    histories = rl.train(
        model, task, rl.Adam(lr), CLIP, updates, np.array(seeds), BATCH_SIZE, params=params, progress=False
    )
    return [row(history, task, updates) | {"seed": seed} for history, seed in zip(histories, seeds, strict=True)]


def row(history, task, updates):
    """Return mean and last loss, each at most that of guessing, and the curve."""
    losses = np.full(updates, task.baseline)
    losses[: len(history.loss)] = np.minimum(np.nan_to_num(history.loss, nan=np.inf), task.baseline)
    return {
        "mean_loss": float(losses.mean()),
        "last_loss": float(losses[-100:].mean()),
        "curve": [float(f"{loss:.4g}") for loss in losses.reshape(-1, EVERY).mean(axis=1)],
    }


def tune(experiment, method):
    """Return the pilot losses of each rate tried: all of RATES, and on along the ladder while an outer one is best."""
    return climb(
        lambda lr: [one["mean_loss"] for one in run(experiment, method, lr, PILOT_SEEDS)],
        RATES[experiment],
        LADDERS[experiment],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began, pilot, fresh = parser.parse_args().out, time.process_time(), [], []
    with tqdm(total=sum(len(methods) for methods in METHODS.values()), unit="cell") as bar:
        for experiment, methods in METHODS.items():
            for method in methods:
                cell, trials = {"experiment": experiment, "method": method}, tune(experiment, method)
                pilot += [cell | {"lr": lr, "mean_losses": trials[lr]} for lr in sorted(trials)]
                best = best_of(trials)
                fresh += [cell | {"lr": best} | one for one in run(experiment, method, best, FRESH_SEEDS)]
                bar.update()
    record = {
        "settings": {
            "hidden": HIDDEN, "batch_size": BATCH_SIZE, "optimizer": "Adam", "clip": repr(CLIP), "rates": RATES,
            "ladders": LADDERS, "updates": UPDATES, "every": EVERY, "methods": METHODS,
            "guessing": {name: task.baseline for name, task in TASKS.items()},
            "pilot_seeds": list(PILOT_SEEDS), "fresh_seeds": list(FRESH_SEEDS),
        },
        "made": {
            "command": "python notebooks/evidence/lstm_compare.py", **rl.provenance(),
            "cpu_seconds": round(time.process_time() - began),
        },
        "pilot": pilot, "fresh": fresh,
    }  # fmt: skip
    out.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

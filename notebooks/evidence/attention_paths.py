"""Attention beside recurrence: the same cells with and without it, on two memory tasks.

Each network gets the same learning rates on five pilot seeds; what is tuned is the mean loss over the whole run, where
no update counts as more than guessing. The best rate runs on twelve fresh seeds. Weights begin as PyTorch draws them.

    python notebooks/evidence/attention_paths.py              # about ten minutes on one core
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import rnnlab as rl

UNITS, BATCH_SIZE, CLIP, EVERY, UPDATES = 16, 12, rl.ClipNorm(1.0), 50, 1500
PILOT_SEEDS, FRESH_SEEDS, RATES = range(5), range(100, 112), [0.001, 0.003, 0.01, 0.03]
TASKS = {"adding": rl.Adding(60), "temporal order": rl.TemporalOrder(60)}
CELLS, READS = {"RNN": rl.RNNCell, "LSTM": rl.LSTMCell}, ["last state", "dot", "additive"]


def model_of(task, kind, read):
    """Return the model of a cell for a task, with a readout of the last state or with attention."""
    problem = TASKS[task]
    loss = rl.cross_entropy if task == "temporal order" else rl.squared_error
    cell = CELLS[kind](problem.input_size, UNITS)
    if read == "last state":
        return rl.Model(cell, problem.output_size, loss)
    return rl.AttentionModel(cell, problem.output_size, loss, score=read, attention_size=8)


def run(task, kind, read, lr, seeds, updates=UPDATES):
    """Train all seeds in one call; return a row for each."""
    model, problem = model_of(task, kind, read), TASKS[task]
    starts = [model.init(np.random.default_rng([seed, 13])) for seed in seeds]
    params = {name: np.stack([drawn[name] for drawn in starts]) for name in starts[0]}
    histories = rl.train(
        model, problem, rl.Adam(lr), CLIP, updates, np.array(seeds), BATCH_SIZE, params=params, progress=False
    )
    return [row(history, problem, updates) | {"seed": seed} for history, seed in zip(histories, seeds, strict=True)]


def row(history, problem, updates):
    """Return mean and last loss, each at most that of guessing, and the curve."""
    losses = np.full(updates, problem.baseline)
    losses[: len(history.loss)] = np.minimum(np.nan_to_num(history.loss, nan=np.inf), problem.baseline)
    return {
        "mean_loss": float(losses.mean()),
        "last_loss": float(losses[-100:].mean()),
        "curve": [float(f"{loss:.4g}") for loss in losses.reshape(-1, EVERY).mean(axis=1)],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began, pilot, fresh = parser.parse_args().out, time.process_time(), [], []
    pairs = [(task, kind, read) for task in TASKS for kind in CELLS for read in READS]
    with tqdm(total=len(pairs) * (len(RATES) + 1), unit="call") as bar:
        for task, kind, read in pairs:
            cell, trials = {"task": task, "cell": kind, "read": read}, {}
            for lr in RATES:
                trials[lr] = [one["mean_loss"] for one in run(task, kind, read, lr, PILOT_SEEDS)]
                pilot.append(cell | {"lr": lr, "mean_losses": trials[lr]})
                bar.update()
            best = min(trials, key=lambda lr: np.mean(trials[lr]))
            fresh += [cell | {"lr": best} | one for one in run(task, kind, read, best, FRESH_SEEDS)]
            bar.update()
    record = {
        "settings": {
            "units": UNITS, "attention_size": 8, "batch_size": BATCH_SIZE, "optimizer": "Adam", "clip": repr(CLIP),
            "rates": RATES, "updates": UPDATES, "every": EVERY,
            "guessing": {name: task.baseline for name, task in TASKS.items()},
            "lengths": {name: task.length for name, task in TASKS.items()},
            "pilot_seeds": list(PILOT_SEEDS), "fresh_seeds": list(FRESH_SEEDS),
        },
        "made": {
            "command": "python notebooks/evidence/attention_paths.py", **rl.provenance(),
            "cpu_seconds": round(time.process_time() - began),
        },
        "pilot": pilot, "fresh": fresh,
    }  # fmt: skip
    out.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

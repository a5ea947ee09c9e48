"""After the gates: minGRU, minLSTM, LRU and sLSTM beside LSTM and GRU on memory tasks, at equal numbers of parameters.

Each cell gets the same learning rates on five pilot seeds; what is tuned is the mean loss over the whole run, where no
update counts as more than guessing. The best rate runs on twelve fresh seeds. What keeps the state begins open: gates
with a bias of 1, the eigenvalues of the LRU between 0.9 and 0.99 in size.

    python notebooks/evidence/after_gates.py              # about twenty minutes on one core
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import rnnlab as rl

BATCH_SIZE, CLIP, EVERY, UPDATES = 12, rl.ClipNorm(1.0), 50, 1500
PILOT_SEEDS, FRESH_SEEDS, RATES = range(5), range(100, 112), [0.003, 0.01, 0.03, 0.1, 0.3]
TASKS = {"adding": rl.Adding(40), "temporal order": rl.TemporalOrder(40)}
# About as many parameters in the layers as the GRU of 18 units has on each task: 1,188 for two inputs, 1,404 for six.
CELLS = {
    "LSTM": (rl.LSTMCell, (15, 15), 1), "GRU": (rl.GRUCell, (18, 18), 1), "sLSTM": (rl.SLSTMCell, (15, 15), 1),
    "minGRU": (rl.MinGRUCell, (198, 100), 1), "minGRU, 2 layers": (rl.MinGRUCell, (22, 22), 2),
    "minLSTM": (rl.MinLSTMCell, (132, 67), 1), "minLSTM, 2 layers": (rl.MinLSTMCell, (18, 18), 2),
    "LRU": (lambda D, H: rl.LRUCell(D, H, r_min=0.9, r_max=0.99), (338, 188), 1),
}  # fmt: skip


def model_of(task, kind):
    """Return the model of a cell for a task."""
    (make, units, layers), problem = CELLS[kind], TASKS[task]
    units = units[list(TASKS).index(task)]
    loss = rl.cross_entropy if task == "temporal order" else rl.squared_error
    return rl.Model(make(problem.input_size, units), problem.output_size, loss, layers=layers)


def start(model, seed):
    """Draw parameters as the cells do; the gate that keeps begins with a bias of 1."""
    params, cell = model.init(np.random.default_rng([seed, 12])), model.cell
    for keeps in {"f", "z"} & set(cell.gates):
        if keeps == "z" and isinstance(cell, rl.SLSTMCell):
            continue  # there z is what is written
        for name in params:
            if name.startswith("bias_ih"):
                params[name][cell.rows(keeps)] = 1.0
            elif name.startswith("bias_hh"):
                params[name][cell.rows(keeps)] = 0.0
    return params


def run(task, kind, lr, seeds, updates=UPDATES):
    """Train all seeds in one call; return a row for each."""
    model, problem = model_of(task, kind), TASKS[task]
    starts = [start(model, seed) for seed in seeds]
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
    with tqdm(total=len(TASKS) * len(CELLS) * (len(RATES) + 1), unit="call") as bar:
        for task in TASKS:
            for kind in CELLS:
                cell, trials = {"task": task, "cell": kind}, {}
                for lr in RATES:
                    trials[lr] = [one["mean_loss"] for one in run(task, kind, lr, PILOT_SEEDS)]
                    pilot.append(cell | {"lr": lr, "mean_losses": trials[lr]})
                    bar.update()
                best = min(trials, key=lambda lr: np.mean(trials[lr]))
                fresh += [cell | {"lr": best} | one for one in run(task, kind, best, FRESH_SEEDS)]
                bar.update()
    record = {
        "settings": {
            "parameters": {
                task: {kind: sum(map(np.prod, model_of(task, kind).stack.shapes.values())).item() for kind in CELLS}
                for task in TASKS
            },
            "batch_size": BATCH_SIZE, "optimizer": "Adam", "clip": repr(CLIP), "rates": RATES, "updates": UPDATES,
            "every": EVERY, "guessing": {name: task.baseline for name, task in TASKS.items()},
            "pilot_seeds": list(PILOT_SEEDS), "fresh_seeds": list(FRESH_SEEDS),
        },
        "made": {
            "command": "python notebooks/evidence/after_gates.py", **rl.provenance(),
            "cpu_seconds": round(time.process_time() - began),
        },
        "pilot": pilot, "fresh": fresh,
    }  # fmt: skip
    out.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

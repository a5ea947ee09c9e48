"""GRU, LSTM and the plain network: at equal numbers of parameters, and at equal numbers of units.

Each method gets the same four learning rates on five pilot seeds; what is tuned is the mean loss over the whole run,
where no update counts as more than guessing. Where the best rate is the smallest or the largest tried, the next one
beyond it is tried too, until the best has a worse one on both sides. The best rate runs on twelve fresh seeds, and each
run is asked for 500 sequences that it has not trained on, for the weather those of the last year. Weights begin as
PyTorch draws them, but for the gate that keeps (the forget gate of the LSTM, the update gate of the GRU), which begins
with a bias of 1.

    python notebooks/evidence/gru_lstm.py              # about ten minutes on one core
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from ladders import best_of, climb
from tqdm import tqdm

import rnnlab as rl
from rnnlab.datasets import Forecast, load

BATCH_SIZE, CLIP, EVERY, UPDATES = 12, rl.ClipNorm(1.0), 50, 1500
PILOT_SEEDS, FRESH_SEEDS, RATES = range(5), range(100, 112), [0.001, 0.003, 0.01, 0.03]
LADDER = [0.0001, 0.0003, *RATES, 0.1, 0.3, 1.0]
CELLS = {"RNN": rl.RNNCell, "GRU": rl.GRUCell, "LSTM": rl.LSTMCell}
UNITS = {"parameters": {"RNN": 32, "GRU": 18, "LSTM": 15}, "units": {"RNN": 16, "GRU": 16, "LSTM": 16}}
WEATHER = load("seattle_weather")
TASKS = {"adding": rl.Adding(40), "temporal order": rl.TemporalOrder(40), "weather": Forecast(WEATHER.train, 30)}
HELD_OUT = TASKS | {"weather": Forecast(WEATHER.test, 30)}


def model_of(task, equal, kind):
    """Return the model of a cell for a task."""
    problem = TASKS[task]
    cell = CELLS[kind](problem.input_size, UNITS[equal][kind])
    loss = rl.cross_entropy if task == "temporal order" else rl.squared_error
    return rl.Model(cell, problem.output_size, loss)


def start(model, seed):
    """Draw parameters as torch does; the gate that keeps begins with a bias of 1."""
    rng = np.random.default_rng([seed, 7])
    params = model.init(rng)
    for keeps in {"f", "z"} & set(model.cell.gates):
        rows = model.cell.rows(keeps)
        params["bias_ih"][rows], params["bias_hh"][rows] = 1.0, 0.0
    return params


def run(task, equal, kind, lr, seeds, updates=UPDATES):
    """Train all seeds in one call; return a row for each."""
    model, problem = model_of(task, equal, kind), TASKS[task]
    starts = [start(model, seed) for seed in seeds]
    params = {name: np.stack([drawn[name] for drawn in starts]) for name in starts[0]}
    histories = rl.train(
        model, problem, rl.Adam(lr), CLIP, updates, np.array(seeds), BATCH_SIZE, params=params, progress=False
    )
    rows = []
    for history, seed in zip(histories, seeds, strict=True):
        held_out = rl.evaluate(model, history.params, HELD_OUT[task], model.loss, samples=500, seed=seed)
        rows.append(row(history, problem, updates) | {"held_out": held_out, "seed": seed})
    return rows


def row(history, problem, updates):
    """Return mean and last loss, each at most that of guessing (of persistence for the weather), and the curve."""
    losses = np.full(updates, problem.baseline)
    losses[: len(history.loss)] = np.minimum(np.nan_to_num(history.loss, nan=np.inf), problem.baseline)
    return {
        "mean_loss": float(losses.mean()),
        "last_loss": float(losses[-100:].mean()),
        "curve": [float(f"{loss:.4g}") for loss in losses.reshape(-1, EVERY).mean(axis=1)],
    }


def tune(task, equal, kind):
    """Return the pilot losses of each rate tried: all of RATES, and on along LADDER while an outer one is best."""
    return climb(
        lambda lr: [one["mean_loss"] for one in run(task, equal, kind, lr, PILOT_SEEDS)],
        RATES,
        LADDER,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began, pilot, fresh = parser.parse_args().out, time.process_time(), [], []
    with tqdm(total=len(TASKS) * len(UNITS) * len(CELLS), unit="cell") as bar:
        for task in TASKS:
            for equal in UNITS:
                for kind in CELLS:
                    cell, trials = {"task": task, "equal": equal, "cell": kind}, tune(task, equal, kind)
                    pilot += [cell | {"lr": lr, "mean_losses": trials[lr]} for lr in sorted(trials)]
                    best = best_of(trials)
                    fresh += [cell | {"lr": best} | one for one in run(task, equal, kind, best, FRESH_SEEDS)]
                    bar.update()
    record = {
        "settings": {
            "units": UNITS, "batch_size": BATCH_SIZE, "optimizer": "Adam", "clip": repr(CLIP), "rates": RATES,
            "ladder": LADDER, "updates": UPDATES, "every": EVERY,
            "guessing": {name: task.baseline for name, task in TASKS.items()},
            "pilot_seeds": list(PILOT_SEEDS), "fresh_seeds": list(FRESH_SEEDS),
        },
        "made": {
            "command": "python notebooks/evidence/gru_lstm.py", **rl.provenance(),
            "cpu_seconds": round(time.process_time() - began),
        },
        "pilot": pilot, "fresh": fresh,
    }  # fmt: skip
    out.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

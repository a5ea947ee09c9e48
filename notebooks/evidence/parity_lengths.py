"""Parity: which recurrences learn it on 16 bits, and which of them still know it after 256.

Each cell has 16 units and one layer, and is asked after every bit whether the number of ones so far is odd. Each gets
the same learning rates on five pilot seeds; what is tuned is the mean loss over the whole training, where no update
counts as more than guessing. The best rate runs on twelve fresh seeds, and each run is asked for the last answer of 500
sequences of each length.

    python notebooks/evidence/parity_lengths.py              # about three minutes on one core
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import rnnlab as rl

UNITS, LENGTH, LENGTHS = 16, 16, [16, 64, 256]
BATCH_SIZE, CLIP, EVERY, UPDATES = 16, rl.ClipNorm(1.0), 50, 1500
PILOT_SEEDS, FRESH_SEEDS, RATES = range(5), range(100, 112), [0.003, 0.01, 0.03, 0.1]
CELLS = {
    "RNN": rl.RNNCell(1, UNITS), "LSTM": rl.LSTMCell(1, UNITS), "GRU": rl.GRUCell(1, UNITS),
    "sLSTM": rl.SLSTMCell(1, UNITS), "minGRU": rl.MinGRUCell(1, UNITS), "minLSTM": rl.MinLSTMCell(1, UNITS),
    "LRU": rl.LRUCell(1, UNITS), "minGRU, signed": rl.MinGRUCell(1, UNITS, negative=True),
}  # fmt: skip
TASK = rl.Parity(LENGTH)


def run(kind, lr, seeds, updates=UPDATES):
    """Train all seeds in one call; return a row for each."""
    model = rl.Model(CELLS[kind], 2, rl.cross_entropy)
    starts = [model.init(np.random.default_rng([seed, 12])) for seed in seeds]
    params = {name: np.stack([drawn[name] for drawn in starts]) for name in starts[0]}
    histories = rl.train(
        model, TASK, rl.Adam(lr), CLIP, updates, np.array(seeds), BATCH_SIZE, params=params, progress=False
    )
    rows = []
    for history, seed in zip(histories, seeds, strict=True):
        losses = np.full(updates, TASK.baseline)
        losses[: len(history.loss)] = np.minimum(np.nan_to_num(history.loss, nan=np.inf), TASK.baseline)
        rows.append({
            "seed": seed, "mean_loss": float(losses.mean()), "last_loss": float(losses[-100:].mean()),
            "right": [last_right(model, history.params, length, seed) for length in LENGTHS],
            "curve": [float(f"{loss:.4g}") for loss in losses.reshape(-1, EVERY).mean(axis=1)],
        })  # fmt: skip
    return rows


def last_right(model, params, length, seed, sequences=500):
    """Return the share of sequences of this length whose last answer is right."""
    batch = rl.Parity(length).sample(np.random.default_rng([seed, length]), sequences)
    outputs, _ = model.forward(params, batch.x)
    return float((outputs[-1].argmax(axis=-1) == batch.y[-1]).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began, pilot, fresh = parser.parse_args().out, time.process_time(), [], []
    with tqdm(total=len(CELLS) * (len(RATES) + 1), unit="call") as bar:
        for kind in CELLS:
            trials = {}
            for lr in RATES:
                trials[lr] = [one["mean_loss"] for one in run(kind, lr, PILOT_SEEDS)]
                pilot.append({"cell": kind, "lr": lr, "mean_losses": trials[lr]})
                bar.update()
            best = min(trials, key=lambda lr: np.mean(trials[lr]))
            fresh += [{"cell": kind, "lr": best} | one for one in run(kind, best, FRESH_SEEDS)]
            bar.update()
    record = {
        "settings": {
            "units": UNITS, "length": LENGTH, "lengths": LENGTHS, "batch_size": BATCH_SIZE, "optimizer": "Adam",
            "clip": repr(CLIP), "rates": RATES, "updates": UPDATES, "every": EVERY, "guessing": TASK.baseline,
            "pilot_seeds": list(PILOT_SEEDS), "fresh_seeds": list(FRESH_SEEDS),
        },
        "made": {
            "command": "python notebooks/evidence/parity_lengths.py", **rl.provenance(),
            "cpu_seconds": round(time.process_time() - began),
        },
        "pilot": pilot, "fresh": fresh,
    }  # fmt: skip
    out.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

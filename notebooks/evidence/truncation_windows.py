"""Which windows of truncated backpropagation through time can learn to look six steps back?

A network says at each step which bit it read six steps ago. Window 0 is the control: only the readout is trained, and
the recurrent weights stay as they were drawn. Each window gets the same budget:

1. Tuning. Nine learning rates on five pilot seeds.
2. The best learning rate, by mean accuracy, runs on twenty fresh seeds.

    python notebooks/evidence/truncation_windows.py              # about three minutes on one core
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import rnnlab as rl


class Echo:
    """Say at each step which bit came `lag` steps ago; the first `lag` steps do not count."""

    def __init__(self, lag, length):
        self.lag, self.length = lag, length

    def sample(self, rng, batch_size, dtype=np.float64):
        """Draw a batch: x (length, B, 1) of -1 and 1, y (length, B) classes 0 and 1, mask (length, B)."""
        bits = rng.integers(0, 2, (self.length, batch_size))
        mask = np.broadcast_to((np.arange(self.length) >= self.lag)[:, None], bits.shape)
        return rl.Batch((2.0 * bits[..., None] - 1).astype(dtype), np.roll(bits, self.lag, axis=0), mask)


LAG, LENGTH, HIDDEN, UPDATES, BATCH_SIZE = 6, 30, 16, 600, 16
TASK = Echo(LAG, LENGTH)
MODEL = rl.Model(rl.RNNCell(1, HIDDEN), 2, rl.cross_entropy)
WINDOWS, RATES = [0, 1, 3, 5, 6, 7, 8, 12, 30], [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
PILOT_SEEDS, FRESH_SEEDS = range(5), range(100, 120)


def readout_only(grads):
    """Clip by norm as for the others, but let only the readout move."""
    grads, norm = rl.ClipNorm(1.0)(grads)
    return {name: grad if name.endswith("_out") else 0 * grad for name, grad in grads.items()}, norm


def run(window, lr, seed, updates=UPDATES):
    """Train once; return the share of right answers on 500 fresh sequences and the mean loss of the last updates."""
    clip, truncate = (rl.ClipNorm(1.0), window) if window else (readout_only, None)
    history = rl.train(MODEL, TASK, rl.Adam(lr), clip, updates, seed, BATCH_SIZE, truncate=truncate, progress=False)
    return {
        "accuracy": rl.evaluate(MODEL, history.params, TASK, rl.accuracy, samples=500, seed=seed),
        "loss": history.final_loss(),
    }


def best_rates(pilot):
    """Return for each window the learning rate with the highest mean accuracy on the pilot seeds."""
    means = pilot.groupby(["window", "lr"]).accuracy.mean()
    return {window: float(means[window].idxmax()) for window in WINDOWS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began = parser.parse_args().out, time.process_time()
    pilot = rl.sweep(run, window=WINDOWS, lr=RATES, seed=PILOT_SEEDS)
    rates, fresh = best_rates(pilot), []
    for window in WINDOWS:
        rows = rl.sweep(run, window=[window], lr=[rates[window]], seed=FRESH_SEEDS)
        fresh += rows.drop(columns=["seconds", "error"]).to_dict("records")
    record = {
        "settings": {
            "task": f"Echo(lag={LAG}, length={LENGTH})", "model": repr(MODEL.cell), "optimizer": "Adam, clip by norm 1",
            "updates": UPDATES, "batch_size": BATCH_SIZE, "windows": WINDOWS, "rates": RATES,
            "control": "window 0 trains the readout alone",
            "pilot_seeds": list(PILOT_SEEDS), "fresh_seeds": list(FRESH_SEEDS),
        },
        "made": {
            "command": "python notebooks/evidence/truncation_windows.py", **rl.provenance(),
            "cpu_seconds": round(time.process_time() - began),
        },
        "pilot": pilot.drop(columns=["seconds", "error"]).to_dict("records"),
        "fresh": fresh,
    }  # fmt: skip
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

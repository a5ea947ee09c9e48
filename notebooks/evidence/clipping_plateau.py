"""Count when a clip by norm acts, as the adding task grows longer than a plain network can hear.

For every length and threshold five networks are trained. Recorded is, for every 50 updates, the mean loss and the share
of updates in which the clip acted. All runs share one learning rate: the question is when the clip acts, not which
method wins.

    python notebooks/evidence/clipping_plateau.py              # about four minutes on one core
"""

import argparse
import json
import math
import platform
import time
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

import rnnlab as rl

LENGTHS = [4, 6, 8, 12, 20, 40, 80]
THRESHOLDS = [0.1, 0.3, 1.0, 3.0, None]  # None: no clip
SEEDS = range(5)
UPDATES, BATCH_SIZE, BIN = 1500, 16, 50
OPTIMIZER = rl.SGD(lr=0.03, momentum=0.9)
MODEL = rl.Model(rl.RNNCell(input_size=2, hidden_size=32), output_size=1, loss=rl.squared_error)


def run(length, max_norm, seed, updates=UPDATES):
    """Train once; return the mean loss and the share of clipped updates of every 50 updates."""
    clip = rl.ClipNorm(max_norm) if max_norm else None
    history = rl.train(MODEL, rl.Adding(length), OPTIMIZER, clip, updates, seed, BATCH_SIZE, progress=False)
    if history.diverged_at is not None:
        raise RuntimeError(f"length {length}, max_norm {max_norm}, seed {seed} diverged: choose a lower learning rate")
    binned = (record.reshape(-1, BIN).mean(axis=1) for record in (history.loss, history.clipped))
    loss, clipped = ([significant(value) for value in values] for values in binned)
    return {"length": length, "max_norm": max_norm, "seed": seed, "loss": loss, "clipped": clipped}


def significant(value, digits=5):
    """Round to significant digits, to keep the file small."""
    return round(float(value), digits - 1 - math.floor(math.log10(value))) if value else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began = parser.parse_args().out, time.process_time()
    runs = [run(*cell) for cell in tqdm(list(product(LENGTHS, THRESHOLDS, SEEDS)), unit="run")]
    settings = {
        "task": "Adding",
        "model": f"{MODEL.cell!r}, PyTorch's starting weights, float64",
        "optimizer": repr(OPTIMIZER),
        "updates": UPDATES,
        "batch_size": BATCH_SIZE,
        "bin": BIN,
    }
    made = {
        "command": "python notebooks/evidence/clipping_plateau.py",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "rnnlab": rl.__version__,
        "cpu_seconds": round(time.process_time() - began),
    }
    lines = ",\n".join(json.dumps(run) for run in runs)
    out.write_text(f'{{"settings": {json.dumps(settings)},\n"made": {json.dumps(made)},\n"runs": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()

"""Time a training of 16 runs as one stack and one after the other, in turns: where does the axis of runs pay?

    python benchmarks/bench_runs.py

The runs differ in learning rate and share their batches, or differ in seed and have their own. `train` stacks while
units times sequences are at most `rnnlab.gathering.STACKED`; this table is what that number was read from. Below it a
sweep over learning rates and seeds, whose function knows nothing of stacks: as it comes, and with `stack=False`. Stores
benchmarks/results/bench_runs.json.
"""

import json
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import rnnlab as rl
from benchmarks.bench_cells import cpu, take_turns, versions  # first: it asks for one BLAS thread
from rnnlab import gathering

RESULTS = Path(__file__).resolve().parent / "results" / "bench_runs.json"
RUNS, UPDATES, STEPS = 16, 10, 30
CELLS = {"RNN": rl.RNNCell, "GRU": rl.GRUCell, "LSTM": rl.LSTMCell}
SWEEPS = {"as it comes": True, "alone": False}
SIZES = [(8, 1), (32, 1), (64, 1), (8, 16), (64, 4), (32, 16), (64, 16)]


def calls(kind, H, B):
    """Return the four trainings to time, by name."""
    model = rl.Model(CELLS[kind](2, H), output_size=1, loss=rl.squared_error)
    rates, seeds = rl.SGD(np.geomspace(1e-3, 1e-1, RUNS)), np.arange(RUNS)
    settings = {"clip": rl.ClipNorm(1.0), "updates": UPDATES, "batch_size": B, "progress": False}

    def go(limit, optimizer, seed):
        gathering.STACKED = limit
        rl.train(model, rl.Adding(STEPS), optimizer, seed=seed, **settings)

    return {
        "rates stacked": lambda: go(math.inf, rates, 0),
        "rates one by one": lambda: go(0, rates, 0),
        "seeds stacked": lambda: go(math.inf, rl.SGD(0.01), seeds),
        "seeds one by one": lambda: go(0, rl.SGD(0.01), seeds),
    }


def sweeps(kind, H, B):
    """Return the two sweeps to time, by name."""
    model = rl.Model(CELLS[kind](2, H), output_size=1, loss=rl.squared_error)

    def run(lr, seed):
        return rl.train(model, rl.Adding(STEPS), rl.SGD(lr), rl.ClipNorm(1.0), UPDATES, seed, B, progress=False)

    grid = {"lr": [1e-3, 1e-2, 1e-1], "seed": range(11), "progress": False}
    return {name: lambda stack=stack: rl.sweep(run, stack=stack, **grid) for name, stack in SWEEPS.items()}


def main():
    stacked, rows, swept = gathering.STACKED, [], []
    print("cell    H   B   one by one over stacked: rates  seeds   train stacks")
    for kind in CELLS:
        for H, B in SIZES:
            ms = take_turns(calls(kind, H, B))
            ratios = [ms[f"{name} one by one"] / ms[f"{name} stacked"] for name in ("rates", "seeds")]
            rows.append({"kind": kind, "H": H, "B": B, "ms": ms, "stacks": stacked >= H * B})
            print(f"{kind:4s} {H:4d} {B:3d} {ratios[0]:31.2f} {ratios[1]:6.2f}   {rows[-1]['stacks']}", flush=True)
    gathering.STACKED = stacked
    print("cell    H   B   sweep of 33 settings: alone over as it comes")
    for kind in CELLS:
        for H, B in SIZES:
            ms = take_turns(sweeps(kind, H, B))
            swept.append({"kind": kind, "H": H, "B": B, "ms": ms, "stacks": stacked >= H * B})
            print(f"{kind:4s} {H:4d} {B:3d} {ms['alone'] / ms['as it comes']:31.2f}", flush=True)
    record = {"command": "python benchmarks/bench_runs.py", "versions": versions(), "machine": cpu()}
    record |= {"runs": RUNS, "steps": STEPS, "rows": rows, "sweeps": swept}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

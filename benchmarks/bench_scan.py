"""Time what a recurrence without W_hh saves on this processor, and whether its parallel scan pays there.

    python benchmarks/bench_scan.py

First the recurrence h_t = a_t h_{t-1} + b_t alone, forward: step by step as the cells run it, beside `rnnlab.scan`.
Then one update's forward and backward pass of a GRU beside that of a minGRU, in rnnlab and in torch, where minGRU runs
as in its paper: all steps at once, in logarithms. Stores benchmarks/results/bench_scan.json.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import rnnlab as rl
from benchmarks.bench_cells import cpu, take_turns, versions  # first: it asks for one BLAS thread

RESULTS = Path(__file__).resolve().parent / "results" / "bench_scan.json"
NUMBERS, LENGTHS = [16, 64, 1024, 16384], [64, 512, 4096]
SIZES = [(16, 1, 512), (64, 1, 512), (64, 16, 64), (64, 16, 512), (64, 16, 2048), (256, 16, 512)]


def recurrences(numbers, T):
    """Return the loop over steps and the scan, on the same coefficients."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((T, 1, numbers), dtype=np.float32) for _ in range(2))
    cell = rl.MinGRUCell(1, numbers)
    tape = cell.tape(T, 1, np.dtype(np.float32))
    tape.a_written[0], tape.b[0] = a, b
    (views_and_shared,) = tape.forward
    return {"steps": lambda: cell.steps(*views_and_shared), "scan": lambda: rl.scan(a, b)}


def in_numpy(kind, H, B, T):
    """Return one forward and backward pass of a cell of rnnlab."""
    rng, cell, work = np.random.default_rng(0), kind(H, H), rl.Workspace()
    params = cell.init(rng, np.float32)
    x, d_h = (rng.standard_normal((T, B, H)).astype(np.float32) for _ in range(2))

    def run():
        _, _, tape = rl.unroll(cell, params, x, work=work)
        return rl.backprop(cell, params, tape, d_h)

    return run


def in_torch(H, B, T):
    """Return one forward and backward pass of torch's GRU, and of a minGRU as its paper writes it for training."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(1)
    torch.manual_seed(0)
    gru, gates = torch.nn.GRU(H, H), torch.nn.Linear(H, 2 * H)
    x, d_h = torch.randn(T, B, H), torch.randn(T, B, H)

    def min_gru():
        write, candidate = gates(x).chunk(2, dim=-1)
        log_keep = -F.softplus(write)  # of 1 - sigmoid
        positive = torch.where(candidate >= 0, (F.relu(candidate) + 0.5).log(), -F.softplus(-candidate))
        log_a = torch.cumsum(log_keep, dim=0)
        h = torch.exp(log_a + torch.logcumsumexp(-F.softplus(-write) + positive - log_a, dim=0))
        (h * d_h).sum().backward()

    return {"torch GRU": lambda: (gru(x)[0] * d_h).sum().backward(), "torch minGRU": min_gru}


def main():
    scans, cells = [], []
    print("numbers      T   steps over scan")
    for numbers in NUMBERS:
        for T in LENGTHS:
            ms = take_turns(recurrences(numbers, T))
            scans.append({"numbers": numbers, "T": T, "ms": ms})
            print(f"{numbers:7d} {T:6d} {ms['steps'] / ms['scan']:17.2f}", flush=True)
    print("   H   B     T   GRU over minGRU: rnnlab   torch")
    for H, B, T in SIZES:
        runs = {"GRU": in_numpy(rl.GRUCell, H, B, T), "minGRU": in_numpy(rl.MinGRUCell, H, B, T), **in_torch(H, B, T)}
        ms = take_turns(runs)
        cells.append({"H": H, "B": B, "T": T, "ms": ms})
        ratios = ms["GRU"] / ms["minGRU"], ms["torch GRU"] / ms["torch minGRU"]
        print(f"{H:4d} {B:3d} {T:5d} {ratios[0]:24.2f} {ratios[1]:7.2f}", flush=True)
    record = {"command": "python benchmarks/bench_scan.py", "versions": versions(), "machine": cpu()}
    RESULTS.write_text(json.dumps(record | {"scans": scans, "cells": cells}, indent=1) + "\n")


if __name__ == "__main__":
    main()

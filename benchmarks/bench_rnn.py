"""Time forward and full BPTT of the tanh RNN against torch.nn.RNN, side by side in one run, one thread each.

    python benchmarks/bench_rnn.py

Prints a table and stores it as benchmarks/results/bench_rnn.json. The figure to read is the ratio: torch's time over
ours, both medians over rounds in which the two take turns.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before NumPy is imported

import json
import platform
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

import rnnlab as rl

RESULTS = Path(__file__).parent / "results" / "bench_rnn.json"
CASES = [(H, B) for H in (16, 64, 256) for B in (1, 16, 64)]
T, D, ROUNDS = 100, 4, 15


def ours(H, B, dtype):
    rng, cell, work = np.random.default_rng(0), rl.RNNCell(D, H), rl.Workspace()
    params, x = cell.init(rng, dtype), rng.normal(size=(T, B, D)).astype(dtype)
    d_h = np.ones((T, B, H), dtype)

    def run():
        _, _, tape = rl.unroll(cell, params, x, work=work)
        rl.backprop(cell, params, tape, d_h)

    return run


def theirs(H, B, dtype):
    rnn = torch.nn.RNN(D, H).to(torch.from_numpy(np.empty(0, dtype)).dtype)
    x = torch.randn(T, B, D, dtype=next(rnn.parameters()).dtype)
    d_h = torch.ones(T, B, H, dtype=x.dtype)

    def run():
        rnn.zero_grad()
        rnn(x)[0].backward(d_h)

    return run


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(H, B, dtype):
    """Return the medians of both over rounds in which they take turns."""
    pair = ours(H, B, dtype), theirs(H, B, dtype)
    for run in pair:
        run()  # the first call makes the arrays
    rounds = [[seconds(run) for run in pair] for _ in range(ROUNDS)]
    mine, other = (median(column) for column in zip(*rounds, strict=True))
    return {"H": H, "B": B, "dtype": np.dtype(dtype).name, "ours_ms": 1e3 * mine, "torch_ms": 1e3 * other,
            "ratio": other / mine}  # fmt: skip


def main():
    torch.set_num_threads(1)
    print(f"T = {T}, D = {D}, medians of {ROUNDS} rounds\n   H   B  dtype     ours ms  torch ms  torch/ours")
    rows = []
    for dtype in (np.float32, np.float64):
        for H, B in CASES:
            rows.append(row := compare(H, B, dtype))
            print(f"{H:4d} {B:3d}  {row['dtype']}  {row['ours_ms']:8.2f}  {row['torch_ms']:8.2f}  {row['ratio']:9.1f}x")
    versions = {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__}
    machine = {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()}
    RESULTS.parent.mkdir(exist_ok=True)
    record = {"command": "python benchmarks/bench_rnn.py", "T": T, "D": D, "versions": versions} | machine
    RESULTS.write_text(json.dumps(record | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

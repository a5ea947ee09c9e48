"""Time the loss and gradient of connectionist temporal classification: `rnnlab.ctc` beside torch's and its log-softmax.

    python benchmarks/bench_ctc.py

Both run on one thread, and what is counted is the processor's time, so that other programs matter little. Sizes are
steps T, sequences B, symbols C, labels S. Stores benchmarks/results/bench_ctc.json.
"""

import json
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rnnlab.ctc import ctc_loss  # first: rnnlab loads NumPy with one thread

# isort: split

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results" / "bench_ctc.json"
SIZES = [(80, 1, 10, 5), (80, 16, 10, 5), (80, 64, 10, 5), (300, 16, 30, 40), (1000, 16, 30, 100)]
ROUNDS = 41


def both(T, B, C, S):
    """Return the two functions, on the same float32 numbers; each returns the gradient."""
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(T, B, C)).astype(np.float32), rng.integers(1, C, (B, S))
    steps, lengths = np.full(B, T), np.full(B, S)
    x, others = torch.tensor(logits, requires_grad=True), [torch.tensor(one) for one in (targets, steps, lengths)]

    def of_torch():
        x.grad = None
        torch.nn.functional.ctc_loss(x.log_softmax(2), *others).backward()
        return x.grad.numpy()

    return {"rnnlab": lambda: ctc_loss(logits, targets, steps, lengths)[1], "torch": of_torch}


def in_turns(runs):
    """Return each function's median of the processor's milliseconds, over rounds in which they take turns."""
    found = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            began = time.process_time_ns()
            run()
            found[name].append((time.process_time_ns() - began) / 1e6)
    return {name: round(median(times), 4) for name, times in found.items()}


def main():
    from benchmarks.bench_cells import cpu, versions

    rows = []
    print("    T   B   C    S   rnnlab ms   torch ms   rnnlab over torch")
    for T, B, C, S in SIZES:
        ms = in_turns(both(T, B, C, S))
        rows.append({"T": T, "B": B, "C": C, "S": S, "ms": ms, "ratio": round(ms["rnnlab"] / ms["torch"], 3)})
        print(
            f"{T:5d} {B:3d} {C:3d} {S:4d} {ms['rnnlab']:11.2f} {ms['torch']:10.2f} {rows[-1]['ratio']:19.2f}",
            flush=True,
        )
    record = {"command": "python benchmarks/bench_ctc.py", "versions": versions(), "machine": cpu(), "rounds": ROUNDS}
    RESULTS.write_text(json.dumps(record | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

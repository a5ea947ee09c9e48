"""Time a diagnosis beside a plain forward and backward pass, and an update that is watched beside one that is not.

    python benchmarks/bench_doctor.py

The diagnosis runs the layers step by step and the model itself a few times more, for the tests of what it reads. Stores
benchmarks/results/bench_doctor.json.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.bench_cells import cpu, take_turns, versions  # first: it asks for one BLAS thread
from rnnlab.doctor import diagnose, watch

RESULTS = Path(__file__).resolve().parent / "results" / "bench_doctor.json"
SIZES = [(16, 16, 20), (64, 16, 20), (64, 16, 100), (64, 16, 500), (256, 16, 100), (256, 64, 100)]


class Classifier(nn.Module):
    def __init__(self, H):
        super().__init__()
        self.rnn, self.head = nn.LSTM(8, H, batch_first=True), nn.Linear(H, 3)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


def calls(H, B, T):
    """Return the functions to time, by name."""
    torch.manual_seed(0)
    model, batch = Classifier(H), (torch.randn(B, T, 8), torch.randint(3, (B,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def update():
        optimizer.zero_grad()
        F.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()

    def plain():
        F.cross_entropy(model(batch[0]), batch[1]).backward()

    def watched():
        with watch(model):
            update()

    return {
        "plain": plain,
        "diagnosis": lambda: diagnose(model, batch, F.cross_entropy),
        "update": update,
        "watched update": watched,
    }


def main():
    torch.set_num_threads(1)
    rows = []
    print("   H   B    T   diagnosis over a plain pass, in ms   watched update over update")
    for H, B, T in SIZES:
        ms = take_turns(calls(H, B, T))
        rows.append({"H": H, "B": B, "T": T, "ms": ms})
        ratios = ms["diagnosis"] / ms["plain"], ms["watched update"] / ms["update"]
        print(f"{H:4d} {B:3d} {T:4d} {ratios[0]:27.1f} {ms['diagnosis']:8.1f} {ratios[1]:28.2f}", flush=True)
    record = {"command": "python benchmarks/bench_doctor.py", "versions": versions(), "machine": cpu(), "rows": rows}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

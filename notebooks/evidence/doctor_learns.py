"""Does a network that the doctor calls vanishing learn what it would need the first step for?

An LSTM reads T random numbers and is asked for the sign of the first. Per start of its forget gate, length, learning
rate and seed: the part of the gradient that is left at the first step before training, what the doctor says, and the
share of right answers over the last 50 of at most 1,500 updates (it ends early above 97%).

    python notebooks/evidence/doctor_learns.py              # some minutes
"""

import argparse
import json
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import rnnlab as rl
from rnnlab.doctor import diagnose

BIASES, STEPS, RATES, SEEDS, UPDATES, H = (None, 1.0), (10, 20, 30, 40), (0.003, 0.01), range(2), 1500, 32


class Net(nn.Module):
    """PyTorch's start, or a forget bias."""

    def __init__(self, bias):
        super().__init__()
        self.rnn, self.head = nn.LSTM(1, H, batch_first=True), nn.Linear(H, 2)
        if bias is not None:
            with torch.no_grad():
                self.rnn.bias_ih_l0[H : 2 * H], self.rnn.bias_hh_l0[H : 2 * H] = bias, 0

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


def batch(steps):
    x = torch.randn(32, steps, 1)
    return x, (x[:, 0, 0] > 0).long()


def row(bias, steps, lr, seed):
    """Return one row of the record."""
    torch.manual_seed(seed)
    net = Net(bias)
    report = diagnose(net, batch(steps), F.cross_entropy)
    flow, optimizer, right = report.layers["rnn"]["flow"], torch.optim.Adam(net.parameters(), lr), []
    for update in range(UPDATES):
        x, y = batch(steps)
        out = net(x)
        optimizer.zero_grad()
        F.cross_entropy(out, y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        right.append((out.argmax(1) == y).float().mean().item())
        if update > 100 and sum(right[-50:]) / 50 > 0.97:
            break
    return {"bias": bias, "steps": steps, "lr": lr, "seed": seed, "left": flow[0] / max(flow),
            "found": [one.kind for one in report.findings], "right": sum(right[-50:]) / 50,
            "updates": update + 1}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    torch.set_num_threads(1)
    rows = [row(*one) for one in ((b, t, lr, s) for b in BIASES for t in STEPS for lr in RATES for s in SEEDS)]
    made = {"command": "python notebooks/evidence/doctor_learns.py", "torch": torch.__version__, **rl.provenance()}
    parser.parse_args().out.write_text(json.dumps({"rows": rows, "made": made}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

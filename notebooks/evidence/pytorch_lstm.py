"""What do the faults of a circulating LSTM example cost, and what does the repaired script reach on real speech?

- toys: the sign of the first of ten inputs, and the next value of a sine, asked of nn.LSTM as it circulates, without
  batch_first and read by output[:, -1], and with batch_first.
- vowels: the Japanese vowels by train_speakers.py, with three models that differ in what they read only: those two, and
  the script's. Validation accuracy as the script shows the utterances, by speaker; in batches of mixed order; one at a
  time. For the script's own model also the test set, once for each fresh seed.

Each gets its best settings from the same grid, by the mean (validation) loss of two pilot seeds; then ten fresh seeds.

    python notebooks/evidence/pytorch_lstm.py              # about four minutes on one free core
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm

import rnnlab as rl
from rnnlab import datasets

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import train_speakers as script

PILOT_SEEDS, FRESH_SEEDS, RATES = range(2), range(100, 110), [0.003, 0.01, 0.03]
GRID = [{"lr": lr, "dropout": dropout, "hidden": 64} for lr in (0.003, 0.01) for dropout in (0.0, 0.3)]
STEPS, OMEGA, TOY_UPDATES, TOY_BATCH, EPOCHS, NORMS = 10, 2 * math.pi / 20, 400, 32, 40, 140

# ---------------------------------------------------------------- toys


class Toy(nn.Module):
    """The example as it circulates; with batch_first=True only that is put right."""

    def __init__(self, output_size, batch_first):
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 16, batch_first=batch_first), nn.Linear(16, output_size)

    def forward(self, x):
        output, _ = self.lstm(x)
        return self.head(output[:, -1, :])


def sign(number, generator):
    """Return x (number, STEPS, 1) of normal noise and whether its first value is positive, (number,)."""
    x = torch.randn(number, STEPS, 1, generator=generator)
    return x, (x[:, 0, 0] > 0).long()


def sine(number, generator):
    """Return x (number, STEPS, 1), pieces of one sine from anywhere in its period, and the next value (number, 1)."""
    t = 2 * math.pi * torch.rand(number, 1, generator=generator) + OMEGA * torch.arange(STEPS + 1)
    return torch.sin(t[:, :-1, None]), torch.sin(t[:, -1:])


TOYS = {"sign": (sign, 2, F.cross_entropy), "sine": (sine, 1, F.mse_loss)}


def toy(task, batch_first, lr, seed, updates=TOY_UPDATES):
    """Train on fresh samples at every update; return the curve and, on 4,000 others, the loss and the share right."""
    draw, size, loss_fn = TOYS[task]
    torch.manual_seed(seed)
    model, generator = Toy(size, batch_first), torch.Generator().manual_seed(seed)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=lr), []
    for _ in range(updates):
        x, y = draw(TOY_BATCH, generator)
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        losses.append(loss.item())
    generator = torch.Generator().manual_seed(10_000 + seed)
    with torch.no_grad():
        pairs = [
            draw(TOY_BATCH, generator) for _ in range(125)
        ]  # in batches, since the faulty one hears its neighbours
        outputs, y = torch.cat([model(x) for x, _ in pairs]), torch.cat([y for _, y in pairs])
    right = (outputs.argmax(dim=1) == y).double().mean().item() if task == "sign" else None
    curve = np.array(losses).reshape(-1, 25).mean(axis=1)
    return {"loss": loss_fn(outputs, y).item(), "right": right, "curve": [float(f"{value:.4g}") for value in curve]}


# ---------------------------------------------------------------- vowels


class Circulating(script.SpeakerNet):
    """No batch_first, and output[:, -1]: reads the last column of the padded batch, from sample to sample."""

    def __init__(self, input_size, classes, config):
        super().__init__(input_size, classes, config)
        self.lstm.batch_first = False

    def forward(self, x, lengths):
        return self.head(self.dropout(self.lstm(x)[0][:, -1]))


class PaddedEnd(script.SpeakerNet):
    """batch_first, and output[:, -1]: reads each sample at the end of the padding."""

    def forward(self, x, lengths):
        return self.head(self.dropout(self.lstm(x)[0][:, -1]))


MODELS = {"as it circulates": Circulating, "with batch_first": PaddedEnd, "packed": script.SpeakerNet}


def speakers(data, model, settings, seed, test=False):
    """Train by the script with this class for its model; return the Run and a row of what came out."""
    config, real = script.Config(seed=seed, **settings), script.SpeakerNet
    script.SpeakerNet = MODELS[model]
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = script.Run(config, folder, data, torch.device("cpu"))
            run.train(EPOCHS, say=lambda line: None)
    finally:
        script.SpeakerNet = real
    result = run.result(test)
    names = ["best_epoch", "epochs", "validation_loss", "validation_accuracy"]
    return run, {name: result[name] for name in names + ["test_loss", "test_accuracy"] * test} | {
        "seed": seed,
        **settings,
    }


def orders(run, seed):
    """Return the validation accuracy of the best epoch by speaker, in a mixed order, and one at a time."""
    run.model.load_state_dict(run.best["model"])
    samples, found = run.parts["validation"], {}
    mixed = [samples[n] for n in np.random.default_rng(seed).permutation(len(samples))]
    for name, part, size in (("by speaker", samples, 16), ("mixed", mixed, 16), ("one at a time", samples, 1)):
        found[name] = script.evaluate(run.model, DataLoader(part, size, collate_fn=script.collate), run.device)[1]
    return found


# ---------------------------------------------------------------- everything


def best(trials, quality):
    """Return the settings of the pilot rows with the lowest mean."""
    means = {}
    for settings, row in trials:
        means.setdefault(json.dumps(settings), []).append(row[quality])
    return json.loads(min(means, key=lambda key: np.mean(means[key])))


def try_toys(record, bar):
    for task in TOYS:
        for batch_first in (False, True):
            trials, about = [], {"task": task, "batch_first": batch_first}
            for lr in RATES:
                for seed in PILOT_SEEDS:
                    trials.append(({"lr": lr}, toy(task, batch_first, lr, seed)))
                    record["pilot"].append(about | {"lr": lr, "seed": seed, "loss": trials[-1][1]["loss"]})
                    bar.update()
            lr = best(trials, "loss")["lr"]
            for seed in FRESH_SEEDS:
                record["toys"].append(about | {"lr": lr, "seed": seed} | toy(task, batch_first, lr, seed))
                bar.update()


def try_vowels(record, bar):
    data = script.load_data()
    for model in MODELS:
        trials = []
        for settings in GRID:
            for seed in PILOT_SEEDS:
                trials.append((settings, speakers(data, model, settings, seed)[1]))
                record["pilot"].append({"model": model} | trials[-1][1])
                bar.update()
        for seed in FRESH_SEEDS:
            run, row = speakers(data, model, best(trials, "validation_loss"), seed, test=model == "packed")
            record["vowels"].append({"model": model} | row | {"right": orders(run, seed)})
            bar.update()
    for lr in (0.001, *RATES):  # where to clip: the script's model, first fresh seed, norms before the clip
        run, _ = speakers(data, "packed", {"lr": lr, "dropout": 0.0, "hidden": 64}, FRESH_SEEDS[0])
        norms = [float(f"{norm:.4g}") for epoch in run.history for norm in epoch["norms"]]
        record["norms"][lr] = norms[:NORMS]
        bar.update()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began = parser.parse_args().out, time.process_time()
    torch.set_num_threads(1)
    record = {"toys": [], "vowels": [], "pilot": [], "norms": {}}
    with tqdm(total=122, unit="run") as bar:
        try_toys(record, bar)
        try_vowels(record, bar)
    vowels = datasets.load("japanese_vowels")
    record["linear"] = {
        f"{part} {features.__name__}": datasets.linear_accuracy(vowels.train, getattr(vowels, part), features)
        for part in ("validation", "test") for features in (datasets.means, datasets.summaries)
    } | {"test largest class": vowels.test.majority}  # fmt: skip
    record["settings"] = {
        "rates": RATES, "grid": GRID, "steps": STEPS, "omega": OMEGA, "toy_updates": TOY_UPDATES,
        "toy_batch": TOY_BATCH, "epochs": EPOCHS, "patience": script.Config().patience,
        "pilot_seeds": list(PILOT_SEEDS), "fresh_seeds": list(FRESH_SEEDS),
    }  # fmt: skip
    record["made"] = {
        "command": "python notebooks/evidence/pytorch_lstm.py", **rl.provenance(), "torch": torch.__version__,
        "cpu_seconds": round(time.process_time() - began),
    }  # fmt: skip
    out.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

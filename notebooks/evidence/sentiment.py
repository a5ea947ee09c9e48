"""Does a Chinese review praise or complain? Networks that read it character by character against counts of characters.

Every method sees the first 60 characters of the same training reviews and is tuned with four settings, by the loss on
the validation reviews:

- counts of runs of up to 1, 2 or 3 characters with logistic regression: four penalties;
- LSTM read by its last state, by the mean or by the maximum of its states; GRU read by the maximum: four learning
  rates on one pilot seed, then four fresh seeds. A run keeps the parameters of its lowest validation loss.

The test reviews are touched at the end, once for each model. `sentiment_counts.py` has the counts,
`sentiment_reading.py` asks which characters moved a decision, `sentiment_record.py` writes everything down.

    python notebooks/evidence/sentiment.py     # about 9 minutes on one free core; goes on where it stopped
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from records import whole
from sentiment_counts import RARE, cross_entropy, cut
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from rnnlab import datasets
from rnnlab.texts import Alphabet

ROOT = Path(__file__).resolve().parents[2]
EMBEDDING, HIDDEN = 32, 64
BATCH_SIZE, UPDATES, EVERY, MAX_NORM, CHUNK = 64, 800, 50, 1.0, 50
RATES = [0.001, 0.003, 0.01, 0.03]
NETS = [("lstm", "last"), ("lstm", "mean"), ("lstm", "max"), ("gru", "max")]
PILOT_SEED, FRESH_SEEDS = 0, range(100, 104)


# ---------------------------------------------------------------- the network


def last(h, lengths):
    """Return each text's state after its last character."""
    return h[lengths - 1, torch.arange(len(lengths))]


def mean(h, lengths):
    """Return the mean of each text's states."""
    return torch.where(real(h, lengths), h, 0).sum(0) / lengths[:, None]


def maximum(h, lengths):
    """Return the highest value of each unit over a text."""
    return torch.where(real(h, lengths), h, -torch.inf).amax(0)


def real(h, lengths):
    """Return which steps are no padding, (T, B, 1)."""
    return (torch.arange(len(h))[:, None] < lengths)[..., None]


POOLS, CELLS = {"last": last, "mean": mean, "max": maximum}, {"lstm": nn.LSTM, "gru": nn.GRU}


class Reader(nn.Module):
    """Give the log odds of praise: a vector for each character, an LSTM or GRU, one vector out of its states, a sum."""

    def __init__(self, characters, cell, pool):
        super().__init__()
        self.embedding = nn.Embedding(characters, EMBEDDING, padding_idx=Alphabet.PADDING)
        self.rnn, self.pool = CELLS[cell](EMBEDDING, HIDDEN), POOLS[pool]
        self.head = nn.Linear(HIDDEN, 1)

    def forward(self, numbers, lengths):
        """Return (B,) for characters by number (T, B) and lengths (B,)."""
        return self.read(self.embedding(numbers), lengths)

    def read(self, vectors, lengths):
        """Return (B,) for vectors (T, B, EMBEDDING)."""
        h, _ = self.rnn(vectors)
        return self.head(self.pool(h, lengths))[:, 0]


def log_odds(model, alphabet, texts, batch_size=128):
    """Return the log odds of praise of each text, (B,)."""
    texts, found = cut(texts), np.zeros(len(texts), np.float32)
    order = np.argsort([len(text) for text in texts], kind="stable")
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            numbers, lengths = alphabet.padded([texts[b] for b in chosen])
            found[chosen] = model(torch.tensor(numbers), torch.tensor(lengths)).numpy()
    return found


def epochs(lengths, rng):
    """Yield batches without end, each of texts of much the same length, so that there is little padding."""
    while True:
        mixed = rng.permutation(len(lengths))
        size = BATCH_SIZE * CHUNK
        chunks = [mixed[start : start + size] for start in range(0, len(mixed), size)]
        chunks = [chunk[np.argsort(lengths[chunk], kind="stable")] for chunk in chunks]
        batches = [chunk[s : s + BATCH_SIZE] for chunk in chunks for s in range(0, len(chunk), BATCH_SIZE)]
        for n in rng.permutation(len(batches)):
            yield batches[n]


def train(parts, cell, pool, lr, seed, updates=UPDATES):
    """Train a reader; return it with the parameters of its lowest validation loss, its alphabet and what was measured.

    Args:
        parts: has `train` and `validation`, both `Texts`.
    """
    torch.manual_seed(seed)
    alphabet = Alphabet.of(cut(parts.train.texts), at_least=RARE)
    model = Reader(len(alphabet), cell, pool)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    numbers, lengths = alphabet.padded(cut(parts.train.texts))
    labels, losses, began = torch.tensor(parts.train.labels).float(), [], time.process_time()
    curve, lowest, best = [], np.inf, None
    for update, b in enumerate(epochs(lengths, np.random.default_rng(seed)), 1):
        optimizer.zero_grad()
        odds = model(torch.tensor(numbers[: lengths[b].max(), b]), torch.tensor(lengths[b]))
        loss = F.binary_cross_entropy_with_logits(odds, labels[b])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        losses.append(loss.item())
        if update % EVERY == 0 or update == updates:
            odds = log_odds(model, alphabet, parts.validation.texts)
            found = cross_entropy(odds, parts.validation.labels)
            right = float(((odds > 0) == parts.validation.labels).mean())
            curve.append([update, float(np.mean(losses[-EVERY:])), found, right])
            if found < lowest:
                lowest, best = found, {name: value.clone() for name, value in model.state_dict().items()}
        if update == updates:
            break
    model.load_state_dict(best or model.state_dict())
    measured = {"loss": lowest, "curve": [[n, *(round(one, 4) for one in rest)] for n, *rest in curve]}
    return model, alphabet, measured | {"cpu": round(time.process_time() - began, 1)}


# ---------------------------------------------------------------- everything


class Runs:
    """Train what is not in `folder` yet, and keep it there: the parameters of each run and what was measured."""

    def __init__(self, folder, data):
        self.folder, self.data = folder, data
        self.alphabet = Alphabet.of(cut(data.train.texts), at_least=RARE)
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, cell, pool, lr, seed):
        """Return the row of a run."""
        path = self.folder / f"{cell}_{pool}_{lr}_{seed}.npz"
        if not path.exists():
            model, _, measured = train(self.data, cell, pool, lr, seed)
            state = {name: value.numpy() for name, value in model.state_dict().items()}
            with whole(path) as beside:
                np.savez(beside, row=json.dumps(measured), **state)
        with np.load(path) as stored:
            return {"cell": cell, "pool": pool, "lr": lr, "seed": seed} | json.loads(str(stored["row"]))

    def load(self, row):
        """Return the model of a row and its alphabet."""
        model = Reader(len(self.alphabet), row["cell"], row["pool"])
        with np.load(self.folder / "{cell}_{pool}_{lr}_{seed}.npz".format(**row)) as stored:
            model.load_state_dict({name: torch.tensor(stored[name]) for name in stored.files if name != "row"})
        return model, self.alphabet


def all_runs(folder):
    """Train everything; return the `Runs`, the pilot rows, and the fresh rows with the rate of the lowest loss."""
    runs, pilot, fresh = Runs(folder, datasets.load("chinese_reviews")), [], []
    with tqdm(total=len(NETS) * (len(RATES) + len(FRESH_SEEDS)), unit="run") as bar:
        for net in NETS:
            tried = []
            for lr in RATES:
                tried.append(runs.run(*net, lr, PILOT_SEED))
                bar.update()
            pilot += tried
            for seed in FRESH_SEEDS:
                fresh.append(runs.run(*net, min(tried, key=lambda row: row["loss"])["lr"], seed))
                bar.update()
    return runs, pilot, fresh


def main():
    from sentiment_record import write  # beside this file

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    parser.add_argument("--runs", type=Path, default=ROOT / "logs" / "sentiment", help="where single runs are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    write(*all_runs(arguments.runs), arguments.out)


if __name__ == "__main__":
    main()

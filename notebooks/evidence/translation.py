"""Dates and numbers translated: two GRUs with and without attention, against analogies with a learned dictionary.

Each kind of network gets the best of the same learning rates, by the loss on the validation part after runs of half the
length with a pilot seed; then fresh seeds train in full. The analogies get as many settings. The test part and what is
beyond the data are looked at once for each fresh seed, by greedy and by beam search.

    python notebooks/evidence/translation.py               # about eight minutes on one free core

Ctrl-C loses the run in progress only, if `--runs` names a folder: what is finished there is not trained again.
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from records import mean_and_half, whole, write
from tqdm import tqdm
from translation_model import HIDDEN, Translator, batches, greedy, load, save, searcher, symbols, train

import rnnlab as rl
from rnnlab import datasets
from rnnlab.analogies import Analogies, words
from rnnlab.data_dates import beyond_dates
from rnnlab.decoding import beam_search

RATES, PILOT_SEED, SEEDS = [0.0025, 0.005, 0.01, 0.02], 0, range(100, 104)
UPDATES, PILOT_UPDATES, LONGER, EVERY = 800, 400, 3, 25
HEADS, WIDTHS, LONGEST = ("dot", "none"), [2, 5], 42


def alphabets(data):
    """Return the alphabets of sources and targets, of what occurs in the part to train."""
    of = datasets.Alphabet.of
    return of(map(symbols, data.train.sources)), of(data.train.targets)


def exact(texts, pairs):
    """Return which texts are the targets, (B,)."""
    return np.array([text == target for text, target in zip(texts, pairs.targets, strict=True)])


def mean_loss(model, pairs):
    """Return the loss in nats per symbol, with teacher forcing."""
    total, count = 0.0, 0
    with torch.no_grad():
        for numbers, lengths, targets in batches(pairs, model, 240):
            symbols_asked = int((targets[1:] > 0).sum())
            total, count = total + symbols_asked * model(numbers, lengths, targets).item(), count + symbols_asked
    return total / count


def trained(data, folder, head, lr, seed, updates):
    """Return a trained network and what is noted of its run, from the folder if it is there."""
    model = Translator(*alphabets(data), head)
    path = folder / f"{head}-{lr}-{seed}-{updates}.pt"
    if not path.exists():
        torch.manual_seed(seed)
        model, began = Translator(*alphabets(data), head), time.process_time()
        with tqdm(total=updates, unit="update", desc=path.stem) as bar:
            losses = train(model, data.train, lr, seed, updates, report=lambda loss: bar.update())
        seconds = time.process_time() - began
        curve = [float(f"{loss:.4g}") for loss in losses.reshape(-1, EVERY).mean(axis=1)]
        row = {"head": head, "lr": lr, "seed": seed, "updates": updates, "curve": curve, "seconds": round(seconds, 1)}
        with whole(path) as beside:
            torch.save({"row": row, "model": model.state_dict()}, beside)
    stored = torch.load(path, weights_only=True)
    model.load_state_dict(stored["model"])
    right = exact(greedy(model, data.validation)[0], data.validation)
    found = {"validation_loss": mean_loss(model, data.validation), "validation": float(right.mean())}
    return model, stored["row"] | found


def train_all(data, folder):
    """Return the rows of the pilot, the fresh networks with their rows, and the one that was trained longer."""
    pilot, fresh = [], []
    for head in HEADS:
        pilot += [trained(data, folder, head, lr, PILOT_SEED, PILOT_UPDATES)[1] for lr in RATES]
        best = min((row for row in pilot if row["head"] == head), key=lambda row: row["validation_loss"])
        fresh += [trained(data, folder, head, best["lr"], seed, UPDATES) for seed in SEEDS]
    rate = next(row["lr"] for _, row in fresh if row["head"] == "none")
    return pilot, fresh, trained(data, folder, "none", rate, SEEDS[0], LONGER * UPDATES)


# ---------------------------------------------------------------- what they reach


def bits(right):
    """Return a text of 0 and 1, one for each case."""
    return "".join(map(str, np.asarray(right, int)))


def numbers(text):
    """Return the cases that `bits` has written, (B,)."""
    return np.array(list(text)) == "1"


def searched(model, pairs, texts, shares):
    """Return by width what a beam finds, where greedy search has no more than half of the probability, and how often.

    Where it has more, it has the most probable sequence, and a beam of any width finds the same.
    """
    unsure, found = np.flatnonzero(shares <= 0.5), {"unsure": int((shares <= 0.5).sum())}
    for width in WIDTHS:
        beam, better, ends = list(texts), 0, datasets.Alphabet
        for b in unsure:
            step, state = searcher(model, pairs.sources[b])
            best = beam_search(step, state, ends.START, ends.END, LONGEST, width)[0]
            beam[b] = model.alphabets[1].decode(best.symbols)
            better += int(beam[b] != texts[b] and np.exp(best.log_prob) > shares[b])
        found[width] = {"right": bits(exact(beam, pairs)), "more_probable": better}
    return found


def tested(model, row, parts, folder):
    """Return a run's row with what is right in each part, from the folder if it is there."""
    path = folder / f"{row['head']}-{row['lr']}-{row['seed']}-{row['updates']}.json"
    if not path.exists():
        found = {"right": {}}
        for name, pairs in parts.items():
            texts, shares = greedy(model, pairs)
            found["right"][name] = bits(exact(texts, pairs))
            if name == "test" and model.attention:
                found["beam"] = searched(model, pairs, texts, shares)
        write(path, json.dumps(found, ensure_ascii=False) + "\n")
    return row | json.loads(path.read_text(encoding="utf-8"))


def tuned_analogies(data, parts):
    """Return the four settings on the validation part, and what the best of them gets right elsewhere."""
    cuts = {
        "words": words,
        "words and parts": lambda source: words(source, parts=source[:4] == "<en>"),
    }
    groups = {
        "language": lambda source: source[:4],
        "language and digits": lambda source: (source[:4], any(map(str.isdigit, source))),
    }
    models = {
        (cut, group): Analogies(data.train, groups[group], cuts[cut]) for cut, group in itertools.product(cuts, groups)
    }

    def right(model, pairs):
        return exact([model.translate(source) for source in pairs.sources], pairs)

    trials = {key: float(right(model, data.validation).mean()) for key, model in models.items()}
    best = max(trials, key=trials.get)
    assert trials[best] == data.baseline.value, "the data set's baseline is the best setting"
    return {
        "trials": [{"words": cut, "group": group, "validation": value} for (cut, group), value in trials.items()],
        "right": {name: bits(right(models[best], pairs)) for name, pairs in parts.items()},
    }


def english(pairs):
    """Return the number of the English text of each pair: pairs of one day or number belong together."""
    texts = [s[5:] if to != "en" else t for (s, t), (_, to) in zip(pairs, pairs.directions, strict=True)]
    return np.unique(texts, return_inverse=True)[1]


def interval(ours, theirs, groups, draws=4000):
    """Return the 95% interval of mean(ours - theirs) over new seeds and new days and numbers, by the bootstrap.

    Args:
        ours: (seeds, B) of truth values.
        theirs: (B,), or 0.
        groups: (B,), cases that are drawn together.
    """
    rng, count = np.random.default_rng(0), groups.max() + 1
    sums = np.array([np.bincount(groups, one.astype(float) - theirs, count) for one in ours])  # (seeds, groups)
    sizes, means = np.bincount(groups), []
    for _ in range(draws):
        weights = rng.multinomial(count, np.full(count, 1 / count))
        rows = rng.integers(0, len(sums), len(sums))
        means.append((sums[rows] @ weights).mean() / (sizes @ weights))
    return [float(one) for one in np.percentile(means, [2.5, 97.5])]


def best_head(rows):
    """Return the kind of network with the best mean on the validation part."""
    return max(HEADS, key=lambda head: np.mean([row["validation"] for row in rows if row["head"] == head]))


def application(fresh, baseline, test):
    """Return the row of the table of all applications; the network is the one with the best validation mean."""
    head = best_head(fresh)
    rows = [row for row in fresh if row["head"] == head]
    ours, theirs = np.array([numbers(row["right"]["test"]) for row in rows]), numbers(baseline["right"]["test"])
    means = 100 * ours.mean(axis=1)
    return {
        "lesson": "17_language_b_translation", "task": "Translate dates and numbers", "data": "dates",
        "metric": "exact matches on the test set", "better": "higher", "unit": "%",
        "baseline_name": "analogies with a learned dictionary", "baseline": 100 * float(theirs.mean()),
        "model": f"two GRUs, {HIDDEN[head]} units, {'attention' if head != 'none' else 'no attention'}",
        "ours": float(means.mean()),
        "interval": mean_and_half(means)[1],
        "difference": [100 * one for one in interval(ours, theirs, english(test))],
        "published": None, "published_source": None,
        "seconds": float(np.mean([row["seconds"] for row in rows])),
    }  # fmt: skip


def saved(model, pairs, path):
    """Write a network, read it again, and return what it says to each test case and how sure it is."""
    save(model, path)
    texts, shares = greedy(load(path), pairs)
    return {"texts": texts, "shares": [float(f"{share:.3g}") for share in shares]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    parser.add_argument("--runs", type=Path, help="where finished runs are kept; nowhere if not given")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = datasets.load("dates")
    parts = {"test": data.test, **beyond_dates()}
    with tempfile.TemporaryDirectory() as folder:
        folder = arguments.runs or Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        pilot, fresh, longer = train_all(data, folder)
        rows = [tested(model, row, parts, folder) for model, row in tqdm(fresh, unit="test")]
        longer = tested(*longer, parts, folder)
    record = {"baseline": tuned_analogies(data, parts), "pilot": pilot, "fresh": rows, "longer": longer}
    record["application"] = [application(rows, record["baseline"], data.test)]
    first = next(model for model, row in fresh if row["head"] == best_head(rows))
    record["saved"] = saved(first, data.test, arguments.out.with_name("translation_model.npz"))
    record["settings"] = {
        "rates": RATES, "pilot_seed": PILOT_SEED, "seeds": list(SEEDS), "updates": UPDATES, "batch_size": 32,
        "pilot_updates": PILOT_UPDATES, "longer": LONGER, "every": EVERY, "hidden": HIDDEN, "widths": WIDTHS,
        "weights": {head: sum(one.numel() for one in Translator(*alphabets(data), head).parameters())
                    for head in HEADS},
    }  # fmt: skip
    record["made"] = {
        "command": "python notebooks/evidence/translation.py", **rl.provenance(), "torch": torch.__version__,
        "data": data.source, "cpu_seconds": round(sum(row["seconds"] for row in [*pilot, *rows, longer])),
    }  # fmt: skip
    write(arguments.out, json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

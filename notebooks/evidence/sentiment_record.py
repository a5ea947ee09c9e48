"""Touch the test reviews of `sentiment.py` once, and write down what was found: a record and one saved network."""

import json
from functools import partial

import numpy as np
import records
import sentiment as study
import torch
from records import mean_and_half
from sentiment_counts import ORDERS, PENALTIES, STEPS, Counts, tuned_counts
from sentiment_reading import by_deletion, by_gradient, by_weights, rank_correlation, shuffled, without_strongest

import rnnlab as rl

READ, LONG, MOST = 120, 20, 8  # test texts whose characters are examined, of at least so many; characters deleted


def bits(right):
    """Return true and false as a text of 1 and 0, which the record holds."""
    return "".join("01"[int(one)] for one in right)


def interval(ours, theirs, draws=4000, seed=0):
    """Return the 95% interval of the difference of two accuracies, over runs and test texts, both drawn again.

    Args:
        ours, theirs: (runs, N), which answers are right; the test texts are the same.
    """
    rng, found = np.random.default_rng(seed), []
    for _ in range(draws):
        chosen = rng.integers(0, ours.shape[1], ours.shape[1])
        means = [one[rng.integers(0, len(one), len(one))].mean(axis=0)[chosen].mean() for one in (ours, theirs)]
        found.append(means[0] - means[1])
    return np.percentile(found, [2.5, 97.5]).tolist()


def judged(odds_of, test):
    """Return what the test says of a model: share right, which are right, and share right with characters shuffled."""
    right = (odds_of(test.texts) > 0) == test.labels
    mixed = (odds_of(shuffled(test.texts)) > 0) == test.labels
    return {"test": float(right.mean()), "right": bits(right), "shuffled": float(mixed.mean())}


def of_counts(data):
    """Return tuning rows, test rows (best penalty for each order, also of whole texts), the best row and its counts."""
    pilot, rows, models = [], [], {}
    for whole in (False, True):
        for order in ORDERS:
            tried = tuned_counts(data, [order], whole)
            row = min(tried, key=lambda row: row["loss"])
            counts = Counts(order, row["penalty"], data.train, whole)
            pilot, rows = pilot + tried, rows + [row | judged(counts.log_odds, data.test)]
            models[order, whole] = counts
    best = min((row for row in rows if not row["whole"]), key=lambda row: row["loss"])
    return pilot, rows, best, models[best["order"], False]


def explained(texts, nets, counts):
    """Return how answers about characters agree, a number for each text, and what deleting by them does.

    Args:
        texts: what is examined.
        nets: list of (model, alphabet), of which the last one is untrained.
        counts: `Counts`.
    """
    weights = counts.weights()
    linear = [by_weights(weights, counts.order, text) for text in texts]
    odds_of = [partial(study.log_odds, *net) for net in nets]
    gradient = [[by_gradient(*net, text) for text in texts] for net in nets]
    deletion = [[by_deletion(one, text) for text in texts] for one in odds_of]
    trained = range(len(nets) - 1)
    after = [(seed + 1) % len(trained) for seed in trained]
    pairs = {
        "gradient, deletion": [(gradient[s], deletion[s]) for s in trained],
        "gradient, weights": [(gradient[s], linear) for s in trained],
        "deletion, weights": [(deletion[s], linear) for s in trained],
        "gradient, other start": [(gradient[s], gradient[after[s]]) for s in trained],
        "deletion, other start": [(deletion[s], deletion[after[s]]) for s in trained],
        "gradient of an untrained network, weights": [(gradient[-1], linear)],
        "deletion in an untrained network, weights": [(deletion[-1], linear)],
    }
    agreement = {}
    for name, runs in pairs.items():
        each = [[rank_correlation(*two) for two in zip(one, other, strict=True)] for one, other in runs]
        agreement[name] = [round(value, 4) for value in np.nanmean(each, axis=0).tolist()]
    rng = np.random.default_rng(0)
    rules = {
        "gradient": gradient, "deletion": deletion, "weights": [linear] * len(nets),
        "chance": [[rng.standard_normal(len(one)) for one in linear] for _ in nets],
    }  # fmt: skip
    falls = {
        name: [
            [without_strongest(odds_of[s], text, shares, MOST) for text, shares in zip(texts, of[s], strict=True)]
            for s in trained
        ]
        for name, of in rules.items()
    }
    return agreement, {name: np.mean(fall, axis=0).round(3).tolist() for name, fall in falls.items()}


def save(model, path):
    """Save a network in float16, and return it as it is when loaded again."""
    small = {name: value.numpy().astype(np.float16) for name, value in model.state_dict().items()}
    with records.whole(path) as beside:
        np.savez_compressed(beside, **small)
    model.load_state_dict({name: torch.tensor(value.astype(np.float32)) for name, value in small.items()})
    return model


def application(fresh, chosen, counts_row):
    """Return the row of the table of all applications."""
    ours = [row for row in fresh if all(row[name] == chosen[name] for name in ("cell", "pool"))]
    accuracy, half = mean_and_half([row["test"] for row in ours])
    which = [np.array([list(row["right"]) for row in rows]) == "1" for rows in (ours, [counts_row])]
    return {
        "lesson": "17_language_a_sentiment", "task": "Is a Chinese review praise or complaint?",
        "data": "chinese_reviews", "metric": "accuracy on the test set", "better": "higher", "unit": "%",
        "baseline_name": f"logistic regression of runs of 1 to {counts_row['order']} characters",
        "baseline": 100 * counts_row["test"], "model": f"{chosen['cell'].upper()}, {study.HIDDEN} units",
        "ours": 100 * accuracy, "interval": 100 * half,
        "difference": [100 * one for one in interval(*which)],
        "published": None, "published_source": None, "seconds": float(np.mean([row["cpu"] for row in ours])),
    }  # fmt: skip


def write(runs, pilot, fresh, out):
    """Judge all models by the test reviews, examine the chosen ones and store the record and one network."""
    test = runs.data.test
    counts_pilot, counts_rows, counts_row, counts = of_counts(runs.data)
    fresh = [row | judged(partial(study.log_odds, *runs.load(row)), test) for row in fresh]
    # Chosen on validation: the network by the mean loss of its fresh runs, the run that is saved by its own.
    losses = {}
    for row in fresh:
        losses.setdefault((row["cell"], row["pool"]), []).append(row["loss"])
    cell, pool = min(losses, key=lambda key: np.mean(losses[key]))
    ours = [row for row in fresh if (row["cell"], row["pool"]) == (cell, pool)]
    best = min(ours, key=lambda row: row["loss"])
    nets = [runs.load(row) for row in ours]
    torch.manual_seed(study.PILOT_SEED)
    alphabet = nets[0][1]
    nets.append((study.Reader(len(alphabet), cell, pool), alphabet))
    long = [text for text in test.texts if len(text) >= LONG]
    texts = long[:: len(long) // READ][:READ]  # of both classes: the test texts are in the order of their files
    agreement, falls = explained(texts, nets, counts)
    saved = save(runs.load(best)[0], out.with_name(f"{out.stem}_model.npz"))
    chosen = {name: best[name] for name in ("cell", "pool", "lr", "seed")}
    record = {
        "application": [application(fresh, chosen, counts_row)],
        "settings": {
            "steps": STEPS, "embedding": study.EMBEDDING, "hidden": study.HIDDEN, "batch_size": study.BATCH_SIZE,
            "updates": study.UPDATES, "every": study.EVERY, "max_norm": study.MAX_NORM, "rates": study.RATES,
            "penalties": PENALTIES, "pilot_seed": study.PILOT_SEED, "fresh_seeds": list(study.FRESH_SEEDS),
            "examined": len(texts), "at_least": LONG,
        },
        "chosen": chosen, "saved": judged(partial(study.log_odds, saved, alphabet), test),
        "pilot": pilot, "fresh": fresh, "counts_pilot": counts_pilot, "counts": counts_rows,
        "counts_chosen": {name: counts_row[name] for name in ("order", "penalty")},
        "agreement": agreement, "falls": falls,
        "made": {
            "command": "python notebooks/evidence/sentiment.py", **rl.provenance(), "torch": torch.__version__,
            "cpu_seconds_of_runs": round(sum(row["cpu"] for row in pilot + fresh)),
        },
    }  # fmt: skip
    records.write(out, json.dumps(record) + "\n")

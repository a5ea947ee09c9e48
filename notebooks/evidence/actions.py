"""Which action is it? A small LSTM on a tracked hand and on a smart watch, beside methods without recurrence.

Two data sets, 50 and 40 recordings to learn from. Every method gets 24 settings, judged by cross-validation in five
folds within these; the one with the fewest wrong answers is taken (the lowest loss, or the middle one of the list,
where several are equal). Then all 50 or 40 teach it, and the test part is looked at, here only: ten seeds of the LSTM
and of the random convolutions, once where nothing is random. Also here: seven augmentations; how early each method
knows; tracks that are normalized by what was seen so far instead of by the whole video.

    python notebooks/evidence/actions.py               # some ten minutes on one free core; writes at the end, at once
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from actions_rivals import FOLDS, METHODS, TRIALS, folds, grid, judged, seen_as
from records import mean_and_half, whole, write
from tqdm import tqdm

import rnnlab as rl
from rnnlab import datasets

HERE = Path(__file__).parent
UPDATES, HIDDEN, MAX_NORM = 200, 16, 1.0
STRIDES, READINGS = [1, 2, 3, 5], ["last", "mean", "every"]
SEEDS, FACTORS = range(100, 110), [0.5, 1.0, 2.0]  # of the final runs; on the chosen rate, with each augmentation
SHARES = [round(0.05 * n, 2) for n in range(1, 21)]
AUGMENTATIONS = {
    "none": {}, "jitter, small": {"jitter": 0.05}, "jitter, large": {"jitter": 0.2}, "shift, small": {"shift": 0.03},
    "shift, large": {"shift": 0.1}, "warp, small": {"warp": 0.03}, "warp, large": {"warp": 0.1},
}  # fmt: skip

# ---------------------------------------------------------------- data


def load(name):
    """Return what may be learned from, train and validation together, (x, labels), what is to be named, and C."""
    data = datasets.load(name)
    x = np.concatenate([data.train.x, data.validation.x], axis=1).astype(np.float32)
    labels = np.concatenate([data.train.labels, data.validation.labels])
    return (x, labels), (data.test.x.astype(np.float32), data.test.labels), len(data.classes)


def as_seen(x):
    """Standardize each step by the mean and spread of the steps up to it alone, (T, B, D): nothing of what comes."""
    count = np.arange(1, len(x) + 1)[:, None, None]
    mean = np.cumsum(x, axis=0, dtype=float) / count
    spread = np.sqrt(np.maximum(np.cumsum(x.astype(float) ** 2, axis=0) / count - mean**2, 0))
    return ((x - mean) / (spread + 1e-3)).astype(x.dtype)


def augmented(x, rng, jitter=0.0, shift=0.0, warp=0.0):
    """Return x (T, B, D) with noise added, moved in time, or with its time stretched here and shortened there.

    Args:
        jitter: standard deviation of the noise, in units of x.
        shift: longest way in time, as a share of T; the first or last step stands still meanwhile.
        warp: size of each of three slow waves by which time is bent, as a share of T.
    """
    T, B, _ = x.shape
    t = np.linspace(0, 1, T)[:, None]
    waves = np.sin(np.pi * t[..., None] * np.arange(1, 4))  # (T, 1, 3): 0 at both ends
    when = t + shift * rng.uniform(-1, 1, B) + warp * (waves * rng.uniform(-1, 1, (B, 3)) / np.arange(1, 4)).sum(axis=2)
    where = np.clip(when, 0, 1) * (T - 1)
    below = np.minimum(where.astype(int), T - 2)
    part, b = (where - below)[..., None], np.arange(B)
    moved = (1 - part) * x[below, b] + part * x[below + 1, b]
    return (moved + jitter * rng.standard_normal(x.shape)).astype(x.dtype)


# ---------------------------------------------------------------- the network


def mean_cross_entropy(outputs, y, mask):
    """Return the cross-entropy of the mean over time of the outputs, (1/T) sum_t o_t, and its derivative."""
    T = outputs.shape[-3]
    loss, d_mean = rl.cross_entropy(outputs.mean(axis=-3, keepdims=True), y[-1:], np.ones_like(mask[-1:]))
    return loss, np.repeat(d_mean / T, T, axis=-3)


def network(columns, classes, reading):
    """Return the model: an LSTM, a linear readout, and the loss that says where the answer is read."""
    loss = mean_cross_entropy if reading == "mean" else rl.cross_entropy
    return rl.Model(rl.LSTMCell(columns, HIDDEN), classes, loss)


def as_batch(x, labels, reading):
    """Return the batch of all sequences; its mask selects the last step, or every one."""
    mask = np.ones(x.shape[:2], x.dtype)
    if reading == "last":
        mask[:-1] = 0
    return rl.Batch(x, np.broadcast_to(labels, x.shape[:2]), mask)


def learn(x, labels, classes, setting, seed, augment=None, updates=UPDATES):
    """Train on all sequences at each update, at a rate that falls to 0; return the parameters and the losses."""
    stride, reading = setting["stride"], setting["reading"]
    model, rng = network(x.shape[2], classes, reading), np.random.default_rng(seed)
    params, work = model.init(rng, np.float32), rl.Workspace()
    optimizer, clip, decay, losses = rl.Adam(setting["lr"]), rl.ClipNorm(MAX_NORM), rl.CosineDecay(updates), []
    state = optimizer.init(params)
    for update in range(updates):
        shown = augmented(x, rng, **augment) if augment else x
        out = model.loss_and_grads(params, as_batch(shown[::stride], labels, reading), work=work)
        grads, _ = clip(out.grads)
        params, state = optimizer.scaled(decay(update)).update(params, grads, state)
        losses.append(out.loss)
    return params, losses


def beliefs(params, x, classes, setting):
    """Return the log-probability of each class after each step that is read, (T', B, C)."""
    outputs, _ = network(x.shape[2], classes, setting["reading"]).forward(params, x[:: setting["stride"]])
    if setting["reading"] == "mean":
        outputs = np.cumsum(outputs, axis=0) / np.arange(1, len(outputs) + 1, dtype=np.float32)[:, None, None]
    shifted = outputs - outputs.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def settings_of_the_network(seed=0):
    """Return 24 settings: each stride and reading with two learning rates, drawn evenly on a logarithmic scale."""
    rng = np.random.default_rng(seed)
    return [
        one | {"lr": float(f"{np.exp(rng.uniform(np.log(low), np.log(4 * low))):.2g}")}
        for one in grid(stride=STRIDES, reading=READINGS) for low in (0.005, 0.02)
    ]  # fmt: skip


def network_judged(x, labels, classes, setting, augment=None):
    """Return how many sequences are named wrongly by networks that learned from the other folds, and the mean loss."""
    wrong, loss, fold = 0, 0.0, folds(labels)
    for number in range(FOLDS):
        own = fold == number
        params, _ = learn(x[:, ~own], labels[~own], classes, setting, number, augment)
        last = beliefs(params, x[:, own], classes, setting)[-1]
        wrong += int((last.argmax(axis=1) != labels[own]).sum())
        loss -= float(last[np.arange(own.sum()), labels[own]].sum()) / len(labels)
    return {"wrong": wrong, "loss": float(f"{loss:.4g}")}


def best(rows):
    """Return the row with the fewest wrong; of several the lowest loss, or the middle one where there is none."""
    fewest = [row for row in rows if row["wrong"] == min(one["wrong"] for one in rows)]
    return min(fewest, key=lambda row: row["loss"]) if "loss" in rows[0] else fewest[len(fewest) // 2]


def chosen(rows, method):
    """Return the row of the setting that a method was given; for augmentation, of those that change anything."""
    return best([row for row in rows[method] if row.get("augmentation") != "none"])


# ---------------------------------------------------------------- the study


def tune(name, bar):
    """Return for every method the rows of its settings, judged within what may be learned from."""
    (x, labels), _, classes = load(name)
    rows = {}
    for method, (answers, settings) in METHODS.items():
        wrong = judged(answers, x.astype(float), labels, settings)
        rows[method] = [one | {"wrong": int(w)} for one, w in zip(settings, wrong, strict=True)]
        bar.update()
    rows["LSTM"] = []
    for one in settings_of_the_network():
        rows["LSTM"].append(one | network_judged(x, labels, classes, one))
        bar.update()
    plain = best(rows["LSTM"])
    rows["augmented"] = []
    for kind, augment in AUGMENTATIONS.items():
        for factor in FACTORS:
            one = {"stride": plain["stride"], "reading": plain["reading"], "lr": factor * plain["lr"]}
            judgement = network_judged(x, labels, classes, one, augment)
            rows["augmented"].append(one | {"augmentation": kind} | judgement)
            bar.update()
    rows["LSTM, every step"] = [row for row in rows["LSTM"] if row["reading"] == "every"]
    if name == "gunpoint":
        plain, rows["LSTM, as seen"] = best(rows["LSTM, every step"]), []
        for factor in FACTORS:
            one = {"stride": plain["stride"], "reading": "every", "lr": factor * plain["lr"]}
            rows["LSTM, as seen"].append(one | network_judged(as_seen(x), labels, classes, one))
            bar.update()
    return rows


def finally_(name, rows, bar):
    """Return for every method its chosen setting and its answers on the test part, and the networks' parameters."""
    (x, labels), (asked, truth), classes = load(name)
    found, kept, early = {}, {}, {}
    for method, (answers, _) in METHODS.items():
        setting = chosen(rows, method)
        seeds = SEEDS if method == "random convolutions" else [0]
        said = [
            answers(x.astype(float), labels, asked.astype(float), [setting], seed)[0].argmax(axis=1) for seed in seeds
        ]
        found[method] = {"setting": setting, "answers": ["".join(map(str, one)) for one in said]}
        early[method] = rival_early(
            answers, setting, x, labels, asked, truth, ["given", "as seen"][: 1 + (classes == 2)]
        )
        bar.update()
    for method in [one for one in ("LSTM", "augmented", "LSTM, every step", "LSTM, as seen") if one in rows]:
        setting = chosen(rows, method)
        given, test = (as_seen(x), as_seen(asked)) if method == "LSTM, as seen" else (x, asked)
        said, curves, seconds = [], [], []
        for seed in SEEDS:
            began = time.process_time()
            augment = AUGMENTATIONS.get(setting.get("augmentation"))
            kept[method, seed], _ = learn(given, labels, classes, setting, seed, augment)
            seconds.append(time.process_time() - began)
            belief = beliefs(kept[method, seed], test, classes, setting)
            said.append("".join(map(str, belief[-1].argmax(axis=1))))
            curves.append(network_early(belief, truth))
            bar.update()
        found[method] = {"setting": setting, "answers": said, "seconds": round(float(np.mean(seconds)), 2)}
        early[method] = curves
    return found, kept, early


def network_early(belief, truth):
    """Return how many are named rightly after each share of the steps, by the belief of one network."""
    right = (belief.argmax(axis=2) == truth).sum(axis=1)
    return [int(right[max(0, round(share * len(right)) - 1)]) for share in SHARES]


def rival_early(answers, setting, x, labels, asked, truth, views):
    """Return the same for a method that learns anew for each share, from pieces as given or in their own scale."""
    curves = {view: [] for view in views}
    for share in SHARES:
        pieces = [part[: round(share * len(x))].astype(float) for part in (x, asked)]
        for view in views:
            near, far = (seen_as(piece, "own scale") for piece in pieces) if view == "as seen" else pieces
            curves[view].append(int((answers(near, labels, far, [setting])[0].argmax(axis=1) == truth).sum()))
    return curves


def of_all_kinds(rows, bar):
    """Return one network of each stride and reading, trained on gunpoint, to look at its gradient."""
    (x, labels), _, classes = load("gunpoint")
    kept = {}
    for one in grid(stride=STRIDES, reading=READINGS):
        setting = best([row for row in rows["LSTM"] if one.items() <= row.items()])
        kept[f"{one['stride']} {one['reading']}"], _ = learn(x, labels, classes, setting, SEEDS[0])
        bar.update()
    return kept


# ---------------------------------------------------------------- what it comes to


def rights(record, name, method):
    """Return which cases each seed named rightly, (seeds, cases), 0 and 1."""
    truth = datasets.load(name).test.labels
    return np.array([[int(c) for c in one] for one in record["test"][name][method]["answers"]]) == truth


def apart(one, other, draws=4000):
    """Return the mean difference of two methods' accuracies, in %, and its 95% interval by a bootstrap.

    Cases and seeds are drawn anew, the cases together for both.
    """
    rng, cases = np.random.default_rng(0), one.shape[1]
    drawn = []
    for _ in range(draws):
        picked = rng.integers(0, cases, cases)
        means = [part[rng.integers(0, len(part), len(part))][:, picked].mean() for part in (one, other)]
        drawn.append(means[0] - means[1])
    return 100 * float(one.mean() - other.mean()), [
        round(100 * float(q), 2) for q in np.quantile(drawn, [0.025, 0.975])
    ]


def ours_and_rival(record, name):
    """Return the network and the method without recurrence that erred least in cross-validation."""
    rows = record["tuning"][name]
    ours = min(("LSTM", "augmented"), key=lambda one: (chosen(rows, one)["wrong"], chosen(rows, one)["loss"]))
    return ours, min(METHODS, key=lambda one: chosen(rows, one)["wrong"])


PUBLISHED = {
    "gunpoint": ("an echo state network 96.1%, a residual network 99.1%, a convolutional network 100%", "fawaz2019"),
    "basic_motions": ("the nearest warped neighbour 97.5%, random convolutions 100%", "ruiz2021"),
}


def applications(record):
    """Return a row for each data set, as the table of all applications wants it."""
    rows = []
    for name, task in (("gunpoint", "Gun or finger, by the hand's way"), ("basic_motions", "Which motion, by a watch")):
        ours, rival = ours_and_rival(record, name)
        right, other = (rights(record, name, method) for method in (ours, rival))
        seeds = 100 * right.mean(axis=1)
        rows.append({
            "lesson": "20_video_a_actions", "task": task, "data": name, "metric": "accuracy on the test set",
            "better": "higher", "unit": "%", "baseline_name": rival, "baseline": round(100 * float(other.mean()), 2),
            "model": f"LSTM, {HIDDEN} units" + (", augmented data" if ours == "augmented" else ""),
            "ours": round(float(seeds.mean()), 2),
            "interval": round(mean_and_half(seeds)[1], 2),
            "difference": apart(right, other)[1], "published": PUBLISHED[name][0],
            "published_source": PUBLISHED[name][1], "seconds": record["test"][name][ours]["seconds"],
        })  # fmt: skip
    return rows


def saved(record, kept, kinds):
    """Return the arrays of the saved networks, named data/method/seed/parameter."""
    arrays = {}
    for name in kept:
        ours, _ = ours_and_rival(record, name)
        for (method, seed), params in kept[name].items():
            if method == ours or (name == "gunpoint" and seed < SEEDS[0] + 2):
                arrays |= {f"{name}/{method}/{seed}/{key}": array for key, array in params.items()}
    for kind, params in kinds.items():
        arrays |= {f"gradient/{kind}/{key}": array for key, array in params.items()}
    return arrays


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began = parser.parse_args().out, time.process_time()
    record, kept = {"tuning": {}, "test": {}, "early": {}}, {}
    with tqdm(total=2 * (len(METHODS) * 2 + TRIALS + 21) + 3 + 70 + 12, unit="step") as bar:
        for name in ("gunpoint", "basic_motions"):
            record["tuning"][name] = tune(name, bar)
            record["test"][name], kept[name], record["early"][name] = finally_(name, record["tuning"][name], bar)
        kinds = of_all_kinds(record["tuning"]["gunpoint"], bar)
    record["application"] = applications(record)
    record["settings"] = {
        "updates": UPDATES, "hidden": HIDDEN, "max_norm": MAX_NORM, "trials": TRIALS, "folds": FOLDS,
        "seeds": list(SEEDS), "factors": FACTORS, "shares": SHARES, "augmentations": AUGMENTATIONS,
    }  # fmt: skip
    record["made"] = {
        "command": "python notebooks/evidence/actions.py", **rl.provenance(),
        "cpu_seconds": round(time.process_time() - began),
    }  # fmt: skip
    with whole(out.with_name(out.stem + "_model.npz")) as path:
        np.savez_compressed(path, **saved(record, kept, kinds))
    write(out, json.dumps(record) + "\n")


if __name__ == "__main__":
    main()

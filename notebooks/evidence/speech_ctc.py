"""Who speaks, one after the other? The network of `speech_streams`, and the rival of `speech_rival`, on test streams.

The settings with the fewest errors on the validation streams are taken, at equal errors those with the lower loss (of
the rival: with more frames named rightly). The rival has more trials. Then five fresh seeds see the test streams, once.
In these no utterance occurs twice.

Beside it, the network of lesson 14 for single utterances, trained again for one of its seeds, to have its weights.

    python notebooks/evidence/speech_ctc.py              # about two minutes on one free core
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pytorch_lstm as lesson_14
import torch
from records import mean_and_half, whole, write
from speech_rival import labels_of, owners, rival
from speech_streams import (
    BATCH,
    CLASSES,
    EVERY,
    HIDDEN,
    LONG,
    SHORT,
    UPDATES,
    batch_of,
    fixed,
    outputs_of,
    train,
    utterances,
    wanted,
)
from tqdm import tqdm

import rnnlab as rl
from rnnlab.ctc_decoding import beam_search, edit_distance, greedy, label_error_rate

PILOT_SEEDS, FRESH_SEEDS = (0, 1), (100, 101, 102, 103, 104)
GRID = [{"bidirectional": both, "lr": lr} for both in (False, True) for lr in (0.003, 0.01, 0.03)]
RIVALS = [{"window": window, "parts": parts, "price": price}
          for window in (0, 2, 4) for parts in (1, 3, 5, 7) for price in (4.0, 16.0, 64.0)]  # fmt: skip
WIDTHS = (1, 2, 4, 8)
KEPT = (0, 25, 50, 75, 100, 125, 150, 200, 300, 400, 600)  # updates of which the page has the parameters
# Accuracies on the same test utterances, in percent: the authors' table, Toth, Oberhauser and Szabo (2023).
PUBLISHED = {"signature kernel": 98.6, "global alignment kernel": 98.1, "random warping series": 95.5}
HERE = Path(__file__).resolve().parent

# ---------------------------------------------------------------- everything


def edits(found, batch):
    """Return the number of edits of each stream."""
    return list(map(edit_distance, found, wanted(batch)))


def pairs():
    """Return test streams of two utterances of one speaker, which no network was trained on; none occurs twice."""
    part, rng = utterances().test, np.random.default_rng(11)
    numbers = [rng.permutation(np.flatnonzero(part.labels == speaker)) for speaker in range(CLASSES)]
    return [[one, other] for own in numbers for one, other in zip(own[::2], own[1::2], strict=False)]


def cases():
    """Return the streams that the fresh seeds are judged on, by name."""
    test, validation = utterances().test, utterances().validation
    return {"validation": batch_of(validation, fixed("validation")), "test": batch_of(test, fixed("test")),
            "longer": batch_of(test, fixed("test", LONG)), "twice": batch_of(test, pairs())}  # fmt: skip


def searched(outputs, batch, width):
    """Return the best labels of a beam search for each stream."""
    lengths = batch.mask.sum(axis=0)
    return [beam_search(outputs[:length, b], width)[0][0] for b, length in enumerate(lengths)]


def judge(model, params, batches, widths=WIDTHS):
    """Return a network's edits of each stream, by case and search ("greedy" or a width), and its shares of blanks."""
    result = {"edits": {}, "blank": {}}
    for name, batch in batches.items():
        outputs = outputs_of(model, params, batch)
        result["blank"][name] = float((outputs.argmax(axis=2) == 0)[batch.mask].mean())
        found = {"greedy": greedy(outputs, batch.mask.sum(axis=0))}
        if name in ("validation", "test"):
            found |= {str(width): searched(outputs, batch, width) for width in widths}
        if name == "twice":
            result["twice_labels"] = [len(one) for one in found["greedy"]]
        result["edits"][name] = {how: edits(labels, batch) for how, labels in found.items()}
    return result


def difference(ours, theirs, sizes, draws=4000):
    """Return the 95% interval of ours minus theirs, by drawing streams and seeds again.

    Args:
        ours: (seeds, streams), edits; theirs: (streams,).
        sizes: (streams,), labels.
    """
    ours, theirs, sizes, rng = np.array(ours), np.array(theirs), np.array(sizes), np.random.default_rng(0)
    found = []
    for _ in range(draws):
        streams = rng.integers(0, len(sizes), len(sizes))
        seeds = rng.integers(0, len(ours), len(ours))
        mine = ours[seeds][:, streams].mean(axis=0)
        found.append((mine - theirs[streams]).sum() / sizes[streams].sum())
    return np.quantile(found, [0.025, 0.975]).tolist()


def speakers_row(seconds):
    """Return the row of lesson 14's network for the table of applications; its accuracies are from that record."""
    record = json.loads((HERE / "pytorch_lstm.json").read_text(encoding="utf-8"))
    ours = [row["test_accuracy"] for row in record["vowels"] if row["model"] == "packed"]
    mean, linear, number = np.mean(ours), record["linear"]["test summaries"], len(utterances().test)
    # Which utterances each seed missed was not stored: both shares are taken as independent, which makes it wide.
    variance = np.var(ours, ddof=1) / len(ours) + (mean * (1 - mean) + linear * (1 - linear)) / number
    gap, half = mean - linear, 1.96 * variance**0.5
    return {
        "lesson": "18_speech", "task": "Who speaks?", "data": "japanese_vowels", "metric": "accuracy on the test set",
        "better": "higher", "unit": "%", "baseline_name": "linear discriminant analysis of four summaries",
        "baseline": 100 * linear, "model": "LSTM, 64 units (lesson 14)", "ours": float(100 * mean),
        "interval": 100 * mean_and_half(ours)[1], "difference": [100 * (gap - half), 100 * (gap + half)],
        "published": ", ".join(f"{share} ({name})" for name, share in PUBLISHED.items()),
        "published_source": "toth2023", "seconds": seconds,
    }  # fmt: skip


def streams_row(record):
    """Return the row of the streams for the table of applications."""
    sizes, chosen = record["sizes"]["test"], record["chosen"]["search"]
    ours = [row["edits"]["test"][chosen] for row in record["fresh"]]
    rates, theirs = [100 * sum(one) / sum(sizes) for one in ours], record["rival"]["edits"]["test"]
    settings = record["chosen"]["network"]
    return {
        "lesson": "18_speech", "task": "Who speaks, one after the other?", "data": "japanese_vowels, in streams",
        "metric": "label error rate on the test set", "better": "lower", "unit": "%",
        "baseline_name": "linear discriminant analysis of frames and a best path (told the boundaries)",
        "baseline": 100 * sum(theirs) / sum(sizes),
        "model": f"{'bidirectional ' if settings['bidirectional'] else ''}LSTM, {HIDDEN} units, CTC",
        "ours": float(np.mean(rates)), "interval": mean_and_half(rates)[1],
        "difference": [100 * end for end in difference(ours, theirs, sizes)],
        "published": None, "published_source": None,
        "seconds": float(np.mean([row["seconds"] for row in record["fresh"]])),
    }  # fmt: skip


def try_rivals(record, bar):
    """Judge each setting of the rival on the validation streams, and add what it reaches."""
    part, streams = utterances().validation, fixed("validation")
    batch, right = batch_of(part, streams), owners(part, streams)
    for settings in RIVALS:
        found = rival(batch, **settings)
        named = [np.repeat([label for label, _ in one], np.diff([*(first for _, first in one), len(own)]))
                 for one, own in zip(found, right, strict=True)]  # fmt: skip
        share = float((np.concatenate(named) == np.concatenate(right)).mean())
        errors = label_error_rate(labels_of(found), wanted(batch))
        record["rivals"].append(settings | {"validation_error": errors, "frames_right": share})
        bar.update()
    return min(record["rivals"], key=lambda row: (row["validation_error"], -row["frames_right"]))


def summary(record):
    """Return for each case and search the error rate of the network and of the rival, with the intervals, in percent.

    For the pairs of one speaker it is the share of pairs that are right, and of those that are heard as one.
    """
    found = {}
    for case in ("test", "longer"):
        sizes, theirs = record["sizes"][case], record["rival"]["edits"][case]
        for how in record["fresh"][0]["edits"][case]:
            ours = [row["edits"][case][how] for row in record["fresh"]]
            rates = [100 * sum(one) / sum(sizes) for one in ours]
            mean, half = mean_and_half(rates)
            found[f"{case} {how}"] = {
                "ours": mean, "interval": half, "rival": 100 * sum(theirs) / sum(sizes),
                "difference": [100 * end for end in difference(ours, theirs, sizes)],
            }  # fmt: skip
    number, rows = len(record["sizes"]["twice"]), [*record["fresh"], record["rival"]]
    one = [100 * row["twice_labels"].count(1) / number for row in rows]
    right = [100 * row["edits"]["twice"]["greedy"].count(0) / number for row in record["fresh"]]
    right.append(100 * record["rival"]["edits"]["twice"].count(0) / number)
    for name, shares in (("twice right", right), ("twice as one", one)):
        *ours, rival_has = shares
        mean, half = mean_and_half(ours)
        found[name] = {"ours": mean, "interval": half, "rival": rival_has}
    return found


def train_all(record, batches, bar):
    """Run the pilot, choose, train the fresh seeds and judge them; return what the first kept, by update."""
    for settings in GRID:
        for seed in PILOT_SEEDS:
            _, _, curve, _ = train(seed, **settings)
            row = {"seed": seed, "validation_loss": curve[-1][2], "validation_error": curve[-1][3]}
            record["pilot"].append(settings | row)
            bar.update()

    def quality(settings):
        rows = [row for row in record["pilot"] if settings.items() <= row.items()]
        return tuple(np.mean([row[name] for row in rows]) for name in ("validation_error", "validation_loss"))

    record["chosen"]["network"], first = min(GRID, key=quality), None
    for seed in FRESH_SEEDS:
        began = time.process_time()
        model, params, curve, kept = train(seed, **record["chosen"]["network"], keep=KEPT)
        seconds, first = time.process_time() - began, first or kept
        judged = judge(model, params, batches)
        record["fresh"].append({"seed": seed, "seconds": seconds, "curve": curve} | judged)
        bar.update()
    errors = {how: np.mean([sum(row["edits"]["validation"][how]) for row in record["fresh"]])
              for how in record["fresh"][0]["edits"]["validation"]}  # fmt: skip
    record["chosen"]["search"] = min(errors, key=errors.get)  # greedy comes first, so that it is taken where equal
    return first


def conclude(record):
    """Add what follows from what was measured."""
    record["application"] = [speakers_row(record["speakers"]["seconds"]), streams_row(record)]
    record["summary"], record["published"] = summary(record), PUBLISHED
    record["linear"] = json.loads((HERE / "pytorch_lstm.json").read_text(encoding="utf-8"))["linear"]


def save_network(kept):
    """Write the parameters of the first fresh seed: the last exactly, those on the way in float16."""
    arrays = {f"{update}/{name}": param.astype(np.float32 if update == UPDATES else np.float16)
              for update, params in kept.items() for name, param in params.items()}  # fmt: skip
    with whole(HERE / "speech_ctc_model.npz") as path:
        np.savez_compressed(path, **arrays)


def save_speakers():
    """Train lesson 14's network for the first of its seeds again and write its parameters; return its accuracy."""
    torch.set_num_threads(1)
    began = time.process_time()
    record = json.loads((HERE / "pytorch_lstm.json").read_text(encoding="utf-8"))
    row = next(row for row in record["vowels"] if row["model"] == "packed")
    settings = {name: row[name] for name in ("lr", "dropout", "hidden")}
    run, again = lesson_14.speakers(lesson_14.script.load_data(), "packed", settings, row["seed"], test=True)
    arrays = {name: value.numpy() for name, value in run.best["model"].items()}
    with whole(HERE / "speech_speakers_model.npz") as path:
        np.savez_compressed(path, **arrays)
    about = {"seed": row["seed"], "seconds": time.process_time() - began}
    return about | {"test_accuracy": again["test_accuracy"], "in_lesson_14": row["test_accuracy"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the record goes")
    out, began = parser.parse_args().out, time.process_time()
    record = {"pilot": [], "rivals": [], "fresh": [], "chosen": {}, "rival": {}}
    batches = cases()
    record["sizes"] = {name: batch.y[1].tolist() for name, batch in batches.items()}
    with tqdm(total=len(RIVALS) + len(GRID) * len(PILOT_SEEDS) + len(FRESH_SEEDS) + 1, unit="run") as bar:
        best = try_rivals(record, bar)
        record["chosen"]["rival"] = {name: best[name] for name in RIVALS[0]}
        found = {name: labels_of(rival(batch, **record["chosen"]["rival"])) for name, batch in batches.items()}
        record["rival"]["edits"] = {name: edits(found[name], batch) for name, batch in batches.items()}
        record["rival"]["twice_labels"] = [len(one) for one in found["twice"]]
        kept = train_all(record, batches, bar)
        record["speakers"] = save_speakers()
        bar.update()
    conclude(record)
    record["settings"] = {
        "hidden": HIDDEN, "batch": BATCH, "updates": UPDATES, "every": EVERY, "short": SHORT, "long": LONG,
        "grid": GRID, "rivals": RIVALS, "widths": WIDTHS, "pilot_seeds": PILOT_SEEDS, "fresh_seeds": FRESH_SEEDS,
        "kept": KEPT,
    }  # fmt: skip
    record["made"] = {
        "command": "python notebooks/evidence/speech_ctc.py", **rl.provenance(), "torch": torch.__version__,
        "cpu_seconds": round(time.process_time() - began),
    }  # fmt: skip
    save_network(kept)
    write(out, json.dumps(record) + "\n")


if __name__ == "__main__":
    main()

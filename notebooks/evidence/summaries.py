"""What do 2,300 docstrings teach a network about summaries, with a copy mechanism and without?

The network of summaries_network.py writes the first line of a docstring from the prose below it: from a vocabulary
("no copying"), or from a mixture of the vocabulary and the words of the prose ("pointer-generator"). Both get the same
learning rates on the same pilot seed; the best by validation ROUGE-1 goes on to the fresh seeds. A run keeps the epoch
with the best validation ROUGE-1. Four baselines are tuned on validation too. The test part is read at the end: once
for each baseline, and for each fresh run with the epoch that is kept and, to see what stopping does, with the last.

    python notebooks/evidence/summaries.py              # about ten minutes on one free core
    python notebooks/evidence/summaries.py --again      # baselines and scores from the stored summaries, no training
"""

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import summaries_network as net
import torch
from records import T975, mean_and_half, write
from sklearn.feature_extraction.text import TfidfVectorizer
from tqdm import tqdm

import rnnlab as rl
from rnnlab.data_docstrings import first_sentence
from rnnlab.texts import Alphabet

MODELS = {"no copying": False, "pointer-generator": True}
RATES, DROPOUT, PILOT_SEED, FRESH_SEEDS = [0.001, 0.003, 0.01, 0.03, 0.1], 0.3, 0, [100, 101, 102]
PILOT_EPOCHS, EPOCHS = 8, 12
DRAWS = 10_000  # of the bootstrap
# ROUGE-1 in percent on news articles, CNN/Daily Mail: their Table 1.
PUBLISHED = {"pointer-generator": 36.44, "with coverage": 39.53, "first three sentences": 40.34}

# ---------------------------------------------------------------- baselines


def first_words(body, number):
    """Return the first words."""
    return " ".join([word for word in net.words(body) if word != "."][:number])


def frequent_words(pairs, number):
    """Return the most frequent words of the summaries of some pairs: a summary that reads nothing."""
    counts = Counter(word for text in pairs.targets for word in net.words(text) if word != ".")
    return " ".join(word for word, _ in counts.most_common(number))


def nearest(train, part, ngrams, sublinear):
    """Return for each source the summary of the training source whose tf-idf vector has the largest cosine with it."""
    vectorizer = TfidfVectorizer(
        tokenizer=net.words, token_pattern=None, lowercase=False, ngram_range=(1, ngrams), sublinear_tf=sublinear
    )
    known = vectorizer.fit_transform(train.sources)
    likeness = vectorizer.transform(part.sources) @ known.T
    return [train.targets[b] for b in np.asarray(likeness.argmax(axis=1)).ravel()]


def baselines(data, part):
    """Return dict name -> (settings, summaries of a part) for all settings that are tried."""
    found = {"first sentence": [({}, [first_sentence(body) for body in part.pairs.sources])]}
    found["first words"] = [
        ({"number": number}, [first_words(body, number) for body in part.pairs.sources]) for number in range(4, 25, 2)
    ]
    found["frequent words"] = [
        ({"number": number}, [frequent_words(data.train.pairs, number)] * len(part)) for number in range(2, 19)
    ]
    found["nearest"] = [
        (settings, nearest(data.train.pairs, part.pairs, **settings))
        for settings in ({"ngrams": n, "sublinear": sublinear} for n in (1, 2, 3) for sublinear in (False, True))
    ]
    return found


# ---------------------------------------------------------------- what is measured


def facts(part, size):
    """Return what a part's summaries are made of: shares of words, and of summaries."""
    pairs = [(source, target[:-1]) for source, target in zip(part.sources, part.targets, strict=True)]
    every = [(word in source, word) for source, target in pairs for word in target]
    return {
        "pairs": len(pairs),
        "in_source": np.mean([there for there, _ in every]),
        "known": np.mean([word < size and word != Alphabet.UNKNOWN for _, word in every]),
        "only_copied": np.mean([word >= size for _, word in every]),
        "out_of_reach": np.mean([word == Alphabet.UNKNOWN for _, word in every]),
        "with_unknown": np.mean([any(w >= size or w == Alphabet.UNKNOWN for w in target) for _, target in pairs]),
    }


def habits(summaries, part, alphabet):
    """Return what written summaries are made of: shares of words, and of summaries."""
    every = [(word, taken) for one in summaries for word, taken in zip(one["words"], one["taken"], strict=True)]
    own = [set(net.words(body)[: net.SOURCE]) for body in part.pairs.sources]
    pairs = [list(zip(one["words"], one["words"][1:], strict=False)) for one in summaries]
    return {
        "length": len(every) / len(summaries),
        "copied": np.mean([taken > 0.5 for _, taken in every]),
        "in_source": np.mean(
            [word in there for one, there in zip(summaries, own, strict=True) for word in one["words"]]
        ),
        "with_unknown": np.mean([any(word not in alphabet.numbers for word in one["words"]) for one in summaries]),
        "repeats": np.mean([len(set(one)) < len(one) for one in pairs]),
        "lacked": np.mean([one["lacked"] for one in summaries]),
        "different": len({tuple(one["words"]) for one in summaries}) / len(summaries),
        "gen": np.mean([gen for one in summaries for gen in one["gen"]]),
    }


@torch.no_grad()
def gen_when_told(network, part):
    """Return the mean of gen over the words of the references, each given those before it."""
    source, target = net.padded(part.sources), net.padded(part.targets)
    return network.given(source, target)[1][(target != Alphabet.PADDING) & (target != Alphabet.END)].mean().item()


def difference(ours, theirs):
    """Return the mean difference and its 95% interval, by drawing test cases and seeds anew; (seeds, B, measures)."""
    rng = np.random.default_rng(0)
    gap = ours - theirs
    seeds, cases = gap.shape[:2]
    draws = np.zeros((DRAWS, gap.shape[2]))
    for draw in draws:
        counts = [np.bincount(rng.integers(0, n, n), minlength=n) / n for n in (seeds, cases)]
        draw[:] = np.einsum("s,c,scm->m", *counts, gap)
    return [[gap[..., m].mean(), *np.quantile(draws[:, m], [0.025, 0.975])] for m in range(gap.shape[2])]


# ---------------------------------------------------------------- everything


def tune_baselines(data, record):
    """Choose the baselines' settings by ROUGE-1 on validation."""
    for name, trials in baselines(data, data.validation).items():
        scores = [net.rouges(written, data.validation.pairs.targets)[:, 0].mean() for _, written in trials]
        settings = [settings for settings, _ in trials]
        record["baseline_trials"][name] = [one | {"rouge": score} for one, score in zip(settings, scores, strict=True)]
        record["chosen"][name] = settings[int(np.argmax(scores))]


def tune_networks(data, record):
    """Choose the networks' learning rates by the best ROUGE-1 on validation."""
    with tqdm(total=len(MODELS) * len(RATES) * PILOT_EPOCHS, unit="epoch", desc="tuning") as bar:
        for name, copying in MODELS.items():
            for lr in RATES:
                row = net.train(data, copying, lr, DROPOUT, PILOT_SEED, PILOT_EPOCHS, bar.update)[2]
                record["pilot"].append({"model": name} | row)
            rows = [row for row in record["pilot"] if row["model"] == name]
            record["chosen"][name] = max(rows, key=lambda row: max(row["rouge"]))["lr"]


def fresh(data, record):
    """Train the fresh seeds, and return the pointer-generator that is best on validation."""
    best, chosen = None, record["chosen"]
    with tqdm(total=len(MODELS) * len(FRESH_SEEDS) * EPOCHS, unit="epoch", desc="fresh seeds") as bar:
        for name, copying in MODELS.items():
            for seed in FRESH_SEEDS:
                network, last, row = net.train(data, copying, chosen[name], DROPOUT, seed, EPOCHS, bar.update)
                written = net.summarize(network, data.test, data.alphabet)
                row |= {"model": name, "habits": habits(written, data.test, data.alphabet), "test": net.texts(written)}
                row |= {"told": gen_when_told(network, data.test) if copying else None}
                if copying and (best is None or max(row["rouge"]) > max(best[1]["rouge"])):
                    best = network, row
                end = net.Summarizer(len(data.alphabet), copying)
                end.load_state_dict(last)
                row["test_last"] = net.texts(net.summarize(end, data.test, data.alphabet))
                record["fresh"].append(row)
    return best


def judge(data, record):
    """Score everything on the test part."""
    references, chosen, scores = data.test.pairs.targets, record["chosen"], {}
    for name, trials in baselines(data, data.test).items():
        (written,) = (written for settings, written in trials if settings == chosen[name])
        scores[name] = net.rouges(written, references)[None]
        if name == "nearest":
            record["nearest"] = written
    for name in MODELS:
        for key, suffix in (("test", ""), ("test_last", ", last epoch")):
            rows = [row[key] for row in record["fresh"] if row["model"] == name]
            scores[name + suffix] = np.array([net.rouges(written, references) for written in rows])
    for name, found in scores.items():
        record["test"][name] = found.mean(axis=1).tolist()
    on_validation = {name: max(one["rouge"] for one in trials) for name, trials in record["baseline_trials"].items()}
    record["best_baseline"] = best = max(on_validation, key=on_validation.get)
    ours = scores["pointer-generator"]
    record["differences"] = {name: difference(ours, scores[name]) for name in scores if name != "pointer-generator"}
    record["stopping"] = {name: difference(scores[name], scores[name + ", last epoch"]) for name in MODELS}
    low, high = record["differences"][best][0][1:]
    means = ours[..., 0].mean(axis=1)
    record["application"] = [
        {
            "lesson": "17_language_c_summaries",
            "task": "What is this docstring's first line?",
            "data": "docstrings",
            "metric": "ROUGE-1, F1 score on the test set",
            "better": "higher",
            "unit": "",
            "baseline_name": best + (f" ({chosen[best]['number']})" if best == "first words" else ""),
            "baseline": scores[best][..., 0].mean(),
            "model": f"pointer-generator, GRUs of {net.HIDDEN} units",
            "ours": means.mean(),
            "interval": mean_and_half(means)[1],
            "difference": [low, high],
            "published": None,
            "published_source": None,
            "seconds": np.mean([row["seconds"] for row in record["fresh"] if row["model"] == "pointer-generator"]),
        }
    ]


def pairs_once(data, path):
    """Return what forbidding a pair of words a second time does to the saved network, on validation."""
    network, alphabet = net.restore(path)
    found = {}
    for name, once in (("as it is", False), ("once", True)):
        written = net.summarize(network, data.validation, alphabet, once)
        scores = net.rouges(net.texts(written), data.validation.pairs.targets).mean(axis=0)
        found[name] = {"rouge": scores.tolist(), "repeats": habits(written, data.validation, alphabet)["repeats"]}
    return found


def short(value):
    """Round all numbers in a record to five digits."""
    if isinstance(value, dict):
        return {key: short(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [short(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    parser.add_argument("--again", action="store_true", help="keep the trained networks' summaries that it has")
    arguments, began = parser.parse_args(), time.process_time()
    out = arguments.out
    model = out.with_name(out.stem + "_model.npz")
    torch.set_num_threads(1)
    data = net.load()
    if arguments.again:
        record = json.loads(out.read_text(encoding="utf-8"))
    else:
        record = {"baseline_trials": {}, "pilot": [], "fresh": [], "test": {}, "chosen": {}, "published": PUBLISHED}
        record["facts"] = {
            name: facts(getattr(data, name), len(data.alphabet)) for name in ("train", "validation", "test")
        }
        tune_networks(data, record)
        network, row = fresh(data, record)
        record["saved_seed"], record["settings"] = row["seed"], settings(data, network)
        net.save(model, network, data.alphabet)
        record["made"] = {
            "command": "python notebooks/evidence/summaries.py", **rl.provenance(), "torch": torch.__version__,
            "data": net.datasets.load("docstrings").source, "cpu_seconds": round(time.process_time() - began),
        }  # fmt: skip
    tune_baselines(data, record)
    judge(data, record)
    record["pairs_once"] = pairs_once(data, model)
    write(out, json.dumps(short(record)) + "\n")


def settings(data, network):
    """Return what was set, for the record."""
    return {
        "rates": RATES, "dropout": DROPOUT, "pilot_seed": PILOT_SEED, "pilot_epochs": PILOT_EPOCHS, "epochs": EPOCHS,
        "fresh_seeds": FRESH_SEEDS, "vocabulary": len(data.alphabet), "at_least": net.AT_LEAST, "source": net.SOURCE,
        "target": net.TARGET, "embedding": net.EMBEDDING, "hidden": net.HIDDEN, "batch": net.BATCH,
        "parameters": sum(p.numel() for p in network.parameters()), "t975": T975[len(FRESH_SEEDS)], "draws": DRAWS,
    }  # fmt: skip


if __name__ == "__main__":
    main()

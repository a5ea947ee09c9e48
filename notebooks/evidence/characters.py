"""How many bits a character of Python's documentation costs an LSTM, n-grams and file compressors.

Everything is chosen on the validation part, with four trials each: the learning rate of an LSTM whose state is carried
from window to window and that of one which begins each window at zero, in runs of a third of the length; the discount
of n-grams of each order; and a rate and a discount for the two that go on learning while they read. The test part is
read once, with three seeds.

    python notebooks/evidence/characters.py              # about nine minutes on one core, with a progress bar
"""

import argparse
import bz2
import gc
import json
import lzma
import time
import zlib
from pathlib import Path

import numpy as np
import torch
from characters_probes import brackets, by_context
from characters_sampling import PROMPTS, load, ngram_samples, samples
from records import mean_and_half, whole, write
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import rnnlab as rl
from rnnlab import datasets
from rnnlab.ngrams import NGrams

HIDDEN, EMBEDDING, STREAMS, WINDOW, CLIP = 128, 32, 16, 64, 1.0
EPOCHS, PILOT_EPOCHS = 12, 4
RATES, PILOT_SEED, SEEDS = [0.004, 0.008, 0.016, 0.032], 0, [1, 2, 3]
ORDERS, DISCOUNTS = list(range(1, 11)), [0.7, 0.8, 0.9, 0.95]
LATER_RATES = [0.03, 0.1, 0.3, 1.0]
PARTS = ("train", "validation", "test")
BEFORE = "\n\n"  # what stands before the first character
ESCAPE = np.log2(0x110000)  # bits to say which of Unicode's characters a "�" is; every model pays them
BLOCK = 500  # characters, for the bootstrap: neighbours are not independent


class CharacterLSTM(nn.Module):
    """Read characters as numbers, (T, B), and say what may come next: logits (T, B, V), and the state at the end."""

    def __init__(self, symbols):
        super().__init__()
        self.symbols = tuple(symbols)
        self.embedding = nn.Embedding(len(symbols), EMBEDDING)
        self.lstm = nn.LSTM(EMBEDDING, HIDDEN)
        self.readout = nn.Linear(HIDDEN, len(symbols))

    def forward(self, x, state=None):
        h, state = self.lstm(self.embedding(x), state)
        return self.readout(h), state


def encode(text, symbols):
    """Return the number of each character, (T,); one that is no symbol is "�", number 0."""
    number = {symbol: n for n, symbol in enumerate(symbols)}
    return np.array([number.get(character, 0) for character in text])


def windows(text, symbols):
    """Cut a text into STREAMS pieces side by side and these into windows: x and y, each (windows, WINDOW, STREAMS)."""
    numbers = encode(text, symbols)
    count = (len(numbers) - 1) // (STREAMS * WINDOW)
    rows = numbers[: count * STREAMS * WINDOW + 1]
    x, y = (torch.tensor(side.reshape(STREAMS, count, WINDOW).transpose(1, 2, 0)) for side in (rows[:-1], rows[1:]))
    return x, y


def train(docs, carried, lr, seed, epochs=EPOCHS, stop=None, step=lambda: None):
    """Train an LSTM by truncated backpropagation through time.

    Args:
        docs: the data set.
        carried: whether a window begins with the state at the end of the one before; False begins each at zero.
        lr: Adam's rate at the start; it falls linearly to 0.
        seed: of the starting parameters. The windows come in the order of the text, always the same.
        stop: end after so many updates.

    Returns:
        the model, and the mean bits per character of each 20 updates on what is trained on.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = CharacterLSTM(docs.classes)
    x, y = windows(docs.train.text, docs.classes)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    total, costs, state = epochs * len(x), [], None
    for update in range(min(total, stop or total)):
        n = update % len(x)
        if n == 0 or not carried:
            state = None  # zeros
        optimizer.param_groups[0]["lr"] = lr * (1 - update / total)
        logits, state = model(x[n], state)
        state = tuple(part.detach() for part in state)  # carried, but no gradient goes back through it
        loss = cross_entropy(logits.flatten(0, 1), y[n].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        costs.append(loss.item() / np.log(2))
        step()
    usable = len(costs) // 20 * 20
    return model, np.reshape(costs[:usable], (-1, 20)).mean(axis=1)


def lstm_bits(model, text, reset=None, learn=None):
    """Return what each character of a text costs, (T,), in bits.

    Args:
        reset: begin at zero again after so many characters; None carries the state through the whole text.
        learn: a rate at which the parameters take a step down after each WINDOW of characters; None leaves them.
    """
    torch.set_num_threads(1)
    numbers = torch.tensor(encode(BEFORE[-1] + text, model.symbols))
    costs, state, piece = [], None, reset or (WINDOW if learn else len(text))
    if learn:
        fixed = model
        model = CharacterLSTM(fixed.symbols)
        model.load_state_dict(fixed.state_dict())
        optimizer = torch.optim.SGD(model.parameters(), learn)
    else:
        _, state = model(torch.tensor(encode(BEFORE[:-1], model.symbols))[:, None])
    with torch.set_grad_enabled(learn is not None):
        for start in range(0, len(text), piece):
            x, y = numbers[start : start + piece], numbers[start + 1 : start + piece + 1]
            logits, state = model(x[: len(y), None], None if reset else state)
            cost = cross_entropy(logits[:, 0], y, reduction="none")
            costs.append(cost.detach().double().numpy() / np.log(2))
            if learn:
                state = tuple(part.detach() for part in state)
                optimizer.zero_grad()
                cost.mean().backward()
                nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                optimizer.step()
    return np.concatenate(costs)


def per_character(costs, text):
    """Return the mean bits, with what it costs to say which character each "�" is."""
    return float(costs.mean() + ESCAPE * text.count("�") / len(text))


COMPRESSORS = {
    "zlib": lambda data: len(zlib.compress(data, 9)),
    "bz2": lambda data: len(bz2.compress(data, 9)),
    "xz": lambda data: len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
}


def compressed(size, text, known=""):
    """Return the bits per character that a text adds to a compressed file of what is known."""
    return 8 * (size((known + text).encode()) - (size(known.encode()) if known else 0)) / len(text)


def lowest(trials):
    """Return the setting with the lowest figure."""
    return min(trials, key=trials.get)


def blocks(costs):
    """Return the sum of each BLOCK of characters, rounded; the last one may be shorter."""
    return [round(float(costs[start : start + BLOCK].sum()), 3) for start in range(0, len(costs), BLOCK)]


def tune(docs, step):
    """Return the trials of the learning rate, {"carried": {rate: bits per character on validation}, "reset": ...}."""
    text, trials = docs.validation.text, {}
    for carried, name in ((True, "carried"), (False, "reset")):
        trials[name] = {}
        for lr in RATES:
            model, _ = train(docs, carried, lr, PILOT_SEED, PILOT_EPOCHS, step=step)
            trials[name][lr] = per_character(lstm_bits(model, text), text)
    return trials


def final(docs, trials, step):
    """Train with each seed at the chosen rates, choose the rate of learning on, and only then read the test part.

    Adds the trials of that rate to `trials`. Returns rows, and the LSTMs with carried state.
    """
    text, held, trained = docs.test.text, docs.validation.text, {}
    for name in ("carried", "reset"):
        for seed in SEEDS:
            began = time.process_time()
            model, curve = train(docs, name == "carried", lowest(trials[name]), seed, step=step)
            trained[name, seed] = model, curve, time.process_time() - began
    models = [trained["carried", seed][0] for seed in SEEDS]
    trials["lstm learning"] = {lr: per_character(lstm_bits(models[0], held, learn=lr), held) for lr in LATER_RATES}
    rows = []
    for (name, seed), (model, curve, seconds) in trained.items():
        costs = lstm_bits(model, text)
        row = {
            "trained": name, "seed": seed, "lr": lowest(trials[name]), "seconds": round(seconds, 1),
            "curve": [round(float(bits), 4) for bits in curve],
            "validation": per_character(lstm_bits(model, held), held),
            "bits": {"carried": per_character(costs, text),
                     "reset": per_character(lstm_bits(model, text, reset=WINDOW), text)},
            "by_context": by_context(model, encode(text, model.symbols)),
        }  # fmt: skip
        if name == "carried":
            learning = lstm_bits(model, text, learn=lowest(trials["lstm learning"]))
            row |= {"blocks": blocks(costs), "kinds": by_kind(text, costs),
                    "learning": per_character(learning, text), "learning_blocks": blocks(learning)}  # fmt: skip
        rows.append(row)
    return rows, models


def count_ngrams(docs, step):
    """Count n-grams of each order, choose discounts and the best order on validation, and read the test part.

    Returns:
        the trials, the best order's model, and what is found on the test part.
    """
    text, held = docs.test.text, docs.validation.text
    trials, found, best, model, own = {}, {"test": {}, "samples": {}}, np.inf, None, None
    for order in ORDERS:
        one = NGrams(order, docs.classes).learn(docs.train.text)
        trials[order] = {}
        for one.discount in DISCOUNTS:
            trials[order][one.discount] = per_character(one.bits(held, BEFORE), held)
        one.discount = lowest(trials[order])
        costs = one.bits(text, BEFORE)
        found["test"][order], found["samples"][order] = per_character(costs, text), ngram_samples(one, PROMPTS[0])
        if trials[order][one.discount] < best:
            best, model, own = trials[order][one.discount], one, costs
        step()
    learning = {}
    for discount in DISCOUNTS:
        learner = NGrams(model.order, docs.classes, discount).learn(docs.train.text)
        learning[discount] = per_character(learner.bits(held, BEFORE, learn=True), held)
        step()
    learner = NGrams(model.order, docs.classes, lowest(learning)).learn(docs.train.text)
    later = learner.bits(text, BEFORE, learn=True)
    return {"ngrams": trials, "ngrams learning": learning}, model, found | {
        "order": model.order, "blocks": blocks(own), "kinds": by_kind(text, own),
        "learning": per_character(later, text), "learning_blocks": blocks(later),
    }  # fmt: skip


KINDS = ["first of a word", "second, third", "later in a word", "space", "line break", "digit", "other sign"]


def kind(text, i):
    """Return which of KINDS a character of a text is; words consist of letters and _."""
    if text[i].isalpha() or text[i] == "_":
        before = 0
        while before < 3 and i > before and (text[i - before - 1].isalpha() or text[i - before - 1] == "_"):
            before += 1
        return KINDS[0] if before == 0 else KINDS[1] if before < 3 else KINDS[2]
    if text[i] == " ":
        return "space"
    return "line break" if text[i] == "\n" else "digit" if text[i].isdigit() else "other sign"


def by_kind(text, costs):
    """Return {kind: [characters, bits in all]}."""
    kinds = np.array([kind(text, i) for i in range(len(text))])
    return {one: [int((kinds == one).sum()), round(float(costs[kinds == one].sum()), 2)] for one in KINDS}


def difference(ours, baseline, characters, draws=2000):
    """Return the 95% interval of ours minus baseline in bits per character, over seeds and blocks of text.

    Args:
        ours: (seeds, blocks), bits; baseline: (blocks,); characters: (blocks,), of each block.
    """
    rng, found = np.random.default_rng(0), []
    gaps = np.asarray(ours) - np.asarray(baseline)
    for _ in range(draws):
        seeds, chosen = rng.integers(0, len(gaps), len(gaps)), rng.integers(0, gaps.shape[1], gaps.shape[1])
        found.append(gaps[seeds][:, chosen].mean(axis=0).sum() / characters[chosen].sum())
    return [float(bound) for bound in np.percentile(found, [2.5, 97.5])]


def block_sizes(text):
    """Return how many characters each block has."""
    return np.array([len(text[start : start + BLOCK]) for start in range(0, len(text), BLOCK)])


def application(record):
    """Return the row of this lesson for the table of all applications."""
    rows = [row for row in record["fresh"] if row["trained"] == "carried"]
    ours, half = mean_and_half([row["bits"]["carried"] for row in rows])
    order = record["ngrams"]["order"]
    return [{
        "lesson": "17_language_d_characters", "task": "Which character comes next?", "data": "python_docs",
        "metric": "bits per character on the test set", "better": "lower", "unit": "",
        "baseline_name": f"n-grams of {order} characters, Kneser-Ney", "baseline": record["ngrams"]["test"][str(order)],
        "model": f"LSTM, {HIDDEN} units", "ours": ours, "interval": half, "difference": record["differences"]["lstm"],
        "published": None, "published_source": None, "seconds": float(np.mean([row["seconds"] for row in rows])),
    }]  # fmt: skip


def store(model, path):
    """Write an LSTM with its symbols as float16; the file is whole or not there."""
    names = {"embedding.weight": "embedding", "readout.weight": "weight_out", "readout.bias": "bias_out"}
    arrays = {names.get(name, name.removeprefix("lstm.").removesuffix("_l0")): value.detach().numpy()
              for name, value in model.state_dict().items()}  # fmt: skip
    half = {name: value.astype(np.float16) for name, value in arrays.items()}
    with whole(path) as beside:
        np.savez_compressed(beside, symbols=np.array("".join(model.symbols)), **half)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began = parser.parse_args().out, time.process_time()
    gc.disable()  # millions of small tables, none of them in a circle
    docs = datasets.load("python_docs")
    updates = len(windows(docs.train.text, docs.classes)[0])
    work = 2 * updates * (len(RATES) * PILOT_EPOCHS + len(SEEDS) * EPOCHS) + len(ORDERS) + len(DISCOUNTS)
    with tqdm(total=work, unit="update", mininterval=2) as bar:
        trials = tune(docs, bar.update)
        fresh, models = final(docs, trials, bar.update)
        counts, ngrams, counted = count_ngrams(docs, bar.update)
    held_out, sizes = docs.validation.text + docs.test.text, block_sizes(docs.test.text)
    rows = [row for row in fresh if row["trained"] == "carried"]
    model_path = out.with_name(out.stem + "_model.npz")
    store(models[0], model_path)
    record = {
        "settings": {
            "hidden": HIDDEN, "embedding": EMBEDDING, "streams": STREAMS, "window": WINDOW, "epochs": EPOCHS,
            "clip": CLIP, "optimizer": "Adam, rate falling linearly to 0", "rates": RATES, "pilot_seed": PILOT_SEED,
            "seeds": SEEDS, "orders": ORDERS, "discounts": DISCOUNTS, "later_rates": LATER_RATES, "block": BLOCK,
            "pilot_epochs": PILOT_EPOCHS, "updates": EPOCHS * updates,
            "characters": {part: len(getattr(docs, part).text) for part in PARTS},
            "symbols": len(docs.classes), "unknown": docs.test.text.count("�"),
            "parameters": sum(param.numel() for param in models[0].parameters()),
        },
        "made": {
            "command": "python notebooks/evidence/characters.py", **rl.provenance(), "torch": torch.__version__,
            "text": docs.source, "cpu_seconds": round(time.process_time() - began),
        },
        "pilot": trials | counts, "fresh": fresh, "ngrams": counted,
        "compressors": {name: {"alone": compressed(size, docs.test.text),
                               "given": compressed(size, docs.test.text, docs.train.text)}
                        for name, size in COMPRESSORS.items()},
        "differences": {
            "lstm": difference([row["blocks"] for row in rows], counted["blocks"], sizes),
            "learning": difference([row["learning_blocks"] for row in rows], counted["learning_blocks"], sizes),
        },
        "brackets": brackets(held_out, models, ngrams, encode),
        "samples": {prompt: samples(*load(model_path), prompt) for prompt in PROMPTS},
    }  # fmt: skip
    record = json.loads(json.dumps(record))  # numbers as keys become texts, as in the file
    record["application"] = application(record)
    write(out, json.dumps(record, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()

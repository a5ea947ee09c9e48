"""Can a small network say what moves in a film, also of pairs of digit and way that it has never seen together?

A net reads the 9 frames of a clip (moving_digits) by an encoder: a convolution finds what is seen where, a GRU joins
the frames. Then another GRU speaks word by word and attends to the frames. It gets three learning rates with one pilot
seed; the one with the lowest validation loss is taken, then fresh seeds. What each net says of the test set is also
noted for frames in mixed order and for the first and the last frame alone. A second kind, "heads", which answers three
questions at once, is here for an exercise; the record has none of it.

Two rivals without recurrence: a linear model on pixels, and a method by hand, which shifts and adds the frames for each
path that a digit can take, keeps the clearest picture, and names its digit by a linear model. Their penalty is chosen
on validation out of four. The test set is used once, at the end of each run.

    python notebooks/evidence/captions.py        # some two minutes on one free core; Ctrl-C leaves the old record
"""

import argparse
import functools
import json
import time
from pathlib import Path

import numpy as np
import torch
from records import mean_and_half, whole, write
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

import rnnlab as rl
from rnnlab import data_digits

KINDS, RATES, PENALTIES = ("attention",), [0.004, 0.01, 0.025], [0.01, 0.1, 1.0, 10.0]
PILOT_SEED, FRESH_SEEDS = 0, range(100, 103)
PILOT_UPDATES, UPDATES, EVERY, BATCH, HIDDEN, MAPS = 250, 800, 50, 32, 64, 16
VIEWS = ("in order", "mixed", "first and last")
DIGITS, WAYS = data_digits.DIGITS, tuple(data_digits.WAYS)
WORDS = (".", "a", "an", *DIGITS, "moves", *WAYS, ",", "then")  # "." is the end
PLACES = 8  # of a caption: a seven moves up , then left .
PLACE = 2 * torch.cartesian_prod(torch.arange(-3, 4), torch.arange(-3, 4)) / 3  # (49, 2): row and column
MODEL = Path(__file__).with_name("captions_model.npz")

# ---------------------------------------------------------------- captions as numbers


def words(caption):
    """Return the numbers of a caption's words, (8,), with ends behind it."""
    numbers = [WORDS.index(word) for word in caption.replace(",", " ,").split()]
    return np.array(numbers + [0] * (PLACES - len(numbers)))


def targets(captions):
    """Return the words of all captions, (8, B)."""
    return torch.tensor(np.array([words(caption) for caption in captions]).T)


def real(y):
    """Return the mask of (8, B) words up to the first end, that one included."""
    return torch.cumsum(y == 0, dim=0) - (y == 0).long() == 0


def questions(y):
    """Return digit, first way and second way (4: none) of captions, (3, B)."""
    second = torch.where(y[6] == 0, 4, y[6] - WORDS.index("up"))
    return torch.stack([y[1] - WORDS.index("zero"), y[3] - WORDS.index("up"), second])


def spoken(answers):
    """Return the words of answers to the three questions, (8, B)."""
    return targets(
        [data_digits.caption_of(d, [WAYS[way] for way in (a, b) if way < 4]) for d, a, b in np.transpose(answers)]
    )


# ---------------------------------------------------------------- the network


class Eye(nn.Module):
    """Two convolutions; of each map of the second: how strongly its shape is seen at best, and where.

    what = relu(max over places of z), where = sum over places of softmax(6 z) times (row, column), in -2 to 2
    """

    def __init__(self, maps=MAPS):
        super().__init__()
        self.edges, self.norm = nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.BatchNorm2d(8)
        self.shapes, self.norm2 = nn.Conv2d(8, maps, 4), nn.BatchNorm2d(maps)
        self.size = 3 * maps

    def forward(self, frames):
        """Take frames (N, 20, 20), return (N, 3 maps): what, rows, columns."""
        z = F.relu(self.norm(self.edges((frames[:, None] - 0.2) / 0.2)))
        z = self.norm2(self.shapes(z)).flatten(2)  # (N, maps, 7 x 7)
        where = (6 * z).softmax(dim=2) @ PLACE.to(z.dtype)
        return torch.cat([F.relu(z.max(dim=2).values), where[..., 0], where[..., 1]], dim=1)


class Captioner(nn.Module):
    """The eye, a GRU over the frames, and a GRU over the words (or three linear heads)."""

    def __init__(self, kind, hidden=HIDDEN):
        super().__init__()
        self.kind, self.eye = kind, Eye()
        self.reader = nn.GRU(self.eye.size, hidden)
        if kind == "heads":
            self.out = nn.Linear(hidden, 10 + 4 + 5)
            return
        self.embedding, self.speaker = nn.Embedding(len(WORDS), 16), nn.GRU(16, hidden)
        self.out = nn.Linear(2 * hidden, len(WORDS))
        if kind == "attention":
            self.query = nn.Linear(hidden, hidden, bias=False)

    def read(self, frames):
        """Return the states after each frame, (T, B, H)."""
        return self.reader(self.eye(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]))[0]

    def say(self, states, said, s):
        """Return logits (N, B, words) for the words after `said` (N, B), the speaker's state, and attention."""
        speech, s = self.speaker(self.embedding(said), s)
        if self.kind == "attention":
            scores = torch.einsum("nbh,tbh->nbt", self.query(speech), states) / HIDDEN**0.5
            alpha = scores.softmax(dim=2)
            context = torch.einsum("nbt,tbh->nbh", alpha, states)
        else:
            alpha, context = None, states[-1].expand_as(speech)
        return self.out(torch.cat([speech, context], dim=2)), s, alpha

    def loss(self, frames, y):
        """Return the cross-entropy in nats: of a word, given the right ones before; or of an answer."""
        states = self.read(frames)
        if self.kind == "heads":
            scores = self.out(states[-1]).split([10, 4, 5], dim=1)
            return sum(map(F.cross_entropy, scores, questions(y))) / 3
        said = torch.cat([torch.zeros_like(y[:1]), y[:-1]])  # an end is the start of the next caption
        logits, mask = self.say(states, said, states[-1:].contiguous())[0], real(y)
        return F.cross_entropy(logits[mask], y[mask])

    @torch.no_grad()
    def caption(self, frames):
        """Say the likeliest word at each place, given those said before: words (8, B), and the log-probability of all
        that is said, (B,)."""
        states = self.read(frames)
        if self.kind == "heads":
            best = [part.log_softmax(dim=1).max(dim=1) for part in self.out(states[-1]).split([10, 4, 5], dim=1)]
            return spoken(torch.stack([one.indices for one in best])), sum(one.values for one in best)
        word, s = torch.zeros_like(states[:1, :, 0], dtype=torch.long), states[-1:].contiguous()
        said, sure, alive = [], torch.zeros(word.shape[1]), torch.ones_like(word[0], dtype=torch.bool)
        for _ in range(PLACES):
            logits, s, _ = self.say(states, word, s)
            best = logits[0].log_softmax(dim=1).max(dim=1)
            word = torch.where(alive, best.indices, 0)[None]
            sure, said = sure + torch.where(alive, best.values, 0.0), [*said, word[0]]
            alive = alive & (word[0] != 0)
        return torch.stack(said), sure


def view(frames, kind, generator):
    """Return frames (T, B, 20, 20) as they are, each clip's in an order of its own, or the first and the last."""
    if kind == "first and last":
        return frames[[0, -1]]
    if kind == "in order":
        return frames
    order = torch.rand(frames.shape[:2], generator=generator).argsort(dim=0)
    return frames[order, torch.arange(frames.shape[1])]


# ---------------------------------------------------------------- training and judging


@functools.cache
def data(known=128):
    """Return the data set, with frames and words as tensors: {part: (clips, frames, words)}."""
    loaded = data_digits.moving_digits(known)
    parts = {name: getattr(loaded, name) for name in ("train", "validation", "test")}
    return {name: (clips, torch.tensor(clips.frames), targets(clips.captions)) for name, clips in parts.items()}


def train(kind, rate, seed, updates=UPDATES, known=128, stop=None, bar=None):
    """Train by Adam with the rate falling to 0 and norms clipped at 1; return the net and its curve, a point for each
    EVERY updates. With `stop`, only so many of them are made."""
    _, frames, y = data(known)["train"]
    torch.manual_seed(seed)
    net, generator = Captioner(kind), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 1 - n / updates)
    losses, points = [], []
    for _ in range(stop or updates):
        chosen = torch.randint(frames.shape[1], (BATCH,), generator=generator)
        loss = net.loss(frames[:, chosen], y[:, chosen])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), max_norm=1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if len(losses) % EVERY == 0:
            points.append(float(f"{np.mean(losses[-EVERY:]):.4g}"))
            if bar is not None:
                bar.update(EVERY)
    return net.eval(), points


@torch.no_grad()
def validation_loss(net):
    _, frames, y = data()["validation"]
    return net.loss(frames, y).item()


def load_model():
    """Return the stored net: "attention" from the first fresh seed."""
    net = Captioner(KINDS[0])
    with np.load(MODEL, allow_pickle=False) as stored:
        net.load_state_dict({name: torch.tensor(stored[name]) for name in stored.files}, strict=False)
    return net.eval()


@torch.no_grad()
def beliefs(net, frames):
    """Return the probabilities of the three answers for frames (T, B, 20, 20): (B, 10), (B, 4) and (B, 5).

    The likeliest article, digit and way are said first; the second way is asked after a comma and "then" that it did
    not choose, and its fifth entry is the probability of no comma.
    """
    states = net.read(frames)
    said, found = torch.zeros(1, frames.shape[1], dtype=torch.long), []
    for _ in range(7):
        p = net.say(states, said, states[-1:].contiguous())[0][-1].softmax(dim=1)
        found.append(p)
        forced = {4: WORDS.index(","), 5: WORDS.index("then")}.get(len(said) - 1)
        said = torch.cat([said, (p.argmax(dim=1) if forced is None else torch.full_like(said[0], forced))[None]])
    digit, up = WORDS.index("zero"), WORDS.index("up")
    turns = found[4][:, [WORDS.index(",")]]
    second = torch.cat([turns * found[6][:, up : up + 4], found[4][:, :1]], dim=1)
    return found[1][:, digit : digit + 10].numpy(), found[3][:, up : up + 4].numpy(), second.numpy()


def judge(said, part="test"):
    """Return, clip by clip, which words and answers are right: {name: (B,) numbers}, "words" being a share."""
    y = data()[part][2]
    right, mask = said == y, real(y)
    found = {"words": (right & mask).sum(dim=0) / mask.sum(dim=0), "caption": right.all(dim=0)}
    found |= {"digit": right[1], "first way": right[3], "second way": right[4:].all(dim=0)}
    found |= {"both ways": right[3:].all(dim=0)}
    return {name: np.asarray(value, float) for name, value in found.items()}


def shares(said, part="test"):
    """Return the shares that are right of all clips, of those with a seen pair and of those with an unseen one; of
    words each counts once."""
    clips, _, y = data()[part]
    right, lengths = judge(said, part), real(y).sum(dim=0).numpy()
    rows = {}
    for name, chosen in (("all", slice(None)), ("seen", ~clips.unseen), ("unseen", clips.unseen)):
        weights = {key: lengths[chosen] if key == "words" else None for key in right}
        rows[name] = {key: round(float(np.average(right[key][chosen], weights=weights[key])), 5) for key in right}
    return rows


def row_of(net, **about):
    """Return what a trained net says of the test set, and how much of it is right also under other views."""
    row = dict(about)
    for other in VIEWS:
        frames = view(data()["test"][1], other, torch.Generator().manual_seed(2))
        said, sure = net.caption(frames)
        row.setdefault("views", {})[other] = shares(said)
        if other == VIEWS[0]:
            row |= {"shares": shares(said), "said": coded(said)}
            row["sure"] = [round(value, 3) for value in sure.tolist()]
    return row


def coded(said):
    """Return captions (8, B) as one text, a letter a word, so that the record is small."""
    return " ".join("".join(chr(97 + word) for word in column).rstrip("a") for column in said.T.tolist())


def decoded(text):
    """Return captions (8, B) from `coded`."""
    rows = [[ord(letter) - 97 for letter in one.ljust(PLACES, "a")] for one in text.split(" ")]
    return torch.tensor(rows).T


# ---------------------------------------------------------------- rivals without recurrence


def linear(features, asked=3):
    """Fit logistic regressions of the digit (asked=1) and of both ways (3); each gets the best of four penalties.

    Args:
        features: {part: (B, F)}.

    Returns:
        the answers for the test set, a list of (B,), and what was chosen on validation.
    """
    wanted = {name: questions(data()[name][2]).numpy() for name in ("train", "validation")}
    center, scale = features["train"].mean(axis=0), features["train"].std() + 1e-9
    x = {name: (part - center) / scale for name, part in features.items()}
    answers, chosen = [], []
    for n in range(asked):
        models = [LogisticRegression(C=c, max_iter=80, tol=1e-3).fit(x["train"], wanted["train"][n]) for c in PENALTIES]
        right = [float((one.predict(x["validation"]) == wanted["validation"][n]).mean()) for one in models]
        best = int(np.argmax(right))
        answers.append(models[best].predict(x["test"]))
        chosen.append({"C": PENALTIES[best], "validation": [round(value, 4) for value in right]})
    return answers, chosen


def pixels(frames):
    """Return the pixels of the first, the middle and the last frame, (B, 1200)."""
    return frames[[0, len(frames) // 2, -1]].transpose(1, 0, 2, 3).reshape(frames.shape[1], -1)


def paths():
    """Return all ways a digit can move: (route, offsets (T, 2) from the start)."""
    found = []
    for route in data_digits.ROUTES:
        for turn in range(2, 7) if len(route) == 2 else [8]:
            moves = [data_digits.WAYS[route[0]]] * turn + [data_digits.WAYS[route[-1]]] * (8 - turn)
            found.append((route, np.concatenate([np.zeros((1, 2), int), np.cumsum(moves, axis=0)])))
    return found


def shift_and_add(frames):
    """Return, for each clip, the path along which the frames add up to the clearest picture, and that picture.

    A path and a start give a mean of nine 8 x 8 windows. The clearest has the largest sum of squared differences from
    the median brightness of the clip.

    Args:
        frames: (T, B, 20, 20).

    Returns:
        numbers of the paths in `paths()`, (B,), and pictures (B, 64) without the background and of norm 1.
    """
    film = frames - np.median(frames, axis=(0, 2, 3))[None, :, None, None]
    best, number, picture = np.full(film.shape[1], -1.0), np.zeros(film.shape[1], int), np.zeros((film.shape[1], 64))
    for n, (_, offsets) in enumerate(paths()):
        low, extent = -offsets.min(axis=0), np.ptp(offsets, axis=0)
        rows, columns = 20 - extent
        mean = np.mean([film[t, :, r : r + rows, c : c + columns] for t, (r, c) in enumerate(offsets + low)], axis=0)
        windows = np.lib.stride_tricks.sliding_window_view(mean, (8, 8), axis=(1, 2))
        clear = np.lib.stride_tricks.sliding_window_view(mean**2, (8, 8), axis=(1, 2)).sum(axis=(3, 4))
        at = clear.reshape(len(best), -1).argmax(axis=1)
        value = clear.reshape(len(best), -1).max(axis=1)
        better = value > best
        best[better], number[better] = value[better], n
        picture[better] = windows.reshape(len(best), -1, 64)[np.flatnonzero(better), at[better]]
    return number, picture / np.linalg.norm(picture, axis=1, keepdims=True)


def by_hand(films):
    """Caption the test set by shifting and adding; return the answers (3, B) and what was chosen on validation."""
    added = {name: shift_and_add(film) for name, film in films.items()}
    digits, chosen = linear({name: picture for name, (_, picture) in added.items()}, asked=1)
    routes = [[WAYS.index(way) for way in paths()[n][0]] + [4] for n in added["test"][0]]
    return np.array([*digits, [route[0] for route in routes], [route[1] for route in routes]]), chosen


def constant(films):
    """Say the most frequent caption of the training part at every clip."""
    captions = data()["train"][0].captions
    most = questions(targets([max(sorted(set(captions)), key=captions.count)])).numpy()
    return np.repeat(most, films["test"].shape[1], axis=1), None


RIVALS = {
    "constant": constant,
    "linear": lambda films: linear({name: pixels(film) for name, film in films.items()}),
    "by hand": by_hand,
}


def try_rivals(record, bar):
    films = {name: part[0].frames for name, part in data().items()}
    for name, rival in RIVALS.items():
        began = time.process_time()
        answers, chosen = rival(films)
        said = spoken(np.array(answers))
        row = {"chosen": chosen, "shares": shares(said), "said": coded(said)}
        record["rivals"][name] = row | {"seconds": round(time.process_time() - began, 1)}
        bar.update(EVERY)


# ---------------------------------------------------------------- intervals


def resampled(difference, images, draws=2000):
    """Return the 95% interval of a mean over seeds and test clips, by resampling both; clips that show one image of a
    digit are drawn together.

    Args:
        difference: (seeds, B), a number for each seed and clip; nan where a clip does not count.
        images: (B,), the image that each clip shows.
    """
    rng, (found, place) = np.random.default_rng(0), np.unique(images, return_inverse=True)
    counts = rng.multinomial(len(found), np.full(len(found), 1 / len(found)), draws)[:, place]
    seeds = rng.multinomial(len(difference), np.full(len(difference), 1 / len(difference)), draws)
    means = ((seeds @ np.nan_to_num(difference)) * counts).sum(axis=1)
    return np.quantile(means / (seeds @ ~np.isnan(difference) * counts).sum(axis=1), [0.025, 0.975])


def application(record):
    """Return this lesson's rows in the table of all applications, one: whole captions, against the best rival."""
    part, rows = data()["test"][0], [row for row in record["fresh"] if row["kind"] == KINDS[0]]
    ours = np.array([judge(decoded(row["said"]))["caption"] for row in rows])
    name = max(record["rivals"], key=lambda rival: record["rivals"][rival]["shares"]["all"]["caption"])
    base, means = judge(decoded(record["rivals"][name]["said"]))["caption"], 100 * ours.mean(axis=1)
    low, high = resampled(100 * (ours - base), part.images)
    row = {
        "lesson": "20_video_b_captions", "task": "Say what moves", "data": "moving_digits",
        "metric": "whole captions right on the test set", "better": "higher", "unit": "%",
        "baseline_name": {"by hand": "shift and add, then a linear model"}.get(name, name),
        "baseline": round(float(100 * base.mean()), 2),
        "model": f"convolution, GRU, {HIDDEN} units, attention", "ours": round(float(means.mean()), 2),
        "interval": round(mean_and_half(means)[1], 2),
        "difference": [round(float(low), 2), round(float(high), 2)], "published": None, "published_source": None,
        "seconds": round(float(np.mean([row["seconds"] for row in rows]))),
    }  # fmt: skip
    return [row]


# ---------------------------------------------------------------- everything


def fresh(kind, rate, seed, bar):
    """Train, and return the net and its row; the seconds are those of training on a processor that others use too."""
    began = time.process_time()
    net, points = train(kind, rate, seed, bar=bar)
    seconds = round(time.process_time() - began, 1)
    return net, row_of(net, kind=kind, rate=rate, seed=seed, loss=points, seconds=seconds)


def best_rate(record, kind):
    rows = [row for row in record["pilot"] if row["kind"] == kind]
    return min(rows, key=lambda row: row["validation_loss"])["rate"]


def try_kind(record, kind, bar):
    """Choose a rate and train with it; return the net of the first seed."""
    for rate in RATES:
        net, _ = train(kind, rate, PILOT_SEED, PILOT_UPDATES, bar=bar)
        record["pilot"].append({"kind": kind, "rate": rate, "validation_loss": round(validation_loss(net), 5)})
        bar.write(str(record["pilot"][-1]))
    nets = []
    for seed in FRESH_SEEDS:
        net, row = fresh(kind, best_rate(record, kind), seed, bar)
        nets.append(net)
        record["fresh"].append(row)
        bar.write(f"{kind} {seed} {row['shares']}")
    return nets[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    record = {"rivals": {}, "pilot": [], "fresh": []}
    updates = len(KINDS) * (len(RATES) * PILOT_UPDATES + len(FRESH_SEEDS) * UPDATES)
    with tqdm(total=len(RIVALS) * EVERY + updates, unit="update") as bar:
        try_rivals(record, bar)
        net, *_ = [try_kind(record, kind, bar) for kind in KINDS]
    record["application"] = application(record)
    record["settings"] = {
        "kinds": KINDS, "rates": RATES, "penalties": PENALTIES, "pilot_seed": PILOT_SEED, "updates": UPDATES,
        "pilot_updates": PILOT_UPDATES, "batch": BATCH, "hidden": HIDDEN, "maps": MAPS, "every": EVERY,
        "fresh_seeds": list(FRESH_SEEDS), "views": VIEWS,
    }  # fmt: skip
    record["made"] = {
        "command": "python notebooks/evidence/captions.py", **rl.provenance(), "torch": torch.__version__,
        "seconds": round(sum(row["seconds"] for row in [*record["fresh"], *record["rivals"].values()])),
    }  # fmt: skip
    with whole(MODEL) as path:
        np.savez(path, **{name: value.numpy() for name, value in net.state_dict().items() if value.ndim})
    write(out, json.dumps(record) + "\n")


if __name__ == "__main__":
    main()

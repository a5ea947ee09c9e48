"""A network that writes the first line of a docstring from the prose below it, with a copy mechanism and without."""

import re
import time
from dataclasses import dataclass

import numpy as np
import torch
from records import whole
from torch import nn

from rnnlab import datasets
from rnnlab.rouge import rouge_l, rouge_n
from rnnlab.texts import Alphabet

AT_LEAST, SOURCE, TARGET = 8, 80, 16  # times a word must occur in training texts; words of prose and of a summary
EMBEDDING, HIDDEN, ATTENTION, BATCH, MAX_NORM = 64, 64, 64, 64, 2.0

# ---------------------------------------------------------------- words


def words(text):
    """Return the words of a text in small letters; a full stop that ends a sentence is one."""
    return re.findall(r"\w+|\.(?=\s|$)", text.lower())


@dataclass
class Part:
    """Hold pairs as numbers: from V on those of words that only this pair's prose has, listed in `unknown`."""

    sources: list  # for each pair the numbers of its words
    targets: list  # the same, with END
    unknown: list
    pairs: datasets.Pairs

    def __len__(self):
        return len(self.sources)


def encode(pairs, alphabet):
    """Return pairs of texts as a `Part`."""
    part = Part([], [], [], pairs)
    for b in range(len(pairs)):
        source, target = (words(text) for text in pairs[b])
        numbers, unknown = dict(alphabet.numbers), []
        for word in source[:SOURCE]:
            if word not in numbers:
                numbers[word] = len(alphabet) + len(unknown)
                unknown.append(word)
        part.sources.append([numbers[word] for word in source[:SOURCE]])
        summary = [word for word in target if word != "."][:TARGET]
        part.targets.append([numbers.get(word, Alphabet.UNKNOWN) for word in summary] + [Alphabet.END])
        part.unknown.append(unknown)
    return part


@dataclass
class Data:
    """Hold the three parts as numbers, and the words of the vocabulary."""

    train: Part
    validation: Part
    test: Part
    alphabet: Alphabet


def load():
    """Return the docstrings as `Data`; the vocabulary is made of the training texts."""
    loaded = datasets.load("docstrings")
    every = (*loaded.train.sources, *loaded.train.targets)
    alphabet = Alphabet.of(map(words, every), AT_LEAST)
    return Data(*(encode(getattr(loaded, part), alphabet) for part in ("train", "validation", "test")), alphabet)


def padded(rows):
    """Return numbers (T, B) with 0 behind each end."""
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows])


# ---------------------------------------------------------------- the network


class Summarizer(nn.Module):
    """Read with a bidirectional GRU, write with a GRU and attention; `copying` mixes the words of the source in."""

    def __init__(self, size, copying, dropout=0.0):
        super().__init__()
        self.size, self.copying = size, copying
        self.embedding = nn.Embedding(size, EMBEDDING)
        self.encoder = nn.GRU(EMBEDDING, HIDDEN, bidirectional=True)
        self.bridge = nn.Linear(2 * HIDDEN, HIDDEN)
        self.decoder = nn.GRU(EMBEDDING, HIDDEN)
        self.key, self.query = nn.Linear(2 * HIDDEN, ATTENTION), nn.Linear(HIDDEN, ATTENTION, bias=False)
        self.score = nn.Linear(ATTENTION, 1, bias=False)
        self.out, self.bias = nn.Linear(3 * HIDDEN, EMBEDDING), nn.Parameter(torch.zeros(size))
        self.switch = nn.Linear(3 * HIDDEN + EMBEDDING, 1) if copying else None
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def embed(self, numbers):
        return self.dropout(self.embedding(torch.where(numbers < self.size, numbers, Alphabet.UNKNOWN)))

    def read(self, source):
        """Return states (S, B, 2H) of a source (S, B), its keys (S, B, A), and the first state of the decoder."""
        lengths = (source != Alphabet.PADDING).sum(dim=0)
        words = self.embed(source)
        h, last = self.encoder(nn.utils.rnn.pack_padded_sequence(words, lengths, enforce_sorted=False))
        h = nn.utils.rnn.pad_packed_sequence(h)[0]
        return h, self.key(h), torch.tanh(self.bridge(torch.cat([last[0], last[1]], dim=-1)))[None]

    def write(self, source, h, key, state, before):
        """Return what follows each word of `before` (T, B): vocabulary (T, B, V), gen (T, B), attention (T, S, B)."""
        x = self.embed(before)
        s, state = self.decoder(x, state)
        scores = self.score(torch.tanh(key + self.query(s)[:, None]))[..., 0]
        attention = torch.softmax(scores.masked_fill(source == Alphabet.PADDING, -torch.inf), dim=1)
        both = torch.cat([s, torch.einsum("tsb,sbh->tbh", attention, h)], dim=-1)  # state and context
        logits = self.dropout(torch.tanh(self.out(both))) @ self.embedding.weight.T + self.bias
        gen = torch.sigmoid(self.switch(torch.cat([both, x], dim=-1)))[..., 0] if self.copying else None
        return torch.softmax(logits, dim=-1), gen, attention, state

    def given(self, source, target):
        """Return what `write` does if the words before each are those of the target (T, B)."""
        before = torch.cat([torch.full_like(target[:1], Alphabet.START), target[:-1]])
        return self.write(source, *self.read(source), before)

    def probability(self, source, target):
        """Return the probability of each word of the target (T, B), given those before it."""
        vocabulary, gen, attention, _ = self.given(source, target)
        known = torch.where(target < self.size, target, Alphabet.UNKNOWN)
        p = vocabulary.gather(2, known[..., None])[..., 0]
        if not self.copying:
            return p  # a word that the vocabulary lacks counts as UNKNOWN
        copied = (attention * (source == target[:, None])).sum(dim=1)
        return gen * p * (target < self.size) + (1 - gen) * copied


# ---------------------------------------------------------------- writing


@torch.no_grad()
def summarize(network, part, alphabet, once=False):
    """Write the most probable next word until END, or TARGET words; with `once` no pair of neighbours a second time.

    Returns:
        for each source a dict of lists with an entry for each word: `words`, their `numbers`, `gen`, and `taken`, the
        share of the word's probability that is copied; and `lacked`, whether UNKNOWN, never written, was once ahead.
    """
    network.eval()
    found = []
    for begin in range(0, len(part), 64):
        source = padded(part.sources[begin : begin + 64])
        found += _summarize(network, source, part.unknown[begin : begin + 64], alphabet, once)
    return found


def _summarize(network, source, unknown, alphabet, once):
    h, key, state = network.read(source)
    B, size = source.shape[1], network.size
    before, going = torch.full((1, B), Alphabet.START), [True] * B
    found = [{"words": [], "numbers": [], "gen": [], "taken": [], "lacked": False} for _ in range(B)]
    for _ in range(TARGET):
        vocabulary, gen, attention, state = network.write(source, h, key, state, before)
        gen = gen[0] if network.copying else torch.ones(B)
        written = gen[:, None] * vocabulary[0]
        p = torch.cat([written, torch.zeros(B, max(map(len, unknown)))], dim=1)
        p.scatter_add_(1, source.T, ((1 - gen) * attention[0]).T)
        lacked = p.argmax(dim=1) == Alphabet.UNKNOWN
        p[:, [Alphabet.PADDING, Alphabet.UNKNOWN, Alphabet.START]] = 0
        for b, one in enumerate(found if once else []):
            pairs = zip(one["numbers"], one["numbers"][1:], strict=False)
            p[b, [second for first, second in pairs if first == one["numbers"][-1]]] = 0
        before = p.argmax(dim=1)[None]
        for b, word in enumerate(before[0].tolist()):
            going[b] = going[b] and word != Alphabet.END
            if going[b]:
                one, share = found[b], float(written[b, word] / p[b, word]) if word < size else 0.0
                one["words"].append(alphabet.symbols[word - 4] if word < size else unknown[b][word - size])
                one["numbers"].append(word)
                one["gen"].append(float(gen[b]))
                one["taken"].append(1 - share)
                one["lacked"] |= bool(lacked[b])
        if not any(going):
            break
    return found


def texts(summaries):
    """Return summaries as texts."""
    return [" ".join(one["words"]) for one in summaries]


def rouges(summaries, references):
    """Return ROUGE-1, ROUGE-2 and ROUGE-L of each summary, (B, 3)."""
    pairs = zip(summaries, references, strict=True)
    return np.array([[rouge_n(one, other), rouge_n(one, other, 2), rouge_l(one, other)] for one, other in pairs])


# ---------------------------------------------------------------- training


def loss_of(network, sources, targets):
    """Return the summed -log p of the words of some targets, and their number."""
    target = padded(targets)
    p = network.probability(padded(sources), target)
    return -(p.clamp_min(1e-9).log() * (target != Alphabet.PADDING)).sum(), sum(map(len, targets))


@torch.no_grad()
def mean_loss(network, part):
    """Return the mean -log p of a word, in nats."""
    network.eval()
    found = [loss_of(network, part.sources[b : b + 64], part.targets[b : b + 64]) for b in range(0, len(part), 64)]
    return sum(loss.item() for loss, _ in found) / sum(number for _, number in found)


def batches(part, rng):
    """Return the numbers of pairs of similar length together, in random order."""
    order = np.argsort([len(source) + rng.uniform(0, 8) for source in part.sources])
    groups = [order[b : b + BATCH] for b in range(0, len(part), BATCH)]
    return [groups[n] for n in rng.permutation(len(groups))]


def rounded(network):
    """Return the parameters in half precision, as they are stored."""
    return {name: p.half() for name, p in network.state_dict().items()}


def train(data, copying, lr, dropout, seed, epochs, tick=lambda: None):
    """Train a network; return it with its best epoch's parameters, rounded, those of the last, and a row of results."""
    torch.manual_seed(seed)
    rng, began = np.random.default_rng(seed), time.process_time()
    network, part = Summarizer(len(data.alphabet), copying, dropout), data.train
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    row = {"lr": lr, "dropout": dropout, "seed": seed, "train": [], "validation": [], "rouge": []}
    for _ in range(epochs):
        network.train()
        total, number = 0.0, 0
        for some in batches(part, rng):
            loss, count = loss_of(network, [part.sources[b] for b in some], [part.targets[b] for b in some])
            optimizer.zero_grad()
            (loss / count).backward()
            nn.utils.clip_grad_norm_(network.parameters(), MAX_NORM)
            optimizer.step()
            total, number = total + loss.item(), number + count
        written = texts(summarize(network, data.validation, data.alphabet))
        row["train"].append(total / number)
        row["validation"].append(mean_loss(network, data.validation))
        row["rouge"].append(rouges(written, data.validation.pairs.targets)[:, 0].mean())
        if row["rouge"][-1] == max(row["rouge"]):
            best = rounded(network)
        tick()
    last = rounded(network)
    network.load_state_dict(best)
    return network, last, row | {"seconds": round(time.process_time() - began, 1)}


# ---------------------------------------------------------------- the saved network


def save(path, network, alphabet):
    """Store a network and its words, in half precision."""
    arrays = {name: p.numpy() for name, p in rounded(network).items()}
    with whole(path) as beside:
        np.savez_compressed(beside, words=np.array(" ".join(alphabet.symbols)), **arrays)


def restore(path):
    """Return the network that `save` stored, and its words."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: torch.tensor(file[name]).float() for name in file.files if name != "words"}
        alphabet = Alphabet(str(file["words"]).split(" "))
    network = Summarizer(len(alphabet), copying="switch.weight" in arrays)
    network.load_state_dict(arrays)
    return network.eval(), alphabet

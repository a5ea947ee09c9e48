"""The networks of lesson 17b: two GRUs, one that reads and one that writes, with and without attention between them."""

import math

import numpy as np
import torch
from records import whole
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnlab.datasets import Alphabet

EMBEDDED, CLIP = 32, 1.0
HIDDEN = {"none": 112, "dot": 96, "additive": 96}  # about 100,000 weights each


def symbols(source):
    """Return a source as a list of symbols: the language wanted is one, then each character is."""
    return [source[:4], *source[5:]]


class Attention(nn.Module):
    """Weights of queries (Q, B, W) over keys (T, B, V), the formula of lesson 13; score "dot" or "additive"."""

    def __init__(self, query_size, key_size, size, score):
        super().__init__()
        self.query, self.key = nn.Linear(query_size, size, bias=False), nn.Linear(key_size, size, bias=False)
        self.score = nn.Parameter(torch.randn(size) / math.sqrt(size)) if score == "additive" else None

    def forward(self, queries, keys, hidden):
        """Return contexts (B, Q, V) and weights (B, Q, T); `hidden` (B, Q or 1, T) is True where none is read."""
        query, key = self.query(queries).transpose(0, 1), self.key(keys).transpose(0, 1)
        if self.score is None:
            score = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
        else:
            score = torch.tanh(query[:, :, None] + key[:, None]) @ self.score
        weights = torch.softmax(score.masked_fill(hidden, -math.inf), dim=-1)
        return weights @ keys.transpose(0, 1), weights


class Translator(nn.Module):
    """Read a source both ways, write a target from left to right.

    e_s = [forward and backward state at s],  h_0 = tanh(W [last forward, first backward])
    h_t = GRU(target symbol t - 1, h_{t-1})
    log p(target symbol t) = log softmax(W_out [h_t; context_t] + b_out),  context_t = sum over s of alpha_ts e_s
    """

    def __init__(self, sources, targets, head, hidden=None, size=24):
        super().__init__()
        hidden = hidden or HIDDEN[head]
        self.alphabets, self.head = (sources, targets), head
        self.read_embedding = nn.Embedding(len(sources), EMBEDDED, padding_idx=0)
        self.write_embedding = nn.Embedding(len(targets), EMBEDDED, padding_idx=0)
        self.reader = nn.GRU(EMBEDDED, hidden // 2, bidirectional=True)
        self.bridge, self.writer = nn.Linear(hidden, hidden), nn.GRU(EMBEDDED, hidden)
        self.attention = None if head == "none" else Attention(hidden, hidden, size, head)
        self.out = nn.Linear(hidden if head == "none" else 2 * hidden, len(targets))

    def encode(self, numbers, lengths):
        """Return the reader's states (T, B, H), the writer's first state (1, B, H) and the padding (B, 1, T)."""
        packed = pack_padded_sequence(self.read_embedding(numbers), lengths, enforce_sorted=False)
        states, last = self.reader(packed)
        states = pad_packed_sequence(states, total_length=len(numbers))[0]
        padding = (torch.arange(len(numbers)) >= lengths[:, None])[:, None]
        return states, torch.tanh(self.bridge(torch.cat([last[0], last[1]], dim=-1)))[None], padding

    def decode(self, written, state, states, padding):
        """Return log probabilities (Q, B, C) after each written symbol (Q, B), the state, the weights (B, Q, T)."""
        h, state = self.writer(self.write_embedding(written), state)
        weights = None
        if self.attention:
            context, weights = self.attention(h, states, padding)
            h = torch.cat([h, context.transpose(0, 1)], dim=-1)
        return F.log_softmax(self.out(h), dim=-1), state, weights

    def forward(self, numbers, lengths, targets):
        """Return the mean loss per symbol with teacher forcing: every symbol is asked for after the true ones."""
        states, state, padding = self.encode(numbers, lengths)
        scores = self.decode(targets[:-1], state, states, padding)[0]
        return F.nll_loss(scores.flatten(0, 1), targets[1:].flatten(), ignore_index=Alphabet.PADDING)


def batches(pairs, model, size, rng=None):
    """Yield (numbers of sources, lengths, numbers of targets) as tensors; with `rng` in a random order.

    Then pairs of like length come together, so that there is little padding: 16 batches are drawn and sorted at a time.
    """
    order = np.arange(len(pairs)) if rng is None else rng.permutation(len(pairs))
    if rng is not None:
        pools = [order[start : start + 16 * size] for start in range(0, len(order), 16 * size)]
        pools = [pool[np.argsort([len(pairs.targets[b]) for b in pool], kind="stable")] for pool in pools]
        pieces = [pool[start : start + size] for pool in pools for start in range(0, len(pool), size)]
        pieces = [pieces[n] for n in rng.permutation(len(pieces))]
    else:
        pieces = [order[start : start + size] for start in range(0, len(order), size)]
    for piece in pieces:
        numbers, lengths = model.alphabets[0].padded([symbols(pairs.sources[b]) for b in piece])
        targets, _ = model.alphabets[1].padded([pairs.targets[b] for b in piece], ends=True)
        yield torch.from_numpy(numbers), torch.from_numpy(lengths), torch.from_numpy(targets)


def train(model, pairs, lr, seed, updates, batch_size=32, report=lambda loss: None):
    """Train with Adam, a clip at norm 1, 50 updates of warm-up and a linear fall in the second half; return the losses.

    Losses (updates,) are nats per symbol of the batch, with teacher forcing.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    rng, losses = np.random.default_rng(seed), []
    while len(losses) < updates:
        for numbers, lengths, targets in batches(pairs, model, batch_size, rng):
            done = len(losses)
            optimizer.param_groups[0]["lr"] = lr * min(1, (done + 1) / 50, 2 * (1 - done / updates))
            loss = model(numbers, lengths, targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            losses.append(loss.item())
            report(losses[-1])
            if len(losses) == updates:
                break
    return np.array(losses)


def greedy(model, pairs, longest=42, size=240):
    """Return for each source the text of the most probable symbol at each place, and its probability as a whole."""
    texts, shares = [], []
    with torch.no_grad():
        for numbers, lengths, _ in batches(pairs, model, size):
            states, state, padding = model.encode(numbers, lengths)
            last = torch.full((1, numbers.shape[1]), Alphabet.START)
            column, total, open_ = [], torch.zeros(numbers.shape[1]), torch.ones(numbers.shape[1], dtype=bool)
            for _ in range(longest):
                scores, state, _ = model.decode(last, state, states, padding)
                best, last = scores[0].max(dim=-1)[0], scores.argmax(dim=-1)
                total += torch.where(open_, best, 0.0)
                column.append(last[0])
                open_ &= last[0] != Alphabet.END
            texts += [model.alphabets[1].decode(one.tolist()) for one in torch.stack(column).T]
            shares += torch.exp(total).tolist()
    return texts, np.array(shares)


def searcher(model, source):
    """Return what `rnnlab.decoding` wants of a source: a step function and the writer's first state, (1, H)."""
    numbers, lengths = model.alphabets[0].padded([symbols(source)])
    with torch.no_grad():
        states, first, padding = model.encode(torch.from_numpy(numbers), torch.from_numpy(lengths))

    def step(state, last):
        """Return log probabilities (K, C) of the next symbol of K candidates, and the new state (K, H)."""
        count, state = len(last), torch.from_numpy(state)[None]
        with torch.no_grad():
            given = states.expand(-1, count, -1), padding.expand(count, -1, -1)
            scores, state, _ = model.decode(torch.from_numpy(last)[None], state, *given)
        return scores[0].double().numpy(), state[0].numpy()

    return step, first[0].numpy()


def looks(model, source, target):
    """Return for each symbol of a target and its end how the writer looked at the source, (Q, T), before writing it."""
    numbers, lengths = model.alphabets[0].padded([symbols(source)])
    written, _ = model.alphabets[1].padded([target], ends=True)
    with torch.no_grad():
        states, first, padding = model.encode(torch.from_numpy(numbers), torch.from_numpy(lengths))
        return model.decode(torch.from_numpy(written[:-1]), first, states, padding)[2][0].numpy()


def save(model, path):
    """Write a network as an .npz file: its weights in half precision, its alphabets, its head."""
    weights = {name: value.numpy().astype(np.float16) for name, value in model.state_dict().items()}
    sources, targets = (np.array(alphabet.symbols) for alphabet in model.alphabets)
    with whole(path) as beside:
        np.savez(beside, sources=sources, targets=targets, head=np.array(model.head), **weights)


def load(path):
    """Return the network of an .npz file that `save` has written."""
    with np.load(path, allow_pickle=False) as file:
        stored = dict(file)
    alphabets = (Alphabet(stored.pop(name).tolist()) for name in ("sources", "targets"))
    model = Translator(*alphabets, str(stored.pop("head")))
    model.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in stored.items()})
    return model

"""Models, healthy and with planted faults, and what the doctor says of each: false alarms and misses, counted.

Each model is built as tutorials build it, with PyTorch's defaults but for what its name says, and examined on one
random batch. A model counts as right if the kinds of the findings are those that were planted, no more and no fewer.
The record also has the models of `doctor_fresh.py` and `doctor_later.py`.

    python notebooks/evidence/doctor_zoo.py              # half a minute
"""

import argparse
import json
import random
import runpy
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnlab as rl
from rnnlab.doctor import diagnose

B, T, D, H, CLASSES, WORDS = 6, 20, 4, 16, 3, 30
SEEDS = range(100, 103)  # the thresholds were set with others


class Classifier(nn.Module):
    """Read a sequence with one of torch's layers and answer from its last output."""

    def __init__(self, kind=nn.LSTM, read="last", batch_first=True, **options):
        super().__init__()
        self.rnn, self.read, self.batch_first = kind(D, H, batch_first=batch_first, **options), read, batch_first
        sides = 2 if options.get("bidirectional") else 1
        self.head = nn.Linear(sides * (options.get("proj_size") or H), CLASSES)

    def forward(self, x):
        out, state = self.rnn(x)
        if self.read == "state":  # the last layer's, of both directions
            h = state[0] if isinstance(state, tuple) else state
            sides = 2 if self.rnn.bidirectional else 1
            return self.head(torch.cat(list(h[-sides:]), dim=-1))
        if self.read == "every":
            return self.head(out)
        if self.read == "second axis":
            return self.head(out[:, -1])
        return self.head(out[:, -1] if self.batch_first else out[-1])


class Padded(nn.Module):
    """Read padded tokens and lengths: packed, masked, or as if there were no padding."""

    def __init__(self, how, kind=nn.LSTM, bidirectional=False):
        super().__init__()
        self.how, self.embed = how, nn.Embedding(WORDS, D, padding_idx=0)
        self.rnn = kind(D, H, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(2 * H if bidirectional else H, CLASSES)

    def forward(self, tokens, lengths):
        x = self.embed(tokens)
        if self.how == "packed":
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            out, state = self.rnn(packed)
            h = state[0] if isinstance(state, tuple) else state
            return self.head(torch.cat(list(h), dim=-1))
        if self.how == "packed, mean":
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            out, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
            return self.head(out.sum(dim=1) / lengths[:, None])
        out, _ = self.rnn(x)
        if self.how == "own last step":
            return self.head(out[torch.arange(len(out)), lengths - 1])
        if self.how == "mean over all":
            return self.head(out.mean(dim=1))
        return self.head(out[:, -1])


class Loop(nn.Module):
    """Run a cell of torch in a loop over the time axis, (T, B, D)."""

    def __init__(self, cell=nn.LSTMCell, fault=None):
        super().__init__()
        self.cell, self.head, self.fault = cell(D, H), nn.Linear(H, CLASSES), fault

    def forward(self, x):
        state = None
        for x_t in x:
            if self.fault == "detached" and state is not None:
                state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
            state = self.cell(x_t, None if self.fault == "made anew" else state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class Letters(nn.Module):
    """Run a network of linear layers over one letter after the other, as a well-known tutorial does."""

    def __init__(self, detached=False):
        super().__init__()
        self.i2h, self.i2o, self.detached = nn.Linear(D + H, H), nn.Linear(D + H, CLASSES), detached

    def forward(self, x):
        h = x.new_zeros(x.shape[1], H)
        for x_t in x:
            both = torch.cat([x_t, h.detach() if self.detached else h], dim=1)
            h, out = torch.tanh(self.i2h(both)), self.i2o(both)
        return F.log_softmax(out, dim=1)


class Translator(nn.Module):
    """Encode with a GRU, decode one word after the other with attention."""

    def __init__(self):
        super().__init__()
        self.embed, self.encoder = nn.Embedding(WORDS, D), nn.GRU(D, H, batch_first=True)
        self.decoder, self.head = nn.GRU(D + H, H, batch_first=True), nn.Linear(2 * H, WORDS)

    def forward(self, source, target):
        keys, h = self.encoder(self.embed(source))
        outputs, context = [], keys.new_zeros(len(source), 1, H)
        for t in range(target.shape[1]):
            out, h = self.decoder(torch.cat([self.embed(target[:, t : t + 1]), context], dim=2), h)
            context = torch.softmax(out @ keys.transpose(1, 2), dim=2) @ keys
            outputs.append(self.head(torch.cat([out, context], dim=2)))
        return torch.cat(outputs, dim=1)


class WithNorms(nn.Module):
    """Convolution, batch normalization, GRU, layer normalization, dropout."""

    def __init__(self):
        super().__init__()
        self.conv, self.batch_norm = nn.Conv1d(D, D, 3, padding=1), nn.BatchNorm1d(D)
        self.rnn, self.norm, self.head = (
            nn.GRU(D, H, 2, batch_first=True, dropout=0.3),
            nn.LayerNorm(H),
            nn.Linear(H, CLASSES),
        )

    def forward(self, x):
        x = torch.relu(self.batch_norm(self.conv(x.transpose(1, 2)))).transpose(1, 2)
        return self.head(F.dropout(self.norm(self.rnn(x)[0][:, -1]), 0.3, self.training))


class LanguageModel(nn.Module):
    """Say the next word at every step, (T, B) tokens."""

    def __init__(self, spoil=None):
        super().__init__()
        self.embed, self.rnn, self.head = nn.Embedding(WORDS, D), nn.LSTM(D, H), nn.Linear(H, WORDS)
        if spoil:
            with torch.no_grad():
                spoil(self.embed.weight)

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0])


class Tagger(nn.Module):
    """Tag the words of one sentence, as the best-known tutorial on LSTMs does: a batch of one made by view."""

    def __init__(self):
        super().__init__()
        self.embed, self.rnn, self.head = nn.Embedding(WORDS, D), nn.LSTM(D, H), nn.Linear(H, CLASSES)

    def forward(self, sentence):
        out, _ = self.rnn(self.embed(sentence).view(len(sentence), 1, -1))
        return F.log_softmax(self.head(out.view(len(sentence), -1)), dim=1)


class Stateful(nn.Module):
    """Keep the state from batch to batch in an attribute, and answer one number by a sigmoid, as courses do."""

    def __init__(self, kept=True):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(WORDS, D), nn.LSTM(D, H, 2, batch_first=True, dropout=0.5)
        self.head, self.hidden = nn.Linear(H, 1), None

    def forward(self, tokens):
        hidden = None if self.hidden is None else tuple(state.detach() for state in self.hidden)
        out, self.hidden = self.rnn(self.embed(tokens), hidden)
        out = torch.sigmoid(self.head(out.contiguous().view(-1, H)))
        return out.view(len(tokens), -1)[:, -1]


class Frames(nn.Module):
    """Run a convolutional LSTM cell of one's own over frames (B, T, C, height, width)."""

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.gates = nn.Conv2d(1 + D, 4 * D, 3, padding=1)

        def forward(self, x, state):
            h, c = state
            i, f, o, g = self.gates(torch.cat([x, h], dim=1)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(c), c

    def __init__(self):
        super().__init__()
        self.cell, self.head = Frames.Cell(), nn.Linear(D, CLASSES)

    def forward(self, frames):
        state = (frames.new_zeros(len(frames), D, *frames.shape[3:]),) * 2
        for t in range(frames.shape[1]):
            state = self.cell(frames[:, t], state)
        return self.head(state[0].mean(dim=(2, 3)))


def held(kind):
    """Return a classifier whose recurrent matrix is held orthogonal by torch's parametrization."""
    module = Classifier(kind)
    nn.utils.parametrizations.orthogonal(module.rnn, "weight_hh_l0")
    return module


def floats(batch_first=True, steps=T, scale=1.0):
    return scale * torch.randn((B, steps, D) if batch_first else (steps, B, D))


def labelled(x):
    return x, torch.randint(CLASSES, (B,))


def tokens_and_lengths():
    lengths = torch.tensor([20, 7, 12, 3, 15, 9])
    tokens = torch.randint(1, WORDS, (B, T))
    return (torch.where(torch.arange(T) < lengths[:, None], tokens, 0), lengths), torch.randint(CLASSES, (B,))


def per_step(outputs, y):
    return F.cross_entropy(outputs.flatten(0, 1), y.flatten())


def changed(module, change):
    """Return a module after a change of its recurrent layer's parameters."""
    with torch.no_grad():
        change(module.rnn)
    return module


def fill_gate(gate, value):
    """Return a change that gives one gate of an LSTM (in the order i, f, g, o) this bias."""

    def change(rnn):
        rows = slice(gate * H, (gate + 1) * H)
        rnn.bias_ih_l0[rows], rnn.bias_hh_l0[rows] = value, 0.0

    return change


def chrono(rnn):
    keeping = torch.log(1 + 98 * torch.rand(H))
    fill_gate(1, keeping)(rnn)
    fill_gate(0, -keeping)(rnn)


def recurrent(matrix):
    """Return a change that sets W_hh of a plain layer and its biases to 0."""

    def change(rnn):
        rnn.weight_hh_l0.copy_(matrix)
        rnn.bias_ih_l0.zero_()
        rnn.bias_hh_l0.zero_()

    return change


def orthogonal(gain=1.0):
    return gain * torch.linalg.qr(torch.randn(H, H))[0]


def not_a_number(rnn):
    rnn.weight_hh_l0[0, 0] = torch.nan


def half_dead(rnn):
    rnn.bias_ih_l0[: H // 2] = -1000.0


class Reshaped(Classifier):
    """Make (T, B, D) of (B, T, D) by view, which mixes samples and steps."""

    def forward(self, x):
        return super().forward(x.reshape(x.shape[1], x.shape[0], -1))


class OverTheBatch(Classifier):
    """Normalize over the samples, in evaluation too."""

    def forward(self, x):
        return torch.softmax(super().forward(x), dim=0)


RELU = {"kind": nn.RNN, "nonlinearity": "relu"}
# name: (what was planted, module, (inputs, targets), loss, options of diagnose); made anew for each seed.
ZOO = {
    "LSTM, last output": lambda: ([], Classifier(), labelled(floats())),
    "GRU, time first": lambda: ([], Classifier(nn.GRU, batch_first=False), labelled(floats(False))),
    "plain RNN, 10 steps": lambda: ([], Classifier(nn.RNN), labelled(floats(steps=10))),
    "two-layer GRU with dropout": lambda: ([], Classifier(nn.GRU, num_layers=2, dropout=0.2), labelled(floats())),
    "bidirectional LSTM, final states": lambda: (
        [], Classifier(read="state", bidirectional=True), labelled(floats())),
    "LSTM with projection": lambda: ([], Classifier(proj_size=8), labelled(floats())),
    "LSTM, 100 steps, forget bias 5": lambda: (
        [], changed(Classifier(), fill_gate(1, 5.0)), labelled(floats(steps=100))),
    "LSTM, 100 steps, chrono": lambda: ([], changed(Classifier(), chrono), labelled(floats(steps=100))),
    "orthogonal RNN, 50 steps, quiet inputs": lambda: (
        [], changed(Classifier(nn.RNN), recurrent(orthogonal())), labelled(floats(steps=50, scale=0.1))),
    "identity RNN with ReLU, 50 steps": lambda: (
        [], changed(Classifier(**RELU), recurrent(torch.eye(H))), labelled(floats(steps=50, scale=0.1))),
    "tagger, an answer at every step": lambda: (
        [], Classifier(read="every"), (floats(), torch.randint(CLASSES, (B, T))), per_step),
    "language model, time first": lambda: (
        [], LanguageModel(), (torch.randint(WORDS, (T, B)), torch.randint(WORDS, (T, B))), per_step),
    "packed tokens": lambda: ([], Padded("packed"), tokens_and_lengths()),
    "packed tokens, both directions": lambda: (
        [], Padded("packed", nn.GRU, bidirectional=True), tokens_and_lengths()),
    "packed tokens, mean of outputs": lambda: ([], Padded("packed, mean"), tokens_and_lengths()),
    "padded tokens, own last step": lambda: ([], Padded("own last step"), tokens_and_lengths()),
    "loop over an LSTM cell": lambda: ([], Loop(), labelled(floats(False))),
    "loop over a GRU cell": lambda: ([], Loop(nn.GRUCell), labelled(floats(False))),
    "loop over linear layers, 10 letters": lambda: ([], Letters(), labelled(floats(False, 10))),
    "encoder and decoder with attention": lambda: (
        [], Translator(), ((torch.randint(WORDS, (B, 12)), torch.randint(WORDS, (B, 8))), torch.randint(WORDS, (B, 8))),
        per_step),
    "convolution, norms, GRU, dropout": lambda: ([], WithNorms(), labelled(floats())),
    "as many steps as samples, time first": lambda: (
        [], Classifier(nn.GRU, batch_first=False), labelled(floats(False, steps=B))),
    "tagger of one sentence, a batch of one": lambda: (
        [], Tagger(), (torch.randint(WORDS, (9,)), torch.randint(CLASSES, (9,))), F.nll_loss),
    "state kept in an attribute, sigmoid": lambda: (
        [], Stateful(), (torch.randint(WORDS, (B, T)), torch.randint(2, (B,)).float()), F.binary_cross_entropy),
    "convolutional LSTM cell over frames": lambda: (
        [], Frames(), labelled(torch.randn(B, 10, 1, 5, 5))),
    "matrix held orthogonal": lambda: ([], held(nn.RNN), labelled(floats(scale=0.1))),
    "batch_first forgotten, output[:, -1]": lambda: (
        ["cross_sample_leak", "ignores_history"], Classifier(batch_first=False, read="second axis"),
        labelled(floats())),
    "batch_first forgotten, every step": lambda: (
        ["cross_sample_leak", "ignores_history"], Classifier(read="every", batch_first=False),
        (floats(), torch.randint(CLASSES, (B, T))), per_step, {"batch_axis": 0}),
    "reshape in place of transpose": lambda: (
        ["cross_sample_leak"], Reshaped(batch_first=False), labelled(floats())),
    "softmax over the samples": lambda: (["cross_sample_leak"], OverTheBatch(), labelled(floats())),
    "plain RNN, small weights, 50 steps": lambda: (
        ["vanishing"], changed(Classifier(nn.RNN), recurrent(orthogonal(0.3))), labelled(floats(steps=50))),
    "LSTM with PyTorch's start, 200 steps": lambda: (["vanishing"], Classifier(), labelled(floats(steps=200))),
    "plain RNN with PyTorch's start, 100 steps": lambda: (
        ["vanishing"], Classifier(nn.RNN), labelled(floats(steps=100))),
    "LSTM with shut forget gates": lambda: (
        ["saturation", "vanishing"], changed(Classifier(), fill_gate(1, -8.0)), labelled(floats())),
    "ReLU, radius 1.5, 50 steps": lambda: (
        ["exploding"], changed(Classifier(**RELU), recurrent(1.5 * torch.eye(H))), labelled(floats(steps=50))),
    "tanh, gain 3, quiet inputs": lambda: (
        ["exploding"], changed(Classifier(nn.RNN), recurrent(orthogonal(3.0))), labelled(floats(steps=12, scale=1e-6))),
    "inputs in the thousands": lambda: (
        ["saturation", "vanishing"], Classifier(), labelled(floats(scale=5000.0))),
    "half of the ReLU units never on": lambda: (
        ["dead_units"], changed(Classifier(**RELU), half_dead), labelled(floats(steps=10))),
    "states detached in the loop": lambda: (["vanishing"], Loop(nn.GRUCell, "detached"), labelled(floats(False))),
    "states detached between linear layers": lambda: (
        ["vanishing"], Letters(detached=True), labelled(floats(False, 10))),
    "states made anew at each step": lambda: (["ignores_history"], Loop(fault="made anew"), labelled(floats(False))),
    "both directions read at output[:, -1]": lambda: (
        ["ignores_history"], Classifier(bidirectional=True), labelled(floats())),
    "last output of padded tokens": lambda: (["reads_padding"], Padded("last output"), tokens_and_lengths()),
    "mean over padding": lambda: (["reads_padding"], Padded("mean over all"), tokens_and_lengths()),
    "both directions over padding": lambda: (
        ["reads_padding"], Padded("own last step", bidirectional=True), tokens_and_lengths()),
    "a weight that is no number": lambda: (["nonfinite"], changed(Classifier(), not_a_number), labelled(floats())),
    "an input that is infinite": lambda: (["nonfinite"], Classifier(), labelled(floats(scale=torch.inf))),
    "a third of the embedding zero": lambda: (
        ["dead_units"], LanguageModel(lambda w: w[: WORDS // 3].zero_()),
        (torch.randint(WORDS, (T, B)), torch.randint(WORDS, (T, B))), per_step),
    "an embedding that ran away": lambda: (
        ["exploding"], LanguageModel(lambda w: w[3].mul_(1000)),
        (torch.randint(4, WORDS, (T, B)), torch.randint(WORDS, (T, B))), per_step),
}  # fmt: skip


def beside(name):
    """Return the names of a script beside this one."""
    return runpy.run_path(str(Path(__file__).with_name(f"{name}.py")))


def examine(name, seed, models=None):
    """Return what was planted in a model and the kinds that the doctor finds, both sorted, and its report."""
    torch.manual_seed(seed)
    random.seed(seed)
    planted, module, batch, *rest = (models or ZOO)[name]()
    loss_fn = rest[0] if rest else F.cross_entropy
    report = diagnose(module, batch, loss_fn, **(rest[1] if len(rest) > 1 else {}))
    return sorted(planted), sorted({one.kind for one in report.findings}), report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    groups = {"zoo": ZOO, "fresh": beside("doctor_fresh")["FRESH"], "later": beside("doctor_later")["LATER"]}
    rows = []
    for group, models in groups.items():
        for name in models:
            for seed in SEEDS:
                planted, found, report = examine(name, seed, models)
                rows.append({"model": name, "group": group, "seed": seed, "planted": planted, "found": found})
                if planted != found:
                    print(f"{name} (seed {seed}): planted {planted}, found {found}\n{report}\n")
    record = {
        "rows": rows,
        "made": {"command": "python notebooks/evidence/doctor_zoo.py", "torch": torch.__version__, **rl.provenance()},
    }
    parser.parse_args().out.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""More models for the doctor, in the styles of well-known tutorials, written after its thresholds were set.

They were written, with what is planted in them, before any of them was run. `doctor_first_look.json` holds what the
doctor as it was then said of them: an honest estimate of how it does on models that it was not made with. What they
showed was put right afterwards, and they are part of `doctor_zoo.py` since.

    python notebooks/evidence/doctor_fresh.py --out OUT.json      # under a minute
"""

import argparse
import json
import math
import random
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnlab as rl
from rnnlab.doctor import diagnose

SEEDS = range(3)
WORDS, LENGTHS = 50, torch.tensor([12, 12, 9, 7, 5, 3])


# ---------------------------------------------------------------- names, character by character


class CharRNN(nn.Module):
    """One step: category from letter and hidden, as in the tutorial on classifying names."""

    def __init__(self, letters=57, hidden=128, categories=18):
        super().__init__()
        self.hidden_size = hidden
        self.i2h, self.h2h = nn.Linear(letters, hidden), nn.Linear(hidden, hidden)
        self.h2o, self.softmax = nn.Linear(hidden, categories), nn.LogSoftmax(dim=1)

    def forward(self, letter, hidden):
        hidden = torch.tanh(self.i2h(letter) + self.h2h(hidden))
        return self.softmax(self.h2o(hidden)), hidden

    def init_hidden(self):
        return torch.zeros(1, self.hidden_size)


class Name(nn.Module):
    """The loop over the letters of one name, around the step."""

    def __init__(self):
        super().__init__()
        self.rnn = CharRNN()

    def forward(self, line):
        hidden = self.rnn.init_hidden()
        for letter in line:
            output, hidden = self.rnn(letter, hidden)
        return output


class NameByLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.h2o, self.softmax = nn.RNN(57, 128), nn.Linear(128, 18), nn.LogSoftmax(dim=1)

    def forward(self, line):
        _, hidden = self.rnn(line)
        return self.softmax(self.h2o(hidden[0]))


def name(letters=8):
    return F.one_hot(torch.randint(57, (letters, 1)), 57).float(), torch.randint(18, (1,))


# ---------------------------------------------------------------- language models


class WordModel(nn.Module):
    """Tied weights, the state handed in and out, everything flattened for the loss."""

    def __init__(self, kind="LSTM", words=WORDS, size=32, layers=2, dropout=0.2):
        super().__init__()
        self.drop, self.encoder = nn.Dropout(dropout), nn.Embedding(words, size)
        self.rnn = getattr(nn, kind)(size, size, layers, dropout=dropout)
        self.decoder, self.layers, self.size = nn.Linear(size, words), layers, size
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, tokens, hidden):
        output, hidden = self.rnn(self.drop(self.encoder(tokens)), hidden)
        decoded = self.decoder(self.drop(output)).view(-1, WORDS)
        return F.log_softmax(decoded, dim=1), hidden

    def init_hidden(self, batch):
        return torch.zeros(self.layers, batch, self.size), torch.zeros(self.layers, batch, self.size)


class Scratch(nn.Module):
    """A recurrence of matrices alone, as courses from scratch write it; time first, one-hot words."""

    def __init__(self, hidden=32, sigma=0.01, last=False, detach=False):
        super().__init__()
        self.W_xh = nn.Parameter(torch.randn(WORDS, hidden) * sigma)
        self.W_hh = nn.Parameter(torch.randn(hidden, hidden) * sigma)
        self.b_h, self.b_q = nn.Parameter(torch.zeros(hidden)), nn.Parameter(torch.zeros(WORDS))
        self.W_hq, self.last, self.detach = nn.Parameter(torch.randn(hidden, WORDS) * sigma), last, detach

    def forward(self, tokens, state=None):
        X, outputs = F.one_hot(tokens, WORDS).float(), []
        state = torch.zeros(tokens.shape[1], len(self.W_hh)) if state is None else state
        for x in X:
            state = state.detach() if self.detach else state
            state = torch.tanh(torch.matmul(x, self.W_xh) + torch.matmul(state, self.W_hh) + self.b_h)
            outputs.append(torch.matmul(state, self.W_hq) + self.b_q)
        return outputs[-1] if self.last else torch.stack(outputs)


class ScratchLSTM(nn.Module):
    """The same for an LSTM: twelve parameters and `@`."""

    def __init__(self, inputs=3, hidden=16):
        super().__init__()

        def three():
            return (nn.Parameter(torch.randn(inputs, hidden) * 0.1), nn.Parameter(torch.randn(hidden, hidden) * 0.1),
                    nn.Parameter(torch.zeros(hidden)))  # fmt: skip

        self.W_xi, self.W_hi, self.b_i = three()
        self.W_xf, self.W_hf, self.b_f = three()
        self.W_xo, self.W_ho, self.b_o = three()
        self.W_xc, self.W_hc, self.b_c = three()
        self.linear, self.hidden = nn.Linear(hidden, 2), hidden

    def forward(self, inputs):  # (B, T, D)
        H = C = torch.zeros(len(inputs), self.hidden)
        for X in inputs.unbind(1):
            i = torch.sigmoid(X @ self.W_xi + H @ self.W_hi + self.b_i)
            f = torch.sigmoid(X @ self.W_xf + H @ self.W_hf + self.b_f)
            o = torch.sigmoid(X @ self.W_xo + H @ self.W_ho + self.b_o)
            C = f * C + i * torch.tanh(X @ self.W_xc + H @ self.W_hc + self.b_c)
            H = o * torch.tanh(C)
        return self.linear(H)


# ---------------------------------------------------------------- translation


class Attention(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.Wa, self.Ua, self.Va = nn.Linear(size, size), nn.Linear(size, size), nn.Linear(size, 1)

    def forward(self, query, keys):
        scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys))).squeeze(2).unsqueeze(1)
        weights = F.softmax(scores, dim=-1)
        return torch.bmm(weights, keys), weights


class Seq2Seq(nn.Module):
    """Encoder GRU, additive attention, decoder GRU step by step; teacher forcing by the toss of Python's coin."""

    def __init__(self, size=32, forcing=0.5):
        super().__init__()
        self.embed, self.encoder = nn.Embedding(WORDS, size), nn.GRU(size, size, batch_first=True)
        self.attention, self.decoder = Attention(size), nn.GRU(2 * size, size, batch_first=True)
        self.out, self.dropout, self.forcing = nn.Linear(size, WORDS), nn.Dropout(0.1), forcing

    def forward(self, source, target):
        keys, hidden = self.encoder(self.dropout(self.embed(source)))
        word, outputs = torch.zeros(len(source), 1, dtype=torch.long), []
        for t in range(target.shape[1]):
            context, _ = self.attention(hidden.permute(1, 0, 2), keys)
            output, hidden = self.decoder(torch.cat((self.dropout(self.embed(word)), context), dim=2), hidden)
            output = self.out(output)
            outputs.append(output)
            word = target[:, t : t + 1] if random.random() < self.forcing else output.argmax(-1).detach()
        return F.log_softmax(torch.cat(outputs, dim=1), dim=-1), hidden, None


class CellTranslator(nn.Module):
    """Two loops over GRU cells, time first; the fault hands the decoder its first state again at every step."""

    def __init__(self, size=24, fault=False):
        super().__init__()
        self.embed, self.enc, self.dec = nn.Embedding(WORDS, size), nn.GRUCell(size, size), nn.GRUCell(size, size)
        self.out, self.fault = nn.Linear(size, WORDS), fault

    def forward(self, source, target):
        h = torch.zeros(source.shape[1], self.enc.hidden_size)
        for x in self.embed(source):
            new = self.enc(x, h)
            h = h if self.fault else new
        h, outputs = new, []
        for x in self.embed(target):
            h = self.dec(x, h)
            outputs.append(self.out(h))
        return torch.stack(outputs)


# ---------------------------------------------------------------- numbers in time


class Forecast(nn.Module):
    """Windows of a series, zeros for h0 and c0, the last output: as most tutorials on stocks and passengers do."""

    def __init__(self, kind=nn.LSTM, inputs=1, hidden=32, layers=2, batch_first=True, squeeze=None):
        super().__init__()
        self.lstm, self.fc = kind(inputs, hidden, layers, batch_first=batch_first), nn.Linear(hidden, 1)
        self.hidden, self.layers, self.squeeze, self.time_first = hidden, layers, squeeze, not batch_first

    def forward(self, x):
        batch = x.size(1) if self.time_first else x.size(0)
        h0 = torch.zeros(self.layers, batch, self.hidden, dtype=x.dtype)
        out, _ = self.lstm(x, (h0, h0.clone()) if isinstance(self.lstm, nn.LSTM) else h0)
        out = self.fc(out[:, -1, :])
        return {None: out, "squeeze": out.squeeze(-1), "dict": {"prediction": out}, "tuple": (out, h0)}[self.squeeze]


class Sine(nn.Module):
    """Two LSTM cells over (B, T) numbers in double precision, and predictions fed back for the future."""

    def __init__(self):
        super().__init__()
        self.lstm1, self.lstm2, self.linear = nn.LSTMCell(1, 51), nn.LSTMCell(51, 51), nn.Linear(51, 1)

    def forward(self, series, future=3):
        outputs, B = [], series.size(0)
        h1, c1, h2, c2 = (torch.zeros(B, 51, dtype=torch.double) for _ in range(4))
        for x in series.split(1, dim=1):
            h1, c1 = self.lstm1(x, (h1, c1))
            h2, c2 = self.lstm2(h1, (h2, c2))
            outputs += [self.linear(h2)]
        for _ in range(future):
            h1, c1 = self.lstm1(outputs[-1], (h1, c1))
            h2, c2 = self.lstm2(h1, (h2, c2))
            outputs += [self.linear(h2)]
        return torch.cat(outputs, dim=1)


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.LSTM(3, 24, batch_first=True), nn.LSTM(24, 24, batch_first=True)
        self.out = nn.Linear(24, 3)

    def forward(self, x):
        _, (h, _) = self.encoder(x)
        return self.out(self.decoder(h[-1].unsqueeze(1).repeat(1, x.shape[1], 1))[0])


class Rows(nn.Module):
    """An image read row by row, from (B, 1, 14, 14)."""

    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(14, 64, 2, batch_first=True), nn.Linear(64, 10)

    def forward(self, images):
        out, _ = self.lstm(images.reshape(-1, 14, 14))
        return self.fc(out[:, -1, :])


class Pieces(nn.Module):
    """Batch normalization before, layer normalization behind, a layer of one's own between."""

    class LayerNormCell(nn.Module):
        def __init__(self, inputs, hidden):
            super().__init__()
            self.ih, self.hh = nn.Linear(inputs, 4 * hidden, bias=False), nn.Linear(hidden, 4 * hidden)
            self.ln_ih, self.ln_hh, self.ln_c = (nn.LayerNorm(n) for n in (4 * hidden, 4 * hidden, hidden))

        def forward(self, x, state):
            h, c = state
            i, f, g, o = (self.ln_ih(self.ih(x)) + self.ln_hh(self.hh(h))).chunk(4, 1)
            c = self.ln_c(f.sigmoid() * c + i.sigmoid() * g.tanh())
            return o.sigmoid() * c.tanh(), c

    class Layer(nn.Module):
        def __init__(self, inputs, hidden):
            super().__init__()
            self.cell, self.hidden = Pieces.LayerNormCell(inputs, hidden), hidden

        def forward(self, x):
            state, outs = (x.new_zeros(x.shape[1], self.hidden),) * 2, []
            for x_t in x:
                state = self.cell(x_t, state)
                outs.append(state[0])
            return torch.stack(outs), state

    def __init__(self):
        super().__init__()
        self.bn, self.rnn, self.head = nn.BatchNorm1d(4), Pieces.Layer(4, 16), nn.Linear(16, 3)

    def forward(self, x):  # (B, T, D)
        x = self.bn(x.transpose(1, 2)).permute(2, 0, 1)
        return self.head(self.rnn(x)[0][-1])


# ---------------------------------------------------------------- text


class Sentiment(nn.Module):
    """Embedding, packed two-layer LSTM in both directions, the last states joined."""

    def __init__(self, read="states", fault=None):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 16, padding_idx=0)
        self.lstm = nn.LSTM(16, 24, 2, bidirectional=True, batch_first=True, dropout=0.5)
        self.fc, self.dropout, self.read, self.fault = nn.Linear(48, 1), nn.Dropout(0.5), read, fault

    def forward(self, text, lengths):
        embedded = self.dropout(self.embedding(text))
        packed = pack_padded_sequence(embedded, lengths, batch_first=True)
        output, (hidden, _) = self.lstm(packed)
        if self.read == "states":
            joined = torch.cat((hidden[-2], hidden[-1]), dim=1)
            if self.fault == "view":
                joined = hidden[-2:].view(len(text), -1)
            return self.fc(self.dropout(joined)).squeeze(1)
        output, _ = pad_packed_sequence(output, batch_first=True)
        if self.read == "last":
            return self.fc(output[:, -1]).squeeze(1)
        return self.fc(output.max(dim=1).values).squeeze(1)


class Attentive(nn.Module):
    """A GRU with attention over its outputs, with or without a mask, the softmax over time or over samples."""

    def __init__(self, masked=True, dim=1, bidirectional=False):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 16, padding_idx=0)
        self.gru, self.score = nn.GRU(16, 24, batch_first=True), nn.Linear(24, 1)
        self.fc, self.masked, self.dim = nn.Linear(24, 4), masked, dim

    def forward(self, input_ids, attention_mask):
        out, _ = self.gru(self.embedding(input_ids))
        scores = self.score(out).squeeze(-1)
        if self.masked:
            scores = scores.masked_fill(attention_mask == 0, -1e9)
        return {"logits": self.fc((F.softmax(scores, dim=self.dim).unsqueeze(-1) * out).sum(1))}


class Mixed(nn.Module):
    """An LSTM, batch first, and self-attention, which is time first unless told otherwise."""

    def __init__(self, batch_first):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(4, 16, batch_first=True), nn.Linear(16, 3)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=batch_first)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(self.attention(out, out, out)[0].mean(dim=1))


class Siamese(nn.Module):
    """One layer called twice."""

    def __init__(self):
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(WORDS, 16), nn.LSTM(16, 24, batch_first=True)

    def forward(self, left, right):
        one, two = (self.lstm(self.embedding(side))[1][0][-1] for side in (left, right))
        return torch.exp(-(one - two).abs().sum(dim=1))


class Documents(nn.Module):
    """Words to sentences, sentences to a document: a GRU within, a GRU above."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 16)
        self.levels = nn.ModuleDict({"words": nn.GRU(16, 16, batch_first=True, bidirectional=True),
                                     "sentences": nn.GRU(32, 16, batch_first=True)})  # fmt: skip
        self.fc = nn.Linear(16, 4)

    def forward(self, documents):
        B, S, W = documents.shape
        _, h = self.levels["words"](self.embedding(documents.view(B * S, W)))
        _, h = self.levels["sentences"](torch.cat((h[0], h[1]), dim=1).view(B, S, -1))
        return self.fc(h[-1])


# ---------------------------------------------------------------- speech


class Speech(nn.Module):
    """Convolutions over a spectrogram (B, 1, mels, frames), GRUs in both directions, characters for CTC."""

    def __init__(self):
        super().__init__()
        self.cnn, self.norm = nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.rnn = nn.GRU(8 * 8, 32, 2, batch_first=True, bidirectional=True, dropout=0.1)
        self.classifier = nn.Linear(64, 12)

    def forward(self, spectrogram):
        x = F.gelu(self.norm(self.cnn(spectrogram)))
        x = x.flatten(1, 2).transpose(1, 2)
        return F.log_softmax(self.classifier(self.rnn(x)[0]), dim=2).transpose(0, 1)


def ctc(log_probs, targets):
    steps = torch.full((log_probs.shape[1],), len(log_probs))
    return F.ctc_loss(log_probs, targets, steps, torch.full((len(targets),), targets.shape[1]))


# ---------------------------------------------------------------- batches and changes


def windows(steps=20, inputs=1, batch=8, scale=1.0, shift=0.0, dtype=torch.float32):
    series = torch.sin(torch.arange(steps) * 0.3 + 6 * torch.rand(batch, 1))[..., None].repeat(1, 1, inputs)
    x = shift + scale * (series + 0.1 * torch.randn(batch, steps, inputs))
    return x.to(dtype), torch.randn(batch, 1).to(dtype)


def classes(*shape, of=3):
    return torch.randn(*shape), torch.randint(of, (shape[0],))


def words(*shape, of=WORDS):
    return torch.randint(1, of, shape)


def texts():
    tokens = words(6, 12)
    return torch.where(torch.arange(12) < LENGTHS[:, None], tokens, 0)


def masked_texts():
    return {"input_ids": texts(), "attention_mask": (texts() > 0).long()}, torch.randint(4, (6,))


def flat(outputs, y):
    outputs = outputs[0] if isinstance(outputs, tuple) else outputs
    return F.cross_entropy(outputs.reshape(-1, WORDS), y.reshape(-1))


def first(loss):
    return lambda outputs, y: loss(next(iter(outputs.values())) if isinstance(outputs, dict) else outputs[0], y)


def having(module, change):
    with torch.no_grad():
        change(module)
    return module


def frozen(module):
    """Train the head alone."""
    module.lstm.requires_grad_(False)
    return module


class Sequence(nn.Module):
    """What stands before and behind one layer, in a line."""

    def __init__(self, rnn, before=None, behind=None):
        super().__init__()
        self.before, self.rnn, self.behind = before or nn.Identity(), rnn, behind or (lambda out: out[:, -1])
        self.head = nn.LazyLinear(3)

    def forward(self, x):
        return self.head(self.behind(self.rnn(self.before(x))[0]))


def built(module, x):
    module(x)
    return module


class OverTheBatch(nn.Module):
    def forward(self, x):
        return (x - x.mean(dim=0)) / (x.std(dim=0) + 1e-5)


def large_start(module):
    nn.init.orthogonal_(module.rnn.weight_hh_l0, 3.0)  # 2 at the first look: one start in 25 then lets units die out
    module.rnn.bias_ih_l0.zero_()
    module.rnn.bias_hh_l0.zero_()


def shut_output(module):
    size = module.rnn.hidden_size
    module.rnn.bias_ih_l0[3 * size :] = -30.0


def untouched_words(module):
    module.encoder.weight[WORDS // 2 :] = 0.0


def run_away(module):
    module.embedding.weight[7] = 500.0


def sqrt_of_zero(outputs, y):
    return torch.sqrt(F.mse_loss(outputs, outputs.detach()))


def logits(outputs, y):
    return F.binary_cross_entropy_with_logits(outputs, y)


def labels(n=6):
    return torch.randint(2, (n,)).float()


def lm_batch():
    return (words(35, 10), (torch.zeros(2, 10, 32), torch.zeros(2, 10, 32))), words(35, 10)


def plain(kind, *sizes, **options):
    return kind(*sizes, **options)


# name: (what was planted, module, (inputs, targets), loss, options of diagnose); made anew for each seed.
FRESH = {
    "names: letters in a loop of linear layers": lambda: ([], Name(), name(), F.nll_loss),
    "names: one by one through nn.RNN": lambda: ([], NameByLayer(), name(), F.nll_loss),
    "words: tied LSTM, state handed in and out": lambda: ([], WordModel(), lm_batch(),
        lambda out, y: F.nll_loss(out[0], y.view(-1))),
    "words: from scratch, matrices only": lambda: ([], Scratch(), (words(32, 8), words(32, 8)), flat),
    "LSTM from scratch, matrices only": lambda: ([], ScratchLSTM(), (torch.randn(8, 12, 3), torch.randint(2, (8,)))),
    "translation: attention, teacher forcing by a coin": lambda: (
        [], Seq2Seq(), ((words(6, 10), words(6, 8)), words(6, 8)), flat),
    "translation: loops over GRU cells": lambda: (
        [], CellTranslator(), ((words(10, 6), words(8, 6)), words(8, 6)), flat),
    "forecast: two-layer LSTM, zero states": lambda: ([], Forecast(), windows(14), F.mse_loss),
    "forecast: double precision": lambda: ([], Forecast().double(), windows(14, dtype=torch.double), F.mse_loss),
    "forecast: half precision": lambda: ([], Forecast().bfloat16(), windows(12, dtype=torch.bfloat16), F.mse_loss),
    "forecast: GRU, a dict returned": lambda: (
        [], Forecast(nn.GRU, squeeze="dict"), windows(14), first(F.mse_loss)),
    "forecast: one window": lambda: ([], Forecast(), windows(14, batch=1), F.mse_loss),
    "sine: two LSTM cells, double, future fed back": lambda: (
        [], Sine().double(), (windows(12, dtype=torch.double)[0][..., 0], torch.randn(8, 15).double()), F.mse_loss),
    "autoencoder of sequences": lambda: ([], Autoencoder(), ((x := windows(12, 3)[0]), x), F.mse_loss),
    "image, row by row": lambda: ([], Rows(), (torch.rand(8, 1, 14, 14), torch.randint(10, (8,)))),
    "batch norm, cell with layer norm": lambda: ([], Pieces(), classes(8, 12, 4)),
    "sentiment: packed, both directions, dropout": lambda: ([], Sentiment(), ((texts(), LENGTHS), labels()), logits),
    "attention with a mask, by keywords": lambda: ([], Attentive(), masked_texts(), first(F.cross_entropy)),
    "LSTM and self-attention, batch first": lambda: ([], Mixed(True), classes(6, 10, 4)),
    "siamese: one layer called twice": lambda: (
        [], Siamese(), ((words(6, 10), words(6, 10)), torch.rand(6)), F.mse_loss),
    "documents of sentences of words": lambda: ([], Documents(), (words(5, 4, 6), torch.randint(4, (5,)))),
    "speech: spectrogram, GRU, CTC": lambda: (
        [], Speech(), (torch.randn(4, 1, 16, 40), torch.randint(1, 12, (4, 5))), ctc),
    "nn.LSTM itself": lambda: ([], nn.LSTM(4, 8, batch_first=True), (torch.randn(6, 12, 4), torch.randn(6, 12, 8)),
        first(F.mse_loss), {"batch_axis": 0}),
    "nn.GRU itself, time first": lambda: (
        [], nn.GRU(4, 8), (torch.randn(12, 6, 4), torch.randn(12, 6, 8)), first(F.mse_loss)),
    "encoder frozen, head trained": lambda: ([], frozen(Forecast()), windows(14), F.mse_loss),
    "weight normalization": lambda: ([], built(Sequence(nn.utils.parametrizations.weight_norm(
        nn.GRU(4, 16, batch_first=True), "weight_hh_l0")), torch.zeros(2, 3, 4)), classes(6, 12, 4)),
    "spectral normalization": lambda: ([], built(Sequence(nn.utils.parametrizations.spectral_norm(
        nn.LSTM(4, 16, batch_first=True), "weight_hh_l0")), torch.zeros(2, 3, 4)), classes(6, 12, 4)),
    "tags over 1,000 steps": lambda: ([], plain(nn.GRU, 4, 8, batch_first=True),
        (torch.randn(3, 1000, 4), torch.randn(3, 1000, 8)), first(F.mse_loss), {"batch_axis": 0}),
    # ------------------------------------------------------------ with a fault
    "forecast: batch_first forgotten, (B, 1)": lambda: (
        ["cross_sample_leak", "ignores_history"], Forecast(batch_first=False), windows(14), F.mse_loss),
    "forecast: batch_first forgotten, (B,)": lambda: (
        ["cross_sample_leak", "ignores_history"], Forecast(batch_first=False, squeeze="squeeze"),
        (windows(14)[0], torch.randn(8)), F.mse_loss),
    "forecast: batch_first forgotten, a dict": lambda: (
        ["cross_sample_leak", "ignores_history"], Forecast(nn.GRU, batch_first=False, squeeze="dict"), windows(14),
        first(F.mse_loss)),
    "forecast: batch_first forgotten, as many steps as samples": lambda: (
        ["cross_sample_leak", "ignores_history"], Forecast(batch_first=False), windows(8), F.mse_loss),
    "forecast: batch_first forgotten, one window": lambda: (
        ["ignores_history"], Forecast(batch_first=False), windows(14, batch=1), F.mse_loss),
    "forecast: batch_first forgotten, more samples than steps": lambda: (
        ["cross_sample_leak", "ignores_history"], Forecast(batch_first=False), windows(5, batch=16), F.mse_loss),
    "sentiment: states joined by view": lambda: (
        ["cross_sample_leak"], Sentiment(fault="view"), ((texts(), LENGTHS), labels()), logits),
    "sentiment: packed, then the last column": lambda: (
        ["ignores_history"], Sentiment("last"), ((texts(), LENGTHS), labels()), logits),
    "attention over samples": lambda: (
        ["cross_sample_leak", "reads_padding"], Attentive(False, 0), masked_texts(), first(F.cross_entropy)),
    "attention without a mask": lambda: (["reads_padding"], Attentive(False), masked_texts(), first(F.cross_entropy)),
    "self-attention that is time first": lambda: (["cross_sample_leak"], Mixed(False), classes(6, 10, 4)),
    "inputs normalized over the batch": lambda: (["cross_sample_leak"], built(Sequence(
        nn.LSTM(4, 16, batch_first=True), OverTheBatch()), torch.randn(4, 3, 4)), classes(6, 12, 4)),
    "the last sample in place of the last step": lambda: (["cross_sample_leak"], built(Sequence(
        nn.LSTM(4, 16, batch_first=True), behind=lambda out: out[-1]), torch.zeros(9, 9, 4)), classes(9, 9, 4)),
    "translation: the encoder starts anew at each step": lambda: (["ignores_history"], CellTranslator(fault=True),
        ((words(10, 6), words(8, 6)), words(8, 6)), flat),
    "from scratch: small start, loss at the end": lambda: (
        ["vanishing"], Scratch(last=True), (words(32, 8), words(8)), flat),
    "from scratch: detached at each step": lambda: (
        ["vanishing"], Scratch(sigma=0.2, last=True, detach=True), (words(12, 8), words(8)), flat),
    "forecast: 60 steps with PyTorch's start": lambda: (["vanishing"], Forecast(), windows(60), F.mse_loss),
    "forecast: raw prices, 8 days": lambda: (
        ["dead_units", "saturation"], Forecast(nn.RNN), windows(8, scale=300.0, shift=2000.0), F.mse_loss),
    "ReLU with a large orthogonal start": lambda: (["exploding"], having(built(Sequence(
        nn.RNN(4, 16, batch_first=True, nonlinearity="relu")), torch.zeros(2, 3, 4)), large_start), classes(6, 40, 4)),
    "output gate shut": lambda: (["dead_units", "saturation", "vanishing"], having(built(Sequence(
        nn.LSTM(4, 16, batch_first=True)), torch.zeros(2, 3, 4)), shut_output), classes(6, 12, 4)),
    "words: half of the embedding zero": lambda: (
        ["dead_units"], having(WordModel(), untouched_words), lm_batch(),
        lambda out, y: F.nll_loss(out[0], y.view(-1))),
    "siamese: one word has run away": lambda: (["exploding"], having(Siamese(), run_away),
        ((words(6, 10, of=7), words(6, 10, of=7)), torch.rand(6)), F.mse_loss),
    "root of an error of zero": lambda: (["nonfinite"], Forecast(), windows(14), sqrt_of_zero),
    "a missing value in the inputs": lambda: (
        ["nonfinite"], Forecast(), ((x := windows(14))[0].index_fill(1, torch.tensor([3]), math.nan), x[1]),
        F.mse_loss),
}  # fmt: skip


def examine(name, seed, models=FRESH):
    """Return what was planted in a model, and what the doctor finds in it: kinds, sorted, or the error it raised."""
    torch.manual_seed(seed)
    random.seed(seed)
    planted, module, batch, *rest = models[name]()
    try:
        report = diagnose(module, batch, rest[0] if rest else F.cross_entropy, **(rest[1] if len(rest) > 1 else {}))
    except Exception as error:
        return sorted(planted), [f"{type(error).__name__}: {error}"], None
    return sorted(planted), sorted({one.kind for one in report.findings}), report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where the result goes")
    options, rows = parser.parse_args(), []
    for name in FRESH:
        for seed in SEEDS:
            planted, found, report = examine(name, seed)
            rows.append({"model": name, "seed": seed, "planted": planted, "found": found})
            if planted != found:
                print(f"{name} (seed {seed}): planted {planted}, found {found}\n{report}\n")
    made = {"command": "python notebooks/evidence/doctor_fresh.py", "torch": torch.__version__, **rl.provenance()}
    options.out.write_text(json.dumps({"rows": rows, "made": made}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

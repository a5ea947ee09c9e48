"""Models for the doctor that came to mind while the fresh ones were examined: what they showed was put right as well.

python notebooks/evidence/doctor_zoo.py              # examines these with the rest
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

LENGTHS = torch.tensor([12, 12, 9, 7, 5, 3])
MASK = torch.arange(12) < LENGTHS[:, None]


class OneLayer(nn.Module):
    """One layer, read at its last output or as `read` says, and a line; (6, 12, 4) in."""

    def __init__(self, rnn=None, sides=1, read=None, behind=None):
        super().__init__()
        self.rnn, self.head = rnn or nn.LSTM(4, 16, batch_first=True), nn.Linear(16 * sides, 3)
        self.read, self.behind = read or (lambda out: out[:, -1]), behind or (lambda y: y)

    def forward(self, x):
        return self.behind(self.head(self.read(self.rnn(x)[0])))


class PackedTokens(nn.Module):
    """One direction over packed tokens, read in the last column, which is zeros for those that end early, or right."""

    def __init__(self, last_column):
        super().__init__()
        self.embed, self.gru = nn.Embedding(50, 8, padding_idx=0), nn.GRU(8, 16, batch_first=True)
        self.head, self.last_column = nn.Linear(16, 3), last_column

    def forward(self, tokens, lengths):
        out, h = self.gru(pack_padded_sequence(self.embed(tokens), lengths, batch_first=True))
        out, _ = pad_packed_sequence(out, batch_first=True)
        return self.head(out[:, -1] if self.last_column else h[0])


class Masked(nn.Module):
    """A mean over the steps that count, or over all."""

    def __init__(self, used=True):
        super().__init__()
        self.lstm, self.head, self.used = nn.LSTM(4, 16, batch_first=True), nn.Linear(16, 3), used

    def forward(self, x, mask):
        out, _ = self.lstm(x)
        return self.head((out * mask[..., None]).sum(1) / mask.sum(1, keepdim=True) if self.used else out.mean(1))


class SharedParts(nn.Module):
    """One ReLU and one dropout, called three times each on the way to a GRU: they are no cells."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(4 if n == 0 else 8, 8, 3, padding=1) for n in range(3))
        self.act, self.drop, self.rnn, self.head = nn.ReLU(), nn.Dropout(0.3), nn.GRU(8, 16), nn.Linear(16, 3)

    def forward(self, x):
        x = x.transpose(1, 2)
        for conv in self.convs:
            x = self.drop(self.act(conv(x)))
        return self.head(self.rnn(x.permute(2, 0, 1))[1][0])


class InPlace(OneLayer):
    def forward(self, x):
        return super().forward(x.mul_(2.0))


def numbers(classes=3, *shape):
    return torch.randn(shape or (6, 12, 4)), torch.randint(classes, (6,))


def tokens():
    return (torch.where(MASK, torch.randint(1, 50, (6, 12)), 0), LENGTHS), torch.randint(3, (6,))


def masked():
    return (torch.randn(6, 12, 4) * MASK[..., None], MASK.float()), torch.randint(3, (6,))


def per_step(outputs, y):
    return F.cross_entropy(outputs.flatten(0, 1), y.flatten())


def every(out):
    return out


# name: (what was planted, module, (inputs, targets), loss, options of diagnose); made anew for each seed.
LATER = {
    "packed tokens, the final state": lambda: ([], PackedTokens(False), tokens()),
    "mask (B, T) used": lambda: ([], Masked(), masked()),
    "one ReLU and one dropout called three times": lambda: ([], SharedParts(), numbers()),
    "ReLU behind the answer": lambda: (
        [], OneLayer(behind=lambda y: F.relu(y + 1)), (torch.randn(6, 12, 4), torch.rand(6, 3)), F.mse_loss),
    "inputs changed in place": lambda: ([], InPlace(), numbers()),
    "dropout that eval() does not end": lambda: ([], OneLayer(behind=lambda y: F.dropout(y, 0.5)), numbers()),
    "both directions, two layers, mean of outputs": lambda: (
        [], OneLayer(nn.LSTM(4, 16, 2, batch_first=True, bidirectional=True), 2, lambda out: out.mean(1)),
        numbers(3, 6, 20, 4)),
    "packed tokens, then the last column": lambda: (["ignores_history"], PackedTokens(True), tokens()),
    "mask (B, T) given and not used": lambda: (["reads_padding"], Masked(False), masked()),
    "both directions, two layers, read at output[:, -1]": lambda: (
        ["ignores_history"], OneLayer(nn.LSTM(4, 16, 2, batch_first=True, bidirectional=True), 2),
        numbers(3, 6, 20, 4)),
    "batch_first forgotten, one sample, every step": lambda: (
        ["ignores_history"], OneLayer(nn.LSTM(4, 16), read=every),
        (torch.randn(1, 12, 4), torch.randint(3, (1, 12))), per_step, {"batch_axis": 0}),
    "batch_first forgotten, mean over steps": lambda: (
        ["cross_sample_leak"], OneLayer(nn.GRU(4, 16), read=lambda out: out.mean(1)), numbers()),
}  # fmt: skip

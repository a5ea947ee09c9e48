"""Change one thing in a batch and see what changes in the outputs: does a model read what it should, and only that?"""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rnnlab.batches import folds, lengths_by_padding, lengths_in, padding_index, perturbed, replaced, sequences
from rnnlab.recording import call, first_tensor, same_state

# A change of the outputs that is smaller than this part of the largest of them is rounding: some 84 units in the last
# place, and so 1e-5 in float32.
ROUNDING = 84
TESTS = ("cross_sample_leak", "ignores_history", "reads_padding")


@dataclass
class Probe:
    """Hold a module in evaluation mode with one batch, and what is known about its axes.

    Attributes:
        x: the sequences, (T, B, ...), (B, T, ...) or, of packed ones, (B, T, ...).
        lengths: (B,) steps of each sequence, or None where nobody says.
        sample, time: axes of x; time is None where it cannot be told.
        out_sample: axis of the outputs that belongs to the samples.
    """

    module: nn.Module
    inputs: Any
    x: torch.Tensor
    lengths: torch.Tensor | None
    outputs: torch.Tensor
    steps: tuple = ()  # how many the recurrences took
    sample: int = 0
    out_sample: int = 0
    fold: tuple = ()  # (first, second, whether to swap them): how outputs (T*B, C) are seen as (T, B, C)

    @property
    def time(self):
        """Return 0 or 1; of images and the like, which have more axes, the one that is as long as a recurrence."""
        if self.x.dim() < 4 or not self.steps:
            return 1 - self.sample
        fits = [axis for axis in range(self.x.dim()) if axis != self.sample and self.x.shape[axis] in self.steps]
        return fits[0] if fits else None

    @property
    def rounding(self):
        return ROUNDING * torch.finfo(self.outputs.dtype).eps

    def run(self, x):
        """Return the outputs for other sequences in place of x."""
        return self.unfolded(outputs_of(self.module, replaced(self.inputs, x, self.lengths)))

    def unfolded(self, outputs):
        """Return outputs in which a model laid steps and samples along one axis with the axes of x."""
        if not self.fold:
            return outputs
        outputs = outputs.unflatten(0, self.fold[:2])
        return outputs.transpose(0, 1) if self.fold[2] else outputs

    def change(self, outputs):
        """Return the largest change of each sample's outputs, as a part of the largest output."""
        difference = (outputs - self.outputs).abs().nan_to_num(nan=torch.inf).movedim(self.out_sample, 0)
        return difference.reshape(len(difference), -1).amax(dim=1) / self.scale

    @property
    def scale(self):
        return self.outputs.abs().max().clamp_min(1e-12)


@torch.no_grad()
def probe(module, inputs, targets, lengths=None, batch_axis=None, steps=()):
    """Return (results, reasons, axis): what each test found by its name, why a test was not done, the samples' axis.

    Results: "cross_sample_leak", "ignores_history", "reads_padding" -> None (healthy) or a dict of what was seen.
    """
    module.eval()
    x, found = sequences(inputs)
    if x is None or x.dim() < 2:
        return {}, dict.fromkeys(TESTS, "not done: no sequences in the batch"), None
    outputs = outputs_of(module, inputs)
    if outputs is None:
        return {}, dict.fromkeys(TESTS, "not done: the module returns no tensor"), None
    again = outputs_of(module, inputs)
    if again.shape != outputs.shape or not torch.equal(again.nan_to_num(), outputs.nan_to_num()):
        reason = "not done: the same inputs do not give the same outputs, with the same random numbers in eval()"
        return {}, dict.fromkeys(TESTS, reason), None
    packed = found is not None
    one = Probe(module, inputs, x, found if packed else lengths_in(inputs, x, lengths), outputs, tuple(steps))
    results, reasons = {}, {}
    for one.fold in folds(x, outputs, packed):
        one.outputs = one.unfolded(outputs)
        pairs = axes(one, targets, batch_axis, packed)
        results["cross_sample_leak"] = leak(one, pairs) if pairs else None
        if not results["cross_sample_leak"]:
            break
    axis = one.sample if pairs else None
    if not pairs:
        one.sample = likely(one) if batch_axis is None else batch_axis
        reasons["cross_sample_leak"] = "not done: no axis of at least two samples in inputs, outputs and targets"
    results["ignores_history"] = history(one, reasons, bool(pairs) and not results["cross_sample_leak"])
    if packed:
        reasons["reads_padding"] = "packed sequences have no padding"
    else:
        one.lengths = one.lengths if one.lengths is not None else lengths_by_padding(module, x, one.sample)
        results["reads_padding"] = padding(one, reasons)
    return {name: result for name, result in results.items() if name not in reasons}, reasons, axis


def likely(one):
    """Return the likelier axis of the samples where outputs do not tell: a recurrence runs along the other."""
    a, b = one.x.shape[:2]
    return int(a > 1 and (b == 1 or (a in one.steps and b not in one.steps)))


def axes(one, targets, batch_axis, packed):
    """Return the pairs (axis of x, axis of the outputs) that may be those of the samples, the likeliest first."""
    x, outputs = one.x, one.outputs
    if packed or batch_axis is not None:
        a = 0 if packed else batch_axis
        fits = [b for b in (a, 1 - a) if b < outputs.dim() and outputs.shape[b] == x.shape[a]]
        fits = sorted(fits, key=lambda b: outputs.dim() < 3 and b != 0)
        return [(a, fits[0])] if fits and x.shape[a] > 1 else []
    if one.fold:
        return [(0, 0), (1, 1)]
    pairs = [(a, b) for a in (0, 1) for b in range(min(2, outputs.dim())) if x.shape[a] == outputs.shape[b] > 1]
    target = targets if isinstance(targets, torch.Tensor) and targets.dim() else None
    if target is not None and tuple(target.shape[:2]) != tuple(x.shape[:2]):  # one target for each sample
        ours = [(a, b) for a, b in pairs if b == 0 and outputs.shape[0] == target.shape[0]]
        return ours or pairs
    if target is not None and outputs.dim() >= 2 and tuple(outputs.shape[:2]) == tuple(x.shape[:2]):
        return [(a, b) for a, b in pairs if a == b]
    return pairs


def leak(one, pairs):
    """Look for axes along which samples are independent; return None, or what the likeliest pair showed."""
    seen = []
    for one.sample, one.out_sample in pairs:
        others, own, n = 0.0, 0.0, one.x.shape[one.sample]
        for j in {0, n - 1}:
            moved = one.change(one.run(perturbed(one.x, one.sample, j)))
            own = max(own, moved[j].item())
            others = max(others, moved[torch.arange(n) != j].max().item())
        if others <= one.rounding < own:
            return None
        seen.append({"others": others, "own": own})
    one.sample, one.out_sample = pairs[0]
    return seen[0] if seen[0]["others"] > one.rounding else None


def history(one, reasons, apart):
    """Change step 0 of every sample; return None, or the change that did not come.

    Where samples stand apart, also change all steps: if exactly those that end early do not move, they are "deaf".
    """
    if one.time is None:
        reasons["ignores_history"] = "not done: nobody says which axis of the inputs is time"
        return None
    if one.x.shape[one.time] < 2:
        reasons["ignores_history"] = "not done: sequences of one step"
        return None
    if apart and one.lengths is not None:
        moved = one.change(one.run(perturbed(one.x, one.time, slice(None))))
        short = one.lengths.to(moved.device) < one.lengths.max()
        if short.any() and torch.equal(moved == 0, short):
            return {"deaf": int(short.sum()), "samples": len(moved)}
    if one.x.dim() == 2 and one.x.is_floating_point():
        reasons["ignores_history"] = "not done: no axis of time in the inputs"
        return None
    moved = last_step(one, one.run(perturbed(one.x, one.time, 0))) - last_step(one, one.outputs)
    largest = (moved.abs().max() / one.scale).item()
    return {"change": largest} if largest == 0 else None  # what is merely forgotten still moves the last digit


def last_step(one, outputs):
    """Return the outputs of each sample's last step, where they have an axis of time; else the outputs."""
    if not in_time(one, outputs):
        return outputs
    outputs = outputs.movedim(one.out_sample, 0)
    if one.lengths is None:
        return outputs[:, -1]
    return outputs[torch.arange(len(outputs)), one.lengths.to(outputs.device) - 1]


def in_time(one, outputs):
    """Return whether outputs have an axis of time beside that of the samples: (B, T, C) or (T, B, C)."""
    return outputs.dim() >= 3 and outputs.shape[1 - one.out_sample] >= one.x.shape[one.time] > 1


def padding(one, reasons, more=3):
    """Add padding, and where lengths say what is padding change what stands in it; return None or what was seen."""
    if one.lengths is None:
        reasons["reads_padding"] = "not done: nobody says which steps are padding; pass lengths"
        return None
    pad = padding_index(one.module) if not one.x.is_floating_point() else 0
    blank = torch.full_like(one.x.narrow(one.time, 0, 1), pad or 0)
    trials = []
    if one.x.is_floating_point():
        steps = torch.arange(one.x.shape[one.time], device=one.x.device)
        outside = steps >= one.lengths.to(one.x.device)[:, None]
        outside = outside if one.sample == 0 else outside.T
        noise = perturbed(one.x, one.time, slice(None))
        trials.append(torch.where(outside.reshape(*outside.shape, *[1] * (one.x.dim() - 2)), noise, one.x))
    trials.append(torch.cat([one.x] + [blank] * more, dim=one.time))
    seen, before, done = 0.0, valid(one, one.outputs), 0
    for x in trials:
        try:
            after = valid(one, one.run(x))
        except (RuntimeError, ValueError, IndexError) as error:
            reason = f"the module does not take longer sequences: {str(error).splitlines()[0]}"
            continue
        if after.shape != before.shape:
            reason = "longer sequences give outputs of another shape"
            continue
        seen, done = max(seen, ((after - before).abs().max() / one.scale).item()), done + 1
    if not done:
        reasons["reads_padding"] = f"not done: {reason}"
    return {"change": seen} if seen > one.rounding else None


def valid(one, outputs):
    """Return the outputs at steps that are no padding, as one long array; all of them where they have no time."""
    if not in_time(one, outputs):
        return outputs
    outputs = outputs.movedim(one.out_sample, 0)
    inside = torch.arange(outputs.shape[1]) < one.lengths.cpu()[:, None]
    return outputs[inside.to(outputs.device)]


def outputs_of(module, inputs):
    """Return the first tensor that a module returns, packed sequences padded.

    Every call starts from the same random numbers (torch's, NumPy's and Python's) and the same kept state: else what a
    model remembers of the last batch looks like a leak between samples.
    """
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    with same_state(module):
        output = call(module, inputs)
    output = output[0] if isinstance(output, tuple) and isinstance(output[0], PackedSequence) else output
    if isinstance(output, PackedSequence):
        return pad_packed_sequence(output, batch_first=True)[0]
    return first_tensor(output)

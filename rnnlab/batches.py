"""Somebody's batch: which of its tensors are the sequences, how long each is, and other sequences in their place."""

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


def sequences(inputs):
    """Return the sequences in the inputs of a module, and the lengths of packed ones, else None."""
    if isinstance(inputs, PackedSequence):
        return pad_packed_sequence(inputs, batch_first=True)
    if isinstance(inputs, torch.Tensor):
        return inputs, None
    parts = inputs.values() if isinstance(inputs, dict) else inputs if isinstance(inputs, tuple | list) else ()
    fitting = [part for part in parts if isinstance(part, PackedSequence | torch.Tensor)]
    fitting = [part for part in fitting if isinstance(part, PackedSequence) or part.dim() >= 2]
    return sequences(fitting[0]) if fitting else (None, None)


def replaced(inputs, x, lengths):
    """Return the inputs with other sequences; a mask (B, T) grows with them, by steps that do not count."""
    if isinstance(inputs, PackedSequence):
        return pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    if isinstance(inputs, torch.Tensor):
        return x
    items, done, new = inputs.items() if isinstance(inputs, dict) else enumerate(inputs), False, {}
    for key, part in items:
        is_it = not done and (isinstance(part, PackedSequence) or (isinstance(part, torch.Tensor) and part.dim() >= 2))
        if not is_it:
            new[key] = longer(part, x) if done and is_mask(part) else part
            continue
        new[key], done = replaced(part, x, lengths), True
    return new if isinstance(inputs, dict) else tuple(new.values())


def is_mask(part):
    """Return whether a part of the inputs can be a mask (B, T): ones, then zeros, in each row."""
    if not isinstance(part, torch.Tensor) or part.dim() != 2 or part.shape[1] < 2 or not len(part):
        return False
    ordered = bool((part.diff(dim=1) <= 0).all()) if part.dtype != torch.bool else is_mask(part.int())
    return ordered and bool(((part == 0) | (part == 1)).all()) and bool((part[:, 0] == 1).all())


def longer(mask, x):
    """Return a mask (B, T) for sequences x (B, T', ...), with zeros in the steps that have come."""
    more = x.shape[1] - mask.shape[1]
    return torch.cat([mask, mask.new_zeros(len(mask), more)], dim=1) if more > 0 and len(mask) == len(x) else mask


def lengths_in(inputs, x, lengths):
    """Return lengths (B,): those given, or a part of the inputs that can be lengths or a mask (B, T); else None."""
    if lengths is not None:
        return torch.as_tensor(lengths)
    parts = inputs.values() if isinstance(inputs, dict) else inputs if isinstance(inputs, tuple | list) else ()
    for part in parts:
        part = torch.as_tensor(part) if isinstance(part, list) and all(type(n) is int for n in part) else part
        if isinstance(part, torch.Tensor) and part.dim() == 1 and not part.is_floating_point():
            sample = 0 if len(part) == x.shape[0] else 1
            if len(part) == x.shape[sample] and part.min() >= 1 and part.max() <= x.shape[1 - sample]:
                return part
        if part is not x and is_mask(part) and part.shape == x.shape[:2] and (x.dim() > 2 or not is_mask(x)):
            return part.sum(dim=1)
    return None


def lengths_by_padding(module, x, sample):
    """Return lengths (B,) of token sequences that end in the padding index of the embedding, or None."""
    pad = padding_index(module)
    if pad is None or x.is_floating_point() or x.dim() != 2:
        return None
    tokens = x.movedim(sample, 0) != pad
    if tokens.all() or not tokens.any(dim=1).all():
        return None
    steps = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
    return (tokens * steps).amax(dim=1)


def padding_index(module):
    """Return the padding index of the module's first embedding that has one, or None."""
    found = [one.padding_idx for one in module.modules() if isinstance(one, nn.Embedding)]
    return next((index for index in found if index is not None), None)


def perturbed(x, axis, index):
    """Return x with other values of the same kind at an index along an axis."""
    generator = torch.Generator(x.device).manual_seed(1)
    x = x.clone()
    part = x.select(axis, index) if isinstance(index, int) else x
    if x.is_floating_point():
        spread = x.std() if x.numel() > 1 and x.std() > 0 else 1.0
        part += spread * torch.randn(part.shape, generator=generator, device=x.device, dtype=x.dtype)
    else:
        known = x.unique()
        shift = torch.randint(1, max(2, len(known)), part.shape, generator=generator, device=x.device)
        part.copy_(known[(torch.searchsorted(known, part.contiguous()) + shift) % len(known)])
    return x


def folds(x, outputs, packed):
    """Return the ways to unfold the outputs: two where their rows can be steps and samples, in either order."""
    a, b = x.shape[:2]
    if packed or outputs.dim() != 2 or len(outputs) != a * b or min(a, b) < 2:
        return [()]
    return [(a, b, False), (b, a, True)]

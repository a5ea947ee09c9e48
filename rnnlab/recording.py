"""Run somebody's module once, see every step of its recurrences, and give the module back as it was."""

import copy
import random
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from rnnlab.operands import Operands, recurrences
from rnnlab.unrolled import Recorded, run_cell, run_layer

LAYERS, CELLS = (nn.RNN, nn.LSTM, nn.GRU), (nn.RNNCell, nn.LSTMCell, nn.GRUCell)


@contextmanager
def untouched(module):
    """Give everything back at the end: weights, gradients, buffers, attributes, modes, and all random states."""
    grads = [(param, param.grad) for param in module.parameters()]
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        with same_state(module, module.parameters()):
            for param, _ in grads:
                param.grad = None
            yield
    finally:
        for param, grad in grads:
            param.grad = grad
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        if devices:
            torch.cuda.set_rng_state_all(devices)


@contextmanager
def same_state(module, also=()):
    """Give back what a module keeps from call to call, in attributes and buffers, and other tensors named."""
    tensors = [(tensor, tensor.detach().clone()) for tensor in [*also, *module.buffers()]]
    kept = [(one, {name: _kept(value) for name, value in vars(one).items()}) for one in module.modules()]
    try:
        yield
    finally:
        for one, attributes in kept:
            vars(one).clear()
            vars(one).update({name: _given_back(*pair) for name, pair in attributes.items()})
        with torch.no_grad():
            for tensor, before in tensors:
                if not torch.equal(tensor, before):
                    tensor.copy_(before)


def _kept(value):
    """Return a value with what it holds now, where that can change in place."""
    if isinstance(value, list | dict | set):
        return value, copy.copy(value)
    if isinstance(value, torch.Tensor):
        return value, value.detach().clone()
    return value, None


def _given_back(value, before):
    if isinstance(value, list):
        value[:] = before
    elif isinstance(value, dict | set):
        value.clear()
        value.update(before)
    elif isinstance(value, torch.Tensor) and not torch.equal(value.detach(), before):
        with torch.no_grad():
            value.copy_(before)
    return value


@contextmanager
def recorded(module):
    """Yield the dict where -> `Recorded` that a forward pass within the block fills.

    torch's layers and cells run step by step meanwhile. Any other submodule is watched; if it was called several times
    and its last output depends on its first, it is a cell of somebody's own, and is in the dict when the block ends. If
    there is none, a matrix may be multiplied by one state after the other. If there is no recurrence at all, whatever
    was called several times is in the dict: its states may have been detached.
    """
    records, calls = {}, {}
    names = {one: name or type(module).__name__ for name, one in module.named_modules()}
    originals = {kind: kind.forward for kind in LAYERS + CELLS}
    inside = {part for one in names if isinstance(one, LAYERS + CELLS) for part in one.modules()}

    def stand_in(kind, run):
        def forward(self, inputs, hx=None):
            if self not in names:
                return originals[kind](self, inputs, hx)
            return run(self, names[self], records, inputs, hx)

        return forward

    def look(one, _, output):
        state = first_tensor(output)
        if state is not None and state.requires_grad and state.dim() >= 1:
            state.retain_grad()
            calls.setdefault(one, []).append(state)

    hooks = [one.register_forward_hook(look) for one in names if one not in inside and one is not module]
    own = [(name, param) for name, param in module.named_parameters()
           if not any(param is other for part in inside for other in part.parameters(recurse=False))]  # fmt: skip
    try:
        for kind in LAYERS:
            kind.forward = stand_in(kind, run_layer)
        for kind in CELLS:
            kind.forward = stand_in(kind, run_cell)
        with Operands(own) as products:
            yield records
        loops = {len(one.states) for one in records.values()} if records else set()
        found = own_cells(module, calls, set(inside))
        found = [one for one in found if len(calls[one]) not in loops]  # else it stands beside a cell in its loop
        for one in found or ([] if records else own_cells(module, calls, set(), False)):
            records[names[one]] = Recorded.of(names[one], calls[one])
        if not any(len(one.states) > 1 for one in records.values()):
            for name, (states, matrix) in recurrences(products.used).items():
                records[name] = Recorded.of(name, states, matrix.detach())
    finally:
        for kind, forward in originals.items():
            kind.forward = forward
        for hook in hooks:
            hook.remove()


def own_cells(module, calls, known, connected=True):
    """Return the outermost modules that ran at least three times, if `connected` on what came of their first output."""
    found, covered = [], set(known)
    for one in module.modules():  # parents before their parts
        states = calls.get(one, [])
        if one in covered or len(states) < 3 or any(part in known for part in one.modules()):
            continue
        if len({state.shape for state in states}) > 1 or next(one.parameters(), None) is None:
            continue  # a cell has weights, and its states one shape
        back = torch.autograd.grad(states[-1].sum(), states[0], retain_graph=True, allow_unused=True)[0]
        if back is not None or not connected:
            found.append(one)
            covered.update(one.modules())
    return found


def first_tensor(value):
    """Return the first tensor of numbers with a fraction in a nest of tuples, lists and dicts, or None."""
    if isinstance(value, PackedSequence):
        return value.data
    if isinstance(value, torch.Tensor):
        return value if value.is_floating_point() else None
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


def copied(value):
    """Return a nest of tensors with copies of them, so that what changes its inputs in place harms nobody."""
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.clone())
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return type(value)(copied(part) for part in value)
    return value


def call(module, inputs):
    """Call a module on copies: a tuple or list gives its arguments in order, a dict by name."""
    inputs = copied(inputs)
    if isinstance(inputs, dict):
        return module(**inputs)
    if isinstance(inputs, tuple | list) and not isinstance(inputs, PackedSequence):
        return module(*inputs)
    return module(inputs)

"""torch's recurrent layers step by step, so that every state stands in the graph and can be asked for its gradient.

`nn.LSTM` and its kin give the states back, but the way from one state to the next lies inside one operation: the
gradient of what they return is the IMMEDIATE derivative alone. Here each step is an operation of its own.
"""

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


@dataclass
class Recorded:
    """Hold what one cell did in the order in which it did it.

    Attributes:
        where: name of the module, with the layer and direction where it has several.
        kind: "rnn", "lstm", "gru" or "cell" (of somebody's own making).
        states: list over steps of tensors (B, H) that keep their gradient.
        active: list over steps of masks (B,), False for a sequence that has ended or not begun; or None for all.
        gates: name -> list over steps of (B, H).
        weight_hh: the recurrent matrix, or None.
        grads: list over steps of dL/dh, None where none came; taken by `backward`.
    """

    where: str
    kind: str
    states: list = field(default_factory=list)
    active: list = field(default_factory=list)
    gates: dict = field(default_factory=dict)
    weight_hh: torch.Tensor | None = None
    grads: list = field(default_factory=list)

    @classmethod
    def of(cls, where, states, weight_hh=None):
        """Return the record of a cell of somebody's own from its states, which keep their gradients already."""
        return cls(where, "cell", list(states), [None] * len(states), weight_hh=weight_hh)

    def add(self, state, active=None, gates=None):
        """Take one step in."""
        if state.requires_grad:
            state.retain_grad()
        self.states.append(state)
        self.active.append(active)
        for name, gate in (gates or {}).items():
            self.gates.setdefault(name, []).append(gate.detach())

    def flow(self):
        """Return ||dL/dh|| at each step over all sequences, after `backward`; zeros where no gradient came."""
        return torch.stack([
            state.new_zeros((), dtype=torch.double) if grad is None else grad.detach().double().norm()
            for state, grad in zip(self.states, self.grads, strict=True)
        ])  # fmt: skip

    def growth(self, last):
        """Return how many times the gradient at one step has grown, at most, by way of the recurrence alone.

        That is the gradient of <state, its gradient> at each earlier step, against the gradient there.
        """
        end, grad = self.states[last], self.grads[last]
        earlier = [state for state in self.states[:last] if state.requires_grad]
        if grad is None or not earlier or not grad.any():
            return 0.0
        back = torch.autograd.grad(end, earlier, grad, retain_graph=True, allow_unused=True)
        norms = [one.double().norm().item() for one in back if one is not None]
        return max(norms, default=0.0) / grad.double().norm().item()

    def cut(self):
        """Return whether no way leads from the loss back to the first step, after `backward`."""
        return self.grads[0] is None

    def values(self, gate=None):
        """Return the states, or a gate, of all steps that count: (steps and sequences, H)."""
        arrays = self.states if gate is None else self.gates[gate]
        rows = [a.detach() if m is None else a.detach()[m] for a, m in zip(arrays, self.active, strict=True)]
        return torch.cat([row.reshape(-1, row.shape[-1]) for row in rows])


def backward(loss, records):
    """Run `loss.backward()`, keep the graph, and take the gradients that arrive at the states of all records.

    Whoever asked for gradients before, as the search for cells does, has left some at the states: `autograd.grad` fills
    the `.grad` of every tensor on its way that keeps one.
    """
    for one in records.values():
        for state in one.states:
            state.grad = None
    loss.backward(retain_graph=True)
    for one in records.values():
        one.grads = [state.grad for state in one.states]


def rnn_step(layer, from_x, state, weights):
    (h,) = state
    z = from_x + F.linear(h, weights["weight_hh"], weights.get("bias_hh"))
    h = torch.relu(z) if nonlinearity(layer) == "relu" else torch.tanh(z)
    return (h,), {} if nonlinearity(layer) == "relu" else {"h": h}


def lstm_step(layer, from_x, state, weights):
    h, c = state
    z = from_x + F.linear(h, weights["weight_hh"], weights.get("bias_hh"))
    i, f, g, o = z.chunk(4, dim=-1)
    i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
    c = f * c + i * g
    h = o * torch.tanh(c)
    if "weight_hr" in weights:
        h = F.linear(h, weights["weight_hr"])
    return (h, c), {"i": i, "f": f, "g": g, "o": o}


def gru_step(layer, from_x, state, weights):
    (h,) = state
    r_x, z_x, n_x = from_x.chunk(3, dim=-1)
    r_h, z_h, n_h = F.linear(h, weights["weight_hh"], weights.get("bias_hh")).chunk(3, dim=-1)
    r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    n = torch.tanh(n_x + r * n_h)
    return ((1 - z) * n + z * h,), {"r": r, "z": z, "n": n}


KINDS = {
    nn.RNN: ("rnn", rnn_step), nn.LSTM: ("lstm", lstm_step), nn.GRU: ("gru", gru_step),
    nn.RNNCell: ("rnn", rnn_step), nn.LSTMCell: ("lstm", lstm_step), nn.GRUCell: ("gru", gru_step),
}  # fmt: skip


def kind_of(layer):
    """Return (name, step) for one of torch's recurrent modules."""
    return next(found for kind, found in KINDS.items() if isinstance(layer, kind))


def nonlinearity(layer):
    """Return "tanh" or "relu": `nn.RNN` keeps it in its mode, `nn.RNNCell` under its name."""
    return getattr(layer, "nonlinearity", None) or layer.mode.removeprefix("RNN_").lower()


def run_layer(layer, where, records, inputs, hx=None):
    """Do what `layer(inputs, hx)` does, step by step, and add to the records (a dict where -> Recorded).

    Args:
        layer: an `nn.RNN`, `nn.LSTM` or `nn.GRU`: any number of layers, both directions, projections, dropout.
        inputs: a tensor (T, B, D), (B, T, D) with batch_first, or (T, D); or a PackedSequence.
        hx: as the layer takes it.
    """
    packed = inputs if isinstance(inputs, PackedSequence) else None
    shape = tuple(inputs.shape if packed is None else inputs.data.shape)
    if len(shape) not in (2, 3) or shape[-1] != layer.input_size:  # a RuntimeError, as torch's own
        wanted = "(steps, D)" if packed else "(B, T, D) or (T, D)" if layer.batch_first else "(T, B, D) or (T, D)"
        raise RuntimeError(f"expected {where} to be given {wanted} with D = {layer.input_size}, got {shape}")
    if packed is not None:
        x, lengths = pad_packed_sequence(packed._replace(sorted_indices=None, unsorted_indices=None))
        lengths = lengths.to(x.device)
    else:
        single = inputs.dim() == 2
        x = inputs.unsqueeze(1) if single else inputs.transpose(0, 1) if layer.batch_first else inputs
        lengths = None
    states = initial_states(layer, x, hx, packed)
    finals = []
    for number in range(layer.num_layers):
        sides = []
        for suffix in ("", "_reverse") if layer.bidirectional else ("",):
            weights = weights_of(layer, f"_l{number}{suffix}")
            name = f"{where} layer {number}{' reverse' if suffix else ''}" if layer.num_layers > 1 or suffix else where
            taken = record(records, name, layer, weights, len(x))
            out, final = run_direction(layer, x, next(states), weights, lengths, bool(suffix), taken)
            sides.append(out)
            finals.append(final)
        x = torch.cat(sides, dim=-1)
        if number + 1 < layer.num_layers:
            x = F.dropout(x, layer.dropout, layer.training)
    final = [torch.stack(arrays) for arrays in zip(*finals, strict=True)]
    if packed is not None:
        x = pack_padded_sequence(x, lengths.cpu())
        x = x._replace(sorted_indices=packed.sorted_indices, unsorted_indices=packed.unsorted_indices)
        if packed.unsorted_indices is not None:
            final = [array.index_select(1, packed.unsorted_indices) for array in final]
    elif single:
        x, final = x.squeeze(1), [array.squeeze(1) for array in final]
    elif layer.batch_first:
        x = x.transpose(0, 1)
    return x, tuple(final) if len(final) > 1 else final[0]


def run_direction(layer, x, state, weights, lengths, backwards, record):
    """Run one layer in one direction over x (T, B, D); return its outputs and its final state."""
    _, step = kind_of(layer)
    from_x, outputs = F.linear(x, weights["weight_ih"], weights.get("bias_ih")), [None] * len(x)
    from_x = from_x.unbind()  # the way back through from_x[t] would fill an array of all steps for each of them
    for t in reversed(range(len(x))) if backwards else range(len(x)):
        new, gates = step(layer, from_x[t], state, weights)
        active = None if lengths is None else t < lengths
        record.add(new[0], active, gates)
        if active is None:
            state, outputs[t] = new, new[0]
        else:
            state = tuple(torch.where(active[:, None], a, b) for a, b in zip(new, state, strict=True))
            outputs[t] = torch.where(active[:, None], new[0], 0)
    return torch.stack(outputs), state


def weights_of(layer, end):
    """Return the weights of one layer and direction by their names without the ending."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    return {name: getattr(layer, name + end) for name in names if getattr(layer, name + end, None) is not None}


def initial_states(layer, x, hx, packed):
    """Return an iterator over layers and directions: the tuple of its initial state arrays (B, H)."""
    sides, B = layer.num_layers * (2 if layer.bidirectional else 1), x.shape[1]
    sizes = [layer.proj_size or layer.hidden_size] + [layer.hidden_size] * isinstance(layer, nn.LSTM)
    if hx is None:
        arrays = [x.new_zeros(sides, B, size) for size in sizes]
    else:
        arrays = list(hx) if isinstance(hx, tuple | list) else [hx]
        arrays = [array.unsqueeze(1) if array.dim() == 2 else array for array in arrays]
        if packed is not None and packed.sorted_indices is not None:
            arrays = [array.index_select(1, packed.sorted_indices) for array in arrays]
    wanted, got = [(sides, B, size) for size in sizes], [tuple(array.shape) for array in arrays]
    if got != wanted:
        hint = "" if layer.batch_first else "; without batch_first=True the second axis of the inputs is B"
        raise RuntimeError(f"expected an initial state of shapes {wanted}, got {got}{hint}")
    return zip(*arrays, strict=True)


def record(records, name, layer, weights, T):
    """Return where to write: calls with one step each continue one sequence, others are sequences of their own."""
    if name in records and T > 1:
        name = f"{name}, call {sum(key == name or key.startswith(f'{name}, call') for key in records) + 1}"
    if name not in records:
        records[name] = Recorded(name, kind_of(layer)[0], weight_hh=weights["weight_hh"].detach())
    return records[name]


def run_cell(cell, where, records, inputs, hx=None):
    """Do what `cell(inputs, hx)` does for an `nn.RNNCell`, `nn.LSTMCell` or `nn.GRUCell`, and add to the records."""
    weights, single = weights_of(cell, ""), inputs.dim() == 1
    x = inputs.unsqueeze(0) if single else inputs
    if hx is None:
        hx = tuple(x.new_zeros(len(x), cell.hidden_size) for _ in range(1 + isinstance(cell, nn.LSTMCell)))
    state = tuple(hx) if isinstance(hx, tuple | list) else (hx,)
    state = tuple(array.unsqueeze(0) if array.dim() == 1 else array for array in state)
    new, gates = kind_of(cell)[1](cell, F.linear(x, weights["weight_ih"], weights.get("bias_ih")), state, weights)
    record(records, where, cell, weights, 1).add(new[0], None, gates)
    new = tuple(array.squeeze(0) for array in new) if single else new
    return new if len(new) > 1 else new[0]

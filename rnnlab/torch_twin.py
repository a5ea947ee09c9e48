"""The same model in torch: parameters by the same names, gradients by autograd."""

import numpy as np
import torch
from torch.nn import functional as F

from rnnlab import losses
from rnnlab.attention import AttentionModel
from rnnlab.bptt import check_inputs, check_params, check_state
from rnnlab.cells import RNNCell
from rnnlab.checks import has_names, positive_integer
from rnnlab.graphs import GraphRNNCell
from rnnlab.gru import ChoGRUCell, GRUCell
from rnnlab.lstm import LSTMCell
from rnnlab.models import Model, Out, check_batch
from rnnlab.recurrences import LRUCell, MinGRUCell, MinLSTMCell, SLSTMCell
from rnnlab.tapes import as_state, as_tuple

__all__ = ["TorchModel"]

NONLINEARITIES = {"tanh": torch.tanh, "relu": torch.relu, "linear": lambda z: z}


def squared_error(outputs, y, mask):
    """Mirror `rnnlab.squared_error`."""
    selected = mask.bool()
    return F.mse_loss(outputs[selected], y[selected])


def cross_entropy(outputs, y, mask):
    """Mirror `rnnlab.cross_entropy`."""
    selected = mask.bool()
    return F.cross_entropy(outputs[selected], y[selected])


LOSSES = {losses.squared_error: squared_error, losses.cross_entropy: cross_entropy}


# One step of each cell as its paper writes it: (cell, parameters, x_t, state) -> state. They share nothing with the
# NumPy half, so that the two can check each other.


def rnn_step(cell, p, x, state):
    (h,) = state
    z = F.linear(x, p["weight_ih"], p["bias_ih"]) + F.linear(h, p["weight_hh"], p["bias_hh"])
    return (NONLINEARITIES[cell.nonlinearity](z),)


def graph_step(cell, p, x, state):
    return rnn_step(cell, p, x, (torch.as_tensor(cell.graph).to(x) @ state[0],))


def lstm_step(cell, p, x, state):
    h, c = state
    z = F.linear(x, p["weight_ih"], p["bias_ih"]) + F.linear(h, p["weight_hh"], p["bias_hh"])
    z = dict(zip(cell.gates, z.split(cell.hidden_size, dim=1), strict=True))
    peepholes = getattr(cell, "peepholes", ())
    w = dict(zip(peepholes, p["weight_ch"].split(cell.hidden_size), strict=True)) if peepholes else {}
    f = torch.sigmoid(z["f"] + w.get("f", 0) * c) if "f" in z else 1
    i = 1 - f if cell.coupled else torch.sigmoid(z["i"] + w.get("i", 0) * c) if "i" in z else 1
    c = f * c + i * torch.tanh(z["g"])
    o = torch.sigmoid(z["o"] + w.get("o", 0) * c) if "o" in z else 1
    return o * torch.tanh(c), c


def gru_step(cell, p, x, state):
    (h,) = state
    r_x, z_x, n_x = F.linear(x, p["weight_ih"], p["bias_ih"]).split(cell.hidden_size, dim=1)
    r_h, z_h, n_h = F.linear(h, p["weight_hh"], p["bias_hh"]).split(cell.hidden_size, dim=1)
    r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    if isinstance(cell, ChoGRUCell):
        n_rows = cell.rows("n")
        n = torch.tanh(n_x + F.linear(r * h, p["weight_hh"][n_rows], p["bias_hh"][n_rows]))
    else:
        n = torch.tanh(n_x + r * n_h)
    return ((1 - z) * n + z * h,)


def min_gru_step(cell, p, x, state):
    (h,) = state
    z, n = F.linear(x, p["weight_ih"], p["bias_ih"]).chunk(2, dim=1)
    z = torch.sigmoid(z)
    return ((2 * z - 1 if cell.negative else z) * h + (1 - z) * n,)


def min_lstm_step(cell, p, x, state):
    (h,) = state
    i, f, g = F.linear(x, p["weight_ih"], p["bias_ih"]).chunk(3, dim=1)
    i, f = torch.sigmoid(i), torch.sigmoid(f)
    keep, write = f / (f + i), i / (f + i)
    return ((2 * keep - 1 if cell.negative else keep) * h + write * g,)


def lru_step(cell, p, x, state):
    h = torch.view_as_complex(state[0].reshape(len(x), -1, 2))
    Bx = torch.view_as_complex(F.linear(x, p["weight_ih"]).reshape(len(x), -1, 2))
    eigenvalue = torch.exp(torch.complex(-torch.exp(p["nu_log"]), torch.exp(p["theta_log"])))
    return (torch.view_as_real(eigenvalue * h + torch.exp(p["gamma_log"]) * Bx).reshape(len(x), -1),)


def slstm_step(cell, p, x, state):
    h, c, n, m = state
    z = F.linear(x, p["weight_ih"], p["bias_ih"]) + F.linear(h, p["weight_hh"], p["bias_hh"])
    log_i, f, z, o = z.chunk(4, dim=1)
    log_f = f if cell.forget == "exp" else F.logsigmoid(f)
    m_new = torch.maximum(log_f + m, log_i)
    i, f = torch.exp(log_i - m_new), torch.exp(log_f + m - m_new)
    c, n = f * c + i * torch.tanh(z), f * n + i
    return torch.sigmoid(o) * c / n, c, n, m_new


STEPS = {
    GraphRNNCell: graph_step, RNNCell: rnn_step, LSTMCell: lstm_step, GRUCell: gru_step, SLSTMCell: slstm_step,
    MinLSTMCell: min_lstm_step, MinGRUCell: min_gru_step, LRUCell: lru_step,
}  # fmt: skip


def attended(model, p, h):
    """Return the outputs (T, B, C) of an `AttentionModel` at every step, from its states."""
    h = h.transpose(0, 1)
    query, key = h @ p["weight_query"].T, h @ p["weight_key"].T
    if model.score == "dot":
        context = F.scaled_dot_product_attention(query, key, h, is_causal=True)
    else:
        score = torch.tanh(query[:, :, None] + key[:, None]) @ p["weight_score"]
        later = torch.ones_like(score[0], dtype=torch.bool).triu(1)
        context = score.masked_fill(later, -torch.inf).softmax(dim=-1) @ h
    return F.linear(torch.cat([h, context], dim=-1), p["weight_out"], p["bias_out"]).transpose(0, 1)


class TorchModel:
    """Run a `Model` on torch: `init` and `loss_and_grads` are called as the model's own, tensors come out.

    The cell runs step by step, because only a step loop keeps every h_t in the graph: `out.grad` of `torch.nn.RNN`
    holds the IMMEDIATE derivative only. There are no runs here: a runs axis is the NumPy half's alone.

    Args:
        model: a `rnnlab.Model` with one of rnnlab's losses.
        device: where the tensors live.

    Raises:
        TypeError: it is no `Model`.
        ValueError: the loss or the cell has no counterpart in torch.
    """

    def __init__(self, model, device="cpu"):
        if not isinstance(model, Model):
            raise TypeError(f"expected a rnnlab.Model, got {model!r}")
        if model.loss not in LOSSES:
            raise ValueError(f"expected one of rnnlab's losses, got {model.loss!r}: add its counterpart to LOSSES")
        steps = [step for kind, step in STEPS.items() if isinstance(model.cell, kind)]
        if not steps:
            raise ValueError(f"expected one of rnnlab's cells, got {model.cell!r}: add its counterpart to STEPS")
        self.model, self.cell, self.loss, self.device = model, model.cell, LOSSES[model.loss], torch.device(device)
        self.step = steps[0]

    def init(self, rng, dtype=np.float64):
        """Draw the same numbers as `Model.init`, as tensors."""
        return {name: self._tensor(array) for name, array in self.model.init(rng, dtype).items()}

    def as_tensor(self, array):
        """Return an array as a tensor on the device."""
        return self._tensor(array)

    def forward(self, params, x, state=None, lengths=None):
        """Return the outputs (T, B, C) and the final state, without a graph; see `Model.forward`."""
        params, x = {name: self._tensor(param) for name, param in params.items()}, self._tensor(x)
        lengths = torch.full((x.shape[1],), len(x)) if lengths is None else self._tensor(lengths)
        with torch.no_grad():
            h, final, _ = self._unroll(params, x, self._initial(x, state), None, lengths)
            outputs = self._read(params, h)
        return outputs, as_state([self._shaped(list(arrays)) for arrays in zip(*final, strict=True)])

    def loss_and_grads(self, params, batch, state=None, truncate=None, work=None, lengths=None):
        """Return `Out` with tensors; see `Model.loss_and_grads`. `work` is accepted and not used."""
        self._check(params, batch, state, truncate, lengths)
        params = {name: self._leaf(param) for name, param in params.items()}
        x, y, mask = (self._tensor(array) for array in (batch.x, batch.y, batch.mask))
        initial = self._initial(x, state)
        lengths = torch.full((x.shape[1],), len(x)) if lengths is None else self._tensor(lengths)
        h, final, visited = self._unroll(params, x, initial, truncate, lengths)
        outputs = self._read(params, h)
        loss = self.loss(outputs, y, mask)
        loss.backward()
        grads = {name: _grad(param) for name, param in params.items()}
        d_visited = [torch.cat([torch.stack(list(map(_grad, side))) for side in sides], dim=2) for sides in visited]
        d_state = as_state([self._shaped(list(map(_grad, arrays))) for arrays in zip(*initial, strict=True)])
        state = as_state([self._shaped(list(arrays)).detach() for arrays in zip(*final, strict=True)])
        d_c = d_visited[1] if len(d_visited) > 1 else None
        return Out(loss.item(), grads, d_visited[0], outputs.detach(), state, d_state, d_c, h.detach())

    def _read(self, params, h):
        if isinstance(self.model, AttentionModel):
            return attended(self.model, params, h)
        return F.linear(h, params["weight_out"], params["bias_out"])

    def _check(self, params, batch, state, truncate, lengths):
        """Raise what `Model.loss_and_grads` would: these are the checks of the NumPy half."""
        check_batch(batch)
        has_names(params, self.model.shapes)
        stack, arrays, x = self.model.stack, {name: _array(param) for name, param in params.items()}, _array(batch.x)
        for end, cell in stack.cells.items():
            own = {name: arrays[name + end] for name in cell.shapes}
            if runs := check_params(cell, own):
                raise ValueError(f"expected parameters of one run, got runs {runs}; only rnnlab.Model takes runs")
        self.model.check_readout(arrays)
        end, lowest = next(iter(stack.cells.items()))
        check_inputs(lowest, {name: arrays[name + end] for name in lowest.shapes}, x, None, (), lengths)
        if state is not None:
            state = tuple(map(_array, state)) if isinstance(state, tuple | list) else _array(state)
            for one in [state] if stack.single else stack.split_state(state, "state"):
                check_state(lowest, one, (), x.shape[1], x.dtype, "state")
        if truncate is not None:
            positive_integer(truncate, "truncate")
        # The loss says what targets and mask it takes.
        self.model.loss(np.zeros((*x.shape[:2], self.model.output_size), x.dtype), _array(batch.y), _array(batch.mask))

    def _unroll(self, params, x, initial, truncate, lengths):
        """Return the top layer's states (T, B, width), each cell's final state, and the top layer's states to ask."""
        initial, finals, top = iter(initial), [], []
        items, n = list(self.model.stack.cells.items()), len(self.model.stack.directions)
        for first in range(0, len(items), n):
            sides, top = [], []
            for (end, cell), backwards in zip(items[first : first + n], (False, True), strict=False):
                own = {name: params[name + end] for name in cell.shapes}
                states, visited = self._run(cell, own, x, next(initial), truncate, lengths, backwards)
                sides.append(torch.stack(states[0]))
                finals.append(states[1])
                top.append(visited)
            x = torch.cat(sides, dim=2)
        return x, finals, list(zip(*top, strict=True))

    def _run(self, cell, params, x, state, truncate, lengths, backwards):
        """Run one cell in one direction; a sequence's state stands still outside its length."""
        T, visited, h = len(x), [[None] * len(x) for _ in state], [None] * len(x)
        passed = torch.zeros(len(lengths), dtype=torch.long)  # steps that each sequence has behind it
        for t in reversed(range(T)) if backwards else range(T):
            if truncate is not None:
                at_border = ((passed > 0) & (passed % truncate == 0))[:, None]
                state = tuple(torch.where(at_border, array.detach(), array) for array in state)
            inside = (t < lengths)[:, None]
            new = self.step(cell, params, x[t], state)
            for array, record in zip(new, visited, strict=True):
                if array.requires_grad:  # not within `forward`
                    array.retain_grad()
                record[t] = array
            h[t] = torch.where(inside, new[0], 0)
            state = tuple(torch.where(inside, array, old) for array, old in zip(new, state, strict=True))
            passed += inside[:, 0]
        return (h, state), visited

    def _initial(self, x, state):
        """Return for each cell the tuple of its initial state arrays, leaves of the graph."""
        cells, shape = len(self.model.stack.cells), (x.shape[1], self.cell.hidden_size)
        given = zip(as_tuple(state, self.cell), self.cell.state_before, strict=True)
        stacked = [
            x.new_full((cells, *shape), before) if array is None else self._tensor(array).reshape(cells, *shape)
            for array, before in given
        ]
        return [tuple(map(self._leaf, arrays)) for arrays in zip(*stacked, strict=True)]

    def _shaped(self, arrays):
        return arrays[0] if self.model.stack.single else torch.stack(arrays)

    def _leaf(self, array):
        return self._tensor(array).detach().clone().requires_grad_()

    def _tensor(self, array):
        if isinstance(array, torch.Tensor):
            return array.to(self.device)
        return torch.from_numpy(np.array(array)).to(self.device)  # np.array copies: tasks may give read-only views


def _array(array):
    return array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array


def _grad(tensor):
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad

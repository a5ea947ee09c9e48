"""Layers of cells, read in one direction or in both."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlab.bptt import TIME_MAJOR, Workspace, backprop, unroll
from rnnlab.checks import has_names, is_cell, positive_integer, shaped, whole_numbers
from rnnlab.tapes import as_state, as_tuple


class Stack:
    """Put layers of a cell above each other; each reads the states of the one below.

    Parameters have the names of torch's multi-layer modules: weight_ih_l0, weight_ih_l0_reverse, weight_ih_l1 ...; a
    stack of one layer and one direction is the cell itself, with the cell's own names.

    Args:
        cell: the lowest layer; the others are equal but for the size of their inputs.
        layers: L, number of layers.
        bidirectional: True adds to each layer a second cell that reads from the end; the layer's states are those of
            both side by side.

    Attributes:
        cells: dict from the ending of the parameter names to the cell, in torch's order of states.
        width: numbers in one state of the top layer: H, or 2H.
    """

    def __init__(self, cell, layers=1, bidirectional=False):
        is_cell(cell)
        self.layers = positive_integer(layers, "layers")
        if not isinstance(bidirectional, bool):
            raise ValueError(f"expected bidirectional to be True or False, got {bidirectional!r}")
        self.cell, self.directions = cell, ("", "_reverse") if bidirectional else ("",)
        self.width = cell.hidden_size * len(self.directions)
        self.single = self.layers == 1 and not bidirectional
        self.cells = {"": cell} if self.single else {
            f"_l{layer}{direction}": cell.with_input(self.width if layer else cell.input_size)
            for layer in range(self.layers)
            for direction in self.directions
        }  # fmt: skip

    @property
    def shapes(self):
        """Return the shape of each parameter by name."""
        return {name + end: shape for end, cell in self.cells.items() for name, shape in cell.shapes.items()}

    def init(self, rng, dtype=np.float64):
        """Draw parameters as torch does, layer by layer; see the cell's `init`."""
        return {name + end: array for end, cell in self.cells.items() for name, array in cell.init(rng, dtype).items()}

    def unroll(self, params, x, state=None, work=None, lengths=None):
        """Run all layers over a batch of sequences; see `rnnlab.unroll`.

        Returns:
            h (T, B, width), states of the top layer; the final states; the record that `backprop` walks back. States
            are (L * directions, B, H) as in torch, or a pair of such; of a single cell they are the cell's own.
        """
        if self.single:
            h, state, tape = unroll(self.cell, params, x, state, work, lengths)
            return h, state, Record([tape], None)
        has_names(params, self.shapes)
        of_runs = np.shape(x)[: max(np.ndim(x) - 3, 0)]  # unroll compares them with the parameters
        shaped(x, (*of_runs, "T", "B", self.cell.input_size), "x", TIME_MAJOR)
        work = work or Workspace()
        states, finals, tapes = self.split_state(state, "state"), [], []
        order = reading_order(x, lengths) if len(self.directions) == 2 else None
        for layer in self._by_layer():
            sides = []
            for (end, cell), backwards in zip(layer, (False, True), strict=False):
                inputs = turned(x, order) if backwards else x
                h, final, tape = unroll(cell, self._of(params, end), inputs, next(states), work, lengths)
                sides.append(turned(h, order) if backwards else h)
                finals.append(as_tuple(final, cell))
                tapes.append(tape)
            x = sides[0] if len(sides) == 1 else np.concatenate(sides, axis=-1)
        return x, self._join(finals), Record(tapes, order)

    def backprop(self, params, record, d_h, d_state=None, truncate=None):
        """Walk back through all layers; see `rnnlab.backprop`. Each direction counts its windows from where it starts.

        Returns:
            StackBack: `.params`, `.d_h` (T, B, width) TOTAL derivative at the top layer, `.d_state`, `.d_x`, `.d_c`.
        """
        if not isinstance(record, Record):
            raise TypeError(f"expected the record that Stack.unroll returned, got a {type(record).__name__}")
        if self.single:
            back = backprop(self.cell, params, record.tapes[0], d_h, d_state, truncate)
            return StackBack(back.params, back.d_h, back.d_state, lambda: back.d_x, back.d_c)
        runs, (T, B) = record.tapes[0].runs, record.tapes[0].h.shape[-3:-1]
        shaped(d_h, (*runs, T, B, self.width), "d_h", "it must have the shape of the states that unroll returned")
        d_states, tapes = list(self.split_state(d_state, "d_state")), list(record.tapes)
        grads, d_finals, top = {}, [], None
        for layer in reversed(self._by_layer()):
            backs = []
            for index in reversed(range(len(layer))):
                (end, cell), tape, turn = layer[index], tapes.pop(), record.order if index else None
                part = np.ascontiguousarray(turned(np.split(d_h, len(layer), axis=-1)[index], turn))
                back = backprop(cell, self._of(params, end), tape, part, d_states.pop(), truncate)
                grads |= {name + end: grad for name, grad in back.params.items()}
                d_finals.insert(0, as_tuple(back.d_state, cell))
                backs.insert(0, (back, turn))
            top = top or backs
            d_h = sum(turned(back.d_x, turn) for back, turn in backs)
        grads = {name: grads[name] for name in self.shapes}
        side_by_side = [np.concatenate([turned(getattr(b, name), turn) for b, turn in top], axis=-1)
                        if getattr(top[0][0], name) is not None else None for name in ("d_h", "d_c")]  # fmt: skip
        return StackBack(grads, side_by_side[0], self._join(d_finals), lambda: d_h, side_by_side[1])

    def _by_layer(self):
        items, n = list(self.cells.items()), len(self.directions)
        return [items[first : first + n] for first in range(0, len(items), n)]

    def _of(self, params, end):
        """Return the parameters with this ending under the cell's own names, as far as they are there."""
        return {name: params[name + end] for name in self.cells[end].shapes if name + end in params}

    def split_state(self, state, name):
        """Yield the state of each cell from the stacked one, or None for each."""
        if state is None:
            yield from (None for _ in self.cells)
            return
        arrays, names = as_tuple(state, self.cell), self.cell.state_names
        if len(names) > 1 and not (isinstance(state, tuple | list) and len(state) == len(names)):
            raise ValueError(f"expected {name} to be the pair ({', '.join(names)}), got a {type(state).__name__}")
        for array in arrays:
            of_runs = np.shape(array)[: max(np.ndim(array) - 3, 0)]
            shape = (*of_runs, len(self.cells), "B", self.cell.hidden_size)
            shaped(array, shape, name, "one entry for each cell of the stack")
        yield from (as_state([array[..., index, :, :] for array in arrays]) for index in range(len(self.cells)))

    def _join(self, states):
        return as_state([np.stack(arrays, axis=-3) for arrays in zip(*states, strict=True)])


@dataclass
class Record:
    """Hold the tapes of all cells, and the order in which the second direction reads."""

    tapes: list
    order: np.ndarray | None


@dataclass
class StackBack:
    """Hold what `Stack.backprop` returns; see `rnnlab.tapes.Back`."""

    params: dict
    d_h: np.ndarray
    d_state: Any
    _d_x: Any
    d_c: np.ndarray | None = None

    @property
    def d_x(self):
        return self._d_x()


def reading_order(x, lengths):
    """Return (T, B, 1), the step that a reader from the end reads at each step; padding stays where it is."""
    T, B = x.shape[-3:-1]
    lengths = np.full(B, T) if lengths is None else whole_numbers(lengths, (B,), 1, T, "lengths")
    t = np.arange(T)[:, None]
    return np.where(t < lengths, lengths - 1 - t, t)[..., None]


def turned(array, order):
    """Return an array (..., T, B, N) with its steps in this order, or as it is where order is None."""
    if order is None:
        return array
    return np.take_along_axis(array, order.reshape((1,) * (array.ndim - 3) + order.shape), axis=-3)

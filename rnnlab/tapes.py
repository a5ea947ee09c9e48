"""Tapes: the arrays in which an unrolled sequence is recorded, laid out once and reused.

On small networks making new arrays, and slicing them, costs more than the arithmetic. So a tape allocates everything
once and makes the views that each step works on; the steps themselves stand in the cells.

Inside a tape every array starts with an axis of R independent runs (R = 1 without a runs axis), then time.
"""

from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from math import prod

import numpy as np

# Runs are stacked while one step's array of theirs has at most this many numbers, if that are a few runs at least. For
# larger ones a product is long enough that a stack saves nothing, and one run after the other stays in the cache.
STACKED, FEWEST = 16384, 8
# Local derivatives are prepared for as many steps at once as fill this many numbers: in few calls on small networks,
# and on large ones shortly before they are used, while they are in the cache.
PREPARED = 131072


def chunks(R, numbers):
    """Cut R runs, each with this many numbers in a step's array, into indices: a slice of runs, or one run."""
    size = STACKED // numbers
    if R == 1 or size < FEWEST:
        return list(range(R))
    return [slice(first, min(first + size, R)) for first in range(0, R, size)]


def transposed(array):
    """Return the view with the last two axes exchanged."""
    return array.swapaxes(-1, -2)


def by_step(array):
    """Return the view ([R,] T, B, N) -> (T, [R,] B, N) whose entries are what one step works on."""
    return np.moveaxis(array, -3, 0)


class Tape:
    """Record one unrolled sequence, forward and back.

    A subclass makes its arrays in `lay_out`, and says how parameters go in (`take_weights`), what each step works on
    (`forward_views`, `backward_views`) and how gradients come out (`local_derivatives`, `weight_gradients`, `d_x`).

    Attributes:
        h: (*runs, T, B, H), states after each step.
        local: (factors, R, T, B, H), in columns (factors, R, T, H, B), what the steps back multiply with, and then the
            products; filled for one block of steps after the other, see `prepare`.
        forward: for each chunk of runs what `cell.steps` takes: the views of each step, then what all steps share.
        backward: the same for `cell.steps_back`, which takes the views from the last to the first.
    """

    factors = 1  # arrays of local derivatives for one step

    def __init__(self, cell, T, B, dtype, runs=(), x_runs=False):
        D, H, R = cell.input_size, cell.hidden_size, prod(runs)
        self.cell, self.T, self.B, self.R, self.runs, self.dtype = cell, T, B, R, tuple(runs), np.dtype(dtype)
        self.x_runs, self.block = x_runs, max(1, min(T, PREPARED // (self.factors * B * H)))
        self.chunks = chunks(R, B * H)
        self.lay_out(T, B, D, H)
        self.h, self.d_h = self.public(self.states[:, 1:]), self.public(self.d_h_all)
        self.forward = [self.forward_views(chunk) for chunk in self.chunks]
        self.backward = [self.backward_views(chunk) for chunk in self.chunks]

    def array(self, *shape):
        """Make an array of zeros with the axis of runs in front."""
        return np.zeros((self.R, *shape), self.dtype)

    def per_step(self, T, *shape):
        """Make an array (R, T, ...) of zeros; in memory, runs that are stacked are side by side in each step."""
        if isinstance(self.chunks[0], slice):
            return np.moveaxis(np.zeros((T, self.R, *shape), self.dtype), 0, 1)
        return self.array(T, *shape)

    def public(self, array):
        """Return the view with the runs axes as the caller has them."""
        return array.reshape(self.runs + array.shape[1:])

    def private(self, array):
        """Return the view with one axis of runs."""
        return array.reshape((self.R,) + array.shape[len(self.runs) :])

    # A cell with a second state array, or more to record, extends these three.

    def state_arrays(self):
        """Return each state array, (R, T+1, B, H): entry t enters step t."""
        return (self.states,)

    def carries_at(self, t):
        """Return, for each state array, where dL/d(what entered step t) stands, (R, B, H)."""
        return (self.d_h_before,)

    def recorded(self):
        """Return views (R, T, B, ...) of all that the steps forward have written."""
        return [self.states[:, 1:]]

    def begin(self, params, x, state):
        """Take parameters, inputs and the initial state; the steps of `forward` can run after this."""
        self.x[...] = self.private(x) if self.x_runs else x
        given_or_not = zip(self.state_arrays(), as_tuple(state, self.cell), self.cell.state_before, strict=True)
        for array, given, before in given_or_not:
            array[:, 0] = before if given is None else self.private(given) if given.ndim > 2 else given
        self.take_weights({name: self.private(params[name]) for name in self.cell.shapes})

    def finish(self, lengths):
        """Return the final state; with lengths that of each sequence, and blank what was computed from padding."""
        self.ends, self.pad = {self.T - 1: slice(None)}, None
        if lengths is None:
            return as_state([self.public(array[:, self.T]) for array in self.state_arrays()])
        self.ends = {length - 1: np.flatnonzero(lengths == length) for length in set(lengths.tolist())}
        self.pad = np.arange(self.T)[:, None] >= lengths
        final = [self.public(array[:, lengths, np.arange(self.B)]) for array in self.state_arrays()]
        for record in self.recorded():
            record[:, self.pad] = 0
        return as_state(final)

    def begin_back(self, d_h, d_state):
        """Take the immediate derivatives; the steps of `backward` can run, last one first, after this."""
        self.d_h[...] = d_h
        if self.pad is not None:
            self.d_h_all[:, self.pad] = 0
        for carry in self.carries_at(self.T):
            carry[...] = 0
        self.d_final = [self.private(given) for given in as_tuple(d_state, self.cell) if given is not None]

    def stretches(self, window):
        """Return the stretches (first, last) of steps, the last one first, between which the walk back has to stop.

        It stops where a block of prepared derivatives, a window of truncation or a sequence begins or ends.
        """
        borders = {self.T, *range(0, self.T, self.block), *range(0, self.T, window), *(end + 1 for end in self.ends)}
        return [(first, last) for last, first in pairwise(sorted(borders, reverse=True))]

    def prepare(self, chunk, last):
        """Fill the local derivatives of the block of steps that ends before step `last`."""
        steps = slice((last - 1) // self.block * self.block, last)
        runs = chunk if isinstance(chunk, slice) else slice(chunk, chunk + 1)
        self.local_derivatives(runs, steps, self.local[:, runs, steps])

    def enter(self, chunk, t):
        """Add the derivative with respect to the final state of the sequences whose last step is t."""
        for carry, given in zip(self.carries_at(t + 1), self.d_final, strict=False):
            carry[chunk][..., self.ends[t], :] += given[chunk][..., self.ends[t], :]

    def cut(self, chunk, t):
        """Stop what flows back from step t: the state that entered it is treated as a constant."""
        for carry in self.carries_at(t):
            carry[chunk] = 0

    def gradients(self):
        """Return a `Back` with the parameter gradients summed over all steps and sequences."""
        # Copies: an optimizer or a reader may change one bias and not the other, and may keep them.
        grads = {name: self.public(grad).copy() for name, grad in self.weight_gradients().items()}
        d_state = as_state([self.public(carry) for carry in self.carries_at(0)])
        return Back(grads, self.d_h, d_state, self, self.d_memory())

    def d_memory(self):
        """Return the total derivative of a second state array, where the cell has one."""
        return None


class ColumnTape(Tape):
    """Record a gated cell. A sequence is a column in the arrays of a step, so every gate of a step is contiguous.

    Weights then multiply from the left in torch's own shapes, and one product makes a step's pre-activations:
    z_t = [W_hh W_ih b] [h_{t-1}; x_t; 1].

    Attributes:
        hx1: (R, T+1, K, B), [h_{t-1}; x_t; 1], what the weights of step t multiply; K = H + D + 1.
    """

    def lay_out(self, T, B, D, H):
        self.hx1 = self.per_step(T + 1, H + D + 1, B)
        self.hx1[..., -1, :] = 1
        self.states, self.x = transposed(self.hx1[..., :H, :]), transposed(self.hx1[:, :T, H:-1])
        self.d_h_columns, self.d_h_before_columns = self.per_step(T, H, B), self.array(H, B)
        self.d_h_all, self.d_h_before = transposed(self.d_h_columns), transposed(self.d_h_before_columns)
        self.beside = {}
        self.lay_out_gates(T, B, H)

    def times(self, W, chunk):
        """Return the function (columns, out) that multiplies columns with W from the left."""
        # The method costs half a call of np.matmul, which a stack of runs needs.
        return partial(np.matmul, W[chunk]) if isinstance(chunk, slice) else W[chunk].dot

    def by_part(self, array):
        """Return the view (R, T, N * H, B) -> (N, R, T, H, B)."""
        return np.moveaxis(array.reshape(*array.shape[:2], -1, self.cell.hidden_size, self.B), 2, 0)

    def parts(self, array, *borders):
        """Return the views of these parts of an array (..., N * H, B), each from one border to another."""
        H = self.cell.hidden_size
        return [array[..., first * H : last * H, :] for first, last in borders]

    def all_local(self):
        """Return the local derivatives of every step, (factors, *runs, T, B, H)."""
        local = np.empty_like(self.local)
        self.local_derivatives(slice(None), slice(None, self.T), local)
        return transposed(local.reshape(self.factors, *self.runs, *local.shape[2:]))

    def input_gradients(self, d_z, W_ih_T):
        """Return dL/dx, (*runs, T, B, D), from dL/dz (R, T, G*H, B)."""
        return self.public(transposed(np.matmul(W_ih_T[:, None], d_z)))

    def side_by_side(self, name, array):
        """Return (R, T, N, B) as (R, N, T * B), for one product over all steps and sequences."""
        array = array.swapaxes(1, 2)
        if self.B == 1:
            return array[..., 0]
        if name not in self.beside:
            self.beside[name] = np.empty(array.shape, self.dtype)
        self.beside[name][...] = array
        return self.beside[name].reshape(*array.shape[:2], -1)


def as_tuple(state, cell):
    """Return one entry for each state array of the cell."""
    names = cell.state_names
    if state is None:
        return (None,) * len(names)
    return (state,) if len(names) == 1 else state


def as_state(arrays):
    """Return what a caller sees as the state: the array itself where there is only one."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


@dataclass
class Back:
    """Hold what `backprop` returns.

    Attributes:
        params: dict name -> gradient, shaped as the parameters.
        d_h: (T, B, H), TOTAL derivative dL/dh_t: along every path from h_t to the loss. (What went into `backprop` is
            the immediate derivative: the path from h_t to the loss that passes through no later state.)
        d_state: dL/d(initial state), shaped as the state: (B, H), or the pair (d_h_0, d_c_0) of an LSTM.
        d_c: (T, B, H), TOTAL derivative dL/dc_t of an LSTM's memory, through h_t as well as through c_{t+1}; else None.
        d_x: (T, B, D), dL/dx_t, computed when first read.
    """

    params: dict
    d_h: np.ndarray
    d_state: np.ndarray | tuple
    _tape: Tape = field(repr=False)
    d_c: np.ndarray | None = None

    @cached_property
    def d_x(self):
        return self._tape.d_x()

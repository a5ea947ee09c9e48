"""Recurrences that are linear in the state, h_t = a_t * h_{t-1} + b_t, and the parallel scan that computes them.

Where a_t and b_t depend on the input x_t alone, all of them are known before the first step. What is left of the
recurrence is associative: two steps in a row are one step of the same form. So T steps take log2(T) rounds on a machine
that can do a round at once; see `scan`. One after the other, as `LinearCell.steps` does, they take the fewest products.
"""

import numpy as np
from numpy import add, multiply

from rnnlab.bptt import check_inputs, check_params
from rnnlab.cells import Cell
from rnnlab.checks import float_type, random_generator
from rnnlab.tapes import Tape, by_step, transposed


def scan(a, b, start=None):
    """Return every state of h_t = a_t * h_{t-1} + b_t, from log2(T) rounds over pairs of steps.

    Steps 2k and 2k + 1 together are one step with a = a_{2k+1} a_{2k} and b = a_{2k+1} b_{2k} + b_{2k+1}. Half as many
    steps give every second state; one product each gives the states between them.

    Args:
        a, b: (T, ...), arrays of one shape, or an `a` that broadcasts to b's beyond the axis of time; real or complex.
        start: (...), the state before the first step; zeros if None.

    Returns:
        (T, ...), the states.

    Source: Blelloch (1990), section 1.4.

    >>> scan(np.full(4, 0.5), np.array([8.0, 0.0, 0.0, 1.0]))
    array([8., 4., 2., 2.])
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != b.ndim or a.ndim == 0 or len(a) != len(b) or len(b) == 0:
        raise ValueError(f"expected a and b with one axis of T steps in front, got shapes {a.shape} and {b.shape}")
    h = _pairs(a, b)
    return h if start is None else h + np.multiply.accumulate(a) * start


def _pairs(a, b):
    if len(b) == 1:
        return b
    even, h = len(b) // 2 * 2, np.empty_like(b)
    a_first, a_second, b_first, b_second = a[0:even:2], a[1:even:2], b[0:even:2], b[1:even:2]
    h[1::2] = _pairs(a_second * a_first, a_second * b_first + b_second)
    h[0] = b[0]
    h[2::2] = a[2::2] * h[1:-1:2] + b[2::2]
    return h


def parallel_states(cell, params, x, state=None):
    """Return the states (T, B, H) that `unroll` computes step by step, by a parallel scan over the whole sequence.

    Args:
        cell: a `MinGRUCell`, `MinLSTMCell` or `LRUCell`.
        params, x, state: as for `unroll`, without runs.

    Raises:
        TypeError: in the cell, a_t depends on the state, so that there is nothing to scan.
        ValueError: as `unroll`.
    """
    if not isinstance(cell, LinearCell):
        raise TypeError(f"expected a cell that is linear in its state, such as rnnlab.MinGRUCell, got {cell!r}")
    if runs := check_params(cell, params):
        raise ValueError(f"expected parameters of one run, got leading axes {runs}; pick one run first")
    check_inputs(cell, params, x, state, (), None)
    T, B, _ = x.shape
    tape = cell.tape(T, B, x.dtype)
    tape.begin(params, x, state)
    h = scan(tape.a[0], tape.b[0], cell.numbers(tape.states[:, 0])[0])
    return h.view(x.dtype)


class LinearCell(Cell):
    """Hold what cells with h_t = a_t * h_{t-1} + b_t share: the input weights give z_t = W_ih x_t + b_ih; no W_hh.

    A subclass says what a_t and b_t are (`coefficients`) and how gradients go back through that (`back`).

    Attributes:
        of_input: whether a_t depends on x_t; else it is the same at every step.
    """

    of_input = True

    @property
    def shapes(self):
        """Return the shape of each parameter by name."""
        rows = len(self.gates) * self.hidden_size
        return {"weight_ih": (rows, self.input_size), "bias_ih": (rows,)}

    def init(self, rng, dtype=np.float64):
        """Draw parameters as torch's Linear does: uniform on (-1/sqrt(D), 1/sqrt(D))."""
        rng, dtype, bound = random_generator(rng), float_type(dtype), 1 / np.sqrt(self.input_size)
        return {name: rng.uniform(-bound, bound, shape).astype(dtype) for name, shape in self.shapes.items()}

    def numbers(self, array):
        """Return the view in which the recurrence multiplies: here the real numbers themselves."""
        return array

    def tape(self, *layout):
        """Make the arrays in which a sequence is recorded; see `Tape` for the arguments."""
        return LinearTape(self, *layout)

    def steps(self, views):
        for a, h_before, b, h in views:
            multiply(a, h_before, h)
            add(h, b, h)  # h_t = a_t h_{t-1} + b_t

    def steps_back(self, views, d_h_before):
        for a_conj, d_h in views:
            add(d_h, d_h_before, d_h)  # total = immediate + what came back through h_{t+1}
            multiply(a_conj, d_h, d_h_before)  # dL/dh_{t-1} = a_t dL/dh_t, conjugate where numbers are complex

    def jacobians(self, params, tape):
        """Return the Jacobian of every step, (T, B, H, H): diagonal, with a_t."""
        return tape.public(tape.a)[..., None] * np.eye(self.hidden_size)


class LinearTape(Tape):
    """Record one unrolled sequence of a `LinearCell`.

    Attributes:
        z: (R, T, B, G*H), W_ih x_t + b_ih.
        a, b: (R, T, B, H), what multiplies the state and what is added; of N complex numbers where H = 2N real ones
            stand in the states.
    """

    def lay_out(self, T, B, D, H):
        cell = self.cell
        self.x_all = np.zeros((self.R if self.x_runs else 1, T, B, D), self.dtype)
        self.x = self.x_all if self.x_runs else self.x_all[0]
        self.states, self.d_h_all, self.d_h_before = (
            self.per_step(T + 1, B, H),
            self.per_step(T, B, H),
            self.array(B, H),
        )
        self.b_real = self.per_step(T, B, H)
        a = cell.numbers(self.per_step(T, B, H) if cell.of_input else self.array(1, 1, H))
        self.a_written, self.b = a, cell.numbers(self.b_real)
        self.a = np.broadcast_to(a, self.b.shape)
        self.a_conj = np.zeros_like(a) if np.iscomplexobj(a) else a

    def forward_views(self, chunk):
        h = by_step(self.cell.numbers(self.states)[chunk])
        return (list(zip(by_step(self.a[chunk]), h[:-1], by_step(self.b[chunk]), h[1:], strict=True)),)

    def backward_views(self, chunk):
        a_conj = by_step(np.broadcast_to(self.a_conj, self.b.shape)[chunk])
        d_h, d_h_before = (self.cell.numbers(array)[chunk] for array in (self.d_h_all, self.d_h_before))
        return list(zip(a_conj, by_step(d_h), strict=True)), d_h_before

    def take_weights(self, params):
        self.params = {name: param.copy() for name, param in params.items()}
        self.z = np.matmul(self.x_all, transposed(params["weight_ih"])[:, None])
        if "bias_ih" in params:
            self.z += params["bias_ih"][:, None, None]
        self.cell.coefficients(self)
        if self.a_conj is not self.a_written:
            np.conjugate(self.a_written, self.a_conj)

    def prepare(self, chunk, last):
        """Do nothing: the factors of the steps back are those of the steps forward."""

    def weight_gradients(self):
        d_h = self.cell.numbers(self.d_h_all)
        d_a = np.conjugate(self.cell.numbers(self.states[:, :-1])) * d_h
        self.d_z, grads = self.cell.back(self, d_a, d_h)
        d_z = self.d_z.reshape(self.R, self.T * self.B, -1)
        x = self.x_all.reshape(len(self.x_all), self.T * self.B, -1)
        grads["weight_ih"] = np.matmul(transposed(d_z), x)
        if "bias_ih" in self.params:
            grads["bias_ih"] = d_z.sum(axis=1)
        return {name: grads[name] for name in self.cell.shapes}

    def d_x(self):
        return self.public(np.matmul(self.d_z, self.params["weight_ih"][:, None]))

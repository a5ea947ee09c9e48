"""Recurrent cells: the step forward and the step back, side by side.

A cell holds sizes and options, never parameters. Parameters are a flat dict with torch's names and shapes; any leading
axes that they all share are independent runs. The steps work in place on views that a tape lays out once.

This file has what all cells share, and the plain RNN; `lstm.py` and `gru.py` have the gated ones.
"""

from itertools import pairwise

import numpy as np
from numpy import add, multiply, subtract

from rnnlab.checks import float_type, positive_integer, random_generator
from rnnlab.tapes import Tape, by_step, transposed

# name: (f, f' as a function of the output h = f(z)); both write into `out`.
NONLINEARITIES = {
    "tanh": (np.tanh, lambda h, out: subtract(1, multiply(h, h, out=out), out=out)),
    "relu": (lambda z, out: np.maximum(z, 0, out=out), lambda h, out: np.greater(h, 0, out=out, casting="unsafe")),
    "linear": (np.positive, lambda h, out: out.fill(1)),
}


class Cell:
    """Hold what all cells share: sizes, the shapes of the parameters, their first values.

    Args:
        input_size: D, numbers in one input x_t.
        hidden_size: H, hidden units.

    Attributes:
        gates: names of the row blocks of weight_ih and weight_hh, in torch's order.
        state_names: names of the arrays that a step hands to the next.
        state_before: for each of them, what every entry is before the first step where no state is given.
    """

    gates = ("h",)
    state_names = ("h",)
    state_before = (0.0,)

    def __init__(self, input_size, hidden_size):
        self.input_size = positive_integer(input_size, "input_size")
        self.hidden_size = positive_integer(hidden_size, "hidden_size")

    def __repr__(self):
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size}{options})"

    @property
    def options(self):
        """Return the keyword arguments, beside the sizes, that make an equal cell."""
        return {}

    def with_input(self, input_size):
        """Return an equal cell for inputs of another size, as the upper layers of a stack need."""
        return type(self)(input_size, self.hidden_size, **self.options)

    @property
    def shapes(self):
        """Return the shape of each parameter by name."""
        H, D, GH = self.hidden_size, self.input_size, len(self.gates) * self.hidden_size
        return {"weight_ih": (GH, D), "weight_hh": (GH, H), "bias_ih": (GH,), "bias_hh": (GH,)}

    def rows(self, gate):
        """Return the slice of weight and bias rows that belong to a gate.

        >>> RNNCell(2, 3).rows("h")
        slice(0, 3, None)
        """
        if gate not in self.gates:
            raise ValueError(f"expected one of the gates {self.gates} of {self!r}, got {gate!r}")
        first = self.gates.index(gate) * self.hidden_size
        return slice(first, first + self.hidden_size)

    def init(self, rng, dtype=np.float64):
        """Draw parameters as torch does: uniform on (-1/sqrt(H), 1/sqrt(H)).

        Args:
            rng: a numpy.random.Generator.
            dtype: numpy.float64 or numpy.float32.

        Returns:
            dict name -> array, with G gates: weight_ih (G*H, D), weight_hh (G*H, H), bias_ih (G*H,), bias_hh (G*H,).
        """
        rng, dtype, bound = random_generator(rng), float_type(dtype), 1 / np.sqrt(self.hidden_size)
        return {name: rng.uniform(-bound, bound, shape).astype(dtype) for name, shape in self.shapes.items()}


class RNNCell(Cell):
    """Describe the recurrence of Elman (1990): h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh).

    Args:
        input_size: D, numbers in one input x_t.
        hidden_size: H, hidden units.
        nonlinearity: f, one of "tanh", "relu", "linear" ("linear" is for closed forms; torch has no such cell).

    Raises:
        ValueError: on a size below 1 or an unknown nonlinearity.

    >>> cell = RNNCell(input_size=2, hidden_size=3)
    >>> {name: array.shape for name, array in cell.init(np.random.default_rng(0)).items()}
    {'weight_ih': (3, 2), 'weight_hh': (3, 3), 'bias_ih': (3,), 'bias_hh': (3,)}
    """

    def __init__(self, input_size, hidden_size, nonlinearity="tanh"):
        super().__init__(input_size, hidden_size)
        if not isinstance(nonlinearity, str) or nonlinearity not in NONLINEARITIES:
            raise ValueError(f"expected nonlinearity to be one of {sorted(NONLINEARITIES)}, got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        self.f, self.slope = NONLINEARITIES[nonlinearity]

    @property
    def options(self):
        return {"nonlinearity": self.nonlinearity}

    def tape(self, *layout):
        """Make the arrays in which a sequence is recorded; see `Tape` for the arguments."""
        return RNNTape(self, *layout)

    # The steps forward and the steps back. `h` holds W_ih x_t + b_ih + b_hh until its step overwrites it.

    def steps(self, views, dot, W_hh_T, z):
        for h_before, h in views:
            dot(h_before, W_hh_T, z)
            add(z, h, z)  # z_t = W_hh h_{t-1} + W_ih x_t + b
            self.f(z, h)  # h_t = f(z_t)

    # `d_z` holds f'(z_t) until its step back overwrites it.

    def steps_back(self, views, dot, W_hh, d_h_before):
        for d_h, d_z in views:
            add(d_h, d_h_before, d_h)  # total = immediate + what came back through z_{t+1}
            multiply(d_z, d_h, d_z)  # dL/dz_t = f'(z_t) dL/dh_t
            dot(d_z, W_hh, d_h_before)  # dL/dh_{t-1} through z_t = W_hh^T dL/dz_t

    def jacobian(self, params, h):
        """Return dh_t/dh_{t-1} = diag(f'(z_t)) W_hh for states h_t.

        Args:
            params: the cell's parameters.
            h: (..., H), states AFTER the step.

        Returns:
            (..., H, H); entry [i, j] is the derivative of h_t[i] with respect to h_{t-1}[j].
        """
        slope = np.empty_like(h)
        self.slope(h, out=slope)
        return slope[..., :, None] * params["weight_hh"]

    def jacobians(self, params, tape):
        """Return the Jacobian of every step of an unrolled sequence, (T, B, H, H)."""
        return self.jacobian(params, tape.h)

    def activations(self, tape):
        """Return what can saturate: the states themselves, mapped to (0, 1) by (1 + h) / 2."""
        return {"h": (1 + tape.h) / 2}


class RNNTape(Tape):
    """Record one unrolled sequence of an `RNNCell`: `d_z` (R, T, B, H) is dL/dz_t after `backprop`."""

    def lay_out(self, T, B, D, H):
        self.states = self.per_step(T + 1, B, H)  # states[:, t] enters step t
        self.x1 = np.ones(
            (self.R if self.x_runs else 1, T, B, D + 1), self.dtype
        )  # [x_t, 1]: the bias is a column of W
        self.x = self.x1[..., :-1] if self.x_runs else self.x1[0, ..., :-1]
        self.d_h_all, self.d_h_before = self.per_step(T, B, H), self.array(B, H)
        self.W_hh, self.W_hh_T, self.W_x1 = self.array(H, H), self.array(H, H), self.array(H, D + 1)
        self.z, self.d_z = self.array(B, H), self.per_step(T, B, H)
        self.local = self.d_z[None]
        self.x1_rows, self.drive_rows = self.rows(self.x1), self.rows(self.states[:, 1:])

    def rows(self, array):
        """Return (R, T, B, N) as (R, T * B, N), a row for each step and sequence: a copy where runs are stacked."""
        return array.reshape(len(array), self.T * self.B, -1)

    def dot_for(self, chunk):
        """Return the product: `dot` costs half a call of np.matmul, which a stack of runs needs."""
        return np.matmul if isinstance(chunk, slice) else np.ndarray.dot  # np.dot is this and a call in Python

    def forward_views(self, chunk):
        h = by_step(self.states[chunk])
        return list(pairwise(h)), self.dot_for(chunk), self.W_hh_T[chunk], self.z[chunk]

    def backward_views(self, chunk):
        views = list(zip(by_step(self.d_h_all[chunk]), by_step(self.d_z[chunk]), strict=True))
        return views, self.dot_for(chunk), self.W_hh[chunk], self.d_h_before[chunk]

    def take_weights(self, params):
        self.W_hh[...] = params["weight_hh"]
        self.W_hh_T[...] = transposed(self.W_hh)  # a product with a transposed view takes up to three times as long
        self.W_x1[..., :-1] = params["weight_ih"]
        add(params["bias_ih"], params["bias_hh"], self.W_x1[..., -1])
        np.matmul(self.x1_rows, transposed(self.W_x1), self.drive_rows)
        if not np.may_share_memory(self.drive_rows, self.states):  # NumPy had to copy: see `rows`
            self.states[:, 1:] = self.drive_rows.reshape(self.states[:, 1:].shape)

    def local_derivatives(self, runs, steps, out):
        self.cell.slope(self.states[runs, 1:][:, steps], out=out[0])

    def weight_gradients(self):
        """Sum over steps and sequences in one product each: dL/dW = sum_t dL/dz_t (what W multiplied)^T."""
        d_z = transposed(self.rows(self.d_z))
        d_x1, d_hh = np.matmul(d_z, self.x1_rows), np.matmul(d_z, self.rows(self.states[:, :-1]))
        return {"weight_ih": d_x1[..., :-1], "weight_hh": d_hh, "bias_ih": d_x1[..., -1], "bias_hh": d_x1[..., -1]}

    def d_x(self):
        d_x = np.matmul(self.rows(self.d_z), self.W_x1[..., :-1])
        return self.public(d_x.reshape(self.R, self.T, self.B, -1))

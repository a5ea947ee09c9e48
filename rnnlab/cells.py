"""Recurrent cells: the step forward and the step back, side by side.

A cell holds sizes and a nonlinearity, never parameters. Parameters are a flat dict with torch's names and shapes.
The steps work in place on arrays that `rnnlab.bptt` lays out once per sequence length and batch size: on small
networks making new arrays costs more than the arithmetic.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnlab.checks import positive_integer

# name: (f, f' as a function of the output h = f(z)); both write into `out`.
NONLINEARITIES = {
    "tanh": (np.tanh, lambda h, out: np.subtract(1, np.multiply(h, h, out=out), out=out)),
    "relu": (lambda z, out: np.maximum(z, 0, out=out), lambda h, out: np.greater(h, 0, out=out, casting="unsafe")),
    "linear": (np.positive, lambda h, out: out.fill(1)),
}


class RNNCell:
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
        self.input_size = positive_integer(input_size, "input_size")
        self.hidden_size = positive_integer(hidden_size, "hidden_size")
        if nonlinearity not in NONLINEARITIES:
            raise ValueError(f"expected nonlinearity to be one of {sorted(NONLINEARITIES)}, got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        self.f, self.slope = NONLINEARITIES[nonlinearity]

    def __repr__(self):
        return f"RNNCell({self.input_size}, {self.hidden_size}, nonlinearity={self.nonlinearity!r})"

    @property
    def shapes(self):
        """Return the shape of each parameter by name."""
        H, D = self.hidden_size, self.input_size
        return {"weight_ih": (H, D), "weight_hh": (H, H), "bias_ih": (H,), "bias_hh": (H,)}

    def init(self, rng, dtype=np.float64):
        """Draw parameters as torch does: uniform on (-1/sqrt(H), 1/sqrt(H)).

        Args:
            rng: a numpy.random.Generator.
            dtype: numpy.float64 or numpy.float32.

        Returns:
            dict name -> array: weight_ih (H, D), weight_hh (H, H), bias_ih (H,), bias_hh (H,).
        """
        bound = 1 / np.sqrt(self.hidden_size)
        return {name: rng.uniform(-bound, bound, shape).astype(dtype) for name, shape in self.shapes.items()}

    def tape(self, T, B, dtype):
        """Make the arrays in which T steps of a batch of B are recorded."""
        return RNNTape(self, T, B, dtype)

    # One step forward, one step back. `memory` is the row block [h_{t-1}, x_t, 1] and `weights` is [W_hh, W_ih, b]
    # transposed, so that one product is the whole pre-activation z_t.

    def step(self, memory, weights, z, h):
        np.matmul(memory, weights, out=z)  # z_t = W_hh h_{t-1} + W_ih x_t + b
        self.f(z, out=h)  # h_t = f(z_t)

    def step_back(self, d_h, d_z, W_hh, d_h_through_time):
        np.add(d_h, d_h_through_time, out=d_h)  # total = immediate + what came back through z_{t+1}
        np.multiply(d_z, d_h, out=d_z)  # dL/dz_t = f'(z_t) dL/dh_t   (d_z holds f'(z_t) until here)
        np.matmul(d_z, W_hh, out=d_h_through_time)  # dL/dh_{t-1} through z_t = W_hh^T dL/dz_t

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


class RNNTape:
    """Record one unrolled sequence of an `RNNCell`, forward and back.

    Attributes:
        memory: (T+1, B, H+D+1); memory[t] = [h_{t-1}, x_t, 1], so one product with it gives every weight gradient.
        h: (T, B, H), states after each step.
        d_h: (T, B, H), after `backprop` the total derivative dL/dh_t.
        d_z: (T, B, H), after `backprop` dL/dz_t.
    """

    def __init__(self, cell, T, B, dtype):
        H, D = cell.hidden_size, cell.input_size
        self.cell, self.T, self.B, self.dtype = cell, T, B, np.dtype(dtype)
        self.memory = np.zeros((T + 1, B, H + D + 1), dtype)
        self.memory[:, :, -1] = 1
        self.state, self.x, self.h = self.memory[0, :, :H], self.memory[:-1, :, H:-1], self.memory[1:, :, :H]
        self.weights = np.empty((H + D + 1, H), dtype)
        self.z = np.empty((B, H), dtype)
        self.d_h, self.d_z = np.empty((T, B, H), dtype), np.empty((T, B, H), dtype)
        self.d_h_through_time = np.empty((B, H), dtype)
        self.W_hh = np.empty((H, H), dtype)
        # Views of every step are made once: slicing inside the loop would cost as much as the products.
        self.forward = [(self.memory[t], self.weights, self.z, self.h[t]) for t in range(T)]
        self.backward = [(self.d_h[t], self.d_z[t], self.W_hh, self.d_h_through_time) for t in range(T)]

    def begin(self, params, x, state):
        """Take parameters, inputs and the initial state; the steps of `forward` can run after this."""
        H = self.cell.hidden_size
        self.weights[:H] = params["weight_hh"].T
        self.weights[H:-1] = params["weight_ih"].T
        self.weights[-1] = params["bias_ih"] + params["bias_hh"]
        self.x[...] = x
        self.state[...] = 0 if state is None else state

    def begin_back(self, params, d_h, d_state):
        """Take the immediate derivatives; the steps of `backward` can run, last one first, after this."""
        self.d_h[...] = d_h
        self.d_h_through_time[...] = 0 if d_state is None else d_state
        self.W_hh[...] = params["weight_hh"]
        self.cell.slope(self.h, out=self.d_z)

    def cut(self):
        """Stop what flows back to the step before: the state there is treated as a constant."""
        self.d_h_through_time.fill(0)

    def final_state(self):
        """Return h_T, (B, H)."""
        return self.h[-1]

    def gradients(self, params):
        """Sum the parameter gradients over all steps and samples in one product: dL/dW = sum_t dL/dz_t memory_t^T."""
        H, rows = self.cell.hidden_size, self.T * self.B
        d_weights = self.d_z.reshape(rows, H).T @ self.memory[:-1].reshape(rows, -1)
        d_bias = d_weights[:, -1]
        grads = {"weight_ih": d_weights[:, H:-1], "weight_hh": d_weights[:, :H], "bias_ih": d_bias, "bias_hh": d_bias}
        # Two biases, two arrays: an optimizer or a reader may change one of them.
        grads = {name: grad.copy() for name, grad in grads.items()}
        return Back(grads, self.d_h, self.d_h_through_time, self.d_z, params["weight_ih"])


@dataclass
class Back:
    """Hold what `backprop` returns.

    Attributes:
        params: dict name -> gradient, shaped as the parameters.
        d_h: (T, B, H), TOTAL derivative dL/dh_t: along every path from h_t to the loss. (What went into `backprop` is
            the immediate derivative: the path from h_t to the loss that passes through no later state.)
        d_state: (B, H), dL/dh_0, the gradient of the initial state.
        d_x: (T, B, D), dL/dx_t, computed when first read.
    """

    params: dict
    d_h: np.ndarray
    d_state: np.ndarray
    d_z: np.ndarray
    weight_ih: np.ndarray

    @cached_property
    def d_x(self):
        return self.d_z @ self.weight_ih

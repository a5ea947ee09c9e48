"""The sLSTM: long short-term memory with an exponential input gate, and the stabilizer that keeps it finite."""

import numpy as np
from numpy import add, exp, maximum, multiply, tanh

from rnnlab.cells import Cell
from rnnlab.tapes import ColumnTape, by_step, transposed


def sigmoid(z):
    """Return 1 / (1 + exp(-z)), without overflow."""
    return (1 + tanh(z / 2)) / 2


class SLSTMCell(Cell):
    """Describe the sLSTM of xLSTM: an input gate without an upper bound, and a sum of what it let in.

    i = exp(z_i), f = sigmoid(z_f) or exp(z_f), z = tanh(z_z), o = sigmoid(z_o), from W_ih x_t + b_ih + W_hh h_{t-1} +
    b_hh; c_t = f c_{t-1} + i z, n_t = f n_{t-1} + i, h_t = o c_t / n_t. Because i can overflow, c and n are kept
    divided by exp(m_t), m_t = max(log f + m_{t-1}, log i), which cancels in h_t. The state is (h, c, n, m); before the
    first step m is minus infinity: no gate has been seen. One head; no group norm behind it.

    Args:
        input_size: D, numbers in one input x_t.
        hidden_size: H, hidden units.
        forget: "sigmoid" or "exp".

    Source: Beck et al. (2024), section 2.2, equations 8 to 17.

    >>> SLSTMCell(input_size=2, hidden_size=3).state_names
    ('h', 'c', 'n', 'm')
    """

    gates = ("i", "f", "z", "o")
    state_names = ("h", "c", "n", "m")
    state_before = (0.0, 0.0, 0.0, -np.inf)

    def __init__(self, input_size, hidden_size, forget="sigmoid"):
        super().__init__(input_size, hidden_size)
        if forget not in ("sigmoid", "exp"):
            raise ValueError(f"expected forget to be 'sigmoid' or 'exp', got {forget!r}")
        self.forget = forget

    @property
    def options(self):
        return {"forget": "exp"} if self.forget == "exp" else {}

    def tape(self, *layout):
        """Make the arrays in which a sequence is recorded; see `Tape` for the arguments."""
        return SLSTMTape(self, *layout)

    # The steps forward and the steps back. `pre` are the pre-activations; those of z and o become the gates.

    def steps(self, views, W_times):
        for hx1, pre, (z_i, z_f, z, o), (c_before, n_before, m_before), (c, n, m), (i, f), h in views:
            W_times(hx1, pre)
            kept = m_before + (z_f if self.forget == "exp" else -np.logaddexp(0, -z_f))
            maximum(kept, z_i, out=m)
            exp(kept - m, f)  # of f and i one is 1, the other at most 1
            exp(z_i - m, i)
            tanh(z, z)
            o[...] = sigmoid(o)
            add(f * c_before, i * z, c)
            add(f * n_before, i, n)
            multiply(o, c / n, h)

    # Back. The factors come from `local_derivatives`. d_c, d_n and d_m are on their way from step to step.

    def steps_back(self, views, W_hh_T_times, d_h_before, d_c, d_n, d_m):
        for d_h, d_c_total, d_pre, (d_i, d_f, d_z, d_o), (h_c, h_n, c_s, n_s, wins, e, f, c_z, h_o) in views:
            add(d_h, d_h_before, d_h)
            add(d_c, d_h * h_c, d_c_total)  # total = through c_{t+1} + through h_t
            add(d_n, d_h * h_n, d_n)
            d_s = d_c_total * c_s + d_n * n_s
            add(d_s, d_m * wins, d_f)
            np.subtract(d_m - d_m * wins, d_s, d_i)
            d_m[...] = d_f  # dL/d(log f + m_{t-1})
            multiply(d_f, e, d_f)
            multiply(d_c_total, c_z, d_z)
            multiply(d_h, h_o, d_o)
            multiply(d_c_total, f, d_c)
            multiply(d_n, f, d_n)
            W_hh_T_times(d_pre, d_h_before)  # dL/dh_{t-1} through the gates = W_hh^T dL/dz_t

    def local_derivatives(self, pre, before, now, i_f, out):
        """Fill out with the factors of `steps_back`; c and n see f and i through s = log f + m_{t-1} - log i alone.

        They are dh/dc, dh/dn, dc/ds, dn/ds, dm/d(log f + m_{t-1}), d(log f)/dz_f, f, dc/dz_z, dh/dz_o.
        """
        (_, z_f, z, o), (c_before, n_before, _), (c, n, _), (i, f) = pre, before, now, i_f
        out[0] = o / n
        out[1] = -out[0] * c / n
        wins = f == 1  # then i = exp(-s); otherwise i = 1 and f = exp(s)
        out[2], out[3] = np.where(wins, -i * z, f * c_before), np.where(wins, -i, f * n_before)
        out[4], out[5], out[6] = wins, 1 if self.forget == "exp" else sigmoid(-z_f), f
        out[7], out[8] = i * (1 - z * z), c / n * o * (1 - o)

    def jacobians(self, params, tape):
        """Return the Jacobian of every step in the state (h, c, n, m), (T, B, 4H, 4H): rows (h_t, c_t, n_t, m_t)."""
        h_c, h_n, c_s, n_s, wins, e, f, c_z, h_o = tape.all_local()[..., None]
        W_i, W_f, W_z, W_o = params["weight_hh"].reshape(4, self.hidden_size, self.hidden_size)
        eye, nothing = np.eye(self.hidden_size), np.zeros((*f.shape[:-1], self.hidden_size))
        s = e * W_f - W_i
        c = [c_s * s + c_z * W_z, f * eye, nothing, c_s * eye]  # by h, c, n, m
        n = [n_s * s, nothing, f * eye, n_s * eye]
        m = [wins * e * W_f + (1 - wins) * W_i, nothing, nothing, wins * eye]
        h = [h_c * by_c + h_n * by_n for by_c, by_n in zip(c, n, strict=True)]
        h[0] = h[0] + h_o * W_o
        return np.block([h, c, n, m])

    def activations(self, tape):
        """Return each gate's values in (0, 1), (T, B, H) by name: i and f as c and n see them, z as (1 + z) / 2."""
        (_, _, z, o), (i, f) = tape.pre_parts, tape.i_f_parts
        gates = {"i": i, "f": f, "z": (1 + z) / 2, "o": o}
        return {name: tape.public(transposed(gate)) for name, gate in gates.items()}


class SLSTMTape(ColumnTape):
    """Record one unrolled sequence of an `SLSTMCell`.

    Attributes:
        pre: (R, T, 4H, B), pre-activations of i and f, and the values of z and o.
        i_f: (R, T, 2H, B), i and f divided by exp(m_t).
        memory: (R, T+1, 3H, B), [c, n, m]; entry t enters step t.
    """

    factors = 9

    def lay_out_gates(self, T, B, H):
        self.W = self.array(4 * H, self.hx1.shape[-2])
        self.W_hh_T, self.W_ih_T = self.array(H, 4 * H), self.array(self.cell.input_size, 4 * H)
        self.pre, self.i_f, self.memory = (self.per_step(steps, n * H, B) for steps, n in ((T, 4), (T, 2), (T + 1, 3)))
        self.pre_parts, self.i_f_parts, self.memory_parts = map(self.by_part, (self.pre, self.i_f, self.memory))
        self.d_z, self.d_c, self.d_memory_before = (
            self.per_step(T, 4 * H, B),
            self.per_step(T, H, B),
            self.array(3 * H, B),
        )
        self.local = self.by_part(self.per_step(T, self.factors * H, B))
        self.c = self.public(transposed(self.memory_parts[0, :, 1:]))

    def state_arrays(self):
        return self.states, *transposed(self.memory_parts)

    def carries_at(self, t):
        return self.d_h_before, *(transposed(part) for part in self.parts(self.d_memory_before, (0, 1), (1, 2), (2, 3)))

    def recorded(self):
        # Not n and m: what is divided by n must stay finite, and gradients in the padding are 0.
        return [self.states[:, 1:], *(transposed(array) for array in (self.memory_parts[0, :, 1:], self.pre, self.i_f))]

    def in_parts(self, array, chunk):
        """Return, for each step, the tuple of the parts of an array (N, R, T, H, B)."""
        return [tuple(parts) for parts in by_step(array[:, chunk])]

    def forward_views(self, chunk):
        hx1, pre = by_step(self.hx1[chunk]), by_step(self.pre[chunk])
        gates, i_f, memory = (self.in_parts(a, chunk) for a in (self.pre_parts, self.i_f_parts, self.memory_parts))
        h = hx1[1:, ..., : self.cell.hidden_size, :]
        return list(zip(hx1[:-1], pre, gates, memory[:-1], memory[1:], i_f, h, strict=True)), self.times(self.W, chunk)

    def backward_views(self, chunk):
        d_h, d_c, d_z = (by_step(array[chunk]) for array in (self.d_h_columns, self.d_c, self.d_z))
        d_gates, local = (self.in_parts(array, chunk) for array in (self.by_part(self.d_z), self.local))
        carries = self.parts(self.d_memory_before[chunk], (0, 1), (1, 2), (2, 3))
        views = list(zip(d_h, d_c, d_z, d_gates, local, strict=True))
        return views, self.times(self.W_hh_T, chunk), self.d_h_before_columns[chunk], *carries

    def take_weights(self, params):
        H = self.cell.hidden_size
        self.W[..., :H], self.W[..., H:-1] = params["weight_hh"], params["weight_ih"]
        add(params["bias_ih"], params["bias_hh"], self.W[..., -1])
        self.W_hh_T[...], self.W_ih_T[...] = transposed(self.W[..., :H]), transposed(self.W[..., H:-1])

    def local_derivatives(self, runs, steps, out):
        memory = self.memory_parts[:, runs]
        before, now = memory[:, :, :-1][:, :, steps], memory[:, :, 1:][:, :, steps]
        self.cell.local_derivatives(self.pre_parts[:, runs, steps], before, now, self.i_f_parts[:, runs, steps], out)

    def weight_gradients(self):
        """Sum over steps and sequences in one product: dL/dW = sum_t dL/dz_t [h_{t-1}; x_t; 1]^T."""
        d_z, hx1, H = (
            self.side_by_side("d_z", self.d_z),
            self.side_by_side("hx1", self.hx1[:, :-1]),
            self.cell.hidden_size,
        )
        d_W = np.matmul(d_z, transposed(hx1))
        d_bias = d_W[..., -1]
        return {"weight_ih": d_W[..., H:-1], "weight_hh": d_W[..., :H], "bias_ih": d_bias, "bias_hh": d_bias}

    def d_memory(self):
        return self.public(transposed(self.d_c))

    def d_x(self):
        return self.input_gradients(self.d_z, self.W_ih_T)

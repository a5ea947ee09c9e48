"""Gated recurrent units: the reset gate after the recurrent product (torch, cuDNN) or before it (the paper of 2014)."""

import numpy as np
from numpy import add, multiply, subtract, tanh

from rnnlab.cells import Cell
from rnnlab.tapes import ColumnTape, by_step, transposed


class GRUCell(Cell):
    """Describe the gated recurrent unit with torch's names and gate order r, z, n.

    r, z = sigmoid(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh),
    n = tanh(W_in x_t + b_in + r * (W_hn h_{t-1} + b_hn)),  h_t = (1 - z) * n + z * h_{t-1}.

    The reset gate r stands AFTER the recurrent product, as in torch and cuDNN; `ChoGRUCell` has it before.

    Args:
        input_size: D, numbers in one input x_t.
        hidden_size: H, hidden units.

    Source: Cho et al. (2014), in the form of cuDNN.

    >>> GRUCell(input_size=2, hidden_size=3).shapes
    {'weight_ih': (9, 2), 'weight_hh': (9, 3), 'bias_ih': (9,), 'bias_hh': (9,)}
    """

    gates = ("r", "z", "n")

    def tape(self, *layout):
        """Make the arrays in which a sequence is recorded; see `Tape` for the arguments."""
        return GRUTape(self, *layout)

    # The steps forward and the steps back. `n` holds W_in x_t + b_in until its step overwrites it.
    # sigmoid(z) = (1 + tanh(z / 2)) / 2, with r's and z's weights halved beforehand, costs less than an exponential.

    def steps(self, views, W_times, half, scratch):
        for hx1, r_z_q, r_z, r, z, q, n, h_before, h in views:
            W_times(hx1, r_z_q)  # what r and z are made of, and q = W_hn h_{t-1} + b_hn
            tanh(r_z, r_z)
            multiply(r_z, half, r_z)
            add(r_z, half, r_z)
            multiply(r, q, scratch)
            add(n, scratch, n)
            tanh(n, n)  # n = tanh(W_in x_t + b_in + r * q)
            subtract(h_before, n, scratch)
            multiply(z, scratch, scratch)
            add(n, scratch, h)  # h_t = n + z * (h_{t-1} - n)

    # Back. `by_h` = [dh_t/dz_z, dh_t/dz_n, dh_t/dh_{t-1}] and `by_n` = [dz_n/dq, dz_n/dz_r] come from
    # `local_derivatives`; once multiplied they are dL/dz_z, ... `d_qrz` are dL/d(q, z_r, z_z) in one array.

    def steps_back(self, views, W_hh_T_times, d_h_before):
        for d_h, by_h, by_n, d_n, d_qrz, d_h_through_time in views:
            add(d_h, d_h_before, d_h)  # total = immediate + what came back from step t+1
            multiply(by_h, d_h, by_h)
            multiply(by_n, d_n, by_n)
            W_hh_T_times(d_qrz, d_h_before)  # dL/dh_{t-1} through the gates
            add(d_h_before, d_h_through_time, d_h_before)  # and through z * h_{t-1}

    def local_derivatives(self, gates, r_multiplies, h_before, out):
        """Fill out = [what r multiplies, z_r, z_z, z_n, h_{t-1}]: the factors of `steps_back`, many steps at once.

        Args:
            gates: [r, z, q, n], arrays of one shape; the others have it too.
        """
        r, z, _, n = gates
        by_r, z_r, z_z, z_n, through_time = out
        subtract(1, gates[:2], out[1:3])
        subtract(1, multiply(n, n, z_n), z_n)
        multiply(z_n, z_z, z_n)  # dh_t/dz_n = (1 - n^2) (1 - z)
        multiply(out[1:3], gates[:2], out[1:3])  # sigmoid' = s (1 - s)
        multiply(z_r, r_multiplies, z_r)
        multiply(z_z, subtract(h_before, n, through_time), z_z)  # dh_t/dz_z = z (1 - z) (h_{t-1} - n)
        by_r[...], through_time[...] = r, z

    def jacobians(self, params, tape):
        """Return the Jacobian of every step, (T, B, H, H)."""
        H = self.hidden_size
        q, z_r, z_z, z_n, by_h = tape.all_local()[..., None]
        W_r, W_z, W_n = params["weight_hh"].reshape(3, H, H)
        return z_z * W_z + z_n * (q * W_n + z_r * W_r) + by_h * np.eye(H)

    def activations(self, tape):
        """Return each gate's values in (0, 1), (T, B, H) by name; n is mapped there by (1 + n) / 2."""
        r, z, _, n = (tape.public(transposed(gate)) for gate in tape.gate_parts)
        return {"r": r, "z": z, "n": (1 + n) / 2}


class GRUTape(ColumnTape):
    """Record one unrolled sequence of a `GRUCell`.

    Attributes:
        gates: (R, T, 4H, B), [r, z, q, n] with q = W_hn h_{t-1} + b_hn, what the reset gate multiplies.
        d: (R, T, 5H, B), the five local derivatives, in the end times what they multiply: dL/d[q, z_r, z_z, z_n,
            h_{t-1}]. The first three go back through W_hh and the middle three through W_ih, each in one product.
    """

    factors = 5

    def lay_out_gates(self, T, B, H):
        D = self.cell.input_size
        self.W, self.W_hh_T = self.array(3 * H, H + D + 1), self.array(H, 3 * H)  # rows r, z, q; columns q, r, z
        self.W_x1, self.W_ih_T = self.array(H, D + 1), self.array(D, 3 * H)
        self.gates, self.d, self.scratch = self.per_step(T, 4 * H, B), self.per_step(T, 5 * H, B), self.array(H, B)
        self.local, self.gate_parts = self.by_part(self.d), self.by_part(self.gates)
        self.half = np.array(0.5, self.dtype)

    def recorded(self):
        return [self.states[:, 1:], transposed(self.gates)]

    def forward_views(self, chunk):
        hx1, gates = by_step(self.hx1[chunk]), by_step(self.gates[chunk])
        parts = self.parts(gates, (0, 3), (0, 2), (0, 1), (1, 2), (2, 3), (3, 4))
        h = hx1[..., : self.cell.hidden_size, :]
        views = list(zip(hx1[:-1], *parts, h[:-1], h[1:], strict=True))
        return views, self.times(self.W, chunk), self.half, self.scratch[chunk]

    def backward_views(self, chunk):
        d, by_part = by_step(self.d[chunk]), by_step(self.local[:, chunk])
        d_n, d_qrz, through_time = self.parts(d, (3, 4), (0, 3), (4, 5))
        d_h = by_step(self.d_h_columns[chunk])
        views = list(zip(d_h, by_part[:, 2:], by_part[:, :2], d_n, d_qrz, through_time, strict=True))
        return views, self.times(self.W_hh_T, chunk), self.d_h_before_columns[chunk]

    def take_weights(self, params):
        H, W_hh, W_ih = self.cell.hidden_size, params["weight_hh"], params["weight_ih"]
        r_z, n = slice(0, 2 * H), slice(2 * H, None)
        self.W[:, r_z, :H], self.W[:, r_z, H:-1] = W_hh[:, r_z], W_ih[:, r_z]
        add(params["bias_ih"][:, r_z], params["bias_hh"][:, r_z], self.W[:, r_z, -1])
        multiply(self.W[:, r_z], self.half, self.W[:, r_z])
        self.W_x1[..., :-1], self.W_ih_T[...] = W_ih[:, n], transposed(W_ih)
        self.W_hh_T[..., :H], self.W_hh_T[..., H:] = transposed(W_hh[:, n]), transposed(W_hh[:, r_z])
        self.take_candidate(W_hh[:, n], params["bias_ih"][:, n], params["bias_hh"][:, n])
        np.matmul(self.W_x1[:, None], self.hx1[:, :-1, H:], self.gates[:, :, 3 * H :])

    def take_candidate(self, W_hn, b_in, b_hn):
        H = self.cell.hidden_size
        self.W[:, 2 * H :, :H], self.W[:, 2 * H :, -1], self.W_x1[..., -1] = W_hn, b_hn, b_in

    def local_derivatives(self, runs, steps, out):
        h_before = self.hx1[runs, steps, : self.cell.hidden_size]
        gates = self.gate_parts[:, runs, steps]
        self.cell.local_derivatives(gates, self.r_multiplies(gates, h_before), h_before, out)

    def r_multiplies(self, gates, h_before):
        return gates[2]

    def weight_gradients(self):
        """Sum over steps and sequences in one product each: dL/dW = sum_t dL/dz_t (what W multiplied)^T."""
        H = self.cell.hidden_size
        d_qrzn = self.side_by_side("d_qrzn", self.d[:, :, : 4 * H])
        h_x1 = transposed(self.side_by_side("hx1", self.hx1[:, :-1]))
        d_x1 = np.matmul(d_qrzn, h_x1[..., H:])
        d_ih, d_bias, d_bias_q = d_x1[:, H:, :-1], d_x1[:, H:, -1], d_x1[:, :H, -1]
        d_hh, d_bias_hh = self.recurrent_gradients(d_qrzn, h_x1[..., :H], d_bias, d_bias_q)
        return {"weight_ih": d_ih, "weight_hh": d_hh, "bias_ih": d_bias, "bias_hh": d_bias_hh}

    def recurrent_gradients(self, d_qrzn, h_before, d_bias, d_bias_q):
        H = self.cell.hidden_size
        d_hh = np.matmul(d_qrzn[:, : 3 * H], h_before)
        return np.roll(d_hh, -H, axis=1), np.concatenate([d_bias[:, : 2 * H], d_bias_q], axis=1)

    def d_x(self):
        H = self.cell.hidden_size
        return self.input_gradients(self.d[:, :, H : 4 * H], self.W_ih_T)


class ChoGRUCell(GRUCell):
    """Describe the gated recurrent unit with the reset gate BEFORE the recurrent product, as first published.

    n = tanh(W_in x_t + b_in + W_hn (r * h_{t-1}) + b_hn); the rest is as in `GRUCell`. With the same parameters the
    two give different states, so weights cannot be carried from one to the other.

    Args:
        input_size: D, numbers in one input x_t.
        hidden_size: H, hidden units.

    Source: Cho et al. (2014), equation 8. Keras calls it GRU(reset_after=False).
    """

    def tape(self, *layout):
        """Make the arrays in which a sequence is recorded; see `Tape` for the arguments."""
        return ChoGRUTape(self, *layout)

    def steps(self, views, W_rz_times, half, scratch, W_hn_times):
        for hx1, r_z, r, z, kept, n, h_before, h in views:
            W_rz_times(hx1, r_z)
            tanh(r_z, r_z)
            multiply(r_z, half, r_z)
            add(r_z, half, r_z)
            multiply(r, h_before, kept)  # what the reset gate lets through
            W_hn_times(kept, scratch)
            add(n, scratch, n)
            tanh(n, n)  # n = tanh(W_in x_t + b + W_hn (r * h_{t-1}))
            subtract(h_before, n, scratch)
            multiply(z, scratch, scratch)
            add(n, scratch, h)  # h_t = n + z * (h_{t-1} - n)

    def steps_back(self, views, W_rz_T_times, d_h_before, W_hn_T_times, d_kept):
        for d_h, by_h, by_kept, d_n, d_rz, d_h_kept, d_h_through_time in views:
            add(d_h, d_h_before, d_h)
            multiply(by_h, d_h, by_h)
            W_hn_T_times(d_n, d_kept)  # dL/d(r * h_{t-1})
            multiply(by_kept, d_kept, by_kept)
            W_rz_T_times(d_rz, d_h_before)
            add(d_h_before, d_h_kept, d_h_before)
            add(d_h_before, d_h_through_time, d_h_before)

    def jacobians(self, params, tape):
        """Return the Jacobian of every step, (T, B, H, H)."""
        H = self.hidden_size
        kept, z_r, z_z, z_n, by_h = tape.all_local()[..., None]
        W_r, W_z, W_n = params["weight_hh"].reshape(3, H, H)
        return z_z * W_z + z_n * (W_n @ (kept * np.eye(H) + z_r * W_r)) + by_h * np.eye(H)


class ChoGRUTape(GRUTape):
    """Record one unrolled sequence of a `ChoGRUCell`; q is r * h_{t-1}, and the first entry of `d` belongs to it."""

    def lay_out_gates(self, T, B, H):
        super().lay_out_gates(T, B, H)
        self.W_hn = self.array(H, H)

    def forward_views(self, chunk):
        views, _, *shared = super().forward_views(chunk)
        views = [(hx1, *rest) for hx1, _, *rest in views]
        W_rz = self.W[:, : 2 * self.cell.hidden_size]
        return views, self.times(W_rz, chunk), *shared, self.times(self.W_hn, chunk)

    def backward_views(self, chunk):
        d, by_part, H = by_step(self.d[chunk]), by_step(self.local[:, chunk]), self.cell.hidden_size
        d_n, d_rz, d_h_kept, through_time = self.parts(d, (3, 4), (1, 3), (0, 1), (4, 5))
        d_h = by_step(self.d_h_columns[chunk])
        views = list(zip(d_h, by_part[:, 2:], by_part[:, :2], d_n, d_rz, d_h_kept, through_time, strict=True))
        W_hn_T, W_rz_T = self.times(self.W_hh_T[..., :H], chunk), self.times(self.W_hh_T[..., H:], chunk)
        return views, W_rz_T, self.d_h_before_columns[chunk], W_hn_T, self.scratch[chunk]

    def take_candidate(self, W_hn, b_in, b_hn):
        self.W_hn[...] = W_hn
        add(b_in, b_hn, self.W_x1[..., -1])  # no gate stands between the two

    def r_multiplies(self, gates, h_before):
        return h_before

    def recurrent_gradients(self, d_qrzn, h_before, d_bias, d_bias_q):
        H = self.cell.hidden_size
        kept = transposed(self.side_by_side("kept", self.gates[:, :, 2 * H : 3 * H]))
        d_hh = [np.matmul(d_qrzn[:, H : 3 * H], h_before), np.matmul(d_qrzn[:, 3 * H :], kept)]
        return np.concatenate(d_hh, axis=1), d_bias

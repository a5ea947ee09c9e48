"""Gated recurrent units: the reset gate after the recurrent product (torch, cuDNN) or before it (the paper of 2014)."""

import numpy as np
from numpy import add, multiply, subtract, tanh

from rnnlab.cells import Cell
from rnnlab.tapes import Tape, by_step, parts_by_step, transposed


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

    # One step forward, one step back. `drive` is the share of W_ih x_t + b.
    # sigmoid(z) = (1 + tanh(z / 2)) / 2, with r's and z's weights halved beforehand, costs less than an exponential.

    def step(
        self, dot, h_before, W_hh_T, recurrent, for_r_z, for_n, drive_r_z, drive_n, r_z, half, r, z, n, b_hn, q,
        scratch, h,
    ):  # fmt: skip
        dot(h_before, W_hh_T, recurrent)
        add(drive_r_z, for_r_z, r_z)
        tanh(r_z, r_z)
        multiply(r_z, half, r_z)
        add(r_z, half, r_z)
        add(for_n, b_hn, q)  # q = W_hn h_{t-1} + b_hn
        multiply(r, q, scratch)
        add(drive_n, scratch, n)
        tanh(n, n)  # n = tanh(W_in x_t + b_in + r * q)
        subtract(h_before, n, scratch)
        multiply(z, scratch, scratch)
        add(n, scratch, h)  # h_t = n + z * (h_{t-1} - n)

    # Back, with what `local_derivatives` prepared for all steps at once: by_h = [dh/dz_z, dh/dz_n, dh_t/dh_{t-1}]
    # multiply dL/dh_t, by_n = [dz_n/dq, dz_n/dz_r] multiply dL/dz_n. d_qrz are dL/d(q, z_r, z_z) in one row.

    def step_back(self, dot, d_h, d_h_before, by_h, d_of_h, by_n, d_n, d_of_n, d_qrz, W_hh, d_h_through_time):
        add(d_h, d_h_before, d_h)  # total = immediate + what came back from step t+1
        multiply(by_h, d_h, d_of_h)  # dL/dz_z, dL/dz_n, and dL/dh_{t-1} through z * h_{t-1}
        multiply(by_n, d_n, d_of_n)  # dL/dq and dL/dz_r
        dot(d_qrz, W_hh, d_h_before)  # dL/dh_{t-1} through the gates
        add(d_h_before, d_h_through_time, d_h_before)

    def local_derivatives(self, r, z, n, r_multiplies, h_before, out):
        """Fill out = [what r multiplies, z_r, z_z, z_n, h_{t-1}]: the factors of `step_back`, many steps at once."""
        by_r, z_r, z_z, z_n, through_time = out
        by_r[...] = r
        subtract(1, r, z_r)
        multiply(z_r, r, z_r)
        multiply(z_r, r_multiplies, z_r)
        subtract(1, z, z_z)
        subtract(1, multiply(n, n, z_n), z_n)
        multiply(z_n, z_z, z_n)  # dh_t/dz_n = (1 - z) (1 - n^2)
        multiply(z_z, z, z_z)
        multiply(z_z, subtract(h_before, n, through_time), z_z)  # dh_t/dz_z = z (1 - z) (h_{t-1} - n)
        through_time[...] = z

    def jacobians(self, params, tape):
        """Return the Jacobian of every step, (T, B, H, H)."""
        H = self.hidden_size
        q, z_r, z_z, z_n, by_h = tape.all_local()[..., None]
        W_r, W_z, W_n = params["weight_hh"].reshape(3, H, H)
        return z_z * W_z + z_n * (q * W_n + z_r * W_r) + by_h * np.eye(H)

    def activations(self, tape):
        """Return each gate's values in (0, 1), (T, B, H) by name; n is mapped there by (1 + n) / 2."""
        r, z, n = np.moveaxis(tape.public(tape.gates), -3, 0)
        return {"r": r, "z": z, "n": (1 + n) / 2}


class GRUTape(Tape):
    """Record one unrolled sequence of a `GRUCell`.

    Attributes:
        gates: (R, T, 3, B, H), [r, z, n]. One gate's numbers are contiguous.
        q: (R, T, B, H), W_hn h_{t-1} + b_hn, what the reset gate multiplies.
        d: (R, T, B, 5, H), the five local derivatives times what they multiply: after `backprop`
            dL/d[q, z_r, z_z, z_n, h_{t-1}]. The first three go back through W_hh and the middle three through W_ih,
            each in one product. Before the steps forward the middle three hold W_ih x_t + b.
    """

    factors = 5

    def lay_out(self, T, B, H):
        self.W_hh, self.W_hh_T = self.array(3 * H, H), self.array(H, 3 * H)
        self.W_x1, self.b_hn = self.array(3 * H, self.cell.input_size + 1), self.array(1, H)
        self.gates, self.q = self.array(T, 3, B, H), self.array(T, B, H)
        self.d = self.array(T, B, 5, H)
        self.recurrent, self.scratch = self.array(B, 3, H), self.array(B, H)
        self.half = np.array(0.5, self.dtype)

    def recorded(self):
        return [self.states[:, 1:], np.moveaxis(self.gates, 2, -2), self.q]

    def forward_views(self, chunk):
        dot, W_hh_T, b_hn, H = self.dot_for(chunk), self.W_hh_T[chunk], self.b_hn[chunk], self.cell.hidden_size
        recurrent, scratch = self.recurrent[chunk], self.scratch[chunk]
        rows, for_gates = recurrent.reshape(*recurrent.shape[:-2], 3 * H), np.moveaxis(recurrent, -2, 0)
        h, q = by_step(self.states[chunk]), by_step(self.q[chunk])
        drive, gates = parts_by_step(self.d[chunk], -2)[:, 1:4], parts_by_step(self.gates[chunk], -3)
        return [[
            (dot, h[t], W_hh_T, rows, for_gates[:2], for_gates[2], drive[t, :2], drive[t, 2], gates[t, :2], self.half,
             *gates[t], b_hn, q[t], scratch, h[t + 1])
            for t in range(self.T)
        ]]  # fmt: skip

    def backward_views(self, chunk):
        dot, W_hh, d_h_before = self.dot_for(chunk), self.W_hh[chunk], self.d_h_before[chunk]
        d_h, d_qrz = by_step(self.d_h_all[chunk]), by_step(self.rows(0, 3)[chunk])
        local, d, block = parts_by_step(self.local[chunk], -3), parts_by_step(self.d[chunk], -2), self.block
        return [[
            (dot, d_h[t], d_h_before, local[t % block, 2:], d[t, 2:], local[t % block, :2], d[t, 3], d[t, :2],
             d_qrz[t], W_hh, d[t, 4])
            for t in range(self.T)
        ]]  # fmt: skip

    def rows(self, first, last):
        """Return these of the five entries of `d` with every sequence's numbers as one row."""
        H = self.cell.hidden_size
        return self.d.reshape(*self.d.shape[:-2], 5 * H)[..., first * H : last * H]

    def take_weights(self, params):
        H = self.cell.hidden_size
        halves = np.array([0.5, 0.5, 1], self.dtype).repeat(H)
        self.take_recurrent(transposed(params["weight_hh"]) * halves)
        self.W_hh[:, :H], self.W_hh[:, H:] = params["weight_hh"][:, 2 * H :], params["weight_hh"][:, : 2 * H]
        self.b_hn[:, 0] = params["bias_hh"][:, 2 * H :]
        self.W_x1[..., :-1] = params["weight_ih"]
        self.W_x1[..., -1] = params["bias_ih"]
        self.W_x1[:, : 2 * H, -1] += params["bias_hh"][:, : 2 * H]
        np.matmul(self.flat(self.x1), transposed(self.W_x1) * halves, out=self.flat(self.rows(1, 4)))

    def take_recurrent(self, W_hh_T):
        self.W_hh_T[...] = W_hh_T

    def local_derivatives(self, runs, steps, out):
        r, z, n = np.moveaxis(self.gates[runs, steps], 2, 0)
        q, h_before = self.r_multiplies()[runs, steps], self.states[runs, steps]
        self.cell.local_derivatives(r, z, n, q, h_before, np.moveaxis(out, 2, 0))

    def r_multiplies(self):
        return self.q

    def weight_gradients(self):
        """Sum over steps and sequences in one product each: dL/dW = sum_t dL/dz_t (what W multiplied)^T."""
        H, d_qrz = self.cell.hidden_size, self.flat(self.rows(0, 3))
        d_x1 = np.matmul(transposed(self.flat(self.rows(1, 4))), self.flat(self.x1))
        d_hh = np.matmul(transposed(d_qrz), self.flat(self.states[:, :-1]))
        d_bias_hn = d_qrz[..., :H].sum(axis=1)
        return {
            "weight_ih": d_x1[..., :-1],
            "weight_hh": np.concatenate([d_hh[:, H:], d_hh[:, :H]], axis=1),
            "bias_ih": d_x1[..., -1],
            "bias_hh": np.concatenate([d_x1[:, : 2 * H, -1], d_bias_hn], axis=1),
        }

    def d_x(self):
        return self.input_gradients(self.rows(1, 4), self.W_x1[..., :-1])


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

    def step(
        self, dot, h_before, W_rz_T, for_r_z_rows, for_r_z, drive_r_z, drive_n, r_z, half, r, z, n, kept, W_n_T,
        scratch, h,
    ):  # fmt: skip
        dot(h_before, W_rz_T, for_r_z_rows)
        add(drive_r_z, for_r_z, r_z)
        tanh(r_z, r_z)
        multiply(r_z, half, r_z)
        add(r_z, half, r_z)
        multiply(r, h_before, kept)  # what the reset gate lets through
        dot(kept, W_n_T, scratch)
        add(drive_n, scratch, n)
        tanh(n, n)  # n = tanh(W_in x_t + b + W_hn (r * h_{t-1}))
        subtract(h_before, n, scratch)
        multiply(z, scratch, scratch)
        add(n, scratch, h)  # h_t = n + z * (h_{t-1} - n)

    def step_back(
        self, dot, d_h, d_h_before, by_h, d_of_h, d_n, W_n, d_kept, by_kept, d_of_kept, d_rz, W_rz, d_h_kept,
        d_h_through_time,
    ):  # fmt: skip
        add(d_h, d_h_before, d_h)
        multiply(by_h, d_h, d_of_h)  # dL/dz_z, dL/dz_n, and dL/dh_{t-1} through z * h_{t-1}
        dot(d_n, W_n, d_kept)  # dL/d(r * h_{t-1})
        multiply(by_kept, d_kept, d_of_kept)  # dL/dh_{t-1} through r * h_{t-1}, and dL/dz_r
        dot(d_rz, W_rz, d_h_before)
        add(d_h_before, d_h_kept, d_h_before)
        add(d_h_before, d_h_through_time, d_h_before)

    def jacobians(self, params, tape):
        """Return the Jacobian of every step, (T, B, H, H)."""
        H = self.hidden_size
        kept, z_r, z_z, z_n, by_h = tape.all_local()[..., None]
        W_r, W_z, W_n = params["weight_hh"].reshape(3, H, H)
        return z_z * W_z + z_n * (W_n @ (kept * np.eye(H) + z_r * W_r)) + by_h * np.eye(H)


class ChoGRUTape(GRUTape):
    """Record one unrolled sequence of a `ChoGRUCell`; `q` is r * h_{t-1}, and the first entry of `d` belongs to it."""

    def lay_out(self, T, B, H):
        super().lay_out(T, B, H)
        self.recurrent = self.array(B, 2, H)
        self.W_rz_T, self.W_n_T = self.array(H, 2 * H), self.array(H, H)

    def forward_views(self, chunk):
        dot, W_rz_T, W_n_T, H = self.dot_for(chunk), self.W_rz_T[chunk], self.W_n_T[chunk], self.cell.hidden_size
        recurrent, scratch = self.recurrent[chunk], self.scratch[chunk]
        rows, for_r_z = recurrent.reshape(*recurrent.shape[:-2], 2 * H), np.moveaxis(recurrent, -2, 0)
        h, kept = by_step(self.states[chunk]), by_step(self.q[chunk])
        drive, gates = parts_by_step(self.d[chunk], -2)[:, 1:4], parts_by_step(self.gates[chunk], -3)
        return [[
            (dot, h[t], W_rz_T, rows, for_r_z, drive[t, :2], drive[t, 2], gates[t, :2], self.half, *gates[t], kept[t],
             W_n_T, scratch, h[t + 1])
            for t in range(self.T)
        ]]  # fmt: skip

    def backward_views(self, chunk):
        dot, d_h_before, d_kept, H = (
            self.dot_for(chunk),
            self.d_h_before[chunk],
            self.scratch[chunk],
            self.cell.hidden_size,
        )
        W_n, W_rz = self.W_hh[chunk][..., :H, :], self.W_hh[chunk][..., H:, :]
        d_h, d_rz, d_n = (by_step(array[chunk]) for array in (self.d_h_all, self.rows(1, 3), self.rows(3, 4)))
        local, d, block = parts_by_step(self.local[chunk], -3), parts_by_step(self.d[chunk], -2), self.block
        return [[
            (dot, d_h[t], d_h_before, local[t % block, 2:], d[t, 2:], d_n[t], W_n, d_kept, local[t % block, :2],
             d[t, :2], d_rz[t], W_rz, d[t, 0], d[t, 4])
            for t in range(self.T)
        ]]  # fmt: skip

    def take_weights(self, params):
        H = self.cell.hidden_size
        bias_ih = params["bias_ih"].copy()
        bias_ih[:, 2 * H :] += params["bias_hh"][:, 2 * H :]  # no gate stands between the two biases of n
        super().take_weights({**params, "bias_ih": bias_ih})

    def take_recurrent(self, W_hh_T):
        self.W_rz_T[...], self.W_n_T[...] = np.split(W_hh_T, [2 * self.cell.hidden_size], axis=-1)

    def r_multiplies(self):
        return self.states[:, :-1]

    def weight_gradients(self):
        grads = super().weight_gradients()
        d_n, kept = self.flat(self.rows(3, 4)), self.flat(self.q)
        d_rz, states = self.flat(self.rows(1, 3)), self.flat(self.states[:, :-1])
        d_hh = [np.matmul(transposed(d), of) for d, of in ((d_rz, states), (d_n, kept))]
        return grads | {"weight_hh": np.concatenate(d_hh, axis=1), "bias_hh": grads["bias_ih"]}

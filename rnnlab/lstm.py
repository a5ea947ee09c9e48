"""Long short-term memory: the cell, its variants without a gate, and the one with peepholes."""

import numpy as np
from numpy import add, multiply, subtract, tanh

from rnnlab.cells import Cell
from rnnlab.tapes import Tape, by_step, parts_by_step, transposed

# A tape keeps the gates in this order, not in torch's i, f, g, o, so that what is treated alike lies side by side: the
# three sigmoids [o, i, f], and [i, f] beside the [g, c] that they multiply.
PACKED = "oifg"
# The pre-activation of a gate that is not there: tanh(OPEN / 2) is exactly 1, so the gate is 1 and its derivative 0.
OPEN = 1000.0


class LSTMCell(Cell):
    """Describe long short-term memory with torch's names and gate order i, f, g, o.

    i, f, o = sigmoid(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), g = tanh(of its own rows),
    c_t = f * c_{t-1} + i * g,  h_t = o * tanh(c_t).  The state is the pair (h, c).

    Args:
        input_size: D, numbers in one input x_t.
        hidden_size: H, hidden units.
        input_gate, forget_gate, output_gate: False leaves that gate out: it is 1 and has no parameters. Without the
            forget gate the cell is that of 1997.
        coupled: True lets the forget gate decide both: i = 1 - f, and the input gate has no parameters.

    Raises:
        ValueError: a size below 1, an option that is no bool, or coupled gates of which one is left out.

    Source: Hochreiter and Schmidhuber (1997); forget gate: Gers, Schmidhuber and Cummins (2000); variants: Greff et
        al. (2017).

    >>> LSTMCell(input_size=2, hidden_size=3).shapes
    {'weight_ih': (12, 2), 'weight_hh': (12, 3), 'bias_ih': (12,), 'bias_hh': (12,)}
    >>> LSTMCell(2, 3, forget_gate=False).gates
    ('i', 'g', 'o')
    """

    state_names = ("h", "c")

    def __init__(self, input_size, hidden_size, input_gate=True, forget_gate=True, output_gate=True, coupled=False):
        super().__init__(input_size, hidden_size)
        self._options = {
            "input_gate": input_gate, "forget_gate": forget_gate, "output_gate": output_gate, "coupled": coupled,
        }  # fmt: skip
        for name, value in self._options.items():
            if not isinstance(value, bool):
                raise ValueError(f"expected {name} to be True or False, got {value!r}")
        if coupled and not (input_gate and forget_gate):
            raise ValueError("expected both gates with coupled=True, got one left out: coupling is i = 1 - f")
        self.coupled = coupled
        has = {"i": input_gate and not coupled, "f": forget_gate, "g": True, "o": output_gate}
        self.gates = tuple(gate for gate in "ifgo" if has[gate])

    @property
    def options(self):
        return {name: value for name, value in self._options.items() if value != (name != "coupled")}

    def tape(self, *layout):
        """Make the arrays in which a sequence is recorded; see `Tape` for the arguments."""
        return LSTMTape(self, *layout)

    # One step forward, one step back. `drive` is W_ih x_t + b_ih + b_hh, `gates` are [o, i, f, g]. Sigmoids are computed
    # as sigmoid(z) = (1 + tanh(z / 2)) / 2, so that one tanh serves all four gates; the tape halves their weights
    # beforehand. `half` is 0.5 as an array, which costs half a call of the plain number.

    def step(
        self, dot, h_before, W_hh_T, z, z_gates, drive, gates, sigmoids, half, o, i_f, g_c, products, i_g, f_c, c,
        tanh_c, h,
    ):  # fmt: skip
        dot(h_before, W_hh_T, z)
        add(drive, z_gates, gates)  # z_t = W_hh h_{t-1} + W_ih x_t + b, halved for o, i, f
        tanh(gates, gates)
        multiply(sigmoids, half, sigmoids)
        add(sigmoids, half, sigmoids)
        multiply(i_f, g_c, products)
        add(i_g, f_c, c)  # c_t = i * g + f * c_{t-1}
        tanh(c, tanh_c)
        multiply(o, tanh_c, h)  # h_t = o * tanh(c_t)

    # Back, with what `local_derivatives` prepared for all steps at once: by_h = [dc/dh's factor, dh/dz_o] multiply
    # dL/dh_t, by_c = [dc/dz_i, dc/dz_f, dc/dz_g, dc_t/dc_{t-1}] multiply dL/dc_t.

    def step_back(self, dot, d_h, d_h_before, by_h, d_of_h, d_c, d_c_through_h, d_c_through_time, by_c, d_of_c, d_z,
                  W_hh):  # fmt: skip
        add(d_h, d_h_before, d_h)  # total = immediate + what came back through the gates of step t+1
        multiply(by_h, d_h, d_of_h)  # dL/dz_o, and dL/dc_t through h_t
        add(d_c_through_h, d_c_through_time, d_c)  # total = through h_t + through c_{t+1}
        multiply(by_c, d_c, d_of_c)  # dL/dz_i, dL/dz_f, dL/dz_g, and dL/dc_{t-1} through c_t
        dot(d_z, W_hh, d_h_before)  # dL/dh_{t-1} through the gates = W_hh^T dL/dz_t

    def local_derivatives(self, o, i, f, g, c_before, tanh_c, out):
        """Fill out = [c by h, z_o, z_i, z_f, z_g, c_{t-1}]: the factors of `step_back`, any number of steps at once."""
        by_h, z_o, z_i, z_f, z_g, through_time = out
        subtract(1, multiply(tanh_c, tanh_c, by_h), by_h)
        multiply(by_h, o, by_h)  # dh_t/dc_t = o (1 - tanh(c_t)^2)
        for gate, factor, to in ((o, tanh_c, z_o), (i, g, z_i), (f, c_before, z_f)):
            subtract(1, gate, to)
            multiply(to, gate, to)
            multiply(to, factor, to)  # sigmoid' = s (1 - s), times what the gate multiplies
        subtract(1, multiply(g, g, z_g), z_g)
        multiply(z_g, i, z_g)  # dc_t/dz_g = i (1 - g^2)
        through_time[...] = f

    def pack(self, blocks, missing=0.0):
        """Return the row blocks in the tape's order, (R, 4, H, ...), from the parameter (R, G*H, ...) of the gates."""
        H = self.hidden_size
        packed = np.full((len(blocks), 4, H, *blocks.shape[2:]), missing, blocks.dtype)
        for gate in self.gates:
            packed[:, PACKED.index(gate)] = blocks[:, self.rows(gate)]
        if self.coupled:  # 1 - sigmoid(z) = sigmoid(-z)
            packed[:, PACKED.index("i")] = -packed[:, PACKED.index("f")]
        return packed

    def unpack(self, packed):
        """Return the gradient of a parameter (R, G*H, ...) from that of what `pack` made of it."""
        blocks = {gate: packed[:, index] for index, gate in enumerate(PACKED)}
        if self.coupled:
            blocks["f"] = blocks["f"] - blocks["i"]
        return np.concatenate([blocks[gate] for gate in self.gates], axis=1)

    def jacobians(self, params, tape):
        """Return the Jacobian of every step in the state (h, c), (T, B, 2H, 2H): rows (h_t, c_t)."""
        local = tape.all_local()
        return self.state_jacobians(tape, local, local[0], local[-1])

    def state_jacobians(self, tape, local, dh_dc, dc_dc):
        """Put the Jacobians together from dh_t/dc_t and dc_t/dc_{t-1}, (T, B, H): within a unit in every LSTM."""
        H = self.hidden_size
        _, z_o, *z_ifg, _ = local[..., None]
        W_o, *W_ifg = tape.W_hh[0].reshape(4, H, H)
        dc_dh = sum(factor * W for factor, W in zip(z_ifg, W_ifg, strict=True))
        dh_dc, dc_dc = dh_dc[..., None], dc_dc[..., None] * np.eye(H)
        return np.block([[z_o * W_o + dh_dc * dc_dh, dh_dc * dc_dc], [dc_dh, dc_dc]])

    def activations(self, tape):
        """Return each gate's values in (0, 1), (T, B, H) by name; g is mapped there by (1 + g) / 2."""
        values = {gate: tape.public(tape.gates[:, :-1, index]) for index, gate in enumerate(PACKED)}
        return {gate: (1 + values[gate]) / 2 if gate == "g" else values[gate] for gate in self.gates}


class LSTMTape(Tape):
    """Record one unrolled sequence of an `LSTMCell`.

    Attributes:
        gates: (R, T+1, 5, B, H), [o, i, f, g, c_{t-1}] of step t. One gate's numbers are contiguous.
        d: (R, T+1, B, 6, H), the six local derivatives times what they multiply: after `backprop` dL/dc_t through h_t,
            dL/dz of [o, i, f, g], dL/dc_{t-1} through c_t. Here the gates of one sequence are side by side, for the
            products. Before the steps forward its gates hold W_ih x_t + b.
    """

    factors = 6

    def lay_out(self, T, B, H):
        self.W_hh, self.W_hh_T = self.array(4 * H, H), self.array(H, 4 * H)
        self.W_x1 = self.array(4 * H, self.cell.input_size + 1)
        self.gates, self.tanh_c = self.array(T + 1, 5, B, H), self.array(T, B, H)
        self.z, self.products = self.array(B, 4, H), self.array(2, B, H)
        self.d, self.d_c = self.array(T + 1, B, 6, H), self.array(T, B, H)
        self.half = np.array(0.5, self.dtype)
        self.c = self.public(self.gates[:, 1:, 4])

    def state_arrays(self):
        return self.states, self.gates[:, :, 4]

    def carries_at(self, t):
        return self.d_h_before, self.d[:, t, :, 5]

    def recorded(self):
        return [self.states[:, 1:], self.gates[:, 1:, 4], np.moveaxis(self.gates[:, :-1, :4], 2, -2), self.tanh_c]

    def forward_views(self, chunk):
        dot, W_hh_T, z, H = self.dot_for(chunk), self.W_hh_T[chunk], self.z[chunk], self.cell.hidden_size
        z_rows, z_gates = z.reshape(*z.shape[:-2], 4 * H), np.moveaxis(z, -2, 0)
        h, tanh_c = by_step(self.states[chunk]), by_step(self.tanh_c[chunk])
        drive, gates = parts_by_step(self.d[chunk], -2)[:, 1:5], parts_by_step(self.gates[chunk], -3)
        products = np.moveaxis(self.products[chunk], -3, 0)
        return [[
            (dot, h[t], W_hh_T, z_rows, z_gates, drive[t], gates[t, :4], gates[t, :3], self.half, gates[t, 0],
             gates[t, 1:3], gates[t, 3:5], products, *products, gates[t + 1, 4], tanh_c[t], h[t + 1])
            for t in range(self.T)
        ]]  # fmt: skip

    def backward_views(self, chunk):
        dot, W_hh, d_h_before = self.dot_for(chunk), self.W_hh[chunk], self.d_h_before[chunk]
        d_h, d_c, d_z = (by_step(array[chunk]) for array in (self.d_h_all, self.d_c, self.gate_rows(self.d)))
        local, d, block = parts_by_step(self.local[chunk], -3), parts_by_step(self.d[chunk], -2), self.block
        return [[
            (dot, d_h[t], d_h_before, local[t % block, :2], d[t, :2], d_c[t], d[t, 0], d[t + 1, 5],
             local[t % block, 2:], d[t, 2:], d_z[t], W_hh)
            for t in range(self.T)
        ]]  # fmt: skip

    def gate_rows(self, d):
        """Return the view of the four gates of every sequence as one row: (R, T, B, 4H)."""
        H = self.cell.hidden_size
        return d.reshape(*d.shape[:-2], 6 * H)[..., H : 5 * H]

    def take_weights(self, params):
        pack, H = self.cell.pack, self.cell.hidden_size
        halves = np.array([0.5, 0.5, 0.5, 1], self.dtype).repeat(H)
        self.W_hh[...] = pack(params["weight_hh"]).reshape(self.W_hh.shape)
        multiply(transposed(self.W_hh), halves, self.W_hh_T)
        self.W_x1[..., :-1] = pack(params["weight_ih"]).reshape(self.R, 4 * H, -1)
        self.W_x1[..., -1] = pack(params["bias_ih"] + params["bias_hh"], missing=OPEN).reshape(self.R, 4 * H)
        drive = self.flat(self.gate_rows(self.d[:, :-1]))
        np.matmul(self.flat(self.x1), transposed(self.W_x1) * halves, out=drive)

    def local_derivatives(self, runs, steps, out):
        o, i, f, g, c_before = np.moveaxis(self.gates[runs, steps], 2, 0)
        self.cell.local_derivatives(o, i, f, g, c_before, self.tanh_c[runs, steps], np.moveaxis(out, 2, 0))

    def weight_gradients(self):
        """Sum over steps and sequences in one product each: dL/dW = sum_t dL/dz_t (what W multiplied)^T."""
        d_z, unpack, H = transposed(self.flat(self.gate_rows(self.d[:, :-1]))), self.cell.unpack, self.cell.hidden_size
        d_x1 = np.matmul(d_z, self.flat(self.x1)).reshape(self.R, 4, H, -1)
        d_hh = np.matmul(d_z, self.flat(self.states[:, :-1])).reshape(self.R, 4, H, H)
        d_ih, d_bias = unpack(d_x1[..., :-1]), unpack(d_x1[..., -1])
        return {"weight_ih": d_ih, "weight_hh": unpack(d_hh), "bias_ih": d_bias, "bias_hh": d_bias}

    def d_memory(self):
        return self.public(self.d_c)

    def d_x(self):
        return self.input_gradients(self.gate_rows(self.d[:, :-1]), self.W_x1[..., :-1])

"""Long short-term memory: the cell, its variants without a gate, and the one with peepholes."""

import numpy as np
from numpy import add, multiply, subtract, tanh

from rnnlab.cells import Cell
from rnnlab.tapes import ColumnTape, by_step, transposed

# A tape keeps the gates in this order, not in torch's i, f, g, o, so that what is treated alike lies side by side: the
# three sigmoids [o, i, f], and [i, f] beside the [g, c] that they multiply.
PACKED = "oifg"
# Half the pre-activation of a gate that is not there: its tanh is exactly 1, so the gate is 1 and its derivative 0.
OPEN = 500.0


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
    state_before = (0.0, 0.0)

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

    # The steps forward and the steps back. `gates` are [o, i, f, g]. Sigmoids are computed as
    # sigmoid(z) = (1 + tanh(z / 2)) / 2, so that one tanh serves all four gates; the tape halves their weights
    # beforehand. `half` is 0.5 as an array, which costs half a call of the plain number.

    def steps(self, views, W_times, half, products, i_g, f_c):
        for hx1, gates, sigmoids, o, i_f, g_c, c, tanh_c, h in views:
            W_times(hx1, gates)  # z_t = W_hh h_{t-1} + W_ih x_t + b, halved for o, i, f
            tanh(gates, gates)
            multiply(sigmoids, half, sigmoids)
            add(sigmoids, half, sigmoids)
            multiply(i_f, g_c, products)
            add(i_g, f_c, c)  # c_t = i * g + f * c_{t-1}
            tanh(c, tanh_c)
            multiply(o, tanh_c, h)  # h_t = o * tanh(c_t)

    # Back. `by_h` = [dh_t/dc_t, dh_t/dz_o] and `by_c` = [dc_t/dz_i, dc_t/dz_f, dc_t/dz_g, dc_t/dc_{t-1}] come from
    # `local_derivatives`; once multiplied they are dL/dc_t through h_t, dL/dz_o, ..., dL/dc_{t-1} through c_t.

    def steps_back(self, views, W_hh_T_times, d_h_before):
        for d_h, by_h, d_c, d_c_through_h, d_c_through_time, by_c, d_z in views:
            add(d_h, d_h_before, d_h)  # total = immediate + what came back through the gates of step t+1
            multiply(by_h, d_h, by_h)
            add(d_c_through_h, d_c_through_time, d_c)  # total = through h_t + through c_{t+1}
            multiply(by_c, d_c, by_c)
            W_hh_T_times(d_z, d_h_before)  # dL/dh_{t-1} through the gates = W_hh^T dL/dz_t

    def local_derivatives(self, gates, tanh_c, out):
        """Fill out = [c by h, z_o, z_i, z_f, z_g, c_{t-1}]: the factors of `steps_back`, any number of steps at once.

        Args:
            gates: [o, i, f, g, c_{t-1}], arrays of one shape; the others have it too.
        """
        o, i, f, g, _ = gates
        by_h, z_o, _, _, z_g, through_time = out
        subtract(1, multiply(tanh_c, tanh_c, by_h), by_h)
        multiply(by_h, o, by_h)  # dh_t/dc_t = o (1 - tanh(c_t)^2)
        subtract(1, gates[:3], out[1:4])
        multiply(out[1:4], gates[:3], out[1:4])  # sigmoid' = s (1 - s), times what the gate multiplies:
        multiply(z_o, tanh_c, z_o)
        multiply(out[2:4], gates[3:], out[2:4])  # g, c_{t-1}
        subtract(1, multiply(g, g, z_g), z_g)
        multiply(z_g, i, z_g)  # dc_t/dz_g = i (1 - g^2)
        through_time[...] = f

    def packed(self, gate):
        """Return the slice of rows in which a tape keeps a gate."""
        first = PACKED.index(gate) * self.hidden_size
        return slice(first, first + self.hidden_size)

    def jacobians(self, params, tape):
        """Return the Jacobian of every step in the state (h, c), (T, B, 2H, 2H): rows (h_t, c_t)."""
        local = tape.all_local()
        return self.state_jacobians(tape, local, local[0], local[-1])

    def state_jacobians(self, tape, local, dh_dc, dc_dc):
        """Put the Jacobians together from dh_t/dc_t and dc_t/dc_{t-1}, (T, B, H): within a unit in every LSTM."""
        H = self.hidden_size
        _, z_o, *z_ifg, _ = local[..., None]
        W_o, *W_ifg = tape.W_hh_T[0].T.reshape(4, H, H)
        dc_dh = sum(factor * W for factor, W in zip(z_ifg, W_ifg, strict=True))
        dh_dc, dc_dc = dh_dc[..., None], dc_dc[..., None] * np.eye(H)
        return np.block([[z_o * W_o + dh_dc * dc_dh, dh_dc * dc_dc], [dc_dh, dc_dc]])

    def activations(self, tape):
        """Return each gate's values in (0, 1), (T, B, H) by name; g is mapped there by (1 + g) / 2."""
        values = {gate: tape.public(transposed(tape.gates[:, :-1, self.packed(gate)])) for gate in self.gates}
        return {gate: (1 + value) / 2 if gate == "g" else value for gate, value in values.items()}


class LSTMTape(ColumnTape):
    """Record one unrolled sequence of an `LSTMCell`.

    Attributes:
        gates: (R, T+1, 5H, B), [o, i, f, g, c_{t-1}] of step t.
        d: (R, T+1, 6H, B), the six local derivatives, in the end times what they multiply: dL/dc_t through h_t, dL/dz
            of [o, i, f, g], dL/dc_{t-1} through c_t.
    """

    factors = 6

    def lay_out_gates(self, T, B, H):
        K = self.hx1.shape[-2]
        self.W_torch, self.W = self.array(len(self.cell.gates) * H, K), self.array(4 * H, K)
        self.W[..., -1] = OPEN
        self.W_T = self.array(K - 1, 4 * H)
        self.W_hh_T, self.W_ih_T = self.W_T[:, :H], self.W_T[:, H:]
        self.gates, self.tanh_c, self.products = (
            self.per_step(T + 1, 5 * H, B),
            self.per_step(T, H, B),
            self.array(2 * H, B),
        )
        self.d, self.d_c = self.per_step(T + 1, 6 * H, B), self.per_step(T, H, B)
        self.local, self.d_z = self.by_part(self.d[:, :T]), self.d[:, :T, H : 5 * H]
        self.gate_parts = self.by_part(self.gates)
        self.half = np.array(0.5, self.dtype)
        self.memory, self.d_memory_before = transposed(self.gates[:, :, 4 * H :]), transposed(self.d[:, :, 5 * H :])
        self.c = self.public(self.memory[:, 1:])

    def state_arrays(self):
        return self.states, self.memory

    def carries_at(self, t):
        return self.d_h_before, self.d_memory_before[:, t]

    def recorded(self):
        gates = self.gates[:, :-1, : 4 * self.cell.hidden_size]
        return [self.states[:, 1:], self.memory[:, 1:], transposed(gates), transposed(self.tanh_c)]

    def forward_views(self, chunk):
        hx1, gates, tanh_c = (by_step(array[chunk]) for array in (self.hx1, self.gates, self.tanh_c))
        z, sigmoids, o, i_f, g_c = self.parts(gates[:-1], (0, 4), (0, 3), (0, 1), (1, 3), (3, 5))
        (c,) = self.parts(gates[1:], (4, 5))
        h = hx1[1:, ..., : self.cell.hidden_size, :]
        views = list(zip(hx1[:-1], z, sigmoids, o, i_f, g_c, c, tanh_c, h, strict=True))
        products = self.products[chunk]
        return views, self.times(self.W, chunk), self.half, products, *self.parts(products, (0, 1), (1, 2))

    def backward_views(self, chunk):
        d_h, d_c, d_z = (by_step(array[chunk]) for array in (self.d_h_columns, self.d_c, self.d_z))
        d = by_step(self.by_part(self.d)[:, chunk])
        views = [(d_h[t], d[t, :2], d_c[t], d[t, 0], d[t + 1, 5], d[t, 2:], d_z[t]) for t in range(self.T)]
        return views, self.times(self.W_hh_T, chunk), self.d_h_before_columns[chunk]

    def take_weights(self, params):
        cell, H, W = self.cell, self.cell.hidden_size, self.W_torch
        W[..., :H], W[..., H:-1] = params["weight_hh"], params["weight_ih"]
        add(params["bias_ih"], params["bias_hh"], W[..., -1])
        for gate in cell.gates:
            rows, packed = cell.rows(gate), cell.packed(gate)
            multiply(W[:, rows], 1 if gate == "g" else self.half, self.W[:, packed])
            self.W_T[..., packed] = transposed(W[:, rows, :-1])
        if cell.coupled:  # 1 - sigmoid(z) = sigmoid(-z)
            i, f = cell.packed("i"), cell.packed("f")
            self.W[:, i], self.W_T[..., i] = -self.W[:, f], -self.W_T[..., f]

    def local_derivatives(self, runs, steps, out):
        self.cell.local_derivatives(self.gate_parts[:, runs, steps], self.tanh_c[runs, steps], out)

    def weight_gradients(self):
        """Sum over steps and sequences in one product: dL/dW = sum_t dL/dz_t [h_{t-1}; x_t; 1]^T."""
        d_z, hx1 = self.side_by_side("d_z", self.d_z), self.side_by_side("hx1", self.hx1[:, :-1])
        d_W, cell, H = np.matmul(d_z, transposed(hx1)), self.cell, self.cell.hidden_size
        if cell.coupled:
            d_W[:, cell.packed("f")] -= d_W[:, cell.packed("i")]
        d_W = np.concatenate([d_W[:, cell.packed(gate)] for gate in cell.gates], axis=1)
        d_hh, d_ih, d_bias = d_W[..., :H], d_W[..., H:-1], d_W[..., -1]
        return {"weight_ih": d_ih, "weight_hh": d_hh, "bias_ih": d_bias, "bias_hh": d_bias}

    def d_memory(self):
        return self.public(transposed(self.d_c))

    def d_x(self):
        return self.input_gradients(self.d_z, self.W_ih_T)

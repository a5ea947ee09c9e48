"""Long short-term memory whose gates see the memory itself."""

import numpy as np
from numpy import add, multiply, tanh

from rnnlab.lstm import LSTMCell, LSTMTape
from rnnlab.tapes import by_step, transposed


class PeepholeLSTMCell(LSTMCell):
    """Describe the LSTM in which i and f also see c_{t-1}, and o sees c_t, each unit its own memory only.

    i, f = sigmoid(... + w * c_{t-1}), o = sigmoid(... + w * c_t) with the rows of weight_ch, one block of H numbers for
    each sigmoid gate in the order i, f, o. The rest is as in `LSTMCell`, options too. (torch has no such cell.)

    Source: Gers and Schmidhuber (2000).

    >>> PeepholeLSTMCell(input_size=2, hidden_size=3).shapes["weight_ch"]
    (9,)
    """

    @property
    def peepholes(self):
        """Return the gates that have peepholes, in the order of the blocks of weight_ch."""
        return tuple(gate for gate in self.gates if gate != "g")

    @property
    def shapes(self):
        """Return the shape of each parameter by name."""
        blocks = len(self.peepholes)
        return {**super().shapes, **({"weight_ch": (blocks * self.hidden_size,)} if blocks else {})}

    def tape(self, *layout):
        """Make the arrays in which a sequence is recorded; see `Tape` for the arguments."""
        return PeepholeTape(self, *layout)

    def steps(self, views, W_times, half, products, i_g, f_c, seen, w_if, w_o):
        for hx1, gates, i_f, i_f_g, o, c_before, g_c, c, tanh_c, h in views:
            W_times(hx1, gates)
            multiply(w_if, c_before, seen)
            add(i_f, products, i_f)  # i and f see c_{t-1}
            tanh(i_f_g, i_f_g)
            multiply(i_f, half, i_f)
            add(i_f, half, i_f)
            multiply(i_f, g_c, products)
            add(i_g, f_c, c)  # c_t = i * g + f * c_{t-1}
            multiply(w_o, c, tanh_c)
            add(o, tanh_c, o)  # o sees c_t
            tanh(o, o)
            multiply(o, half, o)
            add(o, half, o)
            tanh(c, tanh_c)
            multiply(o, tanh_c, h)  # h_t = o * tanh(c_t)

    def steps_back(self, views, W_hh_T_times, d_h_before, seen, w_if, w_o):
        for d_h, by_h, d_o, d_c, d_c_through_h, d_c_through_time, by_c, d_if, d_c_before, d_z in views:
            add(d_h, d_h_before, d_h)
            multiply(by_h, d_h, by_h)  # dL/dz_o, and dL/dc_t through h_t
            multiply(w_o, d_o, d_c)
            add(d_c, d_c_through_h, d_c)
            add(d_c, d_c_through_time, d_c)  # total = through o + through h_t + through c_{t+1}
            multiply(by_c, d_c, by_c)  # dL/dz_i, dL/dz_f, dL/dz_g, and dL/dc_{t-1} through c_t
            multiply(w_if, d_if, seen)
            add(d_c_before, seen[0], d_c_before)  # dL/dc_{t-1} through i ...
            add(d_c_before, seen[1], d_c_before)  # ... and through f
            W_hh_T_times(d_z, d_h_before)

    def jacobians(self, params, tape):
        """Return the Jacobian of every step in the state (h, c), (T, B, 2H, 2H): rows (h_t, c_t)."""
        w_o, w_i, w_f = tape.weight_ch[0, ..., 0]
        by_h, z_o, z_i, z_f, _, by_c = local = tape.all_local()
        return self.state_jacobians(tape, local, by_h + z_o * w_o, by_c + z_i * w_i + z_f * w_f)

    def packed_peepholes(self, weight_ch):
        """Return weight_ch (R, P*H) as (R, 3, H, 1) in the order o, i, f, with zeros for gates left out."""
        blocks = dict(zip(self.peepholes, np.split(weight_ch, len(self.peepholes), axis=1), strict=True))
        if self.coupled:
            blocks["i"] = -blocks["f"]
        nothing = np.zeros((len(weight_ch), self.hidden_size), weight_ch.dtype)
        return np.stack([blocks.get(gate, nothing) for gate in "oif"], axis=1)[..., None]


class PeepholeTape(LSTMTape):
    """Record one unrolled sequence of a `PeepholeLSTMCell`; weight_ch is (R, 3, H, 1) in the order o, i, f."""

    def lay_out_gates(self, T, B, H):
        super().lay_out_gates(T, B, H)
        self.weight_ch, self.weight_ch_halved = self.array(3, H, 1), self.array(3, H, 1)

    def seen(self, chunk, weight_ch):
        """Return where two peepholes' shares are written, (2, [R,] H, B), and the weights of i and f, and of o."""
        products = self.products.reshape(self.R, 2, -1, self.B)
        w = np.moveaxis(weight_ch[chunk], -3, 0)
        return np.moveaxis(products[chunk], -3, 0), w[1:], w[0]

    def forward_views(self, chunk):
        gates = by_step(self.gates[chunk])
        i_f_g, c_before = self.parts(gates, (1, 4), (4, 5))
        views, *shared = super().forward_views(chunk)
        views = [(hx1, z, i_f, i_f_g[t], o, c_before[t], *rest) for t, (hx1, z, _, o, i_f, *rest) in enumerate(views)]
        return views, *shared, *self.seen(chunk, self.weight_ch_halved)

    def backward_views(self, chunk):
        d, views, *shared = by_step(self.by_part(self.d)[:, chunk]), *super().backward_views(chunk)
        views = [
            (d_h, by_h, d[t, 1], *d_c, by_c, d[t, 2:4], d[t, 5], d_z)
            for t, (d_h, by_h, *d_c, by_c, d_z) in enumerate(views)
        ]
        return views, *shared, *self.seen(chunk, self.weight_ch)

    def take_weights(self, params):
        super().take_weights(params)
        if "weight_ch" in params:
            self.weight_ch[...] = self.cell.packed_peepholes(params["weight_ch"])
            multiply(self.weight_ch, self.half, self.weight_ch_halved)

    def weight_gradients(self):
        grads, (_, d_o, d_i, d_f, _, _) = super().weight_gradients(), self.by_part(self.d[:, :-1])
        memory = transposed(self.memory)
        blocks = {gate: (d_z * c).sum(axis=(1, 3)) for gate, d_z, c in
                  (("i", d_i, memory[:, :-1]), ("f", d_f, memory[:, :-1]), ("o", d_o, memory[:, 1:]))}  # fmt: skip
        if self.cell.coupled:
            blocks["f"] -= blocks["i"]
        if self.cell.peepholes:
            grads["weight_ch"] = np.concatenate([blocks[gate] for gate in self.cell.peepholes], axis=1)
        return grads

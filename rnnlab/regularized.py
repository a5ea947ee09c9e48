"""An LSTM that can be regularized inside: masks of dropout, zoneout, and layer normalization, forward and back.

It is written to be read, one step as one step. `LSTMCell` is the fast one, and the two are equal where nothing is
switched on. Whatever is random is drawn before, so that both passes and a check of them see the same masks.
"""

from dataclasses import dataclass

import numpy as np

from rnnlab.bptt import TIME_MAJOR
from rnnlab.checks import has_names, positive_integer, shaped
from rnnlab.lstm import LSTMCell

EPS = 1e-5  # added to the variance, as in torch.nn.LayerNorm


def dropout_mask(rng, p, shape, same=False):
    """Draw what dropout multiplies with: 0 with probability p, else 1 / (1 - p), so that the mean is 1.

    Args:
        rng: numpy Generator.
        p: share that is dropped, in [0, 1).
        shape: (T, B, D).
        same: True draws one mask for all steps, (1, B, D): variational dropout.

    Source: Srivastava et al. (2014), with the factor at training; Gal and Ghahramani (2016) for one mask of all steps.

    >>> dropout_mask(np.random.default_rng(0), 0.5, (3, 1, 4), same=True)
    array([[[2., 0., 0., 0.]]])
    """
    _share(p)
    T, *rest = shape
    return (rng.random((1 if same else T, *rest)) >= p) / (1 - p)


def layer_norm(z, gain):
    """Return y = gain (z - mean) / sqrt(var + 1e-5), with mean and variance over the last axis, and its tape.

    Args:
        z: (..., H).
        gain: (H,).

    Source: Ba, Kiros and Hinton (2016), without their bias.

    >>> layer_norm(np.array([[1.0, 3.0]]), np.array([1.0, 2.0]))[0].round(3)
    array([[-1.,  2.]])
    """
    std = np.sqrt(z.var(axis=-1, keepdims=True) + EPS)
    normed = (z - z.mean(axis=-1, keepdims=True)) / std
    return gain * normed, (normed, std, gain)


def layer_norm_back(tape, d_y):
    """Return dL/dz (..., H) and dL/dgain (H,): a change of z that moves its mean or its length alone does nothing."""
    normed, std, gain = tape
    d_n = d_y * gain
    along = (d_n * normed).mean(axis=-1, keepdims=True)
    d_z = (d_n - d_n.mean(axis=-1, keepdims=True) - normed * along) / std
    return d_z, (d_y * normed).reshape(-1, len(gain)).sum(axis=0)


@dataclass(frozen=True)
class Masks:
    """Hold what is random in one pass.

    Attributes:
        x: (T, B, D) or (1, B, D), factor of the inputs.
        h: (1, B, H), factor of the state on its way to the next step.
        keep_c, keep_h: (T, B, H), how much of the old value stays; 0 or 1 in training, p without noise.
    """

    x: np.ndarray
    h: np.ndarray
    keep_c: np.ndarray
    keep_h: np.ndarray


class RegularizedLSTM:
    """Describe an LSTM with variational dropout, zoneout and layer normalization, each of which may be off.

    z = N(W_ih (m_x x_t)) + N(W_hh (m_h h_{t-1})) + b_ih + b_hh, in the order i, f, g, o of `LSTMCell`;
    c' = f c_{t-1} + i g,  h' = o tanh(N(c')),  c_t = k_c c_{t-1} + (1 - k_c) c',  h_t = k_h h_{t-1} + (1 - k_h) h'.

    Args:
        input_size, hidden_size: D and H.
        dropout: share of the inputs that is dropped, and with variational of the states on their way too.
        variational: True keeps one mask for all steps.
        zoneout: share of c and of h that keeps its old value.
        layer_norm: True makes N `layer_norm`, with a gain for each of its three places and a bias for c.

    Source: Gal and Ghahramani (2016); Krueger et al. (2017); Ba, Kiros and Hinton (2016), the LSTM of their appendix.

    >>> lstm, rng = RegularizedLSTM(2, 3, dropout=0.5, variational=True), np.random.default_rng(0)
    >>> params, x = lstm.init(rng), rng.standard_normal((5, 1, 2))
    >>> h, tape = lstm.forward(params, x, lstm.draw(rng, T=5, B=1))
    >>> h.shape, sorted(lstm.backward(params, tape, np.ones_like(h))[0])
    ((5, 1, 3), ['bias_hh', 'bias_ih', 'weight_hh', 'weight_ih'])
    """

    def __init__(self, input_size, hidden_size, dropout=0.0, variational=False, zoneout=0.0, layer_norm=False):
        self.cell = LSTMCell(positive_integer(input_size, "input_size"), positive_integer(hidden_size, "hidden_size"))
        self.dropout, self.zoneout = _share(dropout), _share(zoneout)
        self.variational, self.layer_norm = variational, layer_norm

    def init(self, rng):
        """Draw parameters: those of `LSTMCell`, and gains of 1."""
        H, params = self.cell.hidden_size, self.cell.init(rng)
        gains = {"gain_ih": np.ones(4 * H), "gain_hh": np.ones(4 * H), "gain_c": np.ones(H), "bias_c": np.zeros(H)}
        return params | (gains if self.layer_norm else {})

    def draw(self, rng=None, *, T, B):
        """Draw the masks of one pass in training; without rng return those that are used when a network is judged."""
        D, H = self.cell.input_size, self.cell.hidden_size
        if rng is None:
            stays = np.full((T, B, H), self.zoneout)
            return Masks(np.ones((1, B, D)), np.ones((1, B, H)), stays, stays)
        state_p = self.dropout if self.variational else 0.0
        return Masks(
            dropout_mask(rng, self.dropout, (T, B, D), self.variational),
            dropout_mask(rng, state_p, (T, B, H), same=True),
            *((rng.random((2, T, B, H)) < self.zoneout).astype(float)),
        )

    def forward(self, params, x, masks):
        """Return the states h (T, B, H), and the tape that `backward` reads."""
        self._check(params, x)
        h = c = np.zeros((x.shape[1], self.cell.hidden_size))
        x, steps, states = x * masks.x, [], []
        for t in range(len(x)):
            from_x, tape_x = self._norm(x[t] @ params["weight_ih"].T, params, "gain_ih")
            from_h, tape_h = self._norm((masks.h[0] * h) @ params["weight_hh"].T, params, "gain_hh")
            z = from_x + from_h + params["bias_ih"] + params["bias_hh"]
            i, f, o = (_sigmoid(part) for part in np.split(z, 4, axis=1)[:2] + np.split(z, 4, axis=1)[3:])
            g = np.tanh(np.split(z, 4, axis=1)[2])
            new_c = f * c + i * g
            seen, tape_c = self._norm(new_c, params, "gain_c")
            read = np.tanh(seen + params.get("bias_c", 0))
            steps.append((h, c, (i, f, g, o), read, (tape_x, tape_h, tape_c)))
            c = masks.keep_c[t] * c + (1 - masks.keep_c[t]) * new_c
            h = masks.keep_h[t] * h + (1 - masks.keep_h[t]) * o * read
            states.append(h)
        return np.array(states), (x, masks, steps)

    def backward(self, params, tape, d_h):
        """Return dL/dparams by name and dL/dx (T, B, D), from the immediate dL/dh_t (T, B, H)."""
        x, masks, steps = tape
        grads, d_x = {name: np.zeros_like(param) for name, param in params.items()}, np.zeros_like(x)
        d_h_next = d_c_next = np.zeros_like(d_h[0])
        for t in reversed(range(len(steps))):
            h, c, (i, f, g, o), read, tapes = steps[t]
            d_h_t, k_c, k_h = d_h[t] + d_h_next, masks.keep_c[t], masks.keep_h[t]
            d_new_h = (1 - k_h) * d_h_t
            d_seen = d_new_h * o * (1 - read**2)
            d_new_c = (1 - k_c) * d_c_next + self._norm_back(tapes[2], d_seen, grads, "gain_c")
            d_z = np.concatenate(
                [d_new_c * g * i * (1 - i), d_new_c * c * f * (1 - f),
                 d_new_c * i * (1 - g**2), d_new_h * read * o * (1 - o)], axis=1)  # fmt: skip
            d_from_x = self._norm_back(tapes[0], d_z, grads, "gain_ih")
            d_from_h = self._norm_back(tapes[1], d_z, grads, "gain_hh")
            grads["weight_ih"] += d_from_x.T @ x[t]
            grads["weight_hh"] += d_from_h.T @ (masks.h[0] * h)
            for name, d_bias in (("bias_ih", d_z), ("bias_hh", d_z), ("bias_c", d_seen)):
                if name in grads:
                    grads[name] += d_bias.sum(axis=0)
            d_x[t] = d_from_x @ params["weight_ih"]
            d_h_next = k_h * d_h_t + masks.h[0] * (d_from_h @ params["weight_hh"])
            d_c_next = k_c * d_c_next + f * d_new_c
        return grads, d_x * masks.x

    def _norm(self, z, params, gain):
        return layer_norm(z, params[gain]) if self.layer_norm else (z, None)

    def _norm_back(self, tape, d_y, grads, gain):
        if tape is None:
            return d_y
        d_z, d_gain = layer_norm_back(tape, d_y)
        grads[gain] += d_gain
        return d_z

    def _check(self, params, x):
        has_names(params, ["weight_ih", "weight_hh"] + ["gain_c"] * self.layer_norm)
        shaped(x, ("T", "B", self.cell.input_size), "x", TIME_MAJOR)


def _sigmoid(z):
    return (1 + np.tanh(z / 2)) / 2


def _share(p):
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p < 1:
        raise ValueError(f"expected a share of at least 0 and below 1, got {p!r}")
    return p

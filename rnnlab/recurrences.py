"""The newer recurrences: minGRU, minLSTM, the linear recurrent unit, and the sLSTM with its exponential gate.

They are cells as the classical ones are: `unroll`, `backprop`, `Model` and every instrument take them.
"""

import numpy as np
from numpy import exp, multiply

from rnnlab.checks import float_type, positive_number, random_generator
from rnnlab.scans import LinearCell, parallel_states, scan
from rnnlab.slstm import SLSTMCell, sigmoid

__all__ = ["LRUCell", "MinGRUCell", "MinLSTMCell", "SLSTMCell", "parallel_states", "scan"]


class MinGRUCell(LinearCell):
    """Describe the minimal GRU: gates that see the input alone, so that a parallel scan can run it.

    z_t = sigmoid(of its rows of W_ih x_t + b_ih), n_t = its own rows, h_t = z_t * h_{t-1} + (1 - z_t) * n_t.
    As in `GRUCell` and torch, z is the gate that keeps; the paper's z_t is 1 minus this one.

    Args:
        input_size: D, numbers in one input x_t.
        hidden_size: H, hidden units.
        negative: True lets the state change its sign at a step: 2 z_t - 1, in (-1, 1), multiplies it.

    Source: Feng et al. (2024), section 3.1; negative factors: Grazzi et al. (2025).

    >>> MinGRUCell(input_size=2, hidden_size=3).shapes
    {'weight_ih': (6, 2), 'bias_ih': (6,)}
    """

    gates = ("z", "n")
    keeps = "z"

    def __init__(self, input_size, hidden_size, negative=False):
        super().__init__(input_size, hidden_size)
        if not isinstance(negative, bool):
            raise ValueError(f"expected negative to be True or False, got {negative!r}")
        self.negative = negative

    @property
    def options(self):
        return {"negative": True} if self.negative else {}

    def coefficients(self, tape):
        """Fill a_t = keep_t (or 2 keep_t - 1) and b_t = (1 - keep_t) n_t."""
        tape.keep, tape.n = self.keep(tape), tape.z[..., self.rows(self.gates[-1])]
        tape.a_written[...] = 2 * tape.keep - 1 if self.negative else tape.keep
        multiply(1 - tape.keep, tape.n, tape.b)

    def back(self, tape, d_a, d_b):
        """Return dL/dz_t from dL/da_t and dL/db_t, and no other gradients."""
        d_keep = d_a * (2 if self.negative else 1) - d_b * tape.n
        return np.concatenate([*self.gates_back(tape, d_keep), d_b * (1 - tape.keep)], axis=-1), {}

    def keep(self, tape):
        """Return the share of the state that is kept, and note the gates."""
        tape.gate = {"z": sigmoid(tape.z[..., self.rows("z")])}
        return tape.gate["z"]

    def gates_back(self, tape, d_keep):
        """Return the gradient of each gate's pre-activation."""
        return [d_keep * tape.keep * (1 - tape.keep)]

    def activations(self, tape):
        """Return each gate's values in (0, 1), (T, B, H) by name."""
        return {name: tape.public(gate) for name, gate in tape.gate.items()}


class MinLSTMCell(MinGRUCell):
    """Describe the minimal LSTM: a forget and an input gate that see the input alone and are scaled to sum to 1.

    f, i = sigmoid(of their rows of W_ih x_t + b_ih), g_t = its own rows,
    h_t = f / (f + i) * h_{t-1} + i / (f + i) * g_t.

    Args: as for `MinGRUCell`.

    Source: Feng et al. (2024), section 3.2.

    >>> MinLSTMCell(input_size=2, hidden_size=3).gates
    ('i', 'f', 'g')
    """

    gates = ("i", "f", "g")

    def keep(self, tape):
        tape.gate = {gate: sigmoid(tape.z[..., self.rows(gate)]) for gate in "if"}
        return tape.gate["f"] / (tape.gate["f"] + tape.gate["i"])

    def gates_back(self, tape, d_keep):
        d_log = d_keep * tape.keep * (1 - tape.keep)  # keep = sigmoid(log f - log i)
        return [-d_log * (1 - tape.gate["i"]), d_log * (1 - tape.gate["f"])]


class LRUCell(LinearCell):
    """Describe the linear recurrent unit: N complex numbers, each turned and shrunk by its own constant.

    h_t = lambda * h_{t-1} + gamma * (B x_t) with |lambda| = exp(-exp(nu_log)) < 1, angle exp(theta_log) and gamma =
    exp(gamma_log). The state holds real and imaginary parts in turn, H = 2N, and so do the rows of weight_ih, which is
    B; a readout that is linear in them is the paper's Re(C h_t). Its direct term D x_t belongs to the readout.

    Args:
        input_size: D, numbers in one input x_t.
        hidden_size: H = 2N, even.
        r_min, r_max: lambda starts uniform on the ring r_min <= |lambda| <= r_max of the unit disc, r_max below 1.
        max_phase: largest angle at the start, in radians.

    Source: Orvieto et al. (2023), sections 3.3 and 3.4, lemma 3.2; gamma starts at sqrt(1 - |lambda|^2).

    >>> LRUCell(input_size=2, hidden_size=6).shapes["nu_log"]
    (3,)
    """

    of_input = False

    def __init__(self, input_size, hidden_size, r_min=0.0, r_max=0.99, max_phase=2 * np.pi):
        super().__init__(input_size, hidden_size)
        if self.hidden_size % 2:
            raise ValueError(f"expected an even hidden_size, two numbers for each complex one, got {hidden_size}")
        if not 0 <= positive_number(r_min, "r_min", zero_allowed=True) < positive_number(r_max, "r_max") < 1:
            raise ValueError(f"expected 0 <= r_min < r_max < 1, got {r_min} and {r_max}")
        if positive_number(max_phase, "max_phase") > 2 * np.pi:
            raise ValueError(f"expected max_phase of at most 2 pi, got {max_phase}")
        self.ring = {"r_min": r_min, "r_max": r_max, "max_phase": max_phase}

    @property
    def options(self):
        default = {"r_min": 0.0, "r_max": 0.99, "max_phase": 2 * np.pi}
        return {name: value for name, value in self.ring.items() if value != default[name]}

    @property
    def shapes(self):
        """Return the shape of each parameter by name."""
        N = self.hidden_size // 2
        return {
            "weight_ih": (self.hidden_size, self.input_size), "nu_log": (N,), "theta_log": (N,), "gamma_log": (N,),
        }  # fmt: skip

    def init(self, rng, dtype=np.float64):
        """Draw lambda uniform on the ring, and B normal with variance 1 / (2 D) in each part."""
        rng, dtype, N = random_generator(rng), float_type(dtype), self.hidden_size // 2
        low, high = self.ring["r_min"] ** 2, self.ring["r_max"] ** 2
        nu = -0.5 * np.log(low + (high - low) * (1 - rng.random(N)))  # 1 - u is never 0, nor is nu then infinite
        params = {
            "weight_ih": rng.standard_normal((self.hidden_size, self.input_size)) / np.sqrt(2 * self.input_size),
            "nu_log": np.log(nu),
            "theta_log": np.log(self.ring["max_phase"] * (1 - rng.random(N))),
            "gamma_log": 0.5 * np.log(-np.expm1(-2 * nu)),
        }
        return {name: array.astype(dtype) for name, array in params.items()}

    def numbers(self, array):
        """Return the view of H real numbers as N complex ones."""
        return array.view(np.result_type(array.dtype, np.complex64))

    def eigenvalues(self, params):
        """Return lambda (N,), complex: what each number of the state is multiplied with at each step."""
        return exp(-exp(params["nu_log"]) + 1j * exp(params["theta_log"]))

    def coefficients(self, tape):
        """Fill a_t = lambda and b_t = gamma * (B x_t)."""
        tape.a_written[...] = self.eigenvalues(tape.params)[:, None, None]
        tape.gamma = exp(tape.params["gamma_log"])[:, None, None]
        multiply(self.numbers(tape.z), tape.gamma, tape.b)

    def back(self, tape, d_a, d_b):
        """Return dL/dz_t, and the gradients of nu_log, theta_log and gamma_log. Of complex w: dL/dRe w + i dL/dIm w."""
        d_z = tape.gamma * d_b
        d_exponent = np.conjugate(tape.a_written[:, 0, 0]) * d_a.sum(axis=(1, 2))  # lambda = exp(exponent)
        grads = {
            "nu_log": -exp(tape.params["nu_log"]) * d_exponent.real,
            "theta_log": exp(tape.params["theta_log"]) * d_exponent.imag,
            "gamma_log": (np.conjugate(tape.b) * d_b).real.sum(axis=(1, 2)),
        }
        return np.ascontiguousarray(d_z).view(tape.dtype), grads

    def jacobians(self, params, tape):
        """Return the Jacobian of every step, (T, B, H, H): N rotations that shrink, on the diagonal."""
        a = tape.public(tape.a)
        blocks = np.zeros((*a.shape, 2, a.shape[-1], 2), tape.dtype)
        n = np.arange(a.shape[-1])
        for row, column, part in ((0, 0, a.real), (0, 1, -a.imag), (1, 0, a.imag), (1, 1, a.real)):
            blocks[..., n, row, n, column] = part
        return blocks.reshape(*a.shape[:-1], self.hidden_size, self.hidden_size)

    def activations(self, tape):
        """Return |lambda|, in (0, 1), at every step: what a gate that keeps would be."""
        return {"lambda": np.repeat(np.abs(tape.public(tape.a)), 2, axis=-1)}

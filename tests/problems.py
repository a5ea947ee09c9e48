"""Every cell and option, random problems for them, and their equations written down a second time."""

import numpy as np
from hypothesis import strategies as st

import rnnlab as rl

CELLS = {
    "tanh": lambda D, H: rl.RNNCell(D, H),
    "relu": lambda D, H: rl.RNNCell(D, H, "relu"),
    "linear": lambda D, H: rl.RNNCell(D, H, "linear"),
    "lstm": lambda D, H: rl.LSTMCell(D, H),
    "lstm without input gate": lambda D, H: rl.LSTMCell(D, H, input_gate=False),
    "lstm without forget gate": lambda D, H: rl.LSTMCell(D, H, forget_gate=False),
    "lstm without output gate": lambda D, H: rl.LSTMCell(D, H, output_gate=False),
    "lstm without any gate": lambda D, H: rl.LSTMCell(D, H, False, False, False),
    "coupled lstm": lambda D, H: rl.LSTMCell(D, H, coupled=True),
    "peephole lstm": lambda D, H: rl.PeepholeLSTMCell(D, H),
    "coupled peephole lstm": lambda D, H: rl.PeepholeLSTMCell(D, H, coupled=True),
    "peephole lstm without forget gate": lambda D, H: rl.PeepholeLSTMCell(D, H, forget_gate=False),
    "peephole lstm without any gate": lambda D, H: rl.PeepholeLSTMCell(D, H, False, False, False),
    "gru": lambda D, H: rl.GRUCell(D, H),
    "cho gru": lambda D, H: rl.ChoGRUCell(D, H),
    "min gru": lambda D, H: rl.MinGRUCell(D, H),
    "negative min gru": lambda D, H: rl.MinGRUCell(D, H, negative=True),
    "min lstm": lambda D, H: rl.MinLSTMCell(D, H),
    "negative min lstm": lambda D, H: rl.MinLSTMCell(D, H, negative=True),
    "lru": lambda D, H: rl.LRUCell(D, 2 * H),
    "slstm": lambda D, H: rl.SLSTMCell(D, H),
    "exponential slstm": lambda D, H: rl.SLSTMCell(D, H, forget="exp"),
}
SMOOTH = [name for name in CELLS if name != "relu"]

sizes = st.integers(1, 5)
seeds = st.integers(0, 10**6)
names = st.sampled_from(list(CELLS))


def random_problem(T, B, D, H, name="tanh", seed=0, dtype=np.float64, runs=()):
    """Return a cell, and random params, x, state and d_h for it."""
    rng, cell = np.random.default_rng(seed), CELLS[name](D, H)
    params = {key: rng.normal(size=(*runs, *shape)).astype(dtype) for key, shape in cell.shapes.items()}
    x, d_h = (rng.normal(size=size).astype(dtype) for size in ((T, B, D), (*runs, T, B, cell.hidden_size)))
    return cell, params, x, random_state(cell, B, seed + 1, dtype), d_h


def random_state(cell, B, seed, dtype=np.float64, runs=()):
    rng = np.random.default_rng(seed)
    arrays = tuple(rng.normal(size=(*runs, B, cell.hidden_size)).astype(dtype) for _ in cell.state_names)
    if "n" in cell.state_names:  # a sum of gates, which divides: above 0
        arrays = tuple(np.abs(a) + 0.5 if name == "n" else a for name, a in zip(cell.state_names, arrays, strict=True))
    return arrays[0] if len(arrays) == 1 else arrays


def as_arrays(state, prefix="state"):
    """Return a state as a flat dict of arrays."""
    arrays = state if isinstance(state, tuple) else (state,)
    return {f"{prefix} {index}": array for index, array in enumerate(arrays)}


def all_gradients(cell, params, x, state, d_h, d_state=None, truncate=None, lengths=None):
    """Return every gradient by one flat name each."""
    _, _, tape = rl.unroll(cell, params, x, state, lengths=lengths)
    back = rl.backprop(cell, params, tape, d_h, d_state, truncate)
    return {**back.params, "x": back.d_x, **as_arrays(back.d_state)}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def by_the_equations(cell, params, x, state):
    """Return the states (T, B, H) as the textbook loop computes them, one gate after the other."""
    kinds = (rl.MinGRUCell, minimal_step), (rl.LRUCell, lru_step), (rl.SLSTMCell, slstm_step), (object, gated_step)
    step = next(step for kind, step in kinds if isinstance(cell, kind))
    states, state = [], state if isinstance(state, tuple) else (state,)
    for x_t in x:
        state = step(cell, params, x_t, state)
        states.append(state[0])
    return np.array(states)


def minimal_step(cell, p, x_t, state):
    at = {gate: (x_t @ p["weight_ih"].T + p["bias_ih"])[:, cell.rows(gate)] for gate in cell.gates}
    if isinstance(cell, rl.MinLSTMCell):
        f, i = sigmoid(at["f"]), sigmoid(at["i"])
        keep, new = f / (f + i), at["g"]
    else:
        keep, new = sigmoid(at["z"]), at["n"]
    return ((2 * keep - 1 if cell.negative else keep) * state[0] + (1 - keep) * new,)


def lru_step(cell, p, x_t, state):
    """Multiply real and imaginary parts out by hand."""
    size, angle, gamma = np.exp(-np.exp(p["nu_log"])), np.exp(p["theta_log"]), np.exp(p["gamma_log"])
    b, h = x_t @ p["weight_ih"].T, np.empty_like(state[0])
    real, imaginary = state[0][:, ::2], state[0][:, 1::2]
    h[:, ::2] = size * (np.cos(angle) * real - np.sin(angle) * imaginary) + gamma * b[:, ::2]
    h[:, 1::2] = size * (np.sin(angle) * real + np.cos(angle) * imaginary) + gamma * b[:, 1::2]
    return (h,)


def slstm_step(cell, p, x_t, state):
    """Keep c and n as the paper defines them, without a stabilizer."""
    h, c, n, m = state
    c, n = c * np.exp(m), n * np.exp(m)
    pre = x_t @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]
    i, f, z, o = (pre[:, cell.rows(gate)] for gate in "ifzo")
    i, f = np.exp(i), np.exp(f) if cell.forget == "exp" else sigmoid(f)
    c, n = f * c + i * np.tanh(z), f * n + i
    return sigmoid(o) * c / n, c, n, np.zeros_like(m)


def gated_step(cell, p, x_t, state):
    H, (h, *c) = cell.hidden_size, state
    from_x, from_h = x_t @ p["weight_ih"].T + p["bias_ih"], h @ p["weight_hh"].T + p["bias_hh"]
    at = {gate: from_x[:, cell.rows(gate)] for gate in cell.gates}
    rec = {gate: from_h[:, cell.rows(gate)] for gate in cell.gates}
    if isinstance(cell, rl.RNNCell):
        f = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0), "linear": lambda z: z}[cell.nonlinearity]
        return (f(from_x + from_h),)
    if isinstance(cell, rl.LSTMCell):
        seen = {gate: 0 for gate in "ifo"}
        if isinstance(cell, rl.PeepholeLSTMCell) and cell.peepholes:
            seen |= dict(zip(cell.peepholes, p["weight_ch"].reshape(-1, H), strict=True))
        f = sigmoid(at["f"] + rec["f"] + seen["f"] * c[0]) if "f" in at else 1
        i = sigmoid(at["i"] + rec["i"] + seen["i"] * c[0]) if "i" in at else 1 - f if cell.coupled else 1
        c = f * c[0] + i * np.tanh(at["g"] + rec["g"])
        return np.tanh(c) * (sigmoid(at["o"] + rec["o"] + seen["o"] * c) if "o" in at else 1), c
    r, z = (sigmoid(at[gate] + rec[gate]) for gate in "rz")
    if isinstance(cell, rl.ChoGRUCell):
        candidate = (r * h) @ p["weight_hh"][cell.rows("n")].T + p["bias_hh"][cell.rows("n")]
    else:
        candidate = r * rec["n"]
    return ((1 - z) * np.tanh(at["n"] + candidate) + z * h,)

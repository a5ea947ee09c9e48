"""Forward and full BPTT of one problem, by rnnlab and by what it is compared with.

Each function takes a `Problem` and returns a function without arguments that computes all gradients of the parameters
once. What can be prepared beforehand (arrays, compilation) is prepared, for every contender alike.
"""

from functools import partial
from importlib.util import find_spec

import numpy as np
import torch

import rnnlab as rl
from benchmarks import textbook as loops

CELLS = {"RNN": rl.RNNCell, "GRU": rl.GRUCell, "LSTM": rl.LSTMCell}
INPUTS = 4  # D


class Problem:
    """Random parameters, inputs and immediate derivatives for one cell and size, the same for every contender."""

    def __init__(self, kind, hidden, batch, steps, dtype, runs=()):
        rng = np.random.default_rng(0)
        self.kind, self.cell, self.dtype = kind, CELLS[kind](INPUTS, hidden), np.dtype(dtype)
        draws = [self.cell.init(rng, dtype) for _ in range(int(np.prod(runs)))]
        self.params = {name: np.array([draw[name] for draw in draws]).reshape(*runs, *shape)
                       for name, shape in self.cell.shapes.items()}  # fmt: skip
        self.x = rng.normal(size=(steps, batch, INPUTS)).astype(dtype)
        self.d_h = rng.normal(size=(*runs, steps, batch, hidden)).astype(dtype)


def ours(problem):
    cell, params, work = problem.cell, problem.params, rl.Workspace()

    def run():
        _, _, tape = rl.unroll(cell, params, problem.x, work=work)
        return rl.backprop(cell, params, tape, problem.d_h).params

    return run


def textbook(problem):
    loop = {"RNN": loops.rnn, "GRU": loops.gru, "LSTM": loops.lstm}[problem.kind]
    return lambda: loop(problem.params, problem.x, problem.d_h)[1]


def torch_eager(problem, compiled=False):
    module = getattr(torch.nn, problem.kind)(INPUTS, problem.cell.hidden_size)
    x, d_h = torch.from_numpy(problem.x), torch.from_numpy(problem.d_h)
    module = module.to(x.dtype)
    module.load_state_dict({f"{name}_l0": torch.from_numpy(param) for name, param in problem.params.items()})
    forward = torch.compile(module) if compiled else module

    def run():
        module.zero_grad()
        forward(x)[0].backward(d_h)
        return {name: getattr(module, f"{name}_l0").grad.numpy() for name in problem.params}

    return run


torch_compiled = partial(torch_eager, compiled=True)


def has_jax():
    return find_spec("jax") is not None


def jax_scan(problem):
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    step = {"RNN": _jax_rnn, "GRU": _jax_gru, "LSTM": _jax_lstm}[problem.kind]
    zeros = jnp.zeros(problem.d_h.shape[1:], problem.dtype)
    state = (zeros, zeros) if problem.kind == "LSTM" else zeros

    @jax.jit
    def gradients(params, x, d_h):
        states = lambda params: jax.lax.scan(partial(step, jax, params), state, x)[1]  # noqa: E731
        return jax.vjp(states, params)[1](d_h)[0]

    inputs = jax.device_put((problem.params, problem.x, problem.d_h))
    return lambda: jax.block_until_ready(gradients(*inputs))


def _jax_rnn(jax, p, h, x):
    h = jax.numpy.tanh(x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"])
    return h, h


def _jax_gru(jax, p, h, x):
    x_r, x_z, x_n = jax.numpy.split(x @ p["weight_ih"].T + p["bias_ih"], 3, axis=1)
    h_r, h_z, h_n = jax.numpy.split(h @ p["weight_hh"].T + p["bias_hh"], 3, axis=1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    h = (1 - z) * jax.numpy.tanh(x_n + r * h_n) + z * h
    return h, h


def _jax_lstm(jax, p, state, x):
    h, c = state
    z = x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]
    i, f, g, o = jax.numpy.split(z, 4, axis=1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jax.numpy.tanh(g)
    h = jax.nn.sigmoid(o) * jax.numpy.tanh(c)
    return (h, c), h


def products(problem):
    """Do the matrix products alone: what no arrangement of the rest can avoid."""
    (T, B, D), H = problem.x.shape, problem.cell.hidden_size
    W_ih, W_hh = problem.params["weight_ih"], problem.params["weight_hh"]
    GH = len(W_hh)
    from_x, z, d_z = (np.ones(shape, problem.dtype) for shape in ((T * B, GH), (B, GH), (T * B, GH)))
    x, h, d_h = problem.x.reshape(T * B, D), problem.d_h.reshape(T * B, H), np.empty((B, H), problem.dtype)
    W_hh_T, step, step_back = np.ascontiguousarray(W_hh.T), h[:B], d_z[:B]

    def run():
        np.dot(x, W_ih.T, from_x)
        for _ in range(T):
            np.dot(step, W_hh_T, z)
        for _ in range(T):
            np.dot(step_back, W_hh, d_h)
        return {"weight_ih": d_z.T @ x, "weight_hh": d_z.T @ h}

    return run


def looped(problem):
    """Do the independent runs one after the other instead of stacked."""
    count, work = len(problem.d_h), rl.Workspace()
    each = [{name: param[run] for name, param in problem.params.items()} for run in range(count)]

    def run():
        for params, d_h in zip(each, problem.d_h, strict=True):
            _, _, tape = rl.unroll(problem.cell, params, problem.x, work=work)
            back = rl.backprop(problem.cell, params, tape, d_h)
        return back.params  # of the last run

    return run

"""Each classical cell as a textbook writes it: an equation a line, fresh arrays at each step, gradients added as we go.

Nothing here is fast. It is what rnnlab's cells are compared with: the same numbers (tests/test_benchmarks.py), another
time (bench_cells.py). Each function takes a cell's parameters, inputs x (T, B, D) and the immediate derivatives
d_h (T, B, H), starts from zero states, and returns the states (T, B, H) and the gradients of the parameters.
"""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def rnn(params, x, d_h):
    W_ih, W_hh, b_ih, b_hh = params.values()
    h = [np.zeros_like(d_h[0])]
    for x_t in x:
        h.append(np.tanh(x_t @ W_ih.T + b_ih + h[-1] @ W_hh.T + b_hh))

    grads, back = {name: np.zeros_like(param) for name, param in params.items()}, 0
    for t in reversed(range(len(x))):
        d_z = (1 - h[t + 1] ** 2) * (d_h[t] + back)
        accumulate(grads, d_z, d_z, x[t], h[t])
        back = d_z @ W_hh
    return np.array(h[1:]), grads


def lstm(params, x, d_h):
    W_ih, W_hh, b_ih, b_hh = params.values()
    h, c, steps = [np.zeros_like(d_h[0])], [np.zeros_like(d_h[0])], []
    for x_t in x:
        z_i, z_f, z_g, z_o = np.split(x_t @ W_ih.T + b_ih + h[-1] @ W_hh.T + b_hh, 4, axis=1)
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
        c.append(f * c[-1] + i * g)
        h.append(o * np.tanh(c[-1]))
        steps.append((i, f, g, o))

    grads, back, d_c = {name: np.zeros_like(param) for name, param in params.items()}, 0, 0
    for t in reversed(range(len(x))):
        i, f, g, o = steps[t]
        d_h_t, tanh_c = d_h[t] + back, np.tanh(c[t + 1])
        d_c = d_c + d_h_t * o * (1 - tanh_c**2)
        d_i, d_f, d_g, d_o = d_c * g, d_c * c[t], d_c * i, d_h_t * tanh_c
        d_z = np.concatenate([d_i * i * (1 - i), d_f * f * (1 - f), d_g * (1 - g**2), d_o * o * (1 - o)], axis=1)
        accumulate(grads, d_z, d_z, x[t], h[t])
        back, d_c = d_z @ W_hh, d_c * f
    return np.array(h[1:]), grads


def gru(params, x, d_h):
    W_ih, W_hh, b_ih, b_hh = params.values()
    h, steps = [np.zeros_like(d_h[0])], []
    for x_t in x:
        x_r, x_z, x_n = np.split(x_t @ W_ih.T + b_ih, 3, axis=1)
        h_r, h_z, h_n = np.split(h[-1] @ W_hh.T + b_hh, 3, axis=1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = np.tanh(x_n + r * h_n)
        h.append((1 - z) * n + z * h[-1])
        steps.append((r, z, n, h_n))

    grads, back = {name: np.zeros_like(param) for name, param in params.items()}, 0
    for t in reversed(range(len(x))):
        r, z, n, h_n = steps[t]
        d_h_t = d_h[t] + back
        d_n = d_h_t * (1 - z) * (1 - n**2)
        d_r, d_z = d_n * h_n * r * (1 - r), d_h_t * (h[t] - n) * z * (1 - z)
        d_from_x, d_from_h = np.concatenate([d_r, d_z, d_n], axis=1), np.concatenate([d_r, d_z, d_n * r], axis=1)
        accumulate(grads, d_from_x, d_from_h, x[t], h[t])
        back = d_from_h @ W_hh + d_h_t * z
    return np.array(h[1:]), grads


def accumulate(grads, d_from_x, d_from_h, x_t, h_before):
    """Add one step's share to the gradients, given dL/d(W_ih x_t + b_ih) and dL/d(W_hh h_{t-1} + b_hh)."""
    grads["weight_ih"] += d_from_x.T @ x_t
    grads["weight_hh"] += d_from_h.T @ h_before
    grads["bias_ih"] += d_from_x.sum(axis=0)
    grads["bias_hh"] += d_from_h.sum(axis=0)

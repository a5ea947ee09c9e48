"""What is asked in the exercises of the lessons, and the expected answers: computed, none is typed."""

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from rnnlab.adagrads import RMSProp
from rnnlab.bptt import backprop, unroll
from rnnlab.cells import RNNCell
from rnnlab.losses import squared_error
from rnnlab.models import Model
from rnnlab.optimizers import SGD
from rnnlab.recurrences import MinGRUCell
from rnnlab.tasks import Adding


@dataclass(frozen=True)
class Exercise:
    """Hold one exercise that can be checked.

    Attributes:
        asks: the answer that is wanted, in words: "two numbers: ...".
        expected: a function without arguments that computes the right values.
        hints: what to say after the first wrong answer, the second, ...
        kind: "numbers", "function" or "parameters" (a dict of arrays).
        use: turns an answer into the values that are compared; None for the numbers themselves.
        tolerance: relative error that is still right.
    """

    asks: str
    expected: Any
    hints: tuple
    kind: str = "numbers"
    use: Any = None
    tolerance: float = 0.01


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def bisect(too_small, low, high):
    """Return the border between values that are too small and values that are not."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if too_small(middle) else (low, middle)
    return low


def at(*cases):
    """Return a use of a function: its values for these arguments, one after the other."""
    return lambda answer: [np.asarray(answer(*case), dtype=float) for case in cases]


def detached_use():
    h0 = np.tanh(0.8 * 1.0 + 1.2 * 0.5)
    return [(1 - h0**2) * (h0 - 1.0) * 0.5]


def reached_states():
    task, model = Adding(10), Model(RNNCell(2, 4), 1, squared_error)
    rng = np.random.default_rng(0)
    params, batch = model.init(rng), task.sample(rng, 3)
    flows = [np.abs(model.loss_and_grads(params, batch, truncate=k).d_h).max(axis=(1, 2)) for k in (4, 9)]
    return [np.sum(flow > 0) for flow in flows]


def megabytes_of_states():
    T, state = 2000, 64 * 512 * 4 / 1e6
    return [T * state, min(-(-T // s) + s for s in range(1, T)) * state]


def radius_and_stretch():
    bound = 1 / np.sqrt(32)
    matrices = np.random.default_rng(0).uniform(-bound, bound, (2000, 32, 32))
    radii = np.abs(np.linalg.eigvals(matrices)).max(axis=-1)
    return [np.median(radii), np.median(np.linalg.norm(matrices, 2, axis=(-2, -1)))]


def folds(w):
    """Return the extremes of the bias x - w sigmoid(x) that makes x a fixed point, found on a grid."""
    x = np.linspace(-12, 12, 2_000_001)
    b = x - w * sigmoid(x)
    inner = np.flatnonzero(np.diff(np.sign(np.diff(b)))) + 1
    return np.sort(b[inner])


def cliff():
    slope = sigmoid(0.5) * (1 - sigmoid(0.5))
    return [1 / slope, (5.5 * slope) ** 50]


def largest_turns():
    """Return by how many degrees the clip by value turns a gradient of one large entry and n - 1 tiny ones."""
    turns = []
    for n in (2, 1000):
        g = np.full(n, 1e-9)
        g[0] = 1.0
        c = np.clip(g, -1e-9, 1e-9)
        turns.append(np.degrees(np.arccos(g @ c / np.linalg.norm(g) / np.linalg.norm(c))))
    return turns


def factor_at_rest():
    """Return the gradient's factor per step of an orthogonal tanh network that reads zeros, as backprop measures it."""
    rng, cell = np.random.default_rng(0), RNNCell(2, 8)
    params = {name: np.zeros_like(value) for name, value in cell.init(rng).items()}
    params["weight_hh"] = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    _, _, tape = unroll(cell, params, np.zeros((21, 1, 2)))
    d_h = np.zeros((21, 1, 8))
    d_h[-1] = rng.normal(size=8)
    flow = np.linalg.norm(backprop(cell, params, tape, d_h).d_h[:, 0], axis=-1)
    return [(flow[0] / flow[-1]) ** (1 / 20)]


def best_factor(kappa):
    """Return the smallest factor that the slower of two axes, 1 and kappa, can have at one learning rate."""
    rates = np.linspace(0, 2 / kappa, 400_001)
    return np.maximum(np.abs(1 - rates), np.abs(1 - rates * kappa)).min()


def stable_rates():
    """Return the largest stable lr of both rules with momentum 0.9 on x^2 / 2, from the map of one update."""

    def radius(lr, nesterov):
        velocity = [0.9, 1.0]  # v' = 0.9 v + x; the step goes along v', or by Nesterov along 0.9 v' + x
        step = [0.9 * v for v in velocity] if nesterov else velocity
        step[1] += nesterov
        return np.abs(np.linalg.eigvals([velocity, [-lr * step[0], 1 - lr * step[1]]])).max()

    return [bisect(lambda lr, rule=rule: radius(lr, rule) < 1, 0.01, 10) for rule in (False, True)]


def steps_after_the_cut():
    inside, outside = [], []
    torch_v = keras_v = 0.0
    for update in range(103):
        lr = 0.1 if update < 100 else 0.01
        torch_v, keras_v = 0.9 * torch_v + 1, 0.9 * keras_v + lr
        outside.append(lr * torch_v)
        inside.append(keras_v)
    return outside[-3:] + inside[-3:]


def longest_step(lr, max_norm, momentum):
    """Return the step in the end, if every gradient has the largest length that the clip lets pass."""
    optimizer, params = SGD(lr, momentum=momentum), {"w": np.zeros(1)}
    state, before = optimizer.init(params), 0.0
    for _ in range(2000):
        before = params["w"][0]
        params, state = optimizer.update({"w": params["w"].copy()}, {"w": np.array([max_norm])}, state)
    return abs(params["w"][0] - before)


def lags():
    n, p = 1_000_000, 0.01
    k = np.arange(1, n + 1)
    adagrad = (1 / np.sqrt(k[: int(p * n)])).sum() / (1 / np.sqrt(k)).sum()
    return [adagrad, p * n / np.sqrt(p) / n, p]


def first_step():
    optimizer, params = RMSProp(lr=1.0, alpha=0.99), {"w": np.zeros(1)}
    return -optimizer.update(params, {"w": np.array([0.3])}, optimizer.init(params))[0]["w"]


def halving():
    return [np.log(0.5) / np.log1p(-0.001 * decay) for decay in (0.01, 0.1)]


def stationary_variance(lr, sigma):
    variance = 0.0
    for _ in range(20_000):
        variance = (1 - lr) ** 2 * variance + (lr * sigma) ** 2
    return variance


def best_of_fifty():
    """Return the mean of the largest of 50 normal numbers: the integral of 1 - F^50 above 0 less F^50 below."""
    x = np.linspace(-9, 9, 200_001)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    F = np.cumsum(density) * (x[1] - x[0])
    return [np.sum(x * 50 * F**49 * density) * (x[1] - x[0])]


def clearing_the_bar():
    """Return 0.8^10, and the fewest seeds at which 80 % is found nine times in ten at a level of 0.05 / 48."""

    def at_least(wins, n, p):
        return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(wins, n + 1))

    for n in range(10, 100):
        needed = next((wins for wins in range(n + 1) if at_least(wins, n, 0.5) < 0.05 / 48), None)
        if needed is not None and at_least(needed, n, 0.8) >= 0.9:
            return [at_least(10, 10, 0.8), n]


MARKS, RESETS = np.array([[0, 1, 1, 0, 0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 1, 0, 0, 1, 0, 0]])


def counted(gates):
    """Return the memory c = f c + i g after each step of a stream of marks and resets."""
    c, memory = 0.0, []
    for mark, reset in zip(MARKS, RESETS, strict=True):
        i, f, g = (float(value) for value in gates(int(mark), int(reset)))
        c = f * c + i * g
        memory.append(c)
    return memory


def counts():
    c, memory = 0, []
    for mark, reset in zip(MARKS, RESETS, strict=True):
        c = 0 if reset else c + int(mark)
        memory.append(c)
    return memory


def keeping():
    b = bisect(lambda b: sigmoid(b) ** 1000 < 0.1, 0, 20)
    return [b, sigmoid(b) * (1 - sigmoid(b))]


BITS = np.random.default_rng(0).integers(0, 2, (1000, 1, 1)).astype(float)


def parity_of(params):
    """Return whether the state of a signed minGRU that starts at 1 is below 0, after each of 1,000 bits."""
    params = {name: np.asarray(value, dtype=float) for name, value in params.items()}
    h, _, _ = unroll(MinGRUCell(1, 1, negative=True), params, BITS, np.ones((1, 1)))
    return (h.ravel() < 0).astype(float)


def fading(P):
    """Return the factor by which what differs between nodes shrinks in the end, by going there."""
    P, slowest = np.asarray(P, dtype=float), np.linalg.svd(P)[0][:, 0]
    x = np.random.default_rng(0).normal(size=len(P))
    for _ in range(3000):
        x = P @ (x - slowest * (slowest @ x))
        length, x = np.linalg.norm(x), x / np.linalg.norm(x)
    return length


def rings():
    """Return two small matrices P = D^-1/2 (A + I) D^-1/2: a ring, and a ring with a chord and a tail."""
    found = []
    for n, more in ((8, []), (9, [(0, 4), (3, 7)])):
        A = np.eye(n)
        for a, b in [(i, (i + 1) % n) for i in range(n)] + more:
            A[a, b] = A[b, a] = 1
        degree = A.sum(axis=0)
        found.append(A / np.sqrt(np.outer(degree, degree)))
    return found

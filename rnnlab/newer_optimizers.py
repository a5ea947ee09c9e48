"""Optimizers after Adam: Lion steps by signs, Muon by near-orthogonal matrices, ScheduleFree averages as it goes."""

from dataclasses import dataclass, field, replace

import numpy as np

from rnnlab.adams import AdamW
from rnnlab.checks import positive_integer, positive_numbers
from rnnlab.optimizers import Optimizer, fraction
from rnnlab.runs import per_run

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # steepest at 0 of the quintics that stay near 1; never quite 1


@dataclass(frozen=True)
class Lion(Optimizer):
    """Step by a sign, the same length for every entry: w <- w - lr (sign(beta1 m + (1 - beta1) g) + weight_decay w).

    After it m <- beta2 m + (1 - beta2) g. Every entry moves by lr, so lr wants to be 3 to 10 times smaller than Adam's.

    Args:
        lr: learning rate, at least 0; or an array, one for each run.
        beta1: weight of m in the step, in [0, 1).
        beta2: share of m that is kept, in [0, 1).
        weight_decay: at least 0; lr multiplies it.

    Source: Chen et al. (2023), Algorithm 2, and the defaults of its code.

    >>> import numpy as np
    >>> lion, params = Lion(lr=0.1), {"w": np.array([1.0, 1.0, 1.0])}
    >>> params, state = lion.update(params, {"w": np.array([100.0, -0.01, 0.0])}, lion.init(params))
    >>> params["w"]
    array([0.9, 1.1, 1. ])
    """

    lr: float | np.ndarray = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0

    slots = ("m",)

    def __post_init__(self):
        super().__post_init__()
        fraction(self.beta1, "beta1")
        fraction(self.beta2, "beta2")
        positive_numbers(self.weight_decay, "weight_decay", zero_allowed=True)

    def _move(self, w, g, lr, now, m):
        step = _sign(self.beta1 * m + (1 - self.beta1) * g)
        return w - lr * (step + self.weight_decay * w), {"m": self.beta2 * m + (1 - self.beta2) * g}


@dataclass(frozen=True)
class Muon(Optimizer):
    """Step by a matrix whose singular values are all near 1: w <- w - lr weight_decay w - lr sqrt(max(1, A / B)) NS(u).

    b <- momentum b + (1 - momentum) g, and u is b, with nesterov momentum b + (1 - momentum) g; NS is `orthogonalize`,
    w has shape (A, B). Only hidden matrices move so; an optimizer `others` moves the rest.

    Args:
        lr: learning rate of the hidden matrices, at least 0; or an array, one for each run.
        weight_decay: of the hidden matrices, at least 0; lr multiplies it.
        momentum: share of b that is kept, in [0, 1).
        nesterov: look ahead along b.
        ns_steps: steps of the Newton-Schulz iteration, at least 1.
        eps: smallest norm that u is divided by.
        hidden: a parameter whose name begins with one of these is a hidden matrix. The default takes all matrices of
            rnnlab's and torch's cells; to leave out the input's, as the source advises, name ("weight_hh",).
        others: the optimizer of all other parameters.

    Source: Jordan et al. (2024); defaults of torch.optim.Muon, which iterates in bfloat16 where this keeps the dtype.

    >>> import numpy as np
    >>> muon, params = Muon(lr=0.1, weight_decay=0), {"weight_hh": np.zeros((2, 2)), "bias_hh": np.zeros(2)}
    >>> grads = {"weight_hh": np.diag([100.0, 0.1]), "bias_hh": np.ones(2)}
    >>> params, state = muon.update(params, grads, muon.init(params))
    >>> np.diag(params["weight_hh"]).round(2)
    array([-0.07, -0.05])
    """

    weight_decay: float = 0.1
    momentum: float = 0.95
    nesterov: bool = True
    ns_steps: int = 5
    eps: float = 1e-7
    hidden: tuple[str, ...] = ("weight_ih", "weight_hh")
    others: Optimizer = field(default_factory=AdamW)

    slots = ("b",)

    def __post_init__(self):
        super().__post_init__()
        fraction(self.momentum, "momentum")
        positive_integer(self.ns_steps, "ns_steps")
        positive_numbers(self.weight_decay, "weight_decay", zero_allowed=True)
        positive_numbers(self.eps, "eps")
        if isinstance(self.hidden, str) or not self.hidden:
            raise ValueError(f"expected hidden to be a tuple of beginnings of names, got {self.hidden!r}")

    def init(self, params):
        """Return the state before the first update: of the hidden matrices, and of the other optimizer."""
        ours, theirs = self._split(params)
        return {"hidden": super().init(ours), "others": self.others.init(theirs) if theirs else {}}

    def scaled(self, factor):
        """Return this optimizer with both learning rates times a factor."""
        return replace(super().scaled(factor), others=self.others.scaled(factor))

    def _split(self, params):
        ours = {name: param for name, param in params.items() if name.startswith(tuple(self.hidden))}
        if not ours:
            raise ValueError(f"expected hidden matrices, named like {self.hidden}, got {sorted(params)}; set hidden=")
        runs = self.runs or np.ndim(self.lr)
        for name, param in ours.items():
            if param.ndim != 2 + runs:
                raise ValueError(f"expected {name} to be a matrix behind {runs} axes of runs, got {tuple(param.shape)}")
        return ours, {name: param for name, param in params.items() if name not in ours}

    def _check_state(self, params, state):
        if state.keys() != {"hidden", "others"}:
            raise ValueError(f"expected the state of Muon, got one with {sorted(state)}; begin with init(params)")
        ours, theirs = self._split(params)
        super()._check_state(ours, state["hidden"])
        if theirs:
            self.others._check_state(theirs, state["others"])

    def _advance(self, params, grads, state):
        ours, theirs = self._split(params)
        moved, kept = super()._advance(ours, grads, state["hidden"])
        rest, kept_of_others = self.others._advance(theirs, grads, state["others"]) if theirs else ({}, {})
        return {name: (moved | rest)[name] for name in params}, {"hidden": kept, "others": kept_of_others}

    def _move(self, w, g, lr, now, b):
        b = self.momentum * b + (1 - self.momentum) * g
        u = self.momentum * b + (1 - self.momentum) * g if self.nesterov else b
        rows, columns = w.shape[-2:]
        step = max(1, rows / columns) ** 0.5 * orthogonalize(u, self.ns_steps, self.eps)
        return w - lr * self.weight_decay * w - lr * step, {"b": b}


def orthogonalize(matrix, steps=5, eps=1e-7):
    """Return nearly U V^T of a matrix U S V^T: after five steps the singular values are about 0.7 to 1.2.

    X <- a X + (b G + c G G) X with G = X X^T, from X = matrix / ||matrix||; the values tend to no limit, which is why
    few steps do. Leading axes are independent matrices.

    Args:
        matrix: (..., A, B).
        steps: at least 1.
        eps: smallest norm to divide by.

    Source: Jordan et al. (2024).
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.swapaxes(-1, -2) if tall else matrix  # G is the smaller of the two products
    x = x / ((x * x).sum(axis=(-2, -1), keepdims=True) ** 0.5).clip(eps)
    for _ in range(steps):
        gram = x @ x.swapaxes(-1, -2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.swapaxes(-1, -2) if tall else x


@dataclass(frozen=True)
class ScheduleFree(Optimizer):
    """Average instead of lowering the rate: z <- z - lr d; x <- (1 - c) x + c z; y <- (1 - beta1) z + beta1 x.

    The parameters that move are y, where the gradient is taken; `evaluation_params` returns x, which is to be evaluated
    and kept. d = g / (sqrt(v^) + eps) + weight_decay y with AdamW's v^, or g + weight_decay y with beta2=None, which is
    Schedule-Free SGD. c = lr_max^2 / (sum of all lr_max^2) is 1 / t while lr stays the same; so a warm-up by a schedule
    counts little in the average.

    Args:
        lr: learning rate, at least 0; or an array, one for each run. With beta2=None it wants to be much larger: 1.
        beta1: share of the average in y, in [0, 1).
        beta2: share of v that is kept, in [0, 1), or None for no v.
        eps: keeps the quotient finite, at least 0.
        weight_decay: at least 0.

    Source: Defazio et al. (2024), and the defaults of its AdamWScheduleFree.

    >>> import numpy as np
    >>> free, params = ScheduleFree(lr=1.0, beta2=None), {"w": np.array([1.0])}
    >>> state = free.init(params)
    >>> for _ in range(2):
    ...     params, state = free.update(params, {"w": np.array([1.0])}, state)
    >>> state["z"]["w"], free.evaluation_params(params, state)["w"]
    (array([-1.]), array([-0.5]))
    """

    lr: float | np.ndarray = 2.5e-3
    beta1: float = 0.9
    beta2: float | None = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    numbers = {"t": 0, "lr_max": 0.0, "weights": 0.0}

    def __post_init__(self):
        super().__post_init__()
        fraction(self.beta1, "beta1")
        if self.beta2 is not None:
            fraction(self.beta2, "beta2")
        positive_numbers(self.eps, "eps", zero_allowed=True)
        positive_numbers(self.weight_decay, "weight_decay", zero_allowed=True)

    @property
    def slots(self):
        """The fast point, its average, and with beta2 the mean square."""
        return ("z", "x") + ("v",) * (self.beta2 is not None)

    def evaluation_params(self, params, state):
        """Return x, the average."""
        return state["x"]

    def _start(self, slot, param):
        return 0 * param if slot == "v" else 1 * param

    def _count(self, state):
        lr_max = np.maximum(self.lr, state["lr_max"]) if np.ndim(self.lr) else max(self.lr, state["lr_max"])
        return {"t": state["t"] + 1, "lr_max": lr_max, "weights": state["weights"] + lr_max**2}

    def _move(self, y, g, lr, now, z, x, v=None):
        d = g
        if self.beta2 is not None:
            v = self.beta2 * v + (1 - self.beta2) * g * g
            d = g / ((v / (1 - self.beta2 ** now["t"])) ** 0.5 + self.eps)
        z = z - lr * (d + self.weight_decay * y)
        # While lr was 0 nothing has moved, and any share of z in x is right.
        c = per_run(now["lr_max"] ** 2 / (now["weights"] + (now["weights"] == 0)), y)
        x = (1 - c) * x + c * z
        return (1 - self.beta1) * z + self.beta1 * x, {"z": z, "x": x, "v": v}


def _sign(array):
    return array.sign() if hasattr(array, "sign") else np.sign(array)

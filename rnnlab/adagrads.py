"""AdaGrad and its kin: every entry has a rate of its own, from the size of its past gradients."""

from dataclasses import dataclass

import numpy as np

from rnnlab.checks import positive_numbers
from rnnlab.optimizers import Optimizer, fraction


@dataclass(frozen=True)
class AdaGrad(Optimizer):
    """Divide each entry by the root of all its past squares: s <- s + g^2; w <- w - lr g / (sqrt(s) + eps).

    Args:
        lr: learning rate, at least 0; or an array, one for each run.
        eps: keeps the quotient finite, at least 0.
        initial_accumulator: s before the first update, at least 0. torch 0, Keras and Optax 0.1.
        eps_inside_root: divide by sqrt(s + eps), as Keras and Optax do.

    Source: Duchi, Hazan and Singer (2011); defaults of torch.optim.Adagrad.

    >>> import numpy as np
    >>> adagrad, params = AdaGrad(lr=0.1), {"w": np.array([1.0, 1.0])}
    >>> params, state = adagrad.update(params, {"w": np.array([100.0, 0.01])}, adagrad.init(params))
    >>> params["w"].round(6)
    array([0.9, 0.9])
    """

    lr: float | np.ndarray = 1e-2
    eps: float = 1e-10
    initial_accumulator: float = 0.0
    eps_inside_root: bool = False

    slots = ("s",)

    def __post_init__(self):
        super().__post_init__()
        positive_numbers(self.eps, "eps", zero_allowed=True)
        positive_numbers(self.initial_accumulator, "initial_accumulator", zero_allowed=True)

    def _start(self, slot, param):
        return 0 * param + self.initial_accumulator

    def _move(self, w, g, lr, now, s):
        s = s + g * g
        return w - lr * g / root(s, self.eps, self.eps_inside_root), {"s": s}


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """Divide by a fading root mean square: v <- alpha v + (1 - alpha) g^2; w <- w - lr g / (sqrt(v) + eps).

    With centered, v - m^2 takes the place of v, where m <- alpha m + (1 - alpha) g: an estimate of the variance. With
    momentum, b <- momentum b + g / (sqrt(v) + eps) and w <- w - lr b.

    Args:
        lr: learning rate, at least 0; or an array, one for each run.
        alpha: share of the mean square that is kept, in [0, 1). torch 0.99, Keras and Optax 0.9.
        eps: keeps the quotient finite, at least 0.
        momentum: share of the last step that is kept, in [0, 1).
        centered: divide by the standard deviation.
        eps_inside_root: divide by sqrt(v + eps), as Keras and Optax do. Then it acts like an outside eps of sqrt(eps).
        initial_accumulator: v before the first update, at least 0. torch, Keras and Optax 0, TensorFlow 1 has 1.
        lr_in_velocity: b <- momentum b + lr g / (...); w <- w - b, as Keras and Optax do: a change of lr then acts only
            on steps to come.

    Source: Tieleman and Hinton (2012), whose slide has no epsilon; centered: Graves (2013); defaults of
    torch.optim.RMSprop.

    >>> import numpy as np
    >>> rmsprop, params = RMSProp(lr=0.1, alpha=0.75), {"w": np.array([1.0, 1.0])}
    >>> params, state = rmsprop.update(params, {"w": np.array([100.0, 0.01])}, rmsprop.init(params))
    >>> params["w"].round(6)
    array([0.8, 0.8])
    """

    lr: float | np.ndarray = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    eps_inside_root: bool = False
    initial_accumulator: float = 0.0
    lr_in_velocity: bool = False

    def __post_init__(self):
        super().__post_init__()
        fraction(self.alpha, "alpha")
        fraction(self.momentum, "momentum")
        positive_numbers(self.eps, "eps", zero_allowed=True)
        positive_numbers(self.initial_accumulator, "initial_accumulator", zero_allowed=True)

    @property
    def slots(self):
        """The mean square, with `centered` the mean, with momentum the velocity."""
        return ("v",) + ("m",) * self.centered + ("velocity",) * (self.momentum > 0)

    def _start(self, slot, param):
        return 0 * param + self.initial_accumulator if slot == "v" else 0 * param

    def _move(self, w, g, lr, now, v, m=None, velocity=None):
        v = square = self.alpha * v + (1 - self.alpha) * g * g
        if self.centered:
            m = self.alpha * m + (1 - self.alpha) * g
            square = (v - m * m).clip(0)  # rounding can leave a constant gradient a variance of -1e-20
        b = g / root(square, self.eps, self.eps_inside_root)
        before, after = (lr, 1) if self.lr_in_velocity else (1, lr)
        if self.momentum:
            velocity = b = self.momentum * velocity + before * b
            return w - after * b, {"v": v, "m": m, "velocity": velocity}
        return w - lr * b, {"v": v, "m": m}


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """Step by a ratio of two root mean squares, which has the parameter's unit: d = sqrt(u + eps) / sqrt(v + eps) g.

    v <- rho v + (1 - rho) g^2 before, u <- rho u + (1 - rho) d^2 after; w <- w - lr d.

    Args:
        lr: factor of the step, at least 0; or an array, one for each run.
        rho: share of the mean squares that is kept, in [0, 1).
        eps: starts the motion, at least 0: with 0 nothing ever moves.

    Source: Zeiler (2012), where lr is 1; defaults of torch.optim.Adadelta.

    >>> import numpy as np
    >>> adadelta, params = Adadelta(), {"w": np.array([1.0])}
    >>> params, state = adadelta.update(params, {"w": np.array([5.0])}, adadelta.init(params))
    >>> (1 - params["w"]).round(5)
    array([0.00316])
    """

    lr: float | np.ndarray = 1.0
    rho: float = 0.9
    eps: float = 1e-6

    slots = ("v", "u")

    def __post_init__(self):
        super().__post_init__()
        fraction(self.rho, "rho")
        positive_numbers(self.eps, "eps", zero_allowed=True)

    def _move(self, w, g, lr, now, v, u):
        v = self.rho * v + (1 - self.rho) * g * g
        d = (u + self.eps) ** 0.5 / (v + self.eps) ** 0.5 * g
        u = self.rho * u + (1 - self.rho) * d * d
        return w - lr * d, {"v": v, "u": u}


def root(square, eps, inside):
    """Return sqrt(square) + eps, or sqrt(square + eps) with epsilon inside the root."""
    return (square + eps) ** 0.5 if inside else square**0.5 + eps

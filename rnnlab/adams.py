"""Adam and its kin: two moments of the gradient, m of first and v of second order, and what each does with them.

    m <- beta1 m + (1 - beta1) g          v <- beta2 v + (1 - beta2) g^2          t counts the updates from 1

Both start at 0 and so are too short at first: m by the factor 1 - beta1^t, v by 1 - beta2^t.
"""

from dataclasses import dataclass

import numpy as np

from rnnlab.checks import positive_numbers
from rnnlab.optimizers import Optimizer, fraction


@dataclass(frozen=True)
class Adam(Optimizer):
    """Step by the mean over the root mean square: w <- w - lr m^ / (sqrt(v^) + eps), m^ = m / (1 - beta1^t), v^ alike.

    Args:
        lr: learning rate, at least 0; or an array, one for each run.
        beta1: share of m that is kept, in [0, 1).
        beta2: share of v that is kept, in [0, 1).
        eps: keeps the quotient finite, at least 0.
        bias_correction: divide the moments by what they are too short; without it the step at t is
            (1 - beta1^t) / sqrt(1 - beta2^t) times as long.
        eps_hat: add eps before the correction, as Keras does: w <- w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m /
            (sqrt(v) + eps). Then it weighs more in the first updates.

    Source: Kingma and Ba (2015), Algorithm 1; eps_hat: the end of its section 2; defaults of torch.optim.Adam.

    >>> import numpy as np
    >>> adam, params = Adam(lr=0.1), {"w": np.array([1.0, 1.0])}
    >>> params, state = adam.update(params, {"w": np.array([100.0, 0.01])}, adam.init(params))
    >>> params["w"].round(6)
    array([0.9, 0.9])
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    bias_correction: bool = True
    eps_hat: bool = False

    slots = ("m", "v")
    numbers = {"t": 0}

    def __post_init__(self):
        super().__post_init__()
        check_moments(self)

    def _count(self, state):
        return {"t": state["t"] + 1}

    def _move(self, w, g, lr, now, m, v):
        m, v = moments(self, g, m, v)
        return self._step(w, lr, now["t"], m, v), {"m": m, "v": v}

    def _step(self, w, lr, t, m, v):
        c1, c2 = (1 - self.beta1**t, (1 - self.beta2**t) ** 0.5) if self.bias_correction else (1.0, 1.0)
        if self.eps_hat:
            return w - lr * c2 / c1 * m / (v**0.5 + self.eps)
        return w - lr / c1 * m / (v**0.5 / c2 + self.eps)


@dataclass(frozen=True)
class AdamW(Adam):
    """Shrink the weights beside Adam's step, not through its gradient: w <- w - lr weight_decay w, then Adam.

    A penalty in the gradient would be divided by sqrt(v) like the rest, so weights with large gradients would shrink
    less. Here all shrink alike.

    Args:
        lr, beta1, beta2, eps, bias_correction, eps_hat: as for Adam.
        weight_decay: at least 0; lr multiplies it.

    Source: Loshchilov and Hutter (2019); defaults of torch.optim.AdamW.

    >>> import numpy as np
    >>> adamw, params = AdamW(lr=0.1, weight_decay=0.5), {"w": np.array([1.0])}
    >>> params, state = adamw.update(params, {"w": np.array([0.0])}, adamw.init(params))
    >>> params["w"]
    array([0.95])
    """

    weight_decay: float = 1e-2

    def __post_init__(self):
        super().__post_init__()
        positive_numbers(self.weight_decay, "weight_decay", zero_allowed=True)

    def _step(self, w, lr, t, m, v):
        return super()._step(w - lr * self.weight_decay * w, lr, t, m, v)


@dataclass(frozen=True)
class AMSGrad(Adam):
    """Divide by the largest v so far, so that the step of an entry cannot grow: V <- max(V, v), then Adam with V.

    Args:
        lr, beta1, beta2, eps, bias_correction, eps_hat: as for Adam.

    Source: Reddi, Kale and Kumar (2018); as torch.optim.Adam(amsgrad=True), which corrects V where the paper does not.

    >>> import numpy as np
    >>> amsgrad, params = AMSGrad(beta2=0.5), {"w": np.array([1.0])}
    >>> state = amsgrad.init(params)
    >>> for g in (8.0, 0.0):
    ...     params, state = amsgrad.update(params, {"w": np.array([g])}, state)
    >>> state["v"]["w"], state["v_max"]["w"]
    (array([16.]), array([32.]))
    """

    slots = ("m", "v", "v_max")

    def _move(self, w, g, lr, now, m, v, v_max):
        m, v = moments(self, g, m, v)
        v_max = v_max.clip(v)  # the larger of the two
        return self._step(w, lr, now["t"], m, v_max), {"m": m, "v": v, "v_max": v_max}


@dataclass(frozen=True)
class NAdam(Optimizer):
    """Look ahead along the mean, as Nesterov does: w <- w - lr m~ / (sqrt(v^) + eps).

    m~ = mu' m / (1 - P mu') + (1 - mu) g / (1 - P), where mu = beta1 (1 - 0.96^(t momentum_decay) / 2), mu' is the next
    update's mu and P the product of all mu up to now.

    Args:
        lr: learning rate, at least 0; or an array, one for each run.
        beta1, beta2, eps: as for Adam.
        momentum_decay: how fast mu rises from beta1 / 2 to beta1, at least 0.

    Source: Dozat (2016); defaults of torch.optim.NAdam.

    >>> import numpy as np
    >>> nadam, params = NAdam(), {"w": np.array([1.0])}
    >>> params, state = nadam.update(params, {"w": np.array([5.0])}, nadam.init(params))
    >>> state["t"], round(state["product"], 3)
    (1, 0.45)
    """

    lr: float | np.ndarray = 2e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    momentum_decay: float = 4e-3

    slots = ("m", "v")
    numbers = {"t": 0, "product": 1.0}

    def __post_init__(self):
        super().__post_init__()
        check_moments(self)
        positive_numbers(self.momentum_decay, "momentum_decay", zero_allowed=True)

    def _mu(self, t):
        return self.beta1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay))

    def _count(self, state):
        t = state["t"] + 1
        return {"t": t, "product": state["product"] * self._mu(t)}

    def _move(self, w, g, lr, now, m, v):
        m, v = moments(self, g, m, v)
        t, product, mu, mu_next = now["t"], now["product"], self._mu(now["t"]), self._mu(now["t"] + 1)
        ahead = mu_next / (1 - product * mu_next) * m + (1 - mu) / (1 - product) * g
        return w - lr * ahead / ((v / (1 - self.beta2**t)) ** 0.5 + self.eps), {"m": m, "v": v}


@dataclass(frozen=True)
class RAdam(Optimizer):
    """Divide by the root mean square only when enough gradients are in it: w <- w - lr r c2 m^ / (sqrt(v) + eps).

    rho = rho_inf - 2 t beta2^t / (1 - beta2^t) counts the gradients that v holds, rho_inf = 2 / (1 - beta2) - 1 what it
    comes to. While rho <= 5, w <- w - lr m^, momentum alone. After that the step has the factor r,
    r^2 = (rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho), and c2 = sqrt(1 - beta2^t).

    Args:
        lr: learning rate, at least 0; or an array, one for each run.
        beta1, beta2, eps: as for Adam.

    Source: Liu et al. (2020); defaults of torch.optim.RAdam.

    >>> import numpy as np
    >>> radam, params = RAdam(lr=0.1), {"w": np.array([1.0])}
    >>> params, state = radam.update(params, {"w": np.array([5.0])}, radam.init(params))
    >>> params["w"]
    array([0.5])
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    slots = ("m", "v")
    numbers = {"t": 0}

    def __post_init__(self):
        super().__post_init__()
        check_moments(self)

    def _count(self, state):
        return {"t": state["t"] + 1}

    def _move(self, w, g, lr, now, m, v):
        m, v = moments(self, g, m, v)
        t, kept = now["t"], self.beta2 ** now["t"]
        m_hat = m / (1 - self.beta1**t)
        rho_inf = 2 / (1 - self.beta2) - 1
        rho = rho_inf - 2 * t * kept / (1 - kept)
        if rho <= 5:
            return w - lr * m_hat, {"m": m, "v": v}
        r = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
        return w - lr * r * (1 - kept) ** 0.5 * m_hat / (v**0.5 + self.eps), {"m": m, "v": v}


def moments(adam, g, m, v):
    """Return both moments after one more gradient."""
    return adam.beta1 * m + (1 - adam.beta1) * g, adam.beta2 * v + (1 - adam.beta2) * g * g


def check_moments(adam):
    """Raise ValueError if a beta or eps of an optimizer is out of range."""
    fraction(adam.beta1, "beta1")
    fraction(adam.beta2, "beta2")
    positive_numbers(adam.eps, "eps", zero_allowed=True)

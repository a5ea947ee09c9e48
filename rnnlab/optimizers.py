"""Optimizers on a flat dict name -> array: the settings are frozen, the state goes in and comes out.

Only arithmetic is used, so the same object moves NumPy arrays and torch tensors. A setting may be an array with one
number for each run, where the parameters have the same axes of runs in front.
"""

from dataclasses import dataclass

import numpy as np

from rnnlab.checks import positive_numbers, same_names
from rnnlab.runs import per_run


@dataclass(frozen=True)
class SGD:
    """Step against the gradient: v <- momentum v + g; w <- w - lr v (with nesterov: w <- w - lr (g + momentum v)).

    Args:
        lr: learning rate, at least 0; or an array, one for each run.
        momentum: share of the last step that is kept, in [0, 1).
        nesterov: look ahead along the velocity.

    Raises:
        ValueError: a setting is out of range.

    Source: the convention of torch.optim.SGD, in which lr multiplies the whole velocity.

    >>> import numpy as np
    >>> sgd, params = SGD(lr=0.1), {"w": np.array([1.0])}
    >>> params, state = sgd.update(params, {"w": np.array([2.0])}, sgd.init(params))
    >>> params["w"]
    array([0.8])
    """

    lr: float | np.ndarray
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self):
        positive_numbers(self.lr, "lr", zero_allowed=True)
        if not 0 <= self.momentum < 1:
            raise ValueError(f"expected momentum in [0, 1), got {self.momentum!r}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("expected momentum above 0 with nesterov=True, got 0: Nesterov's rule needs a velocity")

    def init(self, params):
        """Return the state before the first update: the velocity, zero for each parameter."""
        return {"velocity": {name: 0 * param for name, param in params.items()}} if self.momentum else {}

    def update(self, params, grads, state):
        """Return the parameters and the state after one update; what was passed in is left as it was.

        Raises:
            ValueError: names or shapes of params and grads differ.
        """
        same_names(params, grads)
        if not self.momentum:
            return {name: param - per_run(self.lr, param) * grads[name] for name, param in params.items()}, state
        velocity = {name: self.momentum * v + grads[name] for name, v in state["velocity"].items()}
        step = velocity
        if self.nesterov:
            step = {name: grads[name] + self.momentum * v for name, v in velocity.items()}
        moved = {name: param - per_run(self.lr, param) * step[name] for name, param in params.items()}
        return moved, {"velocity": velocity}

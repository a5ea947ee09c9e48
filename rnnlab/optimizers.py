"""Optimizers on a flat dict name -> array: the settings are frozen, the state goes in and comes out.

Only arithmetic is used, so the same object moves NumPy arrays and torch tensors. This file has what all of them share,
and SGD; `adagrads` divide by the size of past gradients, `adams` have two moments, `newer_optimizers` came after.

The state is a nested dict of arrays and numbers, so `save_state` stores it and a resumed run goes on bit for bit.

Where the parameters (NumPy only) have axes of independent runs in front, `lr` may be an array with one number for each
run, or `runs` says how many such axes there are. Then a gradient that is not finite is no error: its run turns to NaN,
which is data, and the others move as if they were alone.
"""

import math
from dataclasses import dataclass, field, fields, replace

import numpy as np

from rnnlab.checks import positive_numbers, same_names
from rnnlab.runs import per_run


@dataclass(frozen=True)
class Optimizer:
    """Carry the rule of one parameter, `_move`, over a flat dict of parameters.

    Args:
        lr: learning rate, at least 0; or an array, one for each run.
        runs: number of leading axes of the parameters that are independent runs; an array lr says it itself.
    """

    lr: float | np.ndarray = 1e-3
    runs: int = field(default=0, kw_only=True)

    slots = ()  # names of the arrays that are kept for each parameter
    numbers = {}  # numbers that are kept once, such as the count of updates, before the first update

    def __post_init__(self):
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, np.floating):  # NumPy's own float64 would turn float32 parameters into float64
                object.__setattr__(self, setting.name, float(value))
        positive_numbers(self.lr, "lr", zero_allowed=True)
        if isinstance(self.runs, bool) or not isinstance(self.runs, int) or self.runs < 0:
            raise ValueError(f"expected runs to be a whole number of at least 0, got {self.runs!r}")

    def init(self, params):
        """Return the state before the first update.

        Args:
            params: dict name -> array, not empty.
        """
        if not params:
            raise ValueError("expected at least one parameter, got an empty dict")
        kept = {slot: {name: self._start(slot, param) for name, param in params.items()} for slot in self.slots}
        return {**self.numbers, **kept}

    def update(self, params, grads, state):
        """Return the parameters and the state after one update; what was passed in is left as it was.

        Args:
            params: dict name -> array.
            grads: dict name -> array, the same names and shapes.
            state: what `init` or the last `update` returned.

        Raises:
            ValueError: names or shapes differ, the state is another optimizer's, or a gradient is not finite and there
                are no axes of runs. Nothing has changed then.
        """
        if not params:
            raise ValueError("expected at least one parameter, got an empty dict")
        same_names(params, grads)
        self._check_state(params, state)
        if not (self.runs or np.ndim(self.lr)):
            _check_finite(grads)
        return self._advance(params, grads, state)

    def scaled(self, factor):
        """Return this optimizer with its learning rate times a factor, as a schedule wants it."""
        return replace(self, lr=self.lr * factor)

    def evaluation_params(self, params, state):
        """Return the parameters to evaluate and to keep: the moved ones, but for optimizers that average them."""
        return params

    def _start(self, slot, param):
        return 0 * param

    def _count(self, state):
        """Return the numbers of the state after one more update."""
        return {}

    def _move(self, w, g, lr, now, **kept):
        """Return one parameter after the update, and what is kept for it; `now` has the numbers of this update."""
        raise NotImplementedError

    def _advance(self, params, grads, state):
        now, moved, kept = self._count(state), {}, {slot: {} for slot in self.slots}
        for name, param in params.items():
            own = {slot: state[slot][name] for slot in self.slots}
            moved[name], own = self._move(param, grads[name], per_run(self.lr, param), now, **own)
            for slot in self.slots:
                kept[slot][name] = own[slot]
        return moved, {**now, **kept}

    def _check_state(self, params, state):
        wanted = {*self.numbers, *self.slots}
        fits = state.keys() == wanted and all(
            state[slot].keys() == params.keys()
            and all(state[slot][name].shape == param.shape for name, param in params.items())
            for slot in self.slots
        )
        if not fits:
            raise ValueError(
                f"expected the state of {type(self).__name__} for these parameters, with {sorted(wanted)}, "
                f"got one with {sorted(state)}; begin with init(params)"
            )


def _check_finite(grads):
    with np.errstate(over="ignore", invalid="ignore"):
        for name, grad in grads.items():
            flat = grad.ravel()
            # One product tells in nearly all cases; the squares of huge, finite entries overflow, so then look closer.
            if not math.isfinite(flat @ flat) and not bool((grad - grad == 0).all()):
                raise ValueError(
                    f"expected finite gradients, got NaN or infinity in grads[{name!r}]; the run has diverged: stop "
                    "before the update, as train does. If leading axes are independent runs, say so with runs="
                )


def fraction(value, name):
    """Raise ValueError unless `value` is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, float | int) or not 0 <= value < 1:
        raise ValueError(f"expected {name} in [0, 1), got {value!r}")


@dataclass(frozen=True)
class SGD(Optimizer):
    """Step against the gradient: v <- momentum v + g; w <- w - lr v (with nesterov: w <- w - lr (g + momentum v)).

    Args:
        lr: learning rate, at least 0; or an array, one for each run.
        momentum: share of the last step that is kept, in [0, 1).
        nesterov: look ahead along the velocity.
        lr_in_velocity: v <- momentum v + lr g; w <- w - v, as Keras does: a change of lr then acts only on steps to
            come. At a rate that stays the two are one.

    Raises:
        ValueError: a setting is out of range.

    Source: the convention of torch.optim.SGD, in which lr multiplies the whole velocity.

    >>> import numpy as np
    >>> sgd, params = SGD(lr=0.1), {"w": np.array([1.0])}
    >>> params, state = sgd.update(params, {"w": np.array([2.0])}, sgd.init(params))
    >>> params["w"]
    array([0.8])
    """

    momentum: float = 0.0
    nesterov: bool = False
    lr_in_velocity: bool = False

    def __post_init__(self):
        super().__post_init__()
        fraction(self.momentum, "momentum")
        if self.nesterov and self.momentum == 0:
            raise ValueError("expected momentum above 0 with nesterov=True, got 0: Nesterov's rule needs a velocity")

    @property
    def slots(self):
        """The velocity, where there is momentum."""
        return ("velocity",) if self.momentum else ()

    def _move(self, w, g, lr, now, velocity=None):
        if not self.momentum:
            return w - lr * g, {}
        before, after = (lr, 1) if self.lr_in_velocity else (1, lr)
        v = self.momentum * velocity + before * g
        return w - after * (before * g + self.momentum * v if self.nesterov else v), {"velocity": v}

"""Schedules: the learning rate of an update, as a factor on the optimizer's own.

A schedule is a frozen object, `schedule(update) -> factor`, that counts updates from 0 and remembers nothing:
`optimizer.scaled(schedule(update)).update(...)`. A factor suits one learning rate and an array of them alike.
`ReduceOnPlateau` follows what it is shown instead, and so has a state that goes in and comes out.

All equal torch.optim.lr_scheduler on an optimizer of lr 1, where torch has the same.
"""

import math
from dataclasses import dataclass, field

from rnnlab.checks import positive_integer, positive_number


@dataclass(frozen=True)
class Constant:
    """Keep the learning rate: factor 1.

    >>> Constant()(500)
    1.0
    """

    def __call__(self, update):
        """Return the factor of an update, counted from 0."""
        return 1.0


@dataclass(frozen=True)
class StepDecay:
    """Multiply by gamma after every so many updates: gamma^(update // every).

    Args:
        every: updates between two steps, at least 1.
        gamma: factor of one step, above 0.

    Source: torch.optim.lr_scheduler.StepLR.

    >>> [StepDecay(every=2)(update) for update in range(5)]
    [1.0, 1.0, 0.1, 0.1, 0.010000000000000002]
    """

    every: int
    gamma: float = 0.1

    def __post_init__(self):
        positive_integer(self.every, "every")
        positive_number(self.gamma, "gamma")

    def __call__(self, update):
        """Return the factor of an update, counted from 0."""
        return float(self.gamma ** (update // self.every))


@dataclass(frozen=True)
class ExponentialDecay:
    """Multiply by gamma after every update: gamma^update.

    Args:
        gamma: factor of one update, above 0; half is left after ln(1/2) / ln(gamma) updates.

    Source: torch.optim.lr_scheduler.ExponentialLR.

    >>> ExponentialDecay(0.5)(3)
    0.125
    """

    gamma: float

    def __post_init__(self):
        positive_number(self.gamma, "gamma")

    def __call__(self, update):
        """Return the factor of an update, counted from 0."""
        return float(self.gamma**update)


@dataclass(frozen=True)
class CosineDecay:
    """Fall along half a cosine from 1 to `final`: final + (1 - final) (1 + cos(pi update / updates)) / 2.

    Args:
        updates: number of updates of the fall, at least 1; after it the factor stays at `final`.
        final: last factor, at least 0.

    Source: Loshchilov and Hutter (2017), without restarts; torch.optim.lr_scheduler.CosineAnnealingLR, which rises
    again after it.

    >>> [round(CosineDecay(4)(update), 3) for update in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    updates: int
    final: float = 0.0

    def __post_init__(self):
        positive_integer(self.updates, "updates")
        positive_number(self.final, "final", zero_allowed=True)

    def __call__(self, update):
        """Return the factor of an update, counted from 0."""
        return _cosine(1.0, self.final, min(update / self.updates, 1))


@dataclass(frozen=True)
class WarmUp:
    """Rise in a straight line from `start` to 1, then follow another schedule from its own beginning.

    start + (1 - start) update / updates while update < updates, then then(update - updates).

    Args:
        updates: number of updates of the rise, at least 1.
        start: first factor, at least 0; at 0 the first update moves nothing.
        then: the schedule after the rise.

    Source: torch.optim.lr_scheduler.LinearLR, and SequentialLR for what comes then.

    >>> [round(WarmUp(2, start=0.5, then=CosineDecay(2))(update), 3) for update in range(5)]
    [0.5, 0.75, 1.0, 0.5, 0.0]
    """

    updates: int
    start: float = 1 / 3
    then: object = field(default_factory=Constant)

    def __post_init__(self):
        positive_integer(self.updates, "updates")
        positive_number(self.start, "start", zero_allowed=True)
        if not callable(self.then):
            raise ValueError(f"expected then to be a schedule, called with an update, got {self.then!r}")

    def __call__(self, update):
        """Return the factor of an update, counted from 0."""
        if update >= self.updates:
            return self.then(update - self.updates)
        return self.start + (1 - self.start) * update / self.updates


@dataclass(frozen=True)
class OneCycle:
    """Rise along half a cosine from 1 / div_factor to 1, the optimizer's own rate, then fall to nearly nothing.

    The peak is at update pct_start * updates - 1, the end at updates - 1 with the factor
    1 / (div_factor final_div_factor), which then stays.

    Args:
        updates: number of updates of the whole, at least 2, and so many that the rise has at least one.
        pct_start: share of the updates that rise, in (0, 1).
        div_factor: the peak over the beginning, above 0.
        final_div_factor: the beginning over the end, above 0.

    Source: Smith and Topin (2018); torch.optim.lr_scheduler.OneCycleLR without its cycle of the momentum.

    >>> [round(OneCycle(10)(update), 3) for update in range(0, 10, 3)]
    [0.04, 0.95, 0.389, 0.0]
    """

    updates: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self):
        positive_integer(self.updates, "updates")
        positive_number(self.div_factor, "div_factor")
        positive_number(self.final_div_factor, "final_div_factor")
        if not 0 < positive_number(self.pct_start, "pct_start") < 1 or not 0 < self._peak < self.updates - 1:
            raise ValueError(
                f"expected pct_start in (0, 1) with a rise and a fall in {self.updates} updates, got {self.pct_start!r}"
            )

    @property
    def _peak(self):
        return self.pct_start * self.updates - 1

    def __call__(self, update):
        """Return the factor of an update, counted from 0."""
        first, last = 1 / self.div_factor, 1 / self.div_factor / self.final_div_factor
        if update <= self._peak:
            return _cosine(first, 1.0, update / self._peak)
        return _cosine(1.0, last, min((update - self._peak) / (self.updates - 1 - self._peak), 1))


@dataclass(frozen=True)
class ReduceOnPlateau:
    """Multiply by `factor` when a loss has not fallen for more than `patience` looks.

    A look is better if its loss < best (1 - threshold). A loss that is NaN or infinite is no better.

    Args:
        factor: of one reduction, in (0, 1).
        patience: looks without a better one that are let pass, at least 0.
        threshold: relative fall that counts as better, in [0, 1).
        cooldown: looks after a reduction that count neither way, at least 0.
        min_factor: the product of all reductions stays at least this.

    Source: torch.optim.lr_scheduler.ReduceLROnPlateau with mode "min" and threshold_mode "rel".

    >>> plateau = ReduceOnPlateau(patience=1)
    >>> state = plateau.init()
    >>> for loss in (1.0, 0.5, 0.5, 0.5):
    ...     state = plateau.update(loss, state)
    ...     print(plateau(state))
    1.0
    1.0
    1.0
    0.1
    """

    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    cooldown: int = 0
    min_factor: float = 0.0

    def __post_init__(self):
        for name in ("factor", "threshold", "min_factor"):
            value = positive_number(getattr(self, name), name, zero_allowed=name != "factor")
            if value >= 1:
                raise ValueError(f"expected {name} below 1, got {value!r}")
        for name in ("patience", "cooldown"):
            if getattr(self, name) != 0:
                positive_integer(getattr(self, name), name)

    def init(self):
        """Return the state before the first look."""
        return {"factor": 1.0, "best": math.inf, "worse": 0, "cooldown": 0}

    def __call__(self, state):
        """Return the factor on the learning rate."""
        return state["factor"]

    def update(self, loss, state):
        """Return the state after a look at a loss, such as one of validation."""
        loss, factor, best, cooldown = float(loss), state["factor"], state["best"], state["cooldown"]
        better = loss < best * (1 - self.threshold)
        worse = 0 if better or cooldown else state["worse"] + 1
        cooldown = max(cooldown - 1, 0)
        if worse > self.patience:
            factor, worse, cooldown = max(factor * self.factor, self.min_factor), 0, self.cooldown
        return {"factor": factor, "best": loss if better else best, "worse": worse, "cooldown": cooldown}


def _cosine(first, last, share):
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2

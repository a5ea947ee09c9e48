"""Clipping: bound the gradient between the backward pass and the update.

A clip is called with a flat dict of gradients, NumPy or torch, and returns new gradients and the GLOBAL norm before
clipping: one norm over all parameters together. What was passed in is left as it was.
"""

import math
from dataclasses import dataclass

from rnnlab.checks import positive_number


def global_norm(grads):
    """Return the Euclidean norm of all gradients taken together, as a float; infinity or NaN if an entry is so.

    Args:
        grads: dict name -> array.

    >>> import numpy as np
    >>> global_norm({"a": np.array([3.0]), "b": np.array([[4.0]])})
    5.0
    """
    if not grads:
        raise ValueError("expected at least one gradient, got an empty dict")
    # One scale for all, because the square of a large float32 or float64 would overflow.
    scale = max(float(abs(grad).max()) for grad in grads.values())
    if scale == 0 or not math.isfinite(scale):
        return scale
    return scale * math.sqrt(sum(float(((grad / scale) ** 2).sum()) for grad in grads.values()))


@dataclass(frozen=True)
class ClipNorm:
    """Shorten the gradient to length max_norm if it is longer: g <- g min(1, max_norm / ||g||).

    The direction stays. ||g|| is the global norm. A gradient with a NaN or an infinity has no direction: it is returned
    as it came, and the norm says so.

    Args:
        max_norm: longest gradient let through, above 0; infinity never clips.

    Source: Pascanu, Mikolov and Bengio (2013), Algorithm 1. (torch divides by ||g|| + 1e-6, so it never quite gives
    max_norm.)

    >>> import numpy as np
    >>> ClipNorm(max_norm=1.0)({"w": np.array([3.0, 4.0])})
    ({'w': array([0.6, 0.8])}, 5.0)
    """

    max_norm: float

    def __post_init__(self):
        positive_number(self.max_norm, "max_norm")

    def __call__(self, grads):
        """Return the clipped gradients and the global norm before clipping."""
        norm = global_norm(grads)
        if not math.isfinite(norm) or norm <= self.max_norm:
            return dict(grads), norm
        return {name: grad * (self.max_norm / norm) for name, grad in grads.items()}, norm


@dataclass(frozen=True)
class ClipValue:
    """Cut every entry of the gradient to [-max_value, max_value]: g_i <- max(-v, min(v, g_i)).

    The direction changes as soon as one entry is cut and another is not.

    Args:
        max_value: largest absolute entry let through, above 0; infinity never clips.

    Source: the element-wise clip of Mikolov (2012).

    >>> import numpy as np
    >>> ClipValue(max_value=1.0)({"w": np.array([3.0, 0.5])})[0]
    {'w': array([1. , 0.5])}
    """

    max_value: float

    def __post_init__(self):
        positive_number(self.max_value, "max_value")

    def __call__(self, grads):
        """Return the clipped gradients and the global norm before clipping."""
        return {name: grad.clip(-self.max_value, self.max_value) for name, grad in grads.items()}, global_norm(grads)

"""Checks at the public doors: what was expected, what came, the likely fix."""

import math
import numbers

import numpy as np

FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


def positive_integer(value, name):
    """Return `value` as an int if it is a whole number of at least 1, else raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"expected {name} to be a whole number of at least 1, got {value!r}")
    return int(value)


def positive_number(value, name, zero_allowed=False):
    """Return `value` if it is a number above 0 (infinity allowed), else raise ValueError."""
    if isinstance(value, numbers.Real) and not math.isnan(value) and (value > 0 or (zero_allowed and value == 0)):
        return value
    raise ValueError(f"expected {name} to be a number {'of at least' if zero_allowed else 'above'} 0, got {value!r}")


def shaped(array, shape, name, hint=""):
    """Check an array against a shape in which a string stands for any size, e.g. ("T", "B", 2).

    Raises:
        TypeError: it is no array of floats.
        ValueError: another rank or size.
    """
    if not isinstance(array, np.ndarray) or array.dtype not in FLOATS:
        got = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
        raise TypeError(f"expected {name} to be a NumPy array of float32 or float64, got {got}")
    if array.shape == shape:  # at a small network these checks count, and most shapes hold no string
        return
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        want = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
        raise ValueError(f"expected {name} of shape {want}, got {array.shape}{'; ' + hint if hint else ''}")


def positive_numbers(value, name, zero_allowed=False):
    """Return `value` if it is a number or an array of numbers above 0 (infinity allowed), else raise ValueError."""
    if not isinstance(value, np.ndarray):
        return positive_number(value, name, zero_allowed)
    if value.dtype.kind in "fiu" and value.size and (value >= 0 if zero_allowed else value > 0).all():
        return value
    raise ValueError(f"expected {name} to be numbers {'of at least' if zero_allowed else 'above'} 0, got {value!r}")


def whole_numbers(array, shape, low, high, name):
    """Return an array of whole numbers from low to high of this shape, or raise TypeError or ValueError."""
    array = np.asarray(array)
    if array.dtype.kind not in "iu":
        raise TypeError(f"expected {name} to be whole numbers, got an array of {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"expected {name} of shape {shape}, got {array.shape}")
    if array.min() < low or array.max() > high:
        raise ValueError(f"expected {name} from {low} to {high}, got {array.min()} to {array.max()}")
    return array


def same_names(params, grads):
    """Raise ValueError unless two flat dicts have the same names and shapes."""
    missing, extra = sorted(params.keys() - grads.keys()), sorted(grads.keys() - params.keys())
    if missing or extra:
        raise ValueError(f"expected gradients by the names of the parameters, got missing {missing}, extra {extra}")
    for name, param in params.items():
        if tuple(param.shape) != tuple(grads[name].shape):
            raise ValueError(f"expected grads[{name!r}] of shape {tuple(param.shape)}, got {tuple(grads[name].shape)}")


def has_names(params, names):
    """Raise ValueError if a parameter is missing; other names are nobody's business."""
    missing = [name for name in names if name not in params]
    if missing:
        raise ValueError(f"expected the parameters {sorted(names)}, got {sorted(params)}: missing {missing}")

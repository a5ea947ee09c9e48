"""Checks at the public doors: what was expected, what came, the likely fix."""

import math
import numbers
from collections.abc import Mapping

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


def zeros_and_ones(mask, shape, name):
    """Return a mask of this shape as an array, or raise unless it holds only 0 and 1 and at least one 1."""
    mask = np.asarray(mask)
    if mask.dtype.kind not in "biuf":
        raise TypeError(f"expected {name} to be an array of 0 and 1, got an array of {mask.dtype}")
    if mask.shape != shape:
        raise ValueError(
            f"expected {name} of shape {shape}, got {mask.shape}; one entry for each step of each sequence"
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(f"expected {name} to hold only 0 and 1, got {mask[(mask != 0) & (mask != 1)][0]}")
    if not mask.any():
        raise ValueError(f"expected a {name} that selects at least one step, got only zeros")
    return mask


def all_finite(array, name):
    """Raise ValueError if an array of data holds a NaN or an infinity."""
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite {name}, got {array[~np.isfinite(array)][0]}; clean the data first")


def random_generator(rng):
    """Return `rng` if it is a NumPy Generator, else raise TypeError."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"expected rng to be a numpy.random.Generator, got {rng!r}; try numpy.random.default_rng(0)")
    return rng


def float_type(dtype):
    """Return numpy.float32 or numpy.float64, whichever `dtype` names, else raise TypeError."""
    for known in (np.float32, np.float64):
        if dtype in (known, known.__name__) or (isinstance(dtype, np.dtype) and dtype == known):
            return known
    raise TypeError(f"expected dtype to be numpy.float32 or numpy.float64, got {dtype!r}")


def is_cell(cell):
    """Return `cell` if it is one, else raise TypeError."""
    if isinstance(getattr(cell, "shapes", None), dict) and hasattr(cell, "state_names"):
        return cell
    raise TypeError(f"expected a cell such as rnnlab.RNNCell(input_size=2, hidden_size=16), got {cell!r}")


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
    if not isinstance(params, Mapping):
        raise TypeError(f"expected params to be a dict name -> array, got a {type(params).__name__}")
    missing = [name for name in names if name not in params]
    if missing:
        raise ValueError(f"expected the parameters {sorted(names)}, got {sorted(params)}: missing {missing}")

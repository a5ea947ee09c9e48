"""Leading axes that all parameters share are independent runs: what settings and dicts of arrays know of them."""

import numpy as np


def per_run(setting, param):
    """Return a setting shaped to multiply a parameter: a number as it is, an array (*runs,) with axes added behind.

    Raises:
        ValueError: the parameter has other axes of runs in front.
    """
    if not isinstance(setting, np.ndarray):
        return float(setting)  # NumPy's own float64 would turn a float32 parameter into float64
    if tuple(param.shape[: setting.ndim]) != setting.shape:
        raise ValueError(f"expected parameters with the runs {setting.shape} in front, got shape {tuple(param.shape)}")
    return setting.reshape(setting.shape + (1,) * (param.ndim - setting.ndim)).astype(param.dtype)


def runs_shape(arrays, runs):
    """Return the shape of the first `runs` axes that all arrays of a dict share.

    Raises:
        ValueError: they differ, or an array has fewer axes.
    """
    shapes = {array.shape[:runs] for array in arrays.values()}
    if len(shapes) != 1 or len(*shapes) != runs:
        shapes = {name: array.shape for name, array in arrays.items()}
        raise ValueError(f"expected arrays with the same {runs} leading axes of runs, got {shapes}")
    return shapes.pop()

"""Convolution in two dimensions, forward and back: one small pattern looked for at every place of an image."""

import numpy as np

from rnnlab.checks import positive_integer, shaped

__all__ = ["convolve", "convolve_back"]


def convolve(x, weight, bias, stride=1, padding=0):
    """Look for O patterns at every place of N images that have C channels.

    y[n, o, r, c] = bias[o] + sum over i, u, v of weight[o, i, u, v] x[n, i, stride r + u, stride c + v]

    after x got `padding` zeros on each side. The pattern is not turned around, so that a mathematician would say
    cross-correlation; `torch.nn.Conv2d` means the same.

    Args:
        x: (N, C, rows, columns).
        weight: (O, C, U, V), as in torch.
        bias: (O,).
        stride: pixels from one place to the next, at least 1.
        padding: pixels of zeros on each side, at least 0.

    Returns:
        y (N, O, rows', columns') with rows' = (rows + 2 padding - U) // stride + 1.

    Raises:
        TypeError: an array is not float32 or float64.
        ValueError: shapes that do not fit, or a pattern larger than the padded image.

    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> convolve(x, np.array([[[[-1.0, 1.0]]]]), np.zeros(1))[0, 0].tolist()  # each pixel less its left neighbour
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    windows = _windows(_padded(_checked(x, weight, bias, stride, padding), padding), weight, stride)
    return np.einsum("nircuv,oiuv->norc", windows, weight, optimize=True) + bias[:, None, None]


def convolve_back(d_y, x, weight, stride=1, padding=0):
    """Return what a loss's derivative with respect to y is with respect to x, weight and bias.

    d_weight[o, i, u, v] = sum over n, r, c of d_y[n, o, r, c] x[n, i, stride r + u, stride c + v]
    d_x[n, i, a, b] = sum over o and all (r, u), (c, v) with stride r + u = a, stride c + v = b
    of d_y[n, o, r, c] weight[o, i, u, v]

    Args:
        d_y: (N, O, rows', columns').
        x, weight, stride, padding: as given to `convolve`.

    Returns:
        d_x, d_weight and d_bias, shaped as x, weight and bias.

    Raises:
        TypeError, ValueError: as by `convolve`, or d_y of another shape than y.

    >>> x, weight = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    >>> d_x, d_weight, d_bias = convolve_back(np.ones((1, 1, 2, 2)), x, weight)
    >>> d_x[0, 0].tolist()  # how many windows a pixel is in
    [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    padded = _padded(_checked(x, weight, np.zeros(len(weight), x.dtype), stride, padding), padding)
    windows = _windows(padded, weight, stride)
    shaped(d_y, (len(x), len(weight), *windows.shape[2:4]), "d_y", "one derivative for each entry of y")
    d_weight = np.einsum("norc,nircuv->oiuv", d_y, windows, optimize=True)
    d_x, (rows, columns) = np.zeros_like(padded), d_y.shape[2:]
    for u, v in np.ndindex(weight.shape[2:]):  # windows overlap: a pixel gets a share from each that it is in
        to = (..., slice(u, u + stride * rows, stride), slice(v, v + stride * columns, stride))
        d_x[to] += np.einsum("norc,oi->nirc", d_y, weight[:, :, u, v], optimize=True)
    inner = slice(padding, -padding or None)
    return d_x[..., inner, inner], d_weight, d_y.sum(axis=(0, 2, 3))


def _padded(x, padding):
    """Return x with zeros around each image."""
    return np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])


def _windows(padded, weight, stride):
    """Return a view (N, C, rows', columns', U, V) of what the pattern sees at each place."""
    every = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(2, 3))
    return every[:, :, ::stride, ::stride]


def _checked(x, weight, bias, stride, padding):
    """Return x, or raise TypeError or ValueError."""
    shaped(x, ("N", "C", "rows", "columns"), "x", "images, each with its channels")
    shaped(weight, ("O", x.shape[1], "U", "V"), "weight", "one pattern for each channel of x")
    shaped(bias, (len(weight),), "bias", "one for each pattern")
    positive_integer(stride, "stride")
    if padding != 0:
        positive_integer(padding, "padding")
    if any(side + 2 * padding < size for side, size in zip(x.shape[2:], weight.shape[2:], strict=True)):
        raise ValueError(
            f"expected a pattern no larger than the padded image, got {weight.shape[2:]} on {x.shape[2:]} "
            f"with padding {padding}"
        )
    return x

"""Carry weights between PyTorch's layout, which is rnnlab's, and that of Keras.

| | PyTorch, rnnlab | Keras |
|---|---|---|
| input to hidden | weight_ih (G*H, D) | kernel (D, G*H) |
| hidden to hidden | weight_hh (G*H, H) | recurrent_kernel (H, G*H) |
| biases | bias_ih (G*H,), bias_hh (G*H,) | bias (G*H,); of GRU(reset_after=True) (2, G*H), one row each |
| gates of an LSTM | i, f, g, o | i, f, c, o, which is the same order |
| gates of a GRU | r, z, n | z, r, h |

Only arrays are moved, so neither framework needs to be there. Keras: 3.15.
"""

import numpy as np

from rnnlab.cells import RNNCell
from rnnlab.checks import has_names, shaped
from rnnlab.gru import ChoGRUCell, GRUCell
from rnnlab.lstm import LSTMCell

# rnnlab's gates in the order of Keras, and what Keras calls the layer.
LAYERS = {
    RNNCell: (("h",), "SimpleRNN"),
    LSTMCell: (("i", "f", "g", "o"), "LSTM"),
    GRUCell: (("z", "r", "n"), "GRU(reset_after=True)"),
    ChoGRUCell: (("z", "r", "n"), "GRU(reset_after=False)"),
}


def to_keras(cell, params):
    """Return the weights of a cell as the layer of Keras takes them in `set_weights`.

    kernel = weight_ih^T and recurrent_kernel = weight_hh^T with the gates in Keras' order. A layer with one bias gets
    bias_ih + bias_hh: it computes the same, but an update moves the sum of two biases twice as far.

    Args:
        cell: an `RNNCell` (SimpleRNN), `LSTMCell`, `GRUCell` (reset_after=True) or `ChoGRUCell` (reset_after=False).
        params: dict name -> array, one layer; torch's names without their `_l0`. Other names are ignored.

    Returns:
        list: kernel (D, G*H), recurrent_kernel (H, G*H), bias (G*H,), or (2, G*H) for a `GRUCell`.

    Raises:
        TypeError: a cell that Keras does not have, or an array that is not float32 or float64.
        ValueError: a parameter is missing or has another shape.

    >>> cell = GRUCell(input_size=2, hidden_size=3)
    >>> [array.shape for array in to_keras(cell, cell.init(np.random.default_rng(0)))]
    [(2, 9), (3, 9), (2, 9)]
    """
    order, _ = layer_of(cell)
    has_names(params, cell.shapes)
    for name, shape in cell.shapes.items():
        shaped(params[name], shape, name, f"one layer of {cell!r}")
    w_ih, w_hh, b_ih, b_hh = (np.concatenate([params[name][cell.rows(gate)] for gate in order]) for name in cell.shapes)
    return [w_ih.T.copy(), w_hh.T.copy(), np.stack([b_ih, b_hh]) if two_biases(cell) else b_ih + b_hh]


def from_keras(cell, weights):
    """Return the weights of a layer of Keras, as its `get_weights` gives them, by torch's names.

    The reverse of `to_keras`. Where Keras has one bias it becomes bias_ih, and bias_hh is 0: keep it there (in torch
    with `requires_grad_(False)`) if the two are to be trained alike.

    Args:
        cell: as for `to_keras`.
        weights: kernel (D, G*H), recurrent_kernel (H, G*H), bias; without the bias from a layer with use_bias=False.

    Returns:
        dict: weight_ih (G*H, D), weight_hh (G*H, H), bias_ih (G*H,), bias_hh (G*H,).

    Raises:
        TypeError: a cell that Keras does not have, or an array that is not float32 or float64.
        ValueError: another number of arrays, or another shape.

    >>> cell = LSTMCell(input_size=2, hidden_size=3)
    >>> params = cell.init(np.random.default_rng(0))
    >>> again = from_keras(cell, to_keras(cell, params))
    >>> bool((again["weight_hh"] == params["weight_hh"]).all()), bool(again["bias_hh"].any())
    (True, False)
    """
    order, layer = layer_of(cell)
    kernel, recurrent_kernel, bias = check_weights(cell, layer, list(weights))
    rows = {gate: slice(n * cell.hidden_size, (n + 1) * cell.hidden_size) for n, gate in enumerate(order)}
    b_ih, b_hh = bias if two_biases(cell) else (bias, np.zeros_like(bias))
    arrays = kernel.T, recurrent_kernel.T, b_ih, b_hh
    return {
        name: np.concatenate([array[rows[gate]] for gate in cell.gates])
        for name, array in zip(cell.shapes, arrays, strict=True)
    }


def layer_of(cell):
    """Return the gates in the order of Keras and the name of its layer, or raise TypeError if it has no such cell."""
    if type(cell) not in LAYERS or sorted(cell.gates) != sorted(LAYERS[type(cell)][0]):
        known = ", ".join(f"{kind.__name__} ({layer})" for kind, (_, layer) in LAYERS.items())
        raise TypeError(f"expected a cell that Keras has, {known}, with all its gates, got {cell!r}")
    return LAYERS[type(cell)]


def two_biases(cell):
    """Return whether the layer of Keras keeps the two biases apart: where a gate stands between them."""
    return type(cell) is GRUCell


def check_weights(cell, layer, weights):
    """Return kernel, recurrent kernel and bias, or raise unless they fit the cell."""
    GH, D, H = len(cell.gates) * cell.hidden_size, cell.input_size, cell.hidden_size
    shapes = {
        "kernel": (D, GH),
        "recurrent_kernel": (H, GH),
        "bias": (2, GH) if two_biases(cell) else (GH,),
    }
    if len(weights) == 2:
        weights.append(np.zeros(shapes["bias"], getattr(weights[0], "dtype", None)))
    if len(weights) != 3:
        raise ValueError(f"expected {', '.join(shapes)} as get_weights of {layer} gives, got {len(weights)} arrays")
    for (name, shape), array in zip(shapes.items(), weights, strict=True):
        hint = "a bias of two rows is that of GRU(reset_after=True), which is GRUCell; of one row, ChoGRUCell"
        shaped(array, shape, name, hint if name == "bias" and "GRU" in layer else f"for {layer} as {cell!r}")
    return weights

"""A model: a cell, a linear readout at every step, a loss."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlab.checks import has_names, positive_integer, shaped
from rnnlab.stacks import Stack
from rnnlab.tapes import transposed


@dataclass
class Out:
    """Hold one loss and its gradients. With parameters that have axes of runs in front, so has everything here.

    Attributes:
        loss: float; an array (*runs,) with runs.
        grads: dict name -> gradient, shaped as the parameters.
        d_h: (T, B, H), TOTAL derivative of the loss with respect to each state (of the top layer; (T, B, 2H) with both
            directions).
        outputs: (T, B, C), what the readout said.
        state: the final state, to start the next piece of a long sequence from; shaped as the state given.
        d_state: gradient of the initial state, shaped as the state.
        d_c: (T, B, H), TOTAL derivative with respect to an LSTM's memory; None for other cells.
        h: shaped as d_h, the states themselves.
    """

    loss: float
    grads: dict
    d_h: Any
    outputs: Any
    state: Any
    d_state: Any = None
    d_c: Any = None
    h: Any = None


class Model:
    """Put a linear readout and a loss on a cell: output_t = W_out h_t + b_out.

    Args:
        cell: an `RNNCell`, `LSTMCell` or `GRUCell`.
        output_size: C, numbers (or classes) in one output.
        loss: `squared_error`, `gaussian_nll` (with output_size 2C) or `cross_entropy`, or a function of the same form.
        layers, bidirectional: see `Stack`; parameters then have torch's names with _l0, _l0_reverse, ...

    >>> from rnnlab.cells import RNNCell
    >>> from rnnlab.losses import squared_error
    >>> from rnnlab.tasks import Adding
    >>> rng = np.random.default_rng(0)
    >>> model = Model(RNNCell(input_size=2, hidden_size=4), output_size=1, loss=squared_error)
    >>> out = model.loss_and_grads(model.init(rng), Adding(length=10).sample(rng, batch_size=3))
    >>> out.d_h.shape, sorted(out.grads)
    ((10, 3, 4), ['bias_hh', 'bias_ih', 'bias_out', 'weight_hh', 'weight_ih', 'weight_out'])
    """

    def __init__(self, cell, output_size, loss, layers=1, bidirectional=False):
        if not callable(loss):
            raise TypeError(f"expected loss to be a function such as rnnlab.squared_error, got {loss!r}")
        self.cell, self.loss, self.stack = cell, loss, Stack(cell, layers, bidirectional)
        self.output_size = positive_integer(output_size, "output_size")

    @property
    def shapes(self):
        """Return the shape of each parameter by name."""
        C = self.output_size
        return {**self.stack.shapes, "weight_out": (C, self.stack.width), "bias_out": (C,)}

    def init(self, rng, dtype=np.float64):
        """Draw all parameters: the cells', then the readout's as torch's Linear does, weight_out (C, width) first.

        Args:
            rng: a numpy.random.Generator.
            dtype: numpy.float64 or numpy.float32.
        """
        params, bound = self.stack.init(rng, dtype), 1 / np.sqrt(self.stack.width)
        for name, shape in self.readout.items():
            params[name] = rng.uniform(-bound, bound, shape).astype(dtype)
        return params

    @property
    def readout(self):
        """Return the shape of each parameter that is not the cells'."""
        return {name: shape for name, shape in self.shapes.items() if name not in self.stack.shapes}

    def forward(self, params, x, state=None, lengths=None):
        """Return the outputs (T, B, C) and the final state, from inputs x (T, B, D); see `Stack.unroll`."""
        self.check_readout(params)
        h, state, _ = self.stack.unroll(params, x, state, lengths=lengths)
        return self._readout(params, _rows(h), h.shape), state

    def loss_and_grads(self, params, batch, state=None, truncate=None, work=None, lengths=None):
        """Run forward and back through time.

        Args:
            params: dict name -> array; leading axes that all share are independent runs on the same batch.
            batch: `.x` (T, B, D), `.y`, `.mask` (T, B), as the tasks give.
            state: the initial state: (B, H), or the pair (h, c) of an LSTM, or with layers (L * directions, B, H) as in
                torch; zeros if None.
            truncate: see `backprop`.
            work: a `Workspace`; then `out.h`, `out.d_h` and `out.state` hold until the next call.
            lengths: (B,) lengths of padded sequences; see `unroll`. The mask must not select padding.

        Returns:
            Out: `.loss`, `.grads`, `.d_h`, `.outputs`, `.state`, `.d_state`, `.d_c`, `.h`. If the forward pass
            overflows, they hold infinities and NaN.

        Raises:
            TypeError: an array is not float32/float64, or dtypes are mixed.
            ValueError: wrong rank or size, an empty batch, NaN or infinite data, a missing parameter.
        """
        check_batch(batch)
        if truncate is not None:
            positive_integer(truncate, "truncate")
        self.check_readout(params)
        h, state, record = self.stack.unroll(params, batch.x, state, work, lengths)
        h_rows = _rows(h)  # once: the states of gated cells lie in columns, so that this is a copy
        outputs = self._readout(params, h_rows, h.shape)
        loss, d_outputs = self.loss(outputs, batch.y, batch.mask)
        # The immediate derivative: the path from h_t to the loss through output_t alone.
        rows = _rows(d_outputs)
        d_h = (rows @ params["weight_out"]).reshape(h.shape)
        back = self.stack.backprop(params, record, d_h, truncate=truncate)
        grads = {**back.params, "weight_out": transposed(rows) @ h_rows, "bias_out": rows.sum(axis=-2)}
        return Out(loss, grads, back.d_h, outputs, state, back.d_state, back.d_c, h)

    def check_readout(self, params):
        """Raise unless the readout's parameters are there and fit the cells'."""
        has_names(params, self.shapes)
        first, shape = next(iter(self.shapes.items()))
        runs = np.shape(params[first])[: np.ndim(params[first]) - len(shape)]
        for name, shape in self.readout.items():
            shaped(params[name], (*runs, *shape), name, f"with the runs of {first}" if runs else "")
            if params[name].dtype != getattr(params[first], "dtype", None):
                raise TypeError(f"expected all parameters of one dtype, got {name} of {params[name].dtype}; use astype")

    def _readout(self, params, h_rows, shape):
        outputs = h_rows @ transposed(params["weight_out"]) + params["bias_out"][..., None, :]
        return outputs.reshape(*shape[:-1], self.output_size)


def check_batch(batch):
    """Raise TypeError unless a batch has x, y and mask by these names."""
    if not all(hasattr(batch, name) for name in ("x", "y", "mask")):
        raise TypeError(
            f"expected a batch with .x, .y and .mask, got a {type(batch).__name__}; try rnnlab.Batch(x, y, mask)"
        )


def _rows(array):
    """Return (..., T, B, N) as (..., T * B, N): one product instead of one for each step."""
    return array.reshape(*array.shape[:-3], -1, array.shape[-1])

"""A model: a cell, a linear readout at every step, a loss."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlab.bptt import backprop, unroll
from rnnlab.checks import has_names, positive_integer, shaped


@dataclass
class Out:
    """Hold one loss and its gradients.

    Attributes:
        loss: float.
        grads: dict name -> gradient, shaped as the parameters.
        d_h: (T, B, H), TOTAL derivative of the loss with respect to each state.
        outputs: (T, B, C), what the readout said.
        state: (B, H), the final state, to start the next piece of a long sequence from.
    """

    loss: float
    grads: dict
    d_h: Any
    outputs: Any
    state: Any


class Model:
    """Put a linear readout and a loss on a cell: output_t = W_out h_t + b_out.

    Args:
        cell: an `RNNCell`.
        output_size: C, numbers (or classes) in one output.
        loss: `squared_error` or `cross_entropy`, or a function of the same form.

    >>> from rnnlab.cells import RNNCell
    >>> from rnnlab.losses import squared_error
    >>> from rnnlab.tasks import Adding
    >>> rng = np.random.default_rng(0)
    >>> model = Model(RNNCell(input_size=2, hidden_size=4), output_size=1, loss=squared_error)
    >>> out = model.loss_and_grads(model.init(rng), Adding(length=10).sample(rng, batch_size=3))
    >>> out.d_h.shape, sorted(out.grads)
    ((10, 3, 4), ['bias_hh', 'bias_ih', 'bias_out', 'weight_hh', 'weight_ih', 'weight_out'])
    """

    def __init__(self, cell, output_size, loss):
        if not callable(loss):
            raise TypeError(f"expected loss to be a function such as rnnlab.squared_error, got {loss!r}")
        self.cell, self.loss = cell, loss
        self.output_size = positive_integer(output_size, "output_size")

    @property
    def shapes(self):
        """Return the shape of each parameter by name."""
        C, H = self.output_size, self.cell.hidden_size
        return {**self.cell.shapes, "weight_out": (C, H), "bias_out": (C,)}

    def init(self, rng, dtype=np.float64):
        """Draw all parameters: the cell's, then weight_out (C, H) and bias_out (C,) as torch's Linear does.

        Args:
            rng: a numpy.random.Generator.
            dtype: numpy.float64 or numpy.float32.
        """
        params, bound = self.cell.init(rng, dtype), 1 / np.sqrt(self.cell.hidden_size)
        for name in ("weight_out", "bias_out"):
            params[name] = rng.uniform(-bound, bound, self.shapes[name]).astype(dtype)
        return params

    def forward(self, params, x, state=None):
        """Return the outputs (T, B, C) and the final state (B, H), from inputs x (T, B, D)."""
        h, state, _ = unroll(self.cell, params, x, state)
        return self._readout(params, h), state

    def loss_and_grads(self, params, batch, state=None, truncate=None, work=None):
        """Run forward and back through time.

        Args:
            params: dict name -> array.
            batch: `.x` (T, B, D), `.y`, `.mask` (T, B), as the tasks give.
            state: (B, H), h_0; zeros if None.
            truncate: see `backprop`.
            work: a `Workspace`; then `out.d_h` and `out.state` hold until the next call.

        Returns:
            Out: `.loss`, `.grads`, `.d_h`, `.outputs`, `.state`.
        """
        h, state, tape = unroll(self.cell, params, batch.x, state, work)
        shaped(batch.mask, h.shape[:2], "batch.mask", "one entry for each step of each sequence")
        outputs = self._readout(params, h)
        loss, d_outputs = self.loss(outputs, batch.y, batch.mask)
        # The immediate derivative: the path from h_t to the loss through output_t alone.
        back = backprop(self.cell, params, tape, d_outputs @ params["weight_out"], truncate=truncate)
        rows = d_outputs.reshape(-1, self.output_size)
        grads = {**back.params, "weight_out": rows.T @ h.reshape(len(rows), -1), "bias_out": rows.sum(axis=0)}
        return Out(loss, grads, back.d_h, outputs, state)

    def _readout(self, params, h):
        has_names(params, self.shapes)
        for name in ("weight_out", "bias_out"):
            shaped(params[name], self.shapes[name], name)
        return h @ params["weight_out"].T + params["bias_out"]

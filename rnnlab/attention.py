"""Attention beside recurrence: a readout that looks at every state so far, and not at the last one alone."""

import math

import numpy as np

from rnnlab.checks import positive_integer
from rnnlab.models import Model, Out, check_batch
from rnnlab.tapes import transposed


class AttentionModel(Model):
    """Put a readout with attention on a cell: output_t = W_out [h_t; context_t] + b_out.

    context_t = sum over s <= t of alpha_ts h_s, and alpha_t is the softmax of score(h_t, h_s) over s <= t:
    "dot": (W_query h_t) . (W_key h_s) / sqrt(A); "additive": w_score . tanh(W_query h_t + W_key h_s).

    Args:
        cell, output_size, loss, layers: as for `Model`.
        score: "dot" or "additive".
        attention_size: A, numbers in a query and in a key.

    Source: additive: Bahdanau, Cho and Bengio (2015); scaled dot product: Vaswani et al. (2017).

    >>> from rnnlab.cells import RNNCell
    >>> from rnnlab.losses import squared_error
    >>> model = AttentionModel(RNNCell(2, 4), output_size=1, loss=squared_error, attention_size=3)
    >>> {name: model.shapes[name] for name in ("weight_query", "weight_key", "weight_out")}
    {'weight_query': (3, 4), 'weight_key': (3, 4), 'weight_out': (1, 8)}
    """

    def __init__(self, cell, output_size, loss, score="dot", attention_size=16, layers=1):
        super().__init__(cell, output_size, loss, layers)
        if score not in ("dot", "additive"):
            raise ValueError(f"expected score to be 'dot' or 'additive', got {score!r}")
        self.score, self.attention_size = score, positive_integer(attention_size, "attention_size")

    @property
    def shapes(self):
        """Return the shape of each parameter by name."""
        A, W = self.attention_size, self.stack.width
        extra = {"weight_query": (A, W), "weight_key": (A, W)}
        if self.score == "additive":
            extra["weight_score"] = (A,)
        return {**self.stack.shapes, **extra, "weight_out": (self.output_size, 2 * W), "bias_out": (self.output_size,)}

    def forward(self, params, x, state=None, lengths=None):
        """Return the outputs (T, B, C) at every step and the final state; see `Model.forward`."""
        self.check_readout(params)
        h, state, _ = self.stack.unroll(params, x, state, lengths=lengths)
        return self.read(params, h, np.arange(h.shape[-3]))[0], state

    def attention(self, params, x, step=-1):
        """Return alpha (B, T): with which weights a step looks at each state; zeros after the step itself."""
        self.check_readout(params)
        h, _, _ = self.stack.unroll(params, x)
        return self.read(params, h, np.arange(h.shape[-3])[[step]])[1][0][..., 0, :]

    def loss_and_grads(self, params, batch, state=None, truncate=None, work=None, lengths=None):
        """Run forward and back through attention and time; see `Model.loss_and_grads`.

        Returns:
            Out: as of `Model`; `.outputs` are zeros at steps that the mask asks of no sequence. Truncation cuts the
            paths through the recurrence, not those through attention.
        """
        check_batch(batch)
        if truncate is not None:
            positive_integer(truncate, "truncate")
        self.check_readout(params)
        h, state, record = self.stack.unroll(params, batch.x, state, work, lengths)
        asked = np.flatnonzero(np.asarray(batch.mask).any(axis=-1))
        outputs, attended = self.read(params, h, asked)
        loss, d_outputs = self.loss(outputs, batch.y, batch.mask)
        grads, d_h = self.read_back(params, h, asked, attended, d_outputs)
        back = self.stack.backprop(params, record, d_h, truncate=truncate)
        return Out(loss, {**back.params, **grads}, back.d_h, outputs, state, back.d_state, back.d_c, h)

    # Here sequences come before steps: states are (*runs, B, T, W), queries (*runs, B, Q, A) for the Q steps asked.

    def read(self, params, h, asked):
        """Return the outputs (T, B, C), zeros but at the steps asked, and what the way back needs."""
        h = np.ascontiguousarray(h.swapaxes(-3, -2))
        query = h[..., asked, :] @ transposed(params["weight_query"])[..., None, :, :]
        key = h @ transposed(params["weight_key"])[..., None, :, :]
        if self.score == "dot":
            between, score = None, query @ transposed(key) / math.sqrt(self.attention_size)
        else:
            between = np.tanh(query[..., :, None, :] + key[..., None, :, :])  # (*runs, B, Q, T, A)
            score = (between @ params["weight_score"][..., None, None, :, None])[..., 0]
        score = np.where(np.arange(h.shape[-2]) > asked[:, None], -np.inf, score)  # later states are not there yet
        alpha = np.exp(score - score.max(axis=-1, keepdims=True))
        alpha /= alpha.sum(axis=-1, keepdims=True)
        reads = np.concatenate([h[..., asked, :], alpha @ h], axis=-1)
        outputs = np.zeros((*h.shape[:-1], self.output_size), h.dtype)
        outputs[..., asked, :] = reads @ transposed(params["weight_out"])[..., None, :, :]
        outputs[..., asked, :] += params["bias_out"][..., None, None, :]
        return outputs.swapaxes(-3, -2), (alpha, h, query, key, between, reads)

    def read_back(self, params, h, asked, attended, d_outputs):
        """Return the readout's gradients, and the IMMEDIATE derivative (T, B, W) with respect to the states."""
        alpha, h, query, key, between, reads = attended
        W, d_outputs = self.stack.width, d_outputs.swapaxes(-3, -2)[..., asked, :]
        d_reads = d_outputs @ params["weight_out"][..., None, :, :]
        d_context, d_h = d_reads[..., W:], np.zeros_like(h)
        d_h += transposed(alpha) @ d_context
        d_alpha = d_context @ transposed(h)
        d_score = alpha * (d_alpha - (alpha * d_alpha).sum(axis=-1, keepdims=True))  # the softmax
        grads = {}
        if self.score == "dot":
            d_score = d_score / math.sqrt(self.attention_size)
            d_query, d_key = d_score @ key, transposed(d_score) @ query
        else:
            grads["weight_score"] = (d_score[..., None] * between).sum(axis=(-4, -3, -2))
            d_between = d_score[..., None] * params["weight_score"][..., None, None, None, :] * (1 - between**2)
            d_query, d_key = d_between.sum(axis=-2), d_between.sum(axis=-3)
        d_h[..., asked, :] += d_reads[..., :W] + d_query @ params["weight_query"][..., None, :, :]
        d_h += d_key @ params["weight_key"][..., None, :, :]
        grads["weight_query"] = (transposed(d_query) @ h[..., asked, :]).sum(axis=-3)
        grads["weight_key"] = (transposed(d_key) @ h).sum(axis=-3)
        grads["weight_out"] = (transposed(d_outputs) @ reads).sum(axis=-3)
        grads["bias_out"] = d_outputs.sum(axis=(-3, -2))
        return {name: grads[name] for name in self.readout}, np.ascontiguousarray(d_h.swapaxes(-3, -2))

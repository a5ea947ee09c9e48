"""The same model in torch: parameters by the same names, gradients by autograd."""

import numpy as np
import torch
from torch.nn import functional as F

from rnnlab import losses
from rnnlab.models import Out

NONLINEARITIES = {"tanh": torch.tanh, "relu": torch.relu, "linear": lambda z: z}


def squared_error(outputs, y, mask):
    """Mirror `rnnlab.squared_error`."""
    selected = mask.bool()
    return F.mse_loss(outputs[selected], y[selected])


def cross_entropy(outputs, y, mask):
    """Mirror `rnnlab.cross_entropy`."""
    selected = mask.bool()
    return F.cross_entropy(outputs[selected], y[selected])


LOSSES = {losses.squared_error: squared_error, losses.cross_entropy: cross_entropy}


class TorchModel:
    """Run a `Model` on torch: `init` and `loss_and_grads` are called as the model's own, tensors come out.

    The cell runs step by step, because only a step loop keeps every h_t in the graph: `out.grad` of `torch.nn.RNN`
    holds the IMMEDIATE derivative only.

    Args:
        model: a `rnnlab.Model` with one of rnnlab's losses.
        device: where the tensors live.

    Raises:
        ValueError: the loss has no counterpart in torch.
    """

    def __init__(self, model, device="cpu"):
        if model.loss not in LOSSES:
            raise ValueError(f"expected one of rnnlab's losses, got {model.loss!r}: add its counterpart to LOSSES")
        self.model, self.cell, self.loss, self.device = model, model.cell, LOSSES[model.loss], device

    def init(self, rng, dtype=np.float64):
        """Draw the same numbers as `Model.init`, as tensors."""
        return {name: self._tensor(array) for name, array in self.model.init(rng, dtype).items()}

    def loss_and_grads(self, params, batch, state=None, truncate=None, work=None):
        """Return `Out` with tensors; see `Model.loss_and_grads`. `work` is accepted and not used."""
        params = {name: self._tensor(param).detach().clone().requires_grad_() for name, param in params.items()}
        x, y, mask = (self._tensor(array) for array in batch)
        h = x.new_zeros(x.shape[1], self.cell.hidden_size) if state is None else self._tensor(state)
        states = []
        for t, x_t in enumerate(x):
            if truncate is not None and t % truncate == 0:
                h = h.detach()
            h = self.step(params, x_t, h)
            h.retain_grad()
            states.append(h)
        outputs = F.linear(torch.stack(states), params["weight_out"], params["bias_out"])
        loss = self.loss(outputs, y, mask)
        loss.backward()
        d_h = torch.stack([torch.zeros_like(h) if h.grad is None else h.grad for h in states])
        grads = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in params.items()}
        return Out(loss.item(), grads, d_h, outputs.detach(), states[-1].detach())

    def step(self, params, x, h):
        """Return h_t (B, H) from x_t (B, D) and h_{t-1} (B, H)."""
        z = F.linear(x, params["weight_ih"], params["bias_ih"]) + F.linear(h, params["weight_hh"], params["bias_hh"])
        return NONLINEARITIES[self.cell.nonlinearity](z)

    def _tensor(self, array):
        if isinstance(array, torch.Tensor):
            return array.to(self.device)
        return torch.from_numpy(np.array(array)).to(self.device)  # np.array copies: tasks may give read-only views

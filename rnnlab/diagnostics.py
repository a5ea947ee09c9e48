"""Instruments: how far back the gradient reaches, and what the Jacobians along the way do to it."""

import numpy as np

from rnnlab.bptt import unroll


def gradient_flow(model, params, batch, state=None):
    """Measure the norm of the TOTAL derivative dL/dh_t at every step.

    Args:
        model: a `Model` or a `TorchModel`.
        params, batch, state: as for `Model.loss_and_grads`.

    Returns:
        (T,), ||dL/dh_t|| over all units and sequences of the batch together.
    """
    d_h = np.asarray(model.loss_and_grads(params, batch, state=state).d_h)
    return np.sqrt((d_h.astype(np.float64) ** 2).sum(axis=(1, 2)))


def jacobian_products(cell, params, x, state=None):
    """Multiply the step Jacobians back from the last state: P_t = dh_T/dh_t = J_T J_{T-1} ... J_{t+1}.

    Args:
        cell, params: a cell and its parameters.
        x: (T, 1, D), ONE sequence: each has Jacobians of its own.
        state: (1, H), h_0; zeros if None.

    Returns:
        (T, H, H); entry t is the derivative of the last state with respect to h_{t+1} in the count of the array, so the
        last entry is the identity. Row i belongs to unit i of the last state.
    """
    if x.ndim == 3 and x.shape[1] != 1:
        raise ValueError(f"expected one sequence, x of shape (T, 1, D), got {x.shape}; pass x[:, [b]]")
    h, _, _ = unroll(cell, params, x, state)
    jacobians = cell.jacobian(params, h[:, 0])
    products = np.empty_like(jacobians)
    products[-1] = np.eye(cell.hidden_size)
    for t in range(len(h) - 1, 0, -1):
        products[t - 1] = products[t] @ jacobians[t]
    return products


def jacobian_singular_values(cell, params, x, state=None):
    """Return the singular values of every Jacobian product, largest first: (T, H).

    Entry t says by how much a gradient at the last step is stretched or shrunk, along H directions, on its way to
    state t. Values below about 1e-16 times the largest of their row are rounding.

    Args: as for `jacobian_products`.
    """
    return np.linalg.svd(jacobian_products(cell, params, x, state), compute_uv=False)

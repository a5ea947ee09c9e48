"""Regularizers: Pascanu's, which keeps the length of the gradient while it travels back through a plain RNN."""

import numpy as np

from rnnlab.cells import RNNCell
from rnnlab.checks import has_names, shaped
from rnnlab.tapes import transposed

LEAST = 1e-20  # ||dL/dh_t||^2 below which a step is not counted, as in the authors' code


def omega(cell, params, h, d_h, squared=True):
    """Measure by how much each step back changes the length of the gradient, and differentiate that.

    r_t = ||J_t^T dL/dh_t|| / ||dL/dh_t||,  with J_t = dh_t/dh_{t-1} = diag(f'(z_t)) W_hh,
    Omega = mean over t and b of (r_t^2 - 1)^2, or with squared=False of (r_t - 1)^2.

    Both forms are published: equation 9 of the paper has the norms, its equation 10 and the authors' code the squared
    norms. Near r_t = 1 they differ by a factor of 4, elsewhere by more.

    The derivative is the IMMEDIATE one, as in the paper: the states h_t, and so f'(z_t), and the total derivatives
    dL/dh_t are held constant, although all of them depend on W_hh. Only the factor W_hh of J_t moves. So there is an
    entry for weight_hh alone, and no second pass through time.

    Args:
        cell: an `RNNCell`.
        params: its parameters, of which only weight_hh is looked at.
        h: (T, B, H), states after each step; with runs (*runs, T, B, H).
        d_h: shaped as h, TOTAL derivative of the loss with respect to each state. Where ||dL/dh_t||^2 is below 1e-20,
            as in padding, the step is not counted.
        squared: True for equation 10, False for equation 9.

    Returns:
        Omega (float; (*runs,) with runs), 0 if no step counts; and {"weight_hh": dOmega/dW_hh}. If the gradient has
        exploded, infinity or NaN.

    Raises:
        TypeError: another cell (W_hh is not a factor of its Jacobian), or an array is not float32/float64.
        ValueError: wrong rank or size, or weight_hh is missing.

    Source: Pascanu, Mikolov and Bengio (2013), equations 9 and 10. The paper sums over steps; the mean is that of the
        authors' code, so that the weight of the regularizer need not change with T.

    >>> import rnnlab as rl
    >>> model = rl.Model(rl.RNNCell(2, 8), output_size=1, loss=rl.squared_error)
    >>> params, batch = model.init(np.random.default_rng(0)), rl.Adding(20).sample(np.random.default_rng(1), 4)
    >>> out, alpha = model.loss_and_grads(params, batch), 2.0
    >>> value, d_omega = omega(model.cell, params, out.h, out.d_h)
    >>> out.grads["weight_hh"] += alpha * d_omega["weight_hh"]  # then clip and update, as ever
    >>> round(value, 2)
    0.61
    """
    _check(cell, params, h, d_h, squared)
    W_hh = params["weight_hh"]
    with np.errstate(over="ignore", invalid="ignore"):
        v, counted = _unit_d_z(cell, h, d_h.astype(np.float64))
        u = v @ W_hh  # the rows J_t^T dL/dh_t / ||dL/dh_t||
        r2 = (u**2).sum(axis=-1, keepdims=True)
        share = counted / np.maximum(counted.sum(axis=-2, keepdims=True), 1)
        if squared:
            terms, by_r2 = (r2 - 1) ** 2, 2 * (r2 - 1)
        else:
            r = np.sqrt(r2)  # at r = 0 the norm has no derivative; u = 0 is there, so any finite number gives 0
            terms, by_r2 = (r - 1) ** 2, (r - 1) / np.where(r == 0, 1, r)
        value = (share * terms).sum(axis=(-2, -1))
        d_W_hh = transposed(v) @ (2 * share * by_r2 * u)  # dr^2/dW_hh = 2 v u^T
    return (float(value) if value.ndim == 0 else value), {"weight_hh": d_W_hh.astype(W_hh.dtype)}


def _unit_d_z(cell, h, d_h):
    """Return dL/dz_t / ||dL/dh_t|| as rows (*runs, T * B, H), and which rows count, (*runs, T * B, 1); others are 0."""
    slope = np.empty_like(h)
    cell.slope(h, out=slope)
    norm = np.linalg.norm(d_h, axis=-1, keepdims=True)
    counted = ~(norm**2 < LEAST)  # not >=, so that a NaN is counted and seen
    v = np.divide(slope * d_h, norm, out=np.zeros_like(d_h), where=counted)
    return v.reshape(*h.shape[:-3], -1, h.shape[-1]), counted.reshape(*h.shape[:-3], -1, 1)


def _check(cell, params, h, d_h, squared):
    if not isinstance(cell, RNNCell):
        raise TypeError(f"expected an RNNCell, got {cell!r}: only there is W_hh a factor of the Jacobian")
    if not isinstance(squared, bool):
        raise ValueError(f"expected squared to be True or False, got {squared!r}")
    has_names(params, ["weight_hh"])
    H, runs = cell.hidden_size, np.shape(h)[:-3]
    shaped(params["weight_hh"], (*runs, H, H), "weight_hh")
    shaped(h, (*runs, "T", "B", H), "h", "states (T, B, H) of one layer in one direction")
    shaped(d_h, h.shape, "d_h", "one total derivative for each state")

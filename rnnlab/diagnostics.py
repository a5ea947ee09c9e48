"""Instruments: how far back the gradient reaches, what the Jacobians along the way do to it, where gates saturate."""

from numbers import Real

import numpy as np

from rnnlab.bptt import unroll
from rnnlab.checks import is_cell, positive_integer, shaped

LYAPUNOV_STEPS = 256  # steps whose Jacobians are held at once


def gradient_flow(model, params, batch, state=None, lengths=None):
    """Measure the norm of the TOTAL derivative dL/dh_t at every step.

    Args:
        model: a `Model` or a `TorchModel`.
        params, batch, state, lengths: as for `Model.loss_and_grads`.

    Returns:
        (T,), ||dL/dh_t|| over all units and sequences of the batch together; (*runs, T) with runs.
    """
    if not hasattr(model, "loss_and_grads"):
        raise TypeError(f"expected a Model or a TorchModel, got {model!r}; a cell alone has no loss")
    options = {} if lengths is None else {"lengths": lengths}
    d_h = np.asarray(model.loss_and_grads(params, batch, state=state, **options).d_h)
    return np.sqrt((d_h.astype(np.float64) ** 2).sum(axis=(-2, -1)))


def step_jacobians(cell, params, x, state=None):
    """Return the Jacobian of every step, d(state after)/d(state before), along ONE sequence.

    Args:
        cell, params: a cell and its parameters, without runs.
        x: (T, 1, D), ONE sequence: each has Jacobians of its own.
        state: the initial state of that sequence; zeros if None.

    Returns:
        (T, S, S), with S = H, and for an LSTM S = 2H: its state is (h, c), and h_t and c_t count as independent of one
        another. Row i belongs to number i of the state after the step.
    """
    return _jacobians(cell, params, x, state)[0]


def jacobian_products(cell, params, x, state=None):
    """Multiply the step Jacobians back from the last state: P_t = ds_T/ds_t = J_T J_{T-1} ... J_{t+1}.

    Args: as for `step_jacobians`.

    Returns:
        (T, S, S), s = h, or (h, c) for an LSTM; entry t is the derivative of the last state with respect to s_{t+1} in
        the count of the array, so the last entry is the identity. Row i belongs to number i of the last state.
    """
    jacobians = step_jacobians(cell, params, x, state)
    products = np.empty_like(jacobians)
    products[-1] = np.eye(jacobians.shape[-1])
    for t in range(len(jacobians) - 1, 0, -1):
        products[t - 1] = products[t] @ jacobians[t]
    return products


def jacobian_singular_values(cell, params, x, state=None):
    """Return the singular values of every Jacobian product, largest first: (T, S).

    Entry t says by how much a gradient at the last step is stretched or shrunk, along S directions, on its way to
    state t. Values below about 1e-16 times the largest of their row are rounding.

    Args: as for `step_jacobians`.
    """
    return np.linalg.svd(jacobian_products(cell, params, x, state), compute_uv=False)


def lyapunov_exponents(cell, params, x, state=None, warmup=0):
    """Measure the mean growth per step, in nats, of small changes of the state, largest first.

    The Jacobians are applied to an orthonormal basis that QR renews at every step: exponent i is the mean of
    ln |R_ii|. The leading one is above 0 in chaos and below 0 where every start ends on one trajectory.

    Args:
        cell, params, x, state: as for `step_jacobians`; the longer x, the closer to the limit.
        warmup: steps at the start that are run but not counted, while the basis turns into place.

    Returns:
        (S,), the exponents; minus infinity for a direction that vanishes altogether.

    Source: Benettin et al. (1980); for recurrent networks Engelken, Wolf and Abbott (2023).
    """
    warmup = 0 if isinstance(warmup, int) and warmup == 0 else positive_integer(warmup, "warmup")
    shaped(x, ("T", 1, is_cell(cell).input_size), "x", "one sequence; pass x[:, [b]] for that of number b")
    if warmup >= len(x):
        raise ValueError(f"expected warmup below the {len(x)} steps of x, got {warmup}")
    basis, sums = None, 0.0
    for first in range(0, len(x), LYAPUNOV_STEPS):
        jacobians, state = _jacobians(cell, params, x[first : first + LYAPUNOV_STEPS], state)
        basis = np.eye(jacobians.shape[-1]) if basis is None else basis
        for t, jacobian in enumerate(jacobians, start=first):
            basis, triangle = np.linalg.qr(jacobian @ basis)
            if t >= warmup:
                with np.errstate(divide="ignore"):
                    sums = sums + np.log(np.abs(np.diagonal(triangle)))
    return np.sort(sums / (len(x) - warmup))[::-1]


def gate_saturation(cell, params, x, state=None, closed=0.1, open=0.9):
    """Measure how often each unit of each gate is nearly closed or nearly open.

    Args:
        cell, params, x, state: as for `unroll`, without runs.
        closed, open: a sigmoid below `closed` or above `open` counts; a tanh value v as (1 + v) / 2. For an RNN the
            states themselves are looked at, under the name "h".

    Returns:
        dict gate -> (2, H): the share of all steps and sequences below `closed`, and above `open`.

    Source: the plot of Karpathy, Johnson and Fei-Fei (2015).
    """
    if not (isinstance(closed, Real) and isinstance(open, Real) and 0 <= closed < open <= 1):
        raise ValueError(f"expected numbers 0 <= closed < open <= 1, got closed={closed!r} and open={open!r}")
    _, _, tape = unroll(cell, params, x, state)
    _one_run(tape)
    return {
        gate: np.array([(values < closed).mean(axis=(0, 1)), (values > open).mean(axis=(0, 1))])
        for gate, values in cell.activations(tape).items()
    }


def memory_norm(cell, params, x, state=None):
    """Return the norm of what each sequence's memory holds after each step: c_t of an LSTM, h_t of other cells, (T, B).

    Args:
        cell, params, x, state: as for `unroll`.
    """
    h, _, tape = unroll(cell, params, x, state)
    return np.linalg.norm(getattr(tape, "c", h), axis=-1)


def _jacobians(cell, params, x, state):
    """Return the step Jacobians of one sequence, and the state after it."""
    is_cell(cell)
    if np.ndim(x) == 3 and np.shape(x)[1] != 1:
        raise ValueError(f"expected one sequence, x of shape (T, 1, D), got {np.shape(x)}; pass x[:, [b]]")
    _, state, tape = unroll(cell, params, x, state)
    _one_run(tape)
    return cell.jacobians(params, tape)[:, 0], state


def _one_run(tape):
    if tape.runs:
        raise ValueError(f"expected parameters of one run, got leading axes {tape.runs}; pick one run first")

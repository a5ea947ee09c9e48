"""Backpropagation through time: unroll a cell over a sequence, walk back along it, truncate if asked.

Two derivatives of the loss L with respect to a state h_t must be kept apart:

- the IMMEDIATE derivative holds all later states fixed: the path h_t -> output_t -> L only. It goes into `backprop`;
- the TOTAL derivative lets the later states follow: dL/dh_t = immediate_t + (dh_{t+1}/dh_t)^T dL/dh_{t+1}.
  It comes out, for every t.
"""

import numpy as np

from rnnlab.checks import has_names, is_cell, positive_integer, shaped, whole_numbers
from rnnlab.tapes import Tape, as_tuple

TIME_MAJOR = "rnnlab is time-major (T, B, D), see the notation page"


class Workspace:
    """Keep the arrays of the last call, so that the next call of the same size reuses them.

    Pass one to `unroll` (and so to `backprop`) inside a training loop. Everything those calls return then lives in the
    workspace and is overwritten by the next call: copy what you want to keep.
    """

    def __init__(self):
        self._tapes = {}

    def tape(self, cell, *layout):
        """Return the tape for this cell and layout (T, B, dtype, runs, x_runs), making it on first use."""
        key = (id(cell), *layout)
        if key not in self._tapes or self._tapes[key].cell is not cell:
            self._tapes[key] = cell.tape(*layout)
        return self._tapes[key]


def unroll(cell, params, x, state=None, work=None, lengths=None):
    """Run a cell over a batch of sequences and record it.

    Args:
        cell: an `RNNCell`, `LSTMCell` or `GRUCell`.
        params: the cell's parameters (other names are ignored), all of x's dtype. Leading axes that all of them share
            are independent runs; every result then has the same axes in front.
        x: (T, B, D), inputs, time first; T and B at least 1. With runs, (*runs, T, B, D) gives each its own.
        state: h_0 (B, H), or the pair (h_0, c_0) of an LSTM; zeros if None.
        work: a `Workspace` to reuse, or None for fresh arrays.
        lengths: (B,) whole numbers from 1 to T where shorter sequences are padded at their end; what stands in the
            padding is not looked at. Then h is 0 from a sequence's end on, and the final state is that at its end.

    Returns:
        h (T, B, H) states after each step; the final state, shaped as `state`; the tape that `backprop` walks back.

    Raises:
        TypeError: an array is not float32/float64, or dtypes are mixed.
        ValueError: wrong rank or size, an empty sequence or batch, a missing parameter, a NaN or infinity in x.

    >>> import rnnlab as rl
    >>> cell = rl.RNNCell(1, 1, nonlinearity="linear")
    >>> half = {"weight_ih": np.eye(1), "weight_hh": np.eye(1) / 2, "bias_ih": np.zeros(1), "bias_hh": np.zeros(1)}
    >>> h, state, tape = rl.unroll(cell, half, np.array([1.0, 0.0, 0.0]).reshape(3, 1, 1))
    >>> h.ravel()
    array([1.  , 0.5 , 0.25])
    """
    if work is not None and not isinstance(work, Workspace):
        raise TypeError(f"expected work to be a rnnlab.Workspace, got {work!r}")
    runs = check_params(cell, params)
    lengths = check_inputs(cell, params, x, state, runs, lengths)
    T, B, _ = x.shape[-3:]
    tape = (work or Workspace()).tape(cell, T, B, x.dtype, runs, x.ndim > 3)
    tape.begin(params, x if lengths is None else without_padding(x, lengths), state)
    for views_and_shared in tape.forward:
        cell.steps(*views_and_shared)
    state = tape.finish(lengths)
    return tape.h, state, tape


def backprop(cell, params, tape, d_h, d_state=None, truncate=None):
    """Walk back along a tape: gradients of the parameters, the inputs and every state.

    Args:
        cell, params: as given to `unroll`.
        tape: what `unroll` returned.
        d_h: (T, B, H), IMMEDIATE derivative of the loss with respect to each h_t.
        d_state: derivative with respect to the final state from beyond the sequence, shaped as that state; None for
            none.
        truncate: k or None. With k the sequence is cut into windows of k steps counted from the first, and nothing
            flows back over a border between two windows: the state that enters step t = k, 2k, ... is a constant, as
            after torch's `h.detach()`. None is full BPTT.

    Returns:
        Back: `.params`, `.d_h` (TOTAL derivative at each t), `.d_state`, `.d_x`, for an LSTM `.d_c`.

    Raises:
        TypeError: no tape or that of another cell, or d_h or d_state has another dtype.
        ValueError: d_h or d_state has another shape than the tape, or truncate is not a whole number above 0.

    Source: Werbos (1990) for BPTT; Williams and Peng (1990) for truncation.
    """
    if not isinstance(tape, Tape) or (tape.cell is not cell and repr(tape.cell) != repr(cell)):
        raise TypeError(f"expected the tape that unroll returned for {cell!r}, got {getattr(tape, 'cell', tape)!r}")
    shaped(d_h, tape.h.shape, "d_h", "it must have the shape of the states that unroll returned")
    if d_h.dtype != tape.dtype:
        raise TypeError(f"expected one dtype, got x of {tape.dtype} and d_h of {d_h.dtype}; use astype")
    if d_state is not None:
        check_state(cell, d_state, tape.runs, tape.B, tape.dtype, "d_state")
    window = tape.T if truncate is None else positive_integer(truncate, "truncate")
    tape.begin_back(d_h, d_state)
    stretches = tape.stretches(window)
    for chunk, (views, *shared) in zip(tape.chunks, tape.backward, strict=True):
        for first, last in stretches:
            if last == tape.T or last % tape.block == 0:
                tape.prepare(chunk, last)
            if last - 1 in tape.ends:
                tape.enter(chunk, last - 1)
            cell.steps_back(reversed(views[first:last]), *shared)
            if first > 0 and first % window == 0:
                tape.cut(chunk, first)
    return tape.gradients()


def check_params(cell, params):
    """Raise unless the parameters fit the cell; return the axes of runs in front of them, () for none."""
    shapes = is_cell(cell).shapes
    has_names(params, shapes)
    first, shape = next(iter(shapes.items()))
    runs = np.shape(params[first])[: np.ndim(params[first]) - len(shape)]
    dtype = getattr(params[first], "dtype", None)
    for name, shape in shapes.items():
        shaped(params[name], (*runs, *shape), name)
        if params[name].dtype != dtype:
            raise TypeError(
                f"expected one dtype, got {first} of {dtype} and {name} of {params[name].dtype}; use astype"
            )
    if 0 in runs:
        raise ValueError(f"expected at least one run, got parameters with leading axes {runs}")
    return runs


def check_inputs(cell, params, x, state, runs, lengths):
    """Raise unless inputs, state and lengths fit the cell, the runs and the dtype; return lengths as an array."""
    of_runs = runs if np.ndim(x) > 3 else ()
    shaped(x, (*of_runs, "T", "B", cell.input_size), "x", TIME_MAJOR)
    T, B, _ = x.shape[-3:]
    if 0 in (T, B):
        raise ValueError(f"expected at least one step and one sequence, got x of shape {x.shape}")
    dtype = params[next(iter(cell.shapes))].dtype
    if x.dtype != dtype:
        raise TypeError(f"expected one dtype, got x of {x.dtype} and parameters of {dtype}; use astype")
    if lengths is not None:
        lengths = whole_numbers(lengths, (B,), 1, T, "lengths")
    finite = np.isfinite(x if lengths is None else without_padding(x, lengths))
    if not finite.all():
        *_, t, b, _ = where = np.argwhere(~finite)[0]
        raise ValueError(
            f"expected finite inputs, got {x[tuple(where)]} at step {t} of sequence {b}; clean the data first"
        )
    if state is not None:
        check_state(cell, state, runs, B, dtype, "state")
    return lengths


def without_padding(x, lengths):
    """Return x (..., T, B, D) with zeros from each sequence's end on."""
    return np.where((np.arange(x.shape[-3])[:, None] < lengths)[..., None], x, 0)


def check_state(cell, state, runs, B, dtype, name):
    """Raise unless a state fits the cell: an array (B, H), or for an LSTM the pair (h, c) of such arrays."""
    shape, names = (B, cell.hidden_size), cell.state_names
    if len(names) > 1 and not (isinstance(state, tuple | list) and len(state) == len(names)):
        got = f"{len(state)} arrays" if isinstance(state, tuple | list) else f"a {type(state).__name__}"
        raise ValueError(f"expected {name} to be the pair ({', '.join(names)}), arrays of shape {shape}, got {got}")
    for array in as_tuple(state, cell):
        of_runs = runs if name == "d_state" or np.ndim(array) > 2 else ()
        shaped(array, (*of_runs, *shape), name, "one row of H numbers for each sequence of the batch")
        if array.dtype != dtype:
            raise TypeError(f"expected one dtype, got x of {dtype} and {name} of {array.dtype}; use astype")

"""Starting values: matrices for W_hh, and biases that make gates remember."""

import numbers

import numpy as np

from rnnlab.checks import float_type, has_names, is_cell, positive_integer, positive_number, random_generator, shaped


def spectral_radius(matrix):
    """Return the largest absolute eigenvalue of a square matrix: the growth rate of its powers in the long run.

    >>> spectral_radius(np.array([[0.5, 9.0], [0.0, 0.5]]))
    0.5
    """
    return float(np.abs(np.linalg.eigvals(_square(matrix))).max())


def spectral_norm(matrix):
    """Return the largest singular value of a matrix: the most that one product with it can stretch a vector.

    >>> spectral_norm(np.array([[0.0, 3.0], [0.0, 0.0]]))
    3.0
    """
    return float(np.linalg.norm(_matrix(matrix), 2))


def scale_to_spectral_radius(matrix, radius):
    """Return the matrix multiplied by the number that gives it this spectral radius.

    Args:
        matrix: (H, H), with a spectral radius above 0.
        radius: wanted spectral radius, at least 0.

    Raises:
        TypeError: it is no array of numbers.
        ValueError: the matrix is nilpotent (spectral radius 0): no multiple of it has another one.
    """
    _finite_number(positive_number(radius, "radius", zero_allowed=True), "radius")
    matrix = _square(matrix)
    now = spectral_radius(matrix)
    if now == 0:
        raise ValueError("expected a matrix with a spectral radius above 0, got 0: no multiple of it has another one")
    return matrix * (radius / now)


def orthogonal(rng, size, dtype=np.float64):
    """Draw an orthogonal matrix, uniform over all of them: every singular value is 1.

    Args:
        rng: a numpy.random.Generator.
        size: H.

    Returns:
        (H, H).

    Source: Stewart (1980): QR of a normal matrix, with the signs of R's diagonal made positive.
    """
    size, dtype = positive_integer(size, "size"), float_type(dtype)
    q, r = np.linalg.qr(random_generator(rng).standard_normal((size, size)))
    return (q * np.sign(np.diag(r))).astype(dtype)


def identity(size, scale=1.0, dtype=np.float64):
    """Return scale times the identity: with relu and zero biases the start of the IRNN, which copies its state.

    Source: Le, Jaitly and Hinton (2015).

    >>> identity(2, scale=0.5)
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    size, dtype = positive_integer(size, "size"), float_type(dtype)
    return np.eye(size, dtype=dtype) * dtype(_finite_number(scale, "scale"))


def glorot(rng, shape, dtype=np.float64):
    """Draw a matrix uniform on (-a, a), a = sqrt(6 / (rows + columns)).

    For a stacked gate matrix draw one for each gate: the rows of the other gates are no outputs of this one.

    Args:
        rng: a numpy.random.Generator.
        shape: (rows, columns).

    Source: Glorot and Bengio (2010), equation 16.
    """
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise ValueError(f"expected shape to be a pair (rows, columns), got {shape!r}")
    rows, columns = (positive_integer(size, "shape") for size in shape)
    bound, dtype = np.sqrt(6 / (rows + columns)), float_type(dtype)
    return random_generator(rng).uniform(-bound, bound, (rows, columns)).astype(dtype)


def sparse(rng, size, nonzeros=15, radius=0.95, dtype=np.float64):
    """Draw a matrix with this many normal entries in each row and a set spectral radius.

    Args:
        rng: a numpy.random.Generator.
        size: H.
        nonzeros: entries in each row that are not 0, at most H.
        radius: spectral radius, above 0.

    Raises:
        ValueError: more entries than columns, or a draw whose spectral radius is 0 (few entries in a small matrix).

    Source: Sutskever et al. (2013): 15 entries for each unit; radius 0.95 as in Pascanu, Mikolov and Bengio (2013).
    """
    size, nonzeros = positive_integer(size, "size"), positive_integer(nonzeros, "nonzeros")
    if nonzeros > size:
        raise ValueError(f"expected at most {size} nonzeros in a row of {size}, got {nonzeros}")
    _finite_number(positive_number(radius, "radius"), "radius")
    rng, dtype = random_generator(rng), float_type(dtype)
    matrix = np.zeros((size, size))
    for row in matrix:
        row[rng.choice(size, nonzeros, replace=False)] = rng.standard_normal(nonzeros)
    return scale_to_spectral_radius(matrix, radius).astype(dtype)


def forget_bias(cell, params, value=1.0):
    """Return the parameters with an LSTM's forget gate held open at first: b_ih + b_hh = value in its rows.

    Args:
        cell: an `LSTMCell` with a forget gate.
        params: its parameters; they are not changed.
        value: 1 keeps sigmoid(1) = 73% of the memory at each step; an array (H,) has one for each unit.

    Raises:
        ValueError: the cell has no forget gate, or the parameters or values do not fit it.

    Source: Gers, Schmidhuber and Cummins (2000); Jozefowicz, Zaremba and Sutskever (2015) for the value 1.

    >>> from rnnlab.lstm import LSTMCell
    >>> cell = LSTMCell(1, 2)
    >>> params = forget_bias(cell, cell.init(np.random.default_rng(0)))
    >>> (params["bias_ih"] + params["bias_hh"])[cell.rows("f")]
    array([1., 1.])
    """
    value = np.asarray(value)
    if value.dtype.kind not in "iuf" or value.shape not in ((), (is_cell(cell).hidden_size,)):
        raise ValueError(f"expected value to be a number or an array of shape ({cell.hidden_size},), got {value!r}")
    if not np.isfinite(value).all():
        raise ValueError(f"expected a finite value, got {value!r}")
    return _with_bias(cell, params, {"f": value})


def chrono(cell, params, longest, rng):
    """Return the parameters with gates that remember for times spread over 1 to `longest` steps.

    Forget gate: b_f = ln u, u uniform on (1, longest - 1), and b_i = -b_f. Of a GRU the update gate z is the one that
    keeps: b_z = ln u.

    Args:
        cell: an `LSTMCell` with a forget gate, a `GRUCell`, or a minimal one of both (`MinLSTMCell`, `MinGRUCell`).
        params: its parameters; they are not changed.
        longest: longest dependency expected, in steps, at least 3.
        rng: a numpy.random.Generator.

    Raises:
        ValueError: the cell has no such gate, the parameters do not fit it, or longest is below 3.

    Source: Tallec and Ollivier (2018), section 3.
    """
    if positive_integer(longest, "longest") < 3:
        raise ValueError(f"expected longest to be at least 3 steps, got {longest}")
    keeping = np.log(random_generator(rng).uniform(1, longest - 1, is_cell(cell).hidden_size))
    if "z" in cell.gates:
        return _with_bias(cell, params, {"z": keeping})
    return _with_bias(cell, params, {"f": keeping} | ({"i": -keeping} if "i" in cell.gates else {}))


def _with_bias(cell, params, values):
    """Return the parameters with b_ih = value and, where there is one, b_hh = 0 in the rows of these gates."""
    names = [name for name in ("bias_ih", "bias_hh") if name in is_cell(cell).shapes]
    has_names(params, names)
    for name in names:
        shaped(params[name], (*np.shape(params[name])[:-1], *cell.shapes[name]), name)
    changed = {name: params[name].copy() for name in names}
    for gate, value in values.items():
        for name in names:
            changed[name][..., cell.rows(gate)] = value if name == "bias_ih" else 0
    return {**params, **changed}


def _square(matrix):
    matrix = _matrix(matrix)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a square matrix, got shape {matrix.shape}")
    return matrix


def _matrix(matrix):
    matrix = np.asarray(matrix)
    if matrix.dtype.kind not in "iufc":
        raise TypeError(f"expected a matrix of numbers, got an array of {matrix.dtype}")
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"expected a matrix with rows and columns, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("expected a finite matrix, got a NaN or an infinity in it: has the training diverged?")
    return matrix


def _finite_number(value, name):
    if not isinstance(value, numbers.Real) or not np.isfinite(value):
        raise ValueError(f"expected {name} to be a finite number, got {value!r}")
    return value

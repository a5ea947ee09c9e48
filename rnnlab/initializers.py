"""Starting values: matrices for W_hh, and biases that make gates remember."""

import numpy as np

from rnnlab.checks import positive_integer, positive_number


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
    return float(np.linalg.norm(matrix, 2))


def scale_to_spectral_radius(matrix, radius):
    """Return the matrix multiplied by the number that gives it this spectral radius.

    Args:
        matrix: (H, H), with a spectral radius above 0.
        radius: wanted spectral radius, at least 0.

    Raises:
        ValueError: the matrix is nilpotent (spectral radius 0): no multiple of it has another one.
    """
    positive_number(radius, "radius", zero_allowed=True)
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
    q, r = np.linalg.qr(rng.standard_normal((positive_integer(size, "size"),) * 2))
    return (q * np.sign(np.diag(r))).astype(dtype)


def identity(size, scale=1.0, dtype=np.float64):
    """Return scale times the identity: with relu and zero biases the start of the IRNN, which copies its state.

    Source: Le, Jaitly and Hinton (2015).

    >>> identity(2, scale=0.5)
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    return np.eye(positive_integer(size, "size"), dtype=dtype) * dtype(scale)


def glorot(rng, shape, dtype=np.float64):
    """Draw a matrix uniform on (-a, a), a = sqrt(6 / (rows + columns)).

    For a stacked gate matrix draw one for each gate: the rows of the other gates are no outputs of this one.

    Args:
        rng: a numpy.random.Generator.
        shape: (rows, columns).

    Source: Glorot and Bengio (2010), equation 16.
    """
    rows, columns = (positive_integer(size, "shape") for size in shape)
    bound = np.sqrt(6 / (rows + columns))
    return rng.uniform(-bound, bound, (rows, columns)).astype(dtype)


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
    positive_number(radius, "radius")
    matrix = np.zeros((size, size))
    for row in matrix:
        row[rng.choice(size, nonzeros, replace=False)] = rng.standard_normal(nonzeros)
    return scale_to_spectral_radius(matrix, radius).astype(dtype)


def forget_bias(cell, params, value=1.0):
    """Return the parameters with an LSTM's forget gate held open at first: b_ih + b_hh = value in its rows.

    Args:
        cell: an `LSTMCell` with a forget gate.
        params: its parameters; they are not changed.
        value: 1 keeps sigmoid(1) = 73% of the memory at each step.

    Source: Gers, Schmidhuber and Cummins (2000); Jozefowicz, Zaremba and Sutskever (2015) for the value 1.

    >>> from rnnlab.lstm import LSTMCell
    >>> cell = LSTMCell(1, 2)
    >>> params = forget_bias(cell, cell.init(np.random.default_rng(0)))
    >>> (params["bias_ih"] + params["bias_hh"])[cell.rows("f")]
    array([1., 1.])
    """
    return _with_bias(cell, params, {"f": value})


def chrono(cell, params, longest, rng):
    """Return the parameters with gates that remember for times spread over 1 to `longest` steps.

    Forget gate: b_f = ln u, u uniform on (1, longest - 1), and b_i = -b_f. Of a GRU the update gate z is the one that
    keeps: b_z = ln u.

    Args:
        cell: an `LSTMCell` with a forget gate, or a `GRUCell`.
        params: its parameters; they are not changed.
        longest: longest dependency expected, in steps, at least 3.
        rng: a numpy.random.Generator.

    Source: Tallec and Ollivier (2018), section 3.
    """
    if positive_integer(longest, "longest") < 3:
        raise ValueError(f"expected longest to be at least 3 steps, got {longest}")
    keeping = np.log(rng.uniform(1, longest - 1, cell.hidden_size))
    if "z" in cell.gates:
        return _with_bias(cell, params, {"z": keeping})
    return _with_bias(cell, params, {"f": keeping} | ({"i": -keeping} if "i" in cell.gates else {}))


def _with_bias(cell, params, values):
    """Return the parameters with b_ih = value and b_hh = 0 in the rows of these gates."""
    changed = {name: params[name].copy() for name in ("bias_ih", "bias_hh")}
    for gate, value in values.items():
        changed["bias_ih"][..., cell.rows(gate)] = value
        changed["bias_hh"][..., cell.rows(gate)] = 0
    return {**params, **changed}


def _square(matrix):
    if np.ndim(matrix) != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a square matrix, got shape {np.shape(matrix)}")
    return matrix

"""Starting values for the recurrent matrix."""

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


def _square(matrix):
    if np.ndim(matrix) != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a square matrix, got shape {np.shape(matrix)}")
    return matrix

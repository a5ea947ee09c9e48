"""What a stored result needs beside its settings, so that someone else can judge or repeat it."""

import hashlib
import platform

import numpy as np

__version__ = "0.1.0"


def provenance():
    """Return the versions and the rounding that numbers made here depend on.

    On another processor NumPy takes other vector instructions, and its BLAS other kernels and blocks. Then the last
    digit differs, and a long training ends elsewhere.

    Returns:
        dict: `python`, `numpy`, `rnnlab`, texts; `instructions`, a list of texts; `rounding`, a text that is the same
        where a few fixed products and functions come out the same to the last bit.

    >>> sorted(provenance())
    ['instructions', 'numpy', 'python', 'rnnlab', 'rounding']
    """
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "rnnlab": __version__,
        "instructions": sorted(found),
        "rounding": rounding(),
    }


def rounding():
    """Return a digest of fixed products and functions at the sizes of this project, in float64 and float32."""
    rng, digest = np.random.default_rng(0), hashlib.sha256()
    for rows, inner, columns in ((1, 16, 16), (12, 18, 64), (16, 33, 128), (100, 16, 16), (64, 480, 19)):
        a, b = rng.standard_normal((rows, inner)), rng.standard_normal((inner, columns))
        for one, other in ((a, b), (a.astype(np.float32), b.astype(np.float32))):
            for array in (one @ other, np.tanh(one), np.exp(one), np.log(np.abs(one)), one.sum(axis=0)):
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]

"""What a stored result needs beside its settings, so that someone else can judge or repeat it."""

import hashlib
import platform

import numpy as np

__version__ = "0.1.0"


def provenance(torch=None):
    """Return the versions and the rounding that numbers made here depend on.

    On another processor NumPy takes other vector instructions, and its BLAS other kernels and blocks. Then the last
    digit differs, and a long training ends elsewhere. torch has a BLAS and instructions of its own.

    Args:
        torch: the module torch where it made a part of the numbers; this function does not import it.

    Returns:
        dict: `python`, `numpy`, `rnnlab`, texts; `instructions`, a list of texts; `rounding`, a text that is the same
        where a few fixed products and functions come out the same to the last bit; with torch, its version as `torch`
        and the same text for its layers as `torch_rounding`.

    >>> sorted(provenance())
    ['instructions', 'numpy', 'python', 'rnnlab', 'rounding']
    """
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    made = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "rnnlab": __version__,
        "instructions": sorted(found),
        "rounding": rounding(),
    }
    return made if torch is None else made | {"torch": torch.__version__, "torch_rounding": torch_rounding(torch)}


def rounding():
    """Return a digest of fixed products and functions at the sizes of this project, in float64 and float32."""
    rng, digest = np.random.default_rng(0), hashlib.sha256()
    for rows, inner, columns in ((1, 16, 16), (12, 18, 64), (16, 33, 128), (100, 16, 16), (64, 480, 19)):
        a, b = rng.standard_normal((rows, inner)), rng.standard_normal((inner, columns))
        for one, other in ((a, b), (a.astype(np.float32), b.astype(np.float32))):
            for array in (one @ other, np.tanh(one), np.exp(one), np.log(np.abs(one)), one.sum(axis=0)):
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def torch_rounding(torch):
    """Return a digest of torch's products, functions and gradients on one thread, in float64 and float32.

    The parameters are given, not drawn, so that it depends on the arithmetic alone.

    Args:
        torch: the module.
    """
    digest, threads = hashlib.sha256(), torch.get_num_threads()
    torch.set_num_threads(1)  # with more, sums are taken in other pieces
    try:
        for dtype in (np.float64, np.float32):
            for array in _torch_results(torch, np.random.default_rng(0), dtype):
                digest.update(np.ascontiguousarray(array.detach().numpy()).tobytes())
    finally:
        torch.set_num_threads(threads)
    return digest.hexdigest()[:16]


def _torch_results(torch, rng, dtype):
    """Yield outputs and gradients of two recurrent layers, a convolution and a few functions."""

    def draw(*shape):
        return torch.from_numpy(rng.standard_normal(shape).astype(dtype) / 4)

    with torch.enable_grad():
        for kind, size, hidden, batch in (("LSTM", 12, 64, 16), ("GRU", 1, 16, 32)):
            layer = getattr(torch.nn, kind)(size, hidden, device="meta")  # which draws nothing
            weights = {name: draw(*weight.shape).requires_grad_() for name, weight in layer.named_parameters()}
            inputs = 4 * draw(10, batch, size)
            output = torch.func.functional_call(layer, weights, (inputs,))[0]
            scores = output[-1] @ draw(hidden, 9)
            loss = torch.nn.functional.cross_entropy(scores, torch.arange(batch) % 9)
            yield from (output, loss, *torch.autograd.grad(loss, list(weights.values())))
    a, b = 4 * draw(64, 480), 4 * draw(480, 19)
    yield from (a @ b, torch.tanh(a), torch.exp(a), torch.log(torch.abs(a)), a.sum(dim=0), a.norm())
    yield torch.nn.functional.conv1d(4 * draw(2, 12, 30), draw(5, 12, 3))

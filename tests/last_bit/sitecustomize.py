"""Move in its last bit what is drawn: starting parameters and inputs, as if another processor had rounded them.

Every Python that has this folder on its PYTHONPATH reads this file when it starts: a run of tests by `python -m
tools.roundings last-bit`, its kernels and its worker processes, and nothing else. `rnnlab` knows nothing of it.

The last bit of a number is turned over, so that it moves by one unit in the last place, up or down, and stays within
the bounds of its distribution. Zeros stay. Integers, permutations and dropout are as they were.
"""

import functools
import importlib.abc
import sys


def move_numpy(module):
    """Let `np.random.default_rng` return generators whose floating-point draws are moved."""
    import numpy as np

    def moved(draws):
        array = np.asarray(draws)
        bits = array.view(f"u{array.itemsize}") if array.ndim else array.reshape(1).view(f"u{array.itemsize}")
        bits[bits << 1 != 0] ^= 1
        return draws if isinstance(draws, np.ndarray) else type(draws)(array)

    class Generator(module.Generator):
        def __reduce__(self):
            return default_rng, (self.bit_generator,)

    def add(name):
        original = getattr(module.Generator, name)
        setattr(Generator, name, functools.wraps(original)(lambda self, *a, **k: moved(original(self, *a, **k))))

    for name in ("standard_normal", "normal", "random", "uniform"):
        add(name)
    original = module.default_rng

    @functools.wraps(original)
    def made(seed=None):
        return seed if isinstance(seed, module.Generator) else Generator(original(seed).bit_generator)

    module.default_rng = made


def default_rng(bit_generator):
    """Return the moved generator of a bit generator; what pickle and copy call."""
    import numpy as np

    return np.random.default_rng(bit_generator)


def move_torch(module):
    """Let torch's draws be moved, those of `nn.init` too, which fill a tensor in place."""

    def moved(tensor):
        if tensor.dtype in (module.float32, module.float64):
            with module.no_grad():
                bits = tensor.detach().view(module.int32 if tensor.dtype == module.float32 else module.int64)
                bits ^= tensor.detach() != 0
        return tensor

    def add(owner, name):
        original = getattr(owner, name)
        setattr(owner, name, functools.wraps(original)(lambda *a, **k: moved(original(*a, **k))))

    for name in ("rand", "randn"):
        add(module, name)
    for name in ("uniform_", "normal_"):
        add(module.Tensor, name)


MOVES = {"numpy.random": move_numpy, "torch": move_torch}


class Mover(importlib.abc.MetaPathFinder):
    """Call the functions above when their module has been imported."""

    def find_spec(self, name, path=None, target=None):
        """Return the spec that the other finders have, with the move behind its loader."""
        if name not in MOVES:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, found), None)
        if spec is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                MOVES[name](module)

            spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Mover())

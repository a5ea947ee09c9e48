"""Checkpoints: a nested dict of arrays and numbers in one file, complete or not there."""

import json
import os
import uuid
import zipfile
from pathlib import Path

import numpy as np

FORMAT = "rnnlab checkpoint 1"


def save_state(path, state):
    """Write a nested dict to a file, all of it or nothing.

    It is written beside the path and then moved there, so a crash or Ctrl-C while writing leaves the old file whole.
    Numbers come back bit for bit. Nothing is pickled.

    Args:
        path: the file, by custom named .npz; it is replaced.
        state: dict with names as keys and, as values, NumPy arrays, torch tensors, numbers, strings, None, lists and
            dicts of these: `{"params": params, "optimizer": state, "rng": rng.bit_generator.state, "update": 500}`.

    Raises:
        TypeError: something else is in it; nothing is written.

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "run.npz")
    >>> save_state(path, {"params": {"w": np.array([0.1, 0.2])}, "update": 500})
    >>> load_state(path)
    {'params': {'w': array([0.1, 0.2])}, 'update': 500}
    """
    path, arrays = Path(path), []
    tree = json.dumps({"format": FORMAT, "state": _describe(state, "state", arrays)})
    entries = {f"array_{number}": array for number, array in enumerate(arrays)}
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(beside, "xb") as file:
            np.savez(file, tree=np.array(tree), **entries)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:  # Ctrl-C too
        beside.unlink(missing_ok=True)
        raise


def load_state(path, as_tensor=None):
    """Return what `save_state` wrote.

    Args:
        path: the file.
        as_tensor: a function that turns the arrays of what were torch tensors into tensors again, such as
            `torch.from_numpy`; without one they are returned as arrays.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as entries:
            tree = json.loads(str(entries["tree"]))
            if tree["format"] != FORMAT:
                raise ValueError(f"its format is {tree['format']!r}, this version of rnnlab reads {FORMAT!r}")
            return _restore(tree["state"], entries, as_tensor or (lambda array: array))
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"expected a checkpoint that save_state wrote, got {str(path)!r}: {error}") from error


def _describe(value, place, arrays):
    """Return a value as JSON has it, with the arrays moved to a list and named by their number there."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"expected strings as keys of {place}, got {list(value)}")
        return {"dict": {key: _describe(item, f"{place}[{key!r}]", arrays) for key, item in value.items()}}
    if isinstance(value, list):
        return {"list": [_describe(item, f"{place}[{index}]", arrays) for index, item in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    kind = "tensor" if hasattr(value, "detach") else "array"
    array = value.detach().cpu().numpy() if kind == "tensor" else value
    if not isinstance(array, np.ndarray | np.generic) or array.dtype.kind not in "biufcSU":
        raise TypeError(f"expected arrays, tensors, numbers, strings, lists and dicts, got {place} = {value!r}")
    arrays.append(array)
    return {kind: len(arrays) - 1}


def _restore(value, entries, as_tensor):
    if not isinstance(value, dict):
        return value
    (kind, content), *_ = value.items()
    if kind == "dict":
        return {key: _restore(item, entries, as_tensor) for key, item in content.items()}
    if kind == "list":
        return [_restore(item, entries, as_tensor) for item in content]
    array = entries[f"array_{content}"]
    return as_tensor(array) if kind == "tensor" else array

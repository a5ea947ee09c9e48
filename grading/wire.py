"""Plain data as bytes: what the grader and a student's process say to each other.

A frame is 8 bytes of length, 4 bytes of length of the JSON part, that part, then the bytes of all arrays. No pickle:
whatever a student's process sends, unpacking it runs none of its code. Lists, dicts and arrays are kept in a table, so
that the receiver knows which of them are one object: an argument that was changed, or given back, is seen as such.
"""

import base64
import json
import math
import re
import struct
import sys

import numpy as np

MAX_FRAME = 64 * 2**20  # bytes
MAX_TREE = 8 * 2**20  # bytes of JSON: arrays are not in it
MAX_DEPTH = 32
MAX_ITEMS = 200_000  # in lists, tuples and dicts
PLAIN = "numbers, text, arrays, and lists, tuples or dicts of them"
DTYPE = re.compile(r"[<>|](b1|[iu][1248]|f[248]|c8|c16)")


class WireError(ValueError):
    """Data that the other side cannot have, in words."""


def is_tensor(value) -> bool:
    """Whether a value is a torch tensor; torch is not loaded to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_array(tensor) -> np.ndarray:
    """Return a tensor's values; the memory is shared where it can be."""
    tensor = tensor.detach().cpu()
    try:
        return tensor.resolve_conj().resolve_neg().numpy()
    except TypeError:  # bfloat16
        return tensor.float().numpy()


def memory(array: np.ndarray) -> tuple[int, int]:
    """Return the first address of an array and the one after its last."""
    return np.lib.array_utils.byte_bounds(array)


class Packer:
    """Write a value as a frame; `known` are the objects of the request that this answers, None for a request."""

    def __init__(self, known=None):
        self.answer = known is not None
        self.objects = list(known or [])  # keeps them alive, so that no id is used twice
        self.known = len(self.objects)
        self.index = {id(thing): i for i, thing in enumerate(self.objects)}
        self.bases = [(i, self.plain_array(thing)) for i, thing in enumerate(self.objects) if self.is_array(thing)]
        self.table, self.buffers, self.size, self.items = [None] * self.known, [], 0, 0

    @staticmethod
    def is_array(thing):
        return isinstance(thing, np.ndarray) or is_tensor(thing)

    @staticmethod
    def plain_array(thing):
        return as_array(thing) if is_tensor(thing) else thing

    def frame(self, head: dict, root) -> bytes:
        """Return the frame of a head, a dict of plain JSON, and a value."""
        tree = self.node(root, 0)
        for i in range(self.known):
            self.table[i] = self.entry(self.objects[i], 0)
        text = json.dumps({"head": head, "root": tree, "table": self.table}).encode()
        size = 4 + len(text) + self.size
        if size > MAX_FRAME or len(text) > MAX_TREE:
            raise WireError(f"expected at most {MAX_FRAME >> 20} MB of arrays and fewer lists, got {size >> 20} MB")
        return b"".join([struct.pack("<QI", size, len(text)), text, *self.buffers])

    def node(self, value, depth):
        """Return the JSON of one value."""
        if depth > MAX_DEPTH:
            raise WireError(f"expected lists at most {MAX_DEPTH} deep")
        self.items += 1
        if self.items > MAX_ITEMS:
            raise WireError(f"expected fewer items in lists than {MAX_ITEMS}; an array may have more")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, np.generic):
            return ["scalar", self.dtype(value.dtype), base64.b64encode(value.tobytes()).decode()]
        for plain in (str, int, float):
            if isinstance(value, plain):
                return plain(value)
        if isinstance(value, complex):
            return ["complex", value.real, value.imag]
        if isinstance(value, tuple):
            return ["tuple", [self.node(item, depth + 1) for item in value]]
        if isinstance(value, list | dict | np.ndarray) or is_tensor(value):
            return ["ref", self.reference(value, depth)]
        raise WireError(f"expected {PLAIN}, got an object of type {kind(value)}")

    def reference(self, thing, depth):
        """Return the place of an object in the table; a new one is added."""
        place = self.index.get(id(thing))
        if place is None:
            place = self.index[id(thing)] = len(self.objects)
            self.objects.append(thing)
            self.table.append(None)
            self.table[place] = self.entry(thing, depth)
        return place

    def entry(self, thing, depth):
        """Return the JSON of an object's content."""
        if isinstance(thing, list):
            return ["list", [self.node(item, depth + 1) for item in list(thing)]]
        if isinstance(thing, dict):
            pairs = list(thing.items())
            return ["dict", [[self.node(key, depth + 1), self.node(item, depth + 1)] for key, item in pairs]]
        array = self.plain_array(thing)
        new = self.index[id(thing)] >= self.known
        if new and self.answer and (view := self.view(array)):
            return view
        # Results become arrays; an argument that is a tensor arrives as one.
        tensor = is_tensor(thing) and not (new and self.answer)
        extra = [bool(thing.requires_grad)] if tensor else [bool(array.flags.writeable)]
        return ["tensor" if tensor else "array", self.dtype(array.dtype), list(array.shape), *self.bytes(array), *extra]

    def view(self, array):
        """Return the JSON of a result that is a part of an argument's memory, None for any other."""
        if array.size:
            low, high = memory(array)
            for i, base in self.bases:
                if base.size and memory(base)[0] <= low and high <= memory(base)[1]:
                    offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
                    return ["view", i, self.dtype(array.dtype), list(array.shape), list(array.strides), offset]
        return None

    def bytes(self, array):
        """Keep an array's bytes; return where they are."""
        data = np.ascontiguousarray(array).tobytes() if array.nbytes <= MAX_FRAME else b""
        if array.nbytes + self.size > MAX_FRAME:
            raise WireError(f"expected at most {MAX_FRAME >> 20} MB of arrays, got one of shape {array.shape}")
        start = self.size
        self.buffers.append(data)
        self.size += len(data)
        return start, len(data)

    def dtype(self, dtype):
        """Return the name of a type of numbers."""
        if not DTYPE.fullmatch(dtype.str):
            raise WireError(f"expected an array of numbers, got one of dtype {dtype}")
        return dtype.str


def kind(value) -> str:
    """Return the name of a value's type."""
    return str(type(value).__name__)[:60]


def unpack(frame: bytes, known=None) -> tuple[dict, object, list]:
    """Return (head, value, objects of the table) of a frame without its first 8 bytes.

    With `known`, the objects of the request that this answers: they are brought to the state that the frame tells.
    Raises WireError if the frame is not one, whatever its bytes are.
    """
    try:
        (length,) = struct.unpack_from("<I", frame)
        if length > MAX_TREE or 4 + length > len(frame):
            raise WireError("the frame is cut off")
        message = json.loads(frame[4 : 4 + length])
        reader = Reader(memoryview(frame)[4 + length :], message["table"], known)
        return dict(message["head"]), reader.value(message["root"], 0), reader.objects
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error, RecursionError) as error:
        raise WireError(f"not understood: {error}"[:200]) from None
    except (MemoryError, OverflowError):
        raise WireError("too large") from None


class Reader:
    """Build the objects of a frame; nothing in it is believed."""

    def __init__(self, buffers, table, known):
        if not isinstance(table, list):
            raise WireError("no table")
        self.buffers, self.known = buffers, list(known or [])[: len(table)]
        self.objects = [self.shell(i, entry) for i, entry in enumerate(table)]
        for thing, entry in zip(self.objects, table, strict=True):
            self.fill(thing, entry)

    def shell(self, i, entry):
        """Return the object for one entry, still empty if it is a list or a dict."""
        tag = entry[0]
        if i < len(self.known):
            self.update(self.known[i], tag, entry)
            return self.known[i]
        if tag in ("list", "dict"):
            return [] if tag == "list" else {}
        if tag == "view":
            return self.view(*entry[1:])
        array = self.array(*entry[1:5])
        if tag == "array":
            array.flags.writeable = bool(entry[5])
            return array
        if tag == "tensor":
            import torch

            return torch.from_numpy(array).requires_grad_(bool(entry[5]))
        raise WireError("an unknown kind of object")

    def update(self, thing, tag, entry):
        """Bring an array of the request to its new state; the kind, shape and type of an object stay as they were."""
        if tag != ("list" if isinstance(thing, list) else "dict" if isinstance(thing, dict) else tag):
            raise WireError("an argument became another kind of object")
        if Packer.is_array(thing):
            if tag not in ("array", "tensor"):
                raise WireError("an argument became another kind of object")
            target, new = Packer.plain_array(thing), self.array(*entry[1:5])
            if new.shape != target.shape or new.dtype != target.dtype:
                raise WireError(f"the shape of an array that was given changed from {target.shape} to {new.shape}")
            if target.flags.writeable:
                target[...] = new

    def fill(self, thing, entry):
        """Put the items into a list or a dict."""
        if isinstance(thing, list):
            thing[:] = [self.value(node, 1) for node in entry[1]]
        elif isinstance(thing, dict):
            pairs = [(self.key(key), self.value(node, 1)) for key, node in entry[1]]
            thing.clear()
            thing.update(pairs)

    def key(self, node):
        key = self.value(node, 1)
        if not isinstance(key, str | int | float | tuple | np.generic | None):
            raise WireError("a dict's key must be text or a number")
        return key

    def value(self, node, depth):
        """Return the value of one JSON node."""
        if node is None or isinstance(node, bool | int | float | str):
            return node
        if depth > MAX_DEPTH:
            raise WireError("nested too deep")
        tag, *rest = node
        if tag == "ref":
            if type(rest[0]) is not int or not 0 <= rest[0] < len(self.objects):
                raise WireError("a reference to nothing")
            return self.objects[rest[0]]
        if tag == "tuple":
            return tuple(self.value(item, depth + 1) for item in rest[0])
        if tag == "complex":
            return complex(float(rest[0]), float(rest[1]))
        if tag == "scalar":
            return np.frombuffer(base64.b64decode(rest[1]), self.dtype(rest[0]), count=1)[0]
        raise WireError("an unknown kind of value")

    def array(self, dtype, shape, start, length):
        """Return a new array, its own owner."""
        dtype, shape = self.dtype(dtype), self.sizes(shape)
        if type(start) is not int or type(length) is not int or start < 0 or start + length > len(self.buffers):
            raise WireError("an array's bytes are missing")
        if math.prod(shape) * dtype.itemsize != length:
            raise WireError("an array's bytes do not fit its shape")
        return np.frombuffer(self.buffers[start : start + length], dtype).reshape(shape).copy()

    def view(self, place, dtype, shape, strides, offset):
        """Return a part of an argument's memory; a copy where that memory has another layout on this side."""
        if type(place) is not int or not 0 <= place < len(self.known) or not Packer.is_array(self.known[place]):
            raise WireError("a part of nothing")
        base = Packer.plain_array(self.known[place])
        same = base.flags.c_contiguous
        whole = base if same else np.ascontiguousarray(base)
        steps = tuple(int(step) for step in strides)
        part = np.ndarray(self.sizes(shape), self.dtype(dtype), whole, int(offset), steps)  # checks the bounds
        return part if same else part.copy()

    @staticmethod
    def dtype(name):
        if not isinstance(name, str) or not DTYPE.fullmatch(name):
            raise WireError("an unknown type of numbers")
        return np.dtype(name)

    @staticmethod
    def sizes(shape):
        if len(shape) > 16 or any(type(n) is not int or not 0 <= n <= MAX_FRAME for n in shape):
            raise WireError("not a shape")
        return tuple(shape)

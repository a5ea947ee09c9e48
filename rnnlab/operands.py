"""Find a recurrence that is written with bare matrices: what a parameter is multiplied by, again and again."""

from dataclasses import dataclass, field

import torch
from torch.overrides import TorchFunctionMode

PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "mm", "addmm", "linear", "einsum", "bmm", "mv", "dot", "tensordot"}


@dataclass
class Used:
    """Hold what one matrix was multiplied by, and the products, call by call."""

    matrix: torch.Tensor
    operands: list = field(default_factory=list)
    products: list = field(default_factory=list)


class Operands(TorchFunctionMode):
    """Watch every product with one of these parameters while it is on; `used` is name -> `Used`."""

    def __init__(self, params):
        super().__init__()
        self.names = {id(param): (name, param) for name, param in params if param.dim() == 2}
        self.used = {}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in PRODUCTS and isinstance(result, torch.Tensor):
            tensors = [a for a in args if isinstance(a, torch.Tensor)]
            owners = [self.names.get(id(t)) or self.names.get(id(t._base)) for t in tensors]  # W.T is a view of W
            for owner, operand in ((w, x) for w in owners if w for x, v in zip(tensors, owners, strict=True) if not v):
                used = self.used.setdefault(owner[0], Used(owner[1]))
                used.operands.append(operand)
                used.products.append(result)
                for tensor in (operand, result):
                    if tensor.requires_grad:
                        tensor.retain_grad()
                break
        return result


def recurrences(used):
    """Return name -> (states, matrix) of each recurrence: operands of which the last came of the first.

    Matrices that are multiplied by the same states, as the gates' are, are one recurrence; a square one gives its name.
    If nothing hangs together, the products with square matrices are given: their states may have been detached.
    """
    found, owner = {}, {}
    for name, one in sorted(used.items(), key=lambda item: not _square(item[1].matrix)):
        states = [state for state in one.operands if state.requires_grad]
        if len(states) < 2 or len({state.shape for state in states}) > 1 or not _connected(states):
            continue
        name = next((owner[id(state)] for state in states if id(state) in owner), name)
        own = found.setdefault(name, ([], one.matrix))[0]
        own += [state for state in states if id(state) not in owner]
        owner.update((id(state), name) for state in states)
    if not found:
        found = {name: (one.products, one.matrix) for name, one in used.items() if _square(one.matrix)
                 and len(one.products) > 2 and all(product.requires_grad for product in one.products)}  # fmt: skip
    return found


def _square(matrix):
    return matrix.shape[0] == matrix.shape[1]


def _connected(states):
    return torch.autograd.grad(states[-1].sum(), states[0], retain_graph=True, allow_unused=True)[0] is not None

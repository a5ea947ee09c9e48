"""Train recurrent networks from scratch, and look inside while they train.

`import rnnlab as rl` gives the NumPy half. `rnnlab.torch_twin`, `rnnlab.plots` and `rnnlab.widgets` are imported by
name, so that torch, Matplotlib and ipywidgets are loaded only where they are used.

If this import is the first to load NumPy, and no variable such as OMP_NUM_THREADS is set, NumPy runs its matrix
products on one thread, which is the fastest at the sizes of the course. `rl.one_thread()` sets that at any time.
"""

from rnnlab.threads import one_thread  # first: it decides with how many threads NumPy is loaded

# isort: split

from rnnlab.bptt import Workspace, backprop, unroll
from rnnlab.cells import RNNCell
from rnnlab.clipping import ClipNorm, ClipValue, global_norm
from rnnlab.diagnostics import (
    gate_saturation,
    gradient_flow,
    jacobian_products,
    jacobian_singular_values,
    lyapunov_exponents,
    memory_norm,
    step_jacobians,
)
from rnnlab.gru import ChoGRUCell, GRUCell
from rnnlab.initializers import (
    chrono,
    forget_bias,
    glorot,
    identity,
    orthogonal,
    scale_to_spectral_radius,
    sparse,
    spectral_norm,
    spectral_radius,
)
from rnnlab.losses import accuracy, cross_entropy, squared_error
from rnnlab.lstm import LSTMCell
from rnnlab.models import Model
from rnnlab.optimizers import SGD
from rnnlab.peepholes import PeepholeLSTMCell
from rnnlab.regularizers import omega
from rnnlab.stacks import Stack
from rnnlab.tasks import Adding, Batch, Copy, TemporalOrder
from rnnlab.training import History, evaluate, train

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adding",
    "Batch",
    "ChoGRUCell",
    "ClipNorm",
    "ClipValue",
    "Copy",
    "GRUCell",
    "History",
    "LSTMCell",
    "Model",
    "PeepholeLSTMCell",
    "RNNCell",
    "Stack",
    "TemporalOrder",
    "Workspace",
    "accuracy",
    "backprop",
    "chrono",
    "cross_entropy",
    "evaluate",
    "forget_bias",
    "gate_saturation",
    "global_norm",
    "glorot",
    "gradient_flow",
    "identity",
    "jacobian_products",
    "jacobian_singular_values",
    "lyapunov_exponents",
    "memory_norm",
    "omega",
    "one_thread",
    "orthogonal",
    "scale_to_spectral_radius",
    "sparse",
    "spectral_norm",
    "spectral_radius",
    "squared_error",
    "step_jacobians",
    "train",
    "unroll",
]

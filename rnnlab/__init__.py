"""Train recurrent networks from scratch, and look inside while they train.

`import rnnlab as rl` gives the NumPy half. `rnnlab.torch_twin`, `rnnlab.plots` and `rnnlab.widgets` are imported by
name, so that torch, Matplotlib and ipywidgets are loaded only where they are used.
"""

from rnnlab.adagrads import Adadelta, AdaGrad, RMSProp
from rnnlab.adams import Adam, AdamW, AMSGrad, NAdam, RAdam
from rnnlab.bptt import Workspace, backprop, unroll
from rnnlab.cells import RNNCell
from rnnlab.checkpoints import load_state, save_state
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
from rnnlab.newer_optimizers import Lion, Muon, ScheduleFree
from rnnlab.optimizers import SGD
from rnnlab.peepholes import PeepholeLSTMCell
from rnnlab.stacks import Stack
from rnnlab.tasks import Adding, Batch, Copy, TemporalOrder
from rnnlab.training import History, evaluate, train

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "AMSGrad",
    "AdaGrad",
    "Adadelta",
    "Adam",
    "AdamW",
    "Adding",
    "Batch",
    "ChoGRUCell",
    "ClipNorm",
    "ClipValue",
    "Copy",
    "GRUCell",
    "History",
    "LSTMCell",
    "Lion",
    "Model",
    "Muon",
    "NAdam",
    "PeepholeLSTMCell",
    "RAdam",
    "RMSProp",
    "RNNCell",
    "ScheduleFree",
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
    "load_state",
    "lyapunov_exponents",
    "memory_norm",
    "orthogonal",
    "save_state",
    "scale_to_spectral_radius",
    "sparse",
    "spectral_norm",
    "spectral_radius",
    "squared_error",
    "step_jacobians",
    "train",
    "unroll",
]

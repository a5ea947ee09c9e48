"""Train recurrent networks from scratch, and look inside while they train.

`import rnnlab as rl` gives the NumPy half. `rnnlab.torch_twin`, `rnnlab.plots` and `rnnlab.widgets` are imported by
name, so that torch, Matplotlib and ipywidgets are loaded only where they are used.

If this import is the first to load NumPy, and no variable such as OMP_NUM_THREADS is set, NumPy runs its matrix
products on one thread, which is the fastest at the sizes of the course. `rl.one_thread()` sets that at any time.
"""

from rnnlab.threads import one_thread  # first: it decides with how many threads NumPy is loaded

# isort: split

from rnnlab.adagrads import Adadelta, AdaGrad, RMSProp
from rnnlab.adams import Adam, AdamW, AMSGrad, NAdam, RAdam
from rnnlab.adaptive_clipping import AGC, AutoClip
from rnnlab.attention import AttentionModel
from rnnlab.bptt import Workspace, backprop, unroll
from rnnlab.cells import RNNCell
from rnnlab.checkpoints import load_state, save_state
from rnnlab.clipping import ClipEachNorm, ClipNorm, ClipValue, global_norm
from rnnlab.conversions import from_keras, to_keras
from rnnlab.diagnostics import (
    gate_saturation,
    gradient_flow,
    jacobian_products,
    jacobian_singular_values,
    lyapunov_exponents,
    memory_norm,
    step_jacobians,
)
from rnnlab.frameworks import as_in
from rnnlab.graphs import GraphRNNCell, normalized
from rnnlab.gru import ChoGRUCell, GRUCell
from rnnlab.histories import History, Moment, Validation
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
from rnnlab.losses import accuracy, cross_entropy, gaussian_nll, squared_error
from rnnlab.lstm import LSTMCell
from rnnlab.models import Model
from rnnlab.newer_optimizers import Lion, Muon, ScheduleFree
from rnnlab.optimizers import SGD
from rnnlab.peepholes import PeepholeLSTMCell
from rnnlab.pools import processes
from rnnlab.provenance import __version__ as __version__
from rnnlab.provenance import provenance
from rnnlab.recurrences import LRUCell, MinGRUCell, MinLSTMCell, SLSTMCell
from rnnlab.regularized import RegularizedLSTM, dropout_mask, layer_norm
from rnnlab.regularizers import omega
from rnnlab.scans import parallel_states, scan
from rnnlab.schedules import Constant, CosineDecay, ExponentialDecay, OneCycle, ReduceOnPlateau, StepDecay, WarmUp
from rnnlab.stacks import Stack
from rnnlab.sweeps import sweep
from rnnlab.tasks import Adding, Batch, Copy, Parity, TemporalOrder
from rnnlab.training import evaluate, train

__all__ = [
    "AGC",
    "SGD",
    "SLSTMCell",
    "AMSGrad",
    "AdaGrad",
    "Adadelta",
    "Adam",
    "AdamW",
    "Adding",
    "AttentionModel",
    "AutoClip",
    "Batch",
    "ChoGRUCell",
    "ClipEachNorm",
    "ClipNorm",
    "ClipValue",
    "Constant",
    "Copy",
    "CosineDecay",
    "ExponentialDecay",
    "GRUCell",
    "GraphRNNCell",
    "History",
    "LSTMCell",
    "LRUCell",
    "Lion",
    "MinGRUCell",
    "MinLSTMCell",
    "Model",
    "Moment",
    "Muon",
    "NAdam",
    "OneCycle",
    "Parity",
    "PeepholeLSTMCell",
    "RAdam",
    "RMSProp",
    "RNNCell",
    "ReduceOnPlateau",
    "RegularizedLSTM",
    "ScheduleFree",
    "Stack",
    "StepDecay",
    "TemporalOrder",
    "Validation",
    "WarmUp",
    "Workspace",
    "accuracy",
    "as_in",
    "backprop",
    "chrono",
    "cross_entropy",
    "dropout_mask",
    "evaluate",
    "forget_bias",
    "from_keras",
    "gate_saturation",
    "gaussian_nll",
    "global_norm",
    "glorot",
    "gradient_flow",
    "identity",
    "jacobian_products",
    "jacobian_singular_values",
    "layer_norm",
    "load_state",
    "lyapunov_exponents",
    "memory_norm",
    "normalized",
    "omega",
    "one_thread",
    "orthogonal",
    "parallel_states",
    "processes",
    "provenance",
    "save_state",
    "scale_to_spectral_radius",
    "scan",
    "sparse",
    "spectral_norm",
    "spectral_radius",
    "squared_error",
    "step_jacobians",
    "sweep",
    "to_keras",
    "train",
    "unroll",
]

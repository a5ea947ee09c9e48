"""What frameworks mean by one name: where epsilon stands, where accumulators start, what a clip clips.

`RULES` is the table, and each row builds an optimizer or clip of rnnlab that moves as the framework's does:

| framework | name | epsilon | starts at |
|---|---|---|---|
| torch | RMSprop | 1e-8 beside the root | 0 |
| keras | RMSprop | 1e-7 inside the root | 0 |
| optax | rmsprop | 1e-8 inside the root | 0 |
| torch | Adagrad | 1e-10 beside the root | 0 |
| keras, optax | Adagrad | 1e-7 inside the root | 0.1 |
| torch, optax | Adam | 1e-8 after the bias correction | 0 |
| keras | Adam | 1e-7 before the bias correction | 0 |
| tensorflow | RMSPropOptimizer | 1e-10 inside the root | 1 |
| tensorflow | AdagradOptimizer | none | 0.1 |
| tensorflow | AdamOptimizer | 1e-8 before the bias correction | 0 |

"tensorflow" is `tf.compat.v1.train`, the optimizers of its first version; `tf.keras.optimizers` are those of Keras.
Versions: PyTorch 2.13, Keras 3.15, Optax 0.2.8, TensorFlow 2.21; the tests compare with them.
"""

from dataclasses import dataclass, field

from rnnlab.adagrads import AdaGrad, RMSProp
from rnnlab.adams import Adam, AdamW, NAdam
from rnnlab.adaptive_clipping import AGC
from rnnlab.clipping import ClipEachNorm, ClipNorm, ClipValue
from rnnlab.optimizers import SGD


@dataclass(frozen=True)
class Rule:
    """Say what a framework means by a name.

    Attributes:
        framework: "torch", "keras", "optax" or "tensorflow".
        name: what it is called there.
        make: the class of rnnlab that does the same.
        settings: its settings, as far as the framework has defaults for them.
        equation: the rule as the framework computes it.
        not_finite: of a clip, what becomes of a gradient with an infinity or NaN. rnnlab's stay as they came.
    """

    framework: str
    name: str
    make: type
    settings: dict = field(hash=False)
    equation: str
    not_finite: str = ""


_KERAS_ROOT = {"lr": 1e-3, "eps": 1e-7, "eps_inside_root": True}
_LOST = "finite entries become 0 or NaN"

RULES = (
    Rule("torch", "RMSprop", RMSProp, {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8},
         "v = alpha v + (1 - alpha) g^2; b = momentum b + g / (sqrt(v) + eps); w = w - lr b"),
    Rule("keras", "RMSprop", RMSProp, {**_KERAS_ROOT, "alpha": 0.9, "lr_in_velocity": True},
         "v = rho v + (1 - rho) g^2; b = momentum b + lr g / sqrt(v + epsilon); w = w - b"),
    Rule("optax", "rmsprop", RMSProp, {"alpha": 0.9, "eps": 1e-8, "eps_inside_root": True, "lr_in_velocity": True},
         "v = decay v + (1 - decay) g^2; b = momentum b + lr g / sqrt(v + eps); w = w - b"),
    Rule("torch", "Adagrad", AdaGrad, {"lr": 1e-2, "eps": 1e-10, "initial_accumulator": 0.0},
         "s = s + g^2; w = w - lr g / (sqrt(s) + eps)"),
    Rule("keras", "Adagrad", AdaGrad, {**_KERAS_ROOT, "initial_accumulator": 0.1},
         "s = s + g^2; w = w - lr g / sqrt(s + epsilon)"),
    Rule("optax", "adagrad", AdaGrad, {"eps": 1e-7, "eps_inside_root": True, "initial_accumulator": 0.1},
         "s = s + g^2; w = w - lr g / sqrt(s + eps), and w stays where s = 0"),
    Rule("torch", "Adam", Adam, {"lr": 1e-3, "eps": 1e-8},
         "w = w - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps)"),
    Rule("keras", "Adam", Adam, {"lr": 1e-3, "eps": 1e-7, "eps_hat": True},
         "w = w - lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)"),
    Rule("optax", "adam", Adam, {"eps": 1e-8},
         "w = w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)"),
    Rule("torch", "SGD", SGD, {"lr": 1e-3},
         "b = momentum b + g; w = w - lr b, with nesterov w = w - lr (g + momentum b)"),
    Rule("keras", "SGD", SGD, {"lr": 1e-2, "lr_in_velocity": True},
         "b = momentum b - lr g; w = w + b, with nesterov w = w + momentum b - lr g"),
    Rule("optax", "sgd", SGD, {},
         "b = momentum b + g; w = w - lr b, with nesterov w = w - lr (g + momentum b)"),
    Rule("torch", "AdamW", AdamW, {"lr": 1e-3, "eps": 1e-8, "weight_decay": 1e-2},
         "w = w - lr weight_decay w, then as Adam"),
    Rule("keras", "AdamW", AdamW, {"lr": 1e-3, "eps": 1e-7, "eps_hat": True, "weight_decay": 4e-3},
         "w = w - lr weight_decay w, then as Adam"),
    Rule("optax", "adamw", AdamW, {"eps": 1e-8, "weight_decay": 1e-4},
         "w = w - lr (Adam's quotient + weight_decay w)"),
    Rule("torch", "NAdam", NAdam, {"lr": 2e-3, "eps": 1e-8, "momentum_decay": 4e-3},
         "mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2), P = P mu_t; "
         "w = w - lr (mu_{t+1} m / (1 - P mu_{t+1}) + (1 - mu_t) g / (1 - P)) / (sqrt(v / (1 - beta2^t)) + eps)"),
    Rule("keras", "Nadam", NAdam, {"lr": 1e-3, "eps": 1e-7, "momentum_decay": 1.0},
         "as torch NAdam with mu_t = beta_1 (1 - 0.96^t / 2)"),
    Rule("optax", "nadam", NAdam, {"eps": 1e-8, "momentum_decay": float("inf")},
         "w = w - lr (b1 m / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)"),
    Rule("tensorflow", "MomentumOptimizer", SGD, {},
         "b = momentum b + g; w = w - lr b, with use_nesterov w = w - lr (g + momentum b)"),
    Rule("tensorflow", "AdagradOptimizer", AdaGrad, {"eps": 0.0, "initial_accumulator": 0.1},
         "s = s + g^2; w = w - lr g / sqrt(s)"),
    Rule("tensorflow", "RMSPropOptimizer", RMSProp,
         {"alpha": 0.9, "eps": 1e-10, "eps_inside_root": True, "initial_accumulator": 1.0, "lr_in_velocity": True},
         "v = decay v + (1 - decay) g^2, v = 1 at first; b = momentum b + lr g / sqrt(v + epsilon); w = w - b"),
    Rule("tensorflow", "AdamOptimizer", Adam, {"lr": 1e-3, "eps": 1e-8, "eps_hat": True},
         "w = w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon)"),
    Rule("torch", "clip_grad_norm_", ClipNorm, {"eps": 1e-6},
         "g min(1, max_norm / (||g|| + 1e-6)), ||g|| over all parameters", _LOST),
    Rule("torch", "clip_grad_value_", ClipValue, {},
         "max(-clip_value, min(clip_value, g_i))", "infinities are cut, NaN stays"),
    Rule("keras", "clipnorm", ClipEachNorm, {},
         "g_k clipnorm / max(||g_k||, clipnorm), for each parameter k by itself", _LOST + ", of that parameter"),
    Rule("keras", "global_clipnorm", ClipNorm, {},
         "g global_clipnorm min(1 / ||g||, 1 / global_clipnorm), ||g|| over all parameters", "all become NaN"),
    Rule("keras", "clipvalue", ClipValue, {},
         "max(-clipvalue, min(clipvalue, g_i))", "infinities are cut, NaN stays"),
    Rule("optax", "clip", ClipValue, {},
         "max(-max_delta, min(max_delta, g_i))", "infinities are cut, NaN stays"),
    Rule("optax", "clip_by_global_norm", ClipNorm, {},
         "g if ||g|| < max_norm else g / ||g|| max_norm, ||g|| over all parameters", _LOST),
    Rule("optax", "adaptive_grad_clip", AGC, {"unit_axis": -1},
         "g_i min(1, clipping max(||w_i||, eps) / ||g_i||), i the columns of a matrix (in, out), or a whole vector, "
         "which a matrix of one row counts as", _LOST + ", of that unit"),
    Rule("tensorflow", "clip_by_norm", ClipEachNorm, {},
         "g_k clip_norm / max(||g_k||, clip_norm), for each tensor k by itself", _LOST + ", of that parameter"),
    Rule("tensorflow", "clip_by_global_norm", ClipNorm, {},
         "g clip_norm min(1 / ||g||, 1 / clip_norm), ||g|| over all tensors", "all become NaN"),
    Rule("tensorflow", "clip_by_value", ClipValue, {},
         "max(clip_value_min, min(clip_value_max, g_i))", "infinities are cut, NaN stays"),
)  # fmt: skip


def as_in(framework, name, **settings):
    """Return the optimizer or clip of rnnlab that does what a framework does under this name.

    Args:
        framework: "torch", "keras", "optax" or "tensorflow", which is tf.compat.v1.train.
        name: as the framework writes it: "RMSprop", "clipnorm", "clip_by_global_norm" ...
        settings: by rnnlab's names (lr, alpha, max_norm ...), in place of the framework's defaults.

    Raises:
        ValueError: there is no such row in `rnnlab.frameworks.RULES`.
        TypeError: a setting has no default there and is missing, such as lr in Optax.

    >>> as_in("keras", "Adagrad")
    AdaGrad(lr=0.001, runs=0, eps=1e-07, initial_accumulator=0.1, eps_inside_root=True)
    >>> as_in("torch", "clip_grad_norm_", max_norm=1.0)
    ClipNorm(max_norm=1.0, runs=0, eps=1e-06)
    """
    rule = next((rule for rule in RULES if (rule.framework, rule.name) == (framework, name)), None)
    if rule is None:
        known = ", ".join(f"{rule.framework} {rule.name}" for rule in RULES)
        raise ValueError(f"expected one of {known}, got {framework} {name}")
    if "clip" not in name and "lr" not in rule.settings | settings:
        raise TypeError(f"expected lr=: {name} of {framework.capitalize()} has no default for it")
    return rule.make(**rule.settings | settings)

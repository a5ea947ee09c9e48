"""What do PyTorch, Keras, Optax and the optimizers of TensorFlow 1 do under one name? Each row measures the real one.

Each optimizer moves one vector whose entries have gradients of different sizes, in float64, with its own defaults but
for the learning rate: the optimizers here treat every entry by itself. The record has, for each:

- settings: the defaults that can be read from it
- path: where six random gradients lead, under a learning rate that changes
- first: the first step over the learning rate, for a gradient of each of SIZES
- later: the 1,000th of equal gradients, for RMSProp and Adam
- acts_like: the outside epsilon that would give these steps at a gradient of 1e-14
- start: what the accumulator holds before the first update, from the size of the first step (AdaGrad, RMSProp)
- rate_in_velocity: with momentum, whether a step goes on after the learning rate has become 0
- decay: the first two steps over the learning rate from w = 1 without a gradient, with weight decay 0.1

and for each clip what it makes of two gradients, and for the layers of Keras how far outputs and gradients are from
those of rnnlab with the same weights. Keras' backend is fixed for a process, so there are two.

    python notebooks/evidence/framework_rows.py      # half a minute on one core
"""

import argparse
import functools
import importlib.metadata
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import rnnlab as rl

SIZES, TINY, UPDATES, LR = [1.0, 1e-3, 1e-5, 1e-7], 1e-14, 1000, 1e-3
RANDOM = np.random.default_rng(15).normal(size=(6, 5)) * [1.0, 1e-2, 1e-4, 1e-6, 1e-8]
RATES = [0.01, 0.01, 0.001, 0.1, 0.1, 0.01]
PACKAGES = {"PyTorch": "torch", "Keras on torch": "keras", "Keras on TensorFlow": "keras", "Optax": "optax",
            "TensorFlow 1": "tensorflow-cpu"}  # fmt: skip
KINDS = {"SGD": ("sgd", "momentumoptimizer"), "AdaGrad": ("adagrad", "adagradoptimizer"),
         "RMSProp": ("rmsprop", "rmspropoptimizer"), "Adam": ("adam", "adamoptimizer"), "AdamW": ("adamw",),
         "NAdam": ("nadam",)}  # fmt: skip
KNOWN = ("momentum", "rho", "alpha", "decay", "betas", "beta_1", "beta_2", "b1", "b2", "beta1", "beta2", "eps",
         "epsilon", "weight_decay", "initial_accumulator_value", "momentum_decay", "nesterov")  # fmt: skip


# ---------------------------------------------------------------- one way to call them all
#
# Each function moves a vector w by the given gradients, with the learning rate of each update, and returns w after
# every update, (updates, N).


def with_torch(name, w, grads, rates, **own):
    import torch

    param = torch.nn.Parameter(torch.tensor(w))
    optimizer, path = getattr(torch.optim, name)([param], lr=rates[0], **own), []
    for grad, lr in zip(grads, rates, strict=True):
        optimizer.param_groups[0]["lr"], param.grad = lr, torch.tensor(grad)
        optimizer.step()
        path.append(param.detach().numpy().copy())
    return np.array(path)


def with_keras(name, w, grads, rates, **own):
    import keras

    variable, path = keras.Variable(w, dtype="float64"), []
    optimizer = getattr(keras.optimizers, name)(rates[0], **own)
    optimizer.build([variable])
    apply = compiled(lambda grad: optimizer.apply([grad], [variable]))
    for grad, lr in zip(grads, rates, strict=True):
        if optimizer.learning_rate != lr:
            optimizer.learning_rate = lr
        apply(keras.ops.convert_to_tensor(grad, "float64"))
        path.append(np.array(variable.numpy()))
    return np.array(path)


def compiled(function):
    """Return a function of Keras as a graph if its backend is TensorFlow: a call costs a tenth."""
    if os.environ["KERAS_BACKEND"] != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function)


def with_optax(name, w, grads, rates, **own):
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    rule = functools.partial(optax.inject_hyperparams(getattr(optax, name)), **own)(learning_rate=rates[0])
    update, state, path = jax.jit(rule.update), rule.init(jax.numpy.asarray(w)), []
    for grad, lr in zip(grads, rates, strict=True):
        state.hyperparams["learning_rate"] = jax.numpy.asarray(lr)
        step, state = update(grad, state, w)
        w = w + step
        path.append(np.array(w))
    return np.array(path)


def with_tensorflow(name, w, grads, rates, **own):
    import tensorflow as tf

    variable, rate, path = tf.Variable(w), tf.Variable(rates[0], dtype=tf.float64), []
    optimizer = getattr(tf.compat.v1.train, name)(lambda: rate, **own)
    for grad, lr in zip(grads, rates, strict=True):
        rate.assign(lr)
        optimizer.apply_gradients([(tf.constant(grad), variable)])
        path.append(variable.numpy())
    return np.array(path)


def optimizers_of(part):
    """Return the function that moves, and its optimizers: (name, class or function, name of the weight decay)."""
    if part == "PyTorch":
        import torch

        return with_torch, torch.optim, ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "NAdam"], "weight_decay"
    if part.startswith("Keras"):
        import keras

        keras.config.set_floatx("float64")
        names = ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "Nadam"]
        return with_keras, keras.optimizers, names, "weight_decay"
    if part == "Optax":
        import optax

        return with_optax, optax, ["sgd", "adagrad", "rmsprop", "adam", "adamw", "nadam"], None
    import tensorflow as tf

    names = ["MomentumOptimizer", "AdagradOptimizer", "RMSPropOptimizer", "AdamOptimizer"]
    return with_tensorflow, tf.compat.v1.train, names, None


# ---------------------------------------------------------------- what is measured


def measure(move, name, kind, settings, decay):
    """Return what the docstring of this file lists, of one optimizer."""
    must = {"momentum": 0.0} if name == "MomentumOptimizer" else {}
    sizes, updates = np.array([*SIZES, TINY]), UPDATES if kind in ("RMSProp", "Adam") else 1
    path = move(name, np.zeros(len(sizes)), [sizes] * updates, [LR] * updates, **must)
    first, last = -np.diff(path, axis=0, prepend=0)[[0, -1]] / LR
    row = {
        "path": move(name, np.ones(5), RANDOM, RATES, **must).tolist(),
        "first": [rounded(one) for one in first[:-1]],
    }
    if updates > 1:
        row["later"] = [rounded(one) for one in last[:-1]]
    if kind != "SGD":
        row["acts_like"] = [rounded(TINY / step[-1]) for step in ([first, last] if updates > 1 else [first])]
    if kind in ("AdaGrad", "RMSProp"):
        kept = 1.0 if kind == "AdaGrad" else next(settings[key] for key in ("alpha", "rho", "decay") if key in settings)
        new = 1.0 if kind == "AdaGrad" else 1 - kept
        row["start"] = round((1 / first[0] ** 2 - new) / kept, 5) + 0.0
    if kind in ("SGD", "RMSProp"):
        one = move(name, np.zeros(1), [np.ones(1), np.zeros(1)], [1.0, 0.0], momentum=0.9)
        row["rate_in_velocity"] = bool(one[1, 0] != one[0, 0])
    if kind == "SGD":
        row["nesterov"] = nesterov_path(move, name)
    if decay or kind == "AdamW":
        own = {"momentum": 0.9} if kind == "SGD" else {}
        fading = move(name, np.ones(1), [np.zeros(1)] * 2, [LR] * 2, weight_decay=0.1, **own)
        row["decay"] = [rounded(step) for step in (-np.diff(fading[:, 0], prepend=1.0) / LR)]
    return row


def nesterov_path(move, name):
    """Return where five gradients lead with Nesterov's momentum, at a rate that stays."""
    own = {"momentum": 0.9, "use_nesterov" if name == "MomentumOptimizer" else "nesterov": True}
    return move(name, np.zeros(1), [np.array([1.0 / n]) for n in range(1, 6)], [0.1] * 5, **own)[:, 0].tolist()


def rounded(number):
    return float(f"{number:.6g}")


def defaults(make):
    """Return the default of the learning rate, None if there is none, and of the settings in KNOWN."""
    signature = {name: given.default for name, given in inspect.signature(make).parameters.items()}
    lr = next(signature[name] for name in ("lr", "learning_rate") if name in signature)
    kept = {name: signature[name] for name in KNOWN if isinstance(signature.get(name), int | float | tuple)}
    return None if lr is inspect.Parameter.empty else lr, {
        n: list(v) if isinstance(v, tuple) else v for n, v in kept.items()
    }


def rows(part):
    move, home, names, decay = optimizers_of(part)
    made = []
    for name in names:
        kind = next(kind for kind, spelled in KINDS.items() if name.lower() in spelled)
        lr, settings = defaults(getattr(home, name))
        made.append({"part": part, "name": name, "kind": kind, "lr": lr, "settings": settings,
                     **measure(move, name, kind, settings, decay)})  # fmt: skip
    return made


# ---------------------------------------------------------------- the record


def versions(part):
    names = {"torch", PACKAGES[part]} if part == "Keras on torch" else {PACKAGES[part]}
    names |= {"tensorflow-cpu"} if part == "Keras on TensorFlow" else {"jax"} if part == "Optax" else set()
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def available(part):
    """Return whether the packages of a part are installed."""
    try:
        return bool(versions(part))
    except importlib.metadata.PackageNotFoundError:
        return False


def measured(backend):
    """Return the parts that need this backend of Keras, by name, from a fresh process: a backend is fixed for one."""
    parts = [part for part in PACKAGES if ("TensorFlow" in part) == (backend == "tensorflow") and available(part)]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, __file__, "--parts", *parts]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"measuring {parts} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_part(part):
    import framework_clips
    import framework_layers

    found = {"optimizers": rows(part), "clips": framework_clips.rows(part), "versions": versions(part)}
    return found | ({"layers": framework_layers.gaps()} if part.startswith("Keras") else {})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    parser.add_argument("--parts", nargs="*", choices=PACKAGES, help="measure these parts here and print them")
    given = parser.parse_args()
    if given.parts is not None:
        return print(json.dumps({part: measure_part(part) for part in given.parts}))
    parts = measured("torch") | measured("tensorflow")
    settings = {
        "sizes": SIZES, "tiny": TINY, "updates": UPDATES, "lr": LR, "random": RANDOM.tolist(), "rates": RATES,
    }  # fmt: skip
    record = {
        "made": {"command": "python notebooks/evidence/framework_rows.py", **rl.provenance()},
        "settings": settings,
        "parts": {part: parts[part] for part in PACKAGES},
    }
    given.out.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

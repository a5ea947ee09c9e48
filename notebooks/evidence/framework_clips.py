"""What does each clip of a framework make of two gradients? `framework_rows.py` stores what `rows` returns.

One gradient has norm 5, the other 0.5; together 5.025. The threshold is 1, or 2 for a clip by value. And what becomes
of the rest where one entry is infinite or NaN?
"""

import numpy as np

GRADS = {"a": np.array([3.0, 4.0]), "b": np.array([0.5])}

# Each function returns the gradients after a clip, as a dict of arrays.


def clip_with_torch(name, limit, grads):
    import torch

    params = {key: torch.nn.Parameter(torch.zeros(len(grad), dtype=torch.double)) for key, grad in grads.items()}
    for key, param in params.items():
        param.grad = torch.tensor(grads[key])
    getattr(torch.nn.utils, name)(params.values(), limit)
    return {key: param.grad.numpy() for key, param in params.items()}


def clip_with_keras(name, limit, grads):
    """Keras clips inside its optimizers: SGD with a learning rate of 1 steps by the clipped gradient."""
    import keras

    variables = {key: keras.Variable(np.zeros(len(grad)), dtype="float64") for key, grad in grads.items()}
    tensors = [keras.ops.convert_to_tensor(grad, "float64") for grad in grads.values()]
    keras.optimizers.SGD(1.0, **{name: limit}).apply(tensors, list(variables.values()))
    return {key: -np.array(variable.numpy()) for key, variable in variables.items()}


def clip_with_optax(name, limit, grads):
    import optax

    transform = getattr(optax, name)(limit)
    return {key: np.asarray(grad) for key, grad in transform.update(grads, transform.init(grads))[0].items()}


def clip_with_tensorflow(name, limit, grads):
    import tensorflow as tf

    tensors = {key: tf.constant(grad) for key, grad in grads.items()}
    if name == "clip_by_global_norm":
        clipped, _ = tf.clip_by_global_norm(list(tensors.values()), limit)
        return dict(zip(grads, (grad.numpy() for grad in clipped), strict=True))
    limits = (-limit, limit) if name == "clip_by_value" else (limit,)
    return {key: getattr(tf, name)(grad, *limits).numpy() for key, grad in tensors.items()}


IN_KERAS = (clip_with_keras, ("clipnorm", "global_clipnorm", "clipvalue"))
CLIPS = {
    "PyTorch": (clip_with_torch, ("clip_grad_norm_", "clip_grad_value_")),
    "Keras on torch": IN_KERAS,
    "Keras on TensorFlow": IN_KERAS,
    "Optax": (clip_with_optax, ("clip_by_global_norm", "clip")),
    "TensorFlow 1": (clip_with_tensorflow, ("clip_by_norm", "clip_by_global_norm", "clip_by_value")),
}


def rows(part):
    """Return what each clip of a part makes of GRADS, and of GRADS with a bad entry."""
    clip, names = CLIPS[part]
    made = []
    for name in names:
        limit = 1.0 if "norm" in name else 2.0
        row = {"part": part, "name": name, "limit": limit, "clipped": listed(clip(name, limit, GRADS))}
        for bad in (np.inf, np.nan):
            grads = {**GRADS, "a": np.array([bad, 4.0])}
            row[str(bad)] = listed(clip(name, limit, grads))
        made.append(row)
    return made


def listed(grads):
    return {key: [float(f"{one:.6g}") for one in grad] for key, grad in grads.items()}

"""Do the layers of Keras, with weights carried over, compute what rnnlab and PyTorch compute, and the same gradients?

`framework_rows.py` stores what `gaps` returns, for each backend of Keras.
"""

import numpy as np

import rnnlab as rl

T, B, D, H = 7, 3, 4, 5
CELLS = {
    "SimpleRNN": rl.RNNCell(D, H),
    "LSTM": rl.LSTMCell(D, H),
    "GRU": rl.GRUCell(D, H),
    "GRU(reset_after=False)": rl.ChoGRUCell(D, H),
}


def problem(name):
    """Return parameters, inputs (T, B, D), an initial state and the weights of the outputs in the loss sum(w * h)."""
    cell, rng = CELLS[name], np.random.default_rng(15)
    state = tuple(rng.normal(size=(B, H)) for _ in cell.state_names)
    return cell, cell.init(rng), rng.normal(size=(T, B, D)), state, rng.normal(size=(T, B, H))


def ours(name):
    """Return outputs (T, B, H) and the gradients of rnnlab in Keras' layout: kernels, bias, inputs, initial state."""
    cell, params, x, state, w = problem(name)
    h, _, tape = rl.unroll(cell, params, x, state if len(state) > 1 else state[0])
    back = rl.backprop(cell, params, tape, w)
    # One bias of Keras is the sum of two, so its gradient is that of either, not the sum of both.
    grads = back.params if type(cell) is rl.GRUCell else {**back.params, "bias_hh": 0 * back.params["bias_hh"]}
    d_state = back.d_state if isinstance(back.d_state, tuple) else (back.d_state,)
    return h, [*rl.to_keras(cell, grads), back.d_x, *d_state]


def of_keras(name, weights=None):
    """Return the same of Keras, whatever its backend; `weights` in place of those carried over."""
    import keras

    keras.config.set_floatx("float64")  # with dtype="float64" alone some products of the torch backend are float32
    cell, params, x, state, w = problem(name)
    kind, _, options = name.partition("(")
    layer = getattr(keras.layers, kind)(
        H, return_sequences=True, dtype="float64", **({"reset_after": False} if options else {})
    )
    layer.build((B, T, D))
    layer.set_weights(weights or rl.to_keras(cell, params))
    # Batch first: Keras has no other way.
    arrays = [x.swapaxes(0, 1), *state]
    if keras.backend.backend() == "torch":
        return with_torch(layer, arrays, w.swapaxes(0, 1))
    return with_tensorflow(layer, arrays, w.swapaxes(0, 1))


def with_torch(layer, arrays, w):
    import torch

    x, *state = (torch.tensor(array, requires_grad=True) for array in arrays)
    h = layer(x, initial_state=state)
    (h * torch.tensor(w)).sum().backward()
    grads = [*(variable.value.grad for variable in layer.trainable_weights), x.grad.transpose(0, 1)]
    return h.detach().numpy().swapaxes(0, 1), [grad.numpy() for grad in [*grads, *(one.grad for one in state)]]


def with_tensorflow(layer, arrays, w):
    import tensorflow as tf

    x, *state = (tf.Variable(array) for array in arrays)
    with tf.GradientTape() as tape:
        h = layer(tf.convert_to_tensor(x), initial_state=[tf.convert_to_tensor(one) for one in state])
        loss = tf.reduce_sum(h * w)
    d_weights, d_x, d_state = tape.gradient(loss, [[v.value for v in layer.trainable_weights], x, state])
    grads = [grad.numpy() for grad in [*d_weights, d_x, *d_state]]
    n = len(d_weights)
    return h.numpy().swapaxes(0, 1), [*grads[:n], grads[n].swapaxes(0, 1), *grads[n + 1 :]]


def gap(one, other):
    """Return the largest difference of two arrays of one shape."""
    assert one.shape == other.shape, (one.shape, other.shape)
    return float(np.abs(one - other).max())


def gaps():
    """Return, for each layer, how far outputs and gradients of Keras are from rnnlab's at most."""
    found = []
    for name in CELLS:
        (h, grads), (their_h, their_grads) = ours(name), of_keras(name)
        worst = max(gap(one, other) for one, other in zip(grads, their_grads, strict=True))
        found.append({"layer": name, "outputs": gap(h, their_h), "gradients": worst})
    return found

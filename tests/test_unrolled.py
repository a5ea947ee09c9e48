"""torch's recurrent layers step by step: the same outputs and gradients as the layers themselves, for every option."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnlab.unrolled import backward, run_cell, run_layer

EXTRA = {nn.RNN: [{}, {"nonlinearity": "relu"}], nn.LSTM: [{}, {"proj_size": 2}], nn.GRU: [{}]}
LAYERS = [
    (kind, {"num_layers": layers, "bidirectional": both, "batch_first": first, "bias": bias} | more)
    for kind, layers, both, first, bias in product(EXTRA, (1, 2), (False, True), (False, True), (False, True))
    for more in EXTRA[kind]
]


def flat(result):
    """Return all tensors of a layer's result."""
    out, state = result
    out = [pad_packed_sequence(out)[0]] if not isinstance(out, torch.Tensor) else [out]
    return [*out, *(state if isinstance(state, tuple) else [state])]


def assert_same(layer, theirs, ours, leaves):
    """Compare outputs, and gradients of a random function of them."""
    theirs, ours = flat(theirs), flat(ours)
    weights = [torch.randn_like(array) for array in theirs]
    for a, b in zip(theirs, ours, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-12)
    grads = [
        torch.autograd.grad(
            sum((a * w).sum() for a, w in zip(result, weights, strict=True)),
            leaves,
            retain_graph=True,
            allow_unused=True,
        )
        for result in (theirs, ours)
    ]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("kind", "options"), LAYERS)
@pytest.mark.parametrize("form", ["plain", "with a state", "packed", "one sequence"])
def test_every_layer_is_what_torch_computes(kind, options, form):
    torch.manual_seed(0)
    layer = kind(3, 4, **options).double()
    T, B, sides = 5, 4, options["num_layers"] * (2 if options["bidirectional"] else 1)
    x = torch.randn((B, T, 3) if options["batch_first"] else (T, B, 3), dtype=torch.double, requires_grad=True)
    state = None
    if form == "with a state":
        sizes = [options.get("proj_size", 4)] + [4] * (kind is nn.LSTM)
        state = tuple(torch.randn(sides, B, size, dtype=torch.double, requires_grad=True) for size in sizes)
        state = state if kind is nn.LSTM else state[0]
    given = x
    if form == "packed":
        lengths = torch.tensor([2, 5, 1, 4])
        given = pack_padded_sequence(x, lengths, batch_first=options["batch_first"], enforce_sorted=False)
    if form == "one sequence":
        given = x[:, 0] if not options["batch_first"] else x[0]
    records = {}
    leaves = [*layer.parameters(), x, *(state if isinstance(state, tuple) else [] if state is None else [state])]
    assert_same(layer, layer(given, state), run_layer(layer, "layer", records, given, state), leaves)
    assert len(records) == sides and all(len(record.states) == T for record in records.values())


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
@pytest.mark.parametrize("bias", [False, True])
def test_every_cell_is_what_torch_computes(kind, bias):
    torch.manual_seed(0)
    cell, x = kind(3, 4, bias=bias).double(), torch.randn(6, 5, 3, dtype=torch.double)
    theirs, ours, records = None, None, {}
    for x_t in x:
        theirs, ours = cell(x_t, theirs), run_cell(cell, "cell", records, x_t, ours)
    pairs = zip(theirs, ours, strict=True) if kind is nn.LSTMCell else [(theirs, ours)]
    for a, b in pairs:
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-12)
    assert len(records["cell"].states) == 6
    one = run_cell(cell, "one", {}, x[0, 0])
    torch.testing.assert_close(one[0] if kind is nn.LSTMCell else one, first(cell(x[0, 0])), rtol=1e-10, atol=1e-12)


def first(state):
    return state[0] if isinstance(state, tuple) else state


def test_the_flow_is_the_total_derivative():
    """Against autograd through a loop over the layer with one step at a time."""
    torch.manual_seed(0)
    layer, x, records = nn.LSTM(3, 4).double(), torch.randn(7, 2, 3, dtype=torch.double), {}
    out, _ = run_layer(layer, "layer", records, x)
    backward((out[2] ** 2).sum() + (out[-1] ** 3).sum(), records)
    state, states = None, []
    for x_t in x:
        out, state = layer(x_t[None], state)
        state[0].retain_grad()
        states.append(state[0])
    ((states[2] ** 2).sum() + (states[-1] ** 3).sum()).backward()
    torch.testing.assert_close(
        records["layer"].flow(), torch.stack([h.grad.norm() for h in states]), rtol=1e-10, atol=0
    )


def test_calls_of_one_step_continue_a_sequence_and_others_do_not():
    layer, records = nn.GRU(2, 3), {}
    state = None
    for x_t in torch.randn(4, 1, 5, 2):
        _, state = run_layer(layer, "decoder", records, x_t, state)
    assert list(records) == ["decoder"] and len(records["decoder"].states) == 4
    for _ in range(3):
        run_layer(layer, "encoder", records, torch.randn(4, 5, 2))
    assert list(records) == ["decoder", "encoder", "encoder, call 2", "encoder, call 3"]

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnlab as rl
from oracles import finite_differences, worst_gap
from problems import CELLS, all_gradients, as_arrays, names, random_problem, random_state, seeds, sizes
from rnnlab.torch_twin import TorchModel

MODULES = {"tanh": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


def as_state(arrays):
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def stack_problem(T, B, D, H, name, layers, bidirectional, seed):
    """Return a stack, its params, x, state, d_h, d_state and lengths."""
    rng = np.random.default_rng(seed)
    stack = rl.Stack(CELLS[name](D, H), layers, bidirectional)
    params = {key: rng.normal(size=shape) / 2 for key, shape in stack.shapes.items()}
    x, d_h, lengths = rng.normal(size=(T, B, D)), rng.normal(size=(T, B, stack.width)), rng.integers(1, T + 1, B)
    cells = () if stack.single else (len(stack.cells),)
    state, d_state = (random_state(stack.cell, B, seed + k, runs=cells) for k in (1, 2))
    return stack, params, x, state, d_h, d_state, lengths


@settings(max_examples=80, deadline=None)
@given(
    sizes, sizes, sizes, sizes, st.sampled_from(list(MODULES)), st.integers(1, 3), st.booleans(), st.booleans(), seeds
)
def test_stacks_and_padded_batches_match_torch(T, B, D, H, name, layers, bidirectional, padded, seed):
    stack, params, x, state, d_h, d_state, lengths = stack_problem(T, B, D, H, name, layers, bidirectional, seed)
    lengths = lengths if padded else None
    h, final, record = stack.unroll(params, x, state, lengths=lengths)
    back = stack.backprop(params, record, d_h, d_state)

    module = MODULES[name](D, H, layers, bidirectional=bidirectional).double()
    module.load_state_dict({key + "_l0" * stack.single: torch.tensor(param) for key, param in params.items()})
    inputs = torch.tensor(x, requires_grad=True)
    packed = inputs
    if padded:
        packed = torch.nn.utils.rnn.pack_padded_sequence(inputs, torch.tensor(lengths), enforce_sorted=False)
    initial = [torch.tensor(a.reshape(-1, B, H), requires_grad=True) for a in as_arrays(state).values()]
    out, last = module(packed, as_state(initial))
    if padded:
        out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, total_length=T)
    last = last if isinstance(last, tuple) else (last,)
    loss = (out * torch.tensor(d_h)).sum()
    for array, d in zip(last, as_arrays(d_state).values(), strict=True):
        loss = loss + (array * torch.tensor(d.reshape(-1, B, H))).sum()
    loss.backward()

    np.testing.assert_allclose(h, out.detach().numpy(), rtol=0, atol=1e-12)
    for ours, theirs in zip(as_arrays(final).values(), last, strict=True):
        np.testing.assert_allclose(ours.reshape(-1, B, H), theirs.detach().numpy(), rtol=0, atol=1e-12)
    grads = {key: param.grad.numpy() for key, param in module.named_parameters()}
    assert worst_gap({key + "_l0" * stack.single: grad for key, grad in back.params.items()}, grads) < 1e-10
    for ours, theirs in zip(as_arrays(back.d_state).values(), initial, strict=True):
        np.testing.assert_allclose(ours.reshape(-1, B, H), theirs.grad.numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(back.d_x, inputs.grad.numpy(), rtol=0, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, names, st.integers(1, 2), st.booleans(), st.booleans(), st.none() | st.integers(1, 4), seeds)
def test_models_match_their_twins(B, H, name, layers, bidirectional, padded, truncate, seed):
    task, rng = rl.Adding(7), np.random.default_rng(seed)
    model = rl.Model(CELLS[name](2, H), 1, rl.squared_error, layers, bidirectional)
    params, batch = model.init(rng), task.sample(rng, B)
    lengths = rng.integers(1, 8, B) if padded else None
    cells = () if model.stack.single else (len(model.stack.cells),)
    state = random_state(model.cell, B, seed, runs=cells)
    asked = np.arange(7)[:, None] < (lengths if padded else np.full(B, 7))
    batch = batch._replace(mask=asked.astype(float))
    ours, theirs = (
        m.loss_and_grads(params, batch, state, truncate, lengths=lengths) for m in (model, TorchModel(model))
    )
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-10)
    assert worst_gap(ours.grads, {key: grad.numpy() for key, grad in theirs.grads.items()}) < 1e-10
    for name in ("d_h", "d_c", "outputs", "state", "d_state"):
        if getattr(ours, name) is not None:
            pairs = zip(as_arrays(getattr(ours, name)).values(), as_arrays(getattr(theirs, name)).values(), strict=True)
            for mine, other in pairs:
                np.testing.assert_allclose(mine, other.numpy(), rtol=0, atol=1e-10, err_msg=name)


def test_a_stack_matches_finite_differences_and_a_planted_fault_is_caught():
    stack, params, x, state, d_h, _, lengths = stack_problem(5, 3, 2, 3, "lstm", 2, True, seed=0)

    def loss():
        return float((stack.unroll(params, x, state, lengths=lengths)[0] * d_h).sum())

    arrays = {**params, "x": x, **as_arrays(state)}
    reference = {name: finite_differences(loss, array) for name, array in arrays.items()}

    def gap():
        _, _, record = stack.unroll(params, x, state, lengths=lengths)
        back = stack.backprop(params, record, d_h)
        return worst_gap({**back.params, "x": back.d_x, **as_arrays(back.d_state)}, reference), record

    assert gap()[0] < 1e-6
    _, record = gap()
    record.order[...] = np.arange(5)[:, None, None]  # the second direction forgets to turn around
    back = stack.backprop(params, record, d_h)
    assert worst_gap(back.params, {name: reference[name] for name in params}) > 1e-2


@pytest.mark.parametrize("name", CELLS)
def test_what_stands_in_the_padding_does_not_matter(name):
    cell, params, x, state, d_h = random_problem(6, 3, 2, 4, name, seed=2)
    lengths = np.array([6, 1, 4])
    clean = all_gradients(cell, params, x, state, d_h, lengths=lengths)
    pad = np.arange(6)[:, None] >= lengths
    x[pad], d_h[pad] = np.nan, 1e6
    dirty = all_gradients(cell, params, x, state, d_h, lengths=lengths)
    assert worst_gap(dirty, clean) == 0
    last = tuple(a[2:] for a in state) if isinstance(state, tuple) else state[2:]
    alone = all_gradients(cell, params, x[:4, 2:], last, d_h[:4, 2:])
    np.testing.assert_allclose(dirty["x"][:4, 2:], alone["x"], rtol=0, atol=1e-12 * max(1, np.abs(alone["x"]).max()))


def test_bad_stacks():
    cell = rl.LSTMCell(2, 3)
    with pytest.raises(ValueError, match="expected layers to be a whole number of at least 1, got 0"):
        rl.Stack(cell, layers=0)
    with pytest.raises(ValueError, match="expected bidirectional to be True or False, got 2"):
        rl.Stack(cell, bidirectional=2)
    stack, params, x, state, d_h, *_ = stack_problem(4, 2, 2, 3, "lstm", 2, True, seed=0)
    with pytest.raises(ValueError, match=r"expected state of shape \(4, B, 3\), got \(2, 3\); one entry for each cell"):
        stack.unroll(params, x, tuple(array[0] for array in state))
    with pytest.raises(ValueError, match=r"expected state to be the pair \(h, c\), got a ndarray"):
        stack.unroll(params, x, state[0])
    with pytest.raises(ValueError, match=r"missing \['weight_hh_l1_reverse'\]"):
        stack.unroll({name: p for name, p in params.items() if name != "weight_hh_l1_reverse"}, x)
    _, _, record = stack.unroll(params, x)
    with pytest.raises(ValueError, match=r"expected d_h of shape \(4, 2, 6\), got \(4, 2, 3\)"):
        stack.backprop(params, record, d_h[..., :3])
    for lengths, error, message in (
        ([4], ValueError, r"expected lengths of shape \(2,\), got \(1,\)"),
        ([4, 0], ValueError, "expected lengths from 1 to 4, got 0 to 4"),
        ([4, 5], ValueError, "expected lengths from 1 to 4, got 4 to 5"),
        ([4.0, 1.0], TypeError, "expected lengths to be whole numbers, got an array of float64"),
    ):
        with pytest.raises(error, match=message):
            stack.unroll(params, x, lengths=lengths)

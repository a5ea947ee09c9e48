"""Bad input at every public door: an error that says expected, got and fix, before any work; divergence is returned.

Hypothesis draws the cell, the sizes and the fault. A fault is planted in an input that is right otherwise.
"""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl
from problems import CELLS, all_gradients, as_arrays, names, random_problem, random_state, seeds, sizes
from rnnlab.torch_twin import TorchModel

# What can be wrong with any array. `spoil` plants one.
ARRAY_FAULTS = {
    "an axis less": lambda a: a[0],
    "an axis more": lambda a: a[..., None],
    "one number more": lambda a: np.concatenate([a, a[..., :1]], axis=-1),
    "no numbers": lambda a: a[..., :0],
    "whole numbers": lambda a: a.astype(int),
    "half precision": lambda a: a.astype(np.float16),
    "the other precision": lambda a: a.astype(np.float32 if a.dtype == np.float64 else np.float64),
    "complex numbers": lambda a: a.astype(complex),
    "objects": lambda a: a.astype(object),
    "a list": lambda a: a.tolist(),
    "a word": lambda a: "x",
    "a number": lambda a: 1.0,
}
EMPTY = {"no step": lambda x: x[:0], "no sequence": lambda x: x[:, :0]}
NOT_FINITE = {"a NaN": np.nan, "infinity": np.inf, "minus infinity": -np.inf}
BAD_SIZES = [0, -1, 1.5, 2.0, True, "3", None, np.nan, [2], np.array([2])]
BAD_DTYPES = [int, np.float16, complex, object, "bogus", None, 64]
BAD_RNGS = [0, None, "seed", np.random, np.random.RandomState(0)]
BAD_LENGTHS = [[0], [-1], [99], [1.0], [True], 1, "1", [[1]], [None], [1, 1]]

array_faults = st.sampled_from(list(ARRAY_FAULTS))


def refused(call):
    """Assert that a call raises an error in the house's words."""
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert re.match(r"expected .*, got ", str(caught.value), re.DOTALL), f"{caught.type.__name__}: {caught.value}"


def spoil(array, fault, seed=0):
    """Return the array with a fault planted; the fault may be NaN or infinity at a random place."""
    if fault in NOT_FINITE:
        spoilt = array.copy()
        spoilt.flat[np.random.default_rng(seed).integers(array.size)] = NOT_FINITE[fault]
        return spoilt
    return {**ARRAY_FAULTS, **EMPTY}[fault](array)


def spoil_state(state, fault, part):
    """Return a state with the fault in one of its arrays."""
    if not isinstance(state, tuple):
        return spoil(state, fault)
    return tuple(spoil(array, fault) if index == part % len(state) else array for index, array in enumerate(state))


def model_problem(T, B, D, H, name="tanh", seed=0, loss=rl.squared_error, **options):
    """Return a model with random parameters and a random batch."""
    rng, model = np.random.default_rng(seed), rl.Model(CELLS[name](D, H), 3, loss, **options)
    y = rng.normal(size=(T, B, 3)) if loss is rl.squared_error else rng.integers(0, 3, (T, B))
    return model, model.init(rng), rl.Batch(rng.normal(size=(T, B, D)), y, np.ones((T, B)))


# ---------------------------------------------------------------- sizes, options, generators


@pytest.mark.parametrize("bad", BAD_SIZES, ids=repr)
def test_sizes(bad):
    for make in (
        *(lambda cell=cell: cell(bad, 3) for cell in CELLS.values()),
        *(lambda cell=cell: cell(2, bad) for name, cell in CELLS.items() if name != "lru"),  # which doubles
        lambda: rl.LRUCell(2, bad),
        lambda: rl.RNNCell(2, 3).with_input(bad),
        lambda: rl.Stack(rl.RNNCell(2, 3), layers=bad),
        lambda: rl.Model(rl.RNNCell(2, 3), bad, rl.squared_error),
        lambda: rl.Model(rl.RNNCell(2, 3), 1, rl.squared_error, layers=bad),
        lambda: rl.orthogonal(np.random.default_rng(0), bad),
        lambda: rl.identity(bad),
        lambda: rl.glorot(np.random.default_rng(0), (bad, 2)),
        lambda: rl.glorot(np.random.default_rng(0), (2, bad)),
        lambda: rl.sparse(np.random.default_rng(0), bad),
        lambda: rl.sparse(np.random.default_rng(0), 20, nonzeros=bad),
        lambda: rl.chrono(rl.GRUCell(2, 3), rl.GRUCell(2, 3).init(np.random.default_rng(0)), bad, None),
    ):
        refused(make)


@pytest.mark.parametrize("bad", [1, "yes", None, 0, np.True_], ids=repr)
def test_options_that_are_true_or_false(bad):
    for kind in (rl.LSTMCell, rl.PeepholeLSTMCell):
        for option in ("input_gate", "forget_gate", "output_gate", "coupled"):
            refused(lambda kind=kind, option=option: kind(2, 3, **{option: bad}))
    for kind in (rl.MinGRUCell, rl.MinLSTMCell):
        refused(lambda kind=kind: kind(2, 3, negative=bad))
    refused(lambda: rl.Stack(rl.RNNCell(2, 3), bidirectional=bad))
    refused(lambda: rl.Model(rl.RNNCell(2, 3), 1, rl.squared_error, bidirectional=bad))


@pytest.mark.parametrize("bad", ["gelu", None, 1, [], np.tanh], ids=repr)
def test_nonlinearities_and_gates(bad):
    refused(lambda: rl.RNNCell(2, 3, nonlinearity=bad))
    refused(lambda: rl.RNNCell(2, 3).rows(bad))


@pytest.mark.parametrize("bad", [None, "lstm", rl.RNNCell, rl.Model(rl.RNNCell(2, 3), 1, rl.squared_error), {}])
def test_what_is_no_cell(bad):
    _, params, x, *_ = random_problem(4, 1, 2, 3)
    for call in (
        lambda: rl.Stack(bad),
        lambda: rl.Model(bad, 1, rl.squared_error),
        lambda: rl.unroll(bad, params, x),
        lambda: rl.forget_bias(bad, params),
        lambda: rl.chrono(bad, params, 10, np.random.default_rng(0)),
        lambda: rl.step_jacobians(bad, params, x),
        lambda: rl.jacobian_products(bad, params, x),
        lambda: rl.jacobian_singular_values(bad, params, x),
        lambda: rl.lyapunov_exponents(bad, params, x),
        lambda: rl.gate_saturation(bad, params, x),
        lambda: rl.memory_norm(bad, params, x),
    ):
        refused(call)


@pytest.mark.parametrize("bad", BAD_RNGS, ids=["a seed", "nothing", "a word", "the module", "the older generator"])
def test_generators(bad):
    cell = rl.LSTMCell(2, 3)
    model = rl.Model(cell, 1, rl.squared_error)
    for draw in (
        cell.init,
        rl.Stack(cell, 2).init,
        model.init,
        TorchModel(model).init,
        lambda rng: rl.orthogonal(rng, 3),
        lambda rng: rl.glorot(rng, (3, 2)),
        lambda rng: rl.sparse(rng, 20),
        lambda rng: rl.chrono(cell, cell.init(np.random.default_rng(0)), 10, rng),
    ):
        refused(lambda draw=draw: draw(bad))


@pytest.mark.parametrize("bad", BAD_DTYPES, ids=str)
def test_dtypes(bad):
    cell, rng = rl.GRUCell(2, 3), np.random.default_rng(0)
    model = rl.Model(cell, 1, rl.squared_error)
    for draw in (
        cell.init,
        rl.Stack(cell, 2).init,
        model.init,
        TorchModel(model).init,
        lambda rng, dtype: rl.orthogonal(rng, 3, dtype),
        lambda rng, dtype: rl.glorot(rng, (3, 2), dtype),
        lambda rng, dtype: rl.sparse(rng, 20, dtype=dtype),
        lambda rng, dtype: rl.identity(3, dtype=dtype),
    ):
        refused(lambda draw=draw: draw(rng, bad))


@pytest.mark.parametrize("good", [np.float32, "float32", np.dtype("float32")], ids=str)
def test_the_three_ways_to_name_a_dtype(good):
    cell, rng = rl.RNNCell(2, 3), np.random.default_rng(0)
    drawn = [*cell.init(rng, good).values(), rl.orthogonal(rng, 3, good), rl.identity(2, dtype=good)]
    assert {array.dtype for array in drawn} == {np.dtype(np.float32)}


# ---------------------------------------------------------------- unroll and backprop


@given(T=sizes, B=sizes, D=sizes, H=sizes, name=names, seed=seeds, part=st.integers(0, 9), fault=array_faults)
def test_arrays_of_a_cell(T, B, D, H, name, seed, part, fault):
    cell, params, x, state, d_h = random_problem(T, B, D, H, name, seed)
    _, final, tape = rl.unroll(cell, params, x, state)
    which = list(params)[part % len(params)]
    refused(lambda: rl.unroll(cell, params, spoil(x, fault)))
    refused(lambda: rl.unroll(cell, params, x, spoil_state(state, fault, part)))
    refused(lambda: rl.unroll(cell, params | {which: spoil(params[which], fault)}, x))
    refused(lambda: rl.backprop(cell, params, tape, spoil(d_h, fault)))
    refused(lambda: rl.backprop(cell, params, tape, d_h, spoil_state(final, fault, part)))


@given(T=sizes, B=sizes, name=names, seed=seeds, fault=st.sampled_from([*EMPTY, *NOT_FINITE]))
def test_data_that_is_empty_or_not_finite(T, B, name, seed, fault):
    cell, params, x, *_ = random_problem(T, B, 2, 3, name, seed)
    model, drawn, batch = model_problem(T, B, 2, 3, name, seed)
    refused(lambda: rl.unroll(cell, params, spoil(x, fault, seed)))
    stack = rl.Stack(cell, 2, True)
    refused(lambda: stack.unroll(stack.init(np.random.default_rng(0)), spoil(x, fault, seed)))
    refused(lambda: model.forward(drawn, spoil(batch.x, fault, seed)))
    for change in ({"x": spoil(batch.x, fault, seed)}, {"y": spoil(batch.y, fault, seed)}):
        refused(lambda change=change: model.loss_and_grads(drawn, batch._replace(**change)))
        refused(lambda change=change: rl.gradient_flow(model, drawn, batch._replace(**change)))
    if B == 1:
        refused(lambda: rl.step_jacobians(cell, params, spoil(x, fault, seed)))
        refused(lambda: rl.lyapunov_exponents(cell, params, spoil(x, fault, seed)))


@given(T=sizes, B=sizes, name=names, bad=st.sampled_from(BAD_LENGTHS))
def test_lengths(T, B, name, bad):
    cell, params, x, *_ = random_problem(T, B, 2, 3, name)
    lengths = bad * B if isinstance(bad, list) and len(bad) == 1 and not isinstance(bad[0], list) else bad
    if lengths == [1, 1] and B == 2:
        return  # right, for once
    model, drawn, batch = model_problem(T, B, 2, 3, name, layers=2, bidirectional=True)
    refused(lambda: rl.unroll(cell, params, x, lengths=lengths))
    refused(lambda: model.loss_and_grads(drawn, batch, lengths=lengths))


@given(name=names, bad=st.sampled_from([bad for bad in BAD_SIZES if bad is not None]))
def test_truncate(name, bad):
    cell, params, x, _, d_h = random_problem(4, 2, 2, 3, name)
    _, _, tape = rl.unroll(cell, params, x)
    model, drawn, batch = model_problem(4, 2, 2, 3, name)
    refused(lambda: rl.backprop(cell, params, tape, d_h, truncate=bad))
    refused(lambda: model.loss_and_grads(drawn, batch, truncate=bad))
    refused(lambda: TorchModel(model).loss_and_grads(drawn, batch, truncate=bad))


@given(name=names, other=names)
def test_states_tapes_and_params_of_another_cell(name, other):
    cell, params, x, state, d_h = random_problem(4, 2, 2, 3, name)
    stranger, others, _, strange_state, _ = random_problem(4, 2, 2, 3, other)
    _, _, tape = rl.unroll(stranger, others, x)
    if len(stranger.state_names) != len(cell.state_names):
        refused(lambda: rl.unroll(cell, params, x, strange_state))
    if stranger.shapes != cell.shapes and not set(cell.shapes.items()) < set(stranger.shapes.items()):
        refused(lambda: rl.unroll(cell, others, x))
    if repr(stranger) != repr(cell):
        refused(lambda: rl.backprop(cell, params, tape, d_h))


@pytest.mark.parametrize("bad", [None, [], "params", [("weight_ih", 1)], {}], ids=repr)
def test_params_that_are_no_dict(bad):
    cell, params, x, *_ = random_problem(4, 1, 2, 3, "lstm")
    model, _, batch = model_problem(4, 1, 2, 3, "lstm")
    for call in (
        lambda: rl.unroll(cell, bad, x),
        lambda: rl.Stack(cell, 2).unroll(bad, x),
        lambda: model.forward(bad, batch.x),
        lambda: model.loss_and_grads(bad, batch),
        lambda: TorchModel(model).loss_and_grads(bad, batch),
        lambda: rl.forget_bias(cell, bad),
        lambda: rl.chrono(cell, bad, 10, np.random.default_rng(0)),
        lambda: rl.step_jacobians(cell, bad, x),
        lambda: rl.lyapunov_exponents(cell, bad, x),
        lambda: rl.gate_saturation(cell, bad, x),
        lambda: rl.memory_norm(cell, bad, x),
    ):
        refused(call)


@pytest.mark.parametrize("bad", [None, 3, "tape", np.ones(3)], ids=repr)
def test_what_is_no_tape_and_no_workspace(bad):
    cell, params, x, _, d_h = random_problem(4, 2, 2, 3)
    refused(lambda: rl.backprop(cell, params, bad, d_h))
    refused(lambda: rl.Stack(cell, 2).backprop(rl.Stack(cell, 2).init(np.random.default_rng(0)), bad, d_h))
    if bad is not None:
        refused(lambda: rl.unroll(cell, params, x, work=bad))


# ---------------------------------------------------------------- models, stacks, losses, the twin

BATCH_FAULTS = st.sampled_from([fault for fault in ARRAY_FAULTS if fault != "a list"])


@given(
    name=names, layers=st.integers(1, 2), both=st.booleans(), seed=seeds, fault=BATCH_FAULTS, part=st.integers(0, 99)
)
def test_arrays_of_a_model_and_its_twin(name, layers, both, seed, fault, part):
    model, params, batch = model_problem(4, 3, 2, 2, name, seed, layers=layers, bidirectional=both)
    _, state = model.forward(params, batch.x)
    which = list(params)[part % len(params)]
    for engine in (model, TorchModel(model)):
        refused(lambda e=engine: e.loss_and_grads(params, batch._replace(x=spoil(batch.x, fault))))
        refused(lambda e=engine: e.loss_and_grads(params, batch._replace(y=spoil(batch.y, fault))))
        refused(lambda e=engine: e.loss_and_grads(params, batch, state=spoil_state(state, fault, part)))
        refused(lambda e=engine: e.loss_and_grads(params | {which: spoil(params[which], fault)}, batch))
    refused(lambda: model.forward(params, spoil(batch.x, fault)))


@given(seed=seeds, fault=st.sampled_from([fault for fault in ARRAY_FAULTS if "precision" not in fault]))
def test_classes(seed, fault):
    model, params, batch = model_problem(4, 3, 2, 2, "gru", seed, loss=rl.cross_entropy)
    outputs, _ = model.forward(params, batch.x)
    if fault in ("whole numbers", "a list"):
        return  # fine for classes
    y = spoil(batch.y, fault)
    refused(lambda: rl.cross_entropy(outputs, y, batch.mask))
    refused(lambda: rl.accuracy(outputs, y, batch.mask))
    for engine in (model, TorchModel(model)):
        refused(lambda e=engine: e.loss_and_grads(params, batch._replace(y=y)))


@pytest.mark.parametrize("bad", [-1, 3, 99])
@pytest.mark.parametrize("metric", [rl.cross_entropy, rl.accuracy])
def test_classes_out_of_range(metric, bad):
    y = np.zeros((4, 2), int)
    y[1, 1] = bad
    refused(lambda: metric(np.ones((4, 2, 3)), y, np.ones((4, 2))))


@given(loss=st.sampled_from([rl.squared_error, rl.cross_entropy, rl.accuracy]), fault=array_faults)
def test_outputs(loss, fault):
    y = np.ones((4, 2, 3)) if loss is rl.squared_error else np.zeros((4, 2), int)
    if fault == "the other precision" or (fault == "one number more" and loss is not rl.squared_error):
        return  # another precision, or one class more, fits classes
    refused(lambda: loss(spoil(np.ones((4, 2, 3)), fault), y, np.ones((4, 2))))
    refused(lambda: loss(np.ones((4, 0, 3)), y[:, :0], np.ones((4, 0))))


MASKS = {
    "another shape": lambda mask: mask[:2],
    "an axis more": lambda mask: mask[..., None],
    "only zeros": lambda mask: 0 * mask,
    "a share": lambda mask: mask / 2,
    "negative": lambda mask: -mask,
    "a NaN": lambda mask: mask * np.nan,
    "a two": lambda mask: 2 * mask,
    "words": lambda mask: mask.astype(str),
    "nothing": lambda mask: None,
}


@pytest.mark.parametrize("fault", MASKS)
def test_masks(fault):
    bad = MASKS[fault](np.ones((4, 2)))
    refused(lambda: rl.squared_error(np.ones((4, 2, 3)), np.ones((4, 2, 3)), bad))
    for metric in (rl.cross_entropy, rl.accuracy):
        refused(lambda metric=metric: metric(np.ones((4, 2, 3)), np.zeros((4, 2), int), bad))
    model, params, batch = model_problem(4, 2, 2, 3)
    for engine in (model, TorchModel(model)):
        refused(lambda e=engine: e.loss_and_grads(params, batch._replace(mask=bad)))


@pytest.mark.parametrize("bad", [None, (1, 2, 3), np.ones((4, 2, 2)), {"x": 1}], ids=str)
def test_batches(bad):
    model, params, _ = model_problem(4, 2, 2, 3)
    for engine in (model, TorchModel(model)):
        refused(lambda e=engine: e.loss_and_grads(params, bad))
        refused(lambda e=engine: rl.gradient_flow(e, params, bad))


def test_models_that_are_none():
    cell, params, x, *_ = random_problem(4, 1, 2, 3)
    refused(lambda: rl.Model(cell, 1, "mse"))
    refused(lambda: TorchModel(cell))
    refused(lambda: TorchModel(rl.Model(cell, 1, lambda *_: None)))
    refused(lambda: rl.gradient_flow(cell, params, x))


def test_the_twin_takes_one_run():
    model, params, batch = model_problem(4, 2, 2, 3)
    refused(lambda: TorchModel(model).loss_and_grads({name: np.stack([p, p]) for name, p in params.items()}, batch))


# ---------------------------------------------------------------- starting values and diagnostics

MATRICES = {
    "a row": np.ones(3),
    "three axes": np.ones((2, 2, 2)),
    "empty": np.ones((0, 0)),
    "a NaN": np.array([[np.nan, 0], [0, 1]]),
    "infinity": np.array([[np.inf, 0], [0, 1]]),
    "words": np.array([["a", "b"], ["c", "d"]]),
    "nothing": None,
    "a number": 3.0,
}


@pytest.mark.parametrize("which", MATRICES)
def test_matrices(which):
    for measure in (rl.spectral_radius, rl.spectral_norm, lambda matrix: rl.scale_to_spectral_radius(matrix, 0.9)):
        refused(lambda measure=measure: measure(MATRICES[which]))
    refused(lambda: rl.spectral_radius(np.ones((2, 3))))


@pytest.mark.parametrize("bad", [np.nan, np.inf, "1", None, -1.0], ids=repr)
def test_numbers_of_starting_values(bad):
    rng, cell = np.random.default_rng(0), rl.LSTMCell(2, 3)
    refused(lambda: rl.scale_to_spectral_radius(np.eye(2), bad))
    refused(lambda: rl.sparse(rng, 20, radius=bad))
    if bad != -1.0:
        refused(lambda: rl.identity(3, scale=bad))
        refused(lambda: rl.forget_bias(cell, cell.init(rng), bad))


def test_starting_values_that_do_not_fit_the_cell():
    rng, cell = np.random.default_rng(0), rl.LSTMCell(2, 3)
    params = cell.init(rng)
    for call in (
        lambda: rl.glorot(rng, 3),
        lambda: rl.glorot(rng, (2, 3, 4)),
        lambda: rl.sparse(rng, 5, nonzeros=6),
        lambda: rl.scale_to_spectral_radius(np.zeros((2, 2)), 1.0),
        lambda: rl.forget_bias(cell, params, np.ones(2)),
        lambda: rl.forget_bias(cell, rl.RNNCell(2, 3).init(rng)),
        lambda: rl.forget_bias(rl.GRUCell(2, 3), rl.GRUCell(2, 3).init(rng)),
        lambda: rl.forget_bias(rl.LSTMCell(2, 3, forget_gate=False), params),
        lambda: rl.chrono(rl.RNNCell(2, 3), rl.RNNCell(2, 3).init(rng), 10, rng),
        lambda: rl.chrono(cell, params, 2, rng),
    ):
        refused(call)


@given(name=names, bad=st.sampled_from([-1, 0.5, "3", np.nan, True, None, 4, 99]))
def test_warmup(name, bad):
    cell, params, x, *_ = random_problem(4, 1, 2, 3, name)
    refused(lambda: rl.lyapunov_exponents(cell, params, x, warmup=bad))


@given(name=names, fault=array_faults)
def test_arrays_of_diagnostics(name, fault):
    cell, params, x, state, _ = random_problem(4, 1, 2, 3, name)
    for measure in (
        rl.step_jacobians,
        rl.jacobian_products,
        rl.jacobian_singular_values,
        rl.lyapunov_exponents,
        rl.gate_saturation,
        rl.memory_norm,
    ):
        refused(lambda measure=measure: measure(cell, params, spoil(x, fault)))
        refused(lambda measure=measure: measure(cell, params, x, spoil_state(state, fault, 0)))


@given(name=names)
def test_diagnostics_of_one_sequence_and_one_run(name):
    cell, params, x, *_ = random_problem(4, 2, 2, 3, name)
    runs = {key: np.stack([param, param]) for key, param in params.items()}
    for measure in (rl.step_jacobians, rl.jacobian_products, rl.lyapunov_exponents):
        refused(lambda measure=measure: measure(cell, params, x))
        refused(lambda measure=measure: measure(cell, runs, x[:, :1]))
    refused(lambda: rl.gate_saturation(cell, runs, x))


@pytest.mark.parametrize("closed, open", [(0.9, 0.1), (-0.1, 0.9), (0.1, 1.1), ("a", 0.9), (np.nan, 0.9), (None, None)])
def test_borders_of_saturation(closed, open):
    cell, params, x, *_ = random_problem(4, 1, 2, 3, "lstm")
    refused(lambda: rl.gate_saturation(cell, params, x, closed=closed, open=open))


# ---------------------------------------------------------------- divergence is returned


@given(name=names, bad=st.sampled_from([np.nan, np.inf]), seed=seeds)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_parameters_that_diverged_give_a_loss_that_says_so(name, bad, seed):
    model, params, batch = model_problem(4, 2, 2, 3, name, seed)
    params["weight_out"][0, 0] = bad
    out = model.loss_and_grads(params, batch)
    assert not np.isfinite(out.loss)
    assert not all(np.isfinite(grad).all() for grad in out.grads.values())
    assert not np.isfinite(rl.gradient_flow(model, params, batch)).all()


@given(name=st.sampled_from(["relu", "linear"]), seed=seeds)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_states_that_overflow_are_returned(name, seed):
    cell, params, x, *_ = random_problem(5, 2, 2, 3, name, seed)
    params = {key: np.abs(param) for key, param in params.items()} | {"weight_hh": np.full((3, 3), 1e200)}
    h, state, tape = rl.unroll(cell, params, np.abs(x))
    assert not np.isfinite(h[-1]).any() and not np.isfinite(state).any()
    assert not np.isfinite(rl.backprop(cell, params, tape, np.ones_like(h)).params["weight_hh"]).all()
    assert not np.isfinite(rl.memory_norm(cell, params, np.abs(x))[-1]).any()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_diverged(bad):
    outputs, mask = np.ones((4, 2, 3)), np.ones((4, 2))
    outputs[1, 1, 1] = bad
    assert not np.isfinite(rl.squared_error(outputs, np.ones((4, 2, 3)), mask)[0])
    assert not np.isfinite(rl.cross_entropy(outputs, np.zeros((4, 2), int), mask)[0])
    assert np.isnan(rl.accuracy(outputs, np.zeros((4, 2), int), mask)) == np.isnan(bad)


def test_one_diverged_run_leaves_the_others_alone():
    model, params, batch = model_problem(4, 2, 2, 3)
    alone = model.loss_and_grads(params, batch)
    runs = {name: np.stack([param, param]) for name, param in params.items()}
    runs["weight_hh"][1] = np.nan
    out = model.loss_and_grads(runs, batch)
    assert out.loss[0] == pytest.approx(alone.loss) and np.isnan(out.loss[1])
    for name, grad in out.grads.items():
        np.testing.assert_allclose(grad[0], alone.grads[name], rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- an interrupted call leaves nothing behind


@given(T=sizes, B=sizes, name=names, seed=seeds, at=st.integers(0, 4), where=st.sampled_from(["steps", "steps_back"]))
def test_a_workspace_survives_an_interruption(T, B, name, seed, at, where):
    """Ctrl-C arrives in the middle of a pass; the next call with the same workspace gives what a fresh one gives."""
    cell, params, x, state, d_h = random_problem(T, B, 2, 3, name, seed)
    wanted = all_gradients(cell, params, x, state, d_h)
    wanted_h = rl.unroll(cell, params, x, state)[0]
    work, steps, real = rl.Workspace(), iter(range(99)), getattr(cell, where)

    def until_then(views):
        for view in views:
            if next(steps) == at % T:
                raise KeyboardInterrupt
            yield view

    def interrupted(views, *others):
        real(until_then(views), *others)

    setattr(cell, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        _, _, tape = rl.unroll(cell, params, 2 * x, random_state(cell, B, seed + 5), work)
        rl.backprop(cell, params, tape, 3 * d_h)
    delattr(cell, where)
    h, _, tape = rl.unroll(cell, params, x, state, work)
    back = rl.backprop(cell, params, tape, d_h)
    np.testing.assert_array_equal(h, wanted_h)
    for key, array in {**back.params, "x": back.d_x, **as_arrays(back.d_state)}.items():
        np.testing.assert_array_equal(array, wanted[key])

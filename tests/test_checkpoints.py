"""Checkpoints: what comes back is what went in, and a file is complete or not there."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rnnlab as rl
from rnnlab.torch_twin import TorchModel
from test_optimizers import each, random_grads, random_params, steps

arrays = hnp.arrays(
    st.sampled_from([np.float64, np.float32, np.int64, np.bool_]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
)
leaves = arrays | st.floats() | st.integers() | st.booleans() | st.none() | st.text()
branches = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    else:
        assert a == b or (math.isnan(a) and math.isnan(b))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), branches, max_size=3))
def test_what_is_loaded_is_what_was_saved(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("trees") / "tree.npz"
    rl.save_state(path, tree)
    assert_same(rl.load_state(path), tree)


@each
@pytest.mark.parametrize("runs", [(), (3,)])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(optimizer, runs, tmp_path):
    rng = np.random.default_rng(0)
    optimizer = optimizer.scaled(np.full(runs, 0.5)) if runs else optimizer
    params = random_params(rng, runs)
    grads = [random_grads(rng, params) for _ in range(9)]
    whole = steps(optimizer, params, grads)
    params, state = steps(optimizer, params, grads[:4])
    rl.save_state(tmp_path / "run.npz", {"params": params, "optimizer": state, "rng": rng.bit_generator.state})
    ahead = rng.normal(size=3)
    back = rl.load_state(tmp_path / "run.npz")
    assert_same(steps(optimizer, back["params"], grads[4:], back["optimizer"])[0], whole[0])
    assert_same(steps(optimizer, back["params"], grads[4:], back["optimizer"])[1], whole[1])
    rng = np.random.default_rng(1)
    rng.bit_generator.state = back["rng"]
    np.testing.assert_array_equal(rng.normal(size=3), ahead)


@pytest.mark.parametrize("engine", [lambda model: model, TorchModel], ids=["numpy", "torch"])
def test_a_training_that_goes_on_after_loading(engine, tmp_path):
    model, task, optimizer = engine(rl.Model(rl.LSTMCell(2, 4), 1, rl.squared_error)), rl.Adding(5), rl.Adam(0.01)

    def walk(params, state, rng, updates):
        for _ in range(updates):
            grads, _ = rl.ClipNorm(1.0)(model.loss_and_grads(params, task.sample(rng, 4)).grads)
            params, state = optimizer.update(params, grads, state)
        return params, state

    params = model.init(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    whole, _ = walk(params, optimizer.init(params), rng, 6)
    rng = np.random.default_rng(1)
    params, state = walk(params, optimizer.init(params), rng, 3)
    rl.save_state(tmp_path / "run.npz", {"params": params, "optimizer": state})
    back = rl.load_state(tmp_path / "run.npz", as_tensor=torch.from_numpy)
    params, _ = walk(back["params"], back["optimizer"], rng, 3)
    for name, param in whole.items():
        assert type(params[name]) is type(param) and (params[name] == param).all()


def test_tensors_come_back_as_arrays_unless_a_function_turns_them(tmp_path):
    tensor = torch.arange(3.0, requires_grad=True)
    array = np.ones(2)
    for as_tensor, kind in ((None, np.ndarray), (torch.from_numpy, torch.Tensor)):
        rl.save_state(tmp_path / "run.npz", {"tensor": tensor, "array": array})
        back = rl.load_state(tmp_path / "run.npz", as_tensor)
        assert isinstance(back["tensor"], kind) and back["tensor"].tolist() == [0, 1, 2]
        assert isinstance(back["array"], np.ndarray)


@pytest.mark.parametrize("stop", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["numpy.savez", "os.fsync", "os.replace"])
def test_an_interrupted_save_leaves_the_old_file(stop, where, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    rl.save_state(path, {"update": 1})

    def stopped(*args, **settings):
        raise stop

    monkeypatch.setattr(where, stopped)
    with pytest.raises(type(stop)):
        rl.save_state(path, {"update": 2})
    monkeypatch.undo()
    assert rl.load_state(path) == {"update": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("bad", [
    {"f": print}, {"s": {1, 2}}, {"t": (1, 2)}, {1: "one"}, {"a": [{"o": np.array([print])}]}, {"d": np.dtype("f4")},
])  # fmt: skip
def test_what_cannot_be_saved(bad, tmp_path):
    with pytest.raises(TypeError, match="expected (arrays|strings)"):
        rl.save_state(tmp_path / "run.npz", bad)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_checkpoints(tmp_path):
    path = tmp_path / "run.npz"
    with pytest.raises(FileNotFoundError):
        rl.load_state(path)
    rl.save_state(path, {"w": np.arange(1000.0)})
    whole = path.read_bytes()
    for content in (b"", b"no archive", whole[:-100], whole[:2000] + b"0000" + whole[2004:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"expected a checkpoint that save_state wrote, got .*run.npz"):
            rl.load_state(path)
    np.savez(path, w=np.arange(3))
    with pytest.raises(ValueError, match="expected a checkpoint"):
        rl.load_state(path)
    np.savez(path, tree=np.array('{"format": "rnnlab checkpoint 9"}'))
    with pytest.raises(ValueError, match="reads 'rnnlab checkpoint 1'"):
        rl.load_state(path)


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "run.npz"
    np.savez(path, tree=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        rl.load_state(path)

"""What lesson 15 says and shows, asserted on its data; the record behind it is tested in test_framework_rows.py."""

from pathlib import Path

import numpy as np
import pytest

import rnnlab as rl
import tiers
from drawings import assert_lines_stay_inside
from explorables import load

# Not importorskip: importing Keras takes seconds, in every process that collects the tests.
pytestmark = pytest.mark.skipif(not tiers.installed("keras"), reason="the lesson needs Keras: pip install .[read]")

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "15_same_name_different_formula.ipynb"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(NOTEBOOK).namespace


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("kind, cell", [("LSTM", rl.LSTMCell(4, 8)), ("GRU", rl.GRUCell(4, 8))])
def test_two_gates_exchanged_are_seen(lesson, kind, cell):
    theirs, params, layer = lesson["layers"](kind)
    layer.set_weights(rl.to_keras(cell, params))
    assert lesson["gap"](theirs, layer) < 1e-12
    rolled = {name: np.roll(array, 8, axis=0) for name, array in params.items()}
    layer.set_weights(rl.to_keras(cell, rolled))
    assert lesson["gap"](theirs, layer) > 0.05


def test_the_two_gru_cells_agree_where_the_reset_gate_is_open(lesson):
    assert np.abs(np.subtract(*lesson["states"](4.0, 40.0))).max() < 1e-12
    assert np.abs(np.subtract(*lesson["states"](4.0, 8.0))).max() < 0.1
    assert np.abs(np.subtract(*lesson["states"](4.0, -8.0))).max() > 0.1  # the bias inside the reset


def test_a_closed_gate_differs_by_the_inner_bias_alone(lesson, monkeypatch):
    params = lesson["GRU_PARAMS"]
    inner = params["bias_hh"].copy()
    inner[rl.GRUCell(2, 8).rows("n")] = 0
    monkeypatch.setitem(params, "bias_hh", inner)
    assert np.abs(np.subtract(*lesson["states"](4.0, -40.0))).max() < 1e-12


# ---------------------------------------------------------------- optimizers


def test_the_figure_shows_what_was_measured(lesson):
    """The curves come from rnnlab's rules, the record from the frameworks."""
    sizes = np.array(lesson["record"]["settings"]["sizes"])
    for label, (framework, _) in lesson["LIKE"].items():
        part = "Keras on torch" if label == "Keras" else label
        for kind in lesson["NAMES"]:
            row = lesson["ROWS"][part, kind]
            for update, stored in ((1, row["first"]), (1000, row.get("later"))):
                steps = lesson["lengths"](framework, kind, "default")[update]
                at = np.exp(np.interp(np.log(sizes), np.log(lesson["SIZES"]), np.log(steps)))
                if stored:
                    np.testing.assert_allclose(at, stored, rtol=0.01)


def test_figures_of_the_literature(lesson):
    """The first step at 1e-3 and the later ones at 1e-5 and 1e-7, in learning rates."""
    of = {part: lesson["ROWS"][part, "RMSProp"] for part in lesson["SHORT"]}
    expected = {"PyTorch": (10.0, 0.999, 0.909), "Optax": (3.02, 0.0995, 0.001), "Keras on torch": (2.24, 0.0316, 3e-4)}
    for part, numbers in expected.items():
        row = of[part]
        assert (row["first"][1], *row["later"][2:]) == pytest.approx(numbers, rel=0.06)
    assert of["TensorFlow 1"]["first"][1] == pytest.approx(0.001, rel=0.06)
    assert of["Keras on torch"]["acts_like"][1] == pytest.approx(3.16e-4, rel=0.01)


@pytest.mark.parametrize("part, kind, words", [
    ("PyTorch", "RMSProp", "1e-08 beside the root"), ("Keras on torch", "RMSProp", "1e-07 under the root"),
    ("Keras on TensorFlow", "RMSProp", "1e-07 under the root"), ("Optax", "RMSProp", "1e-08 under the root"),
    ("PyTorch", "Adam", "1e-08 beside the root"), ("Keras on torch", "Adam", "1e-07 before the correction"),
    ("TensorFlow 1", "Adam", "1e-08 before the correction"), ("Optax", "Adam", "1e-08 beside the root"),
    ("Keras on torch", "AdaGrad", "1e-07, drowned by the start"), ("PyTorch", "AdaGrad", "1e-10 beside the root"),
])  # fmt: skip
def test_where_epsilon_stands(lesson, part, kind, words):
    assert lesson["epsilon"](lesson["ROWS"][part, kind]) == words


def test_where_weight_decay_acts(lesson):
    for (part, kind), row in lesson["ROWS"].items():
        if "decay" in row:
            on_weights = part.startswith("Keras") or kind == "AdamW"
            assert lesson["decay"](row) == ("on the weights" if on_weights else "in the gradient"), (part, kind)


# ---------------------------------------------------------------- a training


@pytest.mark.parametrize("seed", [1, 2])
def test_only_the_whole_translation_gives_the_same_training(lesson, seed):
    keras = lesson["in_keras"](seed, updates=60)
    differ = {stage: np.abs(lesson["in_torch"](stage, seed, updates=60) - keras).max() for stage in lesson["STAGES"]}
    assert differ.pop("+ one bias") < 1e-5
    assert min(differ.values()) > 0.01


def test_two_biases_are_counted_twice_in_a_global_norm(lesson):
    net, params = lesson["torch_net"](0, one_bias=False)
    x, y = next(lesson["batches"](0, 1))
    ((net["out"](net["rnn"](x)[0][-1]) - y) ** 2).mean().backward()
    grads = {name: param.grad for name, param in params.items()}
    alone = rl.global_norm({name: grad for name, grad in grads.items() if name != "rnn.bias_hh_l0"})
    assert rl.global_norm(grads) > 1.001 * alone


@pytest.mark.parametrize("name", ["reset", "same_name", "translated"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])

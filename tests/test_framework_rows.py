"""The record of what frameworks do under one name: measured again, every row, and equal to rnnlab's rules."""

import functools
import json

import numpy as np
import pytest

import rnnlab as rl
from evidence import EVIDENCE, script
from rnnlab.frameworks import RULES

RECORD = json.loads((EVIDENCE / "framework_rows.json").read_text(encoding="utf-8"))
PARTS = RECORD["parts"]
FRAMEWORKS = {"PyTorch": "torch", "Keras on torch": "keras", "Keras on TensorFlow": "keras", "Optax": "optax",
              "TensorFlow 1": "tensorflow"}  # fmt: skip
rows = script("framework_rows")


@functools.cache
def measured(backend):
    return rows.measured(backend)


def again(part):
    """The part, measured now in a fresh process; skips where its packages are not installed."""
    if not rows.available(part):
        pytest.skip(f"{part} is not installed: pip install .[frameworks]")
    return measured("tensorflow" if "TensorFlow" in part else "torch")[part]


def needed(part):
    """The marks of a test that measures a part again: only the environment of `make test-all` holds every framework."""
    package = "tensorflow" if "TensorFlow" in part else "optax" if part == "Optax" else None
    return [pytest.mark.needs(package)] if package else []


def each_part(*parts):
    return pytest.mark.parametrize("part", [pytest.param(part, marks=needed(part)) for part in parts])


def each_row(kind, measured=False):
    rows_of = [(part, n, row) for part in PARTS for n, row in enumerate(PARTS[part][kind])]
    every = [
        pytest.param(part, n, id=f"{part}, {row.get('name') or row['layer']}", marks=needed(part) if measured else [])
        for part, n, row in rows_of
    ]
    return pytest.mark.parametrize(("part", "n"), every)


def same(one, two, rel=1e-4):
    """Compare what JSON holds: words, lists, and numbers within `rel` of their size; infinities and NaN are equal."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key], rel) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(same(a, b, rel) for a, b in zip(one, two, strict=True))
    if isinstance(one, float) and isinstance(two, float):
        return bool(np.isclose(one, two, rtol=rel, atol=0, equal_nan=True))
    return one == two


def test_the_comparison_tells_apart():
    assert same({"a": [1.0, float("nan")]}, {"a": [1.00001, float("nan")]})
    assert not same({"a": [1.0]}, {"a": [1.001]}) and not same({"a": [1.0]}, {"b": [1.0]}) and not same(True, False)


@each_row("optimizers", measured=True)
def test_an_optimizer_does_what_the_record_says(part, n):
    """Within 1e-4: the frameworks compute in float32, and another processor rounds its 1e-7 otherwise."""
    assert same(again(part)["optimizers"][n], PARTS[part]["optimizers"][n])


@each_row("clips", measured=True)
def test_a_clip_does_what_the_record_says(part, n):
    """Within 1e-4, as above."""
    assert same(again(part)["clips"][n], PARTS[part]["clips"][n])


@each_part(*PARTS)
def test_the_record_is_of_these_versions(part):
    assert again(part)["versions"].keys() == PARTS[part]["versions"].keys()


@each_part("Keras on torch", "Keras on TensorFlow")
def test_layers_with_the_same_weights_have_the_same_outputs_and_gradients(part):
    for found in (again(part)["layers"], PARTS[part]["layers"]):
        assert len(found) == 4
        assert all(max(row["outputs"], row["gradients"]) < 1e-6 for row in found)
    exact = [row for row in PARTS[part]["layers"] if row["gradients"] < 1e-12]
    assert len(exact) == (4 if part == "Keras on TensorFlow" else 2)


# ---------------------------------------------------------------- rnnlab's rules


def rule_of(part, row):
    (rule,) = (rule for rule in RULES if (rule.framework, rule.name) == (FRAMEWORKS[part], row["name"]))
    return rule


def path_of(optimizer, row):
    """Where an optimizer of rnnlab goes on the random gradients of the record, with its rates."""
    params, path = {"w": np.ones(5)}, []
    state = optimizer.init(params)
    for grad, lr in zip(RECORD["settings"]["random"], RECORD["settings"]["rates"], strict=True):
        params, state = optimizer.scaled(lr).update(params, {"w": np.array(grad)}, state)
        path.append(params["w"])
    return np.array(path)


@each_row("optimizers")
def test_rnnlab_goes_the_same_way(part, n):
    row = PARTS[part]["optimizers"][n]
    ours = path_of(rl.as_in(FRAMEWORKS[part], row["name"], lr=1.0), row)
    # TensorFlow's kernels take settings such as 0.9 in float32, and NAdam keeps a product in it.
    bound = 1e-5 if "TensorFlow" in part else 1e-7 if row["kind"] == "NAdam" else 1e-10
    assert np.abs(ours - row["path"]).max() < bound * np.abs(np.array(row["path"]) - 1).max()


@each_row("optimizers")
def test_a_rule_has_the_defaults_of_the_framework(part, n):
    row, rule = PARTS[part]["optimizers"][n], rule_of(part, PARTS[part]["optimizers"][n])
    assert rule.settings.get("lr") == row["lr"]
    ours = rl.as_in(FRAMEWORKS[part], row["name"], **({} if row["lr"] else {"lr": 1.0}))
    theirs = row["settings"]
    if "betas" in theirs:
        theirs = {**theirs, "beta1": theirs["betas"][0], "beta2": theirs["betas"][1]}
    spelled = {"eps": ("eps", "epsilon"), "alpha": ("alpha", "rho", "decay"), "beta1": ("beta1", "beta_1", "b1"),
               "beta2": ("beta2", "beta_2", "b2"), "momentum": ("momentum",), "momentum_decay": ("momentum_decay",),
               "initial_accumulator": ("initial_accumulator_value",)}  # fmt: skip
    for name, words in spelled.items():
        for word in words:
            if word in theirs and hasattr(ours, name):
                assert getattr(ours, name) == theirs[word], (name, word)
    if row["kind"] == "AdamW":
        assert ours.weight_decay == theirs["weight_decay"]


@pytest.mark.parametrize("part", PARTS)
def test_another_frameworks_rule_goes_another_way(part):
    """The planted fault: with the same name and rate, the rule of one framework is not that of another."""
    row = next(row for row in PARTS[part]["optimizers"] if row["kind"] == "RMSProp")
    others = {"torch": "RMSprop", "keras": "RMSprop", "optax": "rmsprop", "tensorflow": "RMSPropOptimizer"}
    for framework, name in others.items():
        ours = path_of(rl.as_in(framework, name, lr=1.0), row)
        differ = np.abs(ours - row["path"]).max() / np.abs(np.array(row["path"]) - 1).max()
        assert (differ < 1e-5) == (framework == FRAMEWORKS[part]), framework


@each_row("clips")
def test_rnnlab_clips_the_same_way(part, n):
    row = PARTS[part]["clips"][n]
    rule = rule_of(part, row)
    name = "max_norm" if "norm" in row["name"] else "max_value"
    clipped, _ = rl.as_in(FRAMEWORKS[part], row["name"], **{name: row["limit"]})(
        {"a": np.array([3.0, 4.0]), "b": np.array([0.5])}
    )
    for key in "ab":
        np.testing.assert_allclose(clipped[key], row["clipped"][key], rtol=2e-6)
    kept = {bad: [row[bad]["a"][1], *row[bad]["b"]] for bad in ("inf", "nan")}
    if rule.not_finite.startswith("infinities are cut"):
        assert row["inf"]["a"][0] == row["limit"] and np.isnan(row["nan"]["a"][0])
        assert kept["inf"] == kept["nan"] == [row["limit"], 0.5]
    elif rule.not_finite == "all become NaN":
        assert np.isnan([*kept["inf"], *kept["nan"]]).all()
    elif rule.not_finite.endswith("of that parameter"):
        assert kept["inf"] == [0, 0.5] and np.isnan(kept["nan"][0]) and kept["nan"][1] == 0.5
    else:
        assert kept["inf"] == [0, 0] and np.isnan(kept["nan"]).all()

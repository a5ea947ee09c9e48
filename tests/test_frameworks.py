"""What frameworks mean by the same name: equal to torch always, to Keras, Optax and schedulefree where installed."""

import os
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnlab as rl
from rnnlab.frameworks import RULES
from test_optimizers import gap, random_grads, random_params, steps, torch_steps

seeds = st.integers(0, 10**6)
scales = st.sampled_from([1e-8, 1e-4, 1.0, 100.0])
PINNED = {"keras": "keras==3.15.1", "optax": "optax==0.2.8", "schedulefree": "schedulefree==1.4.1"}
few = settings(max_examples=30, deadline=None)  # both frameworks take milliseconds for an update

OPTIMIZERS = [rule for rule in RULES if "clip" not in rule.name]
# Those of TensorFlow run in a process of their own: test_framework_rows.py.
CLIPS = [rule for rule in RULES if "clip" in rule.name and rule.framework != "tensorflow"]


def named(rules, framework=None):
    """Each of these rules, or those of one framework."""
    chosen = [rule for rule in rules if framework in (None, rule.framework)]
    return pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.name, marks=needed(rule)) for rule in chosen])


def needed(rule):
    """The marks of a test that runs the framework of a rule: Optax is in the environment of `make test-all` only."""
    return [pytest.mark.needs("optax")] if rule.framework == "optax" else []


def with_settings(framework):
    """Each optimizer of a framework, with each of the settings that change its rule: momentum and centering."""
    cases = []
    for rule in [rule for rule in OPTIMIZERS if rule.framework == framework]:
        choices = {"rmsprop": [(m, c) for m in (0.0, 0.9) for c in (False, True)], "sgd": [(0.0, None), (0.9, None)]}
        for momentum, centered in choices.get(rule.name.lower(), [(None, None)]):
            own = {} if momentum is None else {"momentum": momentum}
            own |= {"centered": centered} if centered is not None else {"nesterov": momentum > 0} if own else {}
            name = "-".join([rule.name, *(f"{key} {value}" for key, value in own.items())])
            cases.append(pytest.param(rule, own, id=name, marks=needed(rule)))
    return pytest.mark.parametrize(("rule", "own"), cases)


def installed(name):
    return pytest.importorskip(name, reason=f"the comparison needs {name}: pip install {PINNED[name]}")


@pytest.fixture
def keras(monkeypatch):
    """Keras on torch, in float64."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    keras = installed("keras")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    for name in ("maximum", "minimum"):  # which Keras on torch takes in float32 whatever comes
        pair = getattr(torch, name)
        monkeypatch.setattr(f"keras.src.ops.{name}", lambda a, b, pair=pair: pair(a, torch.as_tensor(b, dtype=a.dtype)))
    yield keras
    keras.config.set_floatx(before)


@pytest.fixture
def optax():
    optax = installed("optax")
    jax = sys.modules["jax"]
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield optax
    jax.config.update("jax_enable_x64", before)


def problem(seed, scale, updates=6):
    rng = np.random.default_rng(seed)
    params = random_params(rng)
    return params, [random_grads(rng, params, scale) for _ in range(updates)]


def keras_steps(optimizer, params, grads_of_updates):
    keras = sys.modules["keras"]
    variables = {name: keras.Variable(param, dtype="float64") for name, param in params.items()}
    for grads in grads_of_updates:
        tensors = [torch.tensor(grads[name]) for name in variables]
        optimizer.apply(tensors, list(variables.values()))
    return {name: variable.numpy() for name, variable in variables.items()}


def optax_steps(transform, params, grads_of_updates):
    state = transform.init(params)
    for grads in grads_of_updates:
        steps, state = transform.update(grads, state, params)
        params = {name: param + np.asarray(steps[name]) for name, param in params.items()}
    return params


# ---------------------------------------------------------------- optimizers


@named(OPTIMIZERS, "torch")
@given(seeds, scales)
def test_torch_optimizers(rule, seed, scale):
    params, grads = problem(seed, scale)
    theirs = torch_steps(getattr(torch.optim, rule.name), params, grads)
    bound = 1e-7 if rule.name == "NAdam" else 1e-10  # torch keeps its product of momenta in float32
    assert gap(steps(rl.as_in("torch", rule.name), params, grads)[0], theirs) < bound


@with_settings("keras")
def test_keras_optimizers(keras, rule, own):
    @few
    @given(seeds, scales)
    def check(seed, scale):
        params, grads = problem(seed, scale)
        theirs = keras_steps(getattr(keras.optimizers, rule.name)(**own), params, grads)
        assert gap(steps(rl.as_in("keras", rule.name, **own), params, grads)[0], theirs) < 1e-10

    check()


@with_settings("optax")
def test_optax_optimizers(optax, rule, own):
    @few
    @given(seeds, scales)
    def check(seed, scale):
        params, grads = problem(seed, scale)
        theirs = optax_steps(getattr(optax, rule.name)(0.01, **own), params, grads)
        assert gap(steps(rl.as_in("optax", rule.name, lr=0.01, **own), params, grads)[0], theirs) < 1e-10

    check()


@pytest.mark.parametrize(("framework", "name", "torchs"), [
    ("keras", "RMSprop", "RMSprop"), ("keras", "Adagrad", "Adagrad"), ("keras", "Adam", "Adam"),
    ("tensorflow", "RMSPropOptimizer", "RMSprop"), ("tensorflow", "AdamOptimizer", "Adam"),
    ("optax", "rmsprop", "RMSprop"), ("optax", "adagrad", "Adagrad"),
])  # fmt: skip
def test_the_comparison_tells_rules_apart(framework, name, torchs):
    params, grads = problem(0, 1e-3)
    theirs = torch_steps(lambda ps: getattr(torch.optim, torchs)(ps, lr=0.01), params, grads)
    assert gap(steps(rl.as_in("torch", torchs, lr=0.01), params, grads)[0], theirs) < 1e-10
    assert gap(steps(rl.as_in(framework, name, lr=0.01), params, grads)[0], theirs) > 1e-6


RATES = [0.01, 0.01, 0.001, 0.001, 0.1, 0.1]


def test_a_change_of_rate_under_momentum_in_keras(keras):
    params, grads = problem(0, 1.0)
    reference = keras.optimizers.RMSprop(0.01, momentum=0.9)
    variable = keras.Variable(params["weight_ih"], dtype="float64")
    ours, optimizer = {"w": params["weight_ih"]}, rl.as_in("keras", "RMSprop", lr=1.0, momentum=0.9)
    state = optimizer.init(ours)
    for lr, grad in zip(RATES, grads, strict=True):
        reference.learning_rate = lr
        reference.apply([torch.tensor(grad["weight_ih"])], [variable])
        ours, state = optimizer.scaled(lr).update(ours, {"w": grad["weight_ih"]}, state)
    assert gap(ours, {"w": variable.numpy()}) < 1e-10


@pytest.mark.needs("optax")
def test_a_change_of_rate_under_momentum_in_optax(optax):
    params, grads = problem(0, 1.0)
    transform = optax.rmsprop(lambda count: sys.modules["jax"].numpy.array(RATES)[count], momentum=0.9)
    theirs = optax_steps(transform, params, grads)
    ours, optimizer = params, rl.as_in("optax", "rmsprop", lr=1.0, momentum=0.9)
    state = optimizer.init(ours)
    for lr, grad in zip(RATES, grads, strict=True):
        ours, state = optimizer.scaled(lr).update(ours, grad, state)
    assert gap(ours, theirs) < 1e-10


def rmsprop_with_inner_eps(w, grads, lrs, decay, eps, momentum):
    v = b = 0.0
    for g, lr in zip(grads, lrs, strict=True):
        v = decay * v + (1 - decay) * g**2
        b = momentum * b + lr * g / np.sqrt(v + eps)
        w = w - b
    return w


def adagrad_from_a_tenth(w, grads, lrs):
    for t, lr in enumerate(lrs, 1):
        w = w - lr * grads[t - 1] / np.sqrt(0.1 + np.sum(np.square(grads[:t])) + 1e-7)
    return w


def adam_with_eps_hat(w, grads, lrs):
    for t, lr in enumerate(lrs, 1):
        age = np.arange(t)[::-1]
        m, v = 0.1 * np.sum(0.9**age * grads[:t]), 0.001 * np.sum(0.999**age * np.square(grads[:t]))
        w = w - lr * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
    return w


@pytest.mark.parametrize(("optimizer", "loop"), [
    (rl.as_in("keras", "RMSprop", lr=1.0), lambda *run: rmsprop_with_inner_eps(*run, 0.9, 1e-7, 0.0)),
    (rl.as_in("keras", "RMSprop", lr=1.0, momentum=0.8), lambda *run: rmsprop_with_inner_eps(*run, 0.9, 1e-7, 0.8)),
    (rl.as_in("optax", "rmsprop", lr=1.0, momentum=0.8), lambda *run: rmsprop_with_inner_eps(*run, 0.9, 1e-8, 0.8)),
    (rl.as_in("keras", "Adagrad", lr=1.0), adagrad_from_a_tenth),
    (rl.as_in("optax", "adagrad", lr=1.0), adagrad_from_a_tenth),
    (rl.as_in("keras", "Adam", lr=1.0), adam_with_eps_hat),
])  # fmt: skip
@given(scales, st.lists(st.floats(1e-4, 1), min_size=6, max_size=6), seeds)
def test_the_rules_are_the_printed_equations(optimizer, loop, scale, rates, seed):
    """The frameworks need not be at hand: their equations in textbook loops, with a rate that changes."""
    grads = scale * np.random.default_rng(seed).normal(size=6)
    params = {"w": np.array([0.5])}
    state = optimizer.init(params)
    for lr, g in zip(rates, grads, strict=True):
        params, state = optimizer.scaled(lr).update(params, {"w": np.array([g])}, state)
    expected = loop(0.5, grads, rates)
    assert params["w"][0] - 0.5 == pytest.approx(expected - 0.5, rel=1e-9, abs=1e-14)


def step_length(optimizer, gradient, updates):
    """The last step in units of lr, on a constant gradient."""
    w, state = {"w": np.zeros(1)}, optimizer.init({"w": np.zeros(1)})
    for _ in range(updates):
        before = w["w"][0]
        w, state = optimizer.update(w, {"w": np.array([gradient])}, state)
    return (before - w["w"][0]) / optimizer.lr


def test_first_steps_at_a_gradient_of_a_thousandth():
    rules = {
        "torch": (rl.as_in("torch", "RMSprop"), 10.0),
        "optax": (rl.as_in("optax", "rmsprop", lr=1e-2), 3.02),
        "keras": (rl.as_in("keras", "RMSprop"), 2.24),
        "ones at the start, as in TensorFlow 1": (
            rl.RMSProp(alpha=0.9, eps=1e-10, eps_inside_root=True, initial_accumulator=1.0),
            0.001,
        ),
    }
    for name, (optimizer, length) in rules.items():
        assert step_length(optimizer, 1e-3, 1) == pytest.approx(length, rel=0.06), name


def test_a_vanished_gradient_is_rescaled_by_torch_and_not_by_keras():
    lengths = {}
    for gradient in (1e-5, 1e-7):
        for framework, name in (("torch", "RMSprop"), ("optax", "rmsprop"), ("keras", "RMSprop")):
            lengths[framework, gradient] = step_length(rl.as_in(framework, name, lr=1e-3), gradient, 3000)
    assert lengths["torch", 1e-5] == pytest.approx(0.999, abs=1e-3)
    assert lengths["optax", 1e-5] == pytest.approx(0.0995, abs=1e-4)
    assert lengths["keras", 1e-5] == pytest.approx(0.0316, abs=1e-4)
    assert lengths["torch", 1e-7] == pytest.approx(1 / 1.1, rel=1e-6)
    assert lengths["keras", 1e-7] == pytest.approx(1e-7 / np.sqrt(1e-14 + 1e-7), rel=1e-6)
    assert round(lengths["torch", 1e-7] / lengths["keras", 1e-7], -3) == 3000


# ---------------------------------------------------------------- clips


LIMIT = {"max_norm": 0.7, "max_value": 0.3, "clipping": 0.2}


def limited(rule):
    """A clip of a row with some threshold, and the threshold."""
    name = next(name for name in LIMIT if name in rule.make.__dataclass_fields__)
    return rl.as_in(rule.framework, rule.name, **{name: LIMIT[name]}), LIMIT[name]


def torch_clip(rule, limit, grads):
    params = [torch.nn.Parameter(torch.zeros(grad.shape, dtype=torch.double)) for grad in grads.values()]
    for param, grad in zip(params, grads.values(), strict=True):
        param.grad = torch.tensor(grad)
    getattr(torch.nn.utils, rule.name)(params, limit)
    return {name: param.grad.numpy() for name, param in zip(grads, params, strict=True)}


def keras_clip(keras, rule, limit, grads):
    """Keras clips inside its optimizers: plain SGD with lr 1 steps by the clipped gradient."""
    zeros = {name: np.zeros_like(grad) for name, grad in grads.items()}
    moved = keras_steps(keras.optimizers.SGD(1.0, **{rule.name: limit}), zeros, [grads])
    return {name: -param for name, param in moved.items()}


def optax_clip(optax, rule, limit, grads, params):
    transform = getattr(optax, rule.name)(limit)
    clipped, _ = transform.update(grads, transform.init(params), params)
    return {name: np.asarray(grad) for name, grad in clipped.items()}


@named(CLIPS, "torch")
@given(seeds, scales)
def test_torch_clips(rule, seed, scale):
    params, (grads, *_) = problem(seed, scale)
    clip, limit = limited(rule)
    assert gap(clip.update(grads, params, clip.init())[0], torch_clip(rule, limit, grads)) < 1e-12


@named(CLIPS, "keras")
def test_keras_clips(keras, rule):
    @few
    @given(seeds, scales)
    def check(seed, scale):
        params, (grads, *_) = problem(seed, scale)
        clip, limit = limited(rule)
        assert gap(clip.update(grads, params, clip.init())[0], keras_clip(keras, rule, limit, grads)) < 1e-12

    check()


@named(CLIPS, "optax")
def test_optax_clips(optax, rule):
    @few
    @given(seeds, scales)
    def check(seed, scale):
        params, (grads, *_) = problem(seed, scale)
        clip, limit = limited(rule)
        theirs = optax_clip(optax, rule, limit, grads, params)
        assert gap(clip.update(grads, params, clip.init())[0], theirs) < 1e-12

    check()


def what_becomes(before, after):
    """The words of the table for what a clip did to the finite entries of a gradient that is not finite."""
    finite = np.concatenate([after[name][np.isfinite(before[name])] for name in before])
    if np.isnan(finite).all():
        return "NaN"
    if np.isin(finite, 0).all():
        return "0"
    return "kept"


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@named(CLIPS)
def test_gradients_that_are_not_finite(rule, bad, request):
    """What the table says of each framework; rnnlab's clips by norm leave them as they came."""
    grads, params = {"w": np.array([[1.0, -2.0], [3.0, 4.0]])}, {"w": np.ones((2, 2))}
    grads["w"][0, 0] = bad
    clip, limit = limited(rule)
    if rule.framework == "torch":
        theirs = torch_clip(rule, limit, grads)
    elif rule.framework == "keras":
        theirs = keras_clip(request.getfixturevalue("keras"), rule, limit, grads)
    else:
        theirs = optax_clip(request.getfixturevalue("optax"), rule, limit, grads, params)
    if rule.not_finite == "infinities are cut, NaN stays":
        assert theirs["w"][0, 0] == limit if bad == np.inf else np.isnan(theirs["w"][0, 0])
    elif rule.not_finite == "all become NaN":
        assert np.isnan(theirs["w"]).all()
    elif rule.not_finite.endswith("of that unit"):
        assert what_becomes({"w": grads["w"][:, :1]}, {"w": theirs["w"][:, :1]}) == ("0" if bad == np.inf else "NaN")
        assert np.isfinite(theirs["w"][:, 1]).all()
    else:
        assert what_becomes(grads, theirs) == ("0" if bad == np.inf else "NaN")
    if rule.make is rl.ClipNorm:
        np.testing.assert_array_equal(clip(grads)[0]["w"], grads["w"])


def test_keras_two_norms_differ():
    """The planted fault of the table: the clips that share a word are not the same."""
    _, (grads, *_) = problem(0, 1.0)
    each, whole = (rl.as_in("keras", name, max_norm=1.0)(grads)[0] for name in ("clipnorm", "global_clipnorm"))
    assert gap(each, whole) > 0.1
    torchs = rl.as_in("torch", "clip_grad_norm_", max_norm=1.0)(grads)[0]
    assert 1e-8 < gap(torchs, whole) < 1e-6


def test_schedule_free_equals_its_package():
    schedulefree = installed("schedulefree")

    @few
    @given(seeds, st.floats(1e-3, 1), st.floats(0.1, 0.99), st.floats(0, 0.1), st.booleans())
    def check(seed, lr, beta1, decay, adaptive):
        params, grads = problem(seed, 1.0, updates=8)
        theirs = {name: torch.nn.Parameter(torch.tensor(param)) for name, param in params.items()}
        if adaptive:
            reference = schedulefree.AdamWScheduleFree(theirs.values(), lr, (beta1, 0.999), weight_decay=decay)
        else:
            reference = schedulefree.SGDScheduleFree(theirs.values(), lr, beta1, weight_decay=decay)
        reference.train()
        for each_grads in grads:
            for name, param in theirs.items():
                param.grad = torch.tensor(each_grads[name])
            reference.step()
        optimizer = rl.ScheduleFree(lr, beta1, 0.999 if adaptive else None, weight_decay=decay)
        moved, state = steps(optimizer, params, grads)
        assert gap(moved, {name: param.detach().numpy() for name, param in theirs.items()}) < 1e-10
        reference.eval()
        averaged = {name: param.detach().numpy() for name, param in theirs.items()}
        assert gap(optimizer.evaluation_params(moved, state), averaged) < 1e-10

    check()
    defaults = schedulefree.AdamWScheduleFree([torch.nn.Parameter(torch.zeros(1))]).defaults
    ours = rl.ScheduleFree()
    assert (ours.lr, (ours.beta1, ours.beta2), ours.eps) == (defaults["lr"], defaults["betas"], defaults["eps"])


# ---------------------------------------------------------------- the table


def test_the_table():
    keys = [(rule.framework, rule.name) for rule in RULES]
    assert len(set(keys)) == len(keys) and all(rule.equation for rule in RULES)
    assert all(bool(rule.not_finite) == ("clip" in rule.name) for rule in RULES)


def test_bad_names():
    with pytest.raises(ValueError, match=r"expected one of torch RMSprop, .*, got keras clip_grad_norm_"):
        rl.as_in("keras", "clip_grad_norm_")
    with pytest.raises(TypeError, match="expected lr=: rmsprop of Optax has no default for it"):
        rl.as_in("optax", "rmsprop")
    with pytest.raises(TypeError, match="max_norm"):
        rl.as_in("optax", "clip_by_global_norm")

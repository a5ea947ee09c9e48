"""Optimizers: equal to torch.optim over random settings, to textbook loops where torch has none, to closed forms."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl
from rnnlab.adams import moments
from rnnlab.newer_optimizers import orthogonalize

rates = st.floats(1e-4, 1)
betas = st.floats(0, 0.999)
epsilons = st.sampled_from([1e-10, 1e-8, 1e-3])
seeds = st.integers(0, 10**6)
flags = st.booleans()

ALL = [
    rl.SGD(0.1), rl.SGD(0.1, momentum=0.9), rl.SGD(0.1, momentum=0.9, nesterov=True), rl.AdaGrad(0.1), rl.RMSProp(0.1),
    rl.RMSProp(0.1, momentum=0.9, centered=True, initial_accumulator=1.0), rl.Adadelta(), rl.Adam(0.1),
    rl.Adam(0.1, bias_correction=False), rl.AdamW(0.1), rl.AMSGrad(0.1), rl.NAdam(0.1), rl.RAdam(0.1, beta2=0.9),
    rl.Lion(0.1, weight_decay=0.1), rl.Muon(0.1), rl.Muon(0.1, others=rl.SGD(0.1, momentum=0.9)), rl.ScheduleFree(0.1),
    rl.ScheduleFree(0.1, beta2=None, weight_decay=0.1),
]  # fmt: skip
each = pytest.mark.parametrize("optimizer", ALL, ids=lambda optimizer: type(optimizer).__name__)


def random_params(rng, runs=(), dtype=np.float64):
    shapes = {"weight_ih": (4, 2), "weight_hh": (3, 3), "bias_hh": (3,)}
    return {name: rng.normal(size=(*runs, *shape)).astype(dtype) for name, shape in shapes.items()}


def random_grads(rng, params, scale=1.0):
    return {name: scale * rng.normal(size=param.shape).astype(param.dtype) for name, param in params.items()}


def steps(optimizer, params, grads_of_updates, state=None):
    state = optimizer.init(params) if state is None else state
    for grads in grads_of_updates:
        params, state = optimizer.update(params, grads, state)
    return params, state


def torch_steps(make, params, grads_of_updates):
    theirs = {name: torch.nn.Parameter(torch.tensor(param)) for name, param in params.items()}
    reference = make(list(theirs.values()))
    for grads in grads_of_updates:
        for name, param in theirs.items():
            param.grad = torch.tensor(grads[name])
        reference.step()
    return {name: param.detach().numpy() for name, param in theirs.items()}


def gap(ours, theirs):
    """The largest difference, in units of the largest entry but at least of 1."""
    assert ours.keys() == theirs.keys()
    largest = max(1, *(np.abs(array).max() for array in theirs.values()))
    return max(np.abs(ours[name] - theirs[name]).max() for name in ours) / largest


def torch_gap(optimizer, make, seed, updates=8):
    """How far an optimizer ends from torch's on the same random gradients, some large and some small."""
    rng = np.random.default_rng(seed)
    params = random_params(rng)
    grads = [random_grads(rng, params, 10.0 ** rng.integers(-4, 3)) for _ in range(updates)]
    return gap(steps(optimizer, params, grads)[0], torch_steps(make, params, grads))


# ---------------------------------------------------------------- equal to torch.optim


@given(rates, st.sampled_from([0.0, 0.5, 0.9]), flags, seeds)
def test_sgd_equals_torch(lr, momentum, nesterov, seed):
    nesterov = nesterov and momentum > 0
    make = lambda params: torch.optim.SGD(params, lr=lr, momentum=momentum, nesterov=nesterov)  # noqa: E731
    assert torch_gap(rl.SGD(lr, momentum, nesterov), make, seed) < 1e-12


@given(rates, epsilons, st.sampled_from([0.0, 0.1]), seeds)
def test_adagrad_equals_torch(lr, eps, start, seed):
    make = lambda params: torch.optim.Adagrad(params, lr=lr, eps=eps, initial_accumulator_value=start)  # noqa: E731
    assert torch_gap(rl.AdaGrad(lr, eps, start), make, seed) < 1e-10


@given(rates, betas, epsilons, st.sampled_from([0.0, 0.9]), flags, seeds)
def test_rmsprop_equals_torch(lr, alpha, eps, momentum, centered, seed):
    settings = {"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum, "centered": centered}
    # With alpha near 0 and centered, v - m^2 is the rest of two equal numbers: no two programs agree on it.
    if not (centered and alpha < 0.05):
        assert torch_gap(rl.RMSProp(**settings), lambda params: torch.optim.RMSprop(params, **settings), seed) < 1e-10


@given(rates, betas, epsilons, seeds)
def test_adadelta_equals_torch(lr, rho, eps, seed):
    settings = {"lr": lr, "rho": rho, "eps": eps}
    assert torch_gap(rl.Adadelta(**settings), lambda params: torch.optim.Adadelta(params, **settings), seed) < 1e-10


ADAMS = {
    rl.Adam: torch.optim.Adam,
    rl.AdamW: torch.optim.AdamW,
    rl.AMSGrad: lambda params, **settings: torch.optim.Adam(params, amsgrad=True, **settings),
    rl.NAdam: torch.optim.NAdam,
    rl.RAdam: torch.optim.RAdam,
}


@pytest.fixture(scope="module", autouse=True)
def double_precision():
    """torch.optim.NAdam keeps the product of its momenta in the default dtype, and float32 would be good to 1e-8."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("adam", ADAMS, ids=lambda adam: adam.__name__)
@given(rates, betas, betas, epsilons, seeds)
def test_adams_equal_torch(adam, lr, beta1, beta2, eps, seed):
    def make(params):
        return ADAMS[adam](params, lr=lr, betas=(beta1, beta2), eps=eps)

    assert torch_gap(adam(lr=lr, beta1=beta1, beta2=beta2, eps=eps), make, seed) < 1e-10


@given(rates, st.floats(0, 0.5), flags, seeds)
def test_own_settings_of_adamw_and_nadam_equal_torch(lr, decay, is_adamw, seed):
    if is_adamw:
        ours, make = rl.AdamW(lr, weight_decay=decay), lambda ps: torch.optim.AdamW(ps, lr=lr, weight_decay=decay)
    else:
        ours, make = rl.NAdam(lr, momentum_decay=decay), lambda ps: torch.optim.NAdam(ps, lr=lr, momentum_decay=decay)
    assert torch_gap(ours, make, seed, updates=20) < 1e-10


@given(rates, st.floats(0, 0.5), st.floats(0, 0.99), flags, st.integers(1, 7), seeds)
def test_muon_equals_torch(lr, decay, momentum, nesterov, ns_steps, seed):
    settings = {"lr": lr, "weight_decay": decay, "momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps}
    rng = np.random.default_rng(seed)
    params = {f"weight_hh_{shape}": rng.normal(size=shape) for shape in [(3, 3), (6, 2), (2, 5)]}
    grads = [random_grads(rng, params) for _ in range(6)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.Tensor, "bfloat16", lambda tensor: tensor.clone()
        )  # torch iterates in bfloat16, good to two digits
        theirs = torch_steps(lambda ps: torch.optim.Muon(ps, **settings), params, grads)
    assert gap(steps(rl.Muon(**settings), params, grads)[0], theirs) < 1e-10


def test_defaults_are_those_of_torch():
    names = {rl.SGD: "SGD", rl.AdaGrad: "Adagrad", rl.RMSProp: "RMSprop", rl.AMSGrad: "Adam"}
    for ours in [rl.Adadelta, rl.Adam, rl.AdamW, rl.NAdam, rl.RAdam, rl.Muon, *names]:
        name = names.get(ours, ours.__name__)
        theirs = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(2, 2))]).defaults
        theirs = dict(theirs) | dict(zip(("beta1", "beta2"), theirs.get("betas", ()), strict=False))
        theirs["initial_accumulator"] = theirs.get("initial_accumulator_value", 0)
        shared = {setting.name for setting in dataclasses.fields(ours)} & theirs.keys()
        assert {"lr"} < shared
        assert {key: getattr(ours(), key) for key in shared} == {key: theirs[key] for key in shared}, name


# ---------------------------------------------------------------- the oracle catches


class LateCount(rl.Adam):
    """Bias correction with t one too large."""

    def _count(self, state):
        return {"t": state["t"] + 2 if state["t"] == 0 else state["t"] + 1}


class InsideRoot(rl.Adam):
    """Epsilon inside the root."""

    def _step(self, w, lr, t, m, v):
        return w - lr / (1 - self.beta1**t) * m / (v / (1 - self.beta2**t) + self.eps) ** 0.5


class SwappedMoments(rl.Adam):
    """The step is taken with the old mean."""

    def _move(self, w, g, lr, now, m, v):
        new_m, v = moments(self, g, m, v)
        return self._step(w, lr, now["t"], m, v), {"m": new_m, "v": v}


class CoupledDecay(rl.AdamW):
    """The decay goes through the gradient."""

    def _move(self, w, g, lr, now, m, v):
        m, v = moments(self, g + self.weight_decay * w, m, v)
        return rl.Adam._step(self, w, lr, now["t"], m, v), {"m": m, "v": v}


class CorrectedMaximum(rl.AMSGrad):
    """The maximum is taken after the bias correction."""

    def _move(self, w, g, lr, now, m, v, v_max):
        m, v = moments(self, g, m, v)
        c2 = 1 - self.beta2 ** now["t"]
        v_max = v_max.clip(v / c2)
        return self._step(w, lr, now["t"], m, v_max * c2), {"m": m, "v": v, "v_max": v_max}


class EarlyRectifier(rl.RAdam):
    """It trusts the second moment at once."""

    def _move(self, w, g, lr, now, m, v):
        return super()._move(w, g, lr, {"t": now["t"] + 6}, m, v)


@pytest.mark.parametrize(("fault", "make"), [
    (rl.SGD(0.1, 0.9, nesterov=True), lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9)),
    (rl.AdaGrad(0.1, 1e-8, eps_inside_root=True), lambda ps: torch.optim.Adagrad(ps, lr=0.1, eps=1e-8)),
    (rl.AdaGrad(0.1, initial_accumulator=1e-6), lambda ps: torch.optim.Adagrad(ps, lr=0.1)),
    (rl.RMSProp(0.1, eps_inside_root=True), lambda ps: torch.optim.RMSprop(ps, lr=0.1)),
    (rl.RMSProp(0.1, centered=True), lambda ps: torch.optim.RMSprop(ps, lr=0.1)),
    (rl.Adadelta(eps=1e-7), torch.optim.Adadelta),
    (rl.Adam(0.1, bias_correction=False), lambda ps: torch.optim.Adam(ps, lr=0.1)),
    (rl.Adam(0.1, eps_hat=True), lambda ps: torch.optim.Adam(ps, lr=0.1)),
    (LateCount(0.1), lambda ps: torch.optim.Adam(ps, lr=0.1)),
    (InsideRoot(0.1), lambda ps: torch.optim.Adam(ps, lr=0.1)),
    (SwappedMoments(0.1), lambda ps: torch.optim.Adam(ps, lr=0.1)),
    (CoupledDecay(0.1), lambda ps: torch.optim.AdamW(ps, lr=0.1)),
    (CorrectedMaximum(0.1), lambda ps: torch.optim.Adam(ps, lr=0.1, amsgrad=True)),
    (EarlyRectifier(0.1), lambda ps: torch.optim.RAdam(ps, lr=0.1)),
    (rl.NAdam(0.1, momentum_decay=5e-3), lambda ps: torch.optim.NAdam(ps, lr=0.1)),
])  # fmt: skip
def test_the_comparison_with_torch_catches(fault, make):
    assert not torch_gap(fault, make, seed=0) < 1e-8


# ---------------------------------------------------------------- where torch has none: textbook loops, closed forms


@given(rates, betas, betas, st.floats(0, 0.5), seeds)
def test_lion_equals_its_algorithm_entry_by_entry(lr, beta1, beta2, decay, seed):
    rng = np.random.default_rng(seed)
    params = random_params(rng)
    grads = [random_grads(rng, params) for _ in range(6)]
    moved, state = steps(rl.Lion(lr, beta1, beta2, decay), params, grads)
    for name, param in params.items():
        for index in np.ndindex(param.shape):
            w, m = param[index], 0.0
            for g in (each_grads[name][index] for each_grads in grads):
                c = beta1 * m + (1 - beta1) * g
                w = w - lr * (int(c > 0) - int(c < 0) + decay * w)
                m = beta2 * m + (1 - beta2) * g
            assert abs(moved[name][index] - w) < 1e-12 and abs(state["m"][name][index] - m) < 1e-12


def schedule_free(w, grads, lrs, beta1, beta2, eps, decay):
    """Schedule-Free AdamW on one number, with the average written as the weighted mean that it is."""
    z, y, v, points, weights = w, w, 0.0, [w], [0.0]
    for t, (g, lr) in enumerate(zip(grads, lrs, strict=True), 1):
        if beta2 is not None:
            v = beta2 * v + (1 - beta2) * g**2
            g = g / (np.sqrt(v / (1 - beta2**t)) + eps)
        z = z - lr * (g + decay * y)
        points, weights = [*points, z], [*weights, max(lrs[:t]) ** 2]
        x = np.average(points, weights=weights)
        y = (1 - beta1) * z + beta1 * x
    return y, x


@given(st.lists(rates, min_size=1, max_size=6), betas, st.none() | betas, st.floats(0, 0.5), seeds)
def test_schedule_free_equals_its_definition(lrs, beta1, beta2, decay, seed):
    grads = np.random.default_rng(seed).normal(size=len(lrs))
    optimizer, params = rl.ScheduleFree(1.0, beta1, beta2, weight_decay=decay), {"w": np.array([0.5])}
    state = optimizer.init(params)
    for lr, g in zip(lrs, grads, strict=True):
        params, state = optimizer.scaled(lr).update(params, {"w": np.array([g])}, state)
    y, x = schedule_free(0.5, grads, lrs, beta1, beta2, optimizer.eps, decay)
    assert abs(params["w"][0] - y) < 1e-10 and abs(optimizer.evaluation_params(params, state)["w"][0] - x) < 1e-10


def test_schedule_free_without_a_step_stays():
    params, state = steps(rl.ScheduleFree(0.0), {"w": np.ones(2)}, [{"w": np.ones(2)}])
    assert params["w"].tolist() == state["x"]["w"].tolist() == [1, 1]


@given(seeds, st.sampled_from([(50, 50), (50, 20), (20, 50)]))
def test_newton_schulz_keeps_the_directions_and_brings_the_values_near_one(seed, shape):
    matrix = np.random.default_rng(seed).normal(size=shape)
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    values = np.diag(u.T @ orthogonalize(matrix) @ vt.T)
    np.testing.assert_allclose(u * values @ vt, orthogonalize(matrix), atol=1e-10)
    large = s > 0.05 * s.max()  # what is small at first needs more steps to grow
    assert values[large].min() > 0.65 and values.max() < 1.25
    assert np.ptp(np.linalg.svd(orthogonalize(matrix, steps=30))[1]) > 0.1  # they never settle at 1


@pytest.mark.parametrize(("beta1", "beta2", "amplified"), [
    (0.9, 0.999, {1: 3.16, 10: 6.53, 100: 3.24, 1000: 1.26}),
    (0.0, 0.999, {1: 31.6, 10: 10.0, 100: 3.24, 1000: 1.26}),
    (0.9, 0.9, {1: 0.32, 10: 0.81, 100: 1.0, 1000: 1.0}),
])  # fmt: skip
def test_without_bias_correction_the_first_steps_are_amplified(beta1, beta2, amplified):
    """On a constant gradient the corrected step is lr; the other is longer by (1 - beta1^t) / sqrt(1 - beta2^t)."""
    lengths = []
    for corrected in (True, False):
        optimizer, params = rl.Adam(1.0, beta1, beta2, eps=0, bias_correction=corrected), {"w": np.zeros(1)}
        state, places = optimizer.init(params), [0.0]
        for _ in range(1000):
            params, state = optimizer.update(params, {"w": np.array([3.0])}, state)
            places.append(params["w"][0])
        lengths.append(-np.diff(places))
    t = np.arange(1, 1001)
    np.testing.assert_allclose(lengths[0], 1, atol=1e-9)
    np.testing.assert_allclose(lengths[1], (1 - beta1**t) / np.sqrt(1 - beta2**t), rtol=1e-9)
    assert all(lengths[1][t - 1] == pytest.approx(times, rel=0.02) for t, times in amplified.items())


def test_reddis_counter_example():
    """f_t = 3 x if t mod 3 = 1 else -x on [-1, 1]: the best point is -1. Adam ends at +1, AMSGrad leaves it."""
    paths = {}
    for adam in (rl.Adam, rl.AMSGrad):
        optimizer = adam(0.9, beta1=0.0, beta2=0.1, eps=0.0, bias_correction=False)
        x, state, path = {"x": np.ones(1)}, optimizer.init({"x": np.ones(1)}), {1: 1.0}
        for t in range(1, 301):
            g = np.array([3.0 if t % 3 == 1 else -1.0])
            x, state = optimizer.scaled(t**-0.5).update(x, {"x": g}, state)
            x = {"x": x["x"].clip(-1, 1)}
            path[t + 1] = x["x"][0]
        paths[adam] = path
    assert paths[rl.Adam][2] == pytest.approx(0.0513167, abs=1e-7)
    assert all(paths[rl.Adam][3 * k + 1] == 1 for k in range(1, 100))
    assert paths[rl.AMSGrad][3] == pytest.approx(0.2749235, abs=1e-7)
    assert max(paths[rl.AMSGrad][t] for t in range(200, 300)) < 0.5


# ---------------------------------------------------------------- what all of them promise


@each
def test_an_update_leaves_its_arguments_and_serves_torch_tensors(optimizer):
    rng = np.random.default_rng(0)
    params = random_params(rng)
    grads = [random_grads(rng, params) for _ in range(4)]
    kept = {name: param.copy() for name, param in params.items()}
    ours, state = steps(optimizer, params, grads)
    assert gap(params, kept) == 0
    before = optimizer.evaluation_params(ours, state)
    optimizer.update(ours, grads[0], state)
    assert gap(before, optimizer.evaluation_params(ours, state)) == 0
    tensors, _ = steps(
        optimizer,
        {name: torch.tensor(param) for name, param in params.items()},
        [{name: torch.tensor(grad) for name, grad in each_grads.items()} for each_grads in grads],
    )
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
    assert gap(ours, {name: tensor.numpy() for name, tensor in tensors.items()}) < 1e-12


@each
def test_float32_stays_float32(optimizer):
    rng = np.random.default_rng(0)
    params = random_params(rng, dtype=np.float32)
    numbers = {name: value for name, value in vars(optimizer).items() if isinstance(value, float)}
    optimizer = dataclasses.replace(optimizer, **{name: np.float64(value) for name, value in numbers.items()})
    moved, state = steps(optimizer, params, [random_grads(rng, params) for _ in range(2)])
    arrays = [moved, *(kept for kept in state.values() if isinstance(kept, dict) and "bias_hh" in kept)]
    assert {array.dtype for each_arrays in arrays for array in each_arrays.values()} == {np.dtype(np.float32)}


@each
@pytest.mark.parametrize("runs", [(3,), (2, 2)])
def test_runs_with_rates_of_their_own_equal_one_by_one(optimizer, runs):
    rng = np.random.default_rng(1)
    params = random_params(rng, runs)
    lrs = rng.uniform(0.01, 1, runs)
    grads = [random_grads(rng, params) for _ in range(6)]
    together, state = steps(dataclasses.replace(optimizer, lr=lrs), params, grads)
    averaged = optimizer.evaluation_params(together, state)
    for run in np.ndindex(*runs):
        alone = dataclasses.replace(optimizer, lr=lrs[run])
        own = [{name: array[run] for name, array in arrays.items()} for arrays in (params, *grads)]
        params_1, state_1 = steps(alone, own[0], own[1:])
        assert gap({name: param[run] for name, param in together.items()}, params_1) < 1e-12
        params_1 = alone.evaluation_params(params_1, state_1)
        assert gap({name: param[run] for name, param in averaged.items()}, params_1) < 1e-12


@each
@pytest.mark.parametrize("own_rates", [True, False])
def test_a_run_that_diverges_leaves_the_others_alone(optimizer, own_rates):
    rng = np.random.default_rng(2)
    params = random_params(rng, (3,))
    grads = [random_grads(rng, params) for _ in range(4)]
    optimizer = dataclasses.replace(optimizer, **({"lr": np.full(3, 0.1)} if own_rates else {"runs": 1}))
    whole, _ = steps(optimizer, params, grads)
    grads[1]["weight_hh"][1, 0, 0] = np.nan
    broken, _ = steps(optimizer, params, grads)
    for name in params:
        np.testing.assert_array_equal(broken[name][[0, 2]], whole[name][[0, 2]])
    assert not np.isfinite(broken["weight_hh"][1]).all() or isinstance(optimizer, rl.Lion)


@each
def test_a_scaled_optimizer_has_a_scaled_rate_and_the_rest_as_it_was(optimizer):
    half = optimizer.scaled(0.5)
    assert half.lr == optimizer.lr / 2
    if isinstance(optimizer, rl.Muon):
        assert half.others == dataclasses.replace(optimizer.others, lr=optimizer.others.lr / 2)
        half = dataclasses.replace(half, others=optimizer.others)
    assert dataclasses.replace(half, lr=optimizer.lr) == optimizer


def test_muon_moves_only_the_matrices_that_it_is_given():
    rng = np.random.default_rng(3)
    params = random_params(rng) | {"weight_out": rng.normal(size=(1, 3))}
    grads = [random_grads(rng, params) for _ in range(3)]
    moved, state = steps(rl.Muon(0.1, hidden=("weight_hh",), others=rl.Adam(0.01)), params, grads)
    by_adam, _ = steps(rl.Adam(0.01), params, grads)
    assert list(moved) == list(params) and list(state["hidden"]["b"]) == ["weight_hh"]
    assert [name for name in params if (moved[name] == by_adam[name]).all()] == ["weight_ih", "bias_hh", "weight_out"]
    only = {"weight_hh": params["weight_hh"]}
    alone, _ = steps(rl.Muon(0.1), only, [{"weight_hh": each_grads["weight_hh"]} for each_grads in grads])
    np.testing.assert_array_equal(alone["weight_hh"], moved["weight_hh"])


def test_a_change_of_rate_reaches_a_velocity_that_holds_it_only_in_steps_to_come():
    grad = [{"w": np.ones(1)}]
    settings = {"alpha": 0.0, "eps": 0.0, "momentum": 0.5}
    for lr_in_velocity, second in ((False, 1.5), (True, 0.5 * 0.1 + 1)):
        optimizer = rl.RMSProp(0.1, lr_in_velocity=lr_in_velocity, **settings)
        first, state = steps(optimizer, {"w": np.zeros(1)}, grad)
        moved, _ = steps(optimizer.scaled(10), first, grad, state)
        assert -moved["w"][0] == pytest.approx(0.1 + second, rel=1e-12)


@pytest.mark.parametrize(("nesterov", "first", "second"), [(False, 0.1, 1.05), (True, 0.15, 1.525)])
def test_kerass_sgd_has_the_rate_in_the_velocity(nesterov, first, second):
    """v = 0.1, then 0.05 + 1; a Nesterov step is lr g + 0.5 v."""
    sgd, grad = rl.SGD(0.1, 0.5, nesterov, lr_in_velocity=True), [{"w": np.ones(1)}]
    params, state = steps(sgd, {"w": np.zeros(1)}, grad)
    moved, _ = steps(sgd.scaled(10), params, grad, state)
    assert [-params["w"][0], -moved["w"][0]] == pytest.approx([first, first + second], rel=1e-12)


def test_epsilon_inside_the_root_and_before_the_correction_by_hand():
    def after(optimizer, *grads):
        return steps(optimizer, {"w": np.zeros(1)}, [{"w": np.array([g])} for g in grads])[0]["w"][0]

    assert after(rl.AdaGrad(0.1, 0.5, eps_inside_root=True), 3.0) == pytest.approx(-0.3 / np.sqrt(9.5), rel=1e-12)
    rmsprop = rl.RMSProp(0.1, alpha=0.75, eps=0.5, eps_inside_root=True)
    assert after(rmsprop, 3.0) == pytest.approx(-0.3 / np.sqrt(0.25 * 9 + 0.5), rel=1e-12)
    # m = 0.5 * 3, v = 0.25 * 9 at t = 1, then m = 0.5 * 1.5 - 0.5, v = 0.75 * 2.25 + 0.25
    w = -0.1 * np.sqrt(1 - 0.75) / (1 - 0.5) * 1.5 / (1.5 + 0.5)
    adam = rl.Adam(0.1, beta1=0.5, beta2=0.75, eps=0.5, eps_hat=True)
    assert after(adam, 3.0) == pytest.approx(w, rel=1e-12)
    w -= 0.1 * np.sqrt(1 - 0.75**2) / (1 - 0.5**2) * 0.25 / (np.sqrt(0.75 * 2.25 + 0.25) + 0.5)
    assert after(adam, 3.0, -1.0) == pytest.approx(w, rel=1e-12)


def test_a_constant_gradient_has_no_negative_variance():
    """Rounding leaves v - m^2 of some of these gradients below 0, where torch's root is NaN."""
    gradient = np.linspace(0.1, 2, 50)
    moved, state = steps(rl.RMSProp(0.1, 0.9, centered=True), {"w": np.zeros(50)}, [{"w": gradient}] * 1000)
    assert (state["v"]["w"] < state["m"]["w"] ** 2).any() and np.isfinite(moved["w"]).all()


def test_what_the_states_start_with():
    params = {"w": np.array([2.0])}
    state = rl.RMSProp(centered=True, momentum=0.9, initial_accumulator=0.5).init(params)
    assert {slot: kept["w"].item() for slot, kept in state.items()} == {"v": 0.5, "m": 0, "velocity": 0}
    state = rl.ScheduleFree().init(params)
    params["w"][0] = 3.0  # the caller's own array
    assert [state[slot]["w"].item() for slot in ("z", "x", "v")] == [2, 2, 0]


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(("make", "settings", "message"), [
    (rl.SGD, {"lr": -1}, "expected lr to be a number of at least 0, got -1"),
    (rl.SGD, {"lr": float("nan")}, "lr"),
    (rl.SGD, {"lr": "fast"}, "lr"),
    (rl.SGD, {"lr": 0.1, "momentum": 1.0}, r"momentum in \[0, 1\)"),
    (rl.SGD, {"lr": 0.1, "nesterov": True}, "needs a velocity"),
    (rl.SGD, {"lr": 0.1, "runs": -1}, "runs to be a whole number"),
    (rl.AdaGrad, {"lr": -0.1}, "lr"),
    (rl.AdaGrad, {"eps": -1e-9}, "eps"),
    (rl.AdaGrad, {"initial_accumulator": -1.0}, "initial_accumulator"),
    (rl.RMSProp, {"alpha": 1.0}, r"expected alpha in \[0, 1\), got 1.0"),
    (rl.RMSProp, {"momentum": -0.1}, "momentum"),
    (rl.Adadelta, {"rho": 1}, "rho"),
    (rl.Adam, {"lr": float("nan")}, "lr"),
    (rl.Adam, {"beta1": 1.0}, r"expected beta1 in \[0, 1\), got 1.0"),
    (rl.Adam, {"beta2": -0.1}, "beta2"),
    (rl.Adam, {"beta2": float("nan")}, "beta2"),
    (rl.Adam, {"eps": float("nan")}, "eps"),
    (rl.AdamW, {"weight_decay": -0.1}, "weight_decay"),
    (rl.AMSGrad, {"beta1": True}, "beta1"),
    (rl.NAdam, {"momentum_decay": -1}, "momentum_decay"),
    (rl.RAdam, {"beta2": 1.5}, "beta2"),
    (rl.Lion, {"beta2": "0.9"}, "beta2"),
    (rl.Muon, {"ns_steps": 0}, "ns_steps"),
    (rl.Muon, {"hidden": "weight_hh"}, "hidden to be a tuple"),
    (rl.Muon, {"lr": np.array([0.1, np.nan])}, "lr to be numbers of at least 0"),
    (rl.ScheduleFree, {"beta1": 1.0}, "beta1"),
])  # fmt: skip
def test_bad_settings(make, settings, message):
    whole = message if " " in message else rf"^expected {message} (in \[0, 1\)|to be .*), got "
    with pytest.raises(ValueError, match=whole):
        make(**settings)


@each
def test_every_number_is_checked_by_name_and_may_be_zero(optimizer):
    for name in (name for name, value in vars(optimizer).items() if type(value) is float):
        with pytest.raises(ValueError, match=rf"^expected {name} (to be a number .* 0|in \[0, 1\)), got -0.5"):
            dataclasses.replace(optimizer, **{name: -0.5})
        if isinstance(optimizer, rl.Muon) and name == "eps":  # what it divides by
            with pytest.raises(ValueError, match="^expected eps to be a number above 0, got 0.0"):
                dataclasses.replace(optimizer, eps=0.0)
        elif name != "momentum" or not getattr(optimizer, "nesterov", False):
            assert getattr(dataclasses.replace(optimizer, **{name: 0.0}), name) == 0


@each
def test_bad_gradients_and_states_are_refused_and_nothing_changes(optimizer):
    rng = np.random.default_rng(4)
    params = random_params(rng)
    good = random_grads(rng, params)
    params, state = steps(optimizer, params, [good])
    kept = {name: param.copy() for name, param in params.items()}
    without = {name: grad for name, grad in good.items() if name != "bias_hh"}
    for grads, message in [
        ({}, "missing .'bias_hh', 'weight_hh', 'weight_ih'.*extra"),
        (without | {"c": np.zeros(1)}, r"missing \['bias_hh'\], extra \['c'\]"),
        (good | {"bias_hh": np.zeros(2)}, r"grads\['bias_hh'\] of shape \(3,\), got \(2,\)"),
        (good | {"bias_hh": np.array([1, np.nan, 1])}, r"finite gradients, got NaN or infinity in grads\['bias_hh'\]"),
        (good | {"weight_hh": np.full((3, 3), -np.inf)}, r"infinity in grads\['weight_hh'\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            optimizer.update(params, grads, state)
    if state:
        other = {name: param[:1] for name, param in params.items()}
        for bad_state in ({}, optimizer.init(other), {"momentum": 0}):
            with pytest.raises(ValueError, match=r"expected the state of .*begin with init\(params\)"):
                optimizer.update(params, good, bad_state)
    assert gap(params, kept) == 0
    with pytest.raises(ValueError, match="at least one parameter"):
        optimizer.update({}, {}, state)


@each
def test_no_parameters(optimizer):
    with pytest.raises(ValueError, match="at least one parameter|expected hidden matrices"):
        optimizer.init({})


def test_gradients_may_be_so_large_that_their_squares_overflow():
    for make in (np.array, torch.tensor):
        moved, _ = steps(rl.SGD(1e-300), {"w": make([0.0, 0.0])}, [{"w": make([1e300, -1e300])}])
        assert moved["w"].tolist() == pytest.approx([-1, 1])


def test_names_for_muon():
    with pytest.raises(ValueError, match=r"expected hidden matrices, named like \('weight_ih', 'weight_hh'\), got"):
        rl.Muon().init({"w": np.zeros((2, 2))})
    with pytest.raises(ValueError, match=r"weight_hh to be a matrix behind 0 axes of runs, got \(2, 2, 2\)"):
        rl.Muon().init({"weight_hh": np.zeros((2, 2, 2))})

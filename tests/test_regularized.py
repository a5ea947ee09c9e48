"""The regularized LSTM: finite differences, torch, the plain cell, and what its masks do on average."""

import numpy as np
import pytest
import torch

import rnnlab as rl
from evidence import script
from oracles import finite_differences, worst_gap
from rnnlab.regularized import Masks, RegularizedLSTM, dropout_mask, layer_norm, layer_norm_back

T, B, D, H = 6, 3, 2, 4
SETTINGS = {
    "plain": {},
    "dropout": {"dropout": 0.4},
    "variational": {"dropout": 0.4, "variational": True},
    "zoneout": {"zoneout": 0.4},
    "layer norm": {"layer_norm": True},
    "all": {"dropout": 0.3, "variational": True, "zoneout": 0.3, "layer_norm": True},
}


def drawn(settings, seed=0):
    """Return the network, parameters away from their start, inputs, masks and weights of a loss."""
    rng, lstm = np.random.default_rng(seed), RegularizedLSTM(D, H, **settings)
    params = {name: param + 0.3 * rng.standard_normal(param.shape) for name, param in lstm.init(rng).items()}
    return lstm, params, rng.standard_normal((T, B, D)), lstm.draw(rng, T=T, B=B), rng.standard_normal((T, B, H))


def gap_to_finite_differences(lstm, params, x, masks, weight):
    grads, d_x = lstm.backward(params, lstm.forward(params, x, masks)[1], weight)

    def loss():
        return (weight * lstm.forward(params, x, masks)[0]).sum()

    arrays = params | {"x": x}
    return worst_gap(grads | {"x": d_x}, {name: finite_differences(loss, array) for name, array in arrays.items()})


@pytest.mark.parametrize("name", SETTINGS)
def test_the_derivatives(name):
    assert gap_to_finite_differences(*drawn(SETTINGS[name])) < 1e-7


def other_masks(masks, **changed):
    return Masks(**{**vars(masks), **changed})


@pytest.mark.parametrize("fault", ["mask of x", "mask of h", "keep_c", "keep_h", "gain", "mean"])
def test_planted_faults_are_found(fault, monkeypatch):
    """The pass back with other masks than the pass forward, or with a part of the derivative left out."""
    lstm, params, x, masks, weight = drawn(SETTINGS["all"])
    wrong = {
        "mask of x": other_masks(masks, x=np.ones_like(masks.x)),
        "mask of h": other_masks(masks, h=np.ones_like(masks.h)),
        "keep_c": other_masks(masks, keep_c=0 * masks.keep_c),
        "keep_h": other_masks(masks, keep_h=0 * masks.keep_h),
    }.get(fault, masks)
    honest = lstm.backward

    def faulty(params, tape, d_h):
        return honest(params, (tape[0], wrong, tape[2]), d_h)

    def without_mean(tape, d_y):
        d_z, d_gain = layer_norm_back(tape, d_y)
        mean = (d_y * tape[2]).mean(axis=-1, keepdims=True) / tape[1]
        return (d_z + mean, d_gain) if fault == "mean" else (d_z, 0 * d_gain)

    lstm.backward = faulty
    if fault in ("gain", "mean"):
        monkeypatch.setattr("rnnlab.regularized.layer_norm_back", without_mean)
    assert gap_to_finite_differences(lstm, params, x, masks, weight) > 1e-4


def test_with_nothing_switched_on_it_is_the_cell():
    lstm, params, x, masks, weight = drawn({})
    h, _, tape = rl.unroll(lstm.cell, params, x)
    ours, own = lstm.forward(params, x, masks)
    np.testing.assert_allclose(ours, h, rtol=0, atol=1e-12)
    back = rl.backprop(lstm.cell, params, tape, weight)
    grads, d_x = lstm.backward(params, own, weight)
    assert worst_gap(grads | {"x": d_x}, back.params | {"x": back.d_x}) < 1e-12


class Given:
    """Stand in for the noise of the torch script: hand out masks that were drawn before."""

    def __init__(self, masks):
        self.masks, self.keeps = masks, [masks.keep_c, masks.keep_h]

    def dropout(self, x, p, same=False):
        mask = self.masks.h[None] if x.shape[1:] == (1, B, H) else self.masks.x[None]
        return x * torch.tensor(mask)

    def zoneout(self, p, T, B, H):
        return torch.tensor(self.keeps.pop(0))[:, None]


@pytest.mark.parametrize("name", SETTINGS)
def test_torch_has_the_same_states_and_gradients(name):
    """The layer that the networks of lesson 16 are made of."""
    study, settings = script("generalization"), SETTINGS[name]
    lstm, params, x, masks, weight = drawn(settings)
    net = study.Net(
        width=H,
        layer_norm=settings.get("layer_norm", False),
        zoneout=settings.get("zoneout", 0),
        **{"variational" if settings.get("variational") else "dropout": settings.get("dropout", 0)},
    )
    theirs = {name: torch.tensor(param[None], requires_grad=True) for name, param in params.items()}
    inputs = torch.tensor(x[None], requires_grad=True)
    layer = theirs | {"bias": theirs["bias_ih"] + theirs["bias_hh"]}
    states = study.lstm_layer(net, layer, inputs, Given(masks))
    (states * torch.tensor(weight)).sum().backward()
    h, tape = lstm.forward(params, x, masks)
    grads, d_x = lstm.backward(params, tape, weight)
    np.testing.assert_allclose(states[0].detach(), h, rtol=0, atol=1e-12)
    references = {n: tensor.grad[0].numpy() for n, tensor in (theirs | {"x": inputs}).items()}
    assert worst_gap(grads | {"x": d_x}, references) < 1e-12


def test_layer_norm_is_that_of_torch():
    rng = np.random.default_rng(3)
    z, gain, d_y = rng.standard_normal((5, 7)), rng.standard_normal(7), rng.standard_normal((5, 7))
    module = torch.nn.LayerNorm(7, bias=False, dtype=torch.float64)
    module.weight.data = torch.tensor(gain)
    inputs = torch.tensor(z, requires_grad=True)
    (module(inputs) * torch.tensor(d_y)).sum().backward()
    y, tape = layer_norm(z, gain)
    np.testing.assert_allclose(y, module(inputs).detach(), rtol=0, atol=1e-12)
    d_z, d_gain = layer_norm_back(tape, d_y)
    np.testing.assert_allclose(d_z, inputs.grad, rtol=0, atol=1e-12)
    np.testing.assert_allclose(d_gain, module.weight.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("same", [False, True])
def test_a_mask_keeps_the_mean(same):
    mask = dropout_mask(np.random.default_rng(0), 0.3, (2, 200, 500), same)
    assert mask.shape == (1 if same else 2, 200, 500) and set(np.unique(mask)) == {0, 1 / 0.7}
    assert mask.mean() == pytest.approx(1, abs=5 * np.sqrt(0.3 / 0.7 / mask.size))


def test_the_variational_masks_hold_for_all_steps_and_the_others_do_not():
    rng = np.random.default_rng(0)
    assert RegularizedLSTM(D, H, 0.5, variational=True).draw(rng, T=T, B=B).x.shape == (1, B, D)
    fresh = RegularizedLSTM(D, H, 0.5).draw(rng, T=50, B=B)
    assert len(np.unique(fresh.x.reshape(50, -1), axis=0)) > 10 and (fresh.h == 1).all()


def test_what_zoneout_does_on_average_is_what_it_does_without_noise():
    """From one state, where c_t and h_t are linear in the masks."""
    lstm, params, x, _, _ = drawn({"zoneout": 0.3})
    rng, judged = np.random.default_rng(0), lstm.forward(params, x[:1], lstm.draw(T=1, B=B))[0]
    states = [lstm.forward(params, x[:1], lstm.draw(rng, T=1, B=B))[0] for _ in range(4000)]
    spread = np.std(states, axis=0) / np.sqrt(len(states))
    assert (np.abs(np.mean(states, axis=0) - judged) < 5 * spread).all()


def test_a_unit_that_always_zones_out_never_moves():
    lstm, params, x, masks, _ = drawn({"zoneout": 0.3})
    masks.keep_c[..., 0], masks.keep_h[..., 0] = 1, 1
    h = lstm.forward(params, x, masks)[0]
    assert (h[..., 0] == 0).all() and (h[..., 1:] != 0).any()


@pytest.mark.parametrize("p", [1, -0.1, True, "0.5", None])
def test_a_share_is_a_share(p):
    with pytest.raises(ValueError, match="share of at least 0 and below 1"):
        RegularizedLSTM(D, H, dropout=p)


def test_batch_first_is_noticed():
    lstm, params, x, masks, _ = drawn({})
    with pytest.raises(ValueError, match="time-major"):
        lstm.forward(params, x[..., :1], masks)

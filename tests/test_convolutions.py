"""Convolution by hand against torch, finite differences and faults that both must catch."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from oracles import finite_differences, worst_gap
from rnnlab import convolutions
from rnnlab.convolutions import convolve, convolve_back


def case(seed, stride, padding, sides=(6, 7), pattern=(3, 2)):
    """Return x, weight, bias and a derivative of y."""
    rng = np.random.default_rng(seed)
    x, weight, bias = rng.standard_normal((2, 3, *sides)), rng.standard_normal((4, 3, *pattern)), rng.standard_normal(4)
    return x, weight, bias, rng.standard_normal(convolve(x, weight, bias, stride, padding).shape)


def by_torch(x, weight, bias, d_y, stride, padding):
    """Return y and the gradients by autograd."""
    leaves = [torch.tensor(array, requires_grad=True) for array in (x, weight, bias)]
    y = F.conv2d(*leaves, stride=stride, padding=padding)
    y.backward(torch.tensor(d_y))
    grads = dict(zip(("x", "weight", "bias"), (leaf.grad.numpy() for leaf in leaves), strict=True))
    return y.detach().numpy(), grads


def ours(x, weight, d_y, stride, padding):
    return dict(zip(("x", "weight", "bias"), convolve_back(d_y, x, weight, stride, padding), strict=True))


@given(st.integers(0, 99), st.integers(1, 3), st.integers(0, 2), st.integers(1, 4), st.integers(1, 4))
def test_forward_and_back_are_torchs(seed, stride, padding, rows, columns):
    x, weight, bias, d_y = case(seed, stride, padding, pattern=(rows, columns))
    y, grads = by_torch(x, weight, bias, d_y, stride, padding)
    np.testing.assert_allclose(convolve(x, weight, bias, stride, padding), y, rtol=0, atol=1e-12)
    assert worst_gap(ours(x, weight, d_y, stride, padding), grads) < 1e-12


def by_differences(x, weight, bias, d_y, stride, padding):
    def loss():
        return (d_y * convolve(x, weight, bias, stride, padding)).sum()

    arrays = {"x": x, "weight": weight, "bias": bias}
    return {name: finite_differences(loss, array) for name, array in arrays.items()}


@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 1)])
def test_back_by_finite_differences(stride, padding):
    x, weight, bias, d_y = case(random.randrange(1000), stride, padding, sides=(4, 5))
    references = by_differences(x, weight, bias, d_y, stride, padding)
    assert worst_gap(ours(x, weight, d_y, stride, padding), references) < 1e-7


FAULTS = {  # what is in the source, and what a tired author might write
    "windows that overwrite": ("d_x[to] += ", "d_x[to] = "),
    "a pattern turned around": ("weight[:, :, u, v]", "weight[:, :, -1 - u, -1 - v]"),
    "a stride forgotten": ("slice(u, u + stride * rows, stride)", "slice(u, u + rows, 1)"),
    "the padding left on one side": ("slice(padding, -padding or None)", "slice(0, -2 * padding or None)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_both_oracles_catch_a_planted_fault(fault):
    source = Path(convolutions.__file__).read_text(encoding="utf-8")
    right, wrong = FAULTS[fault]
    assert source.count(right) == 1
    planted = {}
    exec(compile(source.replace(right, wrong), fault, "exec"), planted)
    x, weight, bias, d_y = case(3, 2, 1, sides=(4, 5))
    found = dict(zip(("x", "weight", "bias"), planted["convolve_back"](d_y, x, weight, 2, 1), strict=True))
    for references in (by_torch(x, weight, bias, d_y, 2, 1)[1], by_differences(x, weight, bias, d_y, 2, 1)):
        assert worst_gap(found, references) > 0.01


def test_what_does_not_fit_is_refused():
    x, weight, bias, d_y = case(0, 1, 0)
    for change, message in [
        ({"x": x[0]}, r"expected x of shape \(N, C, rows, columns\)"),
        ({"weight": weight[:, :2]}, r"expected weight of shape \(O, 3, U, V\)"),
        ({"bias": bias[:1]}, r"expected bias of shape \(4,\)"),
        ({"stride": 0}, "expected stride"),
        ({"padding": -1}, "expected padding"),
        ({"weight": np.ones((4, 3, 7, 2))}, "no larger than the padded image"),
    ]:
        with pytest.raises(ValueError, match=message):
            convolve(**({"x": x, "weight": weight, "bias": bias} | change))
    with pytest.raises(ValueError, match="expected d_y of shape"):
        convolve_back(d_y[:, :, 1:], x, weight)
    with pytest.raises(TypeError, match="float32 or float64"):
        convolve(x.astype(int), weight, bias)

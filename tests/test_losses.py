import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnlab as rl
from oracles import finite_differences

sizes = st.integers(1, 4)


def random_case(T, B, C, seed, classes):
    rng = np.random.default_rng(seed)
    outputs, mask = rng.normal(size=(T, B, C)), rng.integers(0, 2, (T, B)).astype(float)
    mask[rng.integers(T), rng.integers(B)] = 1
    return outputs, rng.integers(0, C, (T, B)) if classes else rng.normal(size=(T, B, C)), mask


@given(st.sampled_from([rl.squared_error, rl.cross_entropy]), sizes, sizes, sizes, st.integers(0, 10**6))
def test_derivatives_match_finite_differences(loss, T, B, C, seed):
    outputs, y, mask = random_case(T, B, C, seed, classes=loss is rl.cross_entropy)
    d_outputs = loss(outputs, y, mask)[1]
    reference = finite_differences(lambda: loss(outputs, y, mask)[0], outputs)
    np.testing.assert_allclose(d_outputs, reference, atol=1e-8)
    assert not d_outputs[mask == 0].any()


@given(sizes, sizes, sizes, st.integers(0, 10**6))
def test_values_match_torch(T, B, C, seed):
    torch = pytest.importorskip("torch")
    outputs, y, mask = random_case(T, B, C, seed, classes=False)
    selected = mask == 1
    theirs = torch.nn.functional.mse_loss(torch.tensor(outputs[selected]), torch.tensor(y[selected]))
    assert rl.squared_error(outputs, y, mask)[0] == pytest.approx(theirs.item(), rel=1e-12)
    outputs, y, mask = random_case(T, B, C, seed, classes=True)
    selected = mask == 1
    theirs = torch.nn.functional.cross_entropy(torch.tensor(outputs[selected]), torch.tensor(y[selected]))
    assert rl.cross_entropy(outputs, y, mask)[0] == pytest.approx(theirs.item(), rel=1e-12, abs=1e-12)


def test_cross_entropy_of_huge_logits_is_finite():
    outputs = np.array([[[1e4, -1e4]]])
    loss, d_outputs = rl.cross_entropy(outputs, np.array([[1]]), np.ones((1, 1)))
    assert loss == 2e4
    np.testing.assert_allclose(d_outputs, [[[1, -1]]])


def test_accuracy_counts_the_selected_steps_only():
    outputs = np.array([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    y, mask = np.array([[1, 1], [0, 1]]), np.array([[1.0, 1.0], [0.0, 1.0]])
    assert rl.accuracy(outputs, y, mask) == 2 / 3
    assert type(rl.accuracy(outputs, y, mask)) is float


def test_accuracy_is_nan_for_the_run_whose_selected_outputs_are():
    rng = np.random.default_rng(0)
    outputs, y, mask = rng.normal(size=(3, 4, 2, 5)), rng.integers(0, 5, (4, 2)), np.ones((4, 2))
    mask[3] = 0
    outputs[0, 3, 0, 0] = outputs[2, 0, 1, 4] = np.nan  # of the first run only where the mask is 0
    shares = rl.accuracy(outputs, y, mask)
    assert np.isnan(shares).tolist() == [False, False, True]
    assert shares[:2].tolist() == [rl.accuracy(outputs[r], y, mask) for r in range(2)]


@pytest.mark.parametrize("loss", [rl.squared_error, rl.cross_entropy, rl.gaussian_nll])
def test_float32_stays_float32(loss):
    outputs, y, mask = random_case(3, 2, 4, 0, classes=loss is rl.cross_entropy)
    y = y if loss is rl.cross_entropy else y[..., : 2 if loss is rl.gaussian_nll else 4].astype(np.float32)
    value, d_outputs = loss(outputs.astype(np.float32), y, mask)
    wide, d_wide = loss(outputs, y if y.dtype.kind == "i" else y.astype(float), mask)
    assert type(value) is float and d_outputs.dtype == np.float32
    assert value == pytest.approx(wide, rel=1e-5)
    np.testing.assert_allclose(d_outputs, d_wide, atol=1e-6)


@pytest.mark.parametrize("loss", [rl.squared_error, rl.gaussian_nll])
def test_errors_name_the_targets(loss):
    outputs, mask = np.zeros((2, 1, 4)), np.ones((2, 1))
    y = np.zeros((2, 1, 4 if loss is rl.squared_error else 2))
    with pytest.raises(ValueError, match=r"expected y of shape \(2, 1, \d\), got \(2, 1, 3\); one target for each"):
        loss(outputs, y[..., :1].repeat(3, axis=-1), mask)
    with pytest.raises(TypeError, match="got outputs of float64 and y of float32; use astype"):
        loss(outputs, y.astype(np.float32), mask)
    with pytest.raises(ValueError, match="expected finite y, got nan"):
        loss(outputs, y * np.nan, mask)
    with pytest.raises(ValueError, match=r"expected outputs of shape \(T, B, C\), got \(1, 4\)"):
        loss(outputs[0], y, mask)
    with pytest.raises(ValueError, match=r"expected mask of shape \(2, 1\), got \(1, 1\)"):
        loss(outputs, y, mask[:1])


@pytest.mark.parametrize("measure", [rl.cross_entropy, rl.accuracy])
def test_errors_name_the_classes(measure):
    outputs, y, mask = np.zeros((2, 1, 4)), np.zeros((2, 1), int), np.ones((2, 1))
    for bad in (-1, 4):
        with pytest.raises(ValueError, match=f"expected y from 0 to 3, got {bad} to {bad}"):
            measure(outputs, y + bad, mask)
    assert measure(outputs, y + 3, mask) is not None  # the last class is one


def test_an_empty_mask_is_an_error():
    with pytest.raises(ValueError, match="mask that selects at least one step"):
        rl.squared_error(np.zeros((1, 1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1)))


@given(sizes, sizes, sizes, st.integers(0, 10**6))
def test_the_normal_likelihood_has_its_derivative_and_torchs_value(T, B, C, seed):
    torch = pytest.importorskip("torch")
    outputs, _, mask = random_case(T, B, 2 * C, seed, classes=False)
    y = np.random.default_rng(seed).normal(size=(T, B, C))
    loss, d_outputs = rl.gaussian_nll(outputs, y, mask)
    reference = finite_differences(lambda: rl.gaussian_nll(outputs, y, mask)[0], outputs)
    np.testing.assert_allclose(d_outputs, reference, atol=1e-7)
    mean, variance = torch.tensor(outputs[mask == 1][:, :C]), torch.tensor(outputs[mask == 1][:, C:]).exp()
    theirs = torch.nn.GaussianNLLLoss(full=True, eps=1e-300)(mean, torch.tensor(y[mask == 1]), variance)
    assert loss == pytest.approx(theirs.item(), rel=1e-12)
    planted = np.concatenate([d_outputs[..., :C], 2 * d_outputs[..., C:]], axis=-1)  # as for log sd, not log variance
    assert np.abs(planted - reference).max() > 1e-4


def test_runs_have_one_likelihood_each_and_outputs_come_in_pairs():
    rng = np.random.default_rng(0)
    outputs, y, mask = rng.normal(size=(3, 4, 2, 6)), rng.normal(size=(4, 2, 3)), np.ones((4, 2))
    losses, d_outputs = rl.gaussian_nll(outputs, y, mask)
    for r in range(3):
        loss, d_one = rl.gaussian_nll(outputs[r], y, mask)
        assert losses[r] == pytest.approx(loss, rel=1e-12)
        np.testing.assert_allclose(d_outputs[r], d_one, atol=1e-15)
    with pytest.raises(ValueError, match="a mean and a log variance for each target, got 5 outputs"):
        rl.gaussian_nll(outputs[0, ..., :5], y, mask)
    with pytest.raises(ValueError, match=r"expected y of shape \(4, 2, 3\)"):
        rl.gaussian_nll(outputs[0], outputs[0], mask)

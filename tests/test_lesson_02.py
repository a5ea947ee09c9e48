"""What lesson 02 says and shows, asserted on its data."""

from pathlib import Path

import numpy as np
import pytest

import rnnlab as rl
from explorables import load

LESSON = Path(__file__).resolve().parents[1] / "notebooks" / "02_vanishing_and_exploding.ipynb"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(LESSON).namespace


def lines(draw, **state):
    """Draw a state on plain axes and return the axes."""
    from matplotlib.figure import Figure

    axes = [Figure().subplots() for _ in range(draw.panels)]
    draw(axes[0] if draw.panels == 1 else axes, **draw.default | state)
    return axes


def test_an_untrained_network_forgets_within_sixty_steps(lesson):
    assert (lesson["flows"][:, 0] < 1e-9).all()
    assert 0.5 < lesson["factor"] < 0.65


def test_without_tanh_the_radius_decides(lesson):
    curves = {
        radius: lines(lesson["fading"], radius=radius, nonlinearity="linear")[0].lines[0].get_ydata()
        for radius in (0.5, 0.9, 1.1, 1.5)
    }
    for radius, curve in curves.items():
        slope = np.diff(np.log(curve))[30:].mean()  # after the first steps, a straight line on the logarithmic axis
        assert np.exp(slope) == pytest.approx(radius, rel=0.02)


def test_with_tanh_small_radii_fade_alike_and_large_ones_grow_less(lesson):
    def factor_per_step(radius, nonlinearity):
        curve = lines(lesson["fading"], radius=radius, nonlinearity=nonlinearity)[0].lines[0].get_ydata()
        return curve[-1] ** (1 / 99)

    for radius in (0.5, 0.7):
        assert factor_per_step(radius, "tanh") == pytest.approx(factor_per_step(radius, "linear"), rel=0.04)
    for radius in (1.3, 1.5):
        assert factor_per_step(radius, "tanh") < 0.9 * factor_per_step(radius, "linear")


def test_no_direction_keeps_one_percent_over_twenty_steps(lesson):
    assert lesson["singular_values"][0] < 0.01
    shown = lines(lesson["directions"], start="PyTorch", steps=20)[0].lines[0].get_ydata()
    assert (shown < 0.01).all()
    assert (lines(lesson["directions"], start="orthogonal", steps=0)[0].lines[0].get_ydata() == 1).all()


def test_the_non_normal_matrix_grows_before_it_fades(lesson):
    growth = lesson["growth"]
    assert rl.spectral_radius(lesson["W"]) == pytest.approx(0.9)
    assert rl.spectral_norm(lesson["W"]) == pytest.approx(3)
    assert np.argmax(growth) in (9, 10)  # -1 / ln 0.9 = 9.49
    assert max(growth) > 10 and growth[lesson["below_one"]] < 1 <= growth[lesson["below_one"] - 1]
    curve, radius, sigma, dot = lines(lesson["powers"])[0].lines
    np.testing.assert_allclose(curve.get_ydata(), growth[:61])
    assert (radius.get_ydata() <= curve.get_ydata() * (1 + 1e-9)).all()
    assert (curve.get_ydata() <= sigma.get_ydata() * (1 + 1e-9)).all()
    assert dot.get_ydata() == growth[8]


def test_saturation_leaves_some_networks_growing(lesson):
    strong, linear = lesson["strong"], lesson["linear"]
    assert 0 < (strong < 1).sum() < len(strong)  # some vanish, some do not
    assert np.median(linear) ** (1 / 99) == pytest.approx(2, rel=0.03)
    assert 2 * lesson["slope"] < 1
    flow, slopes = lesson["flow_and_slopes"]("tanh", 3.0, 20.0)
    assert (slopes < 0.1).mean() > 0.4 and flow[-1] > 1


def test_out_grad_is_zero_before_the_last_step_and_the_total_is_not(lesson):
    assert not lesson["immediate"][:-1].any()
    assert lesson["immediate"][-1] == pytest.approx(lesson["total"][-1], rel=1e-12)
    assert (lesson["total"] > 0).all()


def test_the_forecast_does_not_need_the_far_past(lesson):
    """The claim is a null result: the interval holds zero and is narrow against what persistence loses."""
    difference, half_width = lesson["difference"].mean(), lesson["half_width"]
    assert abs(difference) < half_width
    assert half_width < 0.02
    for errors in lesson["errors"].values():
        assert errors.mean() < lesson["persistence"]
    assert abs(lesson["regression_rmse"](1) - lesson["regression_rmse"](30)) < 0.05
    heard = [lesson["days_heard"](params) for params in lesson["trained"][400]]
    assert max(heard) < 14

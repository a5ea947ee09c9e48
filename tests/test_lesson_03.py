"""What lesson 03 says and shows, asserted on its data, and random cells of its record computed again."""

import json
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from drawings import assert_lines_stay_inside
from evidence import begins_as_stored, script, skip_unless_exact
from explorables import load

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(NOTEBOOKS / "03_shape_of_the_loss.ipynb").namespace


@pytest.fixture(scope="module")
def grid():
    """The script that made the record."""
    return script("smoothness_grid")


@pytest.fixture(scope="module")
def record():
    """What the script stored."""
    return json.loads((NOTEBOOKS / "evidence" / "smoothness_grid.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- one unit


@pytest.mark.parametrize("w", [4.2, 5.0, 7.0])
def test_between_the_folds_there_are_three_fixed_points(lesson, w):
    x = np.linspace(-12, 12.0123, 200_001)  # an odd end, so that no fixed point is a point of the grid
    low, high = sorted(lesson["folds"](w))
    for b, number in ((low - 0.01, 1), ((low + high) / 2, 3), (high + 0.01, 1)):
        crossings = np.diff(np.sign(w * lesson["sigmoid"](x) + b - x)) != 0
        assert crossings.sum() == number


def test_the_published_folds(lesson):
    np.testing.assert_allclose(sorted(lesson["folds"](5.0)), [-2.656, -2.344], atol=5e-4)


@pytest.mark.parametrize("w, length", [(4.5, 11.48), (5.0, 779.4), (5.5, 5.476e4)])
def test_the_gradient_on_the_cliff(lesson, w, length):
    assert lesson["on_the_line"](w, 50) == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize("w, b, steps", [(3.0, -1.0, 50), (5.0, -2.7, 10), (6.0, -3.0, 3)])
def test_the_derivatives_of_the_error(lesson, w, b, steps):
    error, e = lesson["error_and_gradient"], 1e-6
    d_w = (error(w + e, b, steps)[0] - error(w - e, b, steps)[0]) / (2 * e)
    d_b = (error(w, b + e, steps)[0] - error(w, b - e, steps)[0]) / (2 * e)
    np.testing.assert_allclose(error(w, b, steps)[1:], [d_w, d_b], rtol=1e-4, atol=1e-9)
    assert error(w, b, steps)[0] == pytest.approx((lesson["sigmoid"](lesson["trajectory"](w, b, steps)[-1]) - 0.7) ** 2)


def test_the_wall_is_steep_across_and_not_along(lesson):
    """On the line, the derivative along it is far smaller than the gradient."""
    _, d_w, d_b = lesson["error_and_gradient"](5.0, lesson["cliff"](5.0), 50)
    along = np.array([1, -lesson["sigmoid"](0.5)])
    assert abs(along @ (d_w, d_b)) < 1e-3 * np.hypot(d_w, d_b)


def test_no_cliff_below_the_limit(lesson):
    limit = 1 / (lesson["sigmoid"](0.5) * (1 - lesson["sigmoid"](0.5)))
    assert limit == pytest.approx(4.2553, abs=1e-4)
    assert lesson["on_the_line"](limit - 0.2, 400) < 10 < 1e3 < lesson["on_the_line"](limit + 0.2, 400)


def test_each_step_steepens_the_cliff_soon_by_one_factor(lesson):
    growth = [lesson["on_the_line"](5.0, steps + 1) / lesson["on_the_line"](5.0, steps) for steps in (1, 10, 50)]
    s = lesson["sigmoid"](0.5)
    np.testing.assert_allclose(growth, [2.175, 1.219, 5 * s * (1 - s)], rtol=1e-3)


# ---------------------------------------------------------------- curvature


def hessian(lesson, vector):
    """The Hessian of the fixed batch's loss, by torch."""
    model, batch = lesson["model"], lesson["fixed"]
    shapes = model.shapes

    def loss(flat):
        parts = torch.split(flat, [int(np.prod(shape)) for shape in shapes.values()])
        params = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        h = torch.zeros(batch.x.shape[1], model.cell.hidden_size, dtype=torch.float64)
        for x in torch.tensor(batch.x):
            h = torch.tanh(
                x @ params["weight_ih"].T + h @ params["weight_hh"].T + params["bias_ih"] + params["bias_hh"]
            )
        outputs = h @ params["weight_out"].T + params["bias_out"]
        return torch.nn.functional.cross_entropy(outputs, torch.tensor(np.ascontiguousarray(batch.y[-1])))

    flat = torch.tensor(vector)
    assert float(loss(flat)) == pytest.approx(model.loss_and_grads(lesson["as_params"](vector), batch).loss, rel=1e-10)
    return torch.autograd.functional.hessian(loss, flat).numpy()


def test_products_with_the_hessian_and_its_largest_eigenvalue(lesson):
    vector = lesson["stopped"](0)[100]
    exact = hessian(lesson, vector)
    v = np.random.default_rng(3).standard_normal(len(vector))
    np.testing.assert_allclose(
        lesson["hessian_times"](vector, v), exact @ v, rtol=1e-4, atol=1e-4 * np.abs(exact).max()
    )
    values = np.linalg.eigvalsh(exact)
    assert lesson["sharpest"](vector, rounds=200)[0] == pytest.approx(values[np.abs(values).argmax()], rel=1e-2)


def test_vectors_and_parameters_are_the_same(lesson):
    params = lesson["model"].init(np.random.default_rng(0))
    again = lesson["as_params"](lesson["as_vector"](params))
    assert all(np.array_equal(params[name], again[name]) for name in params) and again.keys() == params.keys()


def test_walls_face_the_gradient(lesson):
    """A run that the lesson does not show."""
    distances, losses = lesson["profiles"](7, 150)
    bends = np.abs(losses[:, 21] + losses[:, 19] - 2 * losses[:, 20])
    assert bends[0] > 5 * np.median(bends[1:]) and distances[20] == 0


def test_the_plane_holds_the_profile_and_is_a_valley(lesson):
    """Its middle row is the profile along the gradient; from row to row the loss changes far less."""
    _, profile = lesson["profiles"](2, 150)
    distances, losses = lesson["plane"](2, 150)
    np.testing.assert_allclose(losses[8, [0, 8, 16]], profile[0, [0, 20, 40]], rtol=1e-9)
    assert distances[8] == 0 and np.ptp(losses[8]) > 10 * np.ptp(losses[:, 8])


@pytest.mark.parametrize("turn", [0, 45, 60])
def test_the_landscape_is_seen_from_one_side(lesson, turn):
    """Turning keeps distances on the floor, what is higher is drawn higher, and slices of larger w stand behind."""
    corners = np.array([lesson["seen"](b, w, 0, turn) for b, w in ((-4, 4), (-1, 4), (-4, 7))])
    across, along = (corners[1:] - corners[0]) / (1, 0.4)
    assert np.hypot(*across) == pytest.approx(2) and np.hypot(*along) == pytest.approx(2) and along[1] > 0
    assert lesson["seen"](-2, 5, 0.5, turn)[1] > lesson["seen"](-2, 5, 0, turn)[1]


# ---------------------------------------------------------------- the record


def test_the_record_is_the_whole_grid(grid, record):
    cells = {(row["lr"], row["max_norm"], row["seed"]) for row in record["runs"]}
    assert len(cells) == len(record["runs"]) == len(grid.RATES) * len(grid.MAX_NORMS) * len(grid.SEEDS)
    shown = [row for row in record["runs"] if row["points"]]
    assert len(shown) == 15 and all(row["seed"] == 0 for row in shown)
    for row in shown:
        stored = np.corrcoef(np.log(np.array(row["points"])).T)[0, 1]
        assert stored == pytest.approx(row["correlation"], abs=0.02)


def test_random_cells_are_exactly_as_stored(grid, record):
    skip_unless_exact(record["made"])
    row = random.choice(record["runs"])
    again = grid.run(row["lr"], row["max_norm"], row["seed"])
    assert again["loss"] == row["loss"]
    # A dot product's last digit depends on where in memory the logarithms happen to lie.
    assert again["correlation"] == pytest.approx(row["correlation"], rel=0, abs=1e-12)


def test_random_runs_begin_as_stored(grid, record):
    row = random.choice([row for row in record["runs"] if row["points"] and row["lr"] < 20])
    again = grid.run(row["lr"], row["max_norm"], row["seed"], updates=40)
    begins_as_stored(again["points"][:8], np.array(row["points"])[:8], rtol=0.02)


def test_the_estimator_finds_a_known_curvature(grid):
    """With a gradient that is linear in the weights the smoothness is the curvature."""
    measure = grid.Smoothness(0, every=1)
    measure.gradient = lambda params: 3.0 * params["w"]
    rng = np.random.default_rng(0)
    for update in range(1, 4):
        moved = {"w": rng.standard_normal(5)}
        measure(SimpleNamespace(update=update, params=moved))
    np.testing.assert_allclose([smooth for _, smooth in measure.points], 3.0)


def test_what_the_lesson_concludes_from_the_grid(lesson):
    mean = {key: lesson["correlation"](*key)[0] for key in lesson["cell_runs"]}
    assert max(mean[20.0, None], mean[50.0, None]) < 0.4 < 0.6 < min(mean[20.0, 0.1], mean[50.0, 0.1], mean[0.5, None])
    assert mean[0.5, 0.03] < -0.6
    best_free = min(np.mean(lesson["losses"][key]) for key in mean if key[1] is None)
    best_held = min(np.mean(lesson["losses"][key]) for key in mean if key[1] is not None)
    assert best_held < best_free < best_held + 0.05


@pytest.mark.parametrize("name", ["settles", "cut", "landscape", "walls", "valley", "curvature", "smoothness"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])

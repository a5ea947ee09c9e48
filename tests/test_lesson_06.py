"""What lesson 06 says and shows, asserted on its data, and a part of its stored evidence computed again."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import rnnlab as rl
from evidence import begins_as_stored, script, skip_unless_exact
from explorables import load

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
EVIDENCE = NOTEBOOKS / "evidence" / "momentum_compare.py"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(NOTEBOOKS / "06_gradient_descent_and_momentum.ipynb").namespace


@pytest.fixture(scope="module")
def compare():
    """The script of the evidence."""
    return script(EVIDENCE.stem)


@pytest.fixture(scope="module")
def result():
    """What the script stored."""
    return json.loads(EVIDENCE.with_suffix(".json").read_text(encoding="utf-8"))


def drawn(explorable, **state):
    """Draw a state on plain axes; return the axes and the sentence."""
    axes = [Figure().subplots() for _ in range(explorable.panels)]
    return axes, explorable(axes[0] if len(axes) == 1 else axes, **explorable.default | state)


# ---------------------------------------------------------------- the limit of a learning rate


@pytest.mark.parametrize("lr, grows", [(0.1, False), (1.9, False), (1.999, False), (2.001, True), (2.1, True)])
def test_the_steepest_axis_sets_the_limit(lesson, lr, grows):
    path = lesson["descend"](lambda w: np.array([0.02, 1.0]) * w, (1, 1), rl.SGD(lr), 50)
    assert (abs(path[-1, 1]) > 1) == grows
    np.testing.assert_allclose(path[-1], (1 - lr * np.array([0.02, 1.0])) ** 50, rtol=1e-9)


def test_no_learning_rate_leaves_less_than_the_best_factor():
    for kappa in (1, 2, 10, 100):
        slowest = [max(abs(1 - lr / kappa), abs(1 - lr)) for lr in np.linspace(0.01, 2, 2000)]
        best = 2 / (1 + 1 / kappa) - 1
        assert best == pytest.approx((kappa - 1) / (kappa + 1)) and best <= min(slowest) + 1e-12


def test_a_kick_grows_in_a_network_as_the_curvature_says(lesson):
    below, above = lesson["growths"].T
    assert sum(limit < 0.05 for limit in lesson["limits"]) == 1 and min(lesson["limits"]) < 0.03
    assert (abs(below - 0.8) < 0.06).all() and (abs(above - 1.2) < 0.06).all()


def test_the_largest_curvature_is_that_of_the_whole_matrix(lesson):
    """Against the eigenvectors of the matrix itself, built column by column."""
    gradient, w = lesson["network"](0)
    curvature, direction = lesson["steepest"](gradient, w, 0)
    hessian = np.array([(gradient(w + 1e-5 * e) - gradient(w - 1e-5 * e)) / 2e-5 for e in np.eye(w.size)])
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    assert curvature == pytest.approx(values[-1], rel=1e-3)
    assert abs(vectors[:, -1] @ direction) > 0.99


def test_the_ravine_figure_shows_the_formula(lesson):
    (_, distance), sentence = drawn(lesson["ravine"], condition=50, lr=1.9)
    np.testing.assert_allclose(distance.lines[1].get_ydata()[:50], (1 - 1.9 / 50) ** np.arange(50))
    assert "0.962" in sentence and "-0.900" in sentence and "0.961" in sentence


# ---------------------------------------------------------------- momentum


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_matrix_is_the_update(lesson, nesterov):
    """Two points in a row, moved by the matrix, are those of torch.optim.SGD (whose point is Nesterov's look-ahead)."""
    x, momentum = 0.3, 0.9
    w = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
    sgd, points, looked_from = torch.optim.SGD([w], lr=x, momentum=momentum, nesterov=nesterov), [1.0], [1.0]
    for _ in range(30):
        sgd.zero_grad()
        (w**2 / 2).backward()
        looked_from.append(points[-1] - x * points[-1])  # a plain step from the look-ahead point
        sgd.step()
        points.append(w.item())
    matrix = lesson["nesterov_matrix" if nesterov else "ball_matrix"](x, momentum)
    walked = looked_from if nesterov else points
    for before, now, after in zip(walked, walked[1:], walked[2:], strict=False):
        np.testing.assert_allclose(matrix @ [now, before], [after, now], atol=1e-12)


@pytest.mark.parametrize("kappa", [4, 100, 2500])
def test_no_heavy_ball_beats_the_best_one(lesson, kappa):
    rate = (np.sqrt(kappa) - 1) / (np.sqrt(kappa) + 1)

    def slowest(lr, momentum):
        return max(rl.spectral_radius(lesson["ball_matrix"](x, momentum)) for x in (lr / kappa, lr))

    rng = np.random.default_rng(0)
    best_lr, best_momentum = (2 / (1 + kappa**-0.5)) ** 2, rate**2
    assert slowest(best_lr, best_momentum) == pytest.approx(rate, abs=1e-6)
    near = [(best_lr * rng.uniform(0.8, 1.2), rng.uniform(0, 1)) for _ in range(300)]
    assert all(slowest(lr, momentum) > rate - 1e-6 for lr, momentum in near)


def test_the_rate_is_the_root_of_mu_wherever_the_eigenvalues_are_complex(lesson):
    for momentum in (0.3, 0.9, 0.99):
        low, high = (1 - momentum**0.5) ** 2, (1 + momentum**0.5) ** 2
        for x in np.linspace(low, high, 20)[1:-1]:
            assert rl.spectral_radius(lesson["ball_matrix"](x, momentum)) == pytest.approx(momentum**0.5)
        assert rl.spectral_radius(lesson["ball_matrix"](0.9 * low, momentum)) > momentum**0.5


@pytest.mark.parametrize("momentum", [0.3, 0.67, 0.9, 0.99])
def test_the_limits_of_the_two_rules(lesson, momentum):
    for matrix, limit in (("ball", 2 * (1 + momentum)), ("nesterov", 2 * (1 + momentum) / (1 + 2 * momentum))):
        assert lesson["largest_stable"](lesson[f"{matrix}_matrix"], momentum) == pytest.approx(limit, abs=1e-3)


def test_at_a_learning_rate_of_1_5_only_nesterov_explodes(lesson):
    ends = {rule: lesson["distances"](lesson["optimizer"](rule, 1.5, 0.9), 150)[-1] for rule in lesson["RULES"]}
    assert ends["no momentum"] < 1 and ends["momentum"] < 1 < ends["Nesterov"]


def test_momentum_needs_a_root_of_the_updates_and_a_detour(lesson):
    needs = lesson["updates_to_a_hundredth"]
    assert needs(lesson["plain"]) == 231
    assert needs(lesson["ball"]) < 231 / 4 and lesson["ball"].max() > 2 * lesson["ball"][0]
    kappa = ((1 + 0.99**0.5) / (1 - 0.99**0.5)) ** 2  # the ravine for which 0.99 is the best momentum
    assert kappa == pytest.approx(160_000, rel=0.02)
    slow = lesson["distances"](rl.SGD(1.0, 0.99), 400)
    assert needs(slow) is None or needs(slow) > 300


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize("lr, momentum", [(0.1, 0.0), (0.1, 0.9), (0.5, 0.5), (1.5, 0.9), (0.02, 0.99)])
def test_the_floor_is_the_fixed_point_of_the_variance(lesson, lr, momentum):
    """The covariance C of two points in a row solves C = A C A' + lr^2 E, here by a linear system."""
    matrix = lesson["ball_matrix"](lr, momentum)
    noise = np.array([[lr**2, 0.0], [0.0, 0.0]])
    covariance = np.linalg.solve(np.eye(4) - np.kron(matrix, matrix), noise.ravel())
    assert covariance[0] == pytest.approx(lesson["floor"](lr, momentum), rel=1e-9)


def test_the_floor_follows_the_effective_learning_rate(lesson):
    measured = {key: mean for key, (mean, _) in lesson["measured"].items()}
    assert 8 < measured[0.1, 0.9] / measured[0.1, 0.0] < 11
    assert 0.9 < measured[0.01, 0.9] / measured[0.1, 0.0] < 1.0


def test_the_noise_figure_measures_the_floor(lesson):
    (_, floors), sentence = drawn(lesson["noise"], momentum=0.9, value=0.1, meaning="lr / (1 - momentum)")
    assert floors.lines[-1].get_ydata()[0] == pytest.approx(lesson["floor"](0.01, 0.9), rel=0.1)
    assert sentence.startswith("Learning rate 0.01, effective 0.1.")


# ---------------------------------------------------------------- the race


@pytest.mark.parametrize("surface", ["ravine", "curved valley", "saddle", "cliff"])
def test_gradients_of_the_surfaces(lesson, surface):
    function, rng = lesson["SURFACES"][surface][0], np.random.default_rng(0)
    start, h = np.array(lesson["SURFACES"][surface][1]), 1e-6
    for point in (start, start + [0.3, 0.1], start + rng.normal(0, 0.2, 2)):
        numeric = [(function(*(point + h * e))[0] - function(*(point - h * e))[0]) / (2 * h) for e in np.eye(2)]
        np.testing.assert_allclose(function(*point)[1], numeric, rtol=1e-4, atol=1e-8)


def test_who_wins_depends_on_the_surface(lesson):
    updates = {surface: {rule: n for rule, (n, _) in best.items()} for surface, best in lesson["winners"].items()}
    for surface in ("ravine", "curved valley"):
        assert updates[surface]["Nesterov"] < updates[surface]["momentum"] < updates[surface]["no momentum"] < 201
    assert updates["saddle"]["momentum"] > 2 * updates["saddle"]["no momentum"]


def test_the_race_figure_shows_the_path_and_says_when_it_flies_off(lesson):
    (plane, _), sentence = drawn(lesson["surfaces"], surface="curved valley", rule="momentum", lr=0.2)
    path, losses = lesson["race"]("curved valley", "momentum", 0.2)
    np.testing.assert_array_equal(plane.lines[0].get_xydata(), path)
    assert f"{losses[-1]:.2g}" in sentence
    assert "flown off" in drawn(lesson["surfaces"], surface="ravine", rule="Nesterov", lr=1.9)[1]


@pytest.mark.parametrize("rule", ["no momentum", "momentum", "Nesterov"])
def test_on_the_cliff_a_hundred_millionth_can_decide_where_a_run_ends(lesson, rule):
    cliff, spread = lesson["SURFACES"]["cliff"][0], []
    for lr in (0.01, 0.02, 0.05):
        mover = lesson["optimizer"](rule, lr, 0.9)
        starts = [(6.0, -3.05 + k * 1e-8) for k in range(5)]
        ends = [lesson["descend"](lambda w: cliff(*w)[1], start, mover, 200)[-1] for start in starts]
        spread.append(np.ptp([cliff(*end)[0] for end in ends]))
    assert max(spread) > 0.05


def test_with_momentum_a_clip_bounds_the_effective_step(lesson):
    assert 5 * 0.01 < lesson["longest"] <= 0.1 + 1e-12


# ---------------------------------------------------------------- the comparison


def test_every_method_had_the_same_budget_on_other_seeds(compare, result):
    assert result["settings"] == compare.settings()
    assert not set(compare.PILOT_SEEDS) & set(compare.FRESH_SEEDS)
    for rule, clip in compare.METHODS:
        trials = [trial for trial in result["pilot"] if (trial["rule"], trial["clip"]) == (rule, clip)]
        assert [trial["effective_rate"] for trial in trials] == compare.EFFECTIVE_RATES
        assert {len(trial["losses"]) for trial in trials} == {len(compare.PILOT_SEEDS)}
        best = min(trials, key=lambda trial: np.mean(trial["losses"]))["effective_rate"]
        runs = [run for run in result["fresh"] if (run["rule"], run["clip"]) == (rule, clip)]
        assert [run["seed"] for run in runs] == list(compare.FRESH_SEEDS)
        assert {run["effective_rate"] for run in runs} == {best}
        assert min(compare.EFFECTIVE_RATES) < best < max(compare.EFFECTIVE_RATES)  # not at an edge of the grid


def test_random_runs_of_the_comparison_begin_as_stored(compare, result):
    """The first 50 updates: on three ways of rounding all six digits stored are the same; those up to 75 are not."""
    for run in random.sample(result["fresh"], 6):
        again = compare.run(run["rule"], run["clip"], run["effective_rate"], run["seed"], updates=50)
        begins_as_stored(again["curve"], run["curve"][:2], rtol=2e-5, about=run)


def test_a_random_run_of_the_comparison_is_exactly_as_stored(compare, result):
    made = result["made"]
    skip_unless_exact(made)
    run = random.choice(result["fresh"])
    again = compare.run(run["rule"], run["clip"], run["effective_rate"], run["seed"])
    assert {key: run[key] for key in again} == again


def test_the_mean_loss_counts_no_update_as_more_than_guessing(compare):
    guessing = compare.TASK.baseline
    assert compare.mean_loss(np.array([0.0, 1.0, 50.0, np.nan]), updates=8) == pytest.approx((1 + 6 * guessing) / 8)


def ends(lesson, rule, clip):
    """Wilson's interval of the share solved, as two percentages."""
    return [float(end.rstrip("%")) for end in lesson["wilson"](lesson["solved"](rule, clip)).split(" to ")]


def test_without_a_clip_momentum_solves_more_at_the_same_effective_rate(lesson):
    assert len({lesson["chosen"](rule, "no clip") for rule in lesson["RULES"]}) == 1
    for rule in ("momentum", "Nesterov"):
        assert ends(lesson, rule, "no clip")[0] > ends(lesson, "no momentum", "no clip")[1]
        mean, half = lesson["compared"]((rule, "no clip"), ("no momentum", "no clip"), "mean_loss")
        assert mean + half < 0
    longest = [
        np.median([run["largest_norm"] for run in lesson["fresh"](rule, "no clip")])
        for rule in ("no momentum", "momentum")
    ]
    assert longest[1] > 0.9 * longest[0]  # no tamer


def test_with_the_clip_all_solve_and_momentum_is_faster(lesson):
    for rule in lesson["RULES"]:
        assert lesson["solved"](rule, "clip") == len(lesson["SEEDS"]) == 20
    for rule in ("momentum", "Nesterov"):
        assert lesson["chosen"](rule, "clip") == 2 * lesson["chosen"]("no momentum", "clip")
        for key in ("mean_loss", "learned_after"):
            mean, half = lesson["compared"]((rule, "clip"), ("no momentum", "clip"), key)
            assert mean + half < 0


def test_with_the_clip_the_tuning_curves_coincide_until_plain_descent_breaks(lesson, result):
    loss = {
        (trial["rule"], trial["effective_rate"]): np.mean(trial["losses"])
        for trial in result["pilot"]
        if trial["clip"] == "clip"
    }
    for rule in ("momentum", "Nesterov"):
        assert all(abs(loss[rule, rate] - loss["no momentum", rate]) < 0.1 for rate in (0.005, 0.01, 0.02, 0.04, 0.08))
        assert loss["no momentum", 0.64] > 1 > 0.2 > loss[rule, 0.64]


def test_the_clip_alone_beats_momentum_alone_and_the_two_rules_are_close(lesson):
    mean, half = lesson["compared"](("no momentum", "clip"), ("momentum", "no clip"), "mean_loss")
    assert mean + half < 0
    mean, half = lesson["compared"](("Nesterov", "no clip"), ("momentum", "no clip"), "mean_loss")
    assert abs(mean) < half
    mean, half = lesson["compared"](("Nesterov", "clip"), ("momentum", "clip"), "mean_loss")
    assert mean + half < 0 and mean > -0.05


def test_the_comparison_figure_shows_every_trial_and_every_run(lesson, compare):
    for clip in lesson["CLIPS"]:
        (tuning, runs), sentence = drawn(lesson["recurrent"], clip=clip)
        points = [line for line in tuning.lines if line.get_fillstyle() == "full"]
        assert sum(len(line.get_xdata()) for line in points) == 3 * len(compare.EFFECTIVE_RATES)
        for line, rule in zip(runs.lines, lesson["RULES"], strict=False):
            assert list(line.get_ydata()) == sorted(run["mean_loss"] for run in lesson["fresh"](rule, clip))
            assert f"{rule} {lesson['solved'](rule, clip)}" in sentence


# ---------------------------------------------------------------- momentum and time


def test_the_parts_of_the_steps_add_up_and_early_ones_stay_drowned(lesson):
    assert max(lesson["alone"]) < 1e-6
    for mu, gain in lesson["gains"].items():
        assert (gain < np.sqrt((1 + mu) / (1 - mu)) + 1e-9).all()
    assert (abs(lesson["gains"][0.9] - 1) < 0.3).all()

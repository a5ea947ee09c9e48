"""What lesson 07 says and shows, asserted on its data, and a part of its stored evidence computed again."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import rnnlab as rl
from evidence import begins_as_stored, script
from explorables import load

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
EVIDENCE = NOTEBOOKS / "evidence"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(NOTEBOOKS / "07_adaptive_learning_rates.ipynb").namespace


def drawn(explorable, **state):
    """Draw a state on plain axes; return the axes and the sentence."""
    axes = [Figure().subplots() for _ in range(explorable.panels)]
    return axes, explorable(axes[0] if len(axes) == 1 else axes, **explorable.default | state)


def stored(name):
    return json.loads((EVIDENCE / f"{name}.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- a rate of its own


def test_the_gradient_of_a_column_is_as_long_as_its_symbol_is_frequent(lesson):
    ratio = lesson["mean_length"][0] / lesson["mean_length"][-1]
    assert 15 < ratio < 64
    assert lesson["silent"][-1] == pytest.approx((1 - 1 / 128) ** 64, abs=0.07)  # 4 steps of 16 sequences


def test_a_rare_weight_lags_by_the_root_of_its_share():
    """Exercise 1, on streams instead of sums."""
    rare = np.where(np.arange(10**4) % 100 == 0, 1.0, 0.0)
    for rule in (rl.AdaGrad(1.0, eps=0.0), rl.RMSProp(1.0, alpha=0.9999, eps=0.0)):
        way = {}
        for name, stream in (("rare", rare), ("always", np.ones(10**4))):
            w, state = {"w": np.zeros(())}, rule.init({"w": np.zeros(())})
            for g in stream:
                w, state = rule.update(w, {"w": np.array(g)}, state)
            way[name] = -float(w["w"])
        assert way["rare"] / way["always"] == pytest.approx(0.1, rel=0.1)


def test_the_size_of_all_gradients_cancels_and_an_explosion_stays_with_adagrad(lesson):
    rates = lesson["cached_rates"]
    for stream in ("constant", "one explosion", "noise"):
        small, large = (rates(stream, 0.99, size) * size for size in (1e-4, 1e4))
        np.testing.assert_allclose(small, large, rtol=1e-2)
    after = rates("one explosion", 0.99, 1.0)
    assert after[-1, 0] == pytest.approx(1 / np.sqrt(999 + 1e6)) and after[-1, 1] > 0.4
    assert after[-1, 1] > after[-2, 1] and after[-1, 2] == pytest.approx(after[-1, 1], rel=0.01)  # and rise on, alike
    assert rates("constant", 0.9, 1.0)[-1, 0] == pytest.approx(1 / np.sqrt(1000))


def test_adaptive_rules_recall_rare_symbols_better_than_sgd_where_their_runs_are_calm(lesson):
    """Relative rates of 3 are left out: there rounding decides what AdaGrad and RMSProp recall."""

    def ends(rule, k):
        values = lesson["rare"][rule, k]
        half = 2.365 * values.std(ddof=1) / np.sqrt(8)
        return values.mean() - half, values.mean() + half

    assert len(lesson["rare"]["SGD", 1.0]) == 8
    assert ends("SGD", 1.0)[1] < min(ends("AdaGrad", 1.0)[0], ends("RMSProp", 1.0)[0], ends("Adam", 3.0)[0])
    for rule in lesson["RULES"]:
        assert set(lesson["chosen"][rule]) <= set(lesson["HALF_DECADES"][1:-1])  # not at the edge of its grid


def test_a_higher_rate_costs_sgd_the_other_symbols_before_it_finds_the_rare_ones(lesson):
    def shares(k):
        return np.mean([lesson["recalled"](history.params) for history in lesson["pilot"]["SGD", k]], axis=0)

    chosen, higher, highest = shares(1.0), shares(3.0), shares(10.0)
    assert lesson["chosen"]["SGD"] == [1.0] and higher[2:6].mean() < chosen[2:6].mean()
    assert max(chosen[-2:].mean(), higher[-2:].mean(), highest[-2:].mean()) < 1 / 8  # no better than guessing


def test_the_rare_figure_shows_the_pilot_networks(lesson):
    (ax,), sentence = drawn(lesson["rare_symbols"], rule="Adam", k=3.0)
    shares = [lesson["recalled"](history.params) for history in lesson["pilot"]["Adam", 3.0]]
    np.testing.assert_allclose(ax.lines[5].get_ydata(), np.mean(shares, axis=0))
    assert sentence.endswith("It is chosen.")


# ---------------------------------------------------------------- bias correction


@pytest.mark.parametrize(
    "betas, figures",
    [
        ((0.9, 0.999), (3.16, 6.53, 3.24, 1.26)),
        ((0.0, 0.999), (31.6, 10.0, 3.24, 1.26)),
        ((0.9, 0.9999), (10.0, 20.6, 10.0, 3.24)),
        ((0.9, 0.9), (0.32, 0.81, 1.0, 1.0)),
    ],
)
def test_the_amplification_is_the_known_one(lesson, betas, figures):
    computed = lesson["amplification"](np.array([1, 10, 100, 1000]), *betas)
    np.testing.assert_allclose(computed, figures, rtol=0.012)


def test_the_warm_up_figure_shows_the_closed_form_and_its_peak(lesson):
    (ax,), sentence = drawn(lesson["warm_up"], beta1=0.9, beta2=0.999)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), lesson["amplification"](lesson["UPDATES"], 0.9, 0.999))
    assert "6.57 times the learning rate, at update 12" in sentence
    assert drawn(lesson["warm_up"], beta1=0.9, beta2=0.9)[1].startswith("Without correction no step is longer")


def test_without_correction_the_best_learning_rate_is_lower_and_the_losses_are_alike(lesson):
    trials, chosen = lesson["trials"], lesson["picked"]
    assert lesson["RATES"][chosen[False]] <= lesson["RATES"][chosen[True]] / 3
    ranges = [(trials[c][chosen[c]].min(), trials[c][chosen[c]].max()) for c in (True, False)]
    assert max(low for low, _ in ranges) < min(high for _, high in ranges)


def test_the_correction_is_a_schedule_that_rises_after_its_first_updates(lesson):
    rate = 1 / lesson["overshoot"]
    assert rate.argmin() == 11 and (np.diff(rate[11:]) > 0).all() and rate.max() < 1
    assert lesson["without"] == pytest.approx(lesson["with_it"] / rate)


# ---------------------------------------------------------------- epsilon


def test_the_step_at_a_gradient_of_1e_7(lesson):
    assert lesson["lengths"]["PyTorch"] == pytest.approx(0.909, abs=1e-3)
    assert lesson["lengths"]["Optax"] == pytest.approx(1e-3, rel=1e-3)
    assert lesson["lengths"]["Keras"] == pytest.approx(3.16e-4, rel=1e-3)


@pytest.mark.needs("optax")
def test_the_options_are_the_frameworks_own_rules(lesson):
    optax = pytest.importorskip("optax")
    theirs = {
        ("RMSProp", "Optax"): optax.rmsprop(1.0),
        ("AdaGrad", "Keras"): optax.adagrad(1.0),  # the lesson says that the two are alike
        ("Adam", "PyTorch"): optax.adam(1.0),
    }
    g = np.array([1e-3, 1.0], np.float32)
    for (rule, framework), transform in theirs.items():
        ours, w, state, their_state = lesson["FRAMEWORKS"][rule][framework], {"w": 0 * g}, None, transform.init(g)
        state = ours.init(w)
        for _ in range(5):
            before, (w, state) = w["w"], ours.update(w, {"w": g}, state)
            step, their_state = transform.update(g, their_state)
            np.testing.assert_allclose(w["w"] - before, np.asarray(step), rtol=1e-4, err_msg=f"{rule} {framework}")


def test_the_epsilon_figure_shows_the_steps(lesson):
    (steps, sizes), sentence = drawn(lesson["epsilon"], rule="RMSProp", update=1000, trained=400)
    np.testing.assert_array_equal(steps.lines[2].get_ydata(), lesson["step_lengths"]("RMSProp", "Keras")[-1])
    assert sum(bar.get_height() for bar in sizes.patches) == pytest.approx(
        (lesson["entries"](400) > 1e-10).mean(), abs=0.02
    )
    assert "above 3e-04" in sentence


def test_training_moves_entries_below_keras_epsilon_and_none_below_pytorchs(lesson):
    assert lesson["below"][400] > 5 * lesson["below"][0]
    assert np.mean(lesson["moved"][400] < 1e-8) < 1e-3


# ---------------------------------------------------------------- the counter-example


@pytest.mark.parametrize("start", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("C", [2.5, 3, 4, 10])
def test_adam_ends_at_the_worst_point_and_the_others_near_the_best(lesson, C, start):
    assert lesson["walk"]("Adam", C, start)[-3] > 0.95
    for rule in ("AMSGrad", "AdaGrad", "SGD"):
        assert lesson["walk"](rule, C, start)[-3] < (-0.5 if C == 2.5 else -0.85), rule


@pytest.mark.parametrize("rule, optimizer", [("Adam", rl.Adam), ("AMSGrad", rl.AMSGrad)])
def test_the_walk_is_the_modules_own_rule(lesson, rule, optimizer):
    steps = lesson["scaled_gradients"](rule, 3, 60)
    adam = optimizer(1.0, beta1=0.0, beta2=0.1, eps=0.0, bias_correction=False)
    w, state = {"w": np.zeros(())}, adam.init({"w": np.zeros(())})
    for t, step in enumerate(steps, start=1):
        moved, state = adam.update(w, {"w": np.array(3.0 if t % 3 == 1 else -1.0)}, state)
        assert -float(moved["w"]) == pytest.approx(step, rel=1e-12)


def test_the_known_values_of_the_counter_example(lesson):
    """Theorem 1 with C = 3 and alpha = 0.9, worked out by hand."""
    path = lesson["walk"]("Adam", 3, 1.0, updates=301)
    gradient = np.where(np.arange(300) % 3 == 0, 3.0, -1.0)
    regret = np.cumsum(gradient * (path[:300] + 1))
    assert path[1] == pytest.approx(0.0513167, abs=1e-7) and path[3] == 1
    assert regret[2] == pytest.approx(3.41070, abs=1e-4) and regret[-1] >= 200
    assert lesson["walk"]("AMSGrad", 3, 1.0, updates=3)[2] == pytest.approx(0.2749235, abs=1e-6)


def test_what_the_lesson_says_of_five_million_updates(lesson):
    x = lesson["stored_x"]
    for rate in ("0.001", "0.01", "0.1", "0.1 / sqrt(t)", "1 / sqrt(t)"):
        assert x("Adam", rate, "cycle")[0, -1] == 1
        assert x("AMSGrad", rate, "cycle")[0, -1] < -0.5
    assert x("AMSGrad", "0.1 / sqrt(t)", "cycle")[0, -1] == pytest.approx(-0.69, abs=0.01)
    too_slow, too_noisy = x("AMSGrad", "0.1 / sqrt(t)", "random"), x("AMSGrad", "0.01", "random")
    assert too_slow.shape == too_noisy.shape == (5, len(lesson["LOOKS"]))
    assert too_slow[:, lesson["LOOKS"] <= 100].max(axis=1).min() > 0.8 and too_slow[:, -1].min() > 0.3
    assert too_noisy[:, -1].max() > 0.5 and too_noisy[:, -1].min() < -0.5
    assert np.abs(np.diff(too_noisy[:, lesson["LOOKS"] > 10**6])).max(axis=1).min() > 0.1  # the runs still swing


@pytest.mark.parametrize("seed", range(5))
def test_amsgrad_walks_the_wrong_way_before_the_first_large_gradient(seed):
    g = np.where(np.random.default_rng(seed).random(10_000) < 0.01, 1010.0, -10.0)
    x = m = v = v_max = 0.0
    for t in range(1, int(g.argmax()) + 1):
        m, v = 0.9 * m + 0.1 * g[t - 1], 0.99 * v + 0.01 * g[t - 1] ** 2
        v_max = max(v, v_max)
        x = min(1.0, x - 0.1 / np.sqrt(t) * m / np.sqrt(v_max))
    assert x > 0.8


def test_the_five_million_updates_begin_as_stored():
    counterexample, result = script("adam_counterexample"), stored("adam_counterexample")
    looks = [look for look in result["settings"]["looks"] if look <= 20_000]
    x, _ = counterexample.follow(looks)
    again = dict(zip(counterexample.COLUMNS, x.T, strict=True))
    assert len(looks) > 30
    for run in random.sample(result["runs"], 12):
        at = again[run["rule"], run["rate"], run["problem"]]
        begins_as_stored(at, run["x"][: len(looks)], rtol=1e-7, atol=2e-6)


# ---------------------------------------------------------------- vanishing


@pytest.mark.parametrize("length, radius, seed", [(10, 0.8, 1), (40, 0.6, 2), (60, 1.2, 3)])
def test_the_share_of_every_step_in_every_entry_is_the_same_before_and_after(lesson, length, radius, seed):
    before, after = lesson["credit"](length, radius, seed)
    shares = [parts / parts.sum(axis=0) for parts in (before, after)]
    np.testing.assert_allclose(*shares, rtol=1e-9, atol=1e-300)


def test_the_share_of_early_steps_hangs_on_the_weights_not_on_the_division(lesson):
    assert max(lesson["changes"]) < 100
    small, large = (lesson["share_of_first_half"](lesson["credit"](40, radius, 0)[0]) for radius in (0.6, 1.2))
    assert large > 1000 * small
    assert lesson["longer"] is not None and lesson["lengths_after"] > 5


def test_every_rule_was_tuned_with_the_same_number_of_trials_on_other_seeds():
    reach, result = script("adaptive_reach"), stored("adaptive_reach")
    assert {len(rates) for rates in reach.LEARNING_RATES.values()} == {5}
    assert not set(reach.PILOT_SEEDS) & set(reach.FRESH_SEEDS)
    best = reach.best_rates(result["pilot"])
    for (length, rule), lr in best.items():
        fresh = [run for run in result["fresh"] if (run["length"], run["rule"]) == (length, rule)]
        assert {run["lr"] for run in fresh} == {lr}
        assert [run["seed"] for run in fresh] == list(reach.FRESH_SEEDS)
    assert len(result["pilot"]) == 5 * 5 * 5 * 3 and len(result["fresh"]) == 5 * 5 * 10
    assert result["settings"] == reach.settings()


def test_random_runs_of_the_reach_begin_as_stored():
    """The first 200 updates, which do not depend on the machine's rounding."""
    reach = script("adaptive_reach")
    for run in random.sample(stored("adaptive_reach")["fresh"], 4):
        again = reach.run(run["length"], run["rule"], run["lr"], run["seed"], updates=200)
        begins_as_stored(again["curve"][0], run["curve"][0], rtol=1e-5, atol=2e-6, about=run)


def test_the_reach_figure_shows_the_stored_runs(lesson):
    (curves, errors), sentence = drawn(lesson["how_far"], length=20, rule="RMSProp")
    runs = lesson["fresh_runs"](20, "RMSProp")
    for line, run in zip(curves.lines, runs, strict=False):
        assert list(line.get_ydata()) == run["curve"]
    assert sorted(errors.lines[3].get_ydata()) == sorted(run["error"] for run in runs)
    assert f"RMSProp {sum(run['error'] < 0.05 for run in runs)}" in sentence


def test_what_the_lesson_concludes_from_the_reach(lesson):
    learned, wilson = lesson["learned"], lesson["wilson"]

    def ends(length, rule):
        return [float(end.rstrip("%")) for end in wilson(learned(length, rule)).split(" to ")]

    adaptive = ("AdaGrad", "RMSProp", "Adam")
    assert all(learned(10, rule) == 10 for rule in lesson["REACH_COLORS"])
    assert all(ends(20, rule)[0] > ends(20, "SGD")[1] for rule in (*adaptive, "two rates"))
    assert ends(30, "Adam")[0] < ends(30, "SGD")[1] and learned(30, "Adam") == 5  # the intervals overlap
    assert learned(30, "two rates") == 0
    assert sum(learned(60, rule) for rule in lesson["REACH_COLORS"]) == 0
    assert min(lesson["at_60"]) > 0.14 and len(lesson["at_60"]) == 75
    assert sum(lesson["partly"].values()) == 0  # of SGD, two rates and AdaGrad, at 40 steps
    longest = max(stored("adaptive_reach")["fresh"], key=lambda run: run["largest_norm"])
    assert longest["rule"] in adaptive and longest["largest_norm"] > 100


def test_parts_of_one_length_are_no_gradient(lesson):
    """Exercise 5."""
    early, late = np.array(lesson["halves"]).T
    assert lesson["share_of_first_half"](lesson["evened"]) == pytest.approx(19 / 39)  # step 0 has no part
    assert sum(early < 0) == 1 and early.max() < 0.5 and (late > early).all()


def test_sgd_fails_at_20_steps_with_a_gradient_that_arrives(lesson):
    assert np.median(lesson["heard"]) > 0.1
    assert np.median([lesson["untrained_flow"](seed) for seed in range(10)]) < 1e-4
    assert min(lesson["uneven_sizes"]) > 5


def test_the_tuning_figure_marks_the_rate_that_was_run(lesson):
    for length in lesson["LENGTHS"]:
        (ax,), sentence = drawn(lesson["tuning"], length=length)
        rings = [line.get_xdata()[0] for line in ax.lines if line.get_fillstyle() == "none"]
        assert rings == [lesson["fresh_runs"](length, rule)[0]["lr"] for rule in lesson["REACH_COLORS"]]

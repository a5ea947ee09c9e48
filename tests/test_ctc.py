"""The loss of `rnnlab.ctc` against torch, all paths and finite differences, and the searches against all labellings."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import finite_differences
from rnnlab import ctc, ctc_decoding

cases = given(seed=st.integers(0, 10**6), T=st.integers(1, 9), B=st.integers(1, 4), C=st.integers(2, 5),
              S=st.integers(0, 4))  # fmt: skip


def random_case(seed, T, B, C, S):
    """Return arguments of ctc_loss: repeated labels, empty and impossible targets among them."""
    rng = np.random.default_rng(seed)
    blank = int(rng.integers(C))
    targets = rng.choice([symbol for symbol in range(C) if symbol != blank], (B, S))
    lengths = rng.integers(1, T + 1, B), rng.integers(0, S + 1, B)
    return (3 * rng.normal(size=(T, B, C)), targets, *lengths), blank


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def all_labellings(logits, blank):
    """Return the probability of each labelling of one sequence (T, C), by the sum over all C^T paths."""
    y, found = np.exp(log_softmax(logits)), {}
    for path in itertools.product(range(y.shape[1]), repeat=len(y)):
        labels = ctc_decoding.collapse(path, blank=blank)
        found[labels] = found.get(labels, 0) + math.prod(y[t, symbol] for t, symbol in enumerate(path))
    return found


def of_torch(arguments, blank, **settings):
    torch = pytest.importorskip("torch")
    logits = torch.tensor(arguments[0], requires_grad=True)
    loss = torch.nn.CTCLoss(blank=blank, **settings)(logits.log_softmax(2), *map(torch.tensor, arguments[1:]))
    loss.sum().backward()
    return loss.detach().numpy(), logits.grad.numpy()


# ---------------------------------------------------------------- the loss


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@cases
def test_loss_and_gradient_are_those_of_torch(reduction, zero_infinity, seed, T, B, C, S):
    arguments, blank = random_case(seed, T, B, C, S)
    settings = {"reduction": reduction, "zero_infinity": zero_infinity}
    loss, d_logits = ctc.ctc_loss(*arguments, blank=blank, **settings)
    theirs = of_torch(arguments, blank, **settings)
    np.testing.assert_allclose(loss, theirs[0], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(d_logits, theirs[1], rtol=1e-8, atol=1e-11)  # NaN where torch has NaN


def test_long_sequences_in_float32_are_those_of_torch():
    arguments, blank = random_case(0, 400, 6, 30, 60)
    arguments = (arguments[0].astype(np.float32), *arguments[1:])
    loss, d_logits = ctc.ctc_loss(*arguments, blank=blank, reduction="sum", zero_infinity=True)
    theirs = of_torch(arguments, blank, reduction="sum", zero_infinity=True)
    assert d_logits.dtype == np.float32
    assert loss == pytest.approx(theirs[0], rel=1e-4)
    np.testing.assert_allclose(d_logits, theirs[1], atol=2e-3)


@given(seed=st.integers(0, 10**6), T=st.integers(1, 5), C=st.integers(2, 3), S=st.integers(0, 3))
def test_the_loss_is_the_sum_over_all_paths(seed, T, C, S):
    (logits, targets, _, lengths), blank = random_case(seed, T, 1, C, S)
    labels = tuple(targets[0, : lengths[0]].tolist())
    p = all_labellings(logits[:, 0], blank).get(labels, 0)
    loss = ctc.ctc_loss(logits, targets, np.array([T]), lengths, blank=blank, reduction="sum")[0]
    assert np.exp(-loss) == pytest.approx(p, rel=1e-10, abs=1e-300)


def gap_to_finite_differences(seed, T, B, C, S):
    (logits, *others), blank = random_case(seed, T, B, C, S)
    settings = {"blank": blank, "zero_infinity": True}
    d_logits = ctc.ctc_loss(logits, *others, **settings)[1]
    return np.abs(d_logits - finite_differences(lambda: ctc.ctc_loss(logits, *others, **settings)[0], logits)).max()


@given(seed=st.integers(0, 10**6), T=st.integers(1, 6), B=st.integers(1, 3), C=st.integers(2, 4), S=st.integers(0, 3))
def test_gradients_match_finite_differences(seed, T, B, C, S):
    assert gap_to_finite_differences(seed, T, B, C, S) < 1e-7


@cases
def test_padding_changes_nothing(seed, T, B, C, S):
    arguments, blank = random_case(seed, T, B, C, S)
    logits, targets, steps, lengths = arguments
    loss, d_logits = ctc.ctc_loss(*arguments, blank=blank, reduction="none")
    assert not d_logits[np.arange(T)[:, None] >= steps].any()
    for b in range(B):
        alone = logits[: steps[b], [b]], targets[[b], : lengths[b]], steps[[b]], lengths[[b]]
        own, d_own = ctc.ctc_loss(*alone, blank=blank, reduction="none")
        np.testing.assert_allclose(own, loss[b], rtol=1e-10)
        np.testing.assert_allclose(d_own[:, 0], d_logits[: steps[b], b], rtol=1e-8, atol=1e-11)


def test_what_is_impossible():
    """Two equal labels need a blank between them: three steps."""
    logits, same, other = np.zeros((2, 1, 3)), np.array([[1, 1]]), np.array([[1, 2]])
    two = np.array([2])
    assert ctc.ctc_loss(logits, same, two, two)[0] == np.inf
    assert np.isnan(ctc.ctc_loss(logits, same, two, two)[1]).all()
    loss, d_logits = ctc.ctc_loss(logits, same, two, two, zero_infinity=True)
    assert loss == 0 and not d_logits.any()
    assert np.isnan(ctc.occupation(logits, same, two, two)).all()
    path, score = ctc.align(logits, same, two, two)
    assert (path == -1).all() and score[0] == -np.inf
    assert ctc.ctc_loss(logits, other, two, two, reduction="sum")[0] == pytest.approx(math.log(9))


def test_outputs_that_are_not_finite_are_data():
    logits, one = np.zeros((3, 1, 2)), np.array([1])
    logits[1, 0, 0] = np.nan
    assert np.isnan(ctc.ctc_loss(logits, np.array([[1]]), np.array([3]), one)[0])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"logits": np.zeros((4, 2))}, r"logits of shape \(T, B, C\), got \(4, 2\); rnnlab is time-major"),
        ({"logits": np.zeros((4, 0, 3))}, "at least one step, sequence and symbol"),
        ({"targets": np.array([1, 2])}, r"targets of shape \(2, S\), one row for each sequence, got \(2,\)"),
        ({"targets": np.array([[1, 2], [3, 1]])}, "targets from 0 to 2, got 1 to 3"),
        ({"targets": np.array([[1, 2], [0, 1]])}, "targets without the blank, which is 0 here"),
        ({"input_lengths": np.array([0, 4])}, "input_lengths from 1 to 4, got 0 to 4"),
        ({"target_lengths": np.array([3, 1])}, "target_lengths from 0 to 2, got 1 to 3"),
        ({"blank": 3}, "blank from 0 to 2, got 3"),
        ({"reduction": "average"}, "one of .*'mean'.*, got 'average'"),
    ],
)
def test_clear_errors(change, message):
    arguments = {"logits": np.zeros((4, 2, 3)), "targets": np.array([[1, 2], [2, 1]])}
    arguments |= {"input_lengths": np.array([4, 3]), "target_lengths": np.array([2, 1])}
    with pytest.raises(ValueError, match=message):
        ctc.ctc_loss(**arguments | change)


# ---------------------------------------------------------------- planted faults


def jumps_between_equal_labels(labels, dtype):
    jumps = np.full(labels.shape, ctc.NEVER, dtype)
    jumps[:, 3::2] = 0
    return jumps


def no_jumps(labels, dtype):
    return np.full(labels.shape, ctc.NEVER, dtype)


def without_taking_the_largest_out(logs, axis):
    with np.errstate(divide="ignore"):
        return np.log(np.exp(logs).sum(axis=axis))


def no_blank_at_the_end(lattice):
    return lattice._replace(nodes=np.where(np.arange(lattice.nodes.shape[2]) < lattice.last[:, None], lattice.nodes,
                                           ctc.NEVER))  # fmt: skip


def ends_one_step_early(lattice):
    return lattice._replace(steps=np.maximum(lattice.steps - 1, 1))


def off_torch(T, S, seeds=range(20)):
    """Return in how many of some random batches the loss is not torch's, where torch's is finite."""
    wrong = 0
    for seed in seeds:
        arguments, blank = random_case(seed, T, 3, 4, S)
        loss = ctc.ctc_loss(*arguments, blank=blank, reduction="none")[0]
        theirs = of_torch(arguments, blank, reduction="none")[0]
        finite = np.isfinite(theirs)
        wrong += not np.allclose(loss[finite], theirs[finite], rtol=1e-6)
    return wrong


@pytest.mark.parametrize("fault", [jumps_between_equal_labels, no_jumps])
def test_wrong_jumps_are_caught(monkeypatch, fault):
    assert off_torch(8, 4) == 0
    monkeypatch.setattr(ctc, "_jumps", fault)
    assert off_torch(8, 4) > 5


@pytest.mark.parametrize("fault", [no_blank_at_the_end, ends_one_step_early])
def test_a_wrong_end_is_caught(monkeypatch, fault):
    lattice = ctc._lattice
    monkeypatch.setattr(ctc, "_lattice", lambda *arguments: fault(lattice(*arguments)))
    assert off_torch(8, 4) > 15


def test_a_sum_of_tiny_numbers_is_caught_on_long_sequences(monkeypatch):
    assert off_torch(1200, 4, range(3)) == 0
    monkeypatch.setattr(ctc, "_log_sum", without_taking_the_largest_out)
    assert off_torch(8, 4) == 0, "on short ones it is right"
    assert off_torch(1200, 4, range(3)) == 3


def test_a_wrong_gradient_is_caught(monkeypatch):
    """The loss alone would not show these: the node's own symbol counted twice, or gamma of one step for all."""
    whole = ctc._occupation
    for fault in (lambda gamma: gamma**2, lambda gamma: np.roll(gamma, 1, axis=0)):
        monkeypatch.setattr(
            ctc, "_occupation", lambda lattice, fault=fault: (fault(whole(lattice)[0]), whole(lattice)[1])
        )
        assert gap_to_finite_differences(1, 6, 3, 4, 2) > 1e-3


# ---------------------------------------------------------------- where the labels are


@cases
def test_occupation_is_a_distribution_at_each_step(seed, T, B, C, S):
    (logits, targets, steps, lengths), blank = random_case(seed, T, B, C, S)
    gamma = ctc.occupation(logits, targets, steps, lengths, blank=blank)
    real = np.arange(T)[:, None] < steps
    sums, possible = gamma.sum(axis=2), np.isfinite(gamma[0].sum(axis=1))
    np.testing.assert_allclose(sums[:, possible], real[:, possible], atol=1e-10)
    for b in np.flatnonzero(possible):
        assert not gamma[:, b, 2 * lengths[b] + 1 :].any()


def best_path(logits, labels, blank):
    """Return the most probable path of a labelling, by all paths, and its log-probability."""
    log_y, found = log_softmax(logits), []
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        if ctc_decoding.collapse(path, blank=blank) == labels:
            found.append((sum(log_y[t, symbol] for t, symbol in enumerate(path)), path))
    return max(found, default=(-np.inf, None))


def alignment_gap(seed, T, C, S):
    """Return how far the alignment's score is from the best of all paths, and whether its path has that score."""
    (logits, targets, _, lengths), blank = random_case(seed, T, 1, C, S)
    nodes, score = ctc.align(logits, targets, np.array([T]), lengths, blank=blank)
    labels = targets[0, : lengths[0]]
    best, _ = best_path(logits[:, 0], tuple(labels.tolist()), blank)
    if best == -np.inf:
        return 0.0 if score[0] == -np.inf else np.inf
    path = [labels[node // 2] if node % 2 else blank for node in nodes[:, 0]]
    own = sum(log_softmax(logits[:, 0])[t, symbol] for t, symbol in enumerate(path))
    right = ctc_decoding.collapse(path, blank=blank) == tuple(labels.tolist())
    return max(abs(score[0] - best), abs(own - best)) if right else np.inf


@given(seed=st.integers(0, 10**6), T=st.integers(1, 5), C=st.integers(2, 3), S=st.integers(0, 3))
def test_the_alignment_is_the_best_of_all_paths(seed, T, C, S):
    assert alignment_gap(seed, T, C, S) < 1e-10


def test_a_wrong_alignment_is_caught(monkeypatch):
    monkeypatch.setattr(ctc, "_jumps", no_jumps)
    assert sum(alignment_gap(seed, 4, 3, 3) > 1e-6 for seed in range(60)) > 5


@cases
def test_alignments_of_a_batch_are_those_of_each_alone(seed, T, B, C, S):
    (logits, targets, steps, lengths), blank = random_case(seed, T, B, C, S)
    nodes, score = ctc.align(logits, targets, steps, lengths, blank=blank)
    for b in range(B):
        own, s = ctc.align(logits[: steps[b], [b]], targets[[b], : lengths[b]], steps[[b]], lengths[[b]], blank=blank)
        np.testing.assert_array_equal(nodes[: steps[b], b], own[:, 0])
        np.testing.assert_allclose(score[b], s[0])
        assert (nodes[steps[b] :, b] == -1).all()


# ---------------------------------------------------------------- searches


def beam_gap(seed, T, C):
    """Return the largest difference of a probability from the sum over all paths, with a width for all prefixes."""
    logits, blank = 2 * np.random.default_rng(seed).normal(size=(T, C)), seed % C
    every, found = all_labellings(logits, blank), dict(ctc_decoding.beam_search(logits, 10_000, blank=blank))
    if found.keys() != every.keys() or max(every, key=every.get) != next(iter(found)):
        return math.inf
    return max(abs(math.exp(found[labels]) - every[labels]) for labels in every)


@given(seed=st.integers(0, 10**6), T=st.integers(1, 5), C=st.integers(2, 4))
def test_the_widest_beam_has_all_labellings_with_their_probabilities(seed, T, C):
    assert beam_gap(seed, T, C) < 1e-12


def test_a_beam_that_forgets_the_blank_between_equal_labels_is_caught(monkeypatch):
    """The classic fault: the same label again always makes the prefix longer."""
    put = ctc_decoding._put

    def never_merged(found, prefix, end, log_p):
        put(found, prefix, 0 if end else end, log_p)

    monkeypatch.setattr(ctc_decoding, "_put", never_merged)
    assert sum(beam_gap(seed, 4, 3) > 1e-6 for seed in range(10)) == 10


def test_a_beam_may_miss_the_best_and_a_wider_one_finds_it():
    better = 0
    for seed in range(60):
        logits = np.random.default_rng(seed).normal(size=(5, 4))
        every = all_labellings(logits, 0)
        p = [every[ctc_decoding.beam_search(logits, width)[0][0]] for width in (1, 4, 64)]
        wide = math.exp(ctc_decoding.beam_search(logits, 64)[0][1])
        assert wide <= max(every.values()) + 1e-12
        better += p[1] > p[0]
    assert better > 5


@cases
def test_greedy_is_the_labelling_of_the_best_path(seed, T, B, C, S):
    (logits, _, steps, _), blank = random_case(seed, T, B, C, S)
    for b, labels in enumerate(ctc_decoding.greedy(logits, steps, blank=blank)):
        assert labels == ctc_decoding.collapse(logits[: steps[b], b].argmax(axis=1), blank=blank)


def test_the_best_path_need_not_have_the_best_labelling():
    logits = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert ctc_decoding.greedy(logits[:, None], np.array([2])) == [()]
    assert ctc_decoding.beam_search(logits, 4)[0][0] == (1,)


def edits(one, other):
    """Return the edit distance by its definition, for short sequences."""
    if not one or not other:
        return len(one) + len(other)
    same = edits(one[1:], other[1:]) + (one[0] != other[0])
    return min(same, edits(one[1:], other) + 1, edits(one, other[1:]) + 1)


@given(st.lists(st.integers(0, 2), max_size=5), st.lists(st.integers(0, 2), max_size=5))
def test_the_edit_distance(one, other):
    assert ctc_decoding.edit_distance(one, other) == edits(one, other) == ctc_decoding.edit_distance(other, one)


def test_the_label_error_rate_weighs_by_labels():
    assert ctc_decoding.label_error_rate([(1,), (1, 2, 3)], [(2,), (1, 2, 3)]) == 0.25
    with pytest.raises(ValueError, match="as many sequences, with at least one label, got 1 and 2"):
        ctc_decoding.label_error_rate([()], [(1,), (2,)])

"""The mixture of written and copied words, against torch's autograd, finite differences and a count by hand."""

import numpy as np
import pytest
import torch

from rnnlab import copying


@pytest.fixture
def case():
    """Five sources of seven places, of which the last of one are padding; V = 6 words, and up to three unknown ones."""
    rng = np.random.default_rng(3)
    z, logits, scores = rng.standard_normal(5), rng.standard_normal((5, 6)), rng.standard_normal((7, 5))
    source = rng.integers(0, 9, (7, 5))
    source[:4, 0], source[:2, 1] = 8, 2  # equal words in one source, unknown and known
    scores[5:, 4] = -np.inf
    # Copied only, both ways, written only (not in the source), and whatever comes.
    target = np.array([8, 2, next(w for w in range(6) if w not in source[:, 2]), source[0, 3], source[1, 4]])
    return z, logits, scores, source, target


def probabilities(z, logits, scores):
    """gen, vocabulary and attention, by torch."""
    return torch.sigmoid(z), torch.softmax(logits, dim=1), torch.softmax(scores, dim=0)


def mixed_by_torch(gen, vocabulary, attention, source, size):
    p = torch.cat([gen[:, None] * vocabulary, torch.zeros(len(gen), size - vocabulary.shape[1])], dim=1)
    return p.scatter_add(1, torch.tensor(source).T, ((1 - gen) * attention).T)


def test_equal_words_are_counted_together():
    found = copying.copied(np.array([[0.1], [0.2], [0.3], [0.4]]), np.array([[5], [1], [5], [0]]), 7)
    np.testing.assert_allclose(found, [[0.4, 0.2, 0, 0, 0, 0.4, 0]], atol=1e-15)


def test_the_mixture_is_torchs_and_sums_to_one(case):
    z, logits, scores, source, _ = case
    parts = probabilities(*map(torch.tensor, (z, logits, scores)))
    ours = copying.mix(*(part.numpy() for part in parts), source, 9)
    np.testing.assert_allclose(ours, mixed_by_torch(*parts, source, 9).numpy(), atol=1e-15)
    np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-12)


def mix_gap(case, back):
    """The largest difference between a backward pass and autograd's."""
    z, logits, scores, source, _ = case
    parts = [part.detach().requires_grad_() for part in probabilities(*map(torch.tensor, (z, logits, scores)))]
    d_p = np.random.default_rng(4).standard_normal((5, 9))
    (mixed_by_torch(*parts, source, 9) * torch.tensor(d_p)).sum().backward()
    ours = back(d_p, *(part.detach().numpy() for part in parts), source)
    return max(np.abs(one - part.grad.numpy()).max() for one, part in zip(ours, parts, strict=True))


def test_the_way_back_through_the_mixture_is_autograds(case):
    assert mix_gap(case, copying.mix_back) < 1e-12


def test_the_check_catches_a_derivative_without_the_share(case):
    def faulty(d_p, gen, vocabulary, attention, source):
        d_gen, d_vocabulary, d_attention = copying.mix_back(d_p, gen, vocabulary, attention, source)
        return d_gen, d_vocabulary, d_attention / (1 - gen)

    assert mix_gap(case, faulty) > 0.01


def loss_by_torch(case):
    z, logits, scores, source, target = case
    leaves = [torch.tensor(one).requires_grad_() for one in (z, logits, scores)]
    p = mixed_by_torch(*probabilities(*leaves), source, 9)
    loss = -torch.log(p[torch.arange(5), torch.tensor(target)])
    loss.sum().backward()
    return [loss.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]


def test_loss_and_derivatives_are_autograds(case):
    for ours, theirs in zip(copying.pointer_loss(*case), loss_by_torch(case), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def slopes(case, which):
    """Central differences of the summed loss with respect to one of z, logits and scores."""
    found = np.zeros_like(case[which])
    for place in np.ndindex(found.shape):
        if np.isfinite(case[which][place]):
            ends = []
            for step in (1e-6, -1e-6):
                moved = case[which].copy()
                moved[place] += step
                ends.append(copying.pointer_loss(*case[:which], moved, *case[which + 1 :])[0].sum())
            found[place] = (ends[0] - ends[1]) / 2e-6
    return found


@pytest.mark.parametrize("which", range(3))
def test_derivatives_are_finite_differences(case, which):
    np.testing.assert_allclose(copying.pointer_loss(*case)[1 + which], slopes(case, which), rtol=0, atol=1e-8)


def test_the_check_catches_words_that_are_counted_once(case, monkeypatch):
    """The classic fault: `words[rows, source] += attention` keeps one of several equal words."""

    def once(attention, source, size):
        words = np.zeros((source.shape[1], size))
        words[np.arange(source.shape[1]), source] += attention
        return words

    z, logits, scores, source, _ = case
    parts = probabilities(*map(torch.tensor, (z, logits, scores)))
    theirs = mixed_by_torch(*parts, source, 9).numpy()
    monkeypatch.setattr(copying, "copied", once)
    ours = copying.mix(*(part.numpy() for part in parts), source, 9)
    assert np.abs(ours - theirs).max() > 0.01 and np.abs(ours.sum(axis=1) - 1).max() > 0.01
    assert mix_gap(case, copying.mix_back) > 0.01


def test_what_is_learned_where_only_one_way_is_open(case):
    _, d_z, d_logits, d_scores = copying.pointer_loss(*case)
    gen = 1 / (1 + np.exp(-case[0]))
    assert d_z[0] == pytest.approx(gen[0]) and (d_logits[0] == 0).all(), "copied only: the switch learns to copy"
    assert d_z[2] == pytest.approx(gen[2] - 1) and (d_scores[:, 2] == 0).all(), "written only: it learns to write"


def test_it_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"attention of the source's shape, \(2, 1\), got \(3, 1\)"):
        copying.copied(np.ones((3, 1)), np.zeros((2, 1), int), 4)
    with pytest.raises(ValueError, match="words from 0 to 3 in the source, got 0 to 4"):
        copying.copied(np.ones((2, 1)) / 2, np.array([[0], [4]]), 4)

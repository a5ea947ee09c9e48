"""Watching a training run: every norm as backward left it, nothing changed, nothing left behind."""

import copy

import pytest
import torch
from torch import nn

from rnnlab.watching import watch


def training(model, updates=6, clip=None, watched=True, spoil=None, parts=1):
    """Train a little; return the norms by hand before the clip, and the watch."""
    torch.manual_seed(0)
    optimizer, by_hand = torch.optim.Adam(model.parameters(), lr=0.05), []

    def go():
        for n in range(updates):
            optimizer.zero_grad()
            for _ in range(parts):
                loss = model(torch.randn(5, 2, 3))[0].square().sum()
                (loss * (torch.nan if n == spoil else 1.0)).backward()
            by_hand.append(torch.stack([p.grad.norm() for p in model.parameters()]).norm().item())
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()

    if not watched:
        go()
        return by_hand, None
    with watch(model, clip=clip or 1.0) as seen:
        go()
    return by_hand, seen


@pytest.mark.parametrize("parts", [1, 3])
def test_norms_are_those_before_the_clip(parts):
    by_hand, seen = training(nn.LSTM(3, 4), clip=0.5, parts=parts)
    assert seen.norms == pytest.approx(by_hand, rel=1e-5) and len(seen.norms) == 6
    assert seen.clipped == sum(norm > 0.5 for norm in by_hand) / 6
    assert "6 updates; a clip at 0.5 shortens" in str(seen)


def test_the_training_is_the_same_and_nothing_stays():
    torch.manual_seed(1)
    one = nn.GRU(3, 4)
    other = copy.deepcopy(one)
    training(one)
    training(other, watched=False)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    _, seen = training(one)
    training(one, watched=False)
    assert len(seen.norms) == 6, "it still listens after its block"


def test_numbers_that_are_not_finite_are_counted():
    _, seen = training(nn.RNN(3, 4), spoil=2)
    assert "NOT FINITE at 4 updates, first at number 2" in str(seen) and len(seen.finite) == 2
    assert seen.clipped >= 4 / 6


def test_another_model_is_not_noted_and_no_update_is_said():
    model = nn.GRU(3, 4)
    with watch(model) as seen:
        training(nn.GRU(3, 4), watched=False)
    assert seen.norms == [] and seen.clipped == 0 and "No update seen" in str(seen)
    _, seen = training(model)
    (ax,) = seen.figure().axes
    assert len(ax.lines[0].get_ydata()) == 6 and ax.get_yscale() == "log"


def test_an_error_in_the_training_ends_the_watch():
    model = nn.GRU(3, 4)
    with pytest.raises(KeyboardInterrupt), watch(model):
        raise KeyboardInterrupt
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters() if p._post_accumulate_grad_hooks)


def test_what_it_refuses():
    with pytest.raises(TypeError, match="expected a torch.nn.Module, got a int"), watch(3):
        pass
    with pytest.raises(ValueError, match="expected clip to be a number above 0"), watch(nn.GRU(2, 3), clip=-1):
        pass

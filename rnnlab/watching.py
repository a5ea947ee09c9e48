"""Watch a training run from beside it: the gradient's norm at every update, and what a clip would have done."""

from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from rnnlab.checks import positive_number


@dataclass
class Watch:
    """Hold what was seen: one entry for each update of an optimizer that holds parameters of the module.

    Attributes:
        clip: the threshold asked about.
        norms: global norm of the gradient as backward() left it, before any clip.
    """

    clip: float
    norms: list = field(default_factory=list)

    @property
    def finite(self):
        """Return the norms that are numbers."""
        return [norm for norm in self.norms if norm < float("inf")]

    @property
    def clipped(self):
        """Return the share of updates that the clip shortens; those that are not finite count."""
        return sum(not norm <= self.clip for norm in self.norms) / len(self.norms) if self.norms else 0.0

    def __str__(self):
        if not self.norms:
            return "No update seen: step() of an optimizer with the module's parameters was not called."
        text = f"{len(self.norms)} updates; a clip at {self.clip:g} shortens {self.clipped:.0%} of them"
        if self.finite:
            text += f"; norm: median {median(self.finite):.3g}, largest {max(self.finite):.3g}"
        lost = [n for n, norm in enumerate(self.norms) if not norm < float("inf")]
        return text + (f"; NOT FINITE at {len(lost)} updates, first at number {lost[0]}" if lost else "")

    def figure(self):
        """Return a Matplotlib figure of the norm against updates."""
        from rnnlab.plots import lines

        return lines({"before the clip": self.norms}, "update", "norm of the gradient", log=True)


@contextmanager
def watch(module, clip=1.0):
    """Note the norm of the gradient at every update within the block; the training itself stays as it is.

    Args:
        module: the `torch.nn.Module` in training.
        clip: a threshold for the global norm, above 0.

    Returns:
        Watch, filled while the training runs.

    >>> model = nn.GRU(2, 3)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with watch(model, clip=0.001) as seen:
    ...     for _ in range(3):
    ...         optimizer.zero_grad()
    ...         model(torch.ones(4, 1, 2))[0].sum().backward()
    ...         norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.001)
    ...         optimizer.step()
    >>> len(seen.norms), seen.clipped
    (3, 1.0)
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"expected a torch.nn.Module, got a {type(module).__name__}")
    seen, squares = Watch(float(positive_number(clip, "clip"))), {}

    def note(param):
        squares[param] = param.grad.detach().double().square().sum()  # of all that has been added up so far

    def step(optimizer, *_):
        ours = [squares[param] for group in optimizer.param_groups for param in group["params"] if param in squares]
        if ours:
            seen.norms.append(torch.stack(ours).sum().sqrt().item())
            squares.clear()

    hooks = [param.register_post_accumulate_grad_hook(note) for param in module.parameters() if param.requires_grad]
    hooks.append(register_optimizer_step_pre_hook(step))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()

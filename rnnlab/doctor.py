"""Examine any recurrent `torch.nn.Module`: where its gradient goes, what its units do, what it reads.

    report = diagnose(module, (inputs, targets), loss_fn)
    print(report)

    with watch(module) as seen:  # around your own training loop
        ...

From a shell: `python -m rnnlab.doctor path/to/script.py:make_model_and_batch`, where the function returns these three,
and as a fourth, if you like, a dict of what else `diagnose` takes, such as {"lengths": lengths}.
"""

import argparse
import sys
import traceback
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from rnnlab.checks import positive_number
from rnnlab.findings import KINDS, Finding, measured, of_embeddings, of_flow, of_numbers, of_reading, of_units
from rnnlab.probes import probe
from rnnlab.recording import call, copied, first_tensor, recorded, untouched
from rnnlab.reports import Report
from rnnlab.scripts import beside, made
from rnnlab.unrolled import backward
from rnnlab.watching import Watch, watch

__all__ = ["KINDS", "Finding", "Report", "Watch", "diagnose", "watch"]


def diagnose(module, batch, loss_fn, clip=1.0, lengths=None, batch_axis=None):
    """Examine a module on one batch; it, its gradients and all random states are as before afterwards.

    Args:
        module: a `torch.nn.Module` with nn.RNN, nn.LSTM, nn.GRU, their cells, a cell of your own in a loop, or a loop
            of products with your own matrices. Of a compiled module the original is examined.
        batch: (inputs, targets). `module(inputs)` is called, `module(*inputs)` for a tuple or list, `module(**inputs)`
            for a dict.
        loss_fn: (what the module returns, targets) -> a scalar tensor.
        clip: a threshold for the global norm, above 0; the report says whether it would act.
        lengths: (B,) steps of each padded sequence, where the inputs do not hold them.
        batch_axis: axis of the samples in the inputs, 0 or 1, where shapes do not tell; see below.

    Returns:
        Report: `.findings` is empty for a healthy model.

    Raises:
        TypeError: no module, no pair, or a loss that is no tensor.
        ValueError: no recurrence to be seen, or a loss that is no scalar.

    The samples' axis is the one along which a change of one sample changes one output. With outputs at every step a
    model that was given (B, T, D) and reads (T, B, D) looks like one that was given (T, B, D): pass batch_axis=0.
    An error of the module or the loss is passed on, with the shapes that they were given as a note.
    """
    module = getattr(module, "_orig_mod", module)
    inputs, targets = _checked(module, batch, loss_fn, batch_axis)
    positive_number(clip, "clip")
    with _eager(), torch.inference_mode(False), torch.enable_grad(), untouched(module):
        with recorded(module) as records:
            with _told("module(inputs)", {"inputs": inputs, "the first weight": next(module.parameters(), None)}):
                outputs = call(module, inputs)
            with _told("loss_fn(outputs, targets)", {"outputs": outputs, "targets": targets}):
                loss = _loss(loss_fn, outputs, targets)
        if not records:
            raise ValueError(
                f"expected a recurrence over several steps, saw none in {type(module).__name__}; if your loop stands "
                "outside the module, wrap it in one; if it is inside, make its step a module of its own"
            )
        _backward(loss, records)
        norms = {
            name: param.grad.detach().norm() for name, param in module.named_parameters() if param.grad is not None
        }
        total = torch.stack([norm.double() for norm in norms.values()]).norm().item() if norms else 0.0
        report = Report(type(module).__name__, loss.item(), total, float(clip))
        report.layers = {where: measured(one) for where, one in records.items()}
        found = of_numbers(module, inputs, outputs, loss, norms)
        if found:
            report.tests = {"reading": "not done: numbers that are not finite"}
        else:
            found, report.tests, report.sample_axis = _examined(
                module, inputs, targets, lengths, batch_axis, records, report.layers
            )
    report.findings = sorted(found, key=lambda one: one.severity != "critical")
    return report


def _examined(module, inputs, targets, lengths, batch_axis, records, layers):
    """Return the findings of a batch whose numbers are finite, how each reading test ended, and the samples' axis."""
    steps = {len(one.states) for one in records.values()}
    results, reasons, axis = probe(module, inputs, targets, lengths, batch_axis, steps)
    found = [*of_reading(results, records), *of_units(records, layers), *of_embeddings(module)]
    found += of_flow(records, layers, bool(results.get("ignores_history")))
    failed = {one.kind for one in found}
    if steps == {1} and "ignores_history" not in failed:
        raise ValueError(
            f"expected a recurrence over several steps, saw a single one in {type(module).__name__}: pass longer "
            "sequences; if your loop stands outside the module, wrap it in one; if the layer took your steps for "
            "samples, give it batch_first=True"
        )
    return found, {**{name: "failed" if name in failed else "passed" for name in results}, **reasons}, axis


# ---------------------------------------------------------------- doors


def _checked(module, batch, loss_fn, batch_axis):
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"expected a torch.nn.Module, got a {type(module).__name__}; for rnnlab's models use TorchModel"
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError("expected a module in Python, got one that torch.jit has compiled: pass the original")
    if not isinstance(batch, tuple | list) or isinstance(batch, PackedSequence) or len(batch) != 2:
        got = f"{len(batch)} entries" if isinstance(batch, tuple | list) else f"a {type(batch).__name__}"
        raise TypeError(f"expected batch to be the pair (inputs, targets), got {got}")
    for name, part in zip(("inputs", "targets"), batch, strict=True):
        if isinstance(part, np.ndarray):
            raise TypeError(f"expected {name} to be a tensor, got an array; torch.as_tensor(array) makes one, and "
                            ".float() gives it the dtype of most weights")  # fmt: skip
    if not callable(loss_fn) or isinstance(loss_fn, type):
        hint = f"; write {loss_fn.__name__}()" if isinstance(loss_fn, type) else ""
        raise TypeError(f"expected loss_fn to be a function of (outputs, targets), got {loss_fn!r}{hint}")
    if batch_axis not in (None, 0, 1):
        raise ValueError(f"expected batch_axis to be 0, 1 or None, got {batch_axis!r}")
    for name, param in module.named_parameters():
        if nn.parameter.is_lazy(param):
            raise ValueError(f"expected weights, got {name} without a shape yet: call the module on a batch first")
        if param.is_meta:
            raise ValueError(f"expected weights that hold numbers, got {name} on the device meta")
    return batch


def _loss(loss_fn, outputs, targets):
    """Return the loss; a loss that cannot take the tuple or dict that a module returns gets its first tensor."""
    targets = copied(targets)
    try:
        loss = loss_fn(outputs, targets)
    except (TypeError, AttributeError):
        if isinstance(outputs, torch.Tensor) or first_tensor(outputs) is None:
            raise
        loss = loss_fn(first_tensor(outputs), targets)
    if not isinstance(loss, torch.Tensor):
        raise TypeError(f"expected loss_fn to return a tensor, got a {type(loss).__name__}")
    if loss.numel() != 1:
        raise ValueError(f"expected loss_fn to return one number, got shape {tuple(loss.shape)}; take its mean")
    if not loss.requires_grad:
        raise ValueError("expected a loss that depends on the parameters, got one without a gradient: is there a "
                         "no_grad(), a detach() or an argmax on the way?")  # fmt: skip
    return loss


@contextmanager
def _told(what, values):
    """Add to an error of somebody's own code what it was called with; else it stays what it is."""
    try:
        yield
    except Exception as error:
        shown = "; ".join(f"{name}: {_shown(value)}" for name, value in values.items())
        error.add_note(f"in {what}, with {shown}")
        raise


def _shown(value):
    """Return dtype and shape of a tensor, of each in a nest of them; of anything else its type."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(part)}" for key, part in value.items()) + "}"
    if isinstance(value, tuple | list) and not isinstance(value, PackedSequence):
        return "(" + ", ".join(map(_shown, value)) + ")"
    return type(value).__name__


def _eager():
    """Return a context in which compiled parts run as they are written; torch's compiler is loaded only if it was."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _backward(loss, records):
    try:
        backward(loss, records)
    except RuntimeError as error:
        if "second time" in str(error):
            raise ValueError("expected a batch that stands alone, but the module keeps a state of an earlier batch "
                             "with its graph: detach() the state before the next batch") from error  # fmt: skip
        raise


# ---------------------------------------------------------------- from a shell


def main(arguments=None):
    """Run from a shell; return 0 without findings, 1 with, 2 if the model could not be examined."""
    parser = argparse.ArgumentParser(prog="python -m rnnlab.doctor", description=__doc__.splitlines()[0])
    parser.add_argument(
        "target", metavar="path/to/script.py:function",
        help="returns (module, (inputs, targets), loss_fn), and may add a dict of what else diagnose takes",
    )  # fmt: skip
    parser.add_argument("--clip", type=float, default=1.0, help="threshold of the global norm to ask about")
    options = parser.parse_args(arguments)
    path, _, function = options.target.rpartition(":")
    path, function = (path, function) if path else (options.target, "")
    if not Path(path).is_file() or Path(path).suffix != ".py":
        problem = "this is no Python script" if Path(path).exists() else "no such file"
        print(f"expected path/to/script.py:function, got {options.target!r}: {problem}", file=sys.stderr)
        return 2
    try:
        with beside(path):
            module, batch, loss_fn, *more = made(path, function)
            report = diagnose(module, batch, loss_fn, **{"clip": options.clip} | dict(*more))
    except (Exception, SystemExit) as error:  # whatever the reader's script does: say what and where
        frames, script = traceback.extract_tb(error.__traceback__), Path(path).resolve()
        lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == script]
        where = f" (line {lines[-1]} of {Path(path).name})" if lines else ""
        print(f"could not examine {options.target}: {type(error).__name__}: {error}{where}",
              *getattr(error, "__notes__", ()), sep="\n  ", file=sys.stderr)  # fmt: skip
        return 2
    print(report)
    return int(bool(report.findings))


if __name__ == "__main__":
    sys.exit(main())

"""Examine any recurrent `torch.nn.Module`: where its gradient goes, what its units do, what it reads.

    report = diagnose(module, (inputs, targets), loss_fn)
    print(report)

    with watch(module) as seen:  # around your own training loop
        ...

From a shell: `python -m rnnlab.doctor path/to/script.py:make_model_and_batch`, where the function returns these three.
"""

import argparse
import html
import importlib.util
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from rnnlab.checks import positive_number
from rnnlab.probes import probe
from rnnlab.recording import call, first_tensor, recorded, untouched
from rnnlab.watching import Watch, watch

__all__ = ["Finding", "Report", "Watch", "diagnose", "watch"]

KINDS = (
    "vanishing", "exploding", "saturation", "dead_units", "cross_sample_leak", "ignores_history", "reads_padding",
    "nonfinite",
)  # fmt: skip
# A gradient smaller than this part of the largest is lost beside it: float32 holds 7 digits. Below the second, any sum.
LOST, GONE = 1e-7, 1e-14
# A gradient that has grown by this factor on its way back, or by three for each step where the loss reads all steps.
GROWN, BURST = 100.0, 1e6
NEARLY = 0.01  # a gate this close to 0 or 1, a tanh this close to -1 or 1, passes next to no gradient
SHARE = {"saturation": 0.5, "dead_units": 0.1}  # of units and steps, of units: alarms from here on

ADVICE = {
    "vanishing": "open the gates at the start (forget bias 1 or more, chrono), start orthogonal, or use gated cells or "
                 "attention; no optimizer and no clip cures it",
    "detached": "look for detach(), .data, no_grad() or a state that is made anew within the sequence",
    "unheard": "the loss reads this state after a single step; of a bidirectional layer take h_n, or output[:, 0] for "
               "the reverse half",
    "exploding": "clip the gradient by its global norm between backward() and step(), and start W_hh with a spectral "
                 "radius near 1",
    "saturation": "scale the inputs to about -1 to 1, draw smaller weights, or lower the learning rate",
    "dead_units": "look for ReLU units that are never on, a gate that is always shut, constant inputs, or a learning "
                  "rate that was too large",
    "embedding": "look for rows that were never drawn or have run away; weight decay or max_norm holds them",
    "cross_sample_leak": "nn.RNN, nn.LSTM and nn.GRU read (T, B, D) unless batch_first=True: give the layer what it "
                         "reads, and look for reshape or view where transpose is meant",
    "ignores_history": "check which axis is time (batch_first), that the state is handed from step to step, and that "
                       "the output is read at the last step, not the last sample",
    "reads_padding": "pack the sequences (pack_padded_sequence with their lengths), read each at its own last step, or "
                     "mask",
    "nonfinite": "look at the data first, then at divisions, logarithms and roots of 0, then at the learning rate",
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """Hold one alarm: its kind (one of KINDS), severity ("warning" or "critical"), where, evidence, advice."""

    kind: str
    severity: str
    where: str
    evidence: str
    advice: str


@dataclass
class Report:
    """Hold what `diagnose` found. It prints as text, and shows as a table in Jupyter.

    Attributes:
        findings: list of `Finding`, the gravest first; empty for a healthy model.
        layers: where -> dict of what was measured: "kind", "steps", "flow" (list of ||dL/dh_t|| in the order in which
            the cell ran), "keeps" (factor per step), "spectral_radius" (of W_hh, for each gate), "saturated" (share by
            gate), "dead" (share of units).
        loss, grad_norm: of the batch; the global norm over all parameters.
        clip: the threshold asked about; `clipped` says whether it would shorten this gradient.
        tests: name -> "passed", "failed", or why it was not done.
    """

    model: str
    loss: float
    grad_norm: float
    clip: float
    findings: list = field(default_factory=list)
    layers: dict = field(default_factory=dict)
    tests: dict = field(default_factory=dict)

    @property
    def clipped(self):
        return self.grad_norm > self.clip

    def to_dict(self):
        """Return everything as plain numbers, strings, lists and dicts."""
        return {**asdict(self), "clipped": self.clipped}

    def __str__(self):
        lines = [f"{self.model}: loss {self.loss:.4g}, gradient norm {self.grad_norm:.4g} "
                 f"(a clip at {self.clip:g} {'would shorten' if self.clipped else 'would leave'} it)"]  # fmt: skip
        for where, layer in self.layers.items():
            lines.append(f"  {where}: {layer['kind']}, {layer['steps']} steps, {_reach(layer)}")
        for n, one in enumerate(self.findings, start=1):
            lines += [f"{n}. {one.severity.upper()} {one.kind} in {one.where}", f"   seen: {one.evidence}",
                      f"   try: {one.advice}"]  # fmt: skip
        if not self.findings:
            lines.append("Nothing found.")
        lines.append("tests: " + "; ".join(f"{name} {result}" for name, result in self.tests.items()))
        return "\n".join(lines)

    def _repr_html_(self):
        rows = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(text)}</td>" for text in
                             (one.severity, one.kind, one.where, one.evidence, one.advice)) + "</tr>"
            for one in self.findings
        )  # fmt: skip
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in
                       ("severity", "kind", "where", "seen", "try"))  # fmt: skip
        table = f"<table><tr>{head}</tr>{rows}</table>" if rows else "<p>Nothing found.</p>"
        tests = html.escape("; ".join(f"{name} {result}" for name, result in self.tests.items()))
        return f"<p>{html.escape(str(self).splitlines()[0])}</p>{table}<p>Tests: {tests}</p>"

    def figure(self):
        """Return a Matplotlib figure: the gradient at each step of each cell, relative to its largest."""
        from rnnlab.plots import lines

        curves = {where: layer["flow"] for where, layer in self.layers.items() if max(layer["flow"], default=0) > 0}
        relative = {where: [norm / max(flow) for norm in flow] for where, flow in curves.items()}
        return lines(relative, "step, in the order in which the cell ran", "gradient at the state, relative", log=True)


def diagnose(module, batch, loss_fn, clip=1.0, lengths=None, batch_axis=None):
    """Examine a module on one batch; it, its gradients and all random states are as before afterwards.

    Args:
        module: a `torch.nn.Module` with nn.RNN, nn.LSTM, nn.GRU, their cells, or a cell of your own in a loop.
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
    """
    inputs, targets = _checked(module, batch, loss_fn, batch_axis)
    positive_number(clip, "clip")
    with untouched(module):
        with torch.enable_grad(), recorded(module) as records:
            outputs = call(module, inputs)
            loss = loss_fn(outputs, targets)
            _check_loss(loss)
        if not any(len(one.states) > 1 for one in records.values()):
            raise ValueError(
                f"expected a module with a recurrence over several steps, saw none in {type(module).__name__}; "
                "if your loop stands outside the module, wrap it in one"
            )
        loss.backward()
        norms = {
            name: param.grad.detach().norm() for name, param in module.named_parameters() if param.grad is not None
        }
        total = torch.stack(list(norms.values())).norm().item() if norms else 0.0
        report = Report(type(module).__name__, loss.item(), total, float(clip))
        report.layers = {where: _measured(one) for where, one in records.items()}
        found = _not_finite(module, inputs, outputs, loss, norms)
        if not found:
            results, reasons = probe(module, inputs, targets, lengths, batch_axis)
            found = [*_read(results, records), *_unit_findings(records, report.layers), *_embeddings(module)]
            found += _flow_findings(records, report.layers, bool(results.get("ignores_history")))
            failed = {one.kind for one in found}
            report.tests = {**{name: "failed" if name in failed else "passed" for name in results}, **reasons}
        else:
            report.tests = {"reading tests": "not done: numbers that are not finite"}
    report.findings = sorted(found, key=lambda one: one.severity != "critical")
    return report


# ---------------------------------------------------------------- what is measured


def _measured(one):
    """Return what one cell's record shows, as plain numbers."""
    flow = one.flow().tolist()
    values = one.values()
    span = values.amax(dim=0) - values.amin(dim=0)
    dead = span <= 1e-6 * values.abs().amax(dim=0).clamp_min(1.0)
    used = [t for t, norm in enumerate(flow) if norm > 0]
    last = used[-1] if used else 0
    keeps = (flow[0] / flow[last]) ** (1 / last) if last and flow[0] > 0 else 0.0
    return {
        "kind": one.kind, "steps": len(flow), "flow": flow, "last_used": last, "keeps": keeps,
        "spectral_radius": _radii(one), "saturated": _saturated(one), "dead": dead.float().mean().item(),
    }  # fmt: skip


def _radii(one):
    """Return the spectral radius of each gate's recurrent matrix, where it is square."""
    if one.weight_hh is None or not torch.isfinite(one.weight_hh).all():
        return {}
    names = {"rnn": ("h",), "lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}[one.kind]
    blocks = zip(names, one.weight_hh.double().chunk(len(names)), strict=True)
    return {
        name: torch.linalg.eigvals(block).abs().max().item() for name, block in blocks if len(block) == block.shape[1]
    }


def _saturated(one):
    """Return for each gate the share of units and steps at which it passes next to no gradient and should.

    A forget or update gate that is open keeps its memory on purpose; an input gate that is shut beside it goes with
    that, as in chrono starts.
    """
    shares, keeps = {}, {"f", "z"}
    for name in one.gates:
        values = one.values(name)
        if name in ("h", "g", "n"):
            stuck = values.abs() > 1 - 2 * NEARLY
        elif name in keeps:
            stuck = values < NEARLY if name == "f" else torch.zeros_like(values, dtype=torch.bool)
        elif name == "i" and one.values("f").mean() > 0.9:
            stuck = values > 1 - NEARLY
        else:
            stuck = (values < NEARLY) | (values > 1 - NEARLY)
        shares[name] = stuck.float().mean().item()
    return shares


# ---------------------------------------------------------------- what is an alarm


def _flow_findings(records, layers, ignores_history):
    for where in records:
        layer = layers[where]
        flow, last = layer["flow"], layer["last_used"]
        top = max(flow)
        if layer["steps"] < 3 or (ignores_history and records[where].cut()):
            continue
        if top == 0:
            yield _finding("vanishing", "critical", where, "no gradient arrives at any step", "detached")
        elif last == 0:
            evidence = f"the loss reads the state after 1 of {layer['steps']} steps, no later one"
            yield _finding("ignores_history", "warning", where, evidence, "unheard")
        elif records[where].cut():
            first = next(t for t, norm in enumerate(flow) if norm > 0)
            evidence = f"the gradient is exactly 0 at the first {first} of {layer['steps']} steps"
            yield _finding("vanishing", "critical", where, evidence, "detached")
        elif flow[0] < LOST * top:
            heard = sum(norm >= LOST * top for norm in flow)
            evidence = (f"{flow[0] / top:.1e} of the gradient is left at the first step, {layer['keeps']:.2f} per "
                        f"step; {heard} of {layer['steps']} steps are heard")  # fmt: skip
            yield _finding("vanishing", "critical" if flow[0] < GONE * top else "warning", where, evidence)
        if last and flow[last] > 0 and top > max(GROWN, 3 * layer["steps"]) * flow[last]:
            evidence = f"the gradient grows {top / flow[last]:.1e} times on its way back, {layer['keeps']:.2f} per step"
            yield _finding("exploding", "critical" if top > BURST * flow[last] else "warning", where, evidence)


def _unit_findings(records, layers):
    for where in records:
        stuck = {gate: share for gate, share in layers[where]["saturated"].items() if share > SHARE["saturation"]}
        if stuck:
            evidence = "gates at their ends, of units and steps: " + ", ".join(f"{g} {s:.0%}" for g, s in stuck.items())
            yield _finding("saturation", "critical" if max(stuck.values()) > 0.9 else "warning", where, evidence)
        dead = layers[where]["dead"]
        if layers[where]["steps"] > 1 and dead >= SHARE["dead_units"]:
            evidence = f"{dead:.0%} of the units have the same value at every step of every sequence"
            yield _finding("dead_units", "critical" if dead > 0.5 else "warning", where, evidence)


def _embeddings(module):
    for name, one in module.named_modules():
        if not isinstance(one, nn.Embedding) or one.num_embeddings < 10:
            continue
        norms = one.weight.detach().norm(dim=1)
        if one.padding_idx is not None:
            norms = norms[torch.arange(len(norms), device=norms.device) != one.padding_idx]
        dead, top = (norms == 0).float().mean().item(), (norms.max() / norms.median().clamp_min(1e-12)).item()
        if dead >= SHARE["dead_units"]:
            yield _finding("dead_units", "warning", name, f"{dead:.0%} of the rows are zero", "embedding")
        elif top > GROWN:
            yield _finding("exploding", "warning", name, f"a row is {top:.0f} times as long as the median", "embedding")


def _read(results, records):
    where = ", ".join(dict.fromkeys(name.split(" layer ")[0] for name in records))
    if seen := results.get("cross_sample_leak"):
        evidence = (f"changing one sample changes the outputs of others by {seen['others']:.1e} of the largest output, "
                    f"its own by {seen['own']:.1e}")  # fmt: skip
        yield _finding("cross_sample_leak", "critical", where, evidence)
    if seen := results.get("ignores_history"):
        evidence = f"other inputs at step 0 change the last output by {seen['change']:.1e} of the largest output"
        if any(one.cut() for one in records.values()) or results.get("cross_sample_leak"):
            yield _finding("ignores_history", "critical", where, evidence)
    if seen := results.get("reads_padding"):
        evidence = f"other padding changes the outputs by {seen['change']:.1e} of the largest"
        yield _finding("reads_padding", "critical", where, evidence)


def _not_finite(module, inputs, outputs, loss, norms):
    """Return at most one finding: the first place, on the way of the numbers, where one is not finite."""
    x, y = first_tensor(inputs), first_tensor(outputs)
    params = [(f"parameter {name}", param) for name, param in module.named_parameters()]
    grads = [(f"gradient of {name}", norm) for name, norm in norms.items()]
    places = [("inputs", x), *params, ("outputs", y), ("loss", loss), *grads]
    for where, tensor in places:
        if tensor is not None and not torch.isfinite(tensor).all():
            share = (~torch.isfinite(tensor)).float().mean().item()
            return [_finding("nonfinite", "critical", where, f"{share:.1%} of the numbers are NaN or infinite")]
    return []


def _finding(kind, severity, where, evidence, advice=None):
    return Finding(kind, severity, where, evidence, ADVICE[advice or kind])


def _reach(layer):
    if max(layer["flow"]) == 0:
        return "no gradient"
    return f"keeps {layer['keeps']:.2f} of the gradient per step back"


# ---------------------------------------------------------------- doors


def _checked(module, batch, loss_fn, batch_axis):
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"expected a torch.nn.Module, got a {type(module).__name__}; for rnnlab's models use TorchModel"
        )
    if not isinstance(batch, tuple | list) or isinstance(batch, PackedSequence) or len(batch) != 2:
        got = f"{len(batch)} entries" if isinstance(batch, tuple | list) else f"a {type(batch).__name__}"
        raise TypeError(f"expected batch to be the pair (inputs, targets), got {got}")
    if not callable(loss_fn):
        raise TypeError(f"expected loss_fn to be a function of (outputs, targets), got {loss_fn!r}")
    if batch_axis not in (None, 0, 1):
        raise ValueError(f"expected batch_axis to be 0, 1 or None, got {batch_axis!r}")
    return batch


def _check_loss(loss):
    if not isinstance(loss, torch.Tensor):
        raise TypeError(f"expected loss_fn to return a tensor, got a {type(loss).__name__}")
    if loss.numel() != 1:
        raise ValueError(f"expected loss_fn to return one number, got shape {tuple(loss.shape)}; take its mean")
    if not loss.requires_grad:
        raise ValueError("expected a loss that depends on the parameters, got one without a gradient: is there a "
                         "no_grad(), a detach() or an argmax on the way?")  # fmt: skip


def main(arguments=None):
    """Run from a shell; return 0 without findings, 1 with, 2 if the model could not be examined."""
    parser = argparse.ArgumentParser(prog="python -m rnnlab.doctor", description=__doc__.splitlines()[0])
    parser.add_argument("target", metavar="path/to/script.py:function", help="returns (module, batch, loss_fn)")
    parser.add_argument("--clip", type=float, default=1.0, help="threshold of the global norm to ask about")
    options = parser.parse_args(arguments)
    path, _, function = options.target.rpartition(":")
    if not path or not Path(path).is_file():
        print(f"expected path/to/script.py:function, got {options.target!r}: no such file", file=sys.stderr)
        return 2
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    script = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        spec.loader.exec_module(script)
        report = diagnose(*getattr(script, function)(), clip=options.clip)
    except Exception as error:  # whatever the reader's script does: say it in one line
        print(f"could not examine {options.target}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(report)
    return int(bool(report.findings))


if __name__ == "__main__":
    sys.exit(main())

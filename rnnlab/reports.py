"""What the doctor says, as text, table, figure and plain numbers."""

import html
import textwrap
from dataclasses import asdict, dataclass, field

from rnnlab.plots import lines

WIDTH = 76  # of the text: what a page of the book shows without scrolling


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
        sample_axis: axis of the inputs along which the test for leaks found or looked for the samples, or None.
    """

    model: str
    loss: float
    grad_norm: float
    clip: float
    findings: list = field(default_factory=list)
    layers: dict = field(default_factory=dict)
    tests: dict = field(default_factory=dict)
    sample_axis: int | None = None

    @property
    def clipped(self):
        return self.grad_norm > self.clip

    def to_dict(self):
        """Return everything as plain numbers, strings, lists and dicts."""
        return {**asdict(self), "clipped": self.clipped}

    def __str__(self):
        parts = [self.head(), *(f"  {text}" for text in self.described())]
        for n, one in enumerate(self.findings, start=1):
            parts.append(f"{n}. {one.severity.upper()} {one.kind} in {one.where}")
            parts += [f"   seen: {one.evidence}", f"   try: {one.advice}"]
        if not self.findings:
            parts.append("Nothing found.")
        parts += [f"test {text}" for text in self.tested()]
        return "\n".join(textwrap.fill(part, WIDTH, subsequent_indent=" " * 9) for part in parts)

    def head(self):
        """Return the line about the batch."""
        would = "would shorten" if self.clipped else "would leave"
        return (f"{self.model}: loss {self.loss:.4g}, gradient norm {self.grad_norm:.4g} "
                f"(a clip at {self.clip:g} {would} it)")  # fmt: skip

    def described(self):
        """Return a line about each recurrence."""
        return [f"{where}: {layer['kind']}, {layer['steps']} steps, {_reach(layer)}"
                for where, layer in self.layers.items()]  # fmt: skip

    def tested(self):
        """Return a line about each test; where no sample moved another, along which axis samples were looked for."""
        axis = {"cross_sample_leak": f" (samples along axis {self.sample_axis} of the inputs)"}
        return [f"{name}: {result}{axis.get(name, '') if result == 'passed' else ''}"
                for name, result in self.tests.items()]  # fmt: skip

    def _repr_html_(self):
        cell = "<td style='text-align:left'>"
        rows = "".join(
            "<tr>" + "".join(f"{cell}{html.escape(text)}</td>" for text in
                             (one.severity, one.kind, one.where, one.evidence, one.advice)) + "</tr>"
            for one in self.findings
        )  # fmt: skip
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in
                       ("severity", "kind", "where", "seen", "try"))  # fmt: skip
        table = f"<table><tr>{head}</tr>{rows}</table>" if rows else "<p>Nothing found.</p>"
        layers = "".join(f"<li>{html.escape(text)}</li>" for text in self.described())
        tests = "".join(f"<li>{html.escape(text)}</li>" for text in self.tested())
        return f"<p>{html.escape(self.head())}</p><ul>{layers}</ul>{table}<p>Tests:</p><ul>{tests}</ul>"

    def figure(self):
        """Return a Matplotlib figure: the gradient at each step of each cell, relative to its largest."""
        curves = {where: layer["flow"] for where, layer in self.layers.items() if max(layer["flow"], default=0) > 0}
        relative = {where: [norm / max(flow) for norm in flow] for where, flow in curves.items()}
        return lines(relative, "step, in the order in which the cell ran", "gradient at the state, relative", log=True)


def _reach(layer):
    if layer["frozen"]:
        return "frozen, no gradient wanted"
    if max(layer["flow"]) == 0:
        return "no gradient"
    if layer["keeps"] == 0:
        return "heard at one step only"
    radius = ", ".join(f"{gate} {value:.2f}" for gate, value in layer["spectral_radius"].items())
    return f"keeps {layer['keeps']:.2f} of the gradient per step back" + (
        f", spectral radius {radius}" if radius else ""
    )

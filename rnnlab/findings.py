"""What the doctor measures of each recurrence, and from where on a measurement is an alarm."""

from dataclasses import dataclass

import torch
from torch import nn

from rnnlab.recording import first_tensor

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
    "detached": "look for detach(), .data, no_grad(), a state that is made anew within the sequence, or answers that "
                "all stand where the loss is flat, as behind a ReLU",
    "unheard": "the loss reads this state after a single step; of a bidirectional layer take h_n, or output[:, 0] for "
               "the reverse half",
    "exploding": "clip the gradient by its global norm between backward() and step(), and start W_hh with a spectral "
                 "radius near 1",
    "saturation": "scale the inputs to about -1 to 1, draw smaller weights, or lower the learning rate",
    "dead_units": "look for ReLU units that are never on, a gate that is always shut, constant inputs, or a learning "
                  "rate that was too large",
    "embedding": "look for rows that were never drawn or have run away; weight decay or max_norm holds them",
    "cross_sample_leak": "nn.RNN, nn.LSTM, nn.GRU and nn.MultiheadAttention read (T, B, D) unless batch_first=True: "
                         "give the layer what it reads; look for view where transpose is meant, for a softmax, mean or "
                         "norm over the samples",
    "ignores_history": "check which axis is time (batch_first), that the state is handed from step to step, and that "
                       "the output is read at the last step, not the last sample",
    "deaf": "read each sequence at its own last step (h_n, or output[i, lengths[i] - 1]): behind the end of a packed "
            "sequence the outputs are zeros",
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


def finding(kind, severity, where, evidence, advice=None):
    return Finding(kind, severity, where, evidence, ADVICE[advice or kind])


# ---------------------------------------------------------------- what is measured


def measured(one):
    """Return what one cell's record shows, as plain numbers."""
    flow = one.flow().tolist()
    values = one.values()
    span = values.amax(dim=0) - values.amin(dim=0)
    dead = span <= 1e-6 * values.abs().amax(dim=0).clamp_min(1.0)
    heard = [t for t, norm in enumerate(flow) if norm > 0]
    first, last = (heard[0], heard[-1]) if heard else (0, 0)
    keeps = (flow[first] / flow[last]) ** (1 / (last - first)) if last > first else 0.0
    return {
        "kind": one.kind, "steps": len(flow), "flow": flow, "last_used": last, "keeps": keeps,
        "spectral_radius": radii(one), "saturated": saturated(one), "dead": dead.float().mean().item(),
        "grows": one.growth(last) if max(flow) > GROWN * flow[last] else 0.0,
        "frozen": not any(state.requires_grad for state in one.states),
    }  # fmt: skip


def radii(one):
    """Return the spectral radius of each gate's recurrent matrix, where it is square."""
    if one.weight_hh is None or not torch.isfinite(one.weight_hh).all():
        return {}
    names = {"rnn": ("h",), "lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n"), "cell": ("h",)}[one.kind]
    blocks = zip(names, one.weight_hh.double().chunk(len(names)), strict=True)
    return {
        name: torch.linalg.eigvals(block).abs().max().item() for name, block in blocks if len(block) == block.shape[1]
    }


def saturated(one):
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


def of_flow(records, layers, ignores_history):
    """Yield findings about the gradient's way back; none where no gradient is wanted, or the recurrence was cut."""
    for where, one in records.items():
        layer = layers[where]
        flow, last, steps = layer["flow"], layer["last_used"], layer["steps"]
        top = max(flow)
        if steps < 3 or layer["frozen"] or (ignores_history and one.cut()):
            continue
        if top == 0:
            yield finding("vanishing", "critical", where, "no gradient arrives at any step", "detached")
        elif last == 0:
            evidence = f"the loss reads the state after 1 of {steps} steps, no later one"
            yield finding("ignores_history", "warning", where, evidence, "unheard")
        elif one.cut():
            first = next(t for t, norm in enumerate(flow) if norm > 0)
            evidence = f"the gradient is exactly 0 at the first {first} of {steps} steps"
            yield finding("vanishing", "critical", where, evidence, "detached")
        elif flow[0] < LOST * top:
            heard = sum(norm >= LOST * top for norm in flow)
            left = f"{flow[0] / top:.1e}" if flow[0] else "nothing"
            evidence = f"{left} of the gradient is left at the first step; {heard} of {steps} steps are heard"
            yield finding("vanishing", "critical" if flow[0] < GONE * top else "warning", where, evidence)
        # What grows must grow by the recurrence alone: a loss may read early steps more than late ones.
        grows = min(layer["grows"], top / flow[last]) if last and flow[last] > 0 else 0.0
        if grows > max(GROWN, 3 * steps):
            evidence = f"the gradient grows {grows:.1e} times on its way back, {layer['keeps']:.2f} per step"
            yield finding("exploding", "critical" if grows > BURST else "warning", where, evidence)


def of_units(records, layers):
    """Yield findings about gates at their ends and units without a life."""
    for where in records:
        stuck = {gate: share for gate, share in layers[where]["saturated"].items() if share > SHARE["saturation"]}
        if stuck:
            evidence = "gates at their ends, of units and steps: " + ", ".join(f"{g} {s:.0%}" for g, s in stuck.items())
            yield finding("saturation", "critical" if max(stuck.values()) > 0.9 else "warning", where, evidence)
        dead = layers[where]["dead"]
        if layers[where]["steps"] > 1 and dead >= SHARE["dead_units"]:
            evidence = f"{dead:.0%} of the units have the same value at every step of every sequence"
            yield finding("dead_units", "critical" if dead > 0.5 else "warning", where, evidence)


def of_embeddings(module):
    """Yield findings about embeddings: rows of zeros, rows that have run away."""
    for name, one in module.named_modules():
        if not isinstance(one, nn.Embedding | nn.EmbeddingBag) or one.num_embeddings < 10:
            continue
        norms = one.weight.detach().norm(dim=1)
        if one.padding_idx is not None:
            norms = norms[torch.arange(len(norms), device=norms.device) != one.padding_idx]
        dead, top = (norms == 0).float().mean().item(), (norms.max() / norms.median().clamp_min(1e-12)).item()
        if dead >= SHARE["dead_units"]:
            yield finding("dead_units", "warning", name, f"{dead:.0%} of the rows are zero", "embedding")
        elif top > GROWN:
            yield finding("exploding", "warning", name, f"a row is {top:.0f} times as long as the median", "embedding")


def of_reading(results, records):
    """Yield findings from what the reading tests saw."""
    where = ", ".join(dict.fromkeys(name.split(" layer ")[0].split(", call")[0] for name in records))
    if seen := results.get("cross_sample_leak"):
        evidence = (f"changing one sample changes the outputs of others by {seen['others']:.1e} of the largest output, "
                    f"its own by {seen['own']:.1e}")  # fmt: skip
        yield finding("cross_sample_leak", "critical", where, evidence)
    seen = results.get("ignores_history")
    if seen and seen.get("deaf"):
        evidence = f"the outputs of {seen['deaf']} of {seen['samples']} samples, those that end early, read nothing"
        yield finding("ignores_history", "critical", where, evidence, "deaf")
    elif seen:
        single = all(len(one.states) == 1 for one in records.values())
        evidence = "other inputs at step 0 do not change the last output at all"
        evidence += "; the recurrent layer took a single step" if single else ""
        if single or any(one.cut() for one in records.values()) or results.get("cross_sample_leak"):
            yield finding("ignores_history", "critical", where, evidence)
    if seen := results.get("reads_padding"):
        evidence = f"other padding changes the outputs by {seen['change']:.1e} of the largest"
        yield finding("reads_padding", "critical", where, evidence)


def of_numbers(module, inputs, outputs, loss, norms):
    """Return at most one finding: the first place, on the way of the numbers, where one is not finite."""
    x, y = first_tensor(inputs), first_tensor(outputs)
    params = [(f"parameter {name}", param) for name, param in module.named_parameters()]
    grads = [(f"gradient of {name}", norm) for name, norm in norms.items()]
    places = [("inputs", x), *params, ("outputs", y), ("loss", loss), *grads]
    for where, tensor in places:
        if tensor is not None and not torch.isfinite(tensor).all():
            share = (~torch.isfinite(tensor)).float().mean().item()
            evidence = f"{share:.1%} of the numbers are NaN or infinite" if tensor.numel() > 1 else "NaN or infinite"
            return [finding("nonfinite", "critical", where, evidence)]
    return []

"""What makes a small LSTM better on data that it has not seen?

Two real problems with few labelled examples: nine speakers told apart by a vowel (60 utterances to learn from), and
Chinese reviews that praise or complain (400 to learn from, the first 30 characters of each). Each change of the network
or of its training is one configuration, and all follow the same rules:

1. Tuning. Every configuration gets the same learning rates on the same pilot seeds; the rate with the lowest
   share of wrong answers on validation data is taken. The budget is a fixed number of updates.
2. Comparison. The configuration runs with its rate on fresh seeds, and with the rate of the smallest network where
   depth and width are compared. A seed fixes which examples are learned from, the order of the batches and the start,
   so that configurations can be compared seed by seed. The test data are touched only here.

    python notebooks/evidence/generalization.py        # about an hour on one core; goes on where it stopped
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from generalization_data import PROBLEMS, embeddings

import rnnlab as rl

HERE = Path(__file__).parent
PILOT, FRESH, ABOUT = (HERE / f"generalization_{name}" for name in ("pilot.parquet", "fresh.parquet", "about.json"))
RATES = [0.001, 0.003, 0.01, 0.03]
BATCH_SIZE, UPDATES, EVERY, MAX_NORM = 16, 300, 30, 1.0
PILOT_SEEDS, FRESH_SEEDS = range(4), range(100, 108)


@dataclass(frozen=True)
class Net:
    """Say how a network differs from a plain LSTM of one layer, and its training from the plain one.

    Attributes:
        layers, width: L and H.
        residual: add a layer's input to its output, from the second layer on.
        layer_norm: normalize within the cell.
        dropout: share of inputs and outputs of each layer that is dropped, drawn anew at each step.
        variational: the same, with one mask for all steps, and for the state on its way to the next step too.
        zoneout: share of units, of c and of h, that keep their old value at a step.
        weight_decay: decoupled, of matrices.
        early: take the parameters of the lowest validation loss, not the last ones.
        more: learn from that many times the examples.
        embedding: how the vectors of the characters begin: "random", or from "news" or "reviews"; "frozen" are those
            of the reviews, which then do not move.
        bag: no recurrent network at all, a linear one that counts characters.
    """

    layers: int = 1
    width: int = 32
    residual: bool = False
    layer_norm: bool = False
    dropout: float = 0.0
    variational: float = 0.0
    zoneout: float = 0.0
    weight_decay: float = 0.0
    early: bool = False
    more: int = 1
    embedding: str = "random"
    bag: bool = False


METHODS = {
    "plain": Net(),
    **{f"dropout {p}": Net(dropout=p) for p in (0.25, 0.5)},
    **{f"variational {p}": Net(variational=p) for p in (0.25, 0.5)},
    **{f"zoneout {p}": Net(zoneout=p) for p in (0.1, 0.3)},
    **{f"weight decay {d}": Net(weight_decay=d) for d in (0.1, 1.0)},
    "layer norm": Net(layer_norm=True),
    "early stopping": Net(early=True),
    "together": Net(variational=0.25, zoneout=0.1, weight_decay=0.1, layer_norm=True, early=True),
    "twice the data": Net(more=2),
}
EMBEDDED = {
    "from news": Net(embedding="news"),
    "from reviews": Net(embedding="reviews"),
    "from reviews, frozen": Net(embedding="frozen"),
    "bag of characters": Net(bag=True),
}
SIZES = {f"{layers} x {width}": Net(layers, width) for width in (8, 24) for layers in (1, 2, 3, 4)}
SIZES |= {f"{layers} x 8 residual": Net(layers, 8, residual=True) for layers in (2, 3, 4)}
CONFIGURATIONS = {"speakers": METHODS | SIZES, "reviews": {"plain": Net()} | EMBEDDED}
SMALLEST = "1 x 8"


# ---------------------------------------------------------------- the network
#
# A leading axis R holds independent runs, so that all seeds and rates train in one go: x is (R, T, B, D).


class Noise:
    """Draw the masks of dropout and zoneout, each run from a generator of its own; without generators there is none."""

    def __init__(self, generators=None):
        self.generators = generators

    def zeros(self, p, *shape):
        """Return (R, *shape), 1 with probability p and else 0."""
        return torch.stack([torch.rand(shape, generator=one) < p for one in self.generators]).float()

    def dropout(self, x, p, same=False):
        """Set a share p of x to 0 and make up for it; `same` uses one mask for all steps."""
        if p == 0 or self.generators is None:
            return x
        _, T, B, D = x.shape
        return x * (1 - self.zeros(p, 1 if same else T, B, D)) / (1 - p)

    def zoneout(self, p, T, B, H):
        """Return for each step how much of the old value stays: 0 or 1 in training, p without noise."""
        return [p] * T if p == 0 or self.generators is None else self.zeros(p, T, B, H).unbind(1)


def normed(z, gain):
    """Normalize each vector z over its units to mean 0 and variance 1, times a gain."""
    return F.layer_norm(z, z.shape[-1:]) * gain[..., None, :]


def lstm_layer(net, p, x, noise):
    """Return the states (R, T, B, H) of one layer with parameters p."""
    R, T, B, _ = x.shape
    same, H = net.variational > 0, net.width
    x = noise.dropout(x, net.variational or net.dropout, same)
    from_x = (x.flatten(1, 2) @ p["weight_ih"].mT).unflatten(1, (T, B)).unbind(1)  # indexing is slow on the way back
    h = c = x.new_zeros(R, B, H)
    drop = noise.dropout(x.new_ones(R, 1, B, H), net.variational, same)[:, 0]  # Gal's mask of the state
    keep_c, keep_h = (noise.zoneout(net.zoneout, T, B, H) for _ in range(2))
    U, states = p["weight_hh"].mT, []
    for t in range(T):
        from_h = (drop * h if same else h) @ U
        if net.layer_norm:
            z = normed(from_x[t], p["gain_ih"]) + normed(from_h, p["gain_hh"]) + p["bias"][:, None]
        else:
            z = from_x[t] + from_h + p["bias"][:, None]
        i, f, g, o = z.chunk(4, dim=-1)
        new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        seen = normed(new_c, p["gain_c"]) + p["bias_c"][:, None] if net.layer_norm else new_c
        new_h = torch.sigmoid(o) * torch.tanh(seen)
        if net.zoneout:
            new_c, new_h = new_c + keep_c[t] * (c - new_c), new_h + keep_h[t] * (h - new_h)
        c, h = new_c, new_h
        states.append(h)
    return torch.stack(states, dim=1)


def forward(net, params, x, lengths, noise):
    """Return the logits (R, B, C), read from the state at each sequence's last step.

    Args:
        params: dict name -> tensor (R, ...).
        x: (R, T, B, D), or (R, T, B) characters by number, 0 behind the end.
        lengths: (R, B).
    """
    R = len(x)
    if "embedding" in params:
        table = params["embedding"]  # (R, V, E); a row of the table for each run's character
        x = table.flatten(0, 1)[x + len(table[0]) * torch.arange(R)[:, None, None]] * (x > 0)[..., None]
    if net.bag:
        return x.sum(1) / lengths[..., None] + params["bias_out"][:, None]
    for layer in range(net.layers):
        own = {name.removesuffix(f"_l{layer}"): p for name, p in params.items() if name.endswith(f"_l{layer}")}
        h = lstm_layer(net, own, x, noise)
        x = h + x if net.residual and layer else h
    x = noise.dropout(x, net.variational or net.dropout, net.variational > 0)
    last = x.gather(1, (lengths - 1)[:, None, :, None].expand(-1, 1, -1, x.shape[-1]))[:, 0]
    return last @ params["weight_out"].mT + params["bias_out"][:, None]


def start(net, problem, seed):
    """Draw the parameters of one run as torch does, with a forget bias of 1."""
    rng, H, params = np.random.default_rng([seed, 1]), net.width, {}
    D, C = problem.input_size, problem.classes
    if net.bag:
        return {"embedding": np.zeros((problem.characters, C)), "bias_out": np.zeros(C)}
    for layer in range(net.layers):
        own = {"weight_ih": rng.uniform(-1, 1, (4 * H, H if layer else D)) / H**0.5,
               "weight_hh": rng.uniform(-1, 1, (4 * H, H)) / H**0.5, "bias": np.repeat([0.0, 1, 0, 0], H)}  # fmt: skip
        if net.layer_norm:
            own |= {"gain_ih": np.ones(4 * H), "gain_hh": np.ones(4 * H), "gain_c": np.ones(H), "bias_c": np.zeros(H)}
        params |= {f"{name}_l{layer}": value for name, value in own.items()}
    params |= {"weight_out": rng.uniform(-1, 1, (C, H)) / H**0.5, "bias_out": np.zeros(C)}
    if problem.characters:
        params["embedding"] = embeddings(net.embedding, seed)
    return params


# ---------------------------------------------------------------- the training


class AdamW:
    """Adam with decoupled weight decay and clipping by norm, for R runs with a learning rate each."""

    def __init__(self, params, lr, weight_decay, beta1=0.9, beta2=0.999, eps=1e-8):
        self.params, self.lr, self.decay, self.betas, self.eps = params, lr, weight_decay, (beta1, beta2), eps
        self.m, self.v = ({name: torch.zeros_like(p) for name, p in params.items()} for _ in range(2))
        self.updates = 0

    def step(self):
        """Move the parameters in place by their gradients."""
        self.updates += 1
        grads = {name: p.grad for name, p in self.params.items()}
        norm = sum(g.flatten(1).square().sum(1) for g in grads.values()).sqrt()
        share, (beta1, beta2) = (MAX_NORM / norm).clamp(max=1), self.betas
        with torch.no_grad():
            for name, p in self.params.items():
                per_run = (-1,) + (1,) * (p.ndim - 1)
                g, lr, m, v = grads[name] * share.view(per_run), self.lr.view(per_run), self.m[name], self.v[name]
                m.lerp_(g, 1 - beta1)
                v.lerp_(g * g, 1 - beta2)
                if name.startswith("weight"):
                    p -= lr * self.decay * p
                m_hat, v_hat = m / (1 - beta1**self.updates), v / (1 - beta2**self.updates)
                p -= lr * m_hat / (v_hat.sqrt() + self.eps)
                p.grad = None


def train(problem, net, rates, seeds, updates=UPDATES, parts=("train", "validation", "test")):
    """Train with all rates and seeds, R = rates x seeds runs in one.

    Returns:
        dict: name -> array (R, points), measured every `EVERY` updates: for each part such as test `test_loss` and
        `test_error`, the share of wrong answers.
    """
    runs = [(lr, seed) for lr in rates for seed in seeds]
    starts = [start(net, problem, seed) for _, seed in runs]
    params = {name: torch.tensor(np.stack([one[name] for one in starts]), dtype=torch.float32) for name in starts[0]}
    frozen = {"embedding"} if net.embedding == "frozen" else set()
    moving = {name: p.requires_grad_() for name, p in params.items() if name not in frozen}
    optimizer = AdamW(moving, torch.tensor([lr for lr, _ in runs]), net.weight_decay)
    noise = Noise([torch.Generator().manual_seed(seed) for _, seed in runs])
    splits = [problem.split(seed, net.more) for _, seed in runs]
    orders = [np.random.default_rng([seed, 2]) for _, seed in runs]
    examples = {"train": [split[0] for split in splits], "validation": [split[1] for split in splits],
                "test": [problem.test] * len(runs)}  # fmt: skip
    curves = {}
    for update in range(1, updates + 1):
        batch = [rng.choice(split[0], BATCH_SIZE) for rng, split in zip(orders, splits, strict=True)]
        x, lengths, y = problem.examples(batch)
        logits = forward(net, params, x, lengths, noise)
        losses(logits, y).sum().backward()  # runs share nothing, so the gradient of the sum is each one's own
        optimizer.step()
        if update % EVERY == 0:
            for part in parts:
                loss, error = judged(net, params, problem, examples[part])
                curves.setdefault(f"{part}_loss", []).append(loss)
                curves.setdefault(f"{part}_error", []).append(error)
    return {name: np.stack(points, axis=1) for name, points in curves.items()}


def losses(logits, y):
    """Return each run's mean cross entropy, (R,)."""
    return F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape).mean(1)


def judged(net, params, problem, which):
    """Return each run's mean loss and share of wrong answers on its examples, without noise, both (R,)."""
    x, lengths, y = problem.examples(which)
    with torch.no_grad():
        logits = forward(net, params, x, lengths, Noise())
        return losses(logits, y).numpy(), (logits.argmax(-1) != y).float().mean(1).numpy()


# ---------------------------------------------------------------- tuning and comparison


def chosen(net, curves):
    """Return the point whose parameters a run keeps: the last, or the one with the lowest validation loss."""
    losses = np.nan_to_num(curves["validation_loss"], nan=np.inf)
    return losses.argmin(axis=1) if net.early else np.full(len(losses), losses.shape[1] - 1)


def pilot_run(problem, name):
    """Train a configuration with every rate on the pilot seeds; of equal errors the lower loss decides."""
    net = CONFIGURATIONS[problem][name]
    curves = train(PROBLEMS[problem](), net, RATES, PILOT_SEEDS, parts=["validation"])
    kept, each = chosen(net, curves), np.arange(len(RATES) * len(PILOT_SEEDS))
    of_rates = {
        name: curves[f"validation_{name}"][each, kept].reshape(len(RATES), -1).mean(axis=1)
        for name in ("error", "loss")
    }
    best = np.lexsort([np.nan_to_num(of_rates["loss"], nan=np.inf), of_rates["error"]])[0]
    return {"rate": RATES[best], "errors": of_rates["error"].tolist(), "losses": of_rates["loss"].tolist()}


def fresh_run(problem, name):
    """Train a configuration on the fresh seeds with its own rate, and with that of the smallest network."""
    rates = chosen_rates()
    net, own = CONFIGURATIONS[problem][name], rates[problem, name]
    lrs = [own, rates[problem, SMALLEST]] if name in SIZES else [own]
    began = time.process_time()
    curves = train(PROBLEMS[problem](), net, list(dict.fromkeys(lrs)), FRESH_SEEDS)
    stored = {key: [float(f"{value:.4g}") for value in curve.ravel()] for key, curve in curves.items()}
    parameters = sum(value.size for value in start(net, PROBLEMS[problem](), 0).values())
    return {"rates": list(dict.fromkeys(lrs)), "parameters": parameters, "cpu": time.process_time() - began, **stored}


def chosen_rates():
    """Return the rate that the tuning chose for each problem and configuration."""
    table = pd.read_parquet(PILOT)
    return {(row["problem"], row["name"]): row["rate"] for row in table.to_dict("records")}


def compare():
    """Run what is not stored yet: for each problem the tuning, then the comparison."""
    for problem, names in CONFIGURATIONS.items():
        yield rl.sweep(pilot_run, store=PILOT, stack=False, problem=[problem], name=list(names))
        yield rl.sweep(fresh_run, store=FRESH, stack=False, problem=[problem], name=list(names))


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    began, tables = time.time(), list(compare())
    about = {
        "command": "python notebooks/evidence/generalization.py",
        "settings": {
            "rates": RATES, "batch_size": BATCH_SIZE, "updates": UPDATES, "every": EVERY, "max_norm": MAX_NORM,
            "dtype": "float32", "optimizer": "AdamW", "smallest": SMALLEST,
            "pilot_seeds": list(PILOT_SEEDS), "fresh_seeds": list(FRESH_SEEDS),
            "configurations": {
                problem: {name: asdict(net) for name, net in nets.items()} for problem, nets in CONFIGURATIONS.items()
            },
            "problems": {name: problem().about for name, problem in PROBLEMS.items()},
        },
        **rl.provenance(), "torch": torch.__version__,
        "failed": int(sum(table.error.notna().sum() for table in tables)),
        "seconds_of_all_runs": round(float(sum(table.seconds.sum() for table in tables))),
        "seconds_of_this_call": round(time.time() - began),
    }  # fmt: skip
    ABOUT.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

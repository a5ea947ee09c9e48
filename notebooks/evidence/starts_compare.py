"""Which start of the recurrent matrix trains, must it stay orthogonal, and what does Omega add?

Three experiments on plain networks of 24 units, all by the same rules. Each method gets the same learning rates on five
pilot seeds; what is tuned is the mean loss over the whole run, where no update counts as more than guessing. The best
rate runs on twelve fresh seeds.

- starts: seven starts of W_hh on adding over 30 steps.
- margins: a tanh network on temporal order over 30 steps that starts orthogonal. After each update the singular values
  of W_hh are moved into [1 - m, 1 + m], after Vorontsov et al. (2017); m = 0 keeps it orthogonal, None leaves it free.
- omega: a tanh network on temporal order over 30 steps that starts too small, with a weight alpha of Omega.

    python notebooks/evidence/starts_compare.py              # about four minutes on one core
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import rnnlab as rl

HIDDEN, BATCH_SIZE, CLIP, EVERY = 24, 10, rl.ClipNorm(1.0), 50
PILOT_SEEDS, FRESH_SEEDS = range(5), range(100, 112)
RATES = [0.0003, 0.001, 0.003, 0.01, 0.03]
UPDATES = {"starts": 2000, "margins": 1000, "omega": 1000}
METHODS = {
    "starts": ["torch", "glorot", "sparse", "orthogonal", "orthogonal relu", "identity", "identity relu"],
    "margins": [0.0, 0.01, 0.1, 0.5, None],
    "omega": [0.0, 0.1, 1.0, 4.0],
}


@dataclass(frozen=True)
class Banded:
    """An optimizer that moves the singular values of weight_hh into [1 - margin, 1 + margin] after each update."""

    inner: Any
    margin: float
    runs: int = 0

    def init(self, params):
        """Return the inner optimizer's state."""
        return replace(self.inner, runs=self.runs).init(params)

    def update(self, params, grads, state):
        """Update, then bring the singular values back into the band."""
        params, state = replace(self.inner, runs=self.runs).update(params, grads, state)
        u, s, v = np.linalg.svd(params["weight_hh"])
        s = s.clip(1 - self.margin, 1 + self.margin)
        return params | {"weight_hh": (u * s[..., None, :]) @ v}, state

    def evaluation_params(self, params, state):
        """Return the parameters."""
        return params


def start(kind, model, seed):
    """Draw parameters: what torch draws, with zero biases and another W_hh."""
    rng = np.random.default_rng([seed, 7])
    params = model.init(rng)
    params = {name: 0 * param if name.startswith("bias_") else param for name, param in params.items()}
    matrix = {
        "torch": lambda: params["weight_hh"],
        "glorot": lambda: rl.glorot(rng, (HIDDEN, HIDDEN)),
        "sparse": lambda: rl.sparse(rng, HIDDEN, nonzeros=6, radius=0.95),
        "orthogonal": lambda: rl.orthogonal(rng, HIDDEN),
        "identity": lambda: rl.identity(HIDDEN),
        "small": lambda: rng.normal(0, 0.1, (HIDDEN, HIDDEN)),
    }[kind.removesuffix(" relu")]
    return params | {"weight_hh": matrix()}


def problem(experiment, method):
    """Return task, model, the kind of start, and what wraps the optimizer."""
    if experiment == "starts":
        cell = rl.RNNCell(2, HIDDEN, nonlinearity="relu" if method.endswith("relu") else "tanh")
        return rl.Adding(30), rl.Model(cell, 1, rl.squared_error), method, lambda optimizer: optimizer
    task = rl.TemporalOrder(30)
    model = rl.Model(rl.RNNCell(task.input_size, HIDDEN), task.output_size, rl.cross_entropy)
    if experiment == "margins":
        wrap = (lambda optimizer: optimizer) if method is None else (lambda optimizer: Banded(optimizer, method))
        return task, model, "orthogonal", wrap
    return task, model, "small", lambda optimizer: optimizer


def regularizer(experiment, method, model):
    """Return alpha times Omega's gradient as `train` wants it, or None."""
    if experiment != "omega" or method == 0:
        return None

    def add(params, out):
        d_omega = rl.omega(model.cell, params, out.h, out.d_h)[1]["weight_hh"]
        return {"weight_hh": np.nan_to_num(method * d_omega, posinf=0, neginf=0)}

    return add


def run(experiment, method, lr, seeds, updates=None):
    """Train all seeds in one call; return a row for each."""
    task, model, kind, wrap = problem(experiment, method)
    starts = [start(kind, model, seed) for seed in seeds]
    params = {name: np.stack([drawn[name] for drawn in starts]) for name in starts[0]}
    updates = updates or UPDATES[experiment]
    histories = rl.train(
        model, task, wrap(rl.Adam(lr)), CLIP, updates, np.array(seeds), BATCH_SIZE, params=params, progress=False,
        regularizer=regularizer(experiment, method, model),
    )  # fmt: skip
    return [row(history, task, updates) | {"seed": seed} for history, seed in zip(histories, seeds, strict=True)]


def row(history, task, updates):
    """Return mean and last loss, each at most that of guessing, the curve, and the singular values at the end."""
    losses = np.full(updates, task.baseline)
    losses[: len(history.loss)] = np.minimum(np.nan_to_num(history.loss, nan=np.inf), task.baseline)
    singular = np.linalg.svd(history.params["weight_hh"], compute_uv=False)
    return {
        "mean_loss": float(losses.mean()),
        "last_loss": float(losses[-100:].mean()),
        "curve": [float(f"{loss:.4g}") for loss in losses.reshape(-1, EVERY).mean(axis=1)],
        "largest": float(singular[0]),
        "smallest": float(singular[-1]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began, pilot, fresh = parser.parse_args().out, time.process_time(), [], []
    with tqdm(total=sum(len(methods) for methods in METHODS.values()) * (len(RATES) + 1), unit="call") as bar:
        for experiment, methods in METHODS.items():
            for method in methods:
                cell = {"experiment": experiment, "method": method}
                trials = {}
                for lr in RATES:
                    trials[lr] = [one["mean_loss"] for one in run(experiment, method, lr, PILOT_SEEDS)]
                    pilot.append(cell | {"lr": lr, "mean_losses": trials[lr]})
                    bar.update()
                best = min(trials, key=lambda lr: np.mean(trials[lr]))
                fresh += [cell | {"lr": best} | one for one in run(experiment, method, best, FRESH_SEEDS)]
                bar.update()
    record = {
        "settings": {
            "hidden": HIDDEN, "batch_size": BATCH_SIZE, "optimizer": "Adam", "clip": repr(CLIP), "rates": RATES,
            "updates": UPDATES, "every": EVERY, "methods": METHODS, "pilot_seeds": list(PILOT_SEEDS),
            "fresh_seeds": list(FRESH_SEEDS),
        },
        "made": {
            "command": "python notebooks/evidence/starts_compare.py", **rl.provenance(),
            "cpu_seconds": round(time.process_time() - began),
        },
        "pilot": pilot, "fresh": fresh,
    }  # fmt: skip
    out.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Is the loss more curved where its gradient is long? Smoothness against gradient norm while a small LSTM learns text.

After Zhang, He, Sra and Jadbabaie (2020): between two updates the gradient of a fixed batch is taken where the weights
were and halfway to where they are now; its change over the distance is the local smoothness. Their figures compare a
large learning rate with clipping to a small one without. Here is the whole grid of learning rate and clip, because the
two go together: a large rate without a clip is another run than a small one.

    python notebooks/evidence/smoothness_grid.py              # about three minutes on one core
"""

import argparse
import json
import pydoc_data.topics
import re
import time
from pathlib import Path

import numpy as np

import rnnlab as rl

SYMBOLS = " abcdefghijklmnopqrstuvwxyz.,'()\n"
TEXT = re.sub(r"[^a-z.,'()\n ]", " ", "\n".join(topic for _, topic in sorted(pydoc_data.topics.topics.items())).lower())
CODES = np.array([SYMBOLS.index(symbol) for symbol in re.sub(r" +", " ", TEXT)])
LENGTH, HIDDEN, UPDATES, EVERY, BATCH_SIZE, FIXED = 30, 32, 800, 4, 16, 32
RATES, MAX_NORMS, SEEDS = [0.5, 2.0, 8.0, 20.0, 50.0], [0.03, 0.1, None], range(5)


class NextLetter:
    """Say at each step which letter comes next, in pieces of the manual of Python's language."""

    baseline = float(np.log(len(SYMBOLS)))

    def sample(self, rng, batch_size, dtype=np.float64):
        """Draw a batch: x (LENGTH, B, symbols) one-hot, y (LENGTH, B), mask of all steps."""
        first = rng.integers(0, len(CODES) - LENGTH - 1, batch_size)
        pieces = CODES[first + np.arange(LENGTH + 1)[:, None]]
        return rl.Batch(np.eye(len(SYMBOLS), dtype=dtype)[pieces[:-1]], pieces[1:], np.ones((LENGTH, batch_size), bool))


TASK = NextLetter()
MODEL = rl.Model(rl.LSTMCell(len(SYMBOLS), HIDDEN), len(SYMBOLS), rl.cross_entropy)


class Smoothness:
    """A callback that measures every few updates; `points` holds pairs of gradient norm and smoothness."""

    def __init__(self, seed, every=EVERY):
        self.batch, self.every = TASK.sample(np.random.default_rng([seed, 9]), FIXED), every
        self.before, self.points = None, []

    def gradient(self, params):
        """Return the gradient of the fixed batch as one vector."""
        grads = MODEL.loss_and_grads(params, self.batch).grads
        return np.concatenate([grad.ravel() for grad in grads.values()])

    def __call__(self, moment):
        if moment.update % self.every == 0 and self.before is not None:
            middle = {name: (self.before[name] + param) / 2 for name, param in moment.params.items()}
            moved = np.sqrt(sum(((param - self.before[name]) ** 2).sum() for name, param in moment.params.items()))
            g, g_middle = self.gradient(self.before), self.gradient(middle)
            self.points.append((np.linalg.norm(g), np.linalg.norm(g_middle - g) / (moved / 2)))
        self.before = {name: param.copy() for name, param in moment.params.items()}


def run(lr, max_norm, seed, updates=UPDATES):
    """Train once with plain SGD.

    Returns:
        dict: `correlation` of the logarithms of gradient norm and smoothness, `loss` of the last 50 updates (infinity
        if it diverged), `points` (n, 2).
    """
    measure = Smoothness(seed)
    clip = None if max_norm is None else rl.ClipNorm(max_norm)
    history = rl.train(MODEL, TASK, rl.SGD(lr), clip, updates, seed, BATCH_SIZE, callbacks=[measure], progress=False)
    points = np.array(measure.points)
    points = points[np.isfinite(points).all(axis=1) & (points > 0).all(axis=1)]
    correlation = float(np.corrcoef(np.log(points).T)[0, 1]) if len(points) > 10 else None
    return {"correlation": correlation, "loss": history.final_loss(), "points": points}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, began, runs = parser.parse_args().out, time.process_time(), []
    for lr in RATES:
        for max_norm in MAX_NORMS:
            for seed in SEEDS:
                result = run(lr, max_norm, seed)
                points = [[float(f"{value:.3g}") for value in pair] for pair in result.pop("points")]
                loss = result["loss"] if np.isfinite(result["loss"]) else None
                shown = points if seed == SEEDS[0] else None
                runs.append({"lr": lr, "max_norm": max_norm, "seed": seed, **result, "loss": loss, "points": shown})
            print(lr, max_norm, [row["correlation"] and round(row["correlation"], 2) for row in runs[-5:]],
                  [row["loss"] and round(row["loss"], 2) for row in runs[-5:]], flush=True)  # fmt: skip
    record = {
        "settings": {
            "text": "pydoc_data.topics of Python", "letters": len(CODES), "model": repr(MODEL.cell), "optimizer": "SGD",
            "updates": UPDATES, "every": EVERY, "length": LENGTH, "batch_size": BATCH_SIZE, "fixed_batch": FIXED,
            "rates": RATES, "max_norms": MAX_NORMS, "seeds": list(SEEDS), "loss_of_guessing": TASK.baseline,
        },
        "made": {
            "command": "python notebooks/evidence/smoothness_grid.py", **rl.provenance(),
            "cpu_seconds": round(time.process_time() - began),
        },
        "runs": runs,
    }  # fmt: skip
    out.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

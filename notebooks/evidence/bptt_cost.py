"""What do time and memory of backpropagation through time do as the sequence grows?

A plain network of 32 units reads 16 sequences. Each way of going back is timed as the fastest of several passes, in
seconds of the processor, and its memory is the peak of what NumPy has allocated during one pass, the input not counted.

    python notebooks/evidence/bptt_cost.py              # about half a minute on one core
"""

import argparse
import json
import os
import time
import tracemalloc
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: a second thread only costs at this size

import numpy as np

import rnnlab as rl

LENGTHS, WINDOW, UNITS, SEQUENCES, PASSES = [16, 64, 256, 1024, 4096], 32, 32, 16, 9
CELL = rl.RNNCell(8, UNITS)


def forward(params, x, d_h):
    """Return the states alone."""
    return rl.unroll(CELL, params, x)[0]


def full(params, x, d_h):
    """Return the gradients, all the way back."""
    _, _, tape = rl.unroll(CELL, params, x)
    return rl.backprop(CELL, params, tape, d_h).params


def windows(params, x, d_h):
    """Return the gradients of windows, one window in memory at a time; only the state goes on."""
    state, grads = None, {name: 0 for name in params}
    for t in range(0, len(x), WINDOW):
        _, state, tape = rl.unroll(CELL, params, x[t : t + WINDOW], state)
        back = rl.backprop(CELL, params, tape, d_h[t : t + WINDOW])
        grads = {name: grads[name] + back.params[name] for name in grads}
    return grads


def recomputed(params, x, d_h):
    """Return the exact gradients from every s-th state, with s the root of T; the pieces between run again."""
    every = round(len(x) ** 0.5)
    starts, kept = range(0, len(x), every), [None]
    for t in starts:
        kept.append(rl.unroll(CELL, params, x[t : t + every], kept[-1])[1].copy())  # a view would hold its whole piece
    grads, d_state = {name: 0 for name in params}, None
    for t, state in zip(reversed(starts), reversed(kept[:-1]), strict=True):
        _, _, tape = rl.unroll(CELL, params, x[t : t + every], state)
        back = rl.backprop(CELL, params, tape, d_h[t : t + every], d_state)
        grads, d_state = {name: grads[name] + back.params[name] for name in grads}, back.d_state
    return grads


WAYS = {"forward only": forward, "full": full, f"windows of {WINDOW}": windows, "every √T-th state": recomputed}


def problem(length):
    """Return parameters, inputs and immediate derivatives for a number of steps."""
    rng = np.random.default_rng(0)
    return CELL.init(rng), *(rng.standard_normal((length, SEQUENCES, size)) for size in (8, UNITS))


def peak_bytes(way, length):
    """Return the peak of what one pass allocates, in bytes."""
    arrays = problem(length)
    way(*arrays)  # what is made once does not count
    tracemalloc.start()
    way(*arrays)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def milliseconds(length):
    """Return the fastest pass of each way, taken in turns."""
    arrays, best = problem(length), dict.fromkeys(WAYS, np.inf)
    for _ in range(PASSES):
        for name, way in WAYS.items():
            began = time.process_time()
            way(*arrays)
            best[name] = min(best[name], 1000 * (time.process_time() - began))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the result goes")
    out, rows = parser.parse_args().out, []
    for length in LENGTHS:
        ms = milliseconds(length)
        rows += [{"way": name, "T": length, "ms": round(ms[name], 3), "bytes": peak_bytes(way, length)}
                 for name, way in WAYS.items()]  # fmt: skip
    record = {
        "settings": {"lengths": LENGTHS, "window": WINDOW, "units": UNITS, "sequences": SEQUENCES, "passes": PASSES},
        "made": {"command": "python notebooks/evidence/bptt_cost.py", **rl.provenance()},
        "rows": rows,
    }
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

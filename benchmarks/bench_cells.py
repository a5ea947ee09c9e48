"""Time forward and full BPTT of each classical cell beside its rivals, in turns within one run, one thread each.

    python benchmarks/bench_cells.py

Rivals: torch.nn's RNN, GRU and LSTM; the same compiled; the loop of a textbook; JAX's scan, where JAX is installed; and
the matrix products alone, which nothing can avoid. The figure to read is a ratio: a rival's time over ours, medians
over rounds in which all take turns. Also: growth with the steps, 64 stacked runs beside as many in a loop, two BLAS
threads beside one, and the peak of memory. Stores benchmarks/results/bench_cells.json; with the name of a part, such as
`threads`, only that part of it is measured again.
"""

import os

# Before NumPy is imported. A child that measures two threads brings its own settings.
os.environ.update(
    {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
     "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"} | dict(os.environ)
)  # fmt: skip

import argparse
import ctypes
import json
import multiprocessing
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import contenders

RESULTS = Path(__file__).resolve().parent / "results" / "bench_cells.json"
ROUNDS, SECONDS = 7, 1.5  # at least so many rounds, and more of them until so much time is spent
STEPS = 100
SIZES = [(H, B) for H in (16, 64, 256) for B in (1, 16, 64)]
KINDS = [(kind, dtype) for kind in ("RNN", "GRU", "LSTM") for dtype in ("float32", "float64")]
# torch's time over ours: at batch 1 (H <= 64), at (64, 16), everywhere; for the float32 LSTM, where torch has a fused
# kernel, at batch 1, 16 and 64.
GOALS = {"RNN float32": (12, 5.5, 1.4), "GRU float32": (8.5, 3.5, 1.35), "LSTM float64": (6, 2.5, 1.4)}
FUSED = {1: 0.35, 16: 0.7, 64: 0.9}


def goal(kind, dtype, H, B):
    """Return the ratio to torch that we want to reach here, or None."""
    if (kind, dtype) == ("LSTM", "float32"):
        return FUSED[B]
    if f"{kind} {dtype}" not in GOALS:
        return None
    single, middle, everywhere = GOALS[f"{kind} {dtype}"]
    return single if B == 1 and H <= 64 else middle if (H, B) == (64, 16) else everywhere


def seconds(run):
    run()  # untimed: training repeats one call, and a rival in between has left nothing of ours in the caches
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def take_turns(runs):
    """Return each function's median time in milliseconds, over rounds in which they take turns."""
    for run in (*runs.values(), *runs.values()):
        run()  # the first calls make arrays and compile
    rounds, end = [], time.perf_counter() + SECONDS
    while len(rounds) < ROUNDS or time.perf_counter() < end:
        rounds.append([seconds(run) for run in runs.values()])
    return {name: round(1e3 * median(column), 4) for name, column in zip(runs, zip(*rounds, strict=True), strict=True)}


def compare(kind, dtype, H, B, T=STEPS):
    problem = contenders.Problem(kind, H, B, T, dtype)
    makers = {"ours": contenders.ours, "torch": contenders.torch_eager, "textbook": contenders.textbook,
              "products": contenders.products}  # fmt: skip
    if contenders.has_jax():
        makers["jax"] = contenders.jax_scan
    times = take_turns({name: make(problem) for name, make in makers.items()})
    return {"kind": kind, "dtype": dtype, "H": H, "B": B, "T": T, "ms": times, "goal": goal(kind, dtype, H, B)}


def compare_stacked(kind, H, B, runs=64):
    """Time independent runs on their own axis beside a loop over them, and beside one of them."""
    stack, one = (contenders.Problem(kind, H, B, STEPS, "float32", axes) for axes in ((runs,), ()))
    times = take_turns({"stacked": contenders.ours(stack), "looped": contenders.looped(stack),
                        "one": contenders.ours(one)})  # fmt: skip
    return {"kind": kind, "H": H, "B": B, "runs": runs, "ms": times}


def compare_compiled(kind, H=64, B=16):
    """Time torch.compile's version where it works, and how long it takes to compile."""
    problem = contenders.Problem(kind, H, B, STEPS, "float32")
    try:
        start = time.perf_counter()
        compiled = contenders.torch_compiled(problem)
        compiled()
        compiling = time.perf_counter() - start
    except Exception as error:  # a machine without a C++ compiler, for one
        return {"kind": kind, "H": H, "B": B, "error": f"{type(error).__name__}: {error}".splitlines()[0]}
    times = take_turns({"compiled": compiled, "torch": contenders.torch_eager(problem),
                        "ours": contenders.ours(problem)})  # fmt: skip
    return {"kind": kind, "H": H, "B": B, "compile_s": round(compiling, 1), "ms": times}


def with_threads(kind, H, B):
    """Time ours in this process, with the BLAS threads that it was started with."""
    return take_turns({"ours": contenders.ours(contenders.Problem(kind, H, B, STEPS, "float32"))})["ours"]


def peak(name, kind, H, B, T):
    """Return how far, in MB, this process's memory rises at its highest when a contender runs once; Linux only."""
    make = getattr(contenders, name)
    make(contenders.Problem(kind, 2, 1, 2, "float32"))()  # what is loaded once
    problem = contenders.Problem(kind, H, B, T, "float32")
    ctypes.CDLL(None).malloc_trim(0)  # freed memory goes back, or small arrays would find it there and cost nothing
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to what is in use now
    before = in_use("VmHWM")
    make(problem)()
    return round((in_use("VmHWM") - before) / 1024, 1)


def in_use(line):
    """Return a figure of this process's status, in kB."""
    return next(int(text.split()[1]) for text in Path("/proc/self/status").read_text().splitlines() if line in text)


def in_a_child(function, *arguments, threads=1):
    """Return what a function returns in a fresh process that was started with so many BLAS threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ[name] for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(function, arguments)
    finally:
        os.environ.update(before)


def table():
    print("   H   B    T  cell dtype     ours ms   products   torch  textbook     jax   goal (ratios to ours)")
    sizes = [(*size, STEPS) for size in SIZES] + [(64, 16, T) for T in (50, 200, 400)] + [(64, 1, 400)]
    for kind, dtype in KINDS:
        for H, B, T in sizes:
            row = compare(kind, dtype, H, B, T)
            ms, ours = row["ms"], row["ms"]["ours"]
            ratios = [f"{ms[name] / ours:8.2f}" if name in ms else "       -"
                      for name in ("products", "torch", "textbook", "jax")]  # fmt: skip
            print(
                f"{H:4d} {B:3d} {T:4d}  {kind:4s} {dtype} {ours:9.2f} ", *ratios, f"  {row['goal'] or '-'}", flush=True
            )
            yield row


def versions():
    found = {"python": platform.python_version()}
    for package in ("numpy", "torch", "jax"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def cpu():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if "model name" in line), None)
    return {"machine": platform.machine(), "system": platform.system(), "cpu": name, "cores": os.cpu_count()}


def stacked():
    sizes = ((32, 1), (32, 16), (64, 16), (128, 16))
    return [compare_stacked(kind, H, B) for kind in ("RNN", "GRU", "LSTM") for H, B in sizes]


def compiled():
    return [compare_compiled(kind) for kind in ("RNN", "GRU", "LSTM")]


def thread_counts():
    """Time one and two threads, alone and beside other processes that keep every core busy."""
    found = []
    for kind, H, B in [(kind, H, B) for kind in ("RNN", "LSTM") for H, B in ((16, 1), (64, 16), (256, 64))]:
        row = {"kind": kind, "H": H, "B": B, "ms": {}}
        for neighbours in (0, os.cpu_count()):
            busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
            try:
                for threads in (1, 2):
                    time_ms = in_a_child(with_threads, kind, H, B, threads=threads)
                    row["ms"][f"{threads} {'busy' if busy else 'alone'}"] = time_ms
            finally:
                for process in busy:
                    process.kill()
        found.append(row)
    return found


def memory():
    engines = ["ours", "torch_eager", "textbook"] + ["jax_scan"] * contenders.has_jax()
    return [
        {"kind": kind, "H": 64, "B": 16, "T": T,
         "MB": {name: in_a_child(peak, name, kind, 64, 16, T) for name in engines}}
        for kind in ("RNN", "GRU", "LSTM") for T in (100, 400)
    ]  # fmt: skip


PARTS = {
    "rows": lambda: list(table()), "stacked": stacked, "compiled": compiled, "threads": thread_counts, "memory": memory,
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"measure only these again: {', '.join(PARTS)}")
    parts = parser.parse_args().parts
    if unknown := set(parts) - set(PARTS):
        parser.error(f"expected parts out of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    made = {"versions": versions(), "machine": cpu(), "rounds": ROUNDS, "seconds": SECONDS}
    record = {"command": "python benchmarks/bench_cells.py"} | made
    if parts:
        record = json.loads(RESULTS.read_text())
        if any(record[key] != value for key, value in made.items()):
            parser.error("the record is from another machine or other versions: measure all parts")
    for part in parts or PARTS:
        record[part] = PARTS[part]()
        if part != "rows":  # those are printed one by one as they come
            print(f"\n{part}", *record[part], sep="\n")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Run the tests that compare with stored numbers as if on other machines: python -m tools.roundings [NAME ...]

Three machines are simulated here, each by environment variables of the tests, their kernels and their workers:

- instructions: NumPy without the vector instructions above its baseline, its BLAS with the kernels of old processors;
- torch: torch, its BLAS and its kernels for layers without them;
- last-bit: what is drawn, starting parameters and inputs, moved in its last bit (tests/last_bit), on any processor.

    python -m tools.roundings                  # all three, over the tests that compare, the examples and the lessons
    python -m tools.roundings last-bit -- tests/test_lesson_14.py -x
    python -m tools.roundings --everything     # over all that `make test-all` runs

It is 0 when nothing failed. A whole run is stored in benchmarks/results/roundings.json; one that names files is not.
"""

import argparse
import collections
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "roundings.json"
# What compares with a record, a stored model or a lesson's outputs, beside the lessons' own tests.
COMPARING = ("framework_rows", "frameworks", "datasets", "data_reviews", "python_docs", "train_speakers", "records",
             "doctor", "forecasts", "diagnostics", "training", "training_runs", "sweeps")  # fmt: skip
DIGESTS = (
    "import json, torch, rnnlab as rl; made = rl.provenance(torch); "
    "print(json.dumps({name: made[name] for name in ('rounding', 'torch_rounding', 'numpy', 'torch', 'python')}))"
)


def instructions():
    """Return the names of NumPy's optional instructions that this processor has."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]


def roundings():
    """Return the variables of each simulated machine, by name."""
    nudge = str(ROOT / "tests" / "last_bit")
    paths = [nudge] + [path for path in [os.environ.get("PYTHONPATH")] if path]
    return {
        "instructions": {"NPY_DISABLE_CPU_FEATURES": ",".join(instructions()), "OPENBLAS_CORETYPE": "Nehalem"},
        "torch": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
        # The second name tells it to the executions of lessons, which take no one's PYTHONPATH: tools/lessons/places.py
        "last-bit": {"PYTHONPATH": os.pathsep.join(paths), "RNNLAB_NUDGE": nudge},
    }


def digests(variables):
    """Return how numbers are rounded under these variables, and the versions."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    if "PYTHONPATH" in variables:
        variables = dict(variables, PYTHONPATH=os.pathsep.join([variables["PYTHONPATH"], str(ROOT)]))
    environment.update(variables)
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS], env=environment, cwd=str(ROOT), stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout.decode())


def targets(everything):
    """Return what is run: files of tests, the module with its examples, and the lessons by nbval."""
    tests = sorted((ROOT / "tests").glob("test_lesson_*.py"))
    tests += [path for path in (ROOT / "tests" / f"test_{name}.py" for name in COMPARING) if path.exists()]
    lessons = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return [str(path.relative_to(ROOT)) for path in ([ROOT / "tests"] if everything else tests)
            + [ROOT / "rnnlab"] + lessons]  # fmt: skip


def counted(report):
    """Return how many passed, which failed, and why how many were skipped, of pytest's report in XML."""
    passed, failed, skipped = 0, [], collections.Counter()
    for case in ElementTree.parse(str(report)).getroot().iter("testcase"):
        faults = [one for one in case if one.tag in ("failure", "error")]
        left = [one for one in case if one.tag == "skipped"]
        if faults:
            failed.append("{}::{}".format(case.get("classname"), case.get("name")))
        elif left:
            skipped[left[0].get("message", "").partition(": ")[2] or left[0].get("message", "")] += 1
        else:
            passed += 1
    return {"passed": passed, "failed": failed, "skipped": dict(skipped.most_common())}


def run(variables, arguments):
    """Run pytest under these variables and return what came of it."""
    began = time.monotonic()
    own = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    own["RNNLAB_LESSONS"] = str(ROOT / "build" / "roundings")  # the executions of this machine's own roundings stay
    nbval = ["-p", "tests.replay", "--kept", "--nbval-sanitize-with", "tests/nbval.cfg"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml", str(report), *nbval]
        status = subprocess.run(command + arguments, cwd=str(ROOT), env=dict(os.environ, **own, **variables))
        found = counted(report) if report.exists() else {"passed": 0, "failed": ["pytest itself"], "skipped": {}}
    return dict(found, status=status.returncode, seconds=round(time.monotonic() - began))


def machine():
    """Return what the figures depend on beside the versions."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.processor()
    return {"machine": platform.machine(), "system": platform.system(), "cpu": cpu, "cores": os.cpu_count()}


def store(name, row):
    """Write the row of one machine into the record, beside those of the others."""
    record = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {"roundings": {}}
    record["roundings"][name] = row
    record = {"command": "python -m tools.roundings", "machine": machine(), "roundings": record["roundings"]}
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def simulate(name, variables, arguments, everything):
    """Run the tests on one simulated machine, store and say what came of it; return whether nothing failed."""
    plain, other = digests({}), digests(variables)
    moved = [kind for kind in ("rounding", "torch_rounding") if plain[kind] != other[kind]]
    print("== {}: {}; other than here: {}".format(name, variables, ", ".join(moved) or "nothing"), flush=True)
    if not moved:
        print(f"this processor has no such instructions: {name} simulates nothing here")
        row = {"variables": variables, "not_simulated": "this processor has no such instructions"}
    else:
        files = arguments or targets(everything)
        shown = {key: value.replace(str(ROOT) + os.sep, "") for key, value in variables.items()}
        row = {"variables": shown, "rounds_otherwise": moved, "made": other, "all_tests": everything}
        row.update(run(variables, files))
        print("== {}: {} passed, {} failed, {} skipped in {} s".format(
            name, row["passed"], len(row["failed"]), sum(row["skipped"].values()), row["seconds"]))  # fmt: skip
    if not arguments:
        store(name, row)
    return not row.get("failed")


def main():
    """Simulate the machines that are named, or all."""
    known = roundings()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="one or more of {}".format(", ".join(known)))
    parser.add_argument("--everything", action="store_true", help="run all tests, not only those that compare")
    own, more = sys.argv[1:], []
    if "--" in own:
        own, more = own[: own.index("--")], own[own.index("--") + 1 :]
    options = parser.parse_args(own)
    strangers = [name for name in options.names if name not in known]
    if strangers:
        parser.error("expected names among {}, got {}".format(", ".join(known), ", ".join(strangers)))
    names = options.names or list(known)
    return int(not all([simulate(name, known[name], more, options.everything) for name in names]))


if __name__ == "__main__":
    sys.exit(main())

"""Time the grader on a class beside `nbgrader autograde`, which runs submissions unprotected.

    python benchmarks/bench_grading.py

A few submissions of problem set 1 are graded by each in turns, as new courses, then a class of 200 by the grader,
right, untouched, and wrong in the ways that the tests plant.
Stores benchmarks/results/bench_grading.json. Takes some minutes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "tests"))

from benchmarks.bench_cells import cpu, versions  # first: it asks for one BLAS thread
from coursework import COURSE, packed, right_answers, stubs
from coursework_submissions import FAULTS
from grading.sandbox import find_sandbox

ROOT = Path(__file__).resolve().parents[1]
NAME = "ps1_bptt"
RESULTS = Path(__file__).resolve().parent / "results" / "bench_grading.json"
CLASS, FEW, ROUNDS = 200, 8, 3


def make_course(root: Path, students: int) -> None:
    """Make a course in which students handed in what the tests know, one after the other."""
    right = right_answers(NAME)
    kinds = [right, stubs(NAME)]
    kinds += [
        right | {fault.cell: fault.plant(right[fault.cell]) for fault in faults} for faults in packed(FAULTS).values()
    ]
    shutil.copytree(COURSE / "source" / NAME, root / "source" / NAME)
    shutil.copy(COURSE / "nbgrader_config.py", root)
    text = (COURSE / "source" / NAME / f"{NAME}.ipynb").read_text()
    for i in range(students):
        notebook = json.loads(text)
        for cell in notebook["cells"]:
            name = cell["metadata"].get("nbgrader", {}).get("grade_id")
            cell["source"] = kinds[i % len(kinds)].get(name, cell["source"])
        path = root / "submitted" / f"student{i:03}" / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(notebook))


def seconds(root: Path, *words) -> float:
    """Run a module of this Python in a course and return how long it took."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "HOME": str(root / "home"), "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *words], cwd=root, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def graded(students: int) -> float:
    """Return the seconds that the grader takes for a new course."""
    with tempfile.TemporaryDirectory() as folder:
        make_course(Path(folder), students)
        return seconds(Path(folder), "grading", ".", NAME)


def autograded(students: int) -> float:
    """Return the seconds that nbgrader takes for a new course, registered before."""
    with tempfile.TemporaryDirectory() as folder:
        make_course(Path(folder), students)
        seconds(Path(folder), "nbgrader", "generate_assignment", NAME)
        return seconds(Path(folder), "nbgrader", "autograde", NAME)


def main():
    rounds = [{"grader": graded(FEW), "nbgrader": autograded(FEW)} for _ in range(ROUNDS)]
    few = {who: median(row[who] for row in rounds) for who in rounds[0]}
    ratio = median(row["nbgrader"] / row["grader"] for row in rounds)
    print(
        f"{FEW} students, median of {ROUNDS}: grader {few['grader']:.1f} s, nbgrader autograde {few['nbgrader']:.1f} s"
    )
    print(f"nbgrader over grader, in turns: {ratio:.2f}", flush=True)
    whole = graded(CLASS)
    print(f"{CLASS} students: grader {whole:.0f} s, {whole / CLASS:.2f} s each, on {os.cpu_count()} cores")
    record = {"command": "python benchmarks/bench_grading.py", "versions": versions(), "machine": cpu()}
    record |= {"sandbox": find_sandbox().name, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    record |= {"few": {"students": FEW, "rounds": rounds, "ratio": ratio}}
    record |= {"class": {"students": CLASS, "seconds": whole}}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Make the environment from nothing, level by level, in a clone: how long each takes, and how large .venv is then.

    python benchmarks/environment.py [INSTALLER ...]

The clone holds what is committed, and lies in a temporary folder. INSTALLER is pip (the default) or uv; several take
turns. Seconds are of the clock and of all processors; downloads are in them, and pip's cache is used if there is one.
`python` is the one that runs this. Stores benchmarks/results/environment.json; goals: `read` in 90 s and 1.6 GB on two
quiet cores. Takes some minutes and 4 GB of disk for the time.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "environment.json"
LEVELS = ("read", "test", "all")


def megabytes(folder: Path) -> int:
    """Return what a folder takes on disk, as `du -sm` says it, links not followed; 0 where blocks are not known."""
    stats = [os.lstat(folder)]
    stats += [os.lstat(os.path.join(at, name)) for at, folders, files in os.walk(folder) for name in folders + files]
    blocks = {(found.st_dev, found.st_ino): getattr(found, "st_blocks", 0) for found in stats}  # a hard link once
    return -(-sum(blocks.values()) * 512 // 2**20)


def processor_seconds() -> float:
    """Return the processor time of all processes that this one started and waited for."""
    times = os.times()
    return times.children_user + times.children_system


def make(clone: Path, level: str, installer: str) -> dict:
    """Bring the clone's environment to a level; return seconds and the size."""
    clock, processor = time.monotonic(), processor_seconds()
    command = [sys.executable, "tasks.py", "env", f"FOR={level}", f"INSTALLER={installer}"]
    subprocess.run(command, cwd=clone, check=True)
    return {
        "level": level,
        "installer": installer,
        "seconds": round(time.monotonic() - clock, 1),
        "processor_seconds": round(processor_seconds() - processor, 1),
        "megabytes": megabytes(clone / ".venv"),
    }


def processor_name() -> str:
    """Return the name of the processor, as well as it is known."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def measure(installer: str) -> tuple:
    """Return the rows of all levels with this installer, and which versions they got."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        rows = [make(clone, level, installer) for level in LEVELS]
        python = clone / ".venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        frozen = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, check=True).stdout
    kept = {"pip", "torch", "tensorflow_cpu", "tensorflow-cpu", "jax", "jupyterlab"}
    return rows, {row["name"]: row["version"] for row in json.loads(frozen) if row["name"] in kept}


def main(installers: list) -> None:
    """Measure with each installer, print and store."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    found = [measure(installer) for installer in installers or ["pip"]]
    machine = {"machine": platform.machine(), "system": platform.system(), "cpu": processor_name()}
    record = {
        "command": " ".join(["python benchmarks/environment.py", *installers]),
        "versions": {"python": platform.python_version(), **found[-1][1]},
        "machine": {**machine, "cores": os.cpu_count()},
        "load_before": load,
        "rows": [row for rows, _ in found for row in rows],
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for row in record["rows"]:
        print(
            "{installer:4} {level:5} {seconds:7} s {processor_seconds:7} s of processor {megabytes:6} MB".format(**row)
        )


if __name__ == "__main__":
    main(sys.argv[1:])

"""Run the benchmarks one after the other, each in its own process: python benchmarks/run.py [NAME ...].

Without names, all of them: every bench_*.py here, and sliders.py. A name is a file's name without .py.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def benchmarks(folder: Path = HERE) -> dict[str, Path]:
    """Return the benchmarks by name, in the order in which they run."""
    files = [*sorted(folder.glob("bench_*.py")), *folder.glob("sliders.py")]
    return {path.stem: path for path in files}


def main(names: list[str]) -> int:
    """Run the named benchmarks; return 0, or 1 if one of them failed, or 2 for a name that is none."""
    known = benchmarks()
    if unknown := [name for name in names if name not in known]:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = []
    for name in names or known:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, known[name]], cwd=HERE.parent).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

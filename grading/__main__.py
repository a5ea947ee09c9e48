"""`python -m grading COURSE ASSIGNMENT [--force]`: grade what was handed in for a problem set."""

import argparse
import os
import sys
import warnings
from pathlib import Path


def main(words: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m grading", description=__doc__)
    parser.add_argument("course", type=Path, help="the folder with source/ and submitted/ in it")
    parser.add_argument("assignment", help="the name of the problem set")
    parser.add_argument("--force", action="store_true", help="grade again what has not changed")
    parser.add_argument("--processes", type=int, help="how many submissions at a time; default: one for each core")
    wanted = parser.parse_args(words)
    # nbgrader calls alembic, which is beside this Python, by name.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if os.name == "nt":
        print("the grader needs Linux or macOS: on Windows, run it under WSL", file=sys.stderr)
        return 2
    from grading.classes import Failure, grade_class

    warnings.filterwarnings("ignore", message="Object of type <Submitted")  # SQLAlchemy, on what nbgrader does
    try:
        grade_class(wanted.course, wanted.assignment, wanted.force, wanted.processes)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. What was graded is kept: the same command goes on with the rest.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

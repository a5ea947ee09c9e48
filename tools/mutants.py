"""Change one thing at a time in the code that computes, and see whether the quick tests notice: mutation testing.

    python -m tools.mutants [--each 70] [--again] [FILE ...]

Not part of `make test`: it takes an hour. mutmut makes the mutants and runs the tests, in build/mutants, on a copy, and
keeps what is decided: Ctrl-C loses nothing, the next call goes on. `--again` asks the survivors once more, after new
tests. Of a file with more than `--each` mutants a random sample is taken, the same in every call. The report,
benchmarks/results/mutants.json, has each survivor with its place, its change and a reason, which somebody must write
there; it stays for as long as that mutant survives.

mutmut changes functions and methods without a decorator. So properties, class attributes and module constants (the
table of nonlinearities, the defaults of dataclasses) have no mutants here.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys

from tools import mutants_report
from tools.mutants_report import ROOT, WORK

SEED = 16
FILES = ("cells", "lstm", "gru", "peepholes", "slstm", "bptt", "optimizers", "adagrads", "adams", "clipping",
         "adaptive_clipping", "losses")  # fmt: skip
TESTS = ("cells", "bptt", "optimizers", "clipping", "losses", "runs")
# torch's backward pass refuses to run in a fork of a process that has run one: every mutant would look killed. A fork
# server has only collected the tests, so there it runs. Without tests/conftest.py a call with examples of docstrings
# alone knows no --tier, which would look like a kill too. A busy machine is slow: the clock leaves ten minutes.
CONFIG = """[mutmut]
source_paths=rnnlab
also_copy=quickly.py
process_isolation=forkserver
timeout_multiplier=5
timeout_constant=120
pytest_add_cli_args=
    --tier=quick
    -pno:cacheprovider
    -p_hypothesis_pytestplugin
    -pquickly
    --hypothesis-profile=quickly
    tests/conftest.py
only_mutate=
    {files}
pytest_add_cli_args_test_selection=
    {tests}
"""
# A plugin: the same draws in every run, at most 20, no search for the smallest that fails, the shortest tests first.
# After collecting, the fork server takes what it has loaded out of sight of the garbage collector: a fork that looks
# through it copies it, which took three quarters of the time of a mutant.
QUICKLY = '''"""Made by tools/mutants.py."""
import gc
import json
from pathlib import Path
from hypothesis import Phase, settings

MOST, make = 20, settings.__init__


def made(self, *arguments, **options):
    if "max_examples" in options:
        options["max_examples"] = min(options["max_examples"], MOST)
    make(self, *arguments, **options)


settings.__init__ = made
settings.register_profile("quickly", derandomize=True, deadline=None, database=None, max_examples=MOST,
                          phases=[Phase.explicit, Phase.generate])


def pytest_collection_modifyitems(items):
    known = Path("mutmut-stats.json")
    seconds = json.loads(known.read_text(encoding="utf-8"))["duration_by_test"] if known.exists() else {}
    items.sort(key=lambda item: seconds.get(item.nodeid, 0))


def pytest_sessionfinish(session):
    if session.config.option.collectonly:
        gc.collect()
        gc.freeze()
'''
MAKE = """
from mutmut.__main__ import *
copy_src_dir(); copy_also_copy_files(); setup_source_paths(); create_mutants(1)
"""
# What each of mutmut's processes would load anew is loaded before they part; nothing of it has run yet.
RUN = "import hypothesis, numpy, pytest, torch; from mutmut.__main__ import cli; cli()"


def lay_out() -> None:
    """Copy what the tests need into the working folder; after a change in them mutmut asks anew who reaches what."""
    WORK.mkdir(parents=True, exist_ok=True)
    before = {path.name: path.read_bytes() for path in (WORK / "tests").glob("*.py")}
    for name in ("rnnlab", "tests"):
        shutil.copytree(ROOT / name, WORK / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", WORK)
    if before != {path.name: path.read_bytes() for path in (WORK / "tests").glob("*.py")}:
        (WORK / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    files = [f"rnnlab/{name}.py" for name in FILES]
    tests = [f"tests/test_{name}.py" for name in TESTS] + files  # the files' own examples too
    text = CONFIG.format(files="\n    ".join(files), tests="\n    ".join(tests))
    (WORK / "setup.cfg").write_text(text, encoding="utf-8")
    (WORK / "quickly.py").write_text(QUICKLY, encoding="utf-8")


def mutmut(code: str, *arguments: str) -> None:
    """Run mutmut in the working folder: the copy there is the only rnnlab in sight, and BLAS has one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    same = {"PYTHONHASHSEED": "0", "RNNLAB_CHANCE": "mutants", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment = {**os.environ, **threads, **same}
    environment.pop("PYTHONPATH", None)
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=WORK, env=environment, check=True)


def decided(name: str) -> dict[str, int | None]:
    """Return the exit status of the tests by mutant of a file: None where they have not run, 0 where it survived."""
    meta = WORK / "mutants" / "rnnlab" / f"{name}.py.meta"
    return json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]


def sample(name: str, each: int) -> dict[str, int | None]:
    """Return the mutants of a file that are asked, with what is decided: all, or a random sample of that size."""
    mutants = decided(name)
    chosen = mutants if len(mutants) <= each else random.Random(f"{SEED} {name}").sample(sorted(mutants), each)
    return {mutant: mutants[mutant] for mutant in chosen}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help="as in: cells bptt")
    parser.add_argument("--each", type=int, default=70, help="most mutants of one file (70)")
    parser.add_argument("--again", action="store_true", help="ask the survivors once more")
    options = parser.parse_args()
    lay_out()
    mutmut(MAKE)
    asked = [mutant for name in options.files or FILES for mutant, status in sample(name, options.each).items()
             if status is None or options.again and status not in mutants_report.KILLED]  # fmt: skip
    if asked:
        mutmut(RUN, "run", "--max-children", "1", *asked)
    counts = {name: (len(decided(name)), sample(name, options.each)) for name in FILES}
    command = f"python -m tools.mutants --each {options.each}"
    return mutants_report.write(counts, command, [f"tests/test_{name}.py" for name in TESTS] + ["the files' doctests"])


if __name__ == "__main__":
    sys.exit(main())

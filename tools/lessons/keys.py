"""What an execution depends on, and whether that has changed.

An execution of a lesson is good as long as these are what they were:

- the cells: the code of the lesson, not its text;
- the files: the Python files that the code can reach, and whatever else of the repository was opened while it ran;
- the versions: Python, every package that was installed, how this machine rounds, and the code that runs lessons.
"""

import functools
import hashlib
import json
import os
import platform
import sys
import sysconfig
from pathlib import Path

from tools.lessons import reach
from tools.lessons.places import NOTEBOOKS, ROOT, ROUNDING

HERE = Path(__file__).resolve().parent
MISSING = "missing"
RUNNER = ("inside.py", "kernels.py", "places.py")  # what decides how a lesson runs


def digest(*parts: bytes) -> str:
    """Return a short hash of some bytes."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def code(notebook: dict) -> list:
    """Return the sources of the code cells of a notebook, as read from its file."""
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def cells(notebook: dict) -> str:
    """Return a hash of what is run, and of what may be allowed to fail."""
    tags = [cell["metadata"].get("tags", []) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    raising = ["raises-exception" in found for found in tags]
    return digest(json.dumps([code(notebook), raising]).encode())


@functools.cache
def versions() -> str:
    """Return a hash of Python, how this machine rounds, and the code that runs lessons."""
    from numpy._core._multiarray_umath import __cpu_features__ as features

    rounding = [os.environ.get(name, "") for name in ROUNDING]
    machine = [sys.version, platform.machine(), *sorted(name for name, has in features.items() if has)]
    runner = [(HERE / name).read_text(encoding="utf-8") for name in RUNNER]
    return digest(json.dumps([rounding, machine, runner]).encode())


@functools.cache
def installed() -> frozenset:
    """Return the installed packages with their versions: `numpy-2.4.6`, ..."""
    return frozenset(path.stem for path in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))


def of_path(path: Path) -> str:
    """Return a hash of a file's content, or of the names in a folder."""
    if path.is_dir():
        return digest(*sorted(os.fsencode(child.name) for child in path.iterdir() if child.name != "__pycache__"))
    if not path.is_file():
        return MISSING
    about = path.stat()
    return of_content(path, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=10_000)
def of_content(path: Path, *_) -> str:
    """Return a hash of a file's content, read once for each of its versions."""
    return digest(path.read_bytes())


def of_paths(paths) -> dict:
    """Return dict path, from the repository on -> hash of its content."""
    return {path.relative_to(ROOT).as_posix(): of_path(path) for path in sorted(paths)}


def python_files(notebook: dict) -> dict:
    """Return the Python files that a lesson reaches, with their hashes."""
    return of_paths(reach.reached("\n".join(code(notebook))))


def house() -> str:
    """Return a hash of what decides, beside the files themselves, which of them a lesson reaches."""
    return digest(json.dumps(reach.names()).encode())


def wanted(notebook: dict) -> dict:
    """Return what is known of an execution before it runs: what it opens shows only then."""
    machine = {"versions": versions(), "installed": sorted(installed())}
    return machine | {"cells": cells(notebook), "house": house(), "python": python_files(notebook)}


def good(manifest: dict, notebook: dict) -> bool:
    """Return whether an execution that was kept is what would come out now."""
    if (manifest["cells"], manifest["versions"]) != (cells(notebook), versions()):
        return False
    if not installed().issuperset(manifest["installed"]):
        return False  # a package more, as `make test-all` installs, is none that a lesson asks for
    files = manifest["python"] | manifest["opened"]
    if any(of_path(ROOT / name) != found for name, found in files.items()):
        return False
    # The files that it reached are as they were, so it reaches the same ones, unless names lead elsewhere now.
    return manifest["house"] == house() or manifest["python"] == python_files(notebook)


def lessons(names=()) -> list:
    """Return the paths of the lessons, or of those whose file names begin with one of `names`."""
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    return [path for path in found if not names or any(path.stem.startswith(name) for name in names)]

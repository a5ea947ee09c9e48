"""The levels of the environment: what each is for, what it holds, how large it is, and which one .venv has."""

import hashlib
import json
import os
import re
import sys

from tools.running import ENV, ROOT, Failure

# Each holds what the one before it holds, and more. pyproject.toml has an extra of that name, and its size.
LEVELS = ("read", "test", "all")
PURPOSES = {
    "read": "to read, run and change the lessons, and build the book",
    "test": "to test, to check and to grade",
    "all": "every test and benchmark, also those that need TensorFlow or JAX",
}
STAMP = ENV / "complete"  # written when a level is installed, so an interrupted install never counts


def project() -> dict:
    """Read pyproject.toml."""
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def versions() -> str:
    """Return the VERSIONS setting, checked."""
    value = os.environ.get("VERSIONS") or "locked"
    if value not in ("locked", "pinned", "newest"):
        raise Failure(f"expected VERSIONS=locked, pinned or newest, got VERSIONS={value}")
    return value


def asked() -> str:
    """Return the level that FOR names, checked; without it, that of the readers."""
    value = os.environ.get("FOR") or LEVELS[0]
    if value not in LEVELS:
        raise Failure(f"expected FOR={', '.join(LEVELS[:-1])} or {LEVELS[-1]}, got FOR={value}")
    return value


def up_to(level: str) -> tuple:
    """Return the levels from the first to this one."""
    return LEVELS[: LEVELS.index(level) + 1]


def requirements(level: str = LEVELS[-1]) -> list:
    """Return every direct requirement of a level with its pin, such as `numpy==2.4.6`, some with a condition."""
    tables = project()["project"]
    found, waiting = set(tables["dependencies"]), [level]
    while waiting:
        for line in tables["optional-dependencies"][waiting.pop()]:
            own = re.match(tables["name"] + r"\[(.*)\]$", line)
            if own:
                waiting += own[1].split(",")
            else:
                found.add(line)
    return sorted(found)


def gigabytes(level: str) -> float:
    """Return the size of .venv with a level, from pyproject.toml."""
    return project()["tool"]["rnnlab"]["gigabytes"][level]


def fingerprint(level: str) -> str:
    """Hash all that decides what .venv holds with a level: requirements, constraints, this Python, this folder."""
    content = project()
    own = [content["project"][key] for key in ("version", "requires-python")]
    wanted = [content["build-system"], own, content["tool"]["setuptools"], requirements(level)]
    locked = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    parts = [level, json.dumps(wanted, sort_keys=True), locked, versions(), sys.version, str(ROOT)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def stamp(level: str) -> str:
    """Return what STAMP holds when a level is complete."""
    return f"{level} {fingerprint(level)}\n"


def reached():
    """Return the level that .venv holds, complete and up to date, or None."""
    found = STAMP.read_text(encoding="utf-8") if STAMP.exists() else ""
    level = found.partition(" ")[0]
    return level if level in LEVELS and found == stamp(level) else None

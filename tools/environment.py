"""Make .venv from pyproject.toml and constraints.txt, once, and know whether it is complete."""

import hashlib
import importlib.util
import json
import os
import re
import sys
import time
from pathlib import Path

from tools.running import ENV, PYTHON, ROOT, Failure, Progress, run, say

LOWEST, BEYOND = (3, 11), (3, 14)  # requires-python in pyproject.toml; a test compares them
STAMP = ENV / "complete"  # written when everything is installed, so an interrupted install never counts
LOG = ROOT / "logs" / "install.log"

PIP_REASONS = (  # what pip's log holds, what it means; the first match wins
    (r"No space left on device|Errno 28", "the disk is full"),
    (r"CERTIFICATE_VERIFY_FAILED", "the package index's certificate was not accepted (a proxy in between?)"),
    (
        r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Max retries exceeded"
        r"|Temporary failure in name resolution|Network is unreachable|Connection broken|Read timed out",
        "no network: the package index did not answer",
    ),
    (r"No matching distribution found for ([^\s;]+)", "the package index has no {} for this Python and machine"),
    (r"conflicting dependencies", "the wanted versions contradict each other"),
)


def check_python(version: tuple = sys.version_info) -> None:
    """Refuse a Python on which the environment cannot be made."""
    if not LOWEST <= tuple(version[:2]) < BEYOND:
        found = ".".join(str(part) for part in version[:3])
        raise Failure(
            f"rnnlab needs Python 3.11, 3.12 or 3.13, and this is {found} ({sys.executable}): "
            "name another, as in `make book PYTHON=python3.11` or `python3.11 tasks.py book`"
        )


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


def fingerprint() -> str:
    """Hash all that decides what .venv holds: requirements, constraints, this Python, this folder."""
    content = project()
    keys = ("version", "requires-python", "dependencies", "optional-dependencies")
    wanted = [content["build-system"], [content["project"][key] for key in keys], content["tool"]["setuptools"]]
    locked = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    parts = [json.dumps(wanted, sort_keys=True), locked, versions(), sys.version, str(ROOT)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def requirements() -> list:
    """Return every direct requirement of the project with its pin, such as `numpy==2.4.6`, some with a condition."""
    tables = project()["project"]
    groups = [tables["dependencies"], *tables["optional-dependencies"].values()]
    return sorted({line for group in groups for line in group if not line.startswith(tables["name"])})


def newest(requirement: str, held: dict) -> str:
    """Return a requirement without its pin: `numpy==2.4.6` is `numpy`; `held` gives the bounds that stay."""
    pinned, semicolon, condition = requirement.partition(";")
    name = pinned.partition("==")[0]
    return name + held.get(name, "") + semicolon + condition


def pip_commands(pip: list) -> list:
    """Return the pip commands that fill .venv, in order."""
    commands = []
    index = os.environ.get("TORCH_INDEX")
    if index:  # torch alone, or its index would be asked for everything
        torch = next(line for line in requirements() if line.startswith("torch=="))
        commands.append(pip + ["install", "--no-deps", "--index-url", index, torch])
    if versions() == "newest":
        held = project()["tool"]["rnnlab"]["held"]
        commands.append(pip + ["install"] + [newest(line, held) for line in requirements()])
        commands.append(pip + ["install", "--no-deps", "--editable", "."])
    else:
        lock = ["--constraint", "constraints.txt"] if versions() == "locked" else []
        commands.append(pip + ["install"] + lock + ["--editable", ".[dev]"])
    return commands


def pip_failure(log: str) -> str:
    """Say in a few words what pip's log means."""
    for pattern, meaning in PIP_REASONS:
        match = re.search(pattern, log)
        if match:
            return meaning.format(*match.groups())
    return "pip failed"


def install_commands() -> list:
    """Return the commands that make .venv from nothing."""
    venv = [sys.executable, "-m", "venv", "--clear", ENV]
    pip = [PYTHON, "-m", "pip"]
    if importlib.util.find_spec("ensurepip") is None:
        # Debian's bare Python lacks it, but its own pip can install into an environment that has none.
        venv.append("--without-pip")
        pip = [sys.executable, "-m", "pip", "--python", PYTHON]
    # Matplotlib warns when it first lists the fonts of a slow machine, and a warning in a lesson stops the book.
    fonts = [PYTHON, "-c", "import matplotlib.font_manager"]
    return [venv, *pip_commands(pip), fonts]


def make_environment() -> None:
    """Make .venv, or do nothing when it is complete and up to date."""
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    if Path(sys.prefix).resolve() == ENV:
        raise Failure("the environment is out of date and in use here: run `deactivate`, then the same command again")
    say("Making the environment in .venv: once, some minutes, about 4 GB.")
    STAMP.unlink(missing_ok=True)  # before anything else: from here on .venv is not to be trusted
    LOG.unlink(missing_ok=True)
    with Progress() as progress:
        for command in install_commands():
            if run(*command, log=LOG, show=progress.show):
                reason = pip_failure(LOG.read_text(encoding="utf-8"))
                raise Failure(f"the environment was not made: {reason} (details: {LOG.relative_to(ROOT)})")
    STAMP.write_text(wanted)
    say(f"The environment is complete after {time.monotonic() - progress.start:.0f} s.")

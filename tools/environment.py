"""Make .venv from pyproject.toml and constraints.txt, level by level, each once, and know whether it is complete."""

import os
import re
import shutil
import sys
import time
from pathlib import Path

from tools import installing, levels
from tools.levels import LEVELS
from tools.running import ENV, ROOT, Failure, Progress, run, say

LOWEST, BEYOND = (3, 11), (3, 14)  # requires-python in pyproject.toml; a test compares them
UNFINISHED = ENV / "unfinished"  # while a level is added: the names that were in site-packages before
LOG = ROOT / "logs" / "install.log"


def check_python(version: tuple = sys.version_info) -> None:
    """Refuse a Python on which the environment cannot be made."""
    if not LOWEST <= tuple(version[:2]) < BEYOND:
        found = ".".join(str(part) for part in version[:3])
        raise Failure(
            f"rnnlab needs Python 3.11, 3.12 or 3.13, and this is {found} ({sys.executable}): "
            "name another, as in `make book PYTHON=python3.11` or `python3.11 tasks.py book`"
        )


def make_environment(level: str = LEVELS[0]) -> None:
    """Bring .venv to a level, or do nothing when it has that one or a higher, complete and up to date."""
    if ENV.is_symlink():  # emptying it would empty what belongs to another
        raise Failure(".venv is a symbolic link, which is not followed: remove it (`rm .venv`), then the same command")
    there = levels.reached()
    if there and level in levels.up_to(there):
        return
    if there is None and Path(sys.prefix).resolve() == ENV:
        raise Failure("the environment is out of date and in use here: run `deactivate`, then the same command again")
    announce(there, level)
    LOG.unlink(missing_ok=True)
    with Progress() as progress:
        for one in levels.up_to(level)[LEVELS.index(there) + 1 if there else 0 :]:
            wanted = levels.stamp(one)  # of the files as they are now
            begin(progress) if one == LEVELS[0] else add(one, progress)
            levels.STAMP.write_text(wanted, encoding="utf-8")
            UNFINISHED.unlink(missing_ok=True)
    say(f"The environment is complete after {time.monotonic() - progress.start:.0f} s.")


def announce(there, level: str) -> None:
    """Say, before anything is downloaded, what it is for and how large."""
    size = levels.gigabytes(level)
    what = f"the level `{level}`, {levels.PURPOSES[level]}"
    if there:
        say(f"Adding to .venv {what}: {size - levels.gigabytes(there):.1f} GB more, once, some minutes.")
    else:
        say(f"Making the environment in .venv with {what}: {size} GB, once, some minutes.")


def begin(progress) -> None:
    """Make .venv from nothing, with the first level."""
    levels.STAMP.unlink(missing_ok=True)  # before anything else: from here on .venv is not to be trusted
    perform(installing.venv_command(), progress)
    take_torch(progress)
    for command in installing.install_commands(LEVELS[0]):
        perform(command, progress)
    installing.leave_out()
    progress.line = "loading every package that the lessons use"
    perform(installing.load_command(), progress)


def add(level: str, progress) -> None:
    """Install a level on top of what is there, which stays complete: nothing of it is replaced by other versions."""
    folder = installing.packages_folder()
    if UNFINISHED.exists():  # an interrupted attempt: half a package would count as installed
        before = set(UNFINISHED.read_text(encoding="utf-8").splitlines())
        for path in folder.iterdir():
            if path.name not in before:
                shutil.rmtree(str(path)) if path.is_dir() else path.unlink()
    UNFINISHED.write_text("\n".join(path.name for path in folder.iterdir()), encoding="utf-8")
    if levels.versions() != "locked":  # other versions may replace what is there
        levels.STAMP.unlink(missing_ok=True)
    for command in installing.install_commands(level):
        perform(command, progress)


def take_torch(progress) -> None:
    """Install the CPU build of torch where there is more than one build, if it can be had."""
    if os.environ.get("TORCH_INDEX"):
        perform(installing.torch_command(cpu=False), progress)
        return
    if sys.platform != "linux" or levels.versions() == "newest":
        return
    if not perform(installing.torch_command(cpu=True), progress, unless=installing.NO_SUCH_BUILD):
        size = levels.project()["tool"]["rnnlab"]["download"]["cuda"]
        progress.say(
            f"This index has only the plain build of torch, which brings CUDA: {size} GB to download. "
            "Ctrl-C and TORCH_INDEX=... takes the CPU build (README, CPU only)."
        )


def perform(command: list, progress, unless=None) -> bool:
    """Run a command of the installation, its output into the log; return whether it succeeded.

    Raises:
        Failure: it did not, and its output has no match of the pattern `unless`.
    """
    before = LOG.stat().st_size if LOG.exists() else 0
    if not run(*command, log=LOG, show=progress.show):
        return True
    said = LOG.read_bytes()[before:].decode("utf-8", errors="replace")
    if unless and re.search(unless, said):
        return False
    raise Failure(f"the environment was not made: {installing.meaning(said)} (details: {LOG.relative_to(ROOT)})")

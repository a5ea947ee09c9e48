"""The store: find the execution of a lesson that is still good, or run the lesson and keep what came of it.

A folder for each lesson holds a folder for each of its last executions:

    notebook.ipynb      the lesson as it was then, with its outputs
    manifest.json       what it depends on (see `keys`), when it ran, the seconds of each cell, its errors
    variables.pickle    its variables at the end
    NAME.explorable     every state of an explorable, drawn: rnnlab.flipbook
    inside.json         what the kernel noted
"""

import contextlib
import json
import pickle
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
from filelock import FileLock

from tools.lessons import keys, reach
from tools.lessons.places import settings, store

KEPT = 6  # executions of one lesson


@dataclass(frozen=True)
class Execution:
    """Hold where an execution lies, and its manifest."""

    folder: Path
    manifest: dict

    @property
    def key(self) -> str:
        """Return what tells this execution from every other one."""
        return self.folder.name

    @property
    def errors(self) -> list:
        """Return the tracebacks of the cells that failed."""
        return self.manifest["errors"]

    @property
    def seconds(self) -> float:
        """Return how long the cells took."""
        return sum(self.manifest["seconds"])

    def notebook(self) -> nbformat.NotebookNode:
        """Return the lesson as it was, with its outputs."""
        return nbformat.read(self.folder / "notebook.ipynb", 4)

    def kept(self) -> dict:
        """Return its variables at the end and what it glued, as {"variables": ..., "glued": ...}, anew at each call."""
        for folder in map(str, reach.FOLDERS):  # its variables come from modules that lie there
            if folder not in sys.path:
                sys.path.append(folder)
        return pickle.loads((self.folder / "variables.pickle").read_bytes())

    def not_kept(self) -> dict:
        """Return dict name -> reason for each variable that could not be kept."""
        return _inside(self.folder)["not kept"]

    def drawings(self) -> dict:
        """Return dict name of an explorable -> the file with its drawings."""
        return {path.stem: path for path in sorted(self.folder.glob("*.explorable"))}


def _inside(folder: Path) -> dict:
    """Return what the kernel noted; a kernel that died noted nothing."""
    file = folder / "inside.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"opened": [], "not kept": {}}


def kept(lesson: Path) -> list:
    """Return the executions of a lesson that were kept, the newest first."""
    found = []
    for file in (store() / lesson.stem).glob("*/manifest.json"):
        with contextlib.suppress(OSError, ValueError):  # removed or damaged by something else: it does not count
            found.append(Execution(file.parent, json.loads(file.read_text(encoding="utf-8"))))
    return sorted(found, key=lambda one: one.manifest["made"], reverse=True)


def find(lesson: Path):
    """Return the execution of a lesson that is still good, or None."""
    notebook = json.loads(lesson.read_text(encoding="utf-8"))
    return next((one for one in kept(lesson) if keys.good(one.manifest, notebook)), None)


def last_good(lesson: Path):
    """Return the newest execution of a lesson in which no cell failed, of whatever version, or None."""
    return next((one for one in kept(lesson) if not one.errors), None)


def execution(lesson: Path, again: bool = False) -> Execution:
    """Return the execution of a lesson that is good now; run the lesson if there is none.

    Processes that ask at the same time wait for the first one. With `again`, a lesson whose cells failed is run once
    more: what failed for want of memory, say, need not fail for ever.
    """
    lesson = lesson.resolve()
    found = find(lesson)
    if found and not (again and found.errors):
        return found
    store().mkdir(parents=True, exist_ok=True)
    with FileLock(store() / f"{lesson.stem}.lock"):
        newer = find(lesson)
        return newer if newer and newer != found else _run(lesson)


def _run(lesson: Path) -> Execution:
    """Run a lesson and keep the execution, whole or not at all."""
    from tools.lessons import kernels  # Jupyter takes a second to import, and most calls find what they need

    prepare()
    notebook = nbformat.read(lesson, 4)
    want = keys.wanted(json.loads(lesson.read_text(encoding="utf-8")))  # before it runs: a file may change meanwhile
    made = time.time()
    beside = store() / f"{lesson.stem}.new"
    shutil.rmtree(beside, ignore_errors=True)  # of a run that was stopped
    beside.mkdir(parents=True)
    try:
        seconds, errors = kernels.run(notebook, lesson.parent, beside)
        opened = keys.of_paths(keys.ROOT / name for name in _inside(beside)["opened"])
        manifest = want | {"opened": opened, "made": made, "seconds": seconds, "errors": errors}
        nbformat.write(notebook, beside / "notebook.ipynb")
        text = json.dumps(manifest, indent=1)
        (beside / "manifest.json").write_text(text, encoding="utf-8")
        target = store() / lesson.stem / keys.digest(text.encode())
        target.parent.mkdir(exist_ok=True)
        beside.replace(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    prune(lesson)
    return Execution(target, manifest)


def prepare() -> None:
    """Make the folders for settings, and Matplotlib's list of fonts, on which it would warn inside a lesson."""
    import subprocess

    from tools.lessons.places import python, surroundings

    if not any(settings().glob("matplotlib/fontlist-*.json")):
        settings().mkdir(parents=True, exist_ok=True)
        with FileLock(store() / "settings.lock"):
            if not any(settings().glob("matplotlib/fontlist-*.json")):
                command = python("-c", "import matplotlib.font_manager")
                subprocess.run(command, env=surroundings(), capture_output=True, check=True)


def prune(lesson: Path) -> None:
    """Keep the newest executions of a lesson, and the newest good one."""
    found, good = kept(lesson), last_good(lesson)
    for one in found[KEPT:]:
        if good is None or one.key != good.key:
            shutil.rmtree(one.folder, ignore_errors=True)


def look_again() -> None:
    """Forget what this process has read of the Python files."""
    reach.forget()

"""Run tools of the environment, and say what goes on."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENV = ROOT / ".venv"


def programs(env, system: str = os.name):
    """Return the folder of an environment's programs."""
    return env / ("Scripts" if system == "nt" else "bin")


BIN = programs(ENV)
PYTHON = BIN / "python"
WIDTH = 78  # of the progress line
# At the sizes of this course a second BLAS thread only costs: two processes use two cores better.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Failure(Exception):
    """Something the person at the keyboard can mend; its message is the one line they get."""


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def tool_environment(variables: dict = None) -> dict:
    """Return variables for a tool of .venv, out of this process's if none are given: its programs first, one thread."""
    path = str(BIN) + os.pathsep + os.environ.get("PATH", "")
    variables = dict(variables or os.environ, VIRTUAL_ENV=str(ENV), PATH=path)
    # PYTHONDONTWRITEBYTECODE: much of .venv comes without bytecode, and would be compiled again at every start.
    for name in ("PYTHONHOME", "PYTHONDONTWRITEBYTECODE"):
        variables.pop(name, None)
    variables.update({name: "1" for name in THREADS})
    return variables


def run(*command, log: Path = None, show=say, variables: dict = None) -> int:
    """Run a tool to its end and return its exit status; with `log`, keep its output there and `show` each line."""
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"} if log else {}
    child = subprocess.Popen([str(word) for word in command], cwd=str(ROOT), env=tool_environment(variables), **piped)
    try:
        if log:
            log.parent.mkdir(exist_ok=True)
            with log.open("a", encoding="utf-8") as file:
                for line in child.stdout:
                    file.write(line)
                    show(line.rstrip("\n"))
        return child.wait()
    except KeyboardInterrupt:
        wait_or_terminate(child)
        raise


def wait_or_terminate(child, patience: float = 10) -> None:
    """Let a tool that got the same Ctrl-C end in its own way; end it if it does not."""
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.terminate()
        child.wait()


class Progress:
    """One line that says what the installation is at and for how long: pip is silent while it unpacks torch."""

    def __init__(self) -> None:
        self.line = "creating .venv"
        self.start = time.monotonic()
        self.terminal = sys.stdout.isatty()
        self.finished = threading.Event()
        self.painter = threading.Thread(target=self._paint, daemon=True)

    def show(self, line: str) -> None:
        """Take note of a line of the tool, if it says what goes on."""
        words = line.split()
        if "Retrying" in words:
            self.line = "no answer from the package index, trying again"
        elif line.startswith("Installing collected packages:"):
            self.line = f"unpacking {len(words) - 3} packages"
        elif words and words[0] in ("Collecting", "Downloading", "Installing", "Processing", "Using"):
            self.line = line.strip()

    def say(self, line: str) -> None:
        """Print a line for good."""
        self._wipe()
        say(line)

    def _wipe(self) -> None:
        if self.terminal:
            print("\r" + " " * WIDTH + "\r", end="", flush=True)

    def _paint(self) -> None:
        while not self.finished.wait(1 if self.terminal else 15):
            text = f"  {time.monotonic() - self.start:4.0f} s  {self.line}"[:WIDTH]
            if self.terminal:
                print("\r" + text.ljust(WIDTH), end="", flush=True)
            else:
                say(text)

    def __enter__(self) -> "Progress":
        self.painter.start()
        return self

    def __exit__(self, *_) -> None:
        self.finished.set()
        self.painter.join()
        self._wipe()

"""The commands that install a level, with pip or uv, what they leave out, and what their words mean when they fail."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.levels import LEVELS, project, requirements, versions
from tools.running import ENV, PYTHON, Failure, tool_environment

REASONS = (  # what the log of pip or uv holds, what it means; the first match wins
    (r"No space left on device|Errno 28", "the disk is full"),
    (
        r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate",
        "the package index's certificate was not accepted (a proxy in between?)",
    ),
    (
        r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Max retries exceeded"
        r"|Temporary failure in name resolution|Network is unreachable|Connection broken|Read timed out"
        r"|error sending request|dns error|tcp connect error",
        "no network: the package index did not answer",
    ),
    (r"No matching distribution found for ([^\s;+]+)", "the package index has no {} for this Python and machine"),
    (r"conflicting dependencies|your requirements are unsatisfiable", "the wanted versions contradict each other"),
    (r"(?:ModuleNotFound|Import)Error: (.*)", "a package does not load ({})"),
)
NO_SUCH_BUILD = r"torch==\S+\+cpu \(from versions: \d"  # and others there are

# What only the developers of other packages run, found below site-packages: a tenth of the readers' level.
LEFT_OUT = (
    "**/tests", "torch/test", "torch/bin/*Test", "torch/bin/test_*", "torch/bin/protoc*", "torch/bin/upgrader_models",
    "jupyterlab/galata", "pyarrow/include", "pyarrow/src",
)  # fmt: skip

# Installed without bytecode: the lessons use a third of the modules. Loading what they do use keeps its bytecode, shows
# that it loads, and lists the fonts, about which Matplotlib says a line when that is slow. Two at once.
LOADED = (
    "torch, keras, rnnlab.torch_twin, rnnlab.doctor",
    "matplotlib.pyplot, matplotlib.font_manager, rnnlab.widgets, pandas, pyarrow.parquet, scipy.stats, "
    "sklearn.linear_model, sklearn.feature_extraction.text, statsmodels.tsa.api, networkx, babel.dates, num2words, "
    "ipykernel.kernelapp, jupyterlab.labapp, jupyter_book, myst_nb, sphinx.application, sphinx_book_theme, "
    "sphinxcontrib.bibtex",
)
LOAD = """
import os, subprocess, sys
os.environ["KERAS_BACKEND"] = "torch"
loading = [subprocess.Popen([sys.executable, "-c", "import " + names]) for names in sys.argv[1:]]
sys.exit(any([one.wait() for one in loading]))
"""


def newest(requirement: str, held: dict) -> str:
    """Return a requirement without its pin: `numpy==2.4.6` is `numpy`; `held` gives the bounds that stay."""
    pinned, semicolon, condition = requirement.partition(";")
    name = pinned.partition("==")[0]
    return name + held.get(name, "") + semicolon + condition


def venv_command() -> list:
    """Return the command that makes an empty .venv."""
    command = [sys.executable, "-m", "venv", "--clear", ENV]
    return command + ([] if has_ensurepip() else ["--without-pip"])


def has_ensurepip() -> bool:
    """Return whether this Python can give pip to an environment: Debian's bare one cannot."""
    return importlib.util.find_spec("ensurepip") is not None


def pip_command() -> list:
    """Return the pip that installs into .venv: its own, or Debian's, which can install into one that has none."""
    return [PYTHON, "-m", "pip"] if has_ensurepip() else [sys.executable, "-m", "pip", "--python", PYTHON]


def has_own_index(pip: list) -> bool:
    """Return whether pip's settings name where packages come from: uv does not read them."""
    command = [str(word) for word in [*pip, "config", "list"]]
    found = subprocess.run(command, env=tool_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return (
        re.search(r"\.(?:(?:extra-)?index-url|find-links|no-index)=", found.stdout.decode(errors="replace")) is not None
    )


def installer() -> list:
    """Return the beginning of an install command: of uv, which is faster, where it is there and asks the same index."""
    pip, choice = pip_command(), os.environ.get("INSTALLER") or "any"
    if choice not in ("any", "pip", "uv"):
        raise Failure(f"expected INSTALLER=pip or uv, got INSTALLER={choice}")
    if choice == "uv" and not shutil.which("uv"):
        raise Failure("INSTALLER=uv, and there is no uv: install it, or leave the setting out")
    if choice == "uv" or choice == "any" and shutil.which("uv") and not has_own_index(pip):
        return ["uv", "pip", "install", "--python", PYTHON]
    return [*pip, "install", "--no-compile"]


def torch_command(cpu: bool) -> list:
    """Return the command that installs torch alone: from TORCH_INDEX, or the build that is called +cpu, from any."""
    pinned = next(line for line in requirements() if line.startswith("torch=="))
    index = os.environ.get("TORCH_INDEX")  # for torch alone, or that index would be asked for everything
    where = ["--index-url", index] if index else []
    # By pip also where uv installs the rest: pip finds what its settings name, and uv takes what is there.
    return [*pip_command(), "install", "--no-compile", "--no-deps", *where, pinned + ("+cpu" if cpu else "")]


def install_commands(level: str) -> list:
    """Return the commands that install a level on top of the one below it."""
    begin, own = installer(), ["--editable", f".[{level}]"]
    if versions() == "newest":
        held = project()["tool"]["rnnlab"]["held"]
        lines = [newest(line, held) for line in requirements(level)]
        return [[*begin, *lines], [*begin, "--no-deps", "--editable", "."]][: 2 if level == LEVELS[0] else 1]
    lock = ["--constraint", "constraints.txt"] if versions() == "locked" else []
    return [[*begin, *lock, *(own if level == LEVELS[0] else requirements(level))]]


def load_command() -> list:
    """Return the command that loads what the lessons use."""
    return [PYTHON, "-c", LOAD, *LOADED]


def packages_folder() -> Path:
    """Return site-packages of .venv."""
    return next(path for pattern in ("Lib/site-packages", "lib/*/site-packages") for path in ENV.glob(pattern))


def leave_out() -> None:
    """Remove from .venv what LEFT_OUT names."""
    for pattern in LEFT_OUT:
        for path in list(packages_folder().glob(pattern)):
            if path.is_dir():
                shutil.rmtree(str(path), ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def meaning(log: str) -> str:
    """Say in a few words what the log of an installer means."""
    for pattern, reason in REASONS:
        match = re.search(pattern, log)
        if match:
            return reason.format(*match.groups())
    return "the installer failed"

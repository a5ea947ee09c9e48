"""Where the store lies, and the surroundings in which lessons run: no settings but this project's."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"

# At the sizes of this course a second thread only costs: two lessons use two cores better.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# What other programs, or a user's own settings, could leave in the way of a lesson.
FOREIGN = (
    "IPYTHONDIR",
    "JUPYTER_CONFIG_PATH",
    "JUPYTER_PATH",
    "MATPLOTLIBRC",
    "MPLBACKEND",
    "PYTHONHOME",
    "PYTHONOPTIMIZE",
    "PYTHONSTARTUP",
    "PYTHONWARNINGS",
)
# By these a test simulates a machine that rounds otherwise.
ROUNDING = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "NPY_DISABLE_CPU_FEATURES",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "RNNLAB_NUDGE",  # the folder with the sitecustomize.py that moves what is drawn in its last bit
)


def store() -> Path:
    """Return the folder of the executions: .lessons in the repository, or what RNNLAB_LESSONS names."""
    return Path(os.environ.get("RNNLAB_LESSONS") or ROOT / ".lessons").resolve()


def settings() -> Path:
    """Return the folder that Matplotlib, IPython and Jupyter take for their user's own."""
    return store() / "settings"


def surroundings(**more: str) -> dict:
    """Return the variables for a program of this project: its own folders for settings and caches, one thread."""
    variables = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    own = {
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "jupyter",
        "JUPYTER_DATA_DIR": "jupyter",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "KERAS_HOME": "keras",
        "MPLCONFIGDIR": "matplotlib",
    }
    variables |= {name: str(settings() / folder) for name, folder in own.items()}
    variables |= dict.fromkeys(THREADS, "1")
    # Python's own doors for settings: a path with a sitecustomize.py, and the packages in a user's home.
    path = os.pathsep.join(filter(None, [os.environ.get("RNNLAB_NUDGE"), str(ROOT)]))
    variables |= {"PYTHONPATH": path, "PYTHONNOUSERSITE": "1", "PYTHONIOENCODING": "utf-8"}
    return variables | more


def python(*arguments) -> list:
    """Return the command that runs this Python with some arguments."""
    return [sys.executable, *map(str, arguments)]

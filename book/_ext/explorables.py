"""Publish explorables as flipbooks, and read every page again when `rnnlab` has changed."""

import hashlib
import os
from pathlib import Path

RNNLAB = Path(__file__).resolve().parents[2] / "rnnlab"


def library_hash():
    """Return a hash of all sources of rnnlab: Sphinx sees the notebooks change, but not the library they import."""
    sources = sorted(path for path in RNNLAB.iterdir() if path.suffix in (".py", ".js", ".css"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def setup(app):
    """Tell the kernels that MyST-NB starts to draw flipbooks (they inherit the environment)."""
    os.environ["RNNLAB_BOOK"] = "1"
    app.add_config_value("rnnlab_hash", library_hash(), "env")
    return {"parallel_read_safe": True}

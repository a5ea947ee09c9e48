"""Give each lesson's page the outputs of its execution: the store runs a lesson once per change, Sphinx never does.

A lesson in which a cell failed is shown as it last ran here without a fault, or as its file has it, under a notice with
the error; the build goes on, with a warning, which `make html STRICT=1` makes an error.
"""

import sys
from pathlib import Path

from sphinx.util import logging

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tools.lessons import executions, keys, pages  # noqa: E402

logger = logging.getLogger(__name__)


def lesson(app, docname):
    """Return the path of a page's notebook, or None if the page has none."""
    path = Path(app.env.doc2path(docname))
    return path if path.suffix == ".ipynb" else None


def put_in(app, docname, source):
    """Replace the text of a notebook by that of its page."""
    path = lesson(app, docname)
    if path is None:
        return
    found = executions.execution(path)
    app.env.rnnlab_executions[docname] = found.key
    source[0] = pages.page(path, found)
    if found.errors:
        logger.warning("a cell of this lesson failed:\n%s", found.errors[0], location=docname)


def changed(app, env, added, changed, removed):
    """Return the pages whose execution is not the one they were made from: their file may be as it was."""
    if not hasattr(env, "rnnlab_executions"):
        env.rnnlab_executions = {}
    notebooks = {docname: lesson(app, docname) for docname in env.found_docs}
    found = {docname: executions.find(path) for docname, path in notebooks.items() if path}
    return [name for name, one in found.items() if one is None or one.key != env.rnnlab_executions.get(name)]


def merge(app, env, docnames, other):
    """Take over what another process has read."""
    env.rnnlab_executions |= {
        name: other.rnnlab_executions[name] for name in docnames if name in other.rnnlab_executions
    }


def setup(app):
    """Register the listeners with Sphinx."""
    app.add_config_value("lesson_pages_hash", keys.of_path(Path(pages.__file__)), "env")  # read every page again
    app.connect("env-get-outdated", changed)
    app.connect("source-read", put_in)
    app.connect("env-merge-info", merge)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

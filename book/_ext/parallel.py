"""Read the pages on all processors: a lesson runs while it is read, and most of a build's time is lessons."""

import os


def allow(app):
    """Declare safe what only lacks the word: one works after all pages are read, one where LaTeX is written."""
    for name in ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex"):
        app.extensions[name].parallel_read_safe = True


def deal_out(app, env, docnames):
    """Reorder the pages to be read, in place: Sphinx deals out neighbours, and those cost alike."""
    docnames[:] = [name for first in range(app.parallel) for name in docnames[first :: app.parallel]]


def write_in_one_process(app, env):
    """Go on alone once all is read: pages are written in seconds, and only one process adds files to the site."""
    app.parallel = 1


def setup(app):
    """Ask for as many processes as there are processors, since `jupyter-book build` has no option for it.

    The kernels that they start get one thread each: PyTorch's threads, waiting for a busy processor, made a lesson of
    20 seconds one of six minutes.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    app.parallel = max(app.parallel, os.cpu_count() or 1)
    app.connect("builder-inited", allow)
    app.connect("env-before-read-docs", deal_out)
    app.connect("env-updated", write_in_one_process)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""Keep every page self-contained: no request leaves the reader's machine, over http or file://.

Stock Jupyter Book pages ask other hosts for MathJax, thebe, require.js and the widget manager. Here MathJax is copied
from an installed package when the book is built, and the rest, which this book does not use, is left out.
"""

import importlib.metadata
import shutil
from pathlib import Path

DISTRIBUTION = "sphinx-mathjax-offline"
# What a page can load: the TeX reader with its extensions, the HTML writer with its fonts, and the parts behind the
# menu of a formula (reading aloud). The package carries 20 MB more that no page asks for.
MATHJAX_PARTS = (
    "tex-chtml.js",
    "input/tex/extensions",
    "output/chtml/fonts/woff-v2",
    "a11y",
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
)


def mathjax_source() -> Path:
    """Return the folder of MathJax files inside the installed package.

    Returns:
        The folder that holds `tex-chtml.js`.

    Raises:
        FileNotFoundError: if the package holds no such file.
    """
    # The package's folder has hyphens in its name, so it cannot be imported; its list of files names it.
    for file in importlib.metadata.files(DISTRIBUTION) or ():
        if file.name == "tex-chtml.js":
            return Path(file.locate()).parent
    raise FileNotFoundError(f"expected tex-chtml.js in the package {DISTRIBUTION}, found none; reinstall the package")


def copy_mathjax(app, exception):
    """Copy MathJax beside the pages, file by file and only what is missing or changed."""
    if exception is not None or app.builder.format != "html":
        return
    source, target = mathjax_source(), Path(app.outdir) / "_static" / "mathjax"
    for part in MATHJAX_PARTS:
        origin = source / part
        for file in sorted(origin.rglob("*")) if origin.is_dir() else [origin]:
            copy = target / file.relative_to(source)
            if file.is_file() and (not copy.exists() or copy.stat().st_size != file.stat().st_size):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)


def drop_thebe(app, config):
    """Disconnect sphinx-thebe, which Jupyter Book always loads: its script asks another host and raises an error."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if not one.handler.__module__.startswith("sphinx_thebe")]
    app.registry.css_files[:] = [entry for entry in app.registry.css_files if entry[0] != "sphinx-thebe.css"]


def setup(app):
    """Register the listeners with Sphinx."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("config-inited", drop_thebe)
    app.connect("build-finished", copy_mathjax)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""Write the page of the module: every public name of `rnnlab`, from its docstring.

Sphinx's autodoc and napoleon do the work. What is here says in which order the names come, and turns the docstrings,
which are plain text for `help()`, into the markup that Sphinx reads. A new public name needs no change: it appears
under the topic of its module, and a module without a topic under the first words of its docstring.
"""

import functools
import importlib.util
import inspect
import re
from pathlib import Path

from sphinx.ext import viewcode

MARK = "<!-- every public name -->"
TOPICS = {
    "Cells": ["cells", "lstm", "peepholes", "gru", "recurrences", "slstm", "scans", "graphs", "regularized"],
    "Backpropagation through time": ["bptt", "tapes"],
    "Models and losses": ["models", "attention", "stacks", "losses"],
    "Starting values": ["initializers"],
    "Tasks": ["tasks"],
    "Training": ["training", "histories", "sweeps", "pools", "checkpoints", "regularizers", "provenance"],
    "Optimizers": ["optimizers", "adagrads", "adams", "newer_optimizers", "schedules"],
    "Clipping": ["clipping", "adaptive_clipping"],
    "Diagnostics": ["diagnostics"],
    "Threads": ["threads"],
}
# Not for import, but met as bases and results.
SHOWN = {
    "cells": ["Cell"],
    "scans": ["LinearCell"],
    "tapes": ["Back"],
    "models": ["Out"],
    "optimizers": ["Optimizer"],
    "clipping": ["Clip"],
}
# Methods that a tape calls on its cell: for whoever adds a cell, who reads the source.
INNER = {
    "tape",
    "pack",
    "unpack",
    "packed_peepholes",
    "local_derivatives",
    "state_jacobians",
    "numbers",
    "coefficients",
    "back",
    "keep",
    "gates_back",
    "read",
    "read_back",
    "readout",
}
# `import rnnlab` does not load these.
APART = ["torch_twin", "doctor", "widgets", "flipbook", "plots", "datasets", "rouge", "ngrams", "forecasts"]
APART += ["convolutions", "copying", "ctc", "ctc_decoding", "decoding", "analogies", "data_dates", "warping"]
APART += [
    "data_digits",
    "data_docstrings",
    "data_python_docs",
    "data_recordings",
    "data_reviews",
    "data_series",
    "drawings",
]

LITERAL = re.compile(r"(``.+?``|`[^`]+`)")
EQUATION = re.compile(r"\w+(, \w+)* (=|<-) ")
SECTION_IN_LINE = re.compile(r"(Args|Source): (?=.)")


# ---------------------------------------------------------------- which names


def sections():
    """Yield (title, introduction, qualified names): the topics, then the modules that are imported by name."""
    names = _by_module()
    for title, modules in TOPICS.items():
        found = [name for module in modules for name in names.pop(module, [])]
        if found:
            yield title, "", found
    for module, found in names.items():  # a module that no topic names
        yield re.split("[:.]", _about(module))[0], "", found
    for module in APART:
        yield f"`rnnlab.{module}`", _about(module), [f"rnnlab.{module}.{name}" for name in _public(_load(module))]


def _by_module():
    """Return dict module -> qualified names, in the order of the source: those of `rnnlab.__all__`, and SHOWN."""
    package, found = importlib.import_module("rnnlab"), {}
    for name in package.__all__:
        found.setdefault(getattr(package, name).__module__.removeprefix("rnnlab."), []).append(f"rnnlab.{name}")
    for module, names in SHOWN.items():
        found.setdefault(module, []).extend(f"rnnlab.{module}.{name}" for name in names)
    return {module: sorted(names, key=lambda name: _line(_value(name))) for module, names in found.items()}


def _public(module):
    """Return the public names that a module defines; its `__all__` decides where there is one."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    data = re.findall(r"^#: .*\n([A-Z_]+) = ", inspect.getsource(module), re.MULTILINE)  # documented as data
    return [name for name in [*data, *own] if not name.startswith("_")]


def _load(module):
    return importlib.import_module(f"rnnlab.{module}")


def _value(name):
    module, _, name = name.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _line(value):
    return inspect.getsourcelines(value)[1]


def _about(module):
    return inspect.getdoc(_load(module)).split("\n\n")[0].replace("\n", " ")


# ---------------------------------------------------------------- the page


def write_page(app, docname, source):
    """Put a heading for each topic and autodoc's directive for each name in the place of MARK."""
    if MARK not in source[0]:
        return
    for file in Path(importlib.import_module("rnnlab").__file__).parent.rglob("*.py"):
        app.env.note_dependency(str(file))  # a new name changes this page, not its text
    page = []
    for title, introduction, names in sections():
        page += [f"## {title}", introduction]
        for name in names:
            directives = "\n".join(_directive(name))
            page.append(f"```{{eval-rst}}\n{directives}\n```")
    source[0] = source[0].replace(MARK, "\n\n".join(page))


def _directive(name):
    value = _value(name)
    if inspect.isfunction(value):
        return [f".. autofunction:: {name}"]
    if not inspect.isclass(value):
        return [f".. autodata:: {name}", "   :no-value:"]
    kind = "autoexception" if issubclass(value, Exception) else "autoclass"
    options = ["   :members:", "   :member-order: bysource"]
    if any(base.__module__.startswith("rnnlab.") for base in value.__bases__):
        options.append("   :show-inheritance:")
    return [f".. {kind}:: {name}", *options]


# ---------------------------------------------------------------- docstrings


def as_markup(app, what, name, value, options, lines):
    """Turn a docstring into reStructuredText in place, before napoleon reads its sections."""
    links = targets()
    paragraphs = [re.split("\n", text) for text in re.split(r"\n{2,}", "\n".join(lines).strip())]
    lines[:] = [line for paragraph in paragraphs for line in [*_paragraph(paragraph, links), ""]]


@functools.cache  # hundreds of docstrings ask
def targets():
    """Return dict name -> qualified name, of what the page explains."""
    return {one.rpartition(".")[2]: one for _, _, names in reversed([*sections()]) for one in names}


def _paragraph(lines, links):
    if lines[0].lstrip().startswith(">>>"):
        return lines
    if all(EQUATION.match(line) for line in lines):
        return [".. code-block:: text", "", *(f"    {line}" for line in lines)]
    lines = [_line_of_text(line, links) for line in lines]
    if SECTION_IN_LINE.match(lines[0]):  # "Source: ..." joins the table of arguments and results
        return [SECTION_IN_LINE.sub(r":\1: ", lines[0]), *(f"    {line.lstrip()}" for line in lines[1:])]
    return lines


def _line_of_text(line, links):
    parts = LITERAL.split(line)
    parts[::2] = [re.sub(r"([\\*|]|_(?!\w)|'(?=\())", r"\\\1", text) for text in parts[::2]]
    parts[1::2] = [_literal(text.strip("`"), links) for text in parts[1::2]]
    return "".join(parts)


def _literal(text, links):
    """Return a name as a link to where this page explains it, anything else as code."""
    first, _, member = text.removeprefix("rnnlab.").partition(".")
    target = links.get(first)
    if target is None or (member and not getattr(vars(_value(target)).get(member), "__doc__", None)):
        return f"``{text}``"
    return f":py:obj:`{text} <{target}{'.' * bool(member)}{member}>`"


def skip_member(app, what, name, value, skip, options):
    """Leave out what a class keeps for others of the module, and the fields of tuples, which its docstring explains."""
    return True if name in INNER or (value.__doc__ or "").startswith("Alias for field number") else None


def setup(app):
    """Register the listeners with Sphinx, and set up the extensions that they feed.

    In each build viewcode asks where every module lies, and would import it to know, torch with the doctor.
    """
    for extension in ("sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"):
        app.setup_extension(extension)
    viewcode.get_module_filename = lambda app, module: importlib.util.find_spec(module).origin
    app.connect("source-read", write_page)
    app.connect("autodoc-process-docstring", as_markup, priority=400)  # napoleon's own listener has 500
    app.connect("autodoc-skip-member", skip_member)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

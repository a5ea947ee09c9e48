"""The page of the module: it has every public name, and the docstrings arrive on it as they were meant."""

import html
import importlib
import re
import sys
from pathlib import Path

import pytest

import rnnlab

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
api = importlib.import_module("api")  # the Sphinx extension that writes the page
sys.path.pop(0)


def names_on_page():
    """Return the qualified names that the page lists, in its order."""
    return [name for _, _, names in api.sections() for name in names]


def markup(docstring):
    """Return the lines that Sphinx gets for a docstring."""
    lines = docstring.split("\n")
    api.as_markup(None, "function", "f", None, None, lines)
    return "\n".join(lines).strip()


# ---------------------------------------------------------------- every name, once


def test_the_page_lists_every_public_name_once():
    names = names_on_page()
    assert len(set(names)) == len(names)
    assert {f"rnnlab.{name}" for name in rnnlab.__all__} <= set(names)


@pytest.mark.parametrize("module", ["torch_twin", "doctor", "plots", "widgets", "flipbook", "datasets"])
def test_the_page_lists_the_modules_that_are_imported_by_name(module):
    pytest.importorskip({"torch_twin": "torch", "datasets": "numpy"}.get(module, "ipywidgets"))
    loaded = importlib.import_module(f"rnnlab.{module}")
    listed = {name.rpartition(".")[2] for name in names_on_page() if name.startswith(f"rnnlab.{module}.")}
    assert listed and all(hasattr(loaded, name) for name in listed)
    assert listed == set(getattr(loaded, "__all__", listed))


def test_a_new_name_appears_by_itself(monkeypatch):
    module = importlib.import_module("rnnlab.checks")  # no topic names this module
    monkeypatch.setattr(rnnlab, "shaped", module.shaped, raising=False)
    monkeypatch.setattr(rnnlab, "__all__", [*rnnlab.__all__, "shaped"])
    assert "rnnlab.shaped" in names_on_page()
    assert any(
        title == "Checks at the public doors" and names == ["rnnlab.shaped"] for title, _, names in api.sections()
    )


def test_the_built_page_explains_every_name(built_book):
    page = (built_book / "book" / "api.html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'<dt class="sig[^>]* id="([^"]+)"', page))
    assert set(names_on_page()) <= anchors
    for name in rnnlab.__all__:
        entry = page[page.index(f'id="rnnlab.{name}"') :]
        first_words = " ".join(getattr(rnnlab, name).__doc__.split()[:2])
        text = html.unescape(re.sub(r"<[^>]+>", "", entry[: entry.index("</dd>")]))
        assert first_words in text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"), name  # Sphinx sets it


# ---------------------------------------------------------------- docstrings as they were meant


def test_what_is_plain_in_a_docstring_stays_plain():
    assert markup("Return (*runs, T) and ||g|| of f'(z_t), x_ too.") == (
        r"Return (\*runs, T) and \|\|g\|\| of f\'(z_t), x\_ too."
    )


def test_names_of_the_module_become_links_and_others_code():
    assert markup("See `unroll`.") == "See :py:obj:`unroll <rnnlab.unroll>`."
    assert markup("See `Model.init`.") == "See :py:obj:`Model.init <rnnlab.Model.init>`."
    assert markup("See `rnnlab.unroll`, `x` and `.params`.").endswith("``x`` and ``.params``.")


def test_an_equation_of_its_own_is_set_as_code():
    assert (
        markup("Say.\n\nc_t = f * c_{t-1},\nh_t = o * tanh(c_t)")
        == "Say.\n\n.. code-block:: text\n\n    c_t = f * c_{t-1},\n    h_t = o * tanh(c_t)"
    )


def test_examples_are_left_alone():
    assert markup("Say.\n\n>>> f(*x)\n'`a`'") == "Say.\n\n>>> f(*x)\n'`a`'"


def test_the_source_joins_the_table_with_its_second_line():
    assert markup("Say.\n\nSource: Someone\n(1990).") == "Say.\n\n:Source: Someone\n    (1990)."

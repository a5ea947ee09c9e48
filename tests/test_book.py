"""The built book as files: complete, self-contained, described, and without solutions of the coursework."""

import functools
import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import tasks

ROOT = Path(__file__).resolve().parents[1]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [TOC["root"], *(chapter["file"] for chapter in TOC["chapters"])]
LESSONS = [page for page in PAGES if page.startswith("notebooks/")]
SOLUTION_MARKERS = ("### BEGIN SOLUTION", "### END SOLUTION", "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
OWN_WEIGHT = 1_000_000


class Elements(HTMLParser):
    """The start tags of a page, as (tag, attributes)."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Keep the tag."""
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def elements(path: Path) -> list:
    """Return the start tags of an HTML file."""
    return Elements(path.read_text(encoding="utf-8")).found


def loaded_addresses(path: Path):
    """Yield each address that a browser asks for when it shows a page (links that wait for a click are none)."""
    for tag, attributes in elements(path):
        if tag == "link" and "canonical" not in attributes.get("rel", ""):
            yield attributes.get("href", "")
        elif tag in ("script", "img", "iframe", "audio", "video", "source", "embed", "object"):
            yield attributes.get("src", "") or attributes.get("data", "")
        yield from css_addresses(attributes.get("style", ""))
    for style in re.findall(r"<style[^>]*>(.*?)</style>", path.read_text(encoding="utf-8"), flags=re.S):
        yield from css_addresses(style)


def css_addresses(css: str) -> list:
    """Return each address that a style sheet asks for."""
    return re.findall(r"url\(\s*['\"]?([^'\")]+)", css) + re.findall(r"@import\s+['\"]([^'\"]+)", css)


def is_elsewhere(address: str) -> bool:
    """Return whether an address is on another host."""
    return bool(urlsplit(address.strip()).netloc)


# ---------------------------------------------------------------- completeness


@pytest.mark.parametrize("name", PAGES)
def test_each_page_of_the_contents_is_built(built_book, name):
    page = built_book / f"{name}.html"
    assert page.exists()
    assert "<h1>" in page.read_text(encoding="utf-8")


def test_each_lesson_is_in_the_contents():
    lessons = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert lessons == set(LESSONS)


@pytest.mark.parametrize("name", LESSONS)
def test_the_introduction_leads_to_each_lesson(built_book, name):
    links = [given.get("href", "") for tag, given in elements(built_book / f"{TOC['root']}.html") if tag == "a"]
    article = (ROOT / f"{TOC['root']}.md").read_text(encoding="utf-8")
    assert f"../{name}.html" in links
    assert f"(../{name}.ipynb)" in article  # in its text, not only beside it


def test_the_start_page_leads_into_the_book(built_book):
    assert f"url={TOC['root']}.html" in (built_book / "index.html").read_text(encoding="utf-8")


@functools.cache
def anchors(page):
    """Return the places of a page that a link can lead to; the page of the module alone has hundreds of links."""
    return {given.get("id") for _, given in elements(page)}


@pytest.mark.parametrize("name", PAGES)
def test_links_inside_the_book_resolve(built_book, name):
    page, broken = built_book / f"{name}.html", []
    for tag, attributes in elements(page):
        parts = urlsplit(attributes.get("href", ""))
        if tag != "a" or parts.scheme or parts.netloc or not (parts.path or parts.fragment):
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not target.is_file():
            broken.append(f"{attributes['href']}: no such file")
        elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in anchors(target):
            broken.append(f"{attributes['href']}: no such place on that page")
    assert broken == []


@pytest.mark.parametrize("name", PAGES)
def test_numbers_from_code_are_filled_in(built_book, name):
    text = (built_book / f"{name}.html").read_text(encoding="utf-8")
    prose = re.sub(r"<(pre|script|style)\b.*?</\1>", "", text, flags=re.S)
    assert "{glue" not in prose
    assert "pasted-inline pasted-missing" not in prose


# ---------------------------------------------------------------- self-contained


def test_no_page_loads_from_another_host(built_book):
    outside = {
        f"{path.relative_to(built_book)}: {address}"
        for path in built_book.rglob("*.html")
        for address in loaded_addresses(path)
        if is_elsewhere(address)
    }
    assert outside == set()


def test_no_style_sheet_loads_from_another_host(built_book):
    outside = {
        f"{path.relative_to(built_book)}: {address}"
        for path in built_book.rglob("*.css")
        for address in css_addresses(path.read_text(encoding="utf-8"))
        if is_elsewhere(address)
    }
    assert outside == set()


def test_an_address_on_another_host_would_be_found(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<link rel="stylesheet" href="https://a.example/x.css"><script src="//b.example/x.js"></script>'
        '<img src="http://c.example/x.png"><p style="background: url(https://d.example/x.png)">'
        '<style>@import "https://e.example/x.css";</style><a href="https://f.example/">a link</a>',
        encoding="utf-8",
    )
    hosts = [urlsplit(address).netloc for address in loaded_addresses(page) if is_elsewhere(address)]
    assert sorted(hosts) == ["a.example", "b.example", "c.example", "d.example", "e.example"]


def test_formulas_come_with_the_book(built_book):
    assert (built_book / "_static" / "mathjax" / "tex-chtml.js").stat().st_size > 500_000
    assert list((built_book / "_static" / "mathjax").rglob("*.woff"))


@pytest.mark.parametrize("unwanted", ["thebe", "require.min.js", "require.js", "html-manager", "embed-amd"])
def test_scripts_that_ask_other_hosts_are_left_out(built_book, unwanted):
    for name in PAGES:
        scripts = [given.get("src", "") for tag, given in elements(built_book / f"{name}.html") if tag == "script"]
        assert not [script for script in scripts if unwanted in script]
    assert "THEBE_JS_URL" not in (built_book / f"{TOC['root']}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_weighs_little(built_book, name):
    page = built_book / f"{name}.html"
    images = {given["src"] for tag, given in elements(page) if tag == "img" and "_images/" in given.get("src", "")}
    weight = page.stat().st_size + sum((page.parent / image).stat().st_size for image in images)
    assert weight < OWN_WEIGHT


# ---------------------------------------------------------------- described figures


@pytest.mark.parametrize("name", PAGES)
def test_each_figure_says_what_it_shows(built_book, name):
    page, silent = built_book / f"{name}.html", []
    for tag, given in elements(page):
        if tag == "img":
            said = given.get("alt", "")
            is_logo = "logo" in given.get("class", "")  # its title stands beside it
        elif tag == "svg" and given.get("role") == "img":
            said, is_logo = given.get("aria-label", ""), False
        else:
            continue
        looks_like_a_path = re.search(r"\.(png|svg|jpe?g)$|^\.\./|_images/", said)
        if not is_logo and (len(said.split()) < 3 or looks_like_a_path):
            silent.append((tag, said))
    assert silent == []


# ---------------------------------------------------------------- coursework stays out


def test_no_solution_is_published(built_book):
    leaks = [
        f"{path.relative_to(built_book)}: {marker}"
        for path in built_book.rglob("*")
        if path.is_file() and path.suffix not in (".woff", ".woff2", ".ttf", ".png", ".inv")
        for marker in SOLUTION_MARKERS
        if marker in path.read_text(encoding="utf-8", errors="ignore")
    ]
    assert leaks == []


def squeezed(text: str) -> str:
    """Return a page's text without tags and without white space, so that highlighted code can be found in it."""
    return "".join(html.unescape(re.sub(r"<[^>]*>", "", text)).split())


def secret_lines() -> set:
    """The lines of all solutions and hidden tests, but for those that stand in a page, a lesson or the module too."""
    secret, parts = set(), "### BEGIN (SOLUTION|HIDDEN TESTS).*?### END"
    for path in (ROOT / "notebooks" / "coursework" / "source").rglob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for part in re.finditer(parts, "".join(cell["source"]), re.DOTALL):
                secret |= {line.strip() for line in part[0].splitlines()[1:-1]}
    own = [*(ROOT / "rnnlab").glob("*.py"), *(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]
    public = "".join(path.read_text(encoding="utf-8").replace('\\"', '"').replace("\\n", "") for path in own)
    public = "".join(public.split())
    return {line for line in map("".join, map(str.split, secret)) if len(line) > 30 and line not in public}


def published(lines: set, text: str) -> list:
    """Return the lines that a published text holds, as code, as highlighted code or in a source file."""
    plain = squeezed(text) + "".join(text.replace('\\"', '"').split())
    return [line for line in lines if line in plain]


def test_the_search_for_solutions_finds_one():
    line = "from_later = np.zeros_like(h0) if t > 0 and t % k == 0 else d_a @ W_hh"
    lines = {"".join(line.split())}
    assert lines < secret_lines() and len(secret_lines()) > 300
    assert published(lines, f"<p>text</p><pre>{line.replace('>', '&gt;')}</pre>")
    assert published(lines, "<pre>" + "".join(f'<span class="n">{w}</span> ' for w in line.split(" ")) + "</pre>")
    assert not published(lines, "<p>from_later</p>")


def test_no_line_of_a_solution_is_published(built_book):
    lines = secret_lines()
    pages = [path for path in built_book.rglob("*") if path.suffix in (".html", ".ipynb", ".md", ".txt", ".py")]
    assert len(pages) > 20
    found = {path.name: published(lines, path.read_text(encoding="utf-8", errors="ignore")) for path in pages}
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_no_file_of_the_coursework_is_published(built_book):
    published = {path.name for path in built_book.rglob("*") if path.is_file()}
    assert not [path for path in built_book.rglob("*") if "coursework" in path.parts]
    sources = (ROOT / "notebooks" / "coursework" / "source").rglob("*.ipynb")
    assert not [path.name for path in sources if path.name in published or f"{path.stem}.html" in published]


# ---------------------------------------------------------------- faults stop the build


def test_make_html_strict_treats_warnings_as_errors_as_these_tests_do(monkeypatch):
    """`run_jupyter_book` in conftest.py uses the same options."""
    commands = []
    monkeypatch.setattr(tasks, "make_environment", lambda *_: None)
    monkeypatch.setattr(tasks, "run", lambda *words, **_: commands.append(list(map(str, words))) or 0)
    monkeypatch.setenv("STRICT", "1")
    tasks.html([])
    assert commands[-1][-4:] == ["book", "-W", "-n", "--keep-going"]
    monkeypatch.delenv("STRICT")
    tasks.html([])
    assert "-W" not in commands[-1]


GOOD_CELLS = ["import matplotlib.pyplot as plt", "2 + 2"]


def notebook(cells: list) -> str:
    """Return a notebook whose cells are code (a str) or (code, metadata)."""
    pairs = [cell if isinstance(cell, tuple) else (cell, {}) for cell in cells]
    code = [
        {
            "cell_type": "code",
            "id": f"c{k}",
            "metadata": metadata,
            "source": text,
            "outputs": [],
            "execution_count": None,
        }
        for k, (text, metadata) in enumerate(pairs)
    ]
    title = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# A small lesson"}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": [title, *code], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def small_book(tmp_path, build_book):
    """A function that builds a book of one page and one lesson with this project's own configuration."""
    shutil.copy(ROOT / "_config.yml", tmp_path)
    for part in ("book/_ext", "book/_static", "rnnlab", "tools"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "book" / "references.bib", tmp_path / "book")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n  - file: notebooks/lesson\n")
    (tmp_path / "notebooks").mkdir()

    def build(cells, intro: str = "# A small book\n\nText.\n"):
        for name, text in {"book/intro.md": intro, "notebooks/lesson.ipynb": notebook(cells)}.items():
            if not (tmp_path / name).exists() or (tmp_path / name).read_text(encoding="utf-8") != text:
                (tmp_path / name).write_text(text, encoding="utf-8")  # an unchanged page keeps its time
        return build_book(tmp_path)

    return build


def test_a_sound_small_book_builds(small_book):
    build = small_book(GOOD_CELLS)
    assert build.returncode == 0, build.stdout


def test_a_cell_that_raises_stops_the_build(small_book):
    build = small_book([*GOOD_CELLS, "raise ValueError('planted fault')"])
    assert build.returncode != 0
    assert "planted fault" in build.stdout


def test_a_warning_printed_by_a_cell_stops_the_build(small_book):
    build = small_book([*GOOD_CELLS, "import warnings; warnings.warn('planted fault')"])
    assert build.returncode != 0


def test_a_figure_without_a_description_stops_the_build(small_book):
    drawing = "plt.plot([1, 2]);"
    assert small_book([*GOOD_CELLS, drawing]).returncode != 0
    described = {"mystnb": {"image": {"alt": "A rising line"}}}
    build = small_book([*GOOD_CELLS, (drawing, described)])
    assert build.returncode == 0, build.stdout


def test_a_broken_link_stops_every_build_not_only_the_first(small_book):
    broken = "# A small book\n\nSee [nothing](nowhere.md).\n"
    first, second = small_book(GOOD_CELLS, broken), small_book(GOOD_CELLS, broken)
    assert first.returncode != 0
    assert second.returncode != 0


def test_a_changed_style_sheet_reaches_the_pages(small_book, tmp_path):
    assert small_book(GOOD_CELLS).returncode == 0
    with (tmp_path / "book" / "_static" / "book.css").open("a") as sheet:
        sheet.write(".changed { color: red; }")
    assert small_book(GOOD_CELLS).returncode == 0
    assert ".changed" in (tmp_path / "book" / "_build" / "html" / "_static" / "book.css").read_text(encoding="utf-8")


def test_an_error_in_a_drawing_function_stops_the_build_and_names_the_settings(small_book):
    drawing = """
from rnnlab.widgets import explore, slider

@explore(length=slider([1, 2, 3]), alt=["A line of some length"])
def faulty(ax, length):
    ax.plot([1, 2][: 3 - length], [1, 2][: 3 - length])
    return f"{1 / (length - 3):.1f}"
faulty
"""
    build = small_book([*GOOD_CELLS, drawing])
    assert build.returncode != 0
    assert "length=3" in build.stdout
    assert "ZeroDivisionError" in build.stdout

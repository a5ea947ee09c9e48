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


def make_small_book(folder: Path, lessons: dict, intro: str = "# A small book\n\nText.\n"):
    """Write a book of one page and some lessons with this project's own configuration into a folder."""
    shutil.copy(ROOT / "_config.yml", folder)
    for part in ("book/_ext", "book/_static", "rnnlab", "tools"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "book" / "references.bib", folder / "book")
    chapters = "".join(f"  - file: notebooks/{name}\n" for name in lessons)
    (folder / "_toc.yml").write_text(f"format: jb-book\nroot: book/intro\nchapters:\n{chapters}")
    (folder / "book" / "intro.md").write_text(intro, encoding="utf-8")
    (folder / "notebooks").mkdir()
    for name, cells in lessons.items():
        (folder / "notebooks" / f"{name}.ipynb").write_text(notebook(cells), encoding="utf-8")


@pytest.fixture(scope="module")
def sound_book(tmp_path_factory, build_book):
    """The folder of a small book without a fault, and its first build."""
    folder = tmp_path_factory.mktemp("sound")
    described = {"mystnb": {"image": {"alt": "A rising line"}}}
    make_small_book(folder, {"01_sound": [*GOOD_CELLS, ("plt.plot([1, 2]);", described)]})
    return folder, build_book(folder)


def test_a_sound_small_book_builds(sound_book):
    _, build = sound_book
    assert build.returncode == 0, build.stdout


def test_a_changed_style_sheet_reaches_the_pages(sound_book, build_book):
    folder, _ = sound_book
    with (folder / "book" / "_static" / "book.css").open("a") as sheet:
        sheet.write(".changed { color: red; }")
    assert build_book(folder).returncode == 0
    assert ".changed" in (folder / "book" / "_build" / "html" / "_static" / "book.css").read_text(encoding="utf-8")


DRAWING = """
from rnnlab.widgets import explore, slider

@explore(length=slider([1, 2, 3]), alt=["A line of some length"])
def faulty(ax, length):
    ax.plot([1, 2][: 3 - length], [1, 2][: 3 - length])
    return f"{1 / (length - 3):.1f}"
faulty
"""
FAULTS = {
    "01_raises": [*GOOD_CELLS, "raise ValueError('planted fault')"],
    "02_warns": [*GOOD_CELLS, "import warnings; warnings.warn('planted warning')"],
    "03_silent": [*GOOD_CELLS, "plt.plot([1, 2]);"],
    "04_drawing": [*GOOD_CELLS, DRAWING],
    "05_sound": [*GOOD_CELLS, "'still here'"],
}


@pytest.fixture(scope="module")
def faulty_books(tmp_path_factory, build_book):
    """A small book with one fault on each page but the last, built twice as in CI and then as for a reader."""
    folder = tmp_path_factory.mktemp("faulty")
    make_small_book(folder, FAULTS, "# A small book\n\nSee [nothing](nowhere.md).\n")
    return [build_book(folder), build_book(folder), build_book(folder, strict=False)], folder / "book/_build/html"


def warnings_about(page: str, build) -> list:
    """Return the lines with which a build warned about a page."""
    return [line for line in build.stdout.splitlines() if page in line and "WARNING" in line]


@pytest.mark.parametrize("which", [0, 1], ids=["first build", "second build"])
@pytest.mark.parametrize("page", ["book/intro", "01_raises", "02_warns", "03_silent", "04_drawing"])
def test_each_fault_is_a_warning_which_stops_every_strict_build(faulty_books, page, which):
    build = faulty_books[0][which]
    assert build.returncode != 0 and warnings_about(page, build), build.stdout[-3000:]


def test_no_fault_no_warning(faulty_books):
    assert not warnings_about("05_sound", faulty_books[0][0])


def test_a_build_shows_the_error_of_a_cell(faulty_books):
    assert "planted fault" in faulty_books[0][0].stdout


def test_an_error_in_a_drawing_function_names_the_settings(faulty_books):
    assert "length=3" in faulty_books[0][0].stdout and "ZeroDivisionError" in faulty_books[0][0].stdout


def test_a_reader_gets_every_page_and_on_a_failed_one_a_notice_with_the_error(faulty_books):
    builds, site = faulty_books
    assert builds[2].returncode == 0, builds[2].stdout
    pages = {name: (site / "notebooks" / f"{name}.html").read_text(encoding="utf-8") for name in FAULTS}
    noticed = {name for name, page in pages.items() if "a cell of the lesson failed" in page}
    assert noticed == {"01_raises", "04_drawing"}
    assert "planted fault" in pages["01_raises"] and "<details>" in pages["01_raises"]
    assert "UserWarning" not in pages["02_warns"] and "still here" in pages["05_sound"]

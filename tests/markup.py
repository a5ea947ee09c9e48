"""What kinds of elements the built pages hold, and a few pages on which every kind occurs."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
WRITTEN = [TOC["root"], *(chapter["file"] for chapter in TOC["chapters"])]
LESSONS = [page for page in WRITTEN if page.startswith("notebooks/")]
PAGES = [*WRITTEN, "search", "genindex", "_modules/rnnlab/cells"]

TAG = re.compile(r"<([a-z][\w-]*)((?:\s[^<>]*)?)>")
ATTRIBUTE = re.compile(r'([\w:-]+)(?:="([^"]*)")?')
UNSEEN = re.compile(r"<(script|style|head)\b.*?</\1>|<!--.*?-->", re.DOTALL)
PICTURE = re.compile(r"<svg\b[^>]*>.*?</svg>", re.DOTALL)
# Attributes that decide what something is to those who hear a page or use it by keyboard, apart from their text.
TELLING = ("role", "type", "tabindex", "hidden", "alt", "href", "title", "scope", "colspan", "rowspan", "lang", "for")


def without_drawing(picture: re.Match) -> str:
    """Return the tags of a picture that are named or hold text; its lines have no kinds."""
    inner = "<text>" if "<text" in picture[0] else ""
    return picture[0][: picture[0].index(">") + 1] + inner


def classes(attributes: dict) -> list:
    """Return the classes of an element but those that only repeat a notebook's tags: what they hide has its own."""
    return sorted(name for name in attributes.get("class", "").split() if not name.startswith("tag_"))


def kinds(html: str) -> set:
    """Return the kinds of elements of a page: tag, classes, and the names or values of what else is telling."""
    found = set()
    for tag, rest in set(TAG.findall(PICTURE.sub(without_drawing, UNSEEN.sub("", html)))):
        attributes = dict(ATTRIBUTE.findall(rest))
        told = {name for name in attributes if name in TELLING or name.startswith("aria-")}
        values = {name: attributes[name] for name in ("role", "type") if name in attributes}
        found.add((tag, *classes(attributes), *sorted(told), *values.values()))
    return found


def kinds_by_page(folder: Path) -> dict:
    """Return the kinds of elements of each page of a built book, by the page's name."""
    return {page: kinds((folder / f"{page}.html").read_text(encoding="utf-8")) for page in PAGES}


def cover(kinds_of: dict, cost: dict) -> list:
    """Return pages on which every kind occurs, those first that show the most new kinds for their cost.

    Args:
        kinds_of: dict page -> its kinds.
        cost: dict page -> what it costs to look at, such as its number of tags.
    """
    left, chosen = set().union(*kinds_of.values()), []
    while left:
        chosen.append(max(kinds_of, key=lambda page: len(kinds_of[page] & left) / cost[page]))
        left -= kinds_of[chosen[-1]]
    # A later page may hold all that an earlier one was chosen for.
    for page in list(chosen):
        others = [kinds_of[other] for other in chosen if other != page]
        if others and kinds_of[page] <= set().union(*others):
            chosen.remove(page)
    return chosen

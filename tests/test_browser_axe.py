"""The built book is accessible: axe on pages that hold every kind of element, and in `make test-all` on every page."""

import functools

import pytest

pytest.importorskip("playwright", reason="no browser: Playwright is not installed")

import markup  # noqa: E402
from accessibility import violations  # noqa: E402
from markup import LESSONS, PAGES, TOC  # noqa: E402
from tiers import every  # noqa: E402
from visits import OPEN_ALL  # noqa: E402

VIEWS = [(1280, "light"), (375, "dark"), (375, "light"), (1280, "dark")]
NAMED = "{0[0]}-{0[1]}".format


END_ANIMATIONS = """document.getAnimations().forEach(one =>
    Number.isFinite(one.effect.getComputedTiming().endTime) ? one.finish() : one.cancel())"""


PLANT = "markup => document.querySelector('article, main').insertAdjacentHTML('beforeend', markup)"


def shown(tab, address, theme):
    """Open a page with everything unfolded, when its colours have come to rest, and return it."""
    page = tab.open(address).page
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    page.evaluate(OPEN_ALL)
    # A colour on its way from one theme to the other is none that a reader meets.
    page.evaluate(END_ANIMATIONS)
    return page


@pytest.fixture(scope="session")
def judged(tab, server, chosen):
    """A function that returns what axe finds on each chosen page in a view: as it is, and with a nameless slider."""

    @functools.cache
    def judge(view):
        (width, theme), found = view, {}
        # Each width and each theme is seen on all of them, and the other two ways to pair them on a few.
        for name in chosen if view in VIEWS[:2] else chosen[:3]:
            page = shown(tab(width, theme), f"{server}/{name}.html", theme)
            as_it_is = violations(page)
            page.evaluate(PLANT, FAULTS["label"])
            found[name] = as_it_is, violations(page, {"runOnly": ["label"]})
        return found

    return judge


@pytest.mark.parametrize("view", VIEWS, ids=NAMED)
def test_every_kind_of_element_is_accessible(judged, view):
    assert {name: faults for name, (faults, _) in judged(view).items() if faults} == {}


@pytest.mark.parametrize("view", VIEWS, ids=NAMED)
def test_a_planted_violation_is_found_on_each_chosen_page(judged, view):
    for name, (_, planted) in judged(view).items():
        assert [one[0] for one in planted] == ["label"], name


@pytest.mark.full("every page in every view: axe looks at pages on which every kind of element occurs")
@pytest.mark.parametrize("view", VIEWS, ids=NAMED)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible(tab, server, name, view):
    width, theme = view
    page = shown(tab(width, theme), f"{server}/{name}.html", theme)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# ---------------------------------------------------------------- the choice of pages


def test_the_chosen_pages_hold_every_kind_of_element(built_book, chosen):
    kinds = markup.kinds_by_page(built_book)
    assert set().union(*kinds.values()) == set().union(*(kinds[page] for page in chosen))
    assert len(set().union(*kinds.values())) > 100  # fewer: the tags were not read
    assert len(chosen) < len(PAGES) / 2
    for page in chosen:
        others = set().union(*(kinds[other] for other in chosen if other != page))
        assert kinds[page] - others, f"{page} shows nothing that the others do not"


def test_a_new_kind_of_element_brings_its_page_in(built_book, chosen):
    kinds, size = markup.kinds_by_page(built_book), {page: 1 for page in PAGES}
    for page in LESSONS:
        new = kinds | {page: kinds[page] | markup.kinds('<p class="new" role="note">text</p>')}
        assert page in markup.cover(new, size)


@pytest.mark.parametrize(
    "one, other",
    [
        ("<p>", "<p class='a'>".replace("'", '"')),
        ('<input type="range">', '<input type="range" aria-label="rate">'),
        ('<div role="list">', '<div role="group">'),
        ('<img src="x" alt="y">', '<img src="x">'),
        ('<svg role="img"><path d="M0 0"/></svg>', '<svg role="img"><text>1</text></svg>'),
    ],
)
def test_elements_of_different_kinds_are_told_apart(one, other):
    assert markup.kinds(one) != markup.kinds(other)
    assert markup.kinds(one) == markup.kinds(one * 2)


# ---------------------------------------------------------------- planted faults

FAULTS = {
    "label": '<input type="range">',
    "image-alt": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
    "color-contrast": '<p style="color: #999; background: #aaa">pale</p>',
    "link-name": '<a href="#main-content"></a>',
    "svg-img-alt": '<svg role="img" width="9" height="9"><path d="M0 0L9 9"/></svg>',
    "aria-valid-attr": '<p aria-labell="x">text</p>',
}


@pytest.mark.parametrize("rule", FAULTS)
def test_the_checker_finds_a_planted_violation(tab, server, rule):
    page = shown(tab(), f"{server}/{TOC['root']}.html", "light")
    page.evaluate(PLANT, FAULTS[rule])
    assert [one[0] for one in violations(page)] == [rule]


SHORT = "book/how_to_use"
# One pale piece of text among many that look alike otherwise.
PALE = """() => [...document.querySelectorAll("article p, article .highlight span, article figcaption, article li")]
    .filter(part => part.checkVisibility() && part.textContent.trim() && !part.children.length)
    .map((part, n) => [part, n]).filter(([, n]) => n % 5 === 3)
    .map(([part, n]) => (part.style.color = n % 2 ? "#8a8a8a" : "#909090")).length"""
CONTRAST = {"runOnly": ["color-contrast"]}


@pytest.mark.parametrize("name", every([SHORT, *LESSONS[10:12]], [SHORT], "pale text planted in lessons"))
def test_text_that_looks_alike_is_judged_by_one_piece_of_it(tab, server, name):
    page = shown(tab(), f"{server}/{name}.html", "light")
    assert violations(page, CONTRAST) == violations(page, CONTRAST, everything=True) == []
    assert page.evaluate(PALE) > 2
    assert [one[:3] for one in violations(page, CONTRAST)] == [
        one[:3] for one in violations(page, CONTRAST, everything=True)
    ]
    assert violations(page, CONTRAST)


@pytest.mark.parametrize(
    "ground", ["opacity: .4", "background: #777", "font-size: 9px; color: #7b7b7b", "filter: none; color: #999"]
)
def test_text_on_other_grounds_does_not_look_alike(tab, server, ground):
    page = shown(tab(), f"{server}/{TOC['root']}.html", "light")
    page.evaluate(
        "style => [...document.querySelectorAll('article p')].at(-1).insertAdjacentHTML('afterend',"
        " `<div style='${style}'><p>a paragraph like any other</p></div>`)",
        ground,
    )
    assert [one[0] for one in violations(page, CONTRAST)] == ["color-contrast"]

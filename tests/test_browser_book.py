"""The built book in a real browser: formulas, weight, phones, predictions, explorables; no network, no errors."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("playwright", reason="no browser: Playwright is not installed")

import visits  # noqa: E402
from markup import LESSONS, PAGES, TOC, WRITTEN  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SHARED_WEIGHT = 4_000_000


def outside(requests: list, *own: str) -> list:
    """Return the requests that left for another host (`data:` and `blob:` never do)."""
    return [
        address
        for address in requests
        if urlsplit(address).scheme not in ("data", "blob", "about") and not address.startswith(own)
    ]


# ---------------------------------------------------------------- every page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stays_at_home_and_raises_nothing(look, server, name):
    seen = look(name)
    assert f"{server}/{name}.html" in seen.requests
    assert outside(seen.requests, server) == []
    assert seen.errors == []


def assert_works_from_disk(seen):
    """Check that a page opened from disk asks nobody for anything, raises nothing and has its formulas."""
    assert outside(seen.requests, "file:///") == [], seen.name
    assert seen.errors == [], seen.name
    assert seen.raw == [], seen.name
    assert seen.typeset == seen.formulas, seen.name


def test_pages_with_every_kind_of_element_work_from_disk(look_from_disk, chosen):
    for name in WRITTEN:
        if name in chosen:
            assert_works_from_disk(look_from_disk(name))


@pytest.mark.full("every page from disk and without JavaScript: pages with every kind of element are tried so")
@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_works_from_disk(look_from_disk, name):
    assert_works_from_disk(look_from_disk(name))


@pytest.mark.parametrize("name", WRITTEN)
def test_formulas_are_typeset(look, name):
    seen = look(name)
    assert seen.typeset == seen.formulas
    assert seen.raw == []
    assert seen.faulty == 0


def weight(requests, server, folder) -> int:
    """Return how many bytes a page loads beside itself and its own images; the test server compresses nothing."""
    own = {address for address in requests if address.startswith(server)}
    shared = {address for address in own if not address.endswith(".html") and "/_images/" not in address}
    return sum((folder / unquote(urlsplit(address).path).lstrip("/")).stat().st_size for address in shared)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_loads_little(look, server, built_book, name):
    shared = weight(look(name).requests, server, built_book)
    assert 500_000 < shared < SHARED_WEIGHT  # below, nothing was counted: the theme alone weighs more


def test_the_weight_of_a_page_is_what_a_new_reader_is_sent(watch, server, built_book):
    seen, finished = watch(), []
    seen.page.on("requestfinished", lambda request: finished.append(request))
    seen.open(f"{server}/{LESSONS[0]}.html")
    sent = {one.url: one.sizes()["responseBodySize"] for one in finished if one.url.startswith(server)}
    shared = sum(size for url, size in sent.items() if not url.endswith(".html") and "/_images/" not in url)
    assert shared == weight(seen.requests, server, built_book)


@pytest.mark.parametrize("name", PAGES)
def test_no_page_scrolls_sideways_on_a_phone(look, name):
    assert 0 < look(name).phone_width <= visits.PHONE["width"]


def assert_readable(seen):
    """Check what a page shows without scripts: its heading, no dead fields, each figure in its first state."""
    assert seen["heading"]
    assert seen["fields"] == 0
    for figure in seen["figures"]:
        assert figure["paths"] > 0
        assert figure["sentence"]
        assert not figure["controls"]


def test_pages_with_every_kind_of_element_can_be_read_without_javascript(look_without_scripts, chosen):
    for name in WRITTEN:
        if name in chosen:
            assert_readable(look_without_scripts(name))


@pytest.mark.full("every page from disk and without JavaScript: pages with every kind of element are tried so")
@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_can_be_read_without_javascript(look_without_scripts, name):
    assert_readable(look_without_scripts(name))


def test_a_raw_formula_is_found(watch, server):
    page = watch().open(f"{server}/{TOC['root']}.html").page
    page.evaluate(r"document.querySelector('article').append('so \\(x\\) and $y^2$, for $5')")
    assert page.evaluate(visits.RAW_FORMULAS) == ["\\(", "\\)", "$y^2$"]


def test_a_planted_request_and_error_are_seen(watch, server):
    seen = watch().open(f"{server}/{TOC['root']}.html")
    with seen.page.expect_event("requestfailed"), seen.page.expect_event("pageerror"):
        seen.page.evaluate("new Image().src = 'http://outside.invalid/x.png'")
        seen.page.evaluate("setTimeout(() => { throw new Error('planted') })")
    assert outside(seen.requests, server) == ["http://outside.invalid/x.png"]
    assert any("planted" in error for error in seen.errors)


def test_a_page_too_wide_for_a_phone_is_found(watch, server):
    page = watch().open(f"{server}/{TOC['root']}.html").page
    folded = "<details><summary>more</summary><p style='width: 500px'>wide</p></details>"
    page.evaluate(f'document.querySelector("article").insertAdjacentHTML("beforeend", "{folded}")')
    assert visits.phone_width(page) > visits.PHONE["width"]


# ---------------------------------------------------------------- predictions


@pytest.fixture(params=["http", "file"])
def how_to_use(request, built_book, server) -> str:
    """The address of the page that has a prediction to try, served and from disk."""
    name = "book/how_to_use.html"
    return f"{server}/{name}" if request.param == "http" else (built_book / name).as_uri()


def test_a_prediction_is_kept_in_this_browser(watch, how_to_use):
    seen = watch().open(how_to_use)
    seen.page.get_by_label("Your prediction").fill("about seven")
    seen.open(how_to_use)
    assert seen.page.get_by_label("Your prediction").input_value() == "about seven"


def test_a_prediction_is_sent_nowhere(watch, how_to_use):
    seen = watch().open(how_to_use)
    seen.requests.clear()
    seen.page.get_by_label("Your prediction").press_sequentially("about seven")
    seen.page.wait_for_function("() => Object.values(localStorage).includes('about seven')")
    seen.settle()  # whatever the last letter set off has begun
    assert seen.requests == []
    assert "never sent anywhere" in seen.page.locator(".predict").inner_text()


def test_predictions_work_where_the_browser_refuses_storage(watch, server):
    seen = watch().open(f"{server}/book/how_to_use.html")
    seen.page.evaluate("() => { Storage.prototype.setItem = () => { throw new DOMException('refused'); }; }")
    seen.page.get_by_label("Your prediction").fill("about seven")
    assert seen.page.get_by_label("Your prediction").input_value() == "about seven"
    assert seen.errors == []

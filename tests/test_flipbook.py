"""The published flipbook, state by state, against full Matplotlib drawings; its budgets and errors."""

import base64
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import tiers
from drawings import all_at_once, leaves
from rnnlab import flipbook, svg
from rnnlab.flipbook import Flipbook
from rnnlab.stage import ExploreError
from rnnlab.widgets import explore, slider

NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def nasty(axes, phase, kind):
    """Draw what trips a quick drawer: ticks, titles and legends that change, artists that come and go, rasters."""
    x = np.linspace(0, 6, 40)
    left, right = axes
    left.plot(x, np.sin(x + phase), label=kind)
    left.set(xlim=(0, 6 + phase), ylim=(-1.2, 1.2), xlabel=r"time $t$", ylabel=r"$\lambda^k$ & <more>")
    left.set_title(f"phase {phase}")
    if phase % 2:
        left.fill_between(x, -1, np.sin(x), alpha=0.3)
        left.axvspan(1, 2, color="C2", alpha=0.2)
        left.annotate("here", (3, 0), (4, 0.5), arrowprops={"arrowstyle": "->"})
        left.legend()
    if kind == "filled":
        right.contourf(np.outer(x, np.sin(x + phase)), levels=5)
    else:
        right.imshow(np.outer(x, x + phase) % 3, aspect="auto")
    right.scatter(x * 6, x * 6, c=x, s=5 + phase)
    right.quiver([10], [10], [phase + 1], [3])
    right.bar([5, 9], [3, 4 + phase], color=["C1", "C3"])
    return f"Phase {phase}, {kind}, 1 < 2 & so on."


SLIDERS = {"phase": [0, 1, 2, 3], "kind": ["filled", "raster"]}


def make_book(fn=nasty, panels=2, name="nasty", **values):
    sliders = {key: slider(given) for key, given in (values or SLIDERS).items()}
    for key, s in sliders.items():
        s.label = s.label or key
    return Flipbook(fn, sliders, panels, (4, 3), ["left", "right"][:panels], name)


def unpacked(book):
    """Return the slots of a published flipbook as the page gets them: kind, pool, and the look of every state."""
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', book.html(), re.S).group(1))
    return json.loads(zlib.decompress(base64.b64decode(data["slots"])))


def play(book, state):
    """Swap the looks of all slots in the still picture, as the page does. Return what is seen, and the sentence."""
    still, said = ElementTree.fromstring(book.still.replace("data-varies", 'data-varies=""')), None
    for n, (kind, pool, index) in enumerate(unpacked(book)):
        look = pool[index[state]]
        slot = still.find(f".//*[@data-slot='{n}']")
        if kind == "say":
            said = look
        elif kind == "path":
            slot.find(".//*[@data-varies]").set("d", look)
        elif kind == "text":
            slot.find(".//*[@data-varies]").text = look
        else:
            slot[:] = ElementTree.fromstring(f"<g {NAMESPACES}>{look}</g>")
    return leaves(ElementTree.tostring(still, "unicode")), said


def test_every_published_state_is_what_savefig_draws():
    book = make_book()
    for number, state in enumerate(book.states):
        picture, said = play(book, number)
        assert picture == all_at_once(book.stage, state)
        assert said == f"Phase {state['phase']}, {state['kind']}, 1 < 2 & so on."
    assert {kind for kind, _, _ in unpacked(book)} == {"fragment", "path", "text", "say"}


def test_the_page_shows_the_default_state_before_any_script_runs():
    book = make_book()
    assert leaves(book.still.replace("data-varies", 'data-varies=""')) == play(book, book.default)[0]
    assert book.states[book.default] == {"phase": 2, "kind": "raster"}


@pytest.mark.parametrize("odd", tiers.every([0, 37, 58], first=[37], why="a state in the middle is the odd one"))
def test_a_rare_state_that_leaves_something_behind_is_found(odd):
    """The quick way does not undo an inverted axis. Where it matters, the sure way must be taken."""

    def draw(ax, n):
        if n == odd:
            ax.invert_yaxis()
        ax.plot([0, n])
        ax.set_xlim(0, 1)
        return f"{n}"

    book = make_book(draw, 1, "inverted", n=range(60))
    assert not book.stage.keep
    for number in (0, 36, 37, 38, 59):
        assert play(book, number)[0] == all_at_once(book.stage, {"n": number})


def test_the_quick_way_is_taken_where_it_is_right():
    assert make_book(lambda ax, n: ax.plot([0, n]) and "A line.", 1, "plain", n=[1, 2, 3]).stage.keep


def test_the_same_states_give_the_same_bytes_in_another_process():
    code = "from test_flipbook import make_book; print(make_book().html())"
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": seed},
            capture_output=True, text=True,
        )
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout == runs[1].stdout != ""


def test_too_many_states_name_the_longest_slider():
    with pytest.raises(ExploreError, match=r"at most 4000 states, got 5000 \(n\) x 2 \(m\) = 10000: give 'n' fewer"):
        make_book(lambda ax, n, m: "no", 1, "large", n=list(range(5000)), m=[1, 2])


def test_too_heavy_a_page_is_an_error(monkeypatch):
    monkeypatch.setattr(flipbook, "MAX_KILOBYTES", 5)
    with pytest.raises(ExploreError, match="expected nasty to weigh at most 5 kB in the page, got .* for 8 states"):
        make_book().html()


def test_an_error_names_the_explorable_and_the_settings():
    def broken(ax, n, kind):
        ax.plot([1 / (n - 2)])
        return "fine"

    with pytest.raises(ExploreError, match="'broken' failed at n=2, kind='b': ZeroDivisionError") as caught:
        make_book(broken, 1, "broken", n=[1, 2], kind=["a", "b"])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("said", [None, "", "  ", 3])
def test_every_state_needs_a_sentence(said):
    with pytest.raises(ExploreError, match="expected 'silent' to return a sentence at n=2, got"):
        make_book(lambda ax, n: said, 1, "silent", n=[1, 2])


def test_text_is_escaped_and_nothing_is_asked_from_elsewhere():
    @explore(n=slider([1, 2], label="<i>n</i>"), alt=['say "a" & <b>'])
    def drawing(ax, n):
        return f"</script><b>{n}</b>"

    page = drawing.html()
    assert "<b>" not in page and "<i>" not in re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert page.count("</script>") == 2  # the sentence does not end one
    assert 'aria-label="say &quot;a&quot; &amp; &lt;b&gt;"' in page
    assert not re.findall(r'(?:src|href)="(?!#)', page) and "@import" not in page
    assert set(re.findall(r"https?://[^\"' ]+", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_colours_and_fonts_belong_to_the_page():
    @explore(alt=["a"])
    def still(ax):
        ax.plot([1, 2])
        ax.plot([2, 1], color="C1")
        ax.set_xlabel("label")
        return "Still."

    sheet, picture = still.html().split("</style>")
    light, dark = (
        re.findall(r"--rl-(?:c0|paper): (#\w+)", sheet)[:2],
        re.findall(r"--rl-(?:c0|paper): (#\w+)", sheet)[2:],
    )
    assert light[0] == svg.SERIES[0] and len(dark) == 2 and not set(light) & set(dark)
    assert "var(--rl-c0," in picture and "var(--rl-c1," in picture and "currentColor" in picture
    assert "font-family" not in picture and "#000000" not in picture and svg.INK not in picture


def test_a_still_figure_has_no_script():
    @explore(alt=["a"])
    def still(ax):
        ax.plot([1, 2])
        return "Still."

    assert "<script" not in still.html() and "noscript" not in still.html()


def in_one_state(setting):
    """Return a function that uses a setting at n=1 only, so that it would show where it leaked into later states."""

    def draw(ax, n):
        ax.plot([0, n, 1], [0, 1, n])
        if n == 1:
            setting(ax)
        return f"At {n}."

    return draw


@pytest.mark.parametrize(
    "setting",
    [
        lambda ax: ax.set_aspect("equal"),
        lambda ax: ax.yaxis.tick_right(),
        lambda ax: ax.xaxis.tick_top(),
        lambda ax: ax.set_yscale("log"),
        lambda ax: ax.clabel(ax.contour([[1, 2], [3, 5]])),
    ],
    ids=["aspect", "ticks right", "ticks above", "logarithmic", "labelled contours"],
)
def test_what_one_state_sets_does_not_reach_another(setting):
    draw = in_one_state(setting)
    book = make_book(draw, 1, "one_state", n=[1, 2, 3])
    for number, state in [(1, {"n": 2}), (2, {"n": 3})]:
        assert play(book, number)[0] == all_at_once(book.stage, state), state


def test_a_part_cannot_lie_above_and_below():
    def draw(ax, n):
        ax.plot([0, 1], zorder=n)
        ax.axvspan(0, 1, zorder=3 - n)
        return "Crossed."

    with pytest.raises(ExploreError, match="expected crossed to paint in one order in all states"):
        make_book(draw, 1, "crossed", n=[1, 2])


def test_black_follows_the_theme_and_text_is_left_alone():
    @explore(alt=["a"])
    def still(ax):
        ax.plot([1, 2], color="black")
        ax.bar([1], [2], color="k")
        ax.text(0, 1, "colour #0072b2")
        return "Still."

    picture = still.html()
    assert "stroke: #000000" not in picture and "colour #0072b2" in picture
    assert 'fill="currentColor" xmlns' in picture  # Matplotlib leaves the black of a filled shape to the default


def test_a_label_cannot_open_a_comment_in_the_script():
    @explore(n=slider([1, 2], label="<!-- <script>"), alt=["a"])
    def drawing(ax, n):
        return "Fine."

    data = re.search(r'<script type="application/json">(.*?)</script>', drawing.html(), re.S).group(1)
    assert "<" not in data and json.loads(data)["controls"][0]["label"] == "<!-- <script>"

"""The flipbook against full Matplotlib drawings, and its errors."""

import base64
import html
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from rnnlab import flipbook, stage
from rnnlab.flipbook import Flipbook, assemble
from rnnlab.stage import ExploreError, Stage, draw_state
from rnnlab.widgets import explore, slider


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


def looks(book):
    """Unpack a published flipbook and return each state's parts as the page would show them."""
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', book.html(), re.S).group(1))
    slots = json.loads(zlib.decompress(base64.b64decode(data["slots"])))
    return [[(kind, pool[index[state]]) for kind, pool, index in slots] for state in range(len(book.states))]


def test_every_published_state_is_what_a_fresh_figure_draws():
    """Play the player: swap the looks of every slot in the still picture and compare with a drawing from nothing."""
    book = make_book()
    for state, parts in zip(book.states, looks(book), strict=True):
        fresh = Stage(nasty, 2, (4, 3), keep=False)
        draw_state(fresh, book.states[book.default], "nasty")  # the default decides where the axes stand
        drawn, sentence = draw_state(fresh, state, "nasty")
        assert parts[-1] == ("say", sentence)
        pieces = {piece for _, piece in drawn}
        for kind, look in parts[:-1]:
            if kind == "fragment":
                assert look == "" or look in pieces
            else:
                assert any((f' d="{look}"' if kind == "path" else look) in piece for piece in pieces)


def test_nothing_of_a_state_is_missing():
    """The parts that never change and the looks of a state together are all that the state's drawing has."""
    book = make_book()
    never_changing = book.still
    for state, parts in zip(book.states, looks(book), strict=True):
        fresh = Stage(nasty, 2, (4, 3), keep=False)
        draw_state(fresh, book.states[book.default], "nasty")
        shown = {look for _, look in parts}
        for _, piece in draw_state(fresh, state, "nasty")[0]:
            varying = [path or html.unescape(text) for path, text in re.findall(r' d="([^"]*)"|>([^<]+)<', piece)]
            assert piece in shown or piece in never_changing or any(look in shown for look in varying)


def path_data(svg):
    """Return all coordinates of all paths, absolute and rounded, in order of painting."""
    out = []
    for d in re.findall(r' d="([^"]+)"', svg):
        numbers = np.array(re.findall(r"-?\d*\.?\d+(?:e-?\d+)?", d), dtype=float)
        if re.fullmatch(r"M[^a-zA-Z]*l[^a-zA-Z]*", d):
            numbers = np.cumsum(numbers.reshape(-1, 2), axis=0).ravel()
        out.append(numbers)
    return out


@pytest.mark.parametrize("phase", [0, 3])
def test_a_state_has_the_lines_of_a_full_savefig(phase, tmp_path):
    """An oracle outside the engine: the polyline in the file that Matplotlib itself saves."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def draw(ax, phase):
        ax.plot(np.linspace(0, 6, 40), np.sin(np.linspace(0, 6, 40) + phase))
        ax.set(xlim=(0, 6), ylim=(-1.2, 1.2), xlabel="t", ylabel="y")
        return "A wave."

    quick = Stage(draw, 1, (4, 3))
    for warm in (1, phase):
        parts, _ = quick.draw({"phase": warm})
    ours = max(path_data(assemble(parts, quick, ["a"], "wave")), key=len)
    with matplotlib.rc_context(stage.PAGE_STYLE):
        figure = Figure(figsize=(4, 3), dpi=72, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        draw(axes, phase)
        figure.set_layout_engine("none")  # the layout depends on the canvas: text is measured differently
        axes.set_position(quick.axes[0].get_position())
        figure.savefig(tmp_path / "full.svg")
    theirs = max(path_data((tmp_path / "full.svg").read_text()), key=len)
    np.testing.assert_allclose(ours, theirs, atol=0.3)  # pixels; ours are rounded to a tenth


def test_a_fault_of_the_quick_way_is_found_and_repaired():
    """Something the quick reset does not undo: a tick label set by hand. The sure way must be taken, and is right."""

    def draw(ax, n):
        if n == 2:
            ax.invert_yaxis()
        ax.plot([0, n])
        return f"{n}"

    def book():
        return make_book(draw, 1, "inverted", n=[1, 2, 3])

    assert not book().stage.keep
    rows = looks(book())
    assert rows == [rows[0], rows[1], rows[2]] and len({json.dumps(row) for row in rows}) == 3


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

    picture = still.html().split("</style>")[1]
    assert "var(--rl-c0," in picture and "var(--rl-c1," in picture and "currentColor" in picture
    assert "font-family" not in picture and "#000000" not in picture and stage.INK not in picture


def test_a_still_figure_has_no_script():
    @explore(alt=["a"])
    def still(ax):
        ax.plot([1, 2])
        return "Still."

    assert "<script" not in still.html() and "noscript" not in still.html()

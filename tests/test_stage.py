"""States drawn part by part against full drawings by Matplotlib."""

import re

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter

from drawings import all_at_once, leaves, part_by_part, stage_at
from rnnlab.stage import Stage, draw_state, png
from rnnlab.svg import tidy

X = np.linspace(0, 6, 40)


def lines(ax, n):
    ax.plot(X, np.sin(X + n), label=f"{n}")
    ax.plot(X[::8], np.cos(X[::8]), "o--", color="C3", markersize=3 + n)
    ax.fill_between(X, -1, np.sin(X), alpha=0.3)
    ax.axvspan(1, 2, color="C2", alpha=0.2)
    ax.set(xlim=(0, 6 + n), ylim=(-1.2, 1.2), xlabel=r"time $t$", ylabel=r"$\lambda^k$ & <more>", title=f"n = {n}")


def come_and_go(ax, n):
    ax.plot([0, n])
    if n % 2:
        ax.legend(["a"])
        ax.annotate("here", (0.5, 0.5), (0.8, 0.7), arrowprops={"arrowstyle": "->"})
        ax.text(0.1, 0.2, "turned", rotation=30)


def rasters(ax, n):
    ax.imshow(np.outer(X, X + n) % 3, aspect="auto", alpha=0.5)
    ax.contourf(np.outer(X, np.sin(X + n)), levels=5)


def raster_of_few_cells(ax, n):
    ax.imshow(np.eye(4) ** n - n * np.eye(4)[::-1], interpolation="none")  # its transform is a matrix of small numbers


def swarm(ax, n):
    ax.scatter(X, X, c=X, s=5 + n)
    ax.quiver([3], [3], [n + 1], [3])
    ax.bar([1, 3], [3, 4 + n], color=["C1", "C3"])


def containers(ax, n):
    ax.bar([0, 1], [n, 2], label=f"bars {n}")
    ax.errorbar([0, 1], [1, n], yerr=0.2, label="with an interval")
    ax.legend()


def colour_bar(ax, n):
    ax.figure.colorbar(ax.imshow(np.eye(5) * n), ax=ax, label="weight")


def twin(ax, n):
    ax.plot([1, n])
    other = ax.twinx()
    other.plot([1, n**2], color="C1")
    other.set_ylabel("other")


def inset(ax, n):
    ax.plot([1, n])
    ax.inset_axes([0.6, 0.6, 0.3, 0.3]).plot([n, 1])


def hatched(ax, n):
    ax.bar([0, 1], [n, 2], hatch="//" if n > 1 else "xx")


def titles_of_the_figure(ax, n):
    ax.plot([1, n])
    ax.figure.suptitle(f"above {n}")
    ax.figure.text(0.5, 0.5, "in the middle")


def formatter(ax, n):
    ax.plot([0, 1])
    ax.yaxis.set_major_formatter(f"{{x:.{n}f}}")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g} of {n}"))


def coloured_ticks(ax, n):
    ax.plot([0, 1])
    ax.set_xticks([0, 0.5, 1], ["a", "b", "c"], rotation=30)
    for i, label in enumerate(ax.get_xticklabels()):
        label.set_color("C1" if i == n else "C0")


def no_axes(ax, n):
    ax.plot([0, n, 1, n])
    ax.plot([1, 2])
    ax.set_axis_off()


def background(ax, n):
    ax.plot([0, n])
    ax.set_facecolor("C4")


def equal_scales(ax, n):
    ax.plot(np.cos(X), n * np.sin(X))
    ax.set_aspect("equal")


def ticks_above(ax, n):
    ax.plot([0, n])
    ax.xaxis.tick_top()
    ax.set_title("over the ticks")


def logarithmic(ax, n):
    ax.semilogy(X, 10.0 ** (n * X))
    ax.set(ylim=(1e-3, 1e30))


def spines_in_the_middle(ax, n):
    ax.plot([-n, n], [-1, 1])
    ax.spines["left"].set_position("zero")


DRAWINGS = [
    lines, come_and_go, rasters, raster_of_few_cells, swarm, containers, colour_bar, twin, inset, hatched,
    titles_of_the_figure, formatter, coloured_ticks, no_axes, background, equal_scales, ticks_above, logarithmic,
    spines_in_the_middle,
]  # fmt: skip


def saying(fn):
    """Return a drawing function that also says a sentence."""

    def drawing(ax, n):
        fn(ax, n)
        return "Said."

    return drawing


@pytest.mark.parametrize("keep", [True, False], ids=["quick", "sure"])
@pytest.mark.parametrize("fn", DRAWINGS, ids=lambda fn: fn.__name__)
def test_a_state_is_what_savefig_draws(fn, keep):
    stage = stage_at(saying(fn), 1, (4, 3), {"n": 1}, keep)
    shown = {n: part_by_part(stage, {"n": n}) for n in (1, 2, 3, 2)}
    for n, parts in shown.items():
        full = all_at_once(stage, {"n": n})
        assert parts == full and len(full) > 1
    assert shown[1] != shown[2] != shown[3]  # a comparison of things that never change would show nothing


def test_the_comparison_sees_colour_place_text_and_order():
    def compared(**changes):
        plain = {"color": "C0", "y": 1.0, "text": "a", "zorder": 2}

        def drawing(ax, n):
            look = plain | changes
            ax.plot([0, look["y"]], color=look["color"], zorder=look["zorder"])
            ax.set(ylim=(0, 3), xlabel=look["text"])
            ax.plot([1, 0])
            return "Said."

        return all_at_once(stage_at(drawing, 1, (4, 3), {"n": 1}), {"n": 1})

    for change in ({"color": "C1"}, {"y": 1.01}, {"text": "b"}, {"zorder": 3}):
        assert compared() != compared(**change)


def test_axes_stay_where_the_default_state_put_them():
    stage = stage_at(saying(colour_bar), 1, (4, 3), {"n": 1})
    at_first = [axes.get_position().bounds for axes in stage.figures[0].axes]
    for n in (2, 3, 4):
        draw_state(stage, {"n": n}, "bar")
        assert [axes.get_position().bounds for axes in stage.figures[0].axes] == at_first


def references(parts):
    return set(re.findall(r"url\(#([^)]+)\)", "".join(picture for _, picture in parts)))


@pytest.mark.parametrize("fn", [hatched, lines, inset])
def test_what_a_part_refers_to_is_defined(fn):
    stage = stage_at(saying(fn), 1, (4, 3), {"n": 1})
    for n in (1, 2):
        parts, _ = draw_state(stage, {"n": n}, "hatched")
        assert references(parts) and references(parts) <= stage.definitions.keys()


def test_two_clips_never_share_a_name():
    def clipped(ax, n):
        triangle = Outline([(0, 0), (n, 0), (0, n)])
        ax.imshow(np.eye(5)).set_clip_path(triangle, ax.transData)
        return "Said."

    stage = stage_at(clipped, 1, (4, 3), {"n": 1})
    names = [references(draw_state(stage, {"n": n}, "clipped")[0]) for n in (1, 2)]
    assert names[0] != names[1] and names[0] | names[1] <= stage.definitions.keys()
    assert len(set(stage.definitions.values())) == len(stage.definitions)


def test_two_explorables_share_no_names():
    def one(ax, n):
        return lines(ax, n) or "Said."

    def two(ax, n):
        return lines(ax, n) or "Said."

    names = [set(stage_at(fn, 1, (4, 3), {"n": 1}).definitions) for fn in (one, two)]
    assert names[0] and not names[0] & names[1]


def test_tidy_keeps_what_it_should():
    scaled = '<image transform="matrix(0.01234 0 0 -0.01234 10.1234 20.5678)" xlink:href="data:x"/>'
    assert "0.01234 0 0 -0.01234" in tidy(scaled)
    assert tidy('<text x="10.1234" y="-0.04" style="font-size: 9px; fill: #010203">1.2345</text>') == (
        '<text x="10.1" y="0" style="font-size: 9px; fill: currentColor">1.2345</text>'
    )
    assert leaves("<svg><defs><path d='M0 0'/></defs><g><path d='M1 1'/></g></svg>") == [("path", {"d": "M1 1"}, "")]


def test_a_picture_for_print():
    image = png(saying(lines), 1, (4, 3), {"n": 1})
    assert image.startswith(b"\x89PNG") and image != png(saying(lines), 1, (4, 3), {"n": 2})


def test_a_stage_leaves_the_settings_of_others_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw_state(Stage(saying(lines), 1, (4, 3)), {"n": 1}, "lines")
    assert dict(matplotlib.rcParams) == before

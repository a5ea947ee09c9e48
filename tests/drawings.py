"""Full drawings by Matplotlib, to compare with what `rnnlab.stage` draws part by part."""

import random
from io import StringIO
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rnnlab.drawings import assemble
from rnnlab.stage import Stage, draw_state
from rnnlab.svg import tidy

HIDDEN = ("id", "clip-path", "data-varies")


def leaves(svg):
    """Return all that is seen in SVG, in order of painting: (element, attributes, text), without groups and ids."""
    found = []

    def walk(element):
        kind = element.tag.rpartition("}")[2]
        if kind in ("defs", "metadata"):
            return
        shown = {name: value for name, value in element.items() if name not in HIDDEN}
        if kind in ("path", "use", "text", "tspan", "image"):
            found.append((kind, shown, (element.text or "").strip()))
        for child in element:
            walk(child)

    walk(ElementTree.fromstring(svg))
    return found


def stage_at(fn, panels, size, default, keep=True):
    """Return a stage whose axes stand where the default state puts them."""
    stage = Stage(fn, panels, size, keep)
    draw_state(stage, default, fn.__name__)
    return stage


def part_by_part(stage, state):
    """Return the leaves of a state as the stage draws it."""
    parts, _ = draw_state(stage, state, "part by part")
    return leaves(assemble(parts, stage, [""] * len(stage.axes), "part by part"))


def all_at_once(stage, state):
    """Return the leaves of a state as `Figure.savefig` draws it on new figures; the stage only gives the boxes."""
    with matplotlib.rc_context(stage.style):
        figures = [Figure(figsize=figure.get_size_inches(), dpi=72) for figure in stage.figures]
        axes = [FigureCanvasAgg(figure).figure.subplots() for figure in figures]
        stage.fn(axes[0] if len(axes) == 1 else axes, **state)
        found = []
        for figure, boxes in zip(figures, stage.boxes, strict=True):
            figure.patch.set_visible(False)
            for one, box in zip(figure.axes, boxes, strict=True):
                one.set_position(box)
                one.patch.set_visible(one.get_facecolor()[3] > 0)
            figure.savefig(buffer := StringIO(), format="svg")
            found += leaves(tidy(buffer.getvalue().partition("?>")[2]))
    return found


def axes_of(explorable, **state):
    """Return the axes on which one state of an explorable is drawn."""
    axes = [Figure().subplots() for _ in range(explorable.panels)]
    explorable(axes[0] if len(axes) == 1 else axes, **state)
    return axes


def assert_lines_stay_inside(explorable, samples=8):
    """Draw some random states; raise if a line leaves its axes, which are fixed for all states."""
    states = list(explorable.grid())
    for state in random.sample(states, min(samples, len(states))):
        for ax in axes_of(explorable, **state):
            (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
            left, right, low, high = min(left, right), max(left, right), min(low, high), max(low, high)
            for line in (line for line in ax.lines if line.get_transform() == ax.transData):
                x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
                x, y = x[np.isfinite(x) & np.isfinite(y)], y[np.isfinite(x) & np.isfinite(y)]
                assert left <= x.min() and x.max() <= right and low <= y.min() and y.max() <= high, state

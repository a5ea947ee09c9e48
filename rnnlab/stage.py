"""Draw states of one figure quickly, as parts of light SVG whose colours and font the page's theme chooses."""

import io
import itertools
import re

import matplotlib
import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure

from rnnlab.plots import SERIES, STYLE

# Colours that the page's theme decides are drawn in sentinel colours and become CSS variables in the SVG.
INK, FAINT, PAPER = "#010203", "#818283", "#fdfefd"
THEME = {color: f"var(--rl-c{i},{color})" for i, color in enumerate(SERIES)}
THEME |= {INK: "currentColor", FAINT: "var(--rl-faint,#767676)", PAPER: "var(--rl-paper,#fff)"}
INKS = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
PAGE_STYLE = (
    STYLE | dict.fromkeys(INKS, INK) | {"grid.color": FAINT, "legend.facecolor": PAPER, "legend.edgecolor": FAINT}
)


class ExploreError(RuntimeError):
    """Say that an explorable cannot be drawn or published, and why."""


class Stage:
    """Draw states of one drawing function, keeping the figures and whatever of their axes stays the same.

    A fresh Matplotlib figure for each state would cost some 60 ms; here a state costs about 10. Private names of
    Matplotlib are used for it, so `tests/test_flipbook.py` compares the result with full drawings.

    Args:
        fn: draws a state on the axes it is given and returns its sentence.
        panels: number of figures.
        size: width and height of each in inches.
        keep: False clears the axes completely between states, the slow and sure way.
    """

    def __init__(self, fn, panels, size, keep=True):
        self.fn, self.keep = fn, keep
        self.width, self.height = (72 * side for side in size)
        with matplotlib.rc_context(PAGE_STYLE):
            self.figures = [Figure(figsize=size, dpi=72, layout="constrained") for _ in range(panels)]
            self.axes = [FigureCanvasAgg(figure).figure.subplots() for figure in self.figures]
        self.laid_out = False
        self.axis_pictures, self.clips = {}, {}

    def draw(self, state):
        """Draw a state.

        Returns:
            the parts of the picture in the order of painting, as (slot, SVG fragment), where a slot is (panel, number
            of the axes, kind, count); and the function's sentence.
        """
        with matplotlib.rc_context(PAGE_STYLE):
            if self.laid_out:
                self._reset()
            sentence = self.fn(self.axes[0] if len(self.axes) == 1 else self.axes, **state)
            if not self.laid_out:
                self._lay_out()
            renderer = RendererSVG(self.width, self.height, buffer := io.StringIO(), 72)
            parts = []
            for panel, figure in enumerate(self.figures):
                for number, axes in enumerate(figure.axes):
                    parts += self._draw_axes(axes, (panel, number), renderer, buffer)
            self.clips |= {name: clip for clip, name in renderer._clipd.values()}
        return parts, sentence

    def _reset(self):
        for figure in self.figures:
            for extra in figure.axes[1:]:
                extra.remove()
        for axes in self.axes:
            if not self.keep:
                axes.clear()
                continue
            artists = (axes.lines, axes.patches, axes.collections, axes.images, axes.texts, axes.artists, axes.tables)
            for artist in list(itertools.chain(*artists)):
                artist.remove()
            if axes.get_legend() is not None:
                axes.get_legend().remove()
            axes.set_prop_cycle(None)
            axes.relim()
            axes.set_autoscale_on(True)
            for place in ("left", "center", "right"):
                axes.set_title("", loc=place)

    def _lay_out(self):
        """Let the layout engine place the axes once; then they stay, so that nothing jumps when a slider moves."""
        for figure in self.figures:
            figure.canvas.draw()
            figure.set_layout_engine("none")
            for axes in figure.axes:
                axes.set_position(axes.get_position())
        self.laid_out = True

    def _draw_axes(self, axes, place, renderer, buffer):
        axes.apply_aspect()
        axes._unstale_viewLim()
        parts, counts = [], {}
        children = [child for child in axes.get_children() if child.get_visible() and child is not axes.patch]
        for artist in sorted(children, key=lambda child: child.get_zorder()):
            kind = type(artist).__name__
            counts[kind] = counts.get(kind, -1) + 1
            if isinstance(artist, Axis):
                key = (*place, _look_of_axis(artist))
                if key not in self.axis_pictures:
                    self.axis_pictures[key] = _paint(artist, renderer, buffer)
                picture = self.axis_pictures[key]
            else:
                picture = _paint(artist, renderer, buffer)
            parts.append(((*place, kind, counts[kind]), picture))
        return parts

    def clip_paths(self):
        """Return the <clipPath> elements that the drawn parts refer to."""
        out = []
        for name, clip in self.clips.items():
            if len(clip) == 4:
                x, y, width, height = (_short(float(side)) for side in clip)
                shape = f'<rect x="{x}" y="{y}" width="{width}" height="{height}"/>'
            else:
                renderer = RendererSVG(self.width, self.height, io.StringIO(), 72)
                shape = tidy(f'<path d="{renderer._convert_path(clip[0], clip[1], simplify=False)}"/>')
            out.append(f'<clipPath id="{name}">{shape}</clipPath>')
        return "".join(out)


def _look_of_axis(axis):
    """Return all that decides how an axis looks: its picture is drawn again only when this changes."""
    interval = tuple(axis.axes.viewLim.bounds), tuple(axis.get_view_interval())
    ticks = [
        (tuple(np.round(part.locator.tick_values(*axis.get_view_interval()), 9)), type(part.formatter).__name__,
         tuple(getattr(part.formatter, "seq", ())))
        for part in (axis.major, axis.minor)
    ]  # fmt: skip
    label = axis.label.get_text(), axis.label.get_size()
    settings = repr(sorted(axis._major_tick_kw.items(), key=str)), repr(sorted(axis._minor_tick_kw.items(), key=str))
    return (
        axis.axis_name,
        interval,
        axis.get_scale(),
        *ticks,
        label,
        settings,
        tuple(np.round(axis.axes.bbox.bounds, 3)),
    )


def _paint(artist, renderer, buffer):
    # Without these two, an artist's SVG would depend on what was drawn before it.
    renderer._markers.clear()
    renderer._path_collection_id = 0
    start = buffer.tell()
    artist.draw(renderer)
    buffer.seek(start)
    return tidy(buffer.read())


def draw_state(stage, state, name):
    """Draw one state; an error says which."""
    settings = ", ".join(f"{key}={value!r}" for key, value in state.items()) or "its only state"
    try:
        parts, sentence = stage.draw(state)
    except Exception as error:
        raise ExploreError(f"explorable {name!r} failed at {settings}: {type(error).__name__}: {error}") from error
    if not isinstance(sentence, str) or not sentence.strip():
        raise ExploreError(f"expected {name!r} to return a sentence at {settings}, got {sentence!r}")
    return parts, sentence


def png(fn, panels, size, state):
    """Return one state as PNG bytes, in the colours of print."""
    with matplotlib.rc_context(STYLE | {"figure.dpi": 110, "figure.facecolor": "white"}):
        width, height = size
        figure = Figure(figsize=(width * panels, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, panels, squeeze=False)[0].tolist()
        fn(axes[0] if panels == 1 else axes, **state)
        figure.savefig(buffer := io.BytesIO())
    return buffer.getvalue()


# ---------------------------------------------------------------- lighter SVG

LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")


def _short(number):
    """Write a number with one digit after the point and nothing superfluous."""
    text = f"{number:.1f}".removesuffix(".0")
    text = re.sub(r"^(-?)0\.", r"\1.", text)
    return "0" if text in ("-0", "") else text


def _short_match(number):
    return _short(float(number.group()))


def _shorten(match):
    return LONG_NUMBER.sub(_short_match, match.group())


def _short_path(match):
    """Round a path to a tenth of a pixel and write polylines in relative steps: a third of the size."""
    path = match.group(1)
    if re.search("[CQz]", path) or "L" not in path:
        return f' d="{" ".join(LONG_NUMBER.sub(_short_match, path).split())}"'
    out = []
    for piece in path.split("M")[1:]:
        points = np.array(piece.replace("L", " ").split(), dtype=float).reshape(-1, 2)
        tenths = np.round(points * 10).astype(int)
        steps = " ".join(f"{_short(dx / 10)} {_short(dy / 10)}" for dx, dy in np.diff(tenths, axis=0))
        out.append(f"M{_short(tenths[0, 0] / 10)} {_short(tenths[0, 1] / 10)}" + (f"l{steps}" if steps else ""))
    return f' d="{"".join(out)}"'


def tidy(svg):
    """Make a fragment of Matplotlib's SVG lighter and let the page's theme choose its colours and font."""
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r' d="([^"]*)"', _short_path, svg)
    svg = re.sub(r'(?:x|y|transform)="[^"]*"', _shorten, svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size:\1", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r">\s+<", "><", svg).strip()
    svg = re.sub(r'<text style="(?![^"]*fill:)', '<text style="fill:#000000;', svg)
    return re.sub(r"#[0-9a-f]{6}", lambda color: THEME.get(color.group(), color.group()), svg)

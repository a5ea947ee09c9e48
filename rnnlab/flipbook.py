"""Draw every state of a figure once, and publish all of them as one light, self-contained page fragment.

The page holds the default state's SVG. Of the other states it holds only what differs: each part of the picture (a
line, a text, an axis) that changes anywhere is a SLOT with a pool of its different looks, and every state is a row of
pool indices. `flipbook.js` swaps looks when a slider moves; nothing is interpolated, every picture was drawn here.
"""

import base64
import html
import io
import itertools
import json
import random
import re
import sys
import zlib
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure
from tqdm import tqdm

from rnnlab.plots import SERIES, STYLE

HERE = Path(__file__).parent
MAX_STATES = 4_000
MAX_KILOBYTES = 400  # of one explorable in its page, compressed states and default picture together

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


# ---------------------------------------------------------------- all states

VARIABLE = re.compile(r' d="[^"]*"|>[^<]+<')  # what can change inside a fragment without a new fragment


class Flipbook:
    """Hold every state of an explorable, drawn.

    Args:
        fn, panels, size: see `Stage`.
        sliders: dict name -> slider (`.values`, `.texts`, `.index`, `.label`).
        alt: one text for each panel.
        name: of the explorable, for errors.

    Raises:
        ExploreError: too many states, an error in `fn` (the message names the settings), no sentence, or too heavy.
    """

    def __init__(self, fn, sliders, panels, size, alt, name):
        self.fn, self.sliders, self.panels, self.size, self.alt, self.name = fn, sliders, panels, size, alt, name
        self.states = grid(sliders, name)
        self.default = default_index(sliders)
        self.stage, drawn, sentences = self._draw_all()
        self._pool(drawn, sentences)

    def _draw_all(self):
        # The default state decides where the axes stand, here and wherever one state is drawn alone.
        stage, check = self._stage(keep=True), self._stage(keep=False)
        # The kernel's own stderr: the bar is for the terminal that builds the book, not for the page.
        bar = tqdm(self.states, desc=self.name, unit="state", delay=5, leave=False, disable=None, file=sys.__stderr__)
        drawn, sentences = zip(*(draw_state(stage, state, self.name) for state in bar), strict=True)
        # The quick way keeps axes between states. Where that shows, every state is drawn on cleared axes.
        for number in random.Random(0).sample(range(len(self.states)), min(6, len(self.states))):
            if draw_state(check, self.states[number], self.name)[0] != drawn[number]:
                return check, *zip(*(draw_state(check, state, self.name) for state in self.states), strict=True)
        return stage, drawn, sentences

    def _stage(self, keep):
        stage = Stage(self.fn, self.panels, self.size, keep)
        draw_state(stage, self.states[self.default], self.name)
        return stage

    def _pool(self, drawn, sentences):
        """Split the pictures into what never changes and slots with pools of looks."""
        slots, painted = [], []
        order, drawn = painting_order(drawn), [dict(parts) for parts in drawn]
        for key in order:
            looks = [parts.get(key, "") for parts in drawn]
            pool, index = pooled(looks)
            if len(pool) == 1:
                painted.append((key, pool[0]))
                continue
            kind, pool, look = narrowed(pool, looks[self.default])
            painted.append((key, f'<g data-slot="{len(slots)}">{look}</g>'))
            slots.append([kind, pool, index])
        slots.append(["say", *pooled(sentences)])
        self.sentence = sentences[self.default]
        self.still = assemble(painted, self.stage, self.alt, self.name)
        self.slots = json.dumps(slots, separators=(",", ":"), ensure_ascii=False)

    def html(self):
        """Return the page fragment: sliders, pictures, sentence, and the script that moves them.

        Raises:
            ExploreError: the fragment is over the page-weight budget.
        """
        packed = base64.b64encode(zlib.compress(self.slots.encode(), 9)).decode()
        kilobytes = (len(packed) + len(self.still)) / 1000
        if kilobytes > MAX_KILOBYTES:
            raise ExploreError(
                f"expected {self.name} to weigh at most {MAX_KILOBYTES} kB in the page, got {kilobytes:.0f} kB for "
                f"{len(self.states)} states: give a slider fewer values, or draw fewer points"
            )
        controls = [{"label": s.label, "texts": s.texts, "at": s.index} for s in self.sliders.values()]
        return fragment(self.still, self.sentence, self.name, {"controls": controls, "slots": packed})


def grid(sliders, name):
    """Return all states, the last slider fastest, as dicts.

    Raises:
        ExploreError: there are more than MAX_STATES.
    """
    count = int(np.prod([len(s.values) for s in sliders.values()]))
    if count > MAX_STATES:
        sizes = " x ".join(f"{len(s.values)} ({key})" for key, s in sliders.items())
        longest = max(sliders, key=lambda key: len(sliders[key].values))
        raise ExploreError(
            f"expected {name} to have at most {MAX_STATES} states, got {sizes} = {count}: give {longest!r} fewer values"
        )
    return [
        dict(zip(sliders, values, strict=True)) for values in itertools.product(*(s.values for s in sliders.values()))
    ]


def default_index(sliders):
    """Return the position of the default state in the grid."""
    index = 0
    for s in sliders.values():
        index = index * len(s.values) + s.index
    return index


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


def painting_order(drawn):
    """Merge the slots of all states into one order of painting."""
    order = []
    for parts in drawn:
        place = 0
        for key, _ in parts:
            if key in order:
                place = order.index(key) + 1
            else:
                order.insert(place, key)
                place += 1
    return order


def pooled(items):
    """Return the different items and, for each item, which of them it is."""
    pool = {}
    index = [pool.setdefault(item, len(pool)) for item in items]
    return list(pool), index


def narrowed(pool, look):
    """Store only the changing attribute or text of a slot, where it is the only thing that changes.

    Returns:
        kind ("path", "text" or "fragment"), the pool, and the default look with the changing element marked.
    """
    frames = {VARIABLE.sub("\0", fragment) for fragment in pool}
    pieces = [VARIABLE.findall(fragment) for fragment in pool]
    if len(frames) > 1:
        return "fragment", pool, look
    changing = [n for n, column in enumerate(zip(*pieces, strict=True)) if len(set(column)) > 1]
    if len(changing) != 1:
        return "fragment", pool, look
    n = changing[0]
    kind = "path" if pieces[0][n].startswith(" d=") else "text"
    pool = [piece[n][4:-1] if kind == "path" else html.unescape(piece[n][1:-1]) for piece in pieces]
    count = itertools.count()
    return kind, pool, VARIABLE.sub(lambda m: f" data-varies{m.group()}" if next(count) == n else m.group(), look)


def assemble(parts, stage, alt, name):
    """Return the panels of one state as SVG elements."""
    svgs = []
    for panel, text in enumerate(alt):
        body = "".join(picture for key, picture in parts if key[0] == panel)
        svgs.append(
            f'<svg viewBox="0 0 {stage.width:g} {stage.height:g}" role="img" aria-label="{html.escape(text)}" '
            f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
            f"<defs>{stage.clip_paths() if panel == 0 else ''}</defs>{body}</svg>"
        )
    return f'<div class="rl-panels">{"".join(svgs)}</div>'


def fragment(panels, sentence, name, data=None):
    """Return a figure as HTML; with data, also the script that brings its sliders to life."""
    style, script = (HERE / "flipbook.css").read_text(), (HERE / "flipbook.js").read_text()
    live = ""
    if data and data["controls"]:
        packed = json.dumps(data).replace("</", "<\\/")
        live = (
            "<noscript><p>The sliders need JavaScript; this is the picture they start from.</p></noscript>"
            f'<script type="application/json">{packed}</script>'
            f"<script>{script}\nrnnlabFlipbook(document.currentScript.closest('figure'))</script>"
        )
    return (
        f'<style>{style}</style><figure class="rl-explore" data-name="{html.escape(name)}">'
        f'<div class="rl-controls" hidden></div>{panels}'
        f'<figcaption class="rl-say" aria-live="polite">{html.escape(sentence)}</figcaption>{live}</figure>'
    )


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

"""Draw states of one figure quickly, as parts of an SVG picture."""

import io
import itertools
import re

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure

from rnnlab.plots import STYLE
from rnnlab.svg import PAGE_STYLE, tidy


class ExploreError(RuntimeError):
    """Say that an explorable cannot be drawn or published, and why."""


class _Renderer(RendererSVG):
    """Name clip paths by their shape: Matplotlib numbers them, and two states could use one number for two shapes."""

    def __init__(self, width, height, buffer, dpi):
        super().__init__(width, height, buffer, image_dpi=dpi)
        self.buffer = buffer
        self.written()

    def _get_clippath_id(self, clippath):
        return clippath.vertices.tobytes(), clippath.codes is not None and clippath.codes.tobytes()

    def written(self):
        """Return what was written since the last call."""
        text = self.buffer.getvalue()
        self.buffer.seek(0)
        self.buffer.truncate()
        return text

    def definitions(self):
        """Return the clip paths and hatches that the parts written since the last call refer to, by id."""
        self._write_clips()
        self._write_hatches()
        self._clipd.clear()
        self._hatchd.clear()
        found = re.finditer(r'<(clipPath|pattern) id="([^"]+)".*?</\1>', tidy(self.written()))
        return {element[2]: element[0] for element in found}


class Stage:
    """Draw states of one drawing function, keeping the figures and whatever of their axes stays the same.

    A fresh Matplotlib figure for each state would cost some 60 ms; here a state costs about 10. Private names of
    Matplotlib are used for it, so `tests/test_stage.py` compares the result with full drawings.

    Args:
        fn: draws a state on the axes it is given and returns its sentence.
        panels: number of figures.
        size: width and height of each in inches.
        keep: False clears the axes completely between states, the slow and sure way.
        boxes: where the axes stand, as another stage of this function has laid them out; None lays them out anew.
    """

    def __init__(self, fn, panels, size, keep=True, boxes=None):
        self.fn, self.keep = fn, keep
        self.width, self.height = (72 * side for side in size)
        # Ids in the page are hashes of what they name. With this salt no two explorables of a page share one.
        self.style = PAGE_STYLE | {"svg.hashsalt": fn.__name__}
        with matplotlib.rc_context(self.style):
            self.figures = [Figure(figsize=size, dpi=72, layout="constrained") for _ in range(panels)]
            self.axes = [FigureCanvasAgg(figure).figure.subplots() for figure in self.figures]
            # One renderer for all states: Matplotlib remembers for each how large a text is.
            self.vector = _Renderer(self.width, self.height, io.StringIO(), 72)
        # It gives way to an image where an artist asks to be rasterized: the 256 cells of a colour bar, say.
        self.renderers = [MixedModeRenderer(one, *size, 72, self.vector) for one in self.figures]
        self.cells = [axes.get_subplotspec() for axes in self.axes]
        self.boxes = boxes  # where the axes of each figure stand, once they are laid out
        if boxes:
            self._end_layout()
        self.axis_pictures, self.definitions = {}, {}

    def draw(self, state):
        """Draw a state.

        Returns:
            the parts of the picture in the order of painting, as (slot, SVG fragment), where a slot is (panel, number
            of the axes, kind, count); and the function's sentence.
        """
        with matplotlib.rc_context(self.style):
            if self.boxes:
                self._reset()
            sentence = self.fn(self.axes[0] if len(self.axes) == 1 else self.axes, **state)
            self._place_axes()
            parts = []
            for panel, (figure, renderer) in enumerate(zip(self.figures, self.renderers, strict=True)):
                for number, axes in enumerate(figure.axes):
                    parts += self._paint_all(_artists_of_axes(axes, renderer), (panel, number), renderer)
                parts += self._paint_all(_own_artists(figure), (panel, len(figure.axes)), renderer)
            self.definitions |= self.vector.definitions()
        return parts, sentence

    def _reset(self):
        for figure, axes, cell in zip(self.figures, self.axes, self.cells, strict=True):
            for extra in [*figure.axes[1:], *_own_artists(figure)]:
                extra.remove()
            figure._suptitle = figure._supxlabel = figure._supylabel = None
            if axes.get_subplotspec() is not cell:  # a colour bar has taken some of it
                axes.set_subplotspec(cell)
            _remove_artists(axes) if self.keep else axes.clear()
            # Neither of the two undoes these.
            axes.set_aspect("auto", adjustable="box", anchor="C")
            for axis, side in ((axes.xaxis, "bottom"), (axes.yaxis, "left")):
                if not _has_ticks_on_one_side(axis):
                    axis.set_ticks_position(side)
                axis.set_label_position(side)

    def _place_axes(self):
        """Let the layout engine place the axes once; then they stay, so that nothing jumps when a slider moves."""
        if self.boxes is None:
            for figure in self.figures:
                figure.get_layout_engine().execute(figure)
            self._end_layout()
            self.boxes = [[axes.get_position(original=True) for axes in figure.axes] for figure in self.figures]
        for figure, boxes in zip(self.figures, self.boxes, strict=True):
            for axes, box in zip(figure.axes, boxes, strict=False):  # another state may have a colour bar more, or less
                if axes.get_position(original=True).bounds != box.bounds:
                    axes.set_position(box)

    def _end_layout(self):
        for figure in self.figures:
            figure.set_layout_engine("none")

    def _paint_all(self, artists, place, renderer):
        parts, counts = [], {}
        for artist in artists:
            kind = type(artist).__name__
            counts[kind] = counts.get(kind, -1) + 1
            if isinstance(artist, Axis):
                key = (*place, _look_of_axis(artist))
                if key not in self.axis_pictures:
                    self.axis_pictures[key] = _paint(artist, renderer)
                picture = self.axis_pictures[key]
            else:
                picture = _paint(artist, renderer)
            parts.append(((*place, kind, counts[kind]), picture))
        return parts


def _own_artists(figure):
    """Return what stands on a figure itself, as its title does."""
    return [child for child in figure.get_children() if child is not figure.patch and not isinstance(child, Axes)]


def _remove_artists(axes):
    """Take away what a state has drawn; scales, labels and ticks stay, as most functions set them alike every time."""
    artists = (axes.lines, axes.patches, axes.collections, axes.images, axes.texts, axes.artists, axes.tables)
    for artist in list(itertools.chain(*artists, axes.child_axes)):
        if artist.axes is not None:  # contours take their labels with them
            artist.remove()
    axes.containers.clear()  # of bars and error bars: a legend would name those of earlier states too
    if axes.get_legend() is not None:
        axes.get_legend().remove()
    axes.set_prop_cycle(None)
    axes.relim()
    axes.set_autoscale_on(True)
    for place in ("left", "center", "right"):
        axes.set_title("", loc=place)


def _artists_of_axes(axes, renderer):
    """Return what `Axes.draw` would draw, in its order."""
    locator = axes.get_axes_locator()
    axes.apply_aspect(locator(axes, renderer) if locator else None)
    axes._unstale_viewLim()
    axes._update_title_position(renderer)
    framed = axes.axison and axes.get_frame_on()
    hidden = [] if framed else [*axes.spines.values()]
    hidden += [] if axes.axison else [axes.xaxis, axes.yaxis]
    shown = [child for child in axes.get_children() if child not in hidden and child is not axes.patch]
    background = [axes.patch] if framed and axes.get_facecolor()[3] else []
    return [child for child in background + sorted(shown, key=lambda one: one.get_zorder()) if child.get_visible()]


def _has_ticks_on_one_side(axis):
    """Say whether all ticks and their labels are where they usually are: at the bottom or on the left."""
    return all(
        tick.tick1line.get_visible()
        and tick.label1.get_visible()
        and not (tick.tick2line.get_visible() or tick.label2.get_visible())
        for tick in itertools.chain(axis.majorTicks, axis.minorTicks)
    )


def _look_of_axis(axis):
    """Return all that decides how an axis looks: its picture is drawn again only when this changes."""
    return (
        axis.axis_name,
        tuple(axis.axes.viewLim.bounds),
        axis.get_inverted(),
        axis.get_scale(),
        tuple(np.round(axis.axes.bbox.bounds, 3)),
        _look_of_ticks(axis.get_majorticklocs(), axis.major.formatter, axis.majorTicks),
        _look_of_ticks(axis.get_minorticklocs(), axis.minor.formatter, axis.minorTicks),
        axis.major.formatter.get_offset(),
        _look_of_text(axis.label),
        (axis.labelpad, axis.get_label_position()),
        repr([axis._major_tick_kw, axis._minor_tick_kw]),
        repr([spine._position for spine in axis.axes.spines.values()]),
    )


def _look_of_ticks(places, formatter, ticks):
    """Return where ticks stand and how they are labelled; moving the ticks themselves is left to the drawing."""
    labels = formatter.format_ticks(places)
    fonts = [_look_of_text(tick.label1)[1:] for tick, label in zip(ticks, labels, strict=False) if label]
    return tuple(places), *labels, *fonts


def _look_of_text(text):
    font = hash(text.get_fontproperties())
    return text.get_text(), str(text.get_color()), text.get_rotation(), text.get_alpha(), text.get_visible(), font


def _paint(artist, renderer):
    # Without these two, an artist's SVG would depend on what was drawn before it.
    renderer._vector_renderer._markers.clear()
    renderer._vector_renderer._path_collection_id = 0
    artist.draw(renderer)
    if renderer._rasterizing:  # it waits for the next artist, which may share the image
        renderer.stop_rasterizing()
        renderer._rasterizing = False
    return tidy(renderer._vector_renderer.written())


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

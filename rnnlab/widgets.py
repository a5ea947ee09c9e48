"""Sliders around a drawing function: live in a kernel, a flipbook in the published page, one function, one picture."""

import base64
import copy
import functools
import html
import inspect
import math
import os

import ipywidgets
import numpy as np

from rnnlab.drawings import assemble
from rnnlab.flipbook import Flipbook, figure_html, grid, style
from rnnlab.stage import ExploreError, Stage, draw_state, png

__all__ = ["Explore", "ExploreError", "explore", "slider"]


class slider:
    """Describe one slider.

    Args:
        values: the values it takes, in order: numbers or strings, no two alike.
        at: the one it starts from; the middle one if None.
        label: its name on the page; the argument's name if None.
        fmt: how a value is written: a format string or a function; numbers as by "{:g}", strings as they are if None.
        free: in a kernel, also take numbers between the given ones.

    Raises:
        ValueError: no values, two alike (also as written), `at` is none of them, or free=True with strings.

    >>> slider([1, 2, 5], at=2).texts
    ['1', '2', '5']
    """

    def __init__(self, values, at=None, label=None, fmt=None, free=False):
        self.values = [value.item() if isinstance(value, np.generic) else value for value in values]
        if not self.values:
            raise ValueError("expected a slider with at least one value, got none")
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"expected different values, got {self.values}")
        if free and not all(isinstance(value, int | float) for value in self.values):
            raise ValueError(f"expected numbers for a slider with free=True, got {self.values}")
        self.index = len(self.values) // 2 if at is None else self._position(at)
        self.label, self.free = label, free
        write = fmt if callable(fmt) else (fmt or "{:g}").format
        self.texts = [value if fmt is None and isinstance(value, str) else write(value) for value in self.values]
        if len(set(self.texts)) < len(self.texts):
            raise ValueError(f"expected values that are written differently, got {self.texts}; give another fmt")

    def _position(self, at):
        for n, value in enumerate(self.values):
            same_kind = isinstance(at, str) == isinstance(value, str)
            if same_kind and (value == at if isinstance(value, str) else math.isclose(value, at)):
                return n
        raise ValueError(f"expected `at` to be one of {self.values}, got {at!r}")

    @property
    def default(self):
        """Return the value it starts from."""
        return self.values[self.index]

    def named(self, key):
        """Return this slider, labelled by the argument it moves if it has no label of its own."""
        one = copy.copy(self)  # the same slider may move an argument of another function, under another name
        one.label = self.label or key.replace("_", " ")
        return one

    def widget(self):
        """Return the ipywidget that stands for it in a kernel."""
        style = {"description_width": "initial"}
        if self.free:
            low, high = min(self.values), max(self.values)
            return ipywidgets.FloatSlider(
                self.default, min=low, max=high, step=(high - low) / 200, description=self.label, style=style
            )
        options = list(zip(self.texts, self.values, strict=True))
        return ipywidgets.SelectionSlider(options=options, value=self.default, description=self.label, style=style)


class Explore:
    """Hold a drawing function and its sliders; what `explore` makes of a function.

    Attributes:
        name: the function's name.
        sliders: dict name -> slider.
        default: the state the sliders start from, as a dict.
        alt: one text for each panel.
    """

    def __init__(self, fn, sliders, panels, size, alt):
        self.fn, self.panels, self.size = fn, panels, size
        self.name, self.alt = fn.__name__, alt
        self._check_arguments(sliders)
        self.sliders = {key: s.named(key) for key, s in sliders.items()}
        self.default = {key: s.default for key, s in sliders.items()}
        # Where a run is to be kept, every state is drawn NOW: an error in a display method would be swallowed by
        # IPython and leave a hole in the page.
        if folder := os.environ.get("RNNLAB_DRAWINGS"):
            self.flipbook().keep(folder)

    def _check_arguments(self, sliders):
        given, wanted = list(sliders), list(inspect.signature(self.fn).parameters)[1:]
        if sorted(given) != sorted(wanted):
            raise ValueError(f"expected sliders for the arguments {wanted} of {self.name}, got {given}")
        if (
            not isinstance(self.alt, list | tuple)
            or len(self.alt) != self.panels
            or not all(isinstance(text, str) and text.strip() for text in self.alt)
        ):
            raise ValueError(
                f"expected alt to be {self.panels} text(s), one for each panel of {self.name}, got {self.alt!r}"
            )
        for key, s in sliders.items():
            if not isinstance(s, slider):
                raise TypeError(f"expected {key} to be a slider(...), got {s!r}")

    def __call__(self, *args, **kwargs):
        """Call the drawing function itself."""
        return self.fn(*args, **kwargs)

    def grid(self):
        """Return all states, as dicts."""
        return grid(self.sliders, self.name)

    def flipbook(self):
        """Draw every state."""
        return Flipbook(self.fn, self.sliders, self.panels, self.size, self.alt, self.name)

    def check(self):
        """Draw every state and weigh the page fragment; raise ExploreError, naming the settings, if something fails."""
        self.flipbook().html()

    def html(self):
        """Return the published form: one page fragment with every state."""
        return self.flipbook().html()

    def svg(self, **state):
        """Return the panels of one state as HTML, as Python draws them; what is not given is at its default."""
        unknown = sorted(state.keys() - self.sliders.keys())
        if unknown:
            raise ValueError(f"expected settings out of {list(self.sliders)}, got {unknown}")
        stage = Stage(self.fn, self.panels, self.size)
        draw_state(stage, self.default, self.name)  # the default state decides the layout, as in the page
        parts, _ = draw_state(stage, self.default | state, self.name)
        return assemble(parts, stage, self.alt, self.name)

    def live(self):
        """Return sliders, a reset button and the picture as one ipywidget."""
        stage, view = Stage(self.fn, self.panels, self.size), ipywidgets.HTML()
        draw_state(stage, self.default, self.name)
        widgets = {key: s.widget() for key, s in self.sliders.items()}

        @functools.lru_cache(maxsize=256)  # some 10 MB at most
        def picture(*values):
            return self._picture(stage, dict(zip(widgets, values, strict=True)))

        def show(_=None):
            view.value = picture(*(widget.value for widget in widgets.values()))

        reset = ipywidgets.Button(description="Reset", layout=ipywidgets.Layout(width="5em"))
        reset.on_click(lambda _: [setattr(widget, "value", self.default[key]) for key, widget in widgets.items()])
        for widget in widgets.values():
            widget.observe(show, "value")
        show()
        bar = ipywidgets.HBox([*widgets.values(), reset], layout=ipywidgets.Layout(flex_flow="row wrap"))
        # Apart from the picture: a browser that gets a style sheet looks at its whole page again.
        sheet = ipywidgets.HTML(style(), layout=ipywidgets.Layout(display="none"))
        return ipywidgets.VBox([sheet, bar, view] if widgets else [sheet, view])

    def _picture(self, stage, state):
        try:
            parts, sentence = draw_state(stage, state, self.name)
        except ExploreError as error:  # a dead slider would look like a picture that does not depend on it
            return f'<figure class="rl-explore"><p class="rl-error">{html.escape(str(error))}</p></figure>'
        return figure_html(assemble(parts, stage, self.alt, self.name), sentence, self.name)

    def png(self):
        """Return the default state as PNG bytes, for viewers that show neither widgets nor the page."""
        return png(self.fn, self.panels, self.size, self.default)

    def still(self):
        """Return the default state as a picture and as text, and their metadata, as Jupyter wants them."""
        text = "; ".join(self.alt)
        picture = base64.b64encode(self.png()).decode()
        return {"image/png": picture, "text/plain": text}, {"image/png": {"alt": text}}

    def _repr_mimebundle_(self, include=None, exclude=None):
        if os.environ.get("RNNLAB_DRAWINGS"):  # the book puts the flipbook in this place
            return {"text/plain": "; ".join(self.alt)}, {"explorable": self.name}
        data, metadata = self.still()
        return self.live()._repr_mimebundle_() | data, metadata


def explore(*, alt, panels=1, size=(4.4, 3.2), **sliders):
    """Turn a function that draws one state into an `Explore`.

    The function gets its axes (a list of them if panels > 1) and one value from each slider, draws with plain
    Matplotlib, and returns a sentence about what is seen. Without sliders it is a still figure in the page's colours.

    Args:
        alt: a list of texts, one for each panel: what a reader who does not see it should know.
        panels: number of panels; each is a figure of its own, so that they stack on a phone.
        size: width and height of a panel in inches.
        **sliders: name of an argument -> `slider`.

    Raises:
        ValueError: sliders and arguments differ, or a text for a panel is missing.
        ExploreError: while a book is built, when a state cannot be drawn or the grid is too large.
    """
    return lambda fn: Explore(fn, sliders, panels, size, alt)

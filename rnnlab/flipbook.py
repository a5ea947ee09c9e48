"""Draw every state of a figure once, and publish all of them as one light, self-contained page fragment.

The page holds the default state's SVG. Of the other states it holds only what differs: each part of the picture (a
line, a text, an axis) that changes anywhere is a SLOT with a pool of its different looks, and every state is a row of
pool indices. `flipbook.js` swaps looks when a slider moves; nothing is interpolated, every picture was drawn here.
"""

import base64
import html
import itertools
import json
import random
import re
import sys
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rnnlab.drawings import assemble
from rnnlab.stage import ExploreError, Stage, draw_state

__all__ = ["Flipbook", "figure_html", "grid", "style"]

HERE = Path(__file__).parent
MAX_STATES = 4_000
MAX_KILOBYTES = 400  # of one explorable in its page, compressed states and default picture together
FRAME = ("Spine", "XAxis", "YAxis")
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
        self.stage, self.drawn, self.sentences = self._draw_all()
        self._pool(self.drawn, self.sentences)

    def _draw_all(self):
        # The default state decides where the axes stand, here and wherever one state is drawn alone.
        stage = Stage(self.fn, self.panels, self.size)
        draw_state(stage, self.states[self.default], self.name)
        # The kernel's own stderr: the bar is for the terminal that builds the book, not for the page.
        bar = tqdm(self.states, desc=self.name, unit="state", delay=5, leave=False, disable=None, file=sys.__stderr__)
        drawn, sentences = zip(*(draw_state(stage, state, self.name) for state in bar), strict=True)
        # The quick way keeps axes between states. Where that shows, every state is drawn on cleared axes.
        check = Stage(self.fn, self.panels, self.size, keep=False, boxes=stage.boxes)
        for number in suspects(drawn):
            if draw_state(check, self.states[number], self.name)[0] != drawn[number]:
                return check, *zip(*(draw_state(check, state, self.name) for state in self.states), strict=True)
        return stage, drawn, sentences

    def _pool(self, drawn, sentences):
        """Split the pictures into what never changes and slots with pools of looks."""
        slots, painted = [], []
        order, drawn = painting_order(drawn, self.name), [dict(parts) for parts in drawn]
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

    def keep(self, folder):
        """Write the page fragment and every state's drawing into a file of a folder, each different part once.

        Raises:
            ExploreError: an explorable of that name is there already, or see `html`.
        """
        path = Path(folder) / f"{self.name}.explorable"
        if path.exists():
            raise ExploreError(f"expected explorables of one lesson to have different names, got {self.name!r} twice")
        pool, index = pooled([(*key, picture) for state in self.drawn for key, picture in state])
        numbers = iter(index)
        drawn = [[next(numbers) for _ in state] for state in self.drawn]
        content = {"html": self.html(), "alt": self.alt, "size": [self.stage.width, self.stage.height]}
        content |= {"definitions": self.stage.definitions, "pool": pool, "drawn": drawn, "sentences": self.sentences}
        path.write_bytes(zlib.compress(json.dumps(content).encode()))

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
        return style() + figure_html(self.still, self.sentence, self.name, player(controls, packed))


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


def suspects(drawn, count=60):
    """Choose states to draw again on cleared axes.

    What a state leaves behind for the next ones (a scale, an inverted axis, a tick) shows in the frame. So the first
    and the last state of every different frame are chosen, at most `count` of them, and some others.
    """
    chance, frames = random.Random(0), {}
    for number, parts in enumerate(drawn):
        frame = tuple(picture for (*_, kind, _), picture in parts if kind in FRAME)
        frames.setdefault(frame, []).append(number)
    ends = sorted({number for members in frames.values() for number in (members[0], members[-1])})
    others = range(len(drawn))
    return chance.sample(ends, min(count, len(ends))) + chance.sample(others, min(6, len(others)))


def painting_order(drawn, name):
    """Merge the slots of all states into one order of painting.

    Raises:
        ExploreError: there is none, because one part lies above another in one state and below it in another.
    """
    order = []
    for parts in drawn:
        place = 0
        for key, _ in parts:
            if key in order:
                place = order.index(key) + 1
            else:
                order.insert(place, key)
                place += 1
    rank = {key: n for n, key in enumerate(order)}
    for parts in drawn:
        ranks = [rank[key] for key, _ in parts]
        if ranks != sorted(ranks):
            raise ExploreError(f"expected {name} to paint in one order in all states: give each artist one zorder")
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


def style():
    """Return the style sheet of explorables as an element."""
    return f"<style>{(HERE / 'flipbook.css').read_text(encoding='utf-8')}</style>"


def figure_html(panels, sentence, name, player=""):
    """Return a figure as HTML: place for sliders, panels, sentence, and what brings the sliders to life."""
    return (
        f'<figure class="rl-explore" data-name="{html.escape(name)}"><div class="rl-controls" hidden></div>{panels}'
        f'<figcaption class="rl-say" aria-live="polite">{html.escape(sentence)}</figcaption>{player}</figure>'
    )


def player(controls, slots):
    """Return the script that moves the sliders through the states, with its data; nothing if there are no sliders."""
    if not controls:
        return ""
    data = json.dumps({"controls": controls, "slots": slots}).replace("<", "\\u003c")  # no tag, no comment in a script
    script = (HERE / "flipbook.js").read_text(encoding="utf-8")
    return (
        "<noscript><p>The sliders need JavaScript; this is the picture they start from.</p></noscript>"
        f'<script type="application/json">{data}</script>'
        f"<script>{script}\nrnnlabFlipbook(document.currentScript.closest('figure'))</script>"
    )

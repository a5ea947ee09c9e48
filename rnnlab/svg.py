"""Make Matplotlib's SVG light, and let the theme of the page choose its colours and font."""

import functools
import re

import numpy as np

from rnnlab.plots import SERIES, STYLE

# Colours that the page's theme decides are drawn in sentinel colours and become CSS variables in the SVG.
INK, FAINT, PAPER = "#010203", "#818283", "#fdfefd"
THEME = {color: f"var(--rl-c{i},{color})" for i, color in enumerate(SERIES)}
THEME |= dict.fromkeys((INK, "#000000"), "currentColor")
THEME |= {FAINT: "var(--rl-faint,#767676)", PAPER: "var(--rl-paper,#fff)"}
INKS = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
PAGE_STYLE = (
    STYLE | dict.fromkeys(INKS, INK) | {"grid.color": FAINT, "legend.facecolor": PAPER, "legend.edgecolor": FAINT}
)

LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")


@functools.lru_cache(maxsize=100_000)  # a page repeats the same few thousand coordinates hundreds of times
def _short(tenths):
    """Write a number of tenths with one digit after the point and nothing superfluous."""
    whole, rest = divmod(abs(tenths), 10)
    text = f"{whole or ''}.{rest}" if rest else str(whole)
    return f"-{text}" if tenths < 0 else text


@functools.lru_cache(maxsize=100_000)
def _shortened(text):
    return _short(round(float(text) * 10))


def _short_match(number):
    return _shortened(number.group())


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
        steps = " ".join(map(_short, np.diff(tenths, axis=0).ravel().tolist()))
        out.append("M" + " ".join(map(_short, tenths[0].tolist())) + (f"l{steps}" if steps else ""))
    return f' d="{"".join(out)}"'


def tidy(svg):
    """Make a fragment of Matplotlib's SVG lighter and let the page's theme choose its colours and font."""
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r' d="([^"]*)"', _short_path, svg)
    svg = re.sub(r'(?: [xy]="|translate\(|rotate\()[^")]*', _shorten, svg)  # a scale or matrix needs all its digits
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size:\1", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r">\s+<", "><", svg).strip()
    svg = re.sub(r'<text style="(?![^"]*fill:)', '<text style="fill: #000000;', svg)
    return re.sub(r'(?<=[" ])#[0-9a-f]{6}(?=[;"])', lambda color: THEME.get(color.group(), color.group()), svg)

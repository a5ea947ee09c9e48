"""What was drawn of an explorable, to be shown or compared: neither drawn again nor in need of Matplotlib."""

import html
import json
import zlib
from pathlib import Path

__all__ = ["Kept", "assemble"]


def assemble(parts, stage, alt, name):
    """Return the panels of one state as SVG elements."""
    svgs = []
    for panel, text in enumerate(alt):
        body = "".join(picture for key, picture in parts if key[0] == panel)
        svgs.append(
            f'<svg viewBox="0 0 {stage.width:g} {stage.height:g}" role="img" aria-label="{html.escape(text)}" '
            # Matplotlib writes no colour where it fills with black: the ink of the page is inherited there.
            f'fill="currentColor" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
            f"<defs>{''.join(stage.definitions.values()) if panel == 0 else ''}</defs>{body}</svg>"
        )
    return f'<div class="rl-panels">{"".join(svgs)}</div>'


class Kept:
    """Hold the drawings that a flipbook wrote into a file; they are read once and not drawn again.

    Attributes:
        html: the page fragment.
        sentences: of each state, in the order of the grid.
    """

    def __init__(self, path):
        content = json.loads(zlib.decompress(Path(path).read_bytes()))
        self.html, self.sentences, self.alt = content["html"], content["sentences"], content["alt"]
        self.definitions, (self.width, self.height) = content["definitions"], content["size"]
        self._pool, self._drawn, self.name = content["pool"], content["drawn"], Path(path).stem

    def parts(self, number):
        """Return the parts of a state in the order of painting, as `Stage.draw` returns them."""
        return [(tuple(key), picture) for *key, picture in (self._pool[part] for part in self._drawn[number])]

    def svg(self, number):
        """Return the panels of a state as HTML, as Python drew them."""
        return assemble(self.parts(number), self, self.alt, self.name)

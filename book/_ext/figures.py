"""Refuse figures that say nothing to a reader who cannot see them.

Sphinx gives an image without alternative text the path of its file. A path helps nobody, so such an image is a warning
here, and the book is built with warnings as errors.
"""

from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)


def require_alt(app, doctree, docname):
    """Warn about each image of a page that has no alternative text."""
    for image in doctree.findall(nodes.image):
        if not image.get("alt", "").strip():
            logger.warning(
                "expected alternative text for the image %s, got none; "
                'for a cell output set the metadata {"mystnb": {"image": {"alt": "what the figure shows"}}}',
                image.get("uri", "?"),
                location=image if image.line else docname,
                type="rnnlab",
                subtype="alt",
            )


def setup(app):
    """Register the listener with Sphinx."""
    app.connect("doctree-resolved", require_alt)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

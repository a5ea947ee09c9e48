"""Keep the pages readable for those who hear them: figures say what they show, lists of references are plain markup."""

from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)

# docutils marks bibliographies with roles that are deprecated or whose rules the result does not keep.
FAULTY_ROLES = {
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    ' role="doc-biblioentry"': "",
}


def require_alt(app, doctree, docname):
    """Warn about each image of a page that has no alternative text.

    Sphinx would give such an image the path of its file, which helps nobody. The book is built with warnings as errors.
    """
    for image in doctree.findall(nodes.image):
        if not image.get("alt", "").strip():
            logger.warning(
                "expected alternative text for the image %s, got none; "
                'for a cell output set the metadata {"mystnb": {"image": {"alt": "what the figure shows"}}}',
                image.get("uri", "?"),
                location=docname,
            )


def drop_reference_roles(app, pagename, templatename, context, doctree):
    """Remove the faulty roles from the references of a page; what remains is plain, valid markup."""
    for faulty, plain in FAULTY_ROLES.items():
        context["body"] = context.get("body", "").replace(faulty, plain)


def setup(app):
    """Register the listeners with Sphinx."""
    app.connect("doctree-resolved", require_alt)
    app.connect("html-page-context", drop_reference_roles)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""A build that warned must not look clean the next time.

Sphinx reads again only what has changed. A page that caused a warning is not read again, so the second build of a
broken book would succeed. Here a build with warnings forgets what it has read, and the next one starts anew.
"""

from pathlib import Path

from sphinx.application import ENV_PICKLE_FILENAME


def forget_after_warnings(app, exception):
    """Delete the saved environment if this build has warned. (After an exception Sphinx does so itself.)"""
    if app._warncount:  # Sphinx has no public name for it in 7.4
        (Path(app.doctreedir) / ENV_PICKLE_FILENAME).unlink(missing_ok=True)


def setup(app):
    """Register the listener with Sphinx."""
    app.connect("build-finished", forget_after_warnings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

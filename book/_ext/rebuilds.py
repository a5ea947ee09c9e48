"""Build again what Sphinx takes for up to date.

Sphinx reads and writes a page again when the page or the configuration has changed. Two kinds of change escape it.
A changed style sheet, script or extension of the book is no change of a page; so their hashes are made part of the
configuration. And a page that caused a warning is not read again, so that the second build of a broken book would
succeed; so a build with warnings forgets what it has read.
"""

import hashlib
from pathlib import Path

from sphinx.application import ENV_PICKLE_FILENAME

BOOK = Path(__file__).resolve().parents[1]


def folder_hash(folder: Path) -> str:
    """Return a hash of the files in a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def forget_after_warnings(app, exception):
    """Delete the saved environment if this build has warned. (After an exception Sphinx does so itself.)"""
    if app._warncount:  # Sphinx 7.4 has no public name for it
        (Path(app.doctreedir) / ENV_PICKLE_FILENAME).unlink(missing_ok=True)


def setup(app):
    """Register the hashes and the listener with Sphinx."""
    app.add_config_value("book_static_hash", folder_hash(BOOK / "_static"), "html")  # write every page again
    app.add_config_value("book_extensions_hash", folder_hash(BOOK / "_ext"), "env")  # read every page again
    app.connect("build-finished", forget_after_warnings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""nbgrader's own `generate_feedback`, with our feedback page: nbgrader_config.py names this class."""

from nbgrader.converters.base import Exporter

from grading.pages import feedback


class FeedbackExporter(Exporter):
    """Write the feedback page of a graded notebook to which nbgrader has added points and comments."""

    file_extension = ".html"
    output_mimetype = "text/html"

    def from_notebook_node(self, nb, resources=None, **kw):
        """Return (page, resources)."""
        notebook, resources = super().from_notebook_node(nb, resources, **kw)
        total = resources["nbgrader"]
        marks = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
        result = {
            "score": total["score"],
            "max_score": total["max_score"],
            "late_penalty": total["late_penalty"],
            "waiting": [],
            "cells": {mark["grade_id"]: (mark["score"], mark["points"]) for mark in marks if "score" in mark},
            "comments": {mark["grade_id"]: mark["comment"] for mark in marks if mark.get("comment")},
        }
        return feedback(notebook, total["notebook"], result), resources

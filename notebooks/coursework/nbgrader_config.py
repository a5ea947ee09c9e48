"""nbgrader's settings for this course; nbgrader reads this file when it is started in this folder."""

import importlib.util
import sys
from pathlib import Path

c = get_config()  # noqa: F821 (nbgrader provides it)

c.CourseDirectory.course_id = "rnnlab"

# Feedback as `make grade` writes it: complete in itself, without the hidden tests. A copy of this folder elsewhere
# finds the grader if the repository is on PYTHONPATH.
sys.path.append(str(Path(__file__).resolve().parents[2]))
if importlib.util.find_spec("grading"):
    c.GenerateFeedback.exporter_class = "grading.exporters.FeedbackExporter"

# What follows is for `nbgrader autograde`, which runs submissions unprotected. `make grade` needs none of it.
# An endless loop costs its test cell this many seconds, and the cell's points.
c.Execute.timeout = 30

# A test cell that a student deleted comes back before grading.
c.OverwriteCells.add_missing_cells = True

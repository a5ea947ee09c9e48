"""nbgrader's settings for this course; nbgrader reads this file when it is started in this folder."""

c = get_config()  # noqa: F821 (nbgrader provides it)

c.CourseDirectory.course_id = "rnnlab"

# An endless loop costs its test cell this many seconds, and the cell's points.
c.Execute.timeout = 30

# A test cell that a student deleted comes back before grading.
c.OverwriteCells.add_missing_cells = True

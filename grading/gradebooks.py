"""nbgrader's gradebook: register a problem set, write marks in one transaction each, back up, and export."""

import contextlib
import csv
import io
import logging
import os
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader import preprocessors
from nbgrader.api import Gradebook
from nbgrader.apps import NbGrader
from nbgrader.utils import parse_utc

from grading.marks import Report
from grading.notebooks import Assignment

BACKUPS = 10
COLUMNS = ("student", "assignment", "points", "max_points")


class Failure(Exception):
    """Something the person at the keyboard can mend; its message is what they get."""


@dataclass
class Course:
    """A course folder with nbgrader's settings of it."""

    root: Path
    config: object
    course_id: str

    @classmethod
    def at(cls, root: Path) -> "Course":
        """Read the settings of a course as nbgrader does."""
        app = NbGrader(log_level=logging.ERROR)
        app.load_config_environ = app.migrate_config = lambda *_, **__: None
        app.initialize([], root=str(root))
        return cls(root, app.config, app.coursedir.course_id)

    @property
    def database(self) -> Path:
        """The gradebook's file."""
        return self.root / "gradebook.db"

    @contextlib.contextmanager
    def gradebook(self):
        """Open the gradebook; it is created if there is none."""
        with Gradebook(f"sqlite:///{self.database}", self.course_id) as book:
            yield book


def read_time(text: str) -> str:
    """Return the time that nbgrader noted of a submission; raise ValueError if it is none."""
    return str(parse_utc(text[:60].strip()))


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file so that there is, at any moment, the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def back_up(course: Course) -> Path | None:
    """Copy the gradebook into backups/, and keep the last ones; raise Failure if it cannot be read."""
    if not course.database.exists():
        return None
    folder = course.root / "backups"
    folder.mkdir(exist_ok=True)
    copy = folder / f"gradebook-{time.strftime('%Y%m%d-%H%M%S')}.db"
    half = copy.with_suffix(".part")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{course.database}?mode=ro", uri=True)) as source:
            if (found := source.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(found)
            with contextlib.closing(sqlite3.connect(half)) as target:
                source.backup(target)
    except sqlite3.Error as error:
        half.unlink(missing_ok=True)
        copies = sorted(folder.glob("gradebook-*.db"))
        advice = f"copy {copies[-1]} over it" if copies else "move it away: a new one is made"
        raise Failure(f"the gradebook {course.database} cannot be read ({error}): {advice}") from None
    os.replace(half, copy)
    for old in sorted(folder.glob("gradebook-*.db"))[:-BACKUPS]:
        old.unlink()
    return copy


def register(course: Course, assignment: Assignment, source: Path):
    """Tell the gradebook the cells and points of a problem set; return the notebook that students got.

    These are the steps of `nbgrader generate_assignment` without its files: hidden tests go to the gradebook only.
    """
    notebook = nbformat.read(source, as_version=4)
    names = {"student": ".", "assignment": assignment.name, "notebook": assignment.name}
    resources = {"nbgrader": names | {"db_url": f"sqlite:///{course.database}"}, "unique_key": assignment.name}
    steps = ["LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ComputeChecksums", "SaveCells"]
    steps += ["ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums"]
    with course.gradebook() as book:
        book.update_or_create_assignment(assignment.name)
    for step in steps:
        if step == "SaveCells" and is_registered(course, assignment.name, notebook):
            continue
        try:
            preprocessor = getattr(preprocessors, step)(config=course.config)
            preprocessor.log.setLevel(logging.ERROR)
            notebook, resources = preprocessor.preprocess(notebook, resources)
        except RuntimeError as error:
            raise Failure(
                f"{source}: {error}. Cells of a problem set that was graded keep their names: put them back, "
                f"or give the changed set a new name"
            ) from None
    return notebook


def is_registered(course: Course, name: str, notebook) -> bool:
    """Whether the gradebook has these very cells, with these points."""
    marks = [cell.metadata.nbgrader for cell in notebook.cells if cell.metadata.get("nbgrader")]
    wanted = {mark.grade_id: mark.checksum for mark in marks if "checksum" in mark}  # of the text and the points
    with course.gradebook() as book:
        known = {notebook.name: notebook for notebook in book.find_assignment(name).notebooks}
        return name in known and {cell.name: cell.checksum for cell in known[name].source_cells} == wanted


@contextlib.contextmanager
def one_transaction(book: Gradebook):
    """Make all that nbgrader's functions commit within this block one transaction, written at its end or not at all."""
    with book.engine.connect() as connection, connection.begin():
        book.db.remove()
        book.db.configure(bind=connection, join_transaction_mode="rollback_only")
        try:
            yield
            book.db.flush()
        finally:
            book.db.remove()
            book.db.configure(bind=book.engine, join_transaction_mode="conditional_savepoint")


def record(course: Course, assignment: Assignment, report: Report, timestamp: str | None, same_answers: bool) -> None:
    """Write the marks of one submission; what a person gave or said stays.

    A mark by hand waits for a second look if what it was given for has changed, and only then.
    """
    name = assignment.name
    with course.gradebook() as book, one_transaction(book):
        book.update_or_create_student(report.student)
        when = {"timestamp": timestamp} if timestamp else {}
        submission = book.update_or_create_submission(name, report.student, **when)
        (notebook,) = submission.notebooks
        for grade in notebook.grades:
            mark = report.marks.get(grade.name)
            points = 0.0 if mark is None else mark.points
            changed = grade.auto_score != points or not same_answers
            grade.auto_score = points
            if grade.manual_score is None:
                grade.needs_manual_grade = points is None
            elif changed:
                grade.needs_manual_grade = True
        for comment in notebook.comments:
            comment.auto_comment = report.cell_notes.get(comment.name)
    if when:
        late_penalty(course, name, report.student)


def late_penalty(course: Course, name: str, student: str) -> None:
    """Let nbgrader take off what the course's settings ask for late work."""
    names = {"student": student, "assignment": name, "notebook": name, "db_url": f"sqlite:///{course.database}"}
    penalties = preprocessors.AssignLatePenalties(config=course.config)
    penalties.log.setLevel(logging.ERROR)
    penalties.preprocess(nbformat.v4.new_notebook(), {"nbgrader": names})


def recorded(course: Course, name: str) -> dict[str, dict]:
    """Return {student: {cell: points the tests gave}} of a problem set."""
    with course.gradebook() as book:
        submissions = book.assignment_submissions(name)
        return {s.student.id: {g.name: g.auto_score for n in s.notebooks for g in n.grades} for s in submissions}


def results(course: Course, name: str) -> dict[str, dict]:
    """Return {student: what `pages.feedback` shows}: score, max_score, late_penalty, waiting, cells and comments."""
    found = {}
    with course.gradebook() as book:
        for submission in book.assignment_submissions(name):
            (notebook,) = submission.notebooks
            found[submission.student.id] = {
                "score": submission.score - (submission.late_submission_penalty or 0.0),
                "max_score": submission.max_score,
                "late_penalty": submission.late_submission_penalty or 0.0,
                "waiting": [grade.name for grade in notebook.grades if grade.needs_manual_grade],
                "cells": {grade.name: (grade.score, grade.max_score) for grade in notebook.grades},
                "comments": {comment.name: comment.comment for comment in notebook.comments if comment.comment},
            }
    return found


def harmless(text: str) -> str:
    """Return a text that a spreadsheet takes as text: one that begins as a formula does gets an apostrophe."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def write_csv(course: Course) -> Path:
    """Write one line for each graded submission of the course to grades.csv."""
    lines = []
    with course.gradebook() as book:
        for assignment in book.assignments:
            for submission in book.assignment_submissions(assignment.name):
                points = max(0.0, submission.score - (submission.late_submission_penalty or 0.0))
                lines.append((submission.student.id, assignment.name, points, submission.max_score))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for student, name, points, most in sorted(lines, key=lambda line: (line[1], line[0])):
        writer.writerow((harmless(student), harmless(name), f"{points:g}", f"{most:g}"))
    path = course.root / "grades.csv"
    replace_file(path, text.getvalue())
    return path

"""Grade everything that was handed in for a problem set: in parallel, resumable, each submission by itself."""

import contextlib
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import nbformat
from filelock import FileLock, Timeout
from tqdm import tqdm

from grading import gradebooks, pages
from grading.evaluator import official
from grading.gradebooks import Course, Failure, replace_file
from grading.marks import Report
from grading.notebooks import (
    SourceError,
    Submission,
    read_assignment,
    read_safely,
    submitted_file,
)
from grading.sandbox import Limits, Sandbox, find_sandbox, packages_outside
from grading.workers import Job, reports

ENGINE = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()


# ---------------------------------------------------------------- a class


def is_text(name: str) -> bool:
    """Whether a file's name can be written as UTF-8."""
    return name == name.encode("utf-8", "replace").decode()


class Class:
    """A problem set of a course, and what was handed in for it."""

    def __init__(self, root: Path, name: str):
        if not root.is_dir():
            raise Failure(f"there is no course at {root}: COURSE names the folder with source/ and submitted/ in it")
        self.source = root / "source" / name / f"{name}.ipynb"
        if not name or not self.source.is_file():
            known = sorted(path.parent.name for path in root.glob("source/*/*.ipynb") if path.stem == path.parent.name)
            likely = (
                f"ASSIGNMENT is one of {', '.join(known)}"
                if known
                else "there are none, so COURSE is likely another folder, such as notebooks/coursework"
            )
            raise Failure(f"there is no problem set {name!r} in {root / 'source'}: {likely}")
        self.course, self.name = Course.at(root), name
        self.states = root / ".grading" / name
        try:
            self.assignment = read_assignment(self.source)
            Limits(**self.assignment.settings)
        except (SourceError, SyntaxError, ValueError, KeyError, TypeError) as error:
            raise Failure(f"{self.source} cannot be graded with: {error}") from None

    def students(self) -> list[str]:
        """Return the names of the folders in submitted/ that hold something for this problem set."""
        submitted = self.course.root / "submitted"
        folders = sorted(submitted.iterdir()) if submitted.is_dir() else []
        found = [f.name for f in folders if not f.name.startswith(".") and os.path.lexists(f / self.name)]
        for name in [name for name in found if not is_text(name)]:
            print(f"left out: the folder {ascii(name)} has a name that is not UTF-8 text", file=sys.stderr)
            found.remove(name)
        for path in sorted([*submitted.glob("*.ipynb"), *submitted.glob(f"*/{self.name}*.ipynb")]):
            wanted = f"<student>/{self.name}/{self.name}.ipynb"
            print(f"left out: expected {wanted}, got {ascii(str(path))}", file=sys.stderr)
        if not found:
            raise Failure(f"nothing was handed in: expected {submitted / '<student>' / self.name / self.name}.ipynb")
        return found

    def job(self, student: str, safe: bool) -> Job:
        """Read what a student handed in."""
        content, problem, timestamp = b"", "", None
        try:
            content = read_safely(submitted_file(self.course.root, student, self.name))
        except (ValueError, OSError) as error:
            problem = str(error)
        with contextlib.suppress(ValueError, OSError):
            stamp = submitted_file(self.course.root, student, self.name).with_name("timestamp.txt")
            timestamp = gradebooks.read_time(read_safely(stamp).decode())
        parts = [content, problem, timestamp, self.assignment.digest, ENGINE, safe, student]
        return Job(student, content, problem, hashlib.sha256(repr(parts).encode()).hexdigest(), timestamp)

    # what was graded before

    def state(self, student: str) -> dict:
        """Return what was kept of the last grading of a student, {} if nothing was."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads(self.state_file(student).read_text(encoding="utf-8"))
        return {}

    def state_file(self, student: str) -> Path:
        """Return where it is kept: a name may be as long as a file system has it."""
        return self.states / f"{hashlib.sha256(student.encode()).hexdigest()[:32]}.json"

    def graded_file(self, student: str) -> Path:
        """Return where formgrader looks for a graded notebook."""
        return self.course.root / "autograded" / student / self.name / f"{self.name}.ipynb"

    def is_done(self, job: Job, recorded: dict) -> bool:
        """Whether a submission was graded as it is, by this grader, and the gradebook still says so."""
        state = self.state(job.student)
        marks = {name: mark["points"] for name, mark in state.get("report", {}).get("marks", {}).items()}
        same = state.get("fingerprint") == job.fingerprint and recorded.get(job.student) == marks
        return same and self.graded_file(job.student).is_file()

    # what is written

    def keep(self, template, job: Job, report: Report, submission: Submission) -> None:
        """Write one graded submission: the notebook, then the marks in one transaction, then that it is done."""
        answers = hashlib.sha256(repr(sorted(submission.answers.items())).encode()).hexdigest()
        same = self.state(job.student).get("answers") in (None, answers)
        try:
            graded = pages.graded_notebook(template, report, submission)
        except (ValueError, TypeError, nbformat.ValidationError) as error:  # the marks do not hang on how it looks
            report.notes.append(f"The notebook cannot be shown: {type(error).__name__}.")
            graded = pages.graded_notebook(template, report, Submission())
        replace_file(self.graded_file(job.student), nbformat.writes(graded))
        gradebooks.record(self.course, self.assignment, report, job.timestamp, same)
        state = {"fingerprint": job.fingerprint, "answers": answers, "report": report.to_dict()}
        replace_file(self.state_file(job.student), json.dumps(state))

    def bring_along(self, student: str, folders: tuple) -> None:
        """Put beside a page what nbgrader's exchange needs to return it to whom it belongs, if it came that way."""
        for name in ("timestamp.txt", "submission_secret.txt"):
            with contextlib.suppress(ValueError, OSError):
                content = read_safely(submitted_file(self.course.root, student, self.name).with_name(name)).decode()
                for folder in folders:
                    replace_file(folder / name, content)

    def publish(self) -> Path:
        """Write the feedback pages and grades.csv from the gradebook; return the latter."""
        for student, result in gradebooks.results(self.course, self.name).items():
            if (path := self.graded_file(student)).is_file():
                page = pages.feedback(nbformat.read(path, as_version=4), self.name, result)
                folder = self.course.root / "feedback" / student / self.name
                replace_file(folder / f"{self.name}.html", page)
                self.bring_along(student, (path.parent, folder))
        return gradebooks.write_csv(self.course)


def check_official(group: Class, sandbox: Sandbox, stubs: dict) -> None:
    """Grade the official solution first: a test that it fails would fail everybody."""
    answers = official(group.assignment).answers.items()
    cells = [{"metadata": {"nbgrader": {"grade_id": name}}, "source": text} for name, text in answers]
    job = Job("official", json.dumps({"cells": cells}).encode(), "", "", None)
    (report,) = [report for _, report, _ in reports(group.assignment, [job], sandbox, stubs, 1)]
    if report.lost():
        lost = "\n".join(f"  {name}: {report.marks[name].message}" for name in sorted(report.lost()))
        raise Failure(f"the official solution of {group.name} loses points, so nobody was graded:\n{lost}")


def grade_class(root: Path, name: str, force: bool = False, processes: int | None = None) -> int:
    """Grade all submissions of a problem set that are new or changed, all of them with `force`; return how many."""
    group = Class(root.resolve(), name)
    students = group.students()
    lock = FileLock(root / ".grading.lock")
    try:
        with lock.acquire(timeout=0):
            return grade_locked(group, students, force, processes or min(8, os.cpu_count() or 1))
    except Timeout:
        raise Failure(f"{root} is being graded already: wait for it, or end the other `make grade`") from None


def grade_locked(group: Class, students: list, force: bool, processes: int) -> int:
    """Do the work of `grade_class`."""
    began, course = time.monotonic(), group.course
    hidden = (str(course.root), str(Path.home()))
    sandbox = find_sandbox(packages_outside(group.assignment.modules("given", "solution")), hidden)
    if not sandbox.safe:
        print(WARNING, file=sys.stderr)
    gradebooks.back_up(course)
    template = gradebooks.register(course, group.assignment, group.source)
    marks = [(cell.metadata.get("nbgrader", {}), cell.source) for cell in template.cells]
    stubs = {mark["grade_id"]: source for mark, source in marks if mark.get("solution")}
    recorded = gradebooks.recorded(course, group.name)
    jobs = [group.job(student, sandbox.safe) for student in students]
    todo = [job for job in jobs if force or not group.is_done(job, recorded)]
    if todo:
        check_official(group, sandbox, stubs)
    try:
        with tqdm(total=len(todo), unit="student", disable=not todo) as bar:
            for job, report, submission in reports(group.assignment, todo, sandbox, stubs, processes):
                group.keep(template, job, report, submission)
                bar.update()
    finally:
        path = group.publish()
        done = gradebooks.results(course, group.name)
    print("\n".join(summary(group, jobs, todo, done, path, time.monotonic() - began)))
    return len(todo)


def summary(group, jobs, todo, done, path, seconds) -> list[str]:
    """Return what is said at the end, on all submissions: those that were graded before Ctrl-C are among them."""
    notes = {job.student: group.state(job.student).get("report", {}).get("notes", []) for job in jobs}
    troubled = [f"  {student}: {note}" for student, found in notes.items() for note in found[:3]]
    points = sorted(result["score"] for result in done.values())
    most = next(iter(done.values()))["max_score"]
    waiting = sum(bool(result["waiting"]) for result in done.values())
    lines = [
        f"{group.name}: {len(todo)} graded in {seconds:.0f} s, {len(jobs) - len(todo)} unchanged since they were graded"
    ]
    lines += [f"points, of {most:g}: lowest {points[0]:g}, median {points[len(points) // 2]:g}, highest {points[-1]:g}"]
    lines += [f"{waiting} wait for marks by hand: formgrader, Manual Grading"] if waiting else []
    lines += ["to look at:", *troubled] if troubled else []
    return [*lines, f"grades: {path}", f"feedback: {group.course.root / 'feedback'}"]


WARNING = """
********************************************************************************************************
* NO SANDBOX: bubblewrap (bwrap) is not installed here, or may not make a sandbox on this machine.     *
* What students handed in runs as you, with limits on time and memory, but it can read your files,     *
* the tests and what others handed in, and use the network. Grade only people you trust this way.      *
* On Debian or Ubuntu: sudo apt install bubblewrap; from Ubuntu 24.04 on, bubblewrap also needs        *
* sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0                                           *
********************************************************************************************************
"""

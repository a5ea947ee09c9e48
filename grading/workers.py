"""One process for each submission: whatever becomes of it, the others and the grader go on.

Light to import: every such process starts as a copy of one that has loaded what the tests need, and not nbgrader.
"""

import contextlib
import multiprocessing
import signal
import time
from dataclasses import dataclass
from multiprocessing import connection, forkserver

from grading.evaluator import evaluate
from grading.marks import Mark, Report
from grading.notebooks import Assignment, Submission, read_submission
from grading.sandbox import Limits, Sandbox

PATIENCE = 120  # seconds for a grading process beyond the time that its submission may take


@dataclass(frozen=True)
class Job:
    """One submission to grade: what was handed in, or why that cannot be read."""

    student: str
    content: bytes
    problem: str
    fingerprint: str
    timestamp: str | None


def work(pipe, assignment: Assignment, job: Job, sandbox: Sandbox, stubs: dict) -> None:
    """Grade one submission in a process of its own, and send (report, submission)."""
    submission, problem = Submission(), job.problem
    if not problem:
        try:
            submission = read_submission(job.content, assignment)
        except ValueError as error:
            problem = str(error)
    if problem:
        report = broken(assignment, job.student, f"Nothing could be graded: {problem}.")
    else:
        report = evaluate(assignment, submission, job.student, sandbox, stubs)
    with contextlib.suppress(BrokenPipeError):  # the grader was stopped meanwhile
        pipe.send((report, submission))


def broken(assignment: Assignment, student: str, note: str) -> Report:
    """Return the report of a submission that cannot be graded: no points, and why."""
    cells = assignment.having("test", "answer")
    return Report(student, {cell.name: Mark(0.0, cell.points, note if cell.points else "") for cell in cells}, [note])


def start_deaf() -> None:
    """Start the process that all others are copies of with Ctrl-C ignored: this one hears it, and ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def undisturbed():
    """Keep Ctrl-C waiting until the block ends: a process that got half of its task would complain."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def reports(assignment, jobs, sandbox, stubs, processes):
    """Yield (job, report, submission) as they come, from processes that do not outlive a submission."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["grading.workers", *sorted(assignment.imports("given", "test"))])
    start_deaf()
    patience = Limits(**assignment.settings).total_seconds + PATIENCE
    waiting, running = list(jobs)[::-1], {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                job = waiting.pop()
                with undisturbed():
                    ours, theirs = context.Pipe(duplex=False)
                    process = context.Process(target=work, args=(theirs, assignment, job, sandbox, stubs))
                    process.start()
                    theirs.close()
                    running[ours] = job, process, time.monotonic() + patience
            ready = connection.wait(list(running), timeout=1)
            late = [pipe for pipe, (_, _, end) in running.items() if time.monotonic() > end and pipe not in ready]
            for pipe in [*ready, *late]:
                job, process, _ = running.pop(pipe)
                report, submission = None, Submission()
                if pipe in ready:
                    with contextlib.suppress(EOFError):
                        report, submission = pipe.recv()
                process.kill()
                process.join()
                pipe.close()
                yield job, report or broken(assignment, job.student, "The grading of it was cut off."), submission
    finally:
        for _, process, _ in running.values():
            process.kill()
            process.join()

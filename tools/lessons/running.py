"""Run what has changed, as many lessons at once as there are processors, with a line for each."""

import os
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tools.lessons import executions
from tools.lessons.places import ROOT


def several(lessons: list, say=print) -> list:
    """Return the executions of some lessons, after running those that have changed, the longest first.

    Args:
        lessons: their paths.
        say: is given each line of progress.

    """
    for lesson in lessons:
        report_path(lesson).unlink(missing_ok=True)
    found = {lesson: executions.find(lesson) for lesson in lessons}
    missing = [lesson for lesson in lessons if found[lesson] is None or found[lesson].errors]
    if missing:
        executions.prepare()
        say(f"Running {len(missing)} of {len(lessons)} lessons; the others have not changed since they ran.")
    start, workers = time.monotonic(), min(os.cpu_count() or 1, len(missing) or 1)
    pool = ThreadPoolExecutor(workers)
    try:
        jobs = {pool.submit(executions.execution, one, again=True): one for one in sorted(missing, key=expected)[::-1]}
        for number, job in enumerate(as_completed(jobs), start=1):
            lesson, found[jobs[job]] = jobs[job], job.result()
            say(line(lesson, found[lesson], number, len(missing), time.monotonic() - start))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [found[lesson] for lesson in lessons]


def expected(lesson: Path) -> float:
    """Return the seconds that a lesson took last time; one that never ran here is guessed by its length."""
    last = next(iter(executions.kept(lesson)), None)
    return last.seconds if last else lesson.stat().st_size / 10_000


def line(lesson: Path, found, number: int, of: int, seconds: float) -> str:
    """Return the line about a lesson that has ended: a bar, its seconds, its name, and whether it failed."""
    bar = "#" * round(20 * number / of)
    text = f"  [{bar:<20}] {number:2d} of {of}  {seconds:4.0f} s  {lesson.stem} ({found.seconds:.0f} s)"
    return f"{text}  FAILED: see {report(lesson, found)}" if found.errors else text


def report_path(lesson: Path) -> Path:
    """Return where the errors of a lesson are written."""
    return ROOT / "logs" / "lessons" / f"{lesson.stem}.txt"


def report(lesson: Path, found) -> str:
    """Write the errors of a lesson into a file, and return its path from the repository on."""
    path = report_path(lesson)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(found.errors) + "\n", encoding="utf-8")
    return path.relative_to(ROOT).as_posix()


def main(words: list) -> int:
    """Run the lessons that have changed, or of those the named ones; return 1 if a cell failed."""
    from tools.lessons.keys import lessons

    chosen = lessons(words)
    if not chosen:
        print(f"no lesson begins with {' or '.join(words)}; there are: {', '.join(one.stem for one in lessons())}")
        return 2
    try:
        found = several(chosen, lambda text: print(text, flush=True))
    except KeyboardInterrupt:
        print("\nStopped. Lessons that had ended are kept: the same command goes on from there.", flush=True)
        os._exit(130)  # at once; the kernels end when their parent is gone
    return int(any(one.errors for one in found))

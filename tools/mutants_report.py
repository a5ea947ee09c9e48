"""The report of mutation testing: how much was killed of each file, every survivor with its place and a reason."""

import ast
import json
import os
import platform
import re
import sys
from contextlib import chdir
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path

from statsmodels.stats.proportion import proportion_confint

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "mutants"
REPORT = ROOT / "benchmarks" / "results" / "mutants.json"
GOAL = 0.85
# The exit status of pytest: a failure, an error of pytest itself; and of a run that would not end.
KILLED, ENDLESS = (1, 3), (24, -24, 152)
ERROR_TEXT = "the words of an error message"
OPEN = "NOT YET JUDGED"


def definition(tree: ast.Module, name: str, inside: str | None) -> ast.FunctionDef:
    """Return a function of a file, or the method of a class."""
    body = tree.body
    if inside:
        body = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == inside).body
    return next(node for node in body if isinstance(node, ast.FunctionDef) and node.name == name)


def lines_above(source: str, function: ast.FunctionDef) -> int:
    """Return the length of the comment above a function, with the empty lines between the two: mutmut counts them."""
    before = reversed(source.splitlines()[: function.lineno - 1])
    above = list(takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), before))
    while above and not above[-1].strip():
        above.pop()
    return len(above)


def change(mutant: str, file: str) -> dict:
    """Return where a mutant differs from the file, in which function, the text before and after, and a reason."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.utils.format_utils import orig_function_and_class_names_from_key

    source, names = (WORK / file).read_text(encoding="utf-8"), orig_function_and_class_names_from_key(mutant)
    function = definition(ast.parse(source), *names)
    with chdir(WORK):
        _, _, hunk, *lines = get_diff_for_mutant(mutant, path=Path(file)).splitlines()
    gone, come = ([line[1:].strip() for line in lines if line[0] == sign] for sign in "-+")
    first = int(re.match(r"@@ -(\d+)", hunk)[1]) + next(i for i, line in enumerate(lines) if line[0] == "-")
    line = function.lineno - 1 + first - lines_above(source, function)
    raised = any(node.lineno <= line <= node.end_lineno for node in ast.walk(function) if isinstance(node, ast.Raise))
    return {
        "place": f"{file}:{line}",
        "function": ".".join(filter(None, reversed(names))),
        "before": " ".join(gone),
        "after": " ".join(come),
        "reason": ERROR_TEXT if raised else OPEN,
    }


def judged(changes: list[dict], before: list[dict]) -> list[dict]:
    """Return survivors with the reasons that an earlier report gave for the same change; lines may have moved."""

    def key(entry):
        return entry["place"].partition(":")[0], entry["function"], entry["before"], entry["after"]

    reasons = {key(entry): entry["reason"] for entry in before}
    return [entry | {"reason": reasons.get(key(entry), entry["reason"])} for entry in changes]


def counted(mutants: int, asked: dict[str, int | None]) -> dict:
    """Return what became of the mutants of one file, and the 95 % interval of Wilson where they are a sample."""
    statuses = [status for status in asked.values() if status is not None]
    killed, endless = (sum(status in wanted for status in statuses) for wanted in (KILLED, ENDLESS))
    row = {"mutants": mutants, "asked": len(statuses), "killed": killed + endless, "of them endless": endless,
           "survived": statuses.count(0), "other": len(statuses) - killed - endless - statuses.count(0)}  # fmt: skip
    if statuses:
        row["share killed"] = round(row["killed"] / len(statuses), 3)
    if 0 < len(statuses) < mutants:
        row["interval"] = [round(end, 3) for end in proportion_confint(row["killed"], len(statuses), method="wilson")]
    return row


def machine() -> dict:
    """Return what kind of machine this is."""
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return {"machine": platform.machine(), "system": platform.system(), "cpu": names[0] if names else None,
            "cores": os.cpu_count()}  # fmt: skip


def write(files: dict[str, tuple[int, dict[str, int | None]]], command: str, tests: list[str]) -> int:
    """Write the report and say what it holds; return 1 where the goal is missed or a survivor has no reason, else 0.

    Args:
        files: by name, how many mutants a file has, and the exit status of the tests for those that were asked.
        command: that made it.
        tests: the files of tests that ran.
    """
    before = json.loads(REPORT.read_text(encoding="utf-8"))["survivors"] if REPORT.exists() else []
    rows = {f"rnnlab/{name}.py": counted(*counts) for name, counts in files.items()}
    asked = [(mutant, status, f"rnnlab/{name}.py") for name, (_, of) in files.items() for mutant, status in of.items()]
    alive = [change(mutant, file) for mutant, status, file in asked if status not in (None, *KILLED, *ENDLESS)]
    alive = judged(alive, before)
    total = counted(sum(n for n, _ in files.values()), {mutant: status for mutant, status, _ in asked})
    packages = ("mutmut", "pytest", "hypothesis", "numpy", "torch")
    record = {
        "command": command,
        "versions": {"python": platform.python_version()} | {package: version(package) for package in packages},
        "machine": machine(),
        "tests": {"tier": "quick", "files": tests},
        "goal": GOAL,
        "all": total,
        "files": rows,
        "survivors": alive,
    }
    REPORT.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, row in {**rows, "all": total}.items():
        print(f"{name:28}", *(f"{value} {key}," for key, value in row.items()))
    missing = sum(entry["reason"] == OPEN for entry in alive)
    print(f"{len(alive)} survivors, {missing} of them without a reason: {REPORT.relative_to(ROOT)}", file=sys.stderr)
    return int(missing > 0 or total.get("share killed", 0) < GOAL)

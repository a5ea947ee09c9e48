"""The report of mutation testing: what it counts, and what the stored one says. The mutants are no test."""

import ast
import json

from tools import mutants, mutants_report
from tools.mutants_report import GOAL, KILLED, OPEN, REPORT, ROOT, counted, definition, judged, lines_above

SOURCE = """
class A:
    # of another

    # one line
    # and one more

    def f(self):
        return 1


def f():
    return 2
"""


def test_a_function_is_found_and_the_comment_above_it_is_counted():
    method, function = (definition(ast.parse(SOURCE), "f", inside) for inside in ("A", None))
    assert (method.lineno, function.lineno) == (8, 12)
    assert (lines_above(SOURCE, method), lines_above(SOURCE, function)) == (5, 0)


def test_only_a_failed_test_and_a_run_without_end_are_kills():
    """mutmut calls 255 a run without end too, but pytest could not begin there; 33 is no test at all."""
    asked = {"a": 1, "b": 1, "c": -24, "d": 0, "e": 255, "f": 33, "g": None}
    row = counted(100, asked)
    assert {key: row[key] for key in ("mutants", "asked", "killed", "of them endless", "survived", "other")} == {
        "mutants": 100, "asked": 6, "killed": 3, "of them endless": 1, "survived": 1, "other": 2}  # fmt: skip
    low, high = row["interval"]
    assert row["share killed"] == 0.5 and 0 < low < 0.5 < high < 1
    assert "interval" not in counted(6, {key: status for key, status in asked.items() if key != "g"})


def test_a_reason_stays_with_its_mutant_when_lines_move():
    old = {"place": "rnnlab/a.py:3", "function": "f", "before": "x + 1", "after": "x - 1", "reason": "x is infinite"}
    moved, other = old | {"place": "rnnlab/a.py:9", "reason": OPEN}, old | {"after": "x + 2", "reason": OPEN}
    assert [entry["reason"] for entry in judged([moved, other], [old])] == ["x is infinite", OPEN]


def test_the_sample_of_a_file_is_the_same_in_every_call(monkeypatch):
    monkeypatch.setattr(mutants, "decided", lambda name: {f"{name}_{k}": None for k in range(200)})
    assert mutants.sample("cells", 60) == mutants.sample("cells", 60) != mutants.sample("gru", 60)
    assert len(mutants.sample("cells", 60)) == 60 and len(mutants.sample("cells", 999)) == 200


def test_the_stored_report_reaches_the_goal_and_gives_a_reason_for_each_survivor():
    record = json.loads(REPORT.read_text(encoding="utf-8"))
    assert list(record["files"]) == [f"rnnlab/{name}.py" for name in mutants.FILES]
    rows = record["files"].values()
    assert record["all"]["killed"] == sum(row["killed"] for row in rows) >= GOAL * sum(row["asked"] for row in rows)
    assert all(row["asked"] >= min(60, row["mutants"]) for row in rows)
    assert len(record["survivors"]) == sum(row["asked"] - row["killed"] for row in rows)
    assert all(entry["reason"] not in ("", OPEN) for entry in record["survivors"])
    assert all((ROOT / entry["place"].partition(":")[0]).exists() for entry in record["survivors"])
    assert 0 not in KILLED and mutants_report.GOAL == record["goal"] == 0.85

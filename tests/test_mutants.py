"""The report of mutation testing: what it counts. The mutants themselves are no test."""

import ast

from tools import mutants
from tools.mutants_report import OPEN, counted, definition, judged, lines_above

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

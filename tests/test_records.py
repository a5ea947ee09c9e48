"""What the scripts of the applications share, and what every test that compares with a record must say."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from evidence import script

records = script("records")


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "model.npz"
    with records.whole(path) as beside:
        np.savez(beside, one=np.ones(2))
        assert not path.exists()
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), records.whole(path) as beside:
            beside.write_bytes(b"half")
            raise error
    assert np.load(path)["one"].tolist() == [1, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]
    records.write(path.with_suffix(".json"), "ä")
    assert path.with_suffix(".json").read_text(encoding="utf-8") == "ä"


@pytest.mark.parametrize("seeds", records.T975)
def test_the_interval_holds_the_mean_in_95_of_100_draws(seeds):
    draws = np.random.default_rng(0).normal(3, 2, (20_000, seeds))
    means = draws.mean(axis=1)
    halves = records.T975[seeds] * draws.std(axis=1, ddof=1) / np.sqrt(seeds)
    assert (np.abs(means - 3) < halves).mean() == pytest.approx(0.95, abs=0.005)
    assert records.mean_and_half(draws[0]) == pytest.approx((means[0], halves[0]))


# ---------------------------------------------------------------- tests that compare with what is stored

COMPARES = re.compile(r"as_stored|(come|comes)_out_again|_again$|record_says|cells_of_the_record")
SAYS = ("begins_as_stored", "skip_unless_exact", "rounds_as", "as_made")  # of tests/evidence.py; as_made is a fixture


def silent(source):
    """Return the tests of a file that by their names compare with a record and do not say what rounding may change."""
    tests = [one for one in ast.parse(source).body if isinstance(one, ast.FunctionDef) and COMPARES.search(one.name)]
    names = {one.name: {node.id for node in ast.walk(one) if isinstance(node, ast.Name)} for one in tests}
    arguments = {one.name: {arg.arg for arg in one.args.args} for one in tests}
    return [one.name for one in tests if one.name.startswith("test_") and not ast.get_docstring(one)
            and not (names[one.name] | arguments[one.name]) & set(SAYS)]  # fmt: skip


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parent.glob("test_lesson_[0-9]*.py")), ids=lambda path: path.stem
)
def test_what_compares_with_a_record_says_what_rounding_may_change(path):
    assert not silent(path.read_text(encoding="utf-8"))


def test_a_comparison_that_says_nothing_would_be_noticed():
    assert silent("def test_a_run_is_as_stored(record):\n    assert run() == record") == ["test_a_run_is_as_stored"]
    assert not silent("def test_a_run_is_as_stored(record):\n    begins_as_stored(run(), record)")

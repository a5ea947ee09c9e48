"""The simulated other machines: numbers are rounded otherwise there, by the last bit only, and the record says how."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tools import roundings
from tools.lessons.places import ROUNDING, surroundings

ROOT = Path(__file__).resolve().parents[1]
DRAWS = """
import copy, json, pickle
import numpy as np, torch
rng = np.random.default_rng(3)
copies = copy.deepcopy(rng), pickle.loads(pickle.dumps(rng)), np.random.default_rng(rng)
drawn = {"normal": rng.standard_normal(1000), "float32": rng.standard_normal(1000, dtype=np.float32),
         "uniform": rng.uniform(-1, 1, 1000), "random": rng.random((10, 100)).ravel(), "one": np.array([rng.random()])}
assert copies[0].standard_normal() == copies[1].standard_normal() == drawn["normal"][0] and copies[2] is rng
assert isinstance(rng, np.random.Generator) and isinstance(rng.random(), float)
drawn["integers"], drawn["order"] = rng.integers(9, size=100), rng.permutation(100)
torch.manual_seed(3)
drawn["torch"], drawn["weights"] = torch.randn(100).numpy(), torch.nn.Linear(3, 4).weight.detach().numpy().ravel()
print(json.dumps({name: [str(array.dtype), array.tobytes().hex()] for name, array in drawn.items()}))
"""


def draws(variables):
    """Return what a fresh Python draws under these variables, by name: arrays."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", *ROUNDING)}
    done = subprocess.run([sys.executable, "-c", DRAWS], env=environment | variables, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return {name: np.frombuffer(bytes.fromhex(data), dtype) for name, (dtype, data) in json.loads(done.stdout).items()}


def test_what_is_drawn_moves_by_its_last_bit_and_nothing_else():
    here, there = draws({}), draws(roundings.roundings()["last-bit"])
    for name in ("integers", "order"):
        assert here.pop(name).tolist() == there.pop(name).tolist()
    for name, one in here.items():
        bits = [array.view(f"u{array.itemsize}") for array in (one, there[name])]
        assert (bits[0] ^ bits[1] == 1).all(), name
    assert there["random"].min() >= 0 and there["random"].max() < 1 and abs(there["uniform"]).max() <= 1


def test_kernels_that_run_lessons_move_too(monkeypatch):
    variables = roundings.roundings()["last-bit"]
    assert variables["RNNLAB_NUDGE"] not in surroundings()["PYTHONPATH"]
    monkeypatch.setenv("RNNLAB_NUDGE", variables["RNNLAB_NUDGE"])
    assert surroundings()["PYTHONPATH"].split(os.pathsep) == [variables["RNNLAB_NUDGE"], str(ROOT)]
    known = {name for one in roundings.roundings().values() for name in one} - {"PYTHONPATH"}
    assert known <= set(ROUNDING), "an execution that was made with another rounding must not be taken for this one"


def test_the_module_has_no_switch_for_tests():
    for path in (ROOT / "rnnlab").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not any(name in text for name in ("last_bit", *ROUNDING)), path.name


def test_a_machine_that_rounds_as_this_one_does_simulates_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(roundings, "RESULT", tmp_path / "roundings.json")
    monkeypatch.setattr(roundings, "run", lambda *_: pytest.fail("nothing is to be run"))
    assert roundings.simulate("torch", {"NO_SUCH_VARIABLE": "1"}, [], False)
    assert "simulates nothing here" in capsys.readouterr().out
    record = json.loads((tmp_path / "roundings.json").read_text(encoding="utf-8"))
    assert record["roundings"]["torch"]["not_simulated"] and record["machine"]["system"]


def test_the_row_says_what_passed_failed_and_was_skipped(tmp_path, monkeypatch):
    (tmp_path / "test_four.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n"
        "@pytest.mark.skip('no such thing')\ndef test_c(): pass\ndef test_d(): pytest.skip('nor this')\n",
        encoding="utf-8",
    )
    row = roundings.run({}, [str(tmp_path / "test_four.py"), "-q", f"--rootdir={tmp_path}"])
    assert row["passed"] == 1 and row["status"] == 1 and row["skipped"] == {"no such thing": 1, "nor this": 1}
    assert [name.partition("::")[2] for name in row["failed"]] == ["test_b"]


def test_a_name_that_is_none_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["roundings", "moon"])
    with pytest.raises(SystemExit):
        roundings.main()
    assert "expected names among instructions, torch, last-bit, got moon" in capsys.readouterr().err

"""The training script of lesson 14: it learns, goes on bit for bit, refuses bad settings; planted faults show."""

import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from rnnlab.doctor import diagnose

SCRIPT = Path(__file__).resolve().parents[1] / "notebooks" / "train_speakers.py"
SOURCE = SCRIPT.read_text(encoding="utf-8")
CPU = torch.device("cpu")


def load(*changes):
    """Return the script as a module, after changes (old, new) of its source."""
    source = SOURCE
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in the script"
        source = source.replace(old, new)
    module = types.ModuleType("train_speakers")
    sys.modules["train_speakers"] = module  # dataclasses look their module up
    exec(compile(source, SCRIPT.name, "exec"), vars(module))
    return module


@pytest.fixture(autouse=True)
def as_before():
    """The script's command asks torch for deterministic algorithms; other tests did not."""
    yield
    torch.use_deterministic_algorithms(False)
    sys.modules.pop("train_speakers", None)


def toy_data(seed=0, number=40):
    """Two classes of noise, 3 to 9 steps of 2 numbers: the class is the sign of the first step."""
    generator, parts = torch.Generator().manual_seed(seed), {}
    for part in ("train", "validation", "test"):
        lengths = torch.randint(3, 10, (number,), generator=generator).tolist()
        frames = [torch.randn(length, 2, generator=generator) for length in lengths]
        parts[part] = [(one, int(one[0, 0] > 0)) for one in frames]
    return parts, 2, 2


def new_run(script, folder, data=None, **settings):
    return script.Run(script.Config(**({"hidden": 8, "lr": 0.02} | settings)), folder, data or toy_data(), CPU)


def silent(line):
    pass


def weights(run):
    return torch.cat([param.detach().reshape(-1) for param in run.model.parameters()])


# ---------------------------------------------------------------- what must hold, and faults that must show


def learns(script, tmp_path):
    run = new_run(script, tmp_path / "learns", data=toy_data(number=200), dropout=0.0)
    run.train(15, silent)
    assert run.result(test=True)["test_accuracy"] > 0.8


def reads_its_own_steps_only(script, tmp_path):
    config = script.Config(hidden=8, bidirectional=True)
    torch.manual_seed(0)
    x, lengths, labels = script.collate(toy_data()[0]["train"][:6])
    report = diagnose(script.SpeakerNet(2, 2, config), ((x, lengths), labels), nn.functional.cross_entropy)
    assert {one.kind for one in report.findings} == set()
    assert report.tests["cross_sample_leak"] == report.tests["ignores_history"] == "passed"
    assert report.tests["reads_padding"] == "passed"


def answers_do_not_depend_on_the_batch(script, tmp_path):
    model = new_run(script, tmp_path / "batch", bidirectional=True, layers=2).model.eval()
    samples = toy_data()[0]["validation"]
    x, lengths, _ = script.collate(samples)
    alone = torch.cat([model(*script.collate([one])[:2]) for one in samples])
    torch.testing.assert_close(model(x, lengths), alone, atol=1e-5, rtol=0)


def resumes_bit_for_bit(script, tmp_path):
    straight, folder = new_run(script, tmp_path / "straight", dropout=0.5), tmp_path / "stopped"
    straight.train(4, silent)
    first = new_run(script, folder, dropout=0.5)
    first.train(2, silent)
    again = new_run(script, folder, dropout=0.5)
    torch.rand(5)  # as if something else had drawn
    again.load()
    assert again.best and again.best["epoch"] == first.best["epoch"] and again.history == first.history
    again.train(4, silent)
    assert torch.equal(weights(straight), weights(again))
    assert straight.history == again.history and straight.best["epoch"] == again.best["epoch"]
    assert all(torch.equal(one, again.best["model"][name]) for name, one in straight.best["model"].items())


def repeats(script, tmp_path):
    runs = []
    for n, seed in enumerate((3, 3, 4)):
        runs.append(new_run(script, tmp_path / f"repeat{n}", dropout=0.5, seed=seed))
        runs[n].train(2, silent)
        torch.rand(7)  # as if something else had drawn
    assert torch.equal(weights(runs[0]), weights(runs[1])) and not torch.equal(weights(runs[0]), weights(runs[2]))


def clips(script, tmp_path):
    """Plain descent with a rate of 1 moves the weights by what the clip leaves; the norms told are those before it."""
    run = new_run(script, tmp_path / "clips", dropout=0.0, max_norm=0.01)
    run.optimizer = torch.optim.SGD(run.model.parameters(), lr=1.0)
    before = weights(run)
    one = script.DataLoader(run.parts["train"][:16], 16, collate_fn=script.collate)
    _, norms = script.train_epoch(run.model, one, run.optimizer, 0.01, CPU)
    assert (weights(run) - before).norm().item() == pytest.approx(0.01, rel=1e-3) and norms[0] > 0.05


class Twice:
    """A loader that gives the same batch twice."""

    def __init__(self, script, samples):
        self.dataset, self.batch = samples * 2, script.collate(samples)

    def __iter__(self):
        return iter([self.batch, self.batch])


def forgets_the_last_gradient(script, tmp_path):
    """With a rate of 0 the same batch has the same gradient twice."""
    run = new_run(script, tmp_path / "grads", dropout=0.0)
    optimizer = torch.optim.SGD(run.model.parameters(), lr=0.0)
    _, norms = script.train_epoch(run.model, Twice(script, run.parts["train"][:16]), optimizer, 1e9, CPU)
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)


def measures_without_dropout(script, tmp_path):
    run = new_run(script, tmp_path / "eval", dropout=0.9)
    run.model.train()
    found = {script.evaluate(run.model, run.loader("validation"), CPU) for _ in range(3)}
    assert len(found) == 1 and run.model.training
    one_batch = script.DataLoader(run.parts["validation"], 1000, collate_fn=script.collate)
    assert script.evaluate(run.model, one_batch, CPU)[0] == pytest.approx(found.pop()[0], rel=1e-5)


def trains_with_dropout(script, tmp_path):
    run = new_run(script, tmp_path / "dropout", dropout=0.9)
    run.model.eval()
    script.train_epoch(run.model, run.loader("train"), run.optimizer, 1.0, CPU)
    assert run.model.training


def stops_early_and_keeps_the_best(script, tmp_path):
    """A validation loss that is lowest at the second epoch: three more, the end, and that network is what counts."""
    run, losses = new_run(script, tmp_path / "early", patience=3), iter([0.9, 0.5, 0.6, 0.7, 0.8, 0.1])
    seen, real = [], script.evaluate

    def told(model, loader, device):
        seen.append(weights(run))
        return next(losses), 0.5

    script.evaluate = told
    run.train(50, silent)
    script.evaluate = real
    assert len(run.history) == 5 and run.best["epoch"] == 2
    best = torch.cat([run.best["model"][name].reshape(-1) for name, _ in run.model.named_parameters()])
    assert torch.equal(best, seen[1]) and not torch.equal(best, weights(run))
    last = weights(run)
    used = []
    script.evaluate = lambda model, loader, device: used.append(weights(run)) or (0.0, 0.0)
    run.result(test=True)
    script.evaluate = real
    assert torch.equal(used[0], best) and torch.equal(weights(run), last), (
        "the test is of the best, the run keeps its last"
    )


def leaves_the_test_set_alone(script, tmp_path):
    run = new_run(script, tmp_path / "test")
    asked, real = [], run.loader
    run.loader = lambda part: asked.append(part) or real(part)
    run.train(2, silent)
    result = run.result()
    assert "test" not in asked and "test_accuracy" not in result
    assert asked.count("train") == asked.count("validation") == 2
    assert "test_accuracy" in run.result(test=True) and asked.count("test") == 1


def shows_every_sample_in_a_new_order(script, tmp_path):
    run = new_run(script, tmp_path / "order")
    first, second = ([round(n, 6) for x, *_ in run.loader("train") for n in x[:, 0, 0].tolist()] for _ in range(2))
    assert sorted(first) == sorted(second) and first != second


PROMISES = [
    learns, reads_its_own_steps_only, answers_do_not_depend_on_the_batch, resumes_bit_for_bit, repeats, clips,
    forgets_the_last_gradient, measures_without_dropout, trains_with_dropout, stops_early_and_keeps_the_best,
    leaves_the_test_set_alone, shows_every_sample_in_a_new_order,
]  # fmt: skip


@pytest.mark.parametrize("promise", PROMISES, ids=lambda one: one.__name__)
def test_the_script(promise, tmp_path):
    promise(load(), tmp_path)


BACK, STEP = "        loss.backward()\n", "        optimizer.step()\n"
CLIP = SOURCE[SOURCE.index("        norm = nn.utils.clip_") : SOURCE.index("        if not math.isfinite(norm)")]
NOT_PACKED = (SOURCE[SOURCE.index("        packed = ") : SOURCE.index("        _, (h, _) = ")], ""), ("(packed)", "(x)")
RESTORED = "self.best, self.history, self.seconds = state"
FAULTS = {
    "no batch_first": (reads_its_own_steps_only, ("            batch_first=True,\n", ""), *NOT_PACKED),
    "the padding is read": (reads_its_own_steps_only, *NOT_PACKED),
    "the padding is read, seen in answers": (answers_do_not_depend_on_the_batch, *NOT_PACKED),
    "the state is not read": (reads_its_own_steps_only, ("cat([h[-2], h[-1]], dim=1)", "cat([0 * h[0]] * 2, 1)")),
    "clip before backward": (clips, (CLIP, ""), (BACK, CLIP + BACK)),
    "clip after step": (clips, (CLIP, "        norm = 0.0\n"), (STEP, STEP + CLIP)),
    "no clip": (clips, ("parameters(), max_norm)", "parameters(), 1e9)")),
    "gradients add up": (forgets_the_last_gradient, ("        optimizer.zero_grad()\n", "")),
    "measured with dropout": (measures_without_dropout, ("    model.eval()\n", "")),
    "the mode is not put back": (measures_without_dropout, ("    model.train(was_training)\n", "")),
    "mean of means of batches": (measures_without_dropout, (', reduction="sum").item()', ").item() * 16")),
    "trained without dropout": (trains_with_dropout, ("    model.train()\n", "")),
    "optimizer not resumed": (resumes_bit_for_bit, ('self.optimizer.load_state_dict(state["optimizer"])', "pass")),
    "order not resumed": (resumes_bit_for_bit, ('        self.order.set_state(state["order"])\n', "")),
    "dropout not resumed": (resumes_bit_for_bit, ('        torch.set_rng_state(state["random"])\n', "")),
    "best not resumed": (resumes_bit_for_bit, (f'{RESTORED}["best"]', RESTORED.replace("state", "None"))),
    "weights not seeded": (repeats, ("        torch.manual_seed(config.seed)", "        pass")),
    "order not seeded": (repeats, ("= torch.Generator().manual_seed", "= (g := torch.Generator(), g.seed())[0] or")),
    "best is not a copy": (stops_early_and_keeps_the_best, ("value.detach().clone()", "value.detach()")),
    "never stops early": (stops_early_and_keeps_the_best, (" and self.waited < self.config.patience", "")),
    "the last network is tested": (
        stops_early_and_keeps_the_best, ('            self.model.load_state_dict(self.best["model"])\n', "")),
    "stops by the test set": (leaves_the_test_set_alone, ('self.loader("validation")', 'self.loader("test")')),
    "never mixed": (shows_every_sample_in_a_new_order, ('if part == "train" else {}', "if False else {}")),
    "learns nothing": (learns, (STEP, "")),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault, tmp_path):
    promise, *changes = FAULTS[fault]
    with pytest.raises((AssertionError, ValueError, StopIteration)):
        promise(load(*changes), tmp_path)


# ---------------------------------------------------------------- stopping and going on


def test_a_checkpoint_is_whole_or_not_there(tmp_path):
    script, target = load(), tmp_path / "folder" / "file"
    script.write_whole(target, lambda file: file.write(b"old"))

    def interrupted(file):
        file.write(b"half of the n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        script.write_whole(target, interrupted)
    assert target.read_bytes() == b"old" and [path.name for path in target.parent.iterdir()] == ["file"]


def test_an_interrupted_epoch_is_done_again(tmp_path, monkeypatch, capsys):
    """Ctrl-C in the middle of the third epoch, then --resume: as if nothing had been."""
    script = load()
    monkeypatch.setattr(script, "load_data", toy_data)
    command = ["--hidden", "8", "--epochs", "4", "--dropout", "0.5", "--device", "cpu", "--quiet"]
    assert script.main([*command, "--out", str(tmp_path / "straight")]) == 0
    real, calls = script.evaluate, []

    def interrupting(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(script, "evaluate", interrupting)
    assert script.main([*command, "--out", str(tmp_path / "stopped")]) == 130
    assert "2 whole epochs" in (told := capsys.readouterr().err) and "--resume" in told
    assert not (tmp_path / "stopped" / "metrics.json").exists()
    monkeypatch.setattr(script, "evaluate", real)
    torch.manual_seed(5)
    assert script.main([*command, "--out", str(tmp_path / "stopped"), "--resume", "--test"]) == 0
    one, other = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("straight", "stopped"))
    assert one["history"] == other["history"] and len(one["history"]) == 4
    assert "test_accuracy" not in one and 0 <= other["test_accuracy"] <= 1


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to one process on Windows")
def test_ctrl_c_in_a_shell(tmp_path):
    """A real process on the real data, stopped by a real signal, and gone on with."""
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path), "--hidden", "8", "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1]), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*command, "--epochs", "10000", "--patience", "10000"], env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    first = process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in errors and "--resume" in errors, errors
    assert first.startswith("epoch   1  loss") and "validation" in first
    done = len(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["history"])
    assert load().main([*command[2:], "--epochs", str(done + 1), "--patience", "10000", "--resume"]) == 0
    assert len(json.loads((tmp_path / "metrics.json").read_text())["history"]) == done + 1


def test_a_gradient_that_is_not_finite_ends_the_run_and_keeps_the_weights(tmp_path, monkeypatch, capsys):
    script, (parts, *sizes) = load(), toy_data()
    frames, label = parts["train"][7]
    parts["train"][7] = (frames * torch.nan, label)
    monkeypatch.setattr(script, "load_data", lambda: (parts, *sizes))
    assert script.main(["--out", str(tmp_path), "--hidden", "8", "--device", "cpu", "--quiet"]) == 1
    assert "epoch 1: the gradient's norm is nan; try a smaller lr" in capsys.readouterr().err


# ---------------------------------------------------------------- bad settings


@pytest.mark.parametrize(
    "settings, message",
    [
        (["--hidden", "0"], "expected hidden of at least 1, got 0"),
        (["--lr", "0"], "expected lr above 0, got 0.0"),
        (["--lr", "nan"], "expected lr above 0, got nan"),
        (["--max-norm", "-1"], "expected max_norm above 0, got -1.0"),
        (["--dropout", "1"], "expected dropout from 0 to below 1, got 1.0"),
        (["--epochs", "0"], "expected epochs of at least 1, got 0"),
        (["--device", "cuda:7"], "this PyTorch sees no CUDA; try --device cpu"),
        (["--device", "abacus"], "abacus"),
        (["--resume"], "expected a checkpoint to resume, found no"),
    ],
)
def test_bad_settings_are_said_in_one_line(settings, message, tmp_path, monkeypatch, capsys):
    script = load()
    monkeypatch.setattr(script, "load_data", toy_data)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert script.main(["--out", str(tmp_path / "run"), *settings]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten_and_not_mixed_with_another(tmp_path, monkeypatch, capsys):
    script = load()
    monkeypatch.setattr(script, "load_data", toy_data)
    command = ["--out", str(tmp_path), "--hidden", "8", "--device", "cpu", "--quiet", "--epochs", "1"]
    assert script.main(command) == 0
    before = (tmp_path / "checkpoint.pt").read_bytes()
    assert script.main(command) == 2
    assert "--resume goes on, another --out starts afresh" in capsys.readouterr().err
    assert script.main([*command, "--resume", "--lr", "0.5"]) == 2
    assert "the checkpoint is of {'lr': 0.01}, you ask for {'lr': 0.5}" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "other"])
def test_a_damaged_checkpoint_is_named(content, tmp_path, monkeypatch, capsys):
    script = load()
    monkeypatch.setattr(script, "load_data", toy_data)
    if content == "other":
        torch.save({"format": "another"}, tmp_path / "checkpoint.pt")
    else:
        (tmp_path / "checkpoint.pt").write_bytes(content)
    assert script.main(["--out", str(tmp_path), "--device", "cpu", "--resume"]) == 2
    assert "expected a checkpoint of this script, got" in capsys.readouterr().err


def test_a_missing_package_is_named(tmp_path, monkeypatch, capsys):
    from rnnlab import datasets

    def gone(name):
        raise ModuleNotFoundError("the package sktime ships this data set and is not installed")

    monkeypatch.setattr(datasets, "load", gone)
    assert load().main(["--out", str(tmp_path)]) == 2
    assert "sktime" in capsys.readouterr().err


def test_without_out_the_help_is_pointed_at(capsys):
    with pytest.raises(SystemExit) as stop:
        load().main([])
    assert stop.value.code == 2 and "--out" in capsys.readouterr().err


def test_a_short_run_on_the_vowels_learns(tmp_path):
    script = load()
    run = script.Run(script.Config(hidden=32, lr=0.01), tmp_path, script.load_data(), CPU)
    run.train(5, silent)
    assert run.history[-1]["validation_accuracy"] > 0.7 and run.history[-1]["loss"] < run.history[0]["loss"] / 2

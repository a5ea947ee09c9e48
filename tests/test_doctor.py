"""The doctor: right about healthy and faulty models, leaves them as they were, and says what it cannot examine."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from evidence import script
from rnnlab.doctor import KINDS, Finding, Report, diagnose, main

ROOT = Path(__file__).resolve().parents[1]
zoo = script("doctor_zoo")
RECORD = json.loads((ROOT / "notebooks/evidence/doctor_zoo.json").read_text(encoding="utf-8"))


def healthy(steps=20):
    torch.manual_seed(0)
    return zoo.Classifier(), zoo.labelled(zoo.floats(steps=steps))


# ---------------------------------------------------------------- healthy and faulty models


@pytest.mark.parametrize("name", zoo.ZOO)
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_it_finds_what_was_planted_and_nothing_else(name):
    planted, found, report = zoo.examine(name, random.randrange(1000, 2000))
    assert found == planted, report
    assert all(one.kind in KINDS and one.severity in ("warning", "critical") for one in report.findings)
    assert all(one.where and one.evidence and one.advice for one in report.findings)


def test_what_a_model_remembers_of_the_last_batch_is_no_leak():
    """The kept state is the same before every run of the reading tests, in an attribute as in a buffer."""

    class Kept(zoo.Stateful):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, tokens):
            self.seen += tokens.float().mean()
            return super().forward(tokens) * torch.sigmoid(self.seen)

    torch.manual_seed(0)
    module = Kept()
    with torch.no_grad():
        for param in module.parameters():
            param *= 4
    tokens, y = torch.randint(zoo.WORDS, (8, 6)), torch.randint(2, (8,)).float()
    report = diagnose(module, (tokens, y), F.binary_cross_entropy)
    assert report.tests["cross_sample_leak"] == "passed" and module.hidden is None and module.seen == 0


def test_the_record_has_every_model():
    assert {row["model"] for row in RECORD["rows"]} == set(zoo.ZOO) and len(zoo.ZOO) >= 30
    assert sum(not row["planted"] for row in RECORD["rows"]) >= 20 * len(zoo.SEEDS)
    assert {kind for row in RECORD["rows"] for kind in row["planted"]} == set(KINDS)


def test_the_flow_is_that_of_the_torch_twin():
    """The same LSTM by `rl.gradient_flow`."""
    import rnnlab as rl

    rng, model = np.random.default_rng(0), rl.Model(rl.LSTMCell(2, 5), 1, rl.squared_error)
    params, batch = model.init(rng), rl.Adding(12).sample(rng, 4)
    module = zoo.Classifier(batch_first=False)
    module.rnn, module.head = nn.LSTM(2, 5), nn.Linear(5, 1)
    names = {f"rnn.{name}_l0": params[name] for name in model.cell.shapes}
    names |= {"head.weight": params["weight_out"], "head.bias": params["bias_out"]}
    module.double().load_state_dict({name: torch.tensor(array) for name, array in names.items()})
    y = torch.tensor(np.array(batch.y[-1]))
    report = diagnose(module, (torch.tensor(batch.x), y), F.mse_loss)
    np.testing.assert_allclose(report.layers["rnn"]["flow"], rl.gradient_flow(model, params, batch), rtol=1e-10)
    assert report.loss == pytest.approx(model.loss_and_grads(params, batch).loss)
    radius = rl.spectral_radius(params["weight_hh"][model.cell.rows("f")])
    assert report.layers["rnn"]["spectral_radius"]["f"] == pytest.approx(radius)


# ---------------------------------------------------------------- nothing is changed


class Restless(zoo.Classifier):
    """Change whatever a module can change in a forward pass."""

    def __init__(self):
        super().__init__(num_layers=2, dropout=0.5)
        self.register_buffer("seen", torch.zeros(3))
        self.norm, self.history, self.last = nn.BatchNorm1d(zoo.D), [], None

    def forward(self, x):
        self.seen += 1
        self.history.append(len(x))
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        self.last = super().forward(x) + 0 * (torch.rand(1) + np.random.rand() + random.random()).float()
        return self.last


def test_model_gradients_and_random_states_are_as_before():
    torch.manual_seed(0)
    module, batch = Restless(), zoo.labelled(zoo.floats())
    F.cross_entropy(module(batch[0]), batch[1]).backward()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    grads = {name: (param.grad, param.grad.clone()) for name, param in module.named_parameters()}
    history, last, forward = list(module.history), module.last, nn.LSTM.forward
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    for _ in range(2):
        diagnose(module, batch, F.cross_entropy)
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[2]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(param.grad is grads[name][0] and torch.equal(param.grad, grads[name][1])
               for name, param in module.named_parameters())  # fmt: skip
    assert module.history == history and module.last is last and module.training
    assert nn.LSTM.forward is forward and "forward" not in vars(module.rnn)
    assert not any(one._forward_hooks for one in module.modules())


def test_an_error_inside_the_model_leaves_it_as_it_was():
    module, batch = healthy()
    forward = nn.LSTM.forward
    with pytest.raises(RuntimeError):
        diagnose(module, (torch.randn(2, 3, 99), batch[1]), F.cross_entropy)
    with pytest.raises(ZeroDivisionError):
        diagnose(module, batch, lambda outputs, y: 1 / 0)
    assert nn.LSTM.forward is forward and all(param.grad is None for param in module.parameters())
    assert not diagnose(module, batch, F.cross_entropy).findings


def test_other_models_run_as_ever_meanwhile():
    """The classes of torch are changed for the time of the pass: a layer that is not the module's must not notice."""
    module, batch = healthy()
    other = nn.LSTM(3, 3)
    x = torch.randn(4, 2, 3)
    right = other(x)[0]

    def loss(outputs, y):
        torch.testing.assert_close(other(x)[0], right)
        return F.cross_entropy(outputs, y)

    assert list(diagnose(module, batch, loss).layers) == ["rnn"]


# ---------------------------------------------------------------- the report


def test_the_report_in_all_its_forms():
    _, _, report = zoo.examine("batch_first forgotten, output[:, -1]", 0)
    assert isinstance(report, Report) and all(isinstance(one, Finding) for one in report.findings)
    text, table = str(report), report._repr_html_()
    for one in report.findings:
        assert one.kind in text and one.evidence in text and one.advice in text and one.kind in table
    plain = json.loads(json.dumps(report.to_dict()))
    assert [one["kind"] for one in plain["findings"]] == [one.kind for one in report.findings]
    assert plain["tests"]["cross_sample_leak"] == "failed"
    (ax,) = report.figure().axes
    assert ax.get_xlabel() and ax.get_yscale() == "log" and len(ax.lines) == len(report.layers)


def test_a_healthy_report_says_what_was_and_was_not_tested():
    module, batch = healthy()
    report = diagnose(module, batch, F.cross_entropy, clip=1e-6)
    assert report.findings == [] and "Nothing found." in str(report) and "Nothing found" in report._repr_html_()
    assert report.tests["cross_sample_leak"] == report.tests["ignores_history"] == "passed"
    assert "pass lengths" in report.tests["reads_padding"] and report.clipped and "would shorten" in str(report)


def test_html_is_escaped():
    report = Report("<b>", 1.0, 1.0, 1.0, [Finding("vanishing", "warning", "<i>", "a < b", "&")])
    assert "<b>" not in report._repr_html_() and "<i>" not in report._repr_html_()


def test_lengths_and_the_batch_axis_can_be_given():
    torch.manual_seed(0)
    module, x = zoo.Classifier(), torch.randn(zoo.B, zoo.T, zoo.D)
    lengths = torch.tensor([20, 7, 12, 3, 15, 9])
    x[torch.arange(zoo.T) >= lengths[:, None]] = 0
    kinds = {one.kind for one in diagnose(module, zoo.labelled(x), F.cross_entropy, lengths=lengths).findings}
    assert "reads_padding" in kinds


# ---------------------------------------------------------------- what cannot be examined


def test_what_it_refuses():
    module, batch = healthy()
    for bad, match in (
        ((nn.LSTM, batch, F.cross_entropy), "expected a torch.nn.Module, got a type"),
        ((module, batch[0], F.cross_entropy), r"expected batch to be the pair \(inputs, targets\), got a Tensor"),
        ((module, (1, 2, 3), F.cross_entropy), "got 3 entries"),
        ((module, batch, None), "expected loss_fn to be a function"),
        ((module, batch, lambda outputs, y: 1.0), "expected loss_fn to return a tensor, got a float"),
    ):
        with pytest.raises(TypeError, match=match):
            diagnose(*bad)
    for loss, match in (
        (lambda outputs, y: outputs, "expected loss_fn to return one number, got shape"),
        (lambda outputs, y: outputs.detach().sum(), "expected a loss that depends on the parameters"),
    ):
        with pytest.raises(ValueError, match=match):
            diagnose(module, batch, loss)
    with pytest.raises(ValueError, match="expected batch_axis to be 0, 1 or None, got 2"):
        diagnose(module, batch, F.cross_entropy, batch_axis=2)
    with pytest.raises(ValueError, match="expected clip to be a number above 0"):
        diagnose(module, batch, F.cross_entropy, clip=0)
    with pytest.raises(ValueError, match="saw none in Linear; if your loop stands outside the module, wrap it in one"):
        diagnose(nn.Linear(4, 3), (torch.randn(5, 4), torch.randint(3, (5,))), F.cross_entropy)


def test_from_a_shell(tmp_path, capsys):
    path = tmp_path / "model.py"
    path.write_text(
        "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, first):\n"
        "        super().__init__()\n"
        "        self.rnn, self.head = nn.LSTM(3, 8, batch_first=first), nn.Linear(8, 2)\n"
        "    def forward(self, x):\n        return self.head(self.rnn(x)[0][:, -1])\n"
        "def good(first=True):\n"
        "    torch.manual_seed(0)\n"
        "    return Net(first), (torch.randn(4, 9, 3), torch.tensor([0, 1, 0, 1])), F.cross_entropy\n"
        "def bad():\n    return good(False)\n"
        "def broken():\n    raise OSError('no data here')\n"
    )
    assert main([f"{path}:good"]) == 0 and "Nothing found." in capsys.readouterr().out
    assert main([f"{path}:bad"]) == 1 and "cross_sample_leak" in capsys.readouterr().out
    assert main([f"{path}:broken"]) == 2 and "OSError: no data here" in capsys.readouterr().err
    assert main([f"{path}:nothing"]) == 2 and "AttributeError" in capsys.readouterr().err
    assert main(["nowhere.py:f"]) == 2 and "no such file" in capsys.readouterr().err
    done = subprocess.run(
        [sys.executable, "-m", "rnnlab.doctor", f"{path}:bad"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1 and "CRITICAL cross_sample_leak" in done.stdout and not done.stderr

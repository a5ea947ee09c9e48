"""The doctor: right about healthy and faulty models, leaves them as they were, and says what it cannot examine."""

import copy
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from evidence import rounds_as, script
from rnnlab.doctor import KINDS, Finding, Report, diagnose, main

ROOT = Path(__file__).resolve().parents[1]
zoo, fresh, later = script("doctor_zoo"), script("doctor_fresh"), script("doctor_later")
MODELS = {**zoo.ZOO, **fresh.FRESH, **later.LATER}
RECORD = json.loads((ROOT / "notebooks/evidence/doctor_zoo.json").read_text(encoding="utf-8"))
FIRST_LOOK = json.loads((ROOT / "notebooks/evidence/doctor_first_look.json").read_text(encoding="utf-8"))


def healthy(steps=20):
    torch.manual_seed(0)
    return zoo.Classifier(), zoo.labelled(zoo.floats(steps=steps))


# ---------------------------------------------------------------- healthy and faulty models


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_it_finds_what_was_planted_and_nothing_else(name):
    planted, found, report = zoo.examine(name, random.randrange(1000, 2000), MODELS)
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


def test_the_records_have_every_model():
    assert len(MODELS) == len(zoo.ZOO) + len(fresh.FRESH) + len(later.LATER) >= 30
    assert {row["model"] for row in RECORD["rows"]} == set(MODELS)
    assert {row["model"] for row in FIRST_LOOK["rows"]} == set(fresh.FRESH)
    for rows in (RECORD["rows"], FIRST_LOOK["rows"]):
        assert {kind for row in rows for kind in row["planted"]} == set(KINDS)
        assert sum(not row["planted"] for row in rows) >= 20 * len(zoo.SEEDS)


@pytest.mark.parametrize("shape", ["(B, 1)", "(B,)", "tuple", "dict", "(B, T, C)"])
@pytest.mark.parametrize("steps, samples", [(14, 8), (8, 8), (5, 16), (14, 2), (14, 1)])
def test_the_bug_of_the_article_at_every_shape(shape, steps, samples):
    """An nn.LSTM without batch_first, given (B, T, D), read at output[:, -1, :]."""
    torch.manual_seed(steps)
    squeeze = {"(B,)": "squeeze", "tuple": "tuple", "dict": "dict"}.get(shape)
    x, y = fresh.windows(steps, batch=samples)
    loss = fresh.first(F.mse_loss) if squeeze in ("tuple", "dict") else F.mse_loss
    for right in (False, True):
        module = fresh.Forecast(batch_first=right, squeeze=squeeze)
        if shape == "(B, T, C)":
            module = nn.LSTM(1, 4, batch_first=right)
            report = diagnose(module, (x, torch.randn(samples, steps, 4)), F.mse_loss, batch_axis=0)
        else:
            report = diagnose(module, (x, y[:, 0] if squeeze == "squeeze" else y), loss)
        wrong = {"ignores_history"} | ({"cross_sample_leak"} if samples > 1 else set())
        assert {one.kind for one in report.findings} == (set() if right else wrong), report


def test_matrices_without_a_module_are_a_recurrence():
    """The flow of a loop of products is that of nn.RNN with the same weights."""
    torch.manual_seed(0)
    module, tokens, y = fresh.Scratch(sigma=0.2, last=True), torch.randint(50, (9, 4)), torch.randint(50, (4,))
    twin = nn.RNN(50, 32)
    with torch.no_grad():
        twin.weight_ih_l0.copy_(module.W_xh.T)
        twin.weight_hh_l0.copy_(module.W_hh.T)
        twin.bias_ih_l0.zero_()
        twin.bias_hh_l0.zero_()

    def loss(outputs, y):
        return F.cross_entropy(outputs[0][-1] @ module.W_hq.detach(), y)

    (ours,) = diagnose(module, (tokens, y), F.cross_entropy).layers.values()
    theirs = diagnose(twin, (F.one_hot(tokens, 50).float(), y), loss).layers["RNN"]
    np.testing.assert_allclose(ours["flow"], theirs["flow"], rtol=1e-4)
    assert ours["spectral_radius"]["h"] == pytest.approx(theirs["spectral_radius"]["h"], rel=1e-5)


def test_the_flow_of_a_cell_of_ones_own_is_the_total_derivative():
    """The search for cells asks for gradients as well; what it leaves at the states must not count."""

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.both = nn.Linear(zoo.D + zoo.H, zoo.H)

        def forward(self, x, h):
            return torch.tanh(self.both(torch.cat([x, h], dim=1)))

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head, self.states = Cell(), nn.Linear(zoo.H, zoo.CLASSES), None

        def forward(self, x):
            h, states = x.new_zeros(x.shape[1], zoo.H), []
            for x_t in x:
                h = self.cell(x_t, h)
                states.append(h)
            self.states = states
            return self.head(h)

    torch.manual_seed(0)
    module, (x, y) = Own().double(), zoo.labelled(zoo.floats(False, 9).double())
    report = diagnose(module, (x, y), F.cross_entropy)
    loss = F.cross_entropy(module(x), y)
    norms = [grad.norm().item() for grad in torch.autograd.grad(loss, module.states)]
    np.testing.assert_allclose(report.layers["cell"]["flow"], norms, rtol=1e-12)


def test_what_grows_must_grow_by_the_recurrence():
    """Read at the end, the reverse half of the first layer is given more at its first step than at its last."""
    name = "both directions, two layers, read at output[:, -1]"
    _, _, report = zoo.examine(name, 0, later.LATER)
    flow = report.layers["rnn layer 0 reverse"]["flow"]
    assert max(flow) > 1000 * flow[-1] and report.layers["rnn layer 0 reverse"]["grows"] < 1


def test_models_that_draw_their_own_numbers_are_not_tested_by_them():
    module, batch = healthy()
    generator = torch.Generator()
    module.head.register_forward_hook(lambda *args: args[2] + torch.rand(1, generator=generator))
    report = diagnose(module, batch, F.cross_entropy)
    assert not report.findings and all("not done: the same inputs" in why for why in report.tests.values())


def test_a_thousand_steps_take_seconds():
    """The way back through x[t] for each t would fill an array of all steps a thousand times."""
    torch.manual_seed(0)
    start = time.perf_counter()
    report = diagnose(nn.GRU(4, 16), (torch.randn(1000, 4, 4), torch.randn(1000, 4, 16)), F.mse_loss, batch_axis=1)
    assert time.perf_counter() - start < 30 and not report.findings


def test_a_run_of_the_record_on_silence_is_made_again():
    """What the doctor sees before training hardly depends on rounding; when the training ends does, by a quarter."""
    learns = script("doctor_learns")
    record = json.loads((ROOT / "notebooks/evidence/doctor_learns.json").read_text(encoding="utf-8"))
    assert len(record["rows"]) == len(learns.BIASES) * len(learns.STEPS) * len(learns.RATES) * len(learns.SEEDS)
    mine = learns.row(None, 10, 0.01, 1)
    theirs = next(one for one in record["rows"] if all(one[k] == mine[k] for k in ("bias", "steps", "lr", "seed")))
    assert mine["found"] == theirs["found"] and mine["left"] == pytest.approx(theirs["left"], rel=1e-6)
    assert mine["right"] > 0.97 < theirs["right"] and 0.5 < mine["updates"] / theirs["updates"] < 2
    if rounds_as(record["made"], torch):
        assert mine == {**theirs, "left": mine["left"]}


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
    text, table = " ".join(str(report).split()), report._repr_html_()
    assert max(map(len, str(report).splitlines())) <= 76
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
        ((module, batch, nn.CrossEntropyLoss), r"write CrossEntropyLoss\(\)"),
        ((torch.jit.trace(module, batch[0]), batch, F.cross_entropy), "torch.jit has compiled: pass the original"),
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
    images = nn.Linear(4, 3), (torch.randn(5, 4), torch.randint(3, (5,)))
    one_step, lazy = (torch.randn(6, 1, 4), batch[1]), nn.Sequential(nn.LazyLinear(2))
    for bad, match in (
        (images, "saw none in Linear; if your loop stands outside the module, wrap it in one"),
        ((module, one_step), "saw a single one in Classifier: pass longer sequences"),
        ((copy.deepcopy(module).to("meta"), batch), "hold numbers, got rnn.weight_ih_l0 on the device meta"),
        ((lazy, batch), "got 0.weight without a shape yet: call the module on a batch first"),
    ):
        with pytest.raises(ValueError, match=match):
            diagnose(*bad, F.cross_entropy)


def test_a_state_kept_with_its_graph_is_named():
    class Kept(zoo.Classifier):
        state = None

        def forward(self, x):
            out, self.state = self.rnn(x, self.state)
            return self.head(out[:, -1])

    module, batch = Kept(), zoo.labelled(zoo.floats())
    assert not diagnose(module, batch, F.cross_entropy).findings and module.state is None
    F.cross_entropy(module(batch[0]), batch[1]).backward()
    with pytest.raises(ValueError, match=r"detach\(\) the state before the next batch"):
        diagnose(module, batch, F.cross_entropy)


def test_inputs_stay_as_they_were():
    torch.manual_seed(0)
    x, y = later.numbers()
    before = x.clone()
    diagnose(later.InPlace(), (x, y), F.cross_entropy)
    assert torch.equal(x, before)


def test_compiled_modules_are_examined_as_written():
    module, batch = healthy()
    compiled = torch.compile(module)
    report = diagnose(compiled, batch, F.cross_entropy)
    assert report.model == "Classifier" and not report.findings and list(report.layers) == ["rnn"]


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
    assert main(["nowhere.py:f"]) == 2 and "no such file" in capsys.readouterr().err
    assert main([f"{tmp_path}:f"]) == 2 and "this is no Python script" in capsys.readouterr().err
    done = subprocess.run(
        [sys.executable, "-m", "rnnlab.doctor", f"{path}:bad"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1 and "CRITICAL cross_sample_leak" in done.stdout and not done.stderr


SCRIPT = """
from __future__ import annotations
import sys
from dataclasses import dataclass
import numpy as np
import torch
from torch import nn

@dataclass
class Net(nn.Module):
    first: bool = True
    __hash__ = nn.Module.__hash__
    def __post_init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(3, 8, batch_first=self.first), nn.Linear(8, 2)
    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1, :])

net = Net()
loss = nn.CrossEntropyLoss()
y = torch.tensor([0, 1, 0, 1])
def good():
    return net, (torch.randn(4, 9, 3), y), loss
def every_step():
    model = nn.Sequential(nn.LSTM(3, 2))
    return model, (torch.randn(4, 9, 3), torch.randn(4, 9, 2)), lambda out, y: (out[0] - y).square().mean()
def told():
    return *every_step(), {"batch_axis": 0}
def two():
    return good()[:2]
def flat():
    return net, torch.randn(4, 9, 3), y, loss
def other():
    return net
def narrow():
    return net, (torch.randn(4, 9, 2), y), loss
def plain():
    return net, (torch.randn(4, 3), y), loss
def array():
    return net, (np.zeros((4, 9, 3)), y), loss
def fine():
    return net, (torch.randn(4, 9, 3).double(), y), loss
def few():
    return net, (torch.randn(4, 9, 3), y[:3]), loss
def quits():
    sys.exit("no data")
"""


def test_from_a_shell_errors_say_what_and_where(tmp_path, capsys):
    path = tmp_path / "copy.py"  # the name of a module that is there already, and stays
    path.write_text(SCRIPT)
    before, modules = list(sys.path), set(sys.modules)
    assert main([f"{path}:good"]) == 0 and "passed (samples along axis 0 of the inputs)" in capsys.readouterr().out
    assert sys.modules["copy"] is copy and sys.path == before and not {"copy_examined"} & (set(sys.modules) - modules)
    assert main([f"{path}:every_step"]) == 0 and "samples along axis 1" in capsys.readouterr().out
    assert main([f"{path}:told"]) == 1 and "cross_sample_leak" in capsys.readouterr().out
    asked = "expected the name of a function behind the colon, got "
    for function, parts in {
        "": [f"{asked}''; functions of this script: good, every_step, told"],
        "goood": [f"{asked}'goood'; functions of this script: good"],
        "net": [f"{asked}'net', a Net"],
        "two": ["expected two() to return (module, (inputs, targets), loss_fn), got 2 values"],
        "flat": ["loss_fn), got 4 values"],
        "other": ["loss_fn), got a Net"],
        "narrow": ["expected rnn to be given (B, T, D) or (T, D) with D = 3, got (4, 9, 2) (line 17 of copy.py)"],
        "plain": ["(line 17 of copy.py)\n  in module(inputs), with inputs: float32 (4, 3); the first weight: float32"],
        "array": ["TypeError: expected inputs to be a tensor, got an array"],
        "fine": ["inputs: float64 (4, 9, 3); the first weight: float32 (32, 3)"],
        "few": ["in loss_fn(outputs, targets), with outputs: float32 (4, 2); targets: int64 (3,)"],
        "quits": ["SystemExit: no data"],
    }.items():
        assert main([f"{path}:{function}"]) == 2
        said = capsys.readouterr().err
        assert all(part in said for part in parts), said
    assert main([str(path)]) == 2 and asked in capsys.readouterr().err


BESIDE = """
import multiprocessing, sys
import calendar, helper  # helper lies beside this script, and so does a calendar.py
def model():
    assert calendar.isleap(2024) and helper.SEEN == 1
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(abs, (-3,)) == 3
    return helper.made()
"""


def test_from_a_shell_a_script_finds_its_neighbours_and_not_in_place_of_the_standard_library(tmp_path):
    """A copy.py or calendar.py beside a script is what somebody has, and what the standard library imports."""
    made = "import torch\nfrom torch import nn\nSEEN = 1\ndef made():\n    return nn.LSTM(3, 2), "
    made += "(torch.randn(9, 4, 3), torch.zeros(9, 4, 2)), lambda out, y: (out[0] - y).square().mean(), "
    (tmp_path / "helper.py").write_text(made + "{'batch_axis': 1}\n", encoding="utf-8")
    for name in ("calendar", "copy", "selectors"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not the standard library')\n", encoding="utf-8")
    (tmp_path / "script.py").write_text(BESIDE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "rnnlab.doctor", f"{tmp_path / 'script.py'}:model"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0 and "Nothing found." in done.stdout and not done.stderr, done.stderr


@pytest.mark.parametrize("packed", [False, True])
def test_a_layer_refuses_what_torch_refuses(packed):
    class Started(zoo.Classifier):
        def forward(self, x):
            x = nn.utils.rnn.pack_padded_sequence(x, torch.full((len(x),), x.shape[1]), True) if packed else x
            state = tuple(torch.zeros(1, wrong, 16) for _ in "hc")
            return self.head(self.rnn(x, state)[1][0][-1])

    torch.manual_seed(0)
    module, (x, y) = Started(), zoo.labelled(zoo.floats())
    wrong = len(x)
    assert not diagnose(module, (x, y), F.cross_entropy).findings
    for wrong, inputs in ((1, x), (len(x), x[..., :2])):  # noqa: B007
        if not packed:  # torch itself does not look at packed steps, and may crash
            with pytest.raises(RuntimeError):
                module(inputs)
        with pytest.raises(RuntimeError, match=r"initial state of shapes|with D = 4, got"):
            diagnose(module, (inputs, y), F.cross_entropy)


# ---------------------------------------------------------------- which axis is which


class Words(nn.Module):
    """A language model in the manner of PyTorch's example: (T, B) tokens and a state in, (T * B, words) out."""

    def __init__(self, first=False, swap=False, leak=False):
        super().__init__()
        self.table, self.rnn, self.head = nn.Embedding(30, 8), nn.LSTM(8, 16, batch_first=first), nn.Linear(16, 30)
        self.swap, self.leak, self.axis = swap, leak, 0 if first else 1

    def forward(self, tokens):
        out = self.head(self.rnn(self.table(tokens))[0])
        out = torch.softmax(out, dim=self.axis) if self.leak else out
        return (out.transpose(0, 1) if self.swap else out).reshape(-1, 30)


@pytest.mark.parametrize("steps, samples", [(12, 5), (5, 12), (7, 7)])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("swap", [False, True])
def test_steps_and_samples_laid_along_one_axis(steps, samples, first, swap):
    torch.manual_seed(0)
    shape = (samples, steps) if first else (steps, samples)
    batch = torch.randint(30, shape), torch.randint(30, (steps * samples,))
    report = diagnose(Words(first, swap), batch, F.cross_entropy)
    assert not report.findings and report.tests["cross_sample_leak"] == "passed", report
    assert report.sample_axis == (0 if first else 1)
    leak = diagnose(Words(first, swap, leak=True), batch, F.cross_entropy)
    assert "cross_sample_leak" in {one.kind for one in leak.findings}
    # batch_first forgotten or said too much: shapes do not tell, the reader does
    told = diagnose(Words(first, swap), batch, F.cross_entropy, batch_axis=1 if first else 0)
    assert "cross_sample_leak" in {one.kind for one in told.findings}


def test_a_loop_over_one_line_of_letters():
    """(T, 1, letters), one row of answers: the axis that the loop runs along is time."""

    class Names(nn.Module):
        def __init__(self, kept=True):
            super().__init__()
            self.i2h, self.i2o, self.kept = nn.Linear(20 + 16, 16), nn.Linear(20 + 16, 4), kept

        def forward(self, line):
            hidden = torch.zeros(1, 16)
            for letter in line:
                both = torch.cat([letter, hidden], 1)
                answer, hidden = self.i2o(both), torch.tanh(self.i2h(both))
                hidden = hidden if self.kept else hidden.detach() * 0
            return answer

    torch.manual_seed(0)
    batch = F.one_hot(torch.randint(20, (8, 1)), 20).float(), torch.tensor([3])
    report = diagnose(Names(), batch, F.cross_entropy)
    assert not report.findings and report.tests["ignores_history"] == "passed"
    assert diagnose(Names(kept=False), batch, F.cross_entropy).tests["ignores_history"] == "failed"

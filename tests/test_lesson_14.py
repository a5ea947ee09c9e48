"""What lesson 14 says and shows, asserted on its data, and random cells of its record computed again."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from drawings import assert_lines_stay_inside
from evidence import begins_as_stored, script, skip_unless_exact
from explorables import load
from rnnlab import datasets
from rnnlab.doctor import diagnose

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@pytest.fixture(scope="module")
def lesson():
    """The lesson's namespace after all its cells have run."""
    return load(NOTEBOOKS / "14_lstm_in_pytorch.ipynb").namespace


@pytest.fixture(scope="module")
def compare():
    """The script that made the record."""
    return script("pytorch_lstm")


@pytest.fixture(scope="module")
def record():
    """What the script stored."""
    return json.loads((NOTEBOOKS / "evidence" / "pytorch_lstm.json").read_text(encoding="utf-8"))


@pytest.fixture
def as_made(record):
    """One thread, as the record was made, where torch rounds as it did for its maker."""
    skip_unless_exact(record["made"], torch)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# ---------------------------------------------------------------- the example as it circulates


def test_the_example_stops_at_the_name_that_has_no_value():
    cells = json.loads((NOTEBOOKS / "14_lstm_in_pytorch.ipynb").read_text(encoding="utf-8"))["cells"]
    text = next("".join(cell["source"]) for cell in cells if "```python" in "".join(cell["source"]))
    example = text.split("```python\n")[1].split("```")[0]
    with pytest.raises(NameError, match="output_size"):
        exec(example, {"nn": nn, "F": F, "torch": torch, "batches": []})
    batches, losses = [(torch.randn(6, 10, 12), torch.randint(3, (6,)))], []
    exec(example, {"nn": nn, "F": F, "torch": torch, "batches": batches, "output_size": 3, "print": losses.append})
    assert len(losses) == 100 and losses[-1] < losses[0], "with a value it runs, and its loss falls"


def test_the_example_hears_its_neighbours_by_finite_differences(lesson):
    """The oracle for the map: change one input at a time and look which rows move."""
    for batch_first in (False, True):
        torch.manual_seed(1)
        lstm, x = nn.LSTM(1, 16, batch_first=batch_first), torch.randn(6, 10, 1)
        sizes, _ = lesson["heard"](batch_first, "output[:, -1]")
        with torch.no_grad():
            row = lstm(x)[0][3, -1]
            for b, t in np.ndindex(6, 10):
                moved = x.clone()
                moved[b, t] += 1.0
                assert torch.equal(lstm(moved)[0][3, -1], row) == (sizes[b, t] == 0), (batch_first, b, t)


def test_the_best_answer_without_memory(lesson):
    """Among all functions of the last value, by bins over many phases, none is better than cos(omega) times it."""
    omega, phase = lesson["omega"], np.random.default_rng(0).uniform(0, 2 * np.pi, 400_000)
    last, following = np.sin(phase), np.sin(phase + omega)
    assert np.mean((following - np.cos(omega) * last) ** 2) == pytest.approx(lesson["floor"], rel=0.01)
    bins = np.digitize(last, np.linspace(-1, 1, 200))
    means = np.bincount(bins, following) / np.maximum(np.bincount(bins), 1)
    assert np.mean((following - means[bins]) ** 2) == pytest.approx(lesson["floor"], rel=0.02)


def test_the_map_of_the_final_state_is_that_of_the_last_output(lesson):
    np.testing.assert_array_equal(lesson["heard"](True, "h_n[-1]")[0], lesson["heard"](True, "output[:, -1]")[0])
    assert lesson["heard"](True, "output[-1]")[1] == (10, 16) and lesson["heard"](False, "output[-1]")[1] == (10, 16)


# ---------------------------------------------------------------- padding


def test_packing_and_picking_read_the_same_state(lesson):
    frames, lengths, _ = lesson["EVERY"]
    lstm = nn.LSTM(12, 5, batch_first=True, bidirectional=True).double()
    packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
    h, rows = lstm(packed)[1][0], torch.arange(len(lengths))
    picked = lstm(frames)[0][rows, lengths - 1]
    torch.testing.assert_close(picked[:, :5], h[0])
    assert (picked[:, 5:] - h[1]).abs().max() > 0.01, "the backward direction would have begun in the padding"


def test_accuracies_at_the_own_last_frame_are_those_of_the_script(lesson):
    frames, lengths, labels = lesson["EVERY"]
    with torch.no_grad():
        shares = [(model(frames, lengths).argmax(dim=1) == labels).double().mean().item()
                  for model in lesson["NETWORKS"]["own last frame"]]  # fmt: skip
    np.testing.assert_allclose(lesson["padded_more"]("own last frame", "own last frame", 16)[0], shares)


def test_the_solution_of_exercise_1():
    torch.manual_seed(0)
    lstm, x = (
        nn.LSTM(2, 4, num_layers=2, batch_first=True, bidirectional=True),
        torch.randn(3, 7, 2, requires_grad=True),
    )
    one = nn.LSTM(2, 4, batch_first=True, bidirectional=True)
    one(x)[0][:, -1, 4:].sum().backward()
    assert (x.grad[:, :-1] == 0).all() and (x.grad[:, -1] != 0).all(), "the backward half has read one step"
    x.grad = None
    output, (h, _) = one(x)
    torch.cat([h[-2], h[-1]], dim=1)[:, 4:].sum().backward()
    assert (x.grad != 0).all()
    torch.testing.assert_close(h[-1], output[:, 0, 4:])
    assert lstm(x)[1][0].shape == (4, 3, 4)
    assert nn.LSTM(2, 4, num_layers=2, bidirectional=True)(x.transpose(0, 1))[1][0].shape == (4, 3, 4)


def test_the_solution_of_exercise_2(lesson):
    losses, mask = lesson["losses"], lesson["mask"]
    share = mask.double().mean()
    torch.testing.assert_close((losses * mask).mean(), lesson["masked"] * share)
    torch.testing.assert_close((losses * mask).sum() / mask.sum(), lesson["masked"])
    assert share < 0.9


def test_the_solution_of_exercise_4(lesson):
    class Mean(lesson["script"].SpeakerNet):
        def forward(self, x, lengths):
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            output, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
            mean = output.sum(dim=1) / lengths[:, None].to(x.device)
            return self.head(self.dropout(mean))

    torch.manual_seed(0)
    model = Mean(12, 9, lesson["script"].Config(hidden=8, bidirectional=True)).double()
    frames, lengths, labels = lesson["EVERY"]
    by_hand = torch.stack([model.eval().lstm(frames[b : b + 1, :length])[0][0].mean(dim=0)
                           for b, length in enumerate(lengths)])  # fmt: skip
    torch.testing.assert_close(model(frames, lengths), model.head(by_hand))
    report = diagnose(model, ((frames[:8], lengths[:8]), labels[:8]), F.cross_entropy)
    assert report.tests["reads_padding"] == "passed" and not report.findings
    more = F.pad(frames, (0, 0, 0, 1), value=7.0)
    torch.testing.assert_close(model(more, lengths), model(frames, lengths))


# ---------------------------------------------------------------- state, clip, checkpoint


def test_pieces_make_the_whole(lesson):
    torch.testing.assert_close(lesson["in_pieces"](detach=True), lesson["whole"])
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        lesson["in_pieces"](detach=False)


def test_keeping_the_graph_is_no_repair():
    """What the lesson says of the error's advice: it works until an optimizer has changed the weights."""
    torch.manual_seed(0)
    lstm, stream = nn.LSTM(1, 4), torch.randn(60, 1, 1, requires_grad=True)
    for update in (False, True):
        optimizer, state, stream.grad = torch.optim.SGD(lstm.parameters(), lr=0.1), None, None
        output, state = lstm(stream[:20], state)
        output.square().mean().backward(retain_graph=True)
        if update:
            optimizer.step()
        before = stream.grad[:20].clone()
        output, state = lstm(stream[20:40], state)
        if update:
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                output.square().mean().backward(retain_graph=True)
        else:
            output.square().mean().backward(retain_graph=True)
            assert not torch.equal(before, stream.grad[:20]), "it goes back to the first piece again"


def test_only_between_backward_and_step_does_the_clip_act(lesson):
    steps = {place: lesson["longest_step"](place) for place in
             ("clip, backward, step", "backward, clip, step", "backward, step, clip", "backward, step")}  # fmt: skip
    assert steps["backward, clip, step"] == pytest.approx(0.1, rel=1e-3)
    free = steps.pop("backward, step")
    assert free > 0.5 and steps["clip, backward, step"] == steps["backward, step, clip"] == free


def test_a_run_goes_on_bit_for_bit_only_with_all_of_it(lesson):
    assert lesson["APART"][None] == 0 and len(lesson["APART"]) == 4
    assert min(difference for name, difference in lesson["APART"].items() if name) > 1e-3


# ---------------------------------------------------------------- the record


def test_the_record_is_whole_and_fair(compare, record):
    assert not set(compare.PILOT_SEEDS) & set(compare.FRESH_SEEDS)
    for task in compare.TOYS:
        for batch_first in (False, True):
            about = {"task": task, "batch_first": batch_first}
            rows = [row for row in record["pilot"] if about.items() <= row.items()]
            fresh = [row for row in record["toys"] if about.items() <= row.items()]
            means = {lr: np.mean([row["loss"] for row in rows if row["lr"] == lr]) for lr in compare.RATES}
            assert len(rows) == len(compare.RATES) * len(compare.PILOT_SEEDS)
            assert {row["lr"] for row in fresh} == {min(means, key=means.get)}
            assert [row["seed"] for row in fresh] == list(compare.FRESH_SEEDS)
    for model in compare.MODELS:
        rows = [row for row in record["pilot"] if row.get("model") == model]
        fresh = [row for row in record["vowels"] if row["model"] == model]
        means = [np.mean([row["validation_loss"] for row in rows if settings.items() <= row.items()])
                 for settings in compare.GRID]  # fmt: skip
        assert len(rows) == len(compare.GRID) * len(compare.PILOT_SEEDS)
        assert all(compare.GRID[int(np.argmin(means))].items() <= row.items() for row in fresh)
        assert [row["seed"] for row in fresh] == list(compare.FRESH_SEEDS)
        assert all(row["epochs"] <= compare.EPOCHS for row in fresh)
        assert all(("test_accuracy" in row) == (model == "packed") for row in fresh)
    assert not any("test_accuracy" in row for row in record["pilot"]), "settings were chosen by the validation set"


def test_the_linear_models_are_as_stored(record):
    """To the last answer: none of the 424 lies so near the border that rounding could turn it."""
    vowels = datasets.load("japanese_vowels")
    for name, accuracy in record["linear"].items():
        part, _, features = name.partition(" ")
        if part != "test" or features != "largest class":
            found = datasets.linear_accuracy(vowels.train, getattr(vowels, part), getattr(datasets, features))
            assert found == pytest.approx(accuracy, abs=1e-12)
    assert record["linear"]["test largest class"] == vowels.test.majority


def test_random_toys_begin_as_stored(compare, record):
    for row in random.sample(record["toys"], 3):
        again = compare.toy(row["task"], row["batch_first"], row["lr"], row["seed"], updates=50)
        begins_as_stored(again["curve"], row["curve"][:2])


@pytest.mark.parametrize("lr", [0.001, 0.003, 0.01, 0.03])
def test_the_networks_of_the_vowels_begin_as_stored(compare, record, lr, monkeypatch):
    """The norms of the gradient in the first epoch, stored to four digits."""
    monkeypatch.setattr(compare, "EPOCHS", 1)
    settings = {"lr": lr, "dropout": 0.0, "hidden": 64}
    run, _ = compare.speakers(compare.script.load_data(), "packed", settings, compare.FRESH_SEEDS[0])
    norms = run.history[0]["norms"]
    assert len(norms) == 14
    begins_as_stored(norms, record["norms"][str(lr)][:14])


def test_a_random_toy_is_exactly_as_stored(compare, record, as_made):
    row = random.choice(record["toys"])
    again = compare.toy(row["task"], row["batch_first"], row["lr"], row["seed"])
    assert (again["loss"], again["right"], again["curve"]) == (row["loss"], row["right"], row["curve"])


def test_a_random_network_of_the_vowels_is_exactly_as_stored(compare, record, as_made):
    row = random.choice([row for row in record["vowels"] if row["model"] == "packed"])
    settings = {name: row[name] for name in ("lr", "dropout", "hidden")}
    run, again = compare.speakers(compare.script.load_data(), "packed", settings, row["seed"], test=True)
    assert again.items() <= row.items() and compare.orders(run, row["seed"]) == row["right"]


def test_the_sine_and_the_sign(compare):
    generator = torch.Generator().manual_seed(0)
    x, y = compare.sine(5, generator)
    t = torch.asin(x[:, :1, 0])  # the phase, or pi minus it
    ahead = [torch.sin(one + compare.OMEGA * torch.arange(11)) for one in (t, torch.pi - t)]
    fits = [(one[:, :10] - x[..., 0]).abs().amax(dim=1) < 1e-4 for one in ahead]
    assert (fits[0] | fits[1]).all()
    wanted = torch.where(fits[0], ahead[0][:, 10], ahead[1][:, 10])
    torch.testing.assert_close(y[:, 0], wanted, atol=1e-4, rtol=0)
    x, y = compare.sign(1000, generator)
    assert torch.equal(y == 1, x[:, 0, 0] > 0) and 0.4 < y.double().mean() < 0.6


@pytest.mark.parametrize("name", ["seems_to_train", "padding", "clipped"])
def test_no_line_leaves_its_axes(lesson, name):
    assert_lines_stay_inside(lesson[name])

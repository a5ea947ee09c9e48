import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnlab as rl
from oracles import worst_gap
from problems import CELLS, all_gradients, as_arrays, names, random_problem, random_state, seeds, sizes
from rnnlab import tapes
from rnnlab.torch_twin import STEPS


def torch_cell(cell, params):
    """Return torch's own cell with these parameters, as a function (x_t, state) -> state; None where it has none."""
    if type(cell) is rl.RNNCell and cell.nonlinearity != "linear":
        made = torch.nn.RNNCell(cell.input_size, cell.hidden_size, nonlinearity=cell.nonlinearity)
    elif type(cell) in (rl.LSTMCell, rl.GRUCell) and not cell.options:
        made = getattr(torch.nn, type(cell).__name__)(cell.input_size, cell.hidden_size)
    else:
        return None
    made = made.double()
    made.load_state_dict({name: torch.tensor(param) for name, param in params.items()})
    return made


def torch_gradients(cell, params, x, state, d_h, d_state=None, truncate=None):
    """Autograd over torch's own cell, with detach() at the borders of windows; over the twin's where torch has none."""
    made = torch_cell(cell, params)
    leaves = dict(made.named_parameters()) if made else {
        name: torch.tensor(param, requires_grad=True) for name, param in params.items()}  # fmt: skip
    step = next(step for kind, step in STEPS.items() if isinstance(cell, kind))
    x = torch.tensor(x, requires_grad=True)
    initial = [torch.tensor(array, requires_grad=True) for array in as_arrays(state).values()]
    now, visited = tuple(initial), []
    for t, x_t in enumerate(x):
        if truncate and t > 0 and t % truncate == 0:
            now = tuple(array.detach() for array in now)
        if made:
            after = made(x_t, now if len(now) > 1 else now[0])
            now = after if isinstance(after, tuple) else (after,)
        else:
            now = step(cell, leaves, x_t, now)
        for array in now:
            array.retain_grad()
        visited.append(now)
    loss = (torch.stack([state[0] for state in visited]) * torch.tensor(d_h)).sum()
    if d_state is not None:
        loss = loss + sum((a * torch.tensor(d)).sum() for a, d in zip(now, as_arrays(d_state).values(), strict=True))
    loss.backward()
    gradients = {name: np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
                 for name, leaf in leaves.items()}  # fmt: skip
    gradients |= {"x": x.grad.numpy(), **{f"state {k}": a.grad.numpy() for k, a in enumerate(initial)}}
    return gradients, [np.array([state[k].grad.numpy() for state in visited]) for k in range(len(now))]


def gaps_to_torch(cell, params, x, state, d_h, d_state, truncate):
    reference, totals = torch_gradients(cell, params, x, state, d_h, d_state, truncate)
    gap = worst_gap(all_gradients(cell, params, x, state, d_h, d_state, truncate), reference)
    _, _, tape = rl.unroll(cell, params, x, state)
    back = rl.backprop(cell, params, tape, d_h, d_state, truncate)
    ours = {"d_h": back.d_h, "d_c": back.d_c} if back.d_c is not None else {"d_h": back.d_h}
    return gap, worst_gap(ours, dict(zip(ours, totals[: len(ours)], strict=True)))


@settings(max_examples=200, deadline=None)
@given(sizes, sizes, sizes, sizes, names, st.none() | sizes, seeds)
def test_gradients_and_total_derivatives_match_torch(T, B, D, H, name, truncate, seed):
    cell, params, x, state, d_h = random_problem(T, B, D, H, name, seed)
    d_state = random_state(cell, B, seed + 2)
    assert max(gaps_to_torch(cell, params, x, state, d_h, d_state, truncate)) < 1e-10


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_matches_torch(name):
    cell, params, x, state, d_h = random_problem(9, 3, 2, 4, name, seed=6)
    for truncate in (None, 4):
        assert max(gaps_to_torch(cell, params, x, state, d_h, random_state(cell, 3, 8), truncate)) < 1e-10


@pytest.mark.parametrize("name", ["tanh", "lstm", "gru", "peephole lstm", "cho gru"])
def test_torch_catches_truncation_one_step_early(name):
    cell, params, x, state, d_h = random_problem(9, 2, 2, 4, name, seed=3)
    reference, _ = torch_gradients(cell, params, x, state, d_h, truncate=3)
    assert worst_gap(all_gradients(cell, params, x, state, d_h, truncate=3), reference) < 1e-12
    assert worst_gap(all_gradients(cell, params, x, state, d_h, truncate=2), reference) > 1e-3


def test_truncation_stops_at_the_window_and_a_long_window_is_full():
    cell, params, x, state, d_h = random_problem(12, 2, 2, 4, "tanh", seed=4)
    d_h[:-1] = 0  # the loss looks at the last step only
    _, _, tape = rl.unroll(cell, params, x, state)
    total = rl.backprop(cell, params, tape, d_h, truncate=4).d_h
    assert not total[:8].any()
    assert np.abs(total[8:]).min() > 0
    full, long = all_gradients(cell, params, x, state, d_h), all_gradients(cell, params, x, state, d_h, truncate=12)
    assert worst_gap(long, full) == 0


def test_immediate_and_total_derivative_in_closed_form():
    """For h_t = a h_{t-1} + x_t and L = h_T, the total derivative is a^(T-t) and the immediate one is 0 before T."""
    cell, a, T = rl.RNNCell(1, 1, "linear"), 0.9, 30
    params = {"weight_ih": np.eye(1), "weight_hh": a * np.eye(1), "bias_ih": np.zeros(1), "bias_hh": np.zeros(1)}
    _, _, tape = rl.unroll(cell, params, np.ones((T, 1, 1)))
    immediate = np.zeros((T, 1, 1))
    immediate[-1] = 1
    back = rl.backprop(cell, params, tape, immediate)
    np.testing.assert_allclose(back.d_h.ravel(), a ** np.arange(T - 1, -1, -1), rtol=1e-12)
    np.testing.assert_allclose(back.d_state, a**T, rtol=1e-12)
    assert immediate[:-1].sum() == 0  # what went in is not written to


def test_an_orthogonal_linear_network_has_flat_flow():
    rng, cell = np.random.default_rng(0), rl.RNNCell(3, 8, "linear")
    params = cell.init(rng) | {"weight_hh": rl.orthogonal(rng, 8)}
    _, _, tape = rl.unroll(cell, params, rng.normal(size=(100, 1, 3)))
    d_h = np.zeros((100, 1, 8))
    d_h[-1] = rng.normal(size=8)
    norms = np.linalg.norm(rl.backprop(cell, params, tape, d_h).d_h[:, 0], axis=1)
    np.testing.assert_allclose(norms, norms[-1], rtol=1e-12)


def test_a_workspace_gives_the_same_numbers_and_reuses_its_arrays():
    cell, params, x, state, d_h = random_problem(5, 2, 3, 4, "tanh", seed=5)
    work = rl.Workspace()
    for scale in (1.0, 2.0):
        h, _, tape = rl.unroll(cell, params, scale * x, state, work)
        back = rl.backprop(cell, params, tape, d_h)
        assert worst_gap(back.params | {"x": back.d_x, "state 0": back.d_state},
                         all_gradients(cell, params, scale * x, state, d_h)) == 0  # fmt: skip
    assert rl.unroll(cell, params, x, state, work)[2] is tape
    assert rl.unroll(cell, params, x[:3], state, work)[2] is not tape
    other = rl.RNNCell(3, 4)
    assert rl.unroll(other, params, x, state, work)[2].cell is other
    assert rl.unroll(cell, params, x, state, work)[2] is tape  # each cell keeps its own


@pytest.mark.parametrize("name", CELLS)
def test_derivatives_prepared_in_blocks_are_those_of_one_block(name, monkeypatch):
    """On large networks a block is a few steps long: its borders, those of windows and ends of sequences mix."""
    cell, params, x, state, d_h = random_problem(7, 2, 3, 4, name, seed=8)
    d_state = random_state(cell, 2, 5)
    for truncate, lengths in ((None, None), (3, None), (2, [7, 4]), (None, [3, 6])):
        whole = all_gradients(cell, params, x, state, d_h, d_state, truncate, lengths)
        for block in (1, 2, 3):
            with monkeypatch.context() as patch:
                numbers = rl.unroll(cell, params, x)[2].factors * 2 * cell.hidden_size
                patch.setattr(tapes, "PREPARED", block * numbers)
                tape = rl.unroll(cell, params, x)[2]
                assert tape.block == block
                pieces = all_gradients(cell, params, x, state, d_h, d_state, truncate, lengths)
            assert worst_gap(pieces, whole) < 1e-14


def test_a_tape_serves_an_equal_cell_and_a_state_may_be_a_list():
    cell, params, x, state, d_h = random_problem(4, 2, 3, 4, "lstm", seed=0)
    _, final, tape = rl.unroll(cell, params, x, list(state))
    equal = rl.LSTMCell(3, 4)
    one, other = (rl.backprop(by, params, tape, d_h, end) for by, end in ((cell, final), (equal, list(final))))
    assert worst_gap(one.params, other.params) == 0
    with pytest.raises(
        TypeError, match=r"^expected the tape that unroll returned for GRUCell\(3, 4\), got LSTMCell\(3, 4\)"
    ):
        rl.backprop(rl.GRUCell(3, 4), params, tape, d_h)
    with pytest.raises(TypeError, match=r"^expected the tape that unroll returned for LSTMCell\(3, 4\), got 3"):
        rl.backprop(cell, params, 3, d_h)


HOLES = np.zeros((4, 2, 3))
HOLES[2, 1, 0], HOLES[3, 0, 2] = np.inf, np.nan
BAD_INPUTS = [
    ("x", np.zeros((4, 2)), ValueError, r"expected x of shape \(T, B, 3\), got \(4, 2\); rnnlab is time-major"),
    ("x", np.zeros((4, 2, 5)), ValueError, r"expected x of shape \(T, B, 3\), got \(4, 2, 5\)"),
    ("x", np.zeros((0, 2, 3)), ValueError, "at least one step and one sequence"),
    ("x", np.zeros((4, 0, 3)), ValueError, "at least one step and one sequence"),
    ("x", np.zeros((4, 2, 3), int), TypeError, "float32 or float64, got an array of int64"),
    ("x", np.zeros((4, 2, 3)).tolist(), TypeError, "got a list"),
    ("x", np.zeros((4, 2, 3), np.float32), TypeError, "expected one dtype"),
    ("x", np.full((4, 2, 3), np.nan), ValueError, "expected finite inputs, got .* at step 0 of sequence 0"),
    ("state", np.zeros((3, 4)), ValueError, r"expected state of shape \(2, 4\), got \(3, 4\)"),
    ("state", np.zeros((2, 4), np.float32), TypeError, "expected one dtype"),
    ("params", {}, ValueError, r"missing \['weight_ih'"),
    ("x", HOLES, ValueError, "expected finite inputs, got inf at step 2 of sequence 1; clean the data first"),
    ("state", (np.zeros((2, 4)),), TypeError, "expected state to be a NumPy array .*, got a tuple"),
    ("lengths", [4, 5], ValueError, "expected lengths from 1 to 4, got 4 to 5"),
    ("lengths", [0, 4], ValueError, "expected lengths from 1 to 4, got 0 to 4"),
    ("lengths", [4], ValueError, r"expected lengths of shape \(2,\), got \(1,\)"),
    ("work", 3, TypeError, "expected work to be a rnnlab.Workspace, got 3"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "error", "message"), BAD_INPUTS)
def test_bad_input_to_unroll(name, value, error, message):
    cell, params, x, state, _ = random_problem(4, 2, 3, 4, "tanh", seed=0)
    arguments = {"params": params, "x": x, "state": state} | {name: value}
    with pytest.raises(error, match=message):
        rl.unroll(cell, **arguments)


def test_the_place_of_bad_data_counts_runs_and_leaves_the_padding_alone():
    cell, params, x, state, _ = random_problem(4, 2, 3, 4, "tanh", seed=0, runs=(2,))
    x = np.stack([x, x])
    x[1, 3, 1, 0] = np.nan
    with pytest.raises(ValueError, match="got nan at step 3 of sequence 1"):
        rl.unroll(cell, params, x, state)
    h, _, _ = rl.unroll(cell, params, x, state, lengths=[4, 3])
    assert np.isfinite(h).all() and not h[:, 3, 1].any() and h[:, 3, 0].all() and h[:, 2].all()


def test_parameters_that_do_not_fit_each_other():
    cell, params, x, *_ = random_problem(4, 2, 3, 4, "tanh", seed=0)
    message = "^expected one dtype, got weight_ih of float64 and bias_hh of float32; use astype"
    with pytest.raises(TypeError, match=message):
        rl.unroll(cell, params | {"bias_hh": params["bias_hh"].astype(np.float32)}, x)
    with pytest.raises(ValueError, match=r"^expected weight_hh of shape \(4, 4\), got \(4, 3\)"):
        rl.unroll(cell, params | {"weight_hh": params["weight_hh"][:, :3]}, x)
    message = "^expected one dtype, got x of float32 and parameters of float64; use astype"
    with pytest.raises(TypeError, match=message):
        rl.unroll(cell, params, x.astype(np.float32))


def test_states_that_do_not_fit_the_cell():
    cell, params, x, (h, c), d_h = random_problem(4, 2, 3, 4, "lstm", seed=0)
    _, _, tape = rl.unroll(cell, params, x)
    for name, call in (
        ("state", lambda bad: rl.unroll(cell, params, x, bad)),
        ("d_state", lambda bad: rl.backprop(cell, params, tape, d_h, bad)),
    ):
        pair = rf"^expected {name} to be the pair \(h, c\), arrays of shape \(2, 4\), got"
        for bad, got in ((h, "a ndarray"), ((h, c, c), "3 arrays"), ([h], "1 arrays")):
            with pytest.raises(ValueError, match=f"{pair} {got}$"):
                call(bad)
        with pytest.raises(
            ValueError, match=rf"^expected {name} of shape \(2, 4\), got \(1, 4\); one row of H numbers"
        ):
            call((h, c[:1]))
        with pytest.raises(TypeError, match=f"^expected one dtype, got x of float64 and {name} of float32; use astype"):
            call((h.astype(np.float32), c))


def test_bad_input_to_backprop():
    cell, params, x, state, d_h = random_problem(4, 2, 3, 4, "tanh", seed=0)
    _, _, tape = rl.unroll(cell, params, x, state)
    with pytest.raises(ValueError, match=r"expected d_h of shape \(4, 2, 4\), got \(3, 2, 4\)"):
        rl.backprop(cell, params, tape, d_h[1:])
    with pytest.raises(ValueError, match="got .*; it must have the shape of the states that unroll returned$"):
        rl.backprop(cell, params, tape, d_h[:, :1])
    with pytest.raises(TypeError, match="^expected one dtype, got x of float64 and d_h of float32; use astype"):
        rl.backprop(cell, params, tape, d_h.astype(np.float32))
    with pytest.raises(ValueError, match="expected truncate to be a whole number of at least 1, got 0"):
        rl.backprop(cell, params, tape, d_h, truncate=0)
    with pytest.raises(ValueError, match=r"expected d_state of shape \(2, 4\), got \(1, 4\); one row of H numbers"):
        rl.backprop(cell, params, tape, d_h, d_state=d_h[0, :1])

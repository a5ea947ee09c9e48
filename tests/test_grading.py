"""The parts of the grader: what crosses the border, what is read of a notebook, and what is shown."""

import ast
import json
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coursework import problem_set, right_answers
from grading import gradebooks, notebooks, pages, sandbox, wire
from grading.evaluator import credit
from grading.marks import described
from grading.notebooks import read_submission
from mini_course import notebook

GRADING = Path(notebooks.__file__).parent
NUMBERS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=9)
PLAIN = st.recursive(
    NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=20,
)


def there(value):
    """Send a value to the other side: return what arrives."""
    return wire.unpack(wire.Packer().frame({}, value)[8:])[1]


def there_and_back(arguments, function):
    """Call a function on the other side: return its result as it arrives; `arguments` are then as it left them."""
    packer = wire.Packer()
    _, arrived, known = wire.unpack(packer.frame({}, arguments)[8:])
    answer = wire.Packer(known).frame({}, function(*arrived))
    return wire.unpack(answer[8:], packer.objects)[1]


# ---------------------------------------------------------------- the border


@given(PLAIN)
def test_plain_data_arrives_as_it_was(value):
    arrived = there(value)
    assert arrived == value and repr(arrived) == repr(value)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "u1", "?", "c16", ">f8"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_arrays_arrive_as_they_were(dtype, shape):
    array = np.random.default_rng(0).normal(size=shape).astype(dtype)
    arrived = there([array, array[..., None]])
    assert arrived[0].dtype == array.dtype and arrived[0].shape == shape
    np.testing.assert_array_equal(arrived[0], array)
    np.testing.assert_array_equal(there(np.asfortranarray(array)), array)
    assert type(there(array.reshape(-1)[:1].sum())) is type(array.reshape(-1)[:1].sum())


def test_tensors_are_arguments_and_become_arrays_in_results():
    weights = torch.ones(2, 3, requires_grad=True)
    result = there_and_back([weights], lambda w: (type(w).__name__, w.requires_grad, (w * 2).sum(), w.detach() * 2))
    assert result[:2] == ("Tensor", True)
    assert type(result[2]) is type(result[3]) is np.ndarray
    np.testing.assert_array_equal(result[3], np.full((2, 3), 2.0))


def test_what_is_one_object_there_is_one_here():
    a, b, names = np.zeros(3), np.ones((2, 2)), {"k": [1, 2]}

    def change(a, b, names):
        a[1] = 5
        names["k"].append(b)
        names["new"] = a
        return a, b[0], b.T, b.copy(), names["k"]

    same, row, turned, copy, inner = there_and_back([a, b, names], change)
    assert same is a and a.tolist() == [0, 5, 0]
    assert np.shares_memory(row, b) and np.shares_memory(turned, b) and not np.shares_memory(copy, b)
    assert inner is names["k"] and inner == [1, 2, b] and names["new"] is a
    row[:] = 7
    assert b.tolist() == [[7, 7], [1, 1]]


def test_a_part_of_a_larger_array_is_written_through():
    whole = np.zeros((3, 4))
    there_and_back([whole[:, 1]], lambda column: column.fill(2))
    assert whole[:, 1].tolist() == [2, 2, 2] and whole.sum() == 6


def test_an_array_that_may_not_be_written_stays():
    fixed = np.zeros(2)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        there_and_back([fixed], lambda a: a.fill(1))
    assert fixed.tolist() == [0, 0]


@pytest.mark.parametrize(
    "value, told",
    [
        (len, "builtin_function_or_method"),
        ((i for i in "ab"), "generator"),
        ({1, 2}, "set"),
        (np.array([None]), "dtype object"),
        (np.array(["a"]), "dtype <U1"),
        ([0] * (wire.MAX_ITEMS + 1), "fewer items"),
        (np.zeros(wire.MAX_FRAME), "at most 64 MB"),
    ],
)
def test_what_cannot_cross_is_named(value, told):
    with pytest.raises(wire.WireError, match=told):
        there(value)


def test_a_deep_list_is_refused():
    deep = []
    for _ in range(wire.MAX_DEPTH + 2):
        deep = [deep]
    with pytest.raises(wire.WireError, match="deep"):
        there(deep)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_refused(data):
    with pytest.raises(wire.WireError):
        wire.unpack(data, [np.zeros(3)])


BAD = [
    {"head": {}, "root": ["ref", 5], "table": []},
    {"head": {}, "root": ["ref", -1], "table": [["list", []]]},
    {"head": {}, "root": ["ref", 0], "table": [["array", "<f8", [4], 0, 32, True]]},
    {"head": {}, "root": ["ref", 0], "table": [["array", "|O", [1], 0, 8, True]]},
    {"head": {}, "root": ["ref", 0], "table": [["array", "<f8", [2**40, 2**40], 0, 8, True]]},
    {"head": {}, "root": ["ref", 0], "table": [["array", "<f8", [-1], 0, -8, True]]},
    {"head": {}, "root": ["ref", 1], "table": [["array", "<f8", [3], 0, 24, True], ["view", 0, "<f8", [9], [8], 0]]},
    {"head": {}, "root": ["ref", 1], "table": [["array", "<f8", [3], 0, 24, True], ["view", 0, "<f8", [3], [8], -8]]},
    {"head": {}, "root": ["ref", 1], "table": [["array", "<f8", [3], 0, 24, True], ["view", 0, "<f8", [3], [-8], 0]]},
    {"head": {}, "root": ["ref", 0], "table": [["list", []]]},
    {"head": {}, "root": ["ref", 0], "table": [["array", "<f8", [1, 3], 0, 24, True]]},
    {"head": {}, "root": ["scalar", "<f8", "AA"], "table": []},
    {"head": {}, "root": ["odd"], "table": []},
    {"head": {}, "root": {}, "table": []},
    {"head": 3, "root": None, "table": []},
    [],
]


@pytest.mark.parametrize("message", BAD, ids=range(len(BAD)))
def test_a_forged_answer_is_refused_or_harmless(message):
    text = json.dumps(message).encode()
    frame = struct.pack("<I", len(text)) + text + np.arange(3.0).tobytes()
    with pytest.raises(wire.WireError):
        wire.unpack(frame, [np.zeros(3)])


def test_the_sandbox_has_an_empty_tmp_before_a_python_that_may_lie_in_it():
    for box in sandbox.boxes():
        assert 0 < box.words.index("/tmp", box.words.index("--tmpfs")) < box.words.index("--ro-bind")


def test_the_sandbox_sees_two_files_that_import_nothing_of_ours():
    for name in ("wire", "child"):
        tree = ast.parse((GRADING / f"{name}.py").read_text())
        imports = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        imports |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert {i for i in imports if i.split(".")[0] not in sys.stdlib_module_names} <= {"numpy", "torch", "grading"}
    assert "from grading import" not in (GRADING / "wire.py").read_text()


def test_nothing_but_libraries_is_shown_to_a_child():
    folders = [Path(folder) for folder in sandbox.library_folders()]
    shown = {"/usr", "/usr/share", "/usr/local/share", "/home", "/root", "/etc", "/var", str(Path.home())}
    assert [folder for folder in folders if str(folder) in shown] == []
    assert not any(folder in (GRADING, *GRADING.parents) for folder in folders)


# ---------------------------------------------------------------- notebooks, points, pages


def test_answers_are_taken_from_a_notebook_by_name(tmp_path):
    path = tmp_path / "mini.ipynb"
    path.write_text(json.dumps(notebook()))
    assignment = notebooks.read_assignment(path)
    assert assignment.functions == {"square": ("square-solution", ["x"])} and set(assignment.values) == {"answer"}
    handed_in = notebook()
    handed_in["cells"][1]["source"] = ['STUDENT_ID = "ada"\n', "# me"]
    handed_in["cells"].append({"cell_type": "code", "metadata": {}, "source": "plot()", "outputs": [{"data": {}}]})
    found = read_submission(json.dumps(handed_in).encode(), assignment)
    assert found.claimed_id == "ada" and not found.notes
    assert set(found.answers) == {"square-solution", "answer-solution", "why-answer"}
    assert found.others["why-answer"][0]["source"] == "plot()"


def test_two_cells_of_one_name_are_refused_in_a_source(tmp_path):
    made = notebook()
    made["cells"].append(made["cells"][4])
    (tmp_path / "mini.ipynb").write_text(json.dumps(made))
    with pytest.raises(notebooks.SourceError, match="square-solution more often"):
        notebooks.read_assignment(tmp_path / "mini.ipynb")


@pytest.mark.parametrize(
    "value, points", [(None, 4), ("text", 4), (True, 4), (2, 2), (2.5, 2.5), (np.float64(1), 1), (9, 4), (-1, 0)]
)
def test_points_are_all_or_the_number_at_the_end(value, points):
    assert credit(value, 4.0) == points


def test_no_number_is_no_point():
    assert credit(float("nan"), 4.0) == 0


@pytest.mark.parametrize(
    "text",
    [
        "<script>x</script>", "a <img src=x onerror=y>", "</div>", "<!-- -->", "![p](http://x/p.png)",
        "![p][r]\n[r]: http://x", "[x](JavaScript:alert(1))", "[x](&#106;avascript:alert(1))",
        "[x](javascript&colon;alert(1))", r"$\href{javascript:x}{y}$", r"$\style{x}{y}$",
    ],
)  # fmt: skip
def test_markup_is_tamed(text):
    tame = pages.tame(text)
    assert not re.search(r"\](\(|:)|&#?\w+;", tame)
    assert not any(word in tame.lower() for word in ("<s", "<i", "</", "<!", "![", "javascript:", "\\href", "\\style"))


def test_formulas_and_pasted_pictures_stay():
    text = r"$a<b$, $\frac{1}{2}$ and 1 < 2 ![photo](attachment:photo.png)"
    assert pages.tame(text) == text.replace("a<b", "a< b")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_name_is_a_formula(name):
    assert gradebooks.harmless(name) == f"'{name}"
    assert gradebooks.harmless("ada") == "ada"


def test_long_values_are_told_in_short():
    assert described(np.arange(3.0)) == "[0., 1., 2.]"
    assert described({"W": np.zeros((9, 9)), "b": [1, 2.5]}) == "{'W': an array of shape (9, 9), 'b': [1, 2.5]}"
    assert len(described("x" * 1000)) < 70


def test_official_solutions_are_what_a_release_leaves_out():
    code = right_answers("ps1_bptt")["step-solution"]
    assert "SOLUTION" not in code and "np.tanh" in code
    assert {cell.role for cell in problem_set("ps1_bptt").cells} == {"text", "given", "solution", "test", "answer"}

import nbformat
import pytest

from tools.store import WIDGET_VIEW, LessonFailed, store


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    """Keep executions of these lessons apart from those of the book's."""
    monkeypatch.setenv("RNNLAB_LESSONS", str(tmp_path_factory.mktemp("store")))


def lesson(path, *sources):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id=f"c{i}") for i, source in
                                               enumerate(sources)])  # fmt: skip
    nbformat.write(notebook, path)
    return path


def test_a_lesson_is_stored_with_fresh_outputs_and_twice_the_same(tmp_path):
    path = lesson(tmp_path / "lesson.ipynb", "import ipywidgets", "ipywidgets.IntSlider(3)", "print(6 * 7)")
    store(path)
    first = path.read_bytes()
    cells = nbformat.read(path, 4).cells
    assert cells[2].outputs[0].text == "42\n"
    assert "text/plain" in cells[1].outputs[0].data and WIDGET_VIEW not in cells[1].outputs[0].data
    store(path)
    assert path.read_bytes() == first


def test_a_lesson_that_fails_is_left_as_it_was(tmp_path):
    path = lesson(tmp_path / "lesson.ipynb", "print(1)", "1 / 0")
    before = path.read_bytes()
    with pytest.raises(LessonFailed, match="ZeroDivisionError"):
        store(path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["lesson.ipynb"]

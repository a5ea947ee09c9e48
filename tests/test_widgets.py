"""Sliders and explorables in a kernel."""

import numpy as np
import pytest

from rnnlab.drawings import Kept
from rnnlab.widgets import ExploreError, explore, slider


def make(**changes):
    sliders = {
        "radius": slider(np.arange(0.5, 1.51, 0.5), at=1.0),
        "kind": slider(["plain", "dashed"], at="plain"),
    } | changes

    @explore(**sliders, alt=["A line whose slope is the radius"])
    def drawing(ax, radius, kind):
        ax.plot([0, radius], linestyle="--" if kind == "dashed" else "-")
        ax.set(ylim=(0, 2))
        return f"Radius {radius:.1f}, {kind}."

    return drawing


def parts(widget):
    """Return the sliders, the reset button and the picture of a live widget."""
    _, bar, view = widget.children
    *sliders, reset = bar.children
    return sliders, reset, view


def test_a_slider_keeps_values_texts_and_start():
    s = slider(np.array([0.5, 0.75, 1.0]), at=0.75, fmt="{:.2f}")
    assert s.values == [0.5, 0.75, 1.0] and s.texts == ["0.50", "0.75", "1.00"] and s.default == 0.75
    assert [type(value) for value in slider(np.arange(3)).values] == [int] * 3
    assert slider([1, 2], fmt=lambda n: f"{n} apples").texts == ["1 apples", "2 apples"]
    assert slider(["by norm", "by value"], at="by value").index == 1


def test_numbers_are_written_short_and_found_exactly():
    assert slider(np.arange(0.7, 0.95, 0.1)).texts == ["0.7", "0.8", "0.9"]
    assert slider([0, 1e-9, 1e-8], at=1e-8).default == 1e-8


@pytest.mark.parametrize(("arguments", "message"), [
    ({"values": [0.12, 0.14], "fmt": "{:.1f}"}, "written differently"),
    ({"values": []}, "at least one value"),
    ({"values": [1, 2, 1]}, "different values"),
    ({"values": [1, 2], "at": 3}, r"expected `at` to be one of \[1, 2\], got 3"),
    ({"values": ["a"], "at": 1}, "expected `at`"),
    ({"values": ["a", "b"], "free": True}, "numbers for a slider with free=True"),
])  # fmt: skip
def test_bad_sliders(arguments, message):
    with pytest.raises(ValueError, match=message):
        slider(**arguments)


def test_bad_explorables():
    def draw(ax, n):
        return "A sentence."

    with pytest.raises(ValueError, match=r"sliders for the arguments \['n'\] of draw, got \['m'\]"):
        explore(m=slider([1]), alt=["a"])(draw)
    with pytest.raises(ValueError, match=r"alt to be 1 text\(s\), one for each panel of draw, got \['a', 'b'\]"):
        explore(n=slider([1]), alt=["a", "b"])(draw)
    with pytest.raises(ValueError, match="alt"):
        explore(n=slider([1]), alt=[""])(draw)
    with pytest.raises(ValueError, match="alt"):
        explore(n=slider([1]), alt="a")(draw)
    with pytest.raises(TypeError, match="expected n to be a slider"):
        explore(n=[1, 2], alt=["a"])(draw)
    with pytest.raises(ValueError, match="settings out of"):
        make().svg(colour=1)


def test_one_slider_may_serve_two_functions():
    shared = slider([1, 2])

    @explore(first_number=shared, alt=["a"])
    def one(ax, first_number):
        return "One."

    @explore(second_number=shared, alt=["a"])
    def two(ax, second_number):
        return "Two."

    labels = [next(iter(each.sliders.values())).label for each in (one, two)]
    assert labels == ["first number", "second number"] and shared.label is None


def test_a_move_sends_the_picture_and_no_style_sheet():
    live = make().live()
    sheet, _, view = live.children
    assert "<style>" in sheet.value and sheet.layout.display == "none"
    sent = view.value
    parts(live)[0][0].value = 1.5
    assert "<style>" not in sent + view.value


def test_a_moved_slider_changes_the_picture_and_reset_restores_it():
    sliders, reset, view = parts(make().live())
    before = view.value
    sliders[0].value = 1.5
    assert "Radius 1.5, plain." in view.value and view.value != before
    sliders[1].value = "dashed"
    assert "dashed." in view.value
    reset.click()
    assert view.value == before


def test_live_and_published_pictures_agree():
    drawing = make()
    sliders, _, view = parts(drawing.live())
    sliders[0].value = 0.5
    assert drawing.svg(radius=0.5) in view.value


def test_a_free_slider_takes_values_between():
    drawing = make(radius=slider([0.0, 1.0, 2.0], at=1.0, free=True))
    sliders, _, view = parts(drawing.live())
    sliders[0].value = 0.37
    assert "Radius 0.4" in view.value


def test_an_error_is_seen_where_the_picture_was():
    @explore(n=slider([1, 0]), alt=["a"])
    def fragile(ax, n):
        ax.plot([1 / n])
        return "Fine."

    with pytest.raises(ExploreError, match="n=0"):  # the default state is the middle one: 0
        fragile.live()

    @explore(n=slider([1, 0], at=1), alt=["a"])
    def later(ax, n):
        ax.plot([1 / n])
        return "Fine."

    sliders, _, view = parts(later.live())
    sliders[0].value = 0
    assert "later" in view.value and "n=0" in view.value and "ZeroDivisionError" in view.value
    sliders[0].value = 1
    assert "Fine." in view.value


def test_a_viewer_without_widgets_gets_a_picture_with_its_text():
    data, metadata = make()._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == "A line whose slope is the radius"
    assert data["image/png"].startswith("iVBOR") and "application/vnd.jupyter.widget-view+json" in data


def test_where_a_run_is_kept_every_state_is_drawn_and_an_error_stops_the_cell(monkeypatch, tmp_path):
    monkeypatch.setenv("RNNLAB_DRAWINGS", str(tmp_path))
    one = make()
    data, metadata = one._repr_mimebundle_()
    assert set(data) == {"text/plain"} and metadata == {"explorable": one.name}
    kept = Kept(tmp_path / f"{one.name}.explorable")
    assert "rl-explore" in kept.html and len(kept.sentences) == len(one.grid())
    assert [kept.svg(number) for number in range(len(one.grid()))] == [one.svg(**state) for state in one.grid()]
    with pytest.raises(ExploreError, match="different names"):
        make()
    with pytest.raises(ExploreError, match="'broken' failed at n=2"):

        @explore(n=slider([1, 2]), alt=["a"])
        def broken(ax, n):
            return "Fine." if n == 1 else 1 / 0


def test_check_draws_the_whole_grid():
    make().check()
    assert len(make().grid()) == 6 and make().grid()[0] == {"radius": 0.5, "kind": "plain"}

    @explore(n=slider([1, 2, 3], at=1), alt=["a"])
    def last_one_fails(ax, n):
        return "Fine." if n < 3 else None

    with pytest.raises(ExploreError, match="n=3"):
        last_one_fails.check()


def test_calling_it_calls_the_function():
    from matplotlib.figure import Figure

    assert make()(Figure().subplots(), 0.5, "plain") == "Radius 0.5, plain."

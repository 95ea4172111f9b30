from __future__ import annotations

from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from training.report.figure_frame import IntervalRow, draw, forest, in_words, short, standalone_svg

ROWS = (IntervalRow("first", 0.4, 0.2, 0.6, is_first=True), IntervalRow("second", 0.1, 0.0, 0.2), IntervalRow("x", 0.3))


def test_a_forest_lists_the_first_row_on_top_and_draws_intervals_where_there_are_any() -> None:
    axes = Figure().subplots()
    forest(axes, ROWS, label="R2")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "second", "first"]
    dots = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1}
    assert dots == {2: 0.4, 1: 0.1, 0: 0.3}
    bars = {line.get_ydata()[0]: list(line.get_xdata()) for line in axes.lines if line.get_ydata()[0] in (1, 2)}
    assert sum(len(set(line.get_xdata())) == 2 for line in axes.lines) == 2
    assert bars


def test_a_figure_is_told_to_screen_readers_and_stands_on_its_own() -> None:
    def paint(figure: Figure) -> None:
        forest(figure.subplots(), ROWS, label="R2")

    drawn = draw("all_models", "All <models>", "What it shows & why", height=2.0, paint=paint, width=4.0)
    assert drawn.is_narrow
    page = ElementTree.fromstring(drawn.svg)
    assert page.find("{*}title").text == "All <models>"  # type: ignore[union-attr]
    assert "What it shows &amp; why" in drawn.svg
    alone = standalone_svg(drawn, is_synthetic=True)
    ElementTree.fromstring(alone)
    assert "Research use only, synthetic data" in alone
    assert "Research use only" in standalone_svg(drawn, is_synthetic=False)
    assert "synthetic" not in standalone_svg(drawn, is_synthetic=False)


def test_the_same_figure_is_the_same_bytes() -> None:
    def paint(figure: Figure) -> None:
        forest(figure.subplots(), ROWS, label="R2")

    one, two = (draw("models", "Models", "", height=2.0, paint=paint).svg for _ in range(2))
    assert one == two


@pytest.mark.parametrize(("words", "shown"), [("abc", "abc"), ("a" * 50, "a" * 45 + "…")])
def test_labels_are_cut_where_they_would_not_fit(words: str, shown: str) -> None:
    assert short(words) == shown


def test_a_level_of_a_category_keeps_its_name() -> None:
    assert in_words("site=north").endswith(": north")

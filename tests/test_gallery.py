from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest

GALLERY = Path(__file__).resolve().parent.parent / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.glob("plot_*.py"))


@pytest.fixture
def pyplot(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Lend pyplot without a window; what was drawn is put away afterwards."""
    before = mpl.get_backend()
    mpl.use("agg")
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda: None)
    yield pyplot
    pyplot.close("all")
    mpl.use(before)


def test_there_is_a_gallery() -> None:
    assert 5 <= len(SCRIPTS) <= 12


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_runs_and_labels_what_it_draws(script: Path, pyplot: object) -> None:
    from matplotlib import pyplot as drawn

    runpy.run_path(str(script), run_name="__main__")
    figures = [drawn.figure(number) for number in drawn.get_fignums()]
    assert figures
    for figure in figures:
        words = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
        assert any(words)
        # An axis has a name, or its ticks are words.
        for name in ("x", "y"):
            labels = [getattr(axes, f"get_{name}label")() for axes in figure.axes]
            ticks = [text.get_text() for axes in figure.axes for text in getattr(axes, f"get_{name}ticklabels")()]
            assert any(labels) or any(re.search("[a-z]", text) for text in ticks)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_says_that_its_data_are_synthetic_and_what_it_is_not_for(script: Path) -> None:
    docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    title, underline = docstring.splitlines()[:2]
    assert underline == "=" * len(title)
    assert "Synthetic data" in docstring
    assert "research use only" in docstring

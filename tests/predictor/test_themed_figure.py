from __future__ import annotations

import re
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.lines import Line2D

from predictor.report.themed_figure import INK, THEME, UP, drawing, inline_svg, show_pixels


def _drawn(name: str = "one", words: str = "left amygdala") -> str:
    with drawing(2.0) as figure:
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        axes.plot([0, 1], [0, 2], color=UP)
        axes.set_title(words, color=INK)
        return inline_svg(figure, name=name, title="Title", description=f"About {words}")


def test_colours_of_the_theme_are_left_to_the_page() -> None:
    svg = _drawn()
    assert "var(--up)" in svg
    assert "var(--ink)" in svg
    assert not [colour for colour in THEME.values() if colour in svg]


def test_a_drawing_is_well_formed_and_the_same_each_time() -> None:
    svg = _drawn(words='a & <b> "c" $d$ e$')
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == 'Title. About a & <b> "c" $d$ e$'
    assert 'a & <b> "c" $d$ e$' in "".join(root.itertext())  # text, not mathematics
    assert svg == _drawn(words='a & <b> "c" $d$ e$')


def test_two_drawings_share_no_id() -> None:
    ids = [set(re.findall(r'\bid="([^"]+)"', _drawn(name))) for name in ("one", "two")]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert all(name.startswith("one-") for name in ids[0])


def test_nothing_but_the_drawing_stands_in_it() -> None:
    svg = _drawn()
    assert svg.startswith("<svg ")
    assert svg.endswith("</svg>")
    assert not re.search(r"<metadata|<style|<\?xml|<!DOCTYPE|<script", svg)


def test_letters_that_the_measuring_font_lacks_are_drawn_without_complaint() -> None:
    assert "扁桃体" in _drawn(words="扁桃体")


def test_settings_are_as_before_afterwards() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with pytest.raises(RuntimeError), drawing(1.0):
        raise RuntimeError
    assert dict(mpl.rcParams) == before


def test_pixels_are_kept_one_by_one(rng: np.random.Generator) -> None:
    import base64
    from io import BytesIO

    from PIL import Image

    with drawing(2.0) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        values = np.array([[-5.0, 0.0, 9.0], [np.nan, 0.5, 1.0]])
        show_pixels(axes, values, extent=(0, 3, 2, 0), limits=(0.0, 1.0))
        svg = inline_svg(figure, name="pixels", title="t", description="d")
    [encoded] = re.findall(r"data:image/png;base64,\s*([^\"]+)", svg)
    picture = np.asarray(Image.open(BytesIO(base64.b64decode(encoded))).convert("RGBA"))
    assert picture.shape[:2] == (2, 3)
    np.testing.assert_array_equal(picture[0, :, 0], [0, 0, 255])
    np.testing.assert_array_equal(picture[:, :, 3], [[255, 255, 255], [0, 255, 255]])
    assert 120 < picture[1, 1, 0] < 136


def test_a_figure_is_painted_once_whatever_its_layout() -> None:
    with drawing(2.0) as figure:
        figure.set_layout_engine("constrained")
        line = Line2D([0, 1], [0, 1])
        figure.subplots().add_artist(line)
        with patch.object(line, "draw", wraps=line.draw) as painted:
            inline_svg(figure, name="one", title="Title", description="About it")
    assert painted.call_count == 1

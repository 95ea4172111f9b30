from __future__ import annotations

import itertools
import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.report.svg import Axis, axis_around, element, figure, text

numbers = st.floats(-1e4, 1e4, allow_nan=False)


@given(lower=numbers, span=st.floats(0.01, 1e4))
def test_ticks_are_round_evenly_spaced_and_on_the_axis(lower: float, span: float) -> None:
    axis = Axis(lower, lower + span, 0, 500)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 11
    assert all(lower - 1e-9 <= tick <= lower + span + 1e-9 * max(1, abs(lower)) for tick in ticks)
    steps = [second - first for first, second in itertools.pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-6, abs=1e-6)
    mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - round_step) for round_step in (1, 2, 5, 10)) < 1e-3


@given(values=st.lists(numbers, min_size=1, max_size=5))
def test_an_axis_holds_all_its_values(values: list[float]) -> None:
    axis = axis_around(values, left=10, right=200)
    assert all(10 <= axis.x(value) <= 200 for value in values)


def test_text_and_attributes_are_escaped() -> None:
    shape = text("<b> & co", x=1, y=2, text_anchor='"><script>')
    drawing = figure([shape], width=10, height=10, title='a "title"', description="<i>")
    parsed = ElementTree.fromstring(drawing)
    assert parsed.findtext("{http://www.w3.org/2000/svg}text") == "<b> & co"
    assert "<script" not in drawing
    assert parsed.attrib["role"] == "img"


def test_lines_have_a_stroke_and_shapes_a_fill_without_any_style_sheet() -> None:
    assert 'stroke="#0072b2"' in element("line", style_class="figure-up", x1=0, x2=1, y1=0, y2=0)
    assert 'fill="#d55e00"' in element("path", style_class="figure-down", d="M0,0")

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from training.report.strip_figure import MOST_MARKS, WIDTH, StripRow, strip_svg

SVG = "{http://www.w3.org/2000/svg}"


def _row(values: list[float], marks: str = "") -> StripRow:
    kinds = {"f": "flagged", "r": "refused"}
    named = [kinds.get(letter, "ok") for letter in marks.ljust(len(values), "o")]
    return StripRow("rest", np.array(values), [f"sub-{place:02d}" for place in range(len(values))], named)


def _titles(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [str(one.findtext(f"{SVG}title")) for one in root if one.find(f"{SVG}title") is not None]


def test_every_number_has_a_mark_that_says_whose_it_is() -> None:
    svg = strip_svg([_row([0.1, np.nan, 0.3])], title="Motion", label="mm", unit="mm")
    assert sorted(_titles(svg)) == ["sub-00: 0.10 mm", "sub-02: 0.30 mm"]
    assert "median 0.20 mm of 2, from 0.10 to 0.30" in svg


def test_marks_differ_in_shape_and_not_only_in_colour() -> None:
    root = ElementTree.fromstring(strip_svg([_row([1.0, 2.0, 3.0], "ofr")], title="t", label="l"))
    assert len(root.findall(f"{SVG}circle")) == 1
    outlines = [str(one.get("d")).count("L") for one in root.findall(f"{SVG}path")]
    assert sorted(outlines) == [2, 3]  # a triangle and a diamond


def test_in_a_crowd_only_those_who_stand_out_are_drawn() -> None:
    values = list(np.linspace(0, 1, MOST_MARKS + 1))
    assert len(_titles(strip_svg([_row(values, "f")], title="t", label="l"))) == 1


def test_limits_near_the_numbers_are_drawn_and_far_ones_do_not_squeeze_them() -> None:
    near = strip_svg([_row([0.1, 0.4])], title="t", label="l", limits=(("flag", 0.5),))
    far = strip_svg([_row([0.1, 0.4])], title="t", label="l", limits=(("flag", 50.0),))
    assert "flag 0.5" in near
    assert "flag 50" not in far


def test_everything_lies_within_the_drawing() -> None:
    rows = [_row(list(np.random.default_rng(0).normal(size=60)), "rrff"), _row([np.nan])]
    svg = strip_svg(rows, title="t", label="l", limits=(("refuse", 2.0),))
    root = ElementTree.fromstring(svg)
    across = [float(str(one.get("cx"))) for one in root.findall(f"{SVG}circle")]
    assert min(across) >= 0
    assert max(across) <= WIDTH
    assert "not known" in svg


def test_names_are_escaped() -> None:
    hostile = StripRow("<b>", np.array([1.0]), ['"><script>'], ["ok"])
    ElementTree.fromstring(strip_svg([hostile], title="<", label="&"))

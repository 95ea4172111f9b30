from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from predictor.report.palette import (
    ABOVE_ZERO,
    BELOW_ZERO,
    DARK,
    LIGHT,
    ON_IMAGE_EDGE,
    ON_IMAGE_PARTIAL,
    ON_IMAGE_WHOLE,
    PRINT,
    SERIES,
    style_variables,
)

ROOT = Path(__file__).parents[2]
THEMES = {"light": LIGHT, "dark": DARK, "print": PRINT}
# Linear RGB of people without one kind of cone: Machado, Oliveira & Fernandes 2009, severity 1.
SEEN_WITHOUT = {
    "nothing": np.eye(3),
    "long (protanopia)": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "middle (deuteranopia)": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "short (tritanopia)": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# In CIELAB 2.3 is just noticeable; this much is seen at a glance, in a dot of some pixels.
CLEARLY_APART, APART_IN_LINES = 25.0, 12.0
TEXT, SHAPE = 4.5, 3.0  # contrast that WCAG 2.2 asks for


def _linear(colour: str) -> NDArray[np.float64]:
    coded = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def _luminance(linear: NDArray[np.float64]) -> float:
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _contrast(one: str, other: str) -> float:
    dark, light = sorted(_luminance(_linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    )
    scaled = to_xyz @ np.clip(linear, 0, 1) / [0.95047, 1.0, 1.08883]
    f = np.where(scaled > (6 / 29) ** 3, np.cbrt(scaled), scaled / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _distance(one: str, other: str, without: str) -> float:
    seen = [_lab(SEEN_WITHOUT[without] @ _linear(colour)) for colour in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def test_the_distance_is_that_of_the_textbook() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _distance("#000000", "#ffffff", "nothing") == pytest.approx(100, abs=0.01)
    # Pure red and a green of its lightness: far apart, and hardly so without the middle cones.
    assert _distance("#d62728", "#2ca02c", "nothing") > 100
    assert _distance("#d62728", "#2ca02c", "middle (deuteranopia)") < 40


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read_on_its_ground(theme: str) -> None:
    colours = THEMES[theme]
    for ground in ("paper", "raised"):
        for name in ("ink", "muted", "accent", "flag", "refuse", "good"):
            assert _contrast(colours[name], colours[ground]) >= TEXT, (name, ground)
    for name in ("flag", "refuse"):
        assert _contrast(colours[name], colours[f"{name}-back"]) >= TEXT, name
        assert _contrast(colours["ink"], colours[f"{name}-back"]) >= TEXT, name


@pytest.mark.parametrize("theme", THEMES)
def test_marks_stand_out_from_the_paper(theme: str) -> None:
    colours = THEMES[theme]
    for name in ("up", "down", "flag", "refuse", "total", "outline", "muted"):
        assert _contrast(colours[name], colours["paper"]) >= SHAPE, name
    for name in ("up", "flag", "refuse", "ink"):  # marks stand on the box of a strip, too
        assert _contrast(colours[name], colours["crowd"]) >= 2.0, name


@pytest.mark.parametrize("without", SEEN_WITHOUT)
@pytest.mark.parametrize("theme", THEMES)
def test_up_and_down_are_told_apart_by_everyone(theme: str, without: str) -> None:
    colours = THEMES[theme]
    assert _distance(colours["up"], colours["down"], without) >= CLEARLY_APART
    assert _distance(colours["up"], colours["flag"], without) >= CLEARLY_APART
    assert _distance(colours["up"], colours["refuse"], without) >= CLEARLY_APART


@pytest.mark.parametrize("without", SEEN_WITHOUT)
def test_signs_and_coverage_are_told_apart_by_everyone(without: str) -> None:
    assert _distance(ABOVE_ZERO, BELOW_ZERO, without) >= CLEARLY_APART
    assert _distance(ON_IMAGE_WHOLE, ON_IMAGE_PARTIAL, without) >= CLEARLY_APART
    for colour in (ON_IMAGE_WHOLE, ON_IMAGE_PARTIAL):
        assert _distance(colour, ON_IMAGE_EDGE, without) >= CLEARLY_APART


@pytest.mark.parametrize("without", SEEN_WITHOUT)
def test_lines_of_one_drawing_are_told_apart_by_everyone(without: str) -> None:
    for one, other in combinations(SERIES[:4], 2):
        assert _distance(one, other, without) >= APART_IN_LINES, (one, other)


def test_signs_are_seen_on_white_and_on_black() -> None:
    for colour in (ABOVE_ZERO, BELOW_ZERO):
        assert _contrast(colour, LIGHT["paper"]) >= SHAPE
        assert _contrast(colour, DARK["paper"]) >= SHAPE


def test_every_theme_names_the_same_colours() -> None:
    assert set(LIGHT) == set(DARK) == set(PRINT)
    assert style_variables().count("--paper: ") == 3


def test_the_service_has_the_same_colours() -> None:
    css = (ROOT / "serving/web/static/page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root\s*{(.*?)}", css, re.DOTALL)[:2]
    for block, colours in ((light, LIGHT), (dark, DARK)):
        found = dict(re.findall(r"--([\w-]+):\s*(#\w{6});", block))
        assert {name: found[name] for name in found if name in colours} == _shared(colours, found)
        assert len(set(found) & set(colours)) >= 14


def _shared(colours: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    return {name: colour for name, colour in colours.items() if name in found}


def test_no_other_module_or_style_sheet_of_reports_names_a_colour() -> None:
    folders = [ROOT / one for one in ("predictor/report", "training/report", "training/timecourse")]
    sources = [path for one in folders for path in one.rglob("*") if path.suffix in (".py", ".css", ".html")]
    assert len(sources) > 50
    named = [
        path.name
        for path in sources
        if path.name != "palette.py" and re.search(r"#[0-9a-fA-F]{6}\b", path.read_text("utf-8"))
    ]
    assert named == []

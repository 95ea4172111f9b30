"""What all figures of an experiment share: their frame, their marks, and the form in which they stand on their own."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from predictor.report.palette import DARK
from predictor.report.themed_figure import DOWN, INK, LINE, MUTED, SMALL, THEME, UP, WIDTH_INCHES, drawing, inline_svg
from predictor.report.wording import feature_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RESEARCH_ONLY: Final = "Research use only"
SYNTHETIC: Final = "synthetic data"
MARK_SIZE, LINE_WIDTH = 5.0, 1.4
TEXT_LENGTH = 46
LINE_LENGTH = 52  # of a label in two lines: holds two regions of the longest names
HEAD_POINTS: Final = 14  # room above a figure that stands on its own
_TITLE_END: Final = re.compile(r"</title>")
_SIZE: Final = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)" width="(\d+)" height="(\d+)"')


@dataclass(frozen=True, slots=True)
class DrawnFigure:
    """One figure as it stands in a page."""

    name: str  # also of its file: letters, digits, underscores
    title: str
    caption: str
    svg: str
    is_narrow: bool = False  # the page does not stretch it


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """A line of a forest plot: a value with its interval, in the axis' unit."""

    label: str
    value: float
    lower: float | None = None
    upper: float | None = None
    is_first: bool = False


def draw(
    name: str,
    title: str,
    caption: str,
    *,
    height: float,
    paint: Callable[[Figure], None],
    width: float = WIDTH_INCHES,
    spoken: str = "",
) -> DrawnFigure:
    """Return a figure that `paint` fills.

    Parameters
    ----------
    name, title, caption
        See `DrawnFigure`.
    height, width
        Inches at 80 dots each; the width is the page's unless given.
    paint
        Draws into the empty figure.
    spoken
        What a screen reader says; the caption unless given.
    """
    with drawing(height, width_inches=width) as figure:
        figure.set_layout_engine("constrained")
        paint(figure)
        svg = inline_svg(figure, name=name.replace("_", "-"), title=title, description=spoken or caption)
    return DrawnFigure(name, title, caption, svg, is_narrow=width < WIDTH_INCHES)


def standalone_svg(figure: DrawnFigure, *, is_synthetic: bool) -> str:
    """Return the figure as a file: with colours for light and dark, and the words that go with any number."""
    words = f"{RESEARCH_ONLY}, {SYNTHETIC}" if is_synthetic else RESEARCH_ONLY
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in one.items())
        for one in (THEME, {name: DARK[name] for name in THEME})
    )
    style = (
        f"<style>svg{{{light}background:var(--paper);font-family:system-ui,'Segoe UI','DejaVu Sans',sans-serif}}"
        f"@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    )
    label = f'<text x="4" y="-4" style="font-size:8px;fill:var(--muted)">{words}</text>'
    taller = _SIZE.sub(_with_head, figure.svg, count=1)
    return _TITLE_END.sub(lambda end: end[0] + style + label, taller, count=1) + "\n"


def forest(axes: Axes, rows: Sequence[IntervalRow], *, label: str, zero: float | None = 0.0) -> None:
    """Draw values with intervals below each other, the first row on top; those that count are blue, others grey."""
    for place, row in enumerate(reversed(rows)):
        colour = UP if row.is_first else MUTED
        if row.lower is not None and row.upper is not None:
            axes.plot([row.lower, row.upper], [place, place], color=colour, linewidth=LINE_WIDTH)
        axes.plot(row.value, place, "o" if row.is_first else "s", color=colour, markersize=MARK_SIZE)
    if zero is not None:
        axes.axvline(zero, color=MUTED, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [short(row.label) for row in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(label)
    quiet_grid(axes, "x")


def quiet_grid(axes: Axes, which: str = "both") -> None:
    """Draw thin grid lines behind everything."""
    axes.set_axisbelow(True)
    axes.grid(visible=True, axis=which, color=LINE, linewidth=0.6)  # type: ignore[arg-type]
    axes.tick_params(length=2.5)


def legend(axes: Axes, **options: Any) -> None:
    """Name what is drawn, without a box."""
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, **options)


def short(words: str, *, length: int = TEXT_LENGTH) -> str:
    """Cut what would not fit beside an axis."""
    return words if len(words) <= length else words[: length - 1] + "…"


def wrapped(words: str, *, length: int = LINE_LENGTH) -> str:
    """Break a label that would not fit beside an axis into two lines; features that differ at their end stay apart.

    Examples
    --------
    >>> wrapped("gPPI while viewing faces: left rACC → right amygdala", length=40).splitlines()
    ['gPPI while viewing faces: left rACC →', 'right amygdala']
    """
    return "\n".join(textwrap.wrap(words, length, max_lines=2, placeholder="…"))


def in_words(feature: str) -> str:
    """Return a feature, or a level of a category, as people say it."""
    name, _, level = feature.partition("=")
    return f"{feature_in_words(name)}: {level}" if level else feature_in_words(name)


def signed_colour(value: float) -> str:
    """Blue above 0, vermilion below; the side of the axis says the same."""
    return UP if value >= 0 else DOWN


def _with_head(size: re.Match[str]) -> str:
    """Make room above the drawing, in points and in the pixels that stand for them."""
    width, height, shown_width, shown_height = (float(one) for one in size.groups())
    shown_height += HEAD_POINTS * shown_height / height
    view = f"0 {-HEAD_POINTS} {width:g} {height + HEAD_POINTS:g}"
    return f'viewBox="{view}" width="{shown_width:g}" height="{shown_height:.0f}"'

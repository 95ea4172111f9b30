"""Drawings by matplotlib as SVG that stands in a page and takes on its colours, in light, in dark and on paper.

Figures are built without pyplot, so no window system is looked for; matplotlib's settings are the process's while one
is drawn, so draw in one thread at a time. Text stays text: it can be selected, searched and read aloud.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from predictor.report.palette import LIGHT, SMALL_POINTS, TEXT_POINTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What is drawn in one of these colours takes the page's colour of that name.
THEME: Final[Mapping[str, str]] = {
    name: LIGHT[name] for name in ("ink", "muted", "line", "paper", "up", "down", "flag")
}
INK, MUTED, LINE, PAPER = THEME["ink"], THEME["muted"], THEME["line"], THEME["paper"]
UP, DOWN, FLAG = THEME["up"], THEME["down"], THEME["flag"]

# 80 dots per inch make 9.5 inches about as wide as the page.
WIDTH_INCHES: Final = 9.5
SMALL: Final = SMALL_POINTS
N_SHADES: Final = 31
_SETTINGS: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "image.composite_image": False,  # pictures side by side stay as small as they are
    "text.parse_math": False,  # a region may be called "a$b$c"
    "font.family": ["DejaVu Sans"],
    "font.size": TEXT_POINTS,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": SMALL,
    "axes.titlesize": TEXT_POINTS,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "path.simplify": True,
}
# No clock and no names of tools: the same figure gives the same bytes.
_METADATA: Final = {"Date": None, "Creator": None, "Format": None, "Type": None}
_HEAD: Final = re.compile(r"\A.*?<svg[^>]*>", re.DOTALL)
# matplotlib's style element would hold for the whole page; report.css says the same for its figures.
_PREAMBLE: Final = re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_REFERENCE: Final = re.compile(r'(?:url\(#|xlink:href="#)([\w.-]+)')
_ID: Final = re.compile(r' id="([^"]*)"')


@contextmanager
def drawing(height_inches: float, *, width_inches: float = WIDTH_INCHES) -> Iterator[Figure]:
    """Hand out an empty figure; what is drawn within the block follows the page's style.

    Parameters
    ----------
    height_inches, width_inches
        Size at 80 dots per inch; the page scales it to its width.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_SETTINGS):
        figure = Figure(figsize=(width_inches, height_inches), dpi=80)
        figure.patch.set_alpha(0.0)
        yield figure


def inline_svg(figure: Figure, *, name: str, title: str, description: str) -> str:
    """Return a figure as an `<svg>` element for a page, the same bytes each time.

    Parameters
    ----------
    figure
        A figure of `drawing`; call this inside its block.
    name
        Tells the ids of this drawing from those of others on the page: letters, digits, hyphens.
    title, description
        What a screen reader says.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = StringIO()
    with rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # Browsers have the letters that the measuring font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        _see_through(figure)
        # Not through `savefig`, which would draw everything once more to find out the layout that drawing makes anyway.
        FigureCanvasSVG(figure).print_svg(text, metadata=_METADATA)  # type: ignore[no-untyped-call]
    width, height = (round(side * 80) for side in figure.get_size_inches())  # the drawing itself is in points
    drawn = _HEAD.sub("", text.getvalue(), count=1).rsplit("</svg>", 1)[0]
    drawn = _with_own_ids(_PREAMBLE.sub("", drawn), name)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'viewBox="0 0 {width * 0.9:g} {height * 0.9:g}" width="{width}" height="{height}" '
        f"aria-label={quoteattr(f'{title}. {description}')}>"
    )
    return f"{head}<title>{escape(title)}</title>{_themed(drawn)}</svg>"


def _see_through(figure: Figure) -> None:
    """Let the page's paper be seen behind a drawing."""
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_facecolor("none")
        patch.set_edgecolor("none")


def show_pixels(
    axes: Axes, values: NDArray[np.float64], *, extent: tuple[float, float, float, float], limits: tuple[float, float]
) -> None:
    """Show numbers as grey pixels, smallest black, one per number and without smoothing; NaN is see-through.

    Parameters
    ----------
    axes
        Where to.
    values
        Shape (n_rows, n_columns), first row on top.
    extent
        Left, right, bottom and top in the axes' coordinates.
    limits
        Numbers shown as black and as white.
    """
    lowest, highest = limits
    # Few shades make a small file; the eye does not tell more.
    shades = np.round((np.clip(values, lowest, highest) - lowest) / (highest - lowest) * N_SHADES) / N_SHADES
    axes.imshow(shades, cmap="gray", vmin=0.0, vmax=1.0, extent=extent, aspect="auto", interpolation="none")


def _with_own_ids(drawn: str, name: str) -> str:
    """Put the drawing's name before every id that something refers to, and drop the others: ids are the page's."""
    used = set(_REFERENCE.findall(drawn))
    drawn = _ID.sub(lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", drawn)
    return _REFERENCE.sub(lambda found: found[0].replace("#", f"#{name}-", 1), drawn)


def _themed(drawn: str) -> str:
    """Let the page decide the colours of the theme."""
    for name, colour in THEME.items():
        drawn = drawn.replace(colour, f"var(--{name})")
    return drawn.replace("font-family: 'DejaVu Sans'", "font-family: inherit")

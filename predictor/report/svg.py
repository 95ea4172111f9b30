"""A few SVG elements as text: escaped, rounded, with colours that hold without a style sheet.

Every shape carries a class as well, so that a page may recolour it for dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from predictor.report.palette import LIGHT, SMALL_PIXELS, TEXT_PIXELS

# Colours of a drawing on white; a page gives its classes the colours of its own paper.
COLOUR_OF_CLASS = {
    f"figure-{name}": LIGHT[colour]
    for name, colour in {
        "paper": "paper",
        "ink": "ink",
        "muted": "muted",
        "grid": "line",
        "up": "up",
        "down": "down",
        "flag": "flag",
        "refuse": "refuse",
        "total": "total",
        "crowd": "crowd",
        "outline": "outline",
    }.items()
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def element(tag: str, *, style_class: str = "", content: str = "", **attributes: float | str) -> str:
    """One element; `_` in attribute names stands for `-`, numbers are rounded to a tenth of a pixel."""
    if style_class:
        colour = "stroke" if tag == "line" else "fill"
        attributes = {"class": style_class, colour: COLOUR_OF_CLASS[style_class], **attributes}
    written = " ".join(f"{name.replace('_', '-')}={quoteattr(_number(value))}" for name, value in attributes.items())
    return f"<{tag} {written}>{content}</{tag}>" if content else f"<{tag} {written}/>"


def text(
    words: str, *, x: float, y: float, size: float = TEXT_PIXELS, style_class: str = "figure-ink", **more: str
) -> str:
    """Return a line of text with its baseline at y."""
    return element("text", style_class=style_class, content=escape(words), x=x, y=y, font_size=size, **more)


def figure(shapes: Iterable[str], *, width: float, height: float, title: str, description: str) -> str:
    """Return a whole drawing that scales with its container and can be read by a screen reader."""
    paper = element("rect", style_class="figure-paper", x=0, y=0, width=width, height=height)
    named = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    attributes = f'viewBox="0 0 {_number(width)} {_number(height)}" width="{_number(width)}" height="{_number(height)}"'
    label = quoteattr(f"{title}. {description}")
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label={label} {attributes}'
    return f"{head} font-family={quoteattr(FONT)}>{named}{paper}{''.join(shapes)}</svg>\n"


@dataclass(frozen=True, slots=True)
class Axis:
    """A horizontal axis: values to pixels, with round ticks."""

    lower: float
    upper: float
    left: float
    right: float

    def x(self, value: float) -> float:
        """Pixel of a value."""
        return self.left + (value - self.lower) / (self.upper - self.lower) * (self.right - self.left)

    def ticks(self, *, about: int = 5) -> tuple[float, ...]:
        """Round values inside the axis.

        Examples
        --------
        >>> Axis(-3.0, 42.0, 0.0, 100.0).ticks()
        (0.0, 10.0, 20.0, 30.0, 40.0)
        """
        raw = (self.upper - self.lower) / about
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = min((factor * magnitude for factor in (1, 2, 5, 10)), key=lambda candidate: abs(candidate - raw))
        first = math.ceil(self.lower / step)
        return tuple(step * index for index in range(first, math.floor(self.upper / step) + 1))

    def draw(self, *, top: float, bottom: float, label: str) -> list[str]:
        """Grid lines, tick numbers and the name of the axis below."""
        shapes = []
        for tick in self.ticks(about=max(2, min(6, int((self.right - self.left) / 70)))):
            x = self.x(tick)
            width = 1.5 if tick == 0 else 1
            shapes.append(element("line", style_class="figure-grid", x1=x, x2=x, y1=top, y2=bottom, stroke_width=width))
            shapes.append(
                text(
                    f"{tick:g}", x=x, y=bottom + 16, size=SMALL_PIXELS, style_class="figure-muted", text_anchor="middle"
                )
            )
        middle = (self.left + self.right) / 2
        shapes.append(
            text(label, x=middle, y=bottom + 34, size=SMALL_PIXELS, style_class="figure-muted", text_anchor="middle")
        )
        return shapes


def axis_around(values: Iterable[float], *, left: float, right: float, margin: float = 0.06) -> Axis:
    """Return an axis that holds all values with some air."""
    held = list(values)
    lower, upper = min(held), max(held)
    air = (upper - lower or 1.0) * margin
    return Axis(lower - air, upper + air, left, right)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{round(float(value), 1):g}"

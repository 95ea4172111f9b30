"""Every colour of pages and figures, by what it means; nothing else names one.

Blue and vermilion of Okabe and Ito say up and down: they are told apart by people with any colour-vision deficiency.
In grey they are not, so a sign, an arrow, a dash or a shape says the same again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Of pages, by the name of their CSS variable; the service's page.css has the same.
LIGHT: Final[Mapping[str, str]] = {
    "paper": "#ffffff",
    "raised": "#f5f7fa",
    "ink": "#1c2330",
    "muted": "#565f6e",
    "line": "#d9dde3",
    "accent": "#0b62a4",
    "flag": "#8a5a00",
    "flag-back": "#fff6e0",
    "refuse": "#a3261d",
    "refuse-back": "#fdeeec",
    "good": "#1d6b3a",
    "up": "#0072b2",
    "down": "#d55e00",
    "total": "#4a5568",
    "crowd": "#c9d1dc",
    "outline": "#8590a0",
}
DARK: Final[Mapping[str, str]] = {
    "paper": "#14181f",
    "raised": "#1d232d",
    "ink": "#e7eaf0",
    "muted": "#a4adba",
    "line": "#363f4c",
    "accent": "#6db5ee",
    "flag": "#f0c36a",
    "flag-back": "#2d2514",
    "refuse": "#ff9d92",
    "refuse-back": "#33191a",
    "good": "#7dd39b",
    "up": "#56b4e9",
    "down": "#f08a3c",
    "total": "#b6bfcc",
    "crowd": "#3c4656",
    "outline": "#6b7687",
}
# Ink on paper: black text, no tinted ground.
PRINT: Final[Mapping[str, str]] = {
    **LIGHT,
    "raised": "#ffffff",
    "ink": "#000000",
    "muted": "#444444",
    "line": "#bbbbbb",
    "flag": "#6b4600",
    "flag-back": "#ffffff",
    "refuse": "#8d1c14",
    "refuse-back": "#ffffff",
    "down": "#c24f00",
    "total": "#333333",
    "crowd": "#d5dae2",
}

# Of several lines in one drawing, in this order: Okabe and Ito without black and yellow, which need a known paper.
SERIES: Final = (LIGHT["down"], LIGHT["up"], "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# Of measured values, red above zero and blue below as the field has it; both are seen on white and on black.
ABOVE_ZERO, BELOW_ZERO = "#d6453d", "#3a86c8"
# On the grey of a brain image, whatever the page's colours are.
ON_IMAGE_WHOLE, ON_IMAGE_PARTIAL, ON_IMAGE_EDGE = "#ffd23f", "#ff4d2e", "#000000"

# Sizes of letters in drawings: of matplotlib in points, of our own SVG in pixels.
TEXT_POINTS, SMALL_POINTS = 9.0, 8.0
TEXT_PIXELS, SMALL_PIXELS = 13.0, 12.0


def style_variables() -> str:
    """Return the colours as CSS variables: light, dark where the reader's system is, and of paper when printed."""
    light, dark, on_paper = (_declared(colours) for colours in (LIGHT, DARK, PRINT))
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        f"@media print {{ :root {{ color-scheme: light; {on_paper} }} }}\n"
    )


def _declared(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())

"""The specification curve: every universe's R2 in ascending order, and below it what was decided there.

Only the multiverse's document is needed. Universes that beat their strongest baseline are filled, the others hollow;
the registered one is a diamond in the other colour, so that nothing depends on colour alone.

References
----------
Simonsohn U, Simmons JP, Nelson LD (2020). Specification curve analysis. Nature Human Behaviour 4:1208-1214.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from predictor.report.svg import COLOUR_OF_CLASS, Axis, axis_around, element, figure, text
from training.report.short_numbers import short, with_interval

WIDTH, LEFT, RIGHT = 868.0, 284.0, 852.0
TOP, CURVE_HEIGHT, ROW_HEIGHT, AXIS_GAP = 52.0, 210.0, 17.0, 8.0
LARGEST_MARK = 4.5
SHOWN_LETTERS, SHOWN_AXIS_LETTERS = 22, 12  # both fit to the left of the drawing

Universe = Mapping[str, Any]


def specification_curve(document: Mapping[str, Any]) -> str:
    """Draw a multiverse as one SVG.

    Parameters
    ----------
    document
        What `training.multiverse.multiverse_record.multiverse_document` returns.
    """
    universes = sorted(document["universes"], key=lambda one: (one["r2"], one["number"]))
    step = (RIGHT - LEFT) / len(universes)
    places = [LEFT + step * (number + 0.5) for number in range(len(universes))]
    size = min(LARGEST_MARK, max(1.2, 0.42 * step))
    held = [one[name] for one in universes for name in ("r2_lower", "r2_upper", "baseline_r2")]
    scale = axis_around([*held, 0.0], left=TOP + CURVE_HEIGHT, right=TOP)  # upwards
    rows = list(_rows(document["axes"]))
    bottom = TOP + CURVE_HEIGHT + 26 + rows[-1][0]
    shapes = [*_head(document), *_scale(scale), *_registered_line(universes, places, bottom)]
    shapes += _curve(universes, places, scale, size)
    shapes += _decisions(rows, universes, places, document["axes"], top=TOP + CURVE_HEIGHT + 18, size=size)
    shapes += _legend(bottom + 26)
    return figure(shapes, width=WIDTH, height=bottom + 62, title="Specification curve", description=describe(document))


def describe(document: Mapping[str, Any]) -> str:
    """Return what the figure shows in one sentence."""
    found = document["summary"]
    return (
        f"R2 of {found['n_universes']} universes from {short(found['r2_lowest'])} to {short(found['r2_highest'])}, "
        f"median {short(found['r2_median'])}; {found['n_better']} beat their strongest baseline, "
        f"{found['n_surely_better']} with an interval above 0; the registered one has "
        f"{short(found['registered_r2'])}, rank {found['registered_rank']}"
    )


def _head(document: Mapping[str, Any]) -> list[str]:
    label = "Synthetic data. " if document["is_synthetic"] else ""
    words = f"{label}Research use only. {document['n_participants']} people, the same folds in every universe."
    return [
        text("R2 in every universe, in ascending order", x=12, y=20, size=15, font_weight="600"),
        text(words, x=12, y=38, size=12, style_class="figure-muted"),
    ]


def _scale(scale: Axis) -> Iterator[str]:
    """Draw grid lines with their R2, and the line of a model that knows nothing."""
    for tick in scale.ticks(about=5):
        y, width = scale.x(tick), 1.5 if abs(tick) < 1e-9 else 1
        yield element("line", style_class="figure-grid", x1=LEFT, x2=RIGHT, y1=y, y2=y, stroke_width=width)
        yield text(short(tick), x=LEFT - 8, y=y + 4, size=12, style_class="figure-muted", text_anchor="end")
    yield text("R2, 95 % interval", x=12, y=TOP + 12, size=12, style_class="figure-muted")


def _registered_line(universes: Sequence[Universe], places: Sequence[float], bottom: float) -> Iterator[str]:
    for one, x in zip(universes, places, strict=True):
        if one["registered"]:
            yield element(
                "line", style_class="figure-muted", x1=x, x2=x, y1=TOP, y2=bottom + 6, stroke_width=1,
                stroke_dasharray="2 3",
            )  # fmt: skip


def _curve(universes: Sequence[Universe], places: Sequence[float], scale: Axis, size: float) -> Iterator[str]:
    """Draw intervals, strongest baselines and R2, the registered universe last, on top."""
    order = sorted(range(len(universes)), key=lambda number: universes[number]["registered"])
    for number in order:
        one, x = universes[number], places[number]
        name = f"{_choice_in_words(one)}: R2 {with_interval(one['r2'], one['r2_lower'], one['r2_upper'])}"
        y = scale.x(one["r2"])
        yield element(
            "line", style_class="figure-muted", x1=x, x2=x, y1=scale.x(one["r2_lower"]), y2=scale.x(one["r2_upper"]),
            stroke_width=min(1.4, size / 2),
        )  # fmt: skip
        baseline = scale.x(one["baseline_r2"])
        yield element(
            "line", style_class="figure-muted", x1=x - size, x2=x + size, y1=baseline, y2=baseline, stroke_width=2
        )
        yield f"<g><title>{_escaped(name)}</title>{_mark(one, x, y, size)}</g>"


def _mark(one: Universe, x: float, y: float, size: float) -> str:
    """Draw a filled dot where the strongest baseline is beaten, else a hollow one; the registered one is a diamond."""
    colour = COLOUR_OF_CLASS["figure-down" if one["registered"] else "figure-up"]
    paint: dict[str, Any] = {"stroke": colour, "stroke_width": 1.5}
    if one["registered"]:
        reach = max(size * 1.5, 4.5)
        corners = ((x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y))
        outline = "M " + " L ".join(f"{across:.1f} {down:.1f}" for across, down in corners) + " Z"
        return element("path", style_class="figure-down" if one["is_better"] else "figure-paper", d=outline, **paint)
    return element(
        "circle", style_class="figure-up" if one["is_better"] else "figure-paper", cx=x, cy=y, r=size, **paint
    )


def _rows(axes: Mapping[str, Any]) -> Iterator[tuple[float, str, str]]:
    """Yield distance from the top, axis and alternative, a gap before every further axis."""
    y = 0.0
    for axis, known in axes.items():
        for alternative in known["alternatives"]:
            y += ROW_HEIGHT
            yield y, axis, alternative
        y += AXIS_GAP


def _decisions(
    rows: Sequence[tuple[float, str, str]],
    universes: Sequence[Universe],
    places: Sequence[float],
    axes: Mapping[str, Any],
    *,
    top: float,
    size: float,
) -> Iterator[str]:
    """Draw one row per alternative with a mark in every universe that took it; registered ones in bold."""
    for row, axis, alternative in rows:
        y = top + row
        if alternative == axes[axis]["alternatives"][0]:
            yield text(_shortened(axis, SHOWN_AXIS_LETTERS), x=12, y=y, size=12, style_class="figure-muted")
        weight = "600" if alternative == axes[axis]["registered"] else "400"
        label = _shortened(alternative, SHOWN_LETTERS)
        yield text(label, x=LEFT - 8, y=y, size=12, text_anchor="end", font_weight=weight)
        yield element("line", style_class="figure-grid", x1=LEFT, x2=RIGHT, y1=y - 4, y2=y - 4, stroke_width=0.5)
        for one, x in zip(universes, places, strict=True):
            if one["choice"][axis] == alternative:
                kind = "figure-down" if one["registered"] else "figure-total"
                yield element("rect", style_class=kind, x=x - size / 2, y=y - 9, width=size, height=10)


def _legend(y: float) -> Iterator[str]:
    example = {"registered": False, "is_better": True}
    entries = [
        (_mark(example | {"registered": True}, 18, y - 4, 3.5), 28, "registered"),
        (_mark(example, 122, y - 4, 4), 132, "beats its strongest baseline"),
        (_mark(example | {"is_better": False}, 322, y - 4, 4), 332, "does not"),
    ]
    for mark, x, words in entries:
        yield mark
        yield text(words, x=x, y=y, size=12)
    yield element("line", style_class="figure-muted", x1=406, x2=420, y1=y - 4, y2=y - 4, stroke_width=2)
    yield text("strongest baseline", x=426, y=y, size=12)
    yield text(
        "Picking the best universe afterwards is a forking path.", x=12, y=y + 20, size=12, style_class="figure-muted"
    )


def _choice_in_words(one: Universe) -> str:
    return ", ".join(f"{axis} {alternative}" for axis, alternative in one["choice"].items())


def _shortened(words: str, n_letters: int) -> str:
    return words if len(words) <= n_letters else f"{words[: n_letters - 1]}…"


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

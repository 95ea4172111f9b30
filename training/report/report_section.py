"""One part of an experiment's report, before it is laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.report.figure_frame import DrawnFigure

Figures = Mapping[str, DrawnFigure]


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table of ready text; `numbers` are columns set flush right, `first` rows that stand out."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    first: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ReportSection:
    """One part of the page; what is empty is not drawn."""

    id: str
    title: str
    paragraphs: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()  # what is not reported, and why
    figures: tuple[DrawnFigure, ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    html: str = ""  # escaped already
    style: str = ""


def figures_named(figures: Figures, *names: str) -> tuple[DrawnFigure, ...]:
    """Return those of the figures that were drawn."""
    return tuple(figures[name] for name in names if name in figures)

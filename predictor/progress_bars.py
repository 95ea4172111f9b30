"""How progress looks in a terminal; apart from `predictor.console`, since importing it takes a tenth of a second."""

from __future__ import annotations

from typing import Final

from rich.console import Console, ConsoleDimensions
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

# A terminal writes "^C" where the cursor stands. On a line of its own it would be cleared in the bar's place.
CTRL_C_WIDTH: Final = 3


def new_bars() -> Progress:
    """Return a display on standard error that vanishes when it is over; `fields` of a task: count, left, item."""
    return Progress(
        SpinnerColumn("line", finished_text=" "),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),
        TextColumn("{task.fields[count]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[item]}", markup=False, table_column=Column(no_wrap=True)),
        console=_WithMargin(stderr=True),
        transient=True,
        expand=True,
    )


class _WithMargin(Console):
    @property  # type: ignore[misc]  # nobody sets it
    def size(self) -> ConsoleDimensions:
        width, height = super().size
        return ConsoleDimensions(width - CTRL_C_WIDTH, height)

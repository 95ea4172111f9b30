"""One row of a benchmark: what was measured, beside what, and what was asked for; the form that all of them share.

A benchmark `bench_*.py` gives measurements, prints them with `conclude`, and with --json prints them as the list of
documents that `make bench` collects. Whether a target is met follows from the numbers; nothing else is written down.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

QUICK_VARIABLE = "KRP_BENCH"  # "quick" is the same as --quick everywhere
DIGITS = 3


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number of ours, beside a number of something else or of a target, or both.

    Parameters
    ----------
    group
        What it is a part of; one table and one chart each.
    name
        What was done, in words.
    unit
        Of `ours` and `other`: "s", "ms", "MB", "per s", "%".
    ours
        As measured.
    other, other_name
        The same by other means on the same data, and by which.
    larger_is_better
        True for a throughput; times and memory are better when small.
    at_most, at_least
        What is asked of `ours`.
    ratio_at_least
        What is asked of `ratio`.
    detail
        How it was measured: rounds, sizes, what differs between the two sides.
    """

    group: str
    name: str
    unit: str
    ours: float
    other: float | None = None
    other_name: str = ""
    larger_is_better: bool = False
    at_most: float | None = None
    at_least: float | None = None
    ratio_at_least: float | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        if (self.other is None) != (not self.other_name):
            raise ValueError(f"{self.name}: a number of another and its name come together.")
        if self.ratio_at_least is not None and self.other is None:
            raise ValueError(f"{self.name}: a ratio is asked for, but there is nothing to divide by.")
        if sum(limit is not None for limit in (self.at_most, self.at_least, self.ratio_at_least)) > 1:
            raise ValueError(f"{self.name}: one target a row.")

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the other; below 1 it is worse. None without another."""
        if self.other is None:
            return None
        return self.ours / self.other if self.larger_is_better else self.other / self.ours

    @property
    def used_share(self) -> float | None:
        """How much of what is allowed is used up: at most 1 meets the target. None without a target."""
        if self.at_most is not None:
            return self.ours / self.at_most
        if self.at_least is not None:
            return self.at_least / self.ours
        if self.ratio_at_least is not None and self.ratio is not None:
            return self.ratio_at_least / self.ratio
        return None

    @property
    def met(self) -> bool | None:
        """Whether the target is met, None without one."""
        return None if self.used_share is None else self.used_share <= 1

    @property
    def asked(self) -> str:
        """The target in words, empty without one."""
        if self.at_most is not None:
            return f"≤ {shown(self.at_most)} {self.unit}"
        if self.at_least is not None:
            return f"≥ {shown(self.at_least)} {self.unit}"
        return f"≥ {shown(self.ratio_at_least)} ×" if self.ratio_at_least is not None else ""

    def document(self) -> dict[str, Any]:
        """Return everything as JSON, with what follows from it written out for readers of the file."""
        return {
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "other": self.other,
            "other_name": self.other_name,
            "larger_is_better": self.larger_is_better,
            "at_most": self.at_most,
            "at_least": self.at_least,
            "ratio_at_least": self.ratio_at_least,
            "detail": self.detail,
            "ratio": self.ratio,
            "asked": self.asked,
            "met": self.met,
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Measurement:
        """Read what `document` wrote; what follows from the numbers is computed anew."""
        own = {name: document[name] for name in cls.__dataclass_fields__}
        return cls(**own)


def shown(value: float) -> str:
    """Return a number with three digits that count, never as a power of ten unless it is tiny.

    Examples
    --------
    >>> shown(1234.5), shown(0.49321), shown(12.0), shown(3.1e-7)
    ('1,234', '0.493', '12', '3.1e-07')
    """
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{DIGITS}g}"


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a command line with the options of every benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    is_quick = os.environ.get(QUICK_VARIABLE) == "quick"
    parser.add_argument(
        "--quick", action="store_true", default=is_quick, help="fewer rounds and shorter runs, to see that it works"
    )
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")
    return parser


def conclude(measurements: Iterable[Measurement], *, as_json: bool) -> int:
    """Print every measurement and return the exit code: 1 when a target was missed."""
    found = list(measurements)
    text = json.dumps([one.document() for one in found], indent=2, ensure_ascii=False) if as_json else table(found)
    sys.stdout.write(text + "\n")
    return 1 if any(one.met is False for one in found) else 0


def table(measurements: Sequence[Measurement]) -> str:
    """Return one line per measurement, then its details."""
    rows = [("", "ours", "other", "ratio", "asked", "")]
    rows += [(one.name, *cells(one)) for one in measurements]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row, one in zip(rows, [None, *measurements], strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if one is not None and one.detail:
            lines.append(f"    {one.detail}")
    return "\n".join(lines)


def cells(one: Measurement) -> tuple[str, str, str, str, str]:
    """Return what stands in a table beside the name: ours, other, ratio, asked, verdict."""
    return (
        f"{shown(one.ours)} {one.unit}",
        "" if one.other is None else f"{shown(one.other)} {one.unit} ({one.other_name})",
        "" if one.ratio is None else f"{shown(one.ratio)} ×",
        one.asked,
        {None: "", True: "met", False: "MISSED"}[one.met],
    )

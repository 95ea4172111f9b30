"""The results of a run of the benchmarks as a page and two charts, made from its document and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from measurement import Measurement, cells, shown

PAGE, TARGETS_CHART, OTHERS_CHART = "README.md", "targets.svg", "beside_others.svg"
# Colour-blind safe (Okabe and Ito 2008), and never the only sign: missed rows say so.
MET, MISSED, INK, LINE = "#0072b2", "#d55e00", "#222222", "#8c8c8c"
WIDTH, NAME_WIDTH, VALUE_WIDTH, ROW, TOP = 1000, 430, 250, 24, 56
NO_BREAK = "\u00a0"  # between a number and its unit
INTRODUCTION = """\
# Benchmarks

All numbers of this page come from one run of `make bench` on one machine, on synthetic data: the same scans, the same
models of made-up people, everything measured in fresh processes where start-up could matter. That command writes the
page from [results.json](results.json); a test holds the two equal. *Ratio* says how many times better ours is than
what stands beside it, so below 1 it is worse. A target that was missed stands here as missed. Times are medians.

```sh no-run takes twelve minutes and wants a quiet machine
make bench                    # all of it: this page, its charts and results.json
KRP_BENCH=quick make bench    # two minutes, to see that it works: written below build/benchmarks
```

Each part runs alone, too: `python tests/benchmarks/bench_extraction.py --help`.
"""


def page_of(document: Mapping[str, Any]) -> str:
    """Return the page in Markdown."""
    measurements = measurements_in(document)
    judged = [one for one in measurements if one.met is not None]
    missed = [one for one in judged if not one.met]
    parts = [INTRODUCTION, _environment(document)]
    if document["is_quick"]:
        parts.append("**A quick run: few rounds, small sizes. Its numbers only show that it works.**\n")
    for module, why in document["failed"].items():
        parts.append(f"**`{module}` could not be measured:** {why}\n")
    parts.append(f"**{len(judged) - len(missed)} of {len(judged)} targets met.**" + _named(missed) + "\n")
    parts.append(f"![How much of what is allowed each measurement uses]({TARGETS_CHART})\n")
    parts.append(f"![How many times better than what stands beside it]({OTHERS_CHART})\n")
    for group, members in groupby(measurements, key=lambda one: one.group):
        parts.append(f"## {group}\n\n{_table(list(members))}\n")
    return "\n".join(parts)


def charts_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return both charts as SVG, by file name."""
    measurements = measurements_in(document)
    return {TARGETS_CHART: _targets_chart(measurements), OTHERS_CHART: _others_chart(measurements)}


def measurements_in(document: Mapping[str, Any]) -> list[Measurement]:
    """Return the measurements of a run, those of a group side by side in the order of their first appearance."""
    found = [Measurement.of_document(one) for one in document["measurements"]]
    order = list(dict.fromkeys(one.group for one in found))
    return sorted(found, key=lambda one: order.index(one.group))


def _environment(document: Mapping[str, Any]) -> str:
    known = document["environment"]
    commit = known["commit"] + (" with changes" if known["has_changes"] else "")
    packages = ", ".join(f"{name} {number}" for name, number in known["packages"].items())
    speed = " and ".join(f"{value:g} ms" for value in document["yardstick_ms"])
    rows = {
        "Measured": f"{known['measured_on']}, commit {commit}, in {document['seconds'] / 60:.0f} minutes",
        "Machine": f"{known['processor']}, {known['cores']} cores, {known['memory_gb']:g} GB; {known['system']}",
        "Load before and after": " and ".join(f"{value:g}" for value in document["load"]),
        "A fixed loop in Python, before and after": speed,
        "Versions": f"Python {known['python']}, {packages}",
        "R": known["r"] or "not installed: stored times of another machine stand in its place, and say so",
    }
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def _named(missed: Sequence[Measurement]) -> str:
    if not missed:
        return ""
    return " Missed: " + "; ".join(f"{one.name} ({cells(one)[0]}, asked {one.asked})" for one in missed) + "."


def _table(members: Sequence[Measurement]) -> str:
    lines = ["| measured | ours | beside it | ratio | asked | | how |", "|---|---|---|---|---|---|---|"]
    for one in members:
        ours, other, ratio, asked, verdict = cells(one)
        verdict = "**missed**" if one.met is False else verdict
        ours, ratio, asked = (cell.replace(" ", NO_BREAK) for cell in (ours, ratio, asked))
        lines.append(f"| {one.name} | {ours} | {other} | {ratio} | {asked} | {verdict} | {one.detail} |")
    return "\n".join(lines)


def _targets_chart(measurements: Sequence[Measurement]) -> str:
    """Draw what share of the allowance every measurement uses; left of the line it is met."""
    judged = [(one, share) for one in measurements if (share := one.used_share) is not None]
    room = WIDTH - NAME_WIDTH - VALUE_WIDTH
    allowed = room / 1.5  # bars end at one and a half times what is allowed
    bars = [
        _row(
            number, one.name, min(max(share, 0.0), 1.5) * allowed, start=0.0, is_met=share <= 1,
            value=f"{_achieved(one)} ({one.asked})",
        )
        for number, (one, share) in enumerate(judged)
    ]  # fmt: skip
    return _chart(
        "Share of what is allowed that each measurement uses; up to the line the target is met",
        bars, marks={"allowed": allowed},
    )  # fmt: skip


def _others_chart(measurements: Sequence[Measurement]) -> str:
    """Draw how many times better ours is, on a logarithmic axis."""
    compared = [(one, ratio) for one in measurements if (ratio := one.ratio) is not None and ratio > 0]
    room = WIDTH - NAME_WIDTH - VALUE_WIDTH
    decades = [math.log10(ratio) for _, ratio in compared] or [0.0]
    low, high = min(-0.5, math.floor(min(decades))), max(1.0, math.ceil(max(decades)))

    def place(decade: float) -> float:
        return room * (decade - low) / (high - low)

    bars = [
        _row(
            number, one.name, place(math.log10(ratio)), start=place(0.0),
            is_met=one.met is not False, value=_shortened(f"{shown(ratio)} × {one.other_name}", 40),
        )
        for number, (one, ratio) in enumerate(compared)
    ]  # fmt: skip
    marks = {f"{10.0**decade:g} ×": place(decade) for decade in range(math.ceil(low), int(high) + 1)}
    return _chart("How many times better than what stands beside it (logarithmic; left of 1 it is worse)", bars, marks)


def _achieved(one: Measurement) -> str:
    return cells(one)[2] if one.ratio_at_least is not None else cells(one)[0]


def _row(number: int, name: str, end: float, *, start: float, is_met: bool, value: str) -> str:
    y, left = TOP + number * ROW, NAME_WIDTH + min(start, end)
    plain = name.replace("`", "")
    missed = "" if is_met else " missed"
    return (
        f'<text x="{NAME_WIDTH - 8}" y="{y + 15}" text-anchor="end">{escape(_shortened(plain, 66))}</text>'
        f'<rect x="{left:.1f}" y="{y + 4}" width="{max(abs(end - start), 1):.1f}" height="14" '
        f'fill="{MET if is_met else MISSED}"/>'
        f'<text x="{WIDTH - VALUE_WIDTH + 8}" y="{y + 15}">{escape(value)}{missed}</text>'
    )


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _chart(title: str, rows: Sequence[str], marks: Mapping[str, float]) -> str:
    height = TOP + len(rows) * ROW + 12
    lines = "".join(
        f'<line x1="{NAME_WIDTH + x:.1f}" x2="{NAME_WIDTH + x:.1f}" y1="{TOP - 4}" y2="{height - 8}" stroke="{LINE}"/>'
        f'<text x="{NAME_WIDTH + x:.1f}" y="{TOP - 10}" text-anchor="middle">{escape(name)}</text>'
        for name, x in marks.items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{INK}"><title>{escape(title)}</title>'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
        f'<text x="12" y="22" font-size="14" font-weight="600">{escape(title)}</text>{lines}{"".join(rows)}</svg>\n'
    )

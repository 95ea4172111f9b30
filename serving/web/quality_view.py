"""The quality of a visit's runs, in the words of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from predictor.report.wording import in_percent, quantity, region_in_words
from predictor.scan.task_description import RUN_KINDS, parse_run_name

RUN_TITLES = {"rest": "Rest run", "faces": "Faces run", "conflict": "Conflict run"}


@dataclass(frozen=True, slots=True)
class RunQuality:
    """What the page says about one run."""

    title: str
    facts: list[tuple[str, str]]
    coverage: list[dict[str, str]]


def quality_view(quality: Mapping[str, Any]) -> list[RunQuality]:
    """Put the block `quality` of an answer into words, run by run."""
    return [_quality(name, quality[name]) for name in _in_order_of_runs(quality)]


def _in_order_of_runs(names: Iterable[str]) -> list[str]:
    """Return run names by kind and number; the document's own keys are in alphabetical order."""
    runs = {name: parse_run_name(name) for name in names}
    known = {name: run for name, run in runs.items() if run is not None}
    return sorted(known, key=lambda name: (RUN_KINDS.index(known[name][0]), known[name][1]))


def run_title(name: str) -> str:
    """Return a run's name as a heading.

    Examples
    --------
    >>> run_title("rest"), run_title("rest_2")
    ('Rest run', 'Rest run 2')
    """
    run = parse_run_name(name)
    if run is None:
        return name
    kind, number = run
    return RUN_TITLES[kind] + ("" if number == 1 else f" {number}")


def _quality(name: str, run: Mapping[str, Any]) -> RunQuality:
    facts = [
        ("Volumes kept", _of(run.get("n_volumes_kept"), run.get("n_volumes"), "")),
        ("Minutes kept", _of(run.get("minutes_kept"), run.get("minutes"), "")),
        ("Mean framewise displacement", _number(run.get("mean_framewise_displacement_mm"), "mm")),
        ("Share of volumes censored", _percent(run.get("share_censored"))),
        ("Median temporal signal-to-noise", _number(run.get("median_temporal_snr"), "")),
        ("Confounds taken out", str(run.get("confound_strategy") or "none").replace("_", " ")),
        ("Because", str(run.get("fallback_reason") or "")),
    ]
    regions = run.get("coverage") or {}
    snr = run.get("temporal_snr") or {}
    rows = [
        {"name": region_in_words(name), "coverage": _percent(share), "temporal_snr": _number(snr.get(name), "")}
        for name, share in regions.items()
        if share is not None
    ]
    return RunQuality(run_title(name), [fact for fact in facts if fact[1]], rows)


def _of(part: float | None, whole: float | None, unit: str) -> str:
    if part is None:
        return ""
    return quantity(part, unit) if whole is None else f"{quantity(part, '')} of {quantity(whole, unit)}"


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else quantity(value, unit)


def _percent(share: float | None) -> str:
    return "" if share is None else in_percent(share)

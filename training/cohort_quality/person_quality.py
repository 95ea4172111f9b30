"""What is known about the quality of each participant's visit, from the results of `krp extract`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from predictor.features.feature_catalogue import RUN_KIND_OF_FAMILY
from predictor.scan.task_description import RUN_KINDS
from training.extraction.feature_table import FailedVisit
from training.extraction.visit_reports import report_path
from training.extraction.visit_result import read_document, result_path

# The worst first: whoever needs a look stands on top.
STATUSES: Final = ("failed", "refused", "flagged", "ok")
MOTION: Final = "mean_framewise_displacement_mm"
LOWEST_COVERAGE: Final = "lowest_coverage"
# Numbers of a run's quality that are taken over as they are.
_TAKEN: Final = (MOTION, "share_censored", "minutes_kept", "median_temporal_snr", "mean_std_dvars", "n_volumes_kept")


@dataclass(frozen=True, slots=True)
class QualityReason:
    """Why a visit is flagged, refused or failed."""

    code: str
    severity: str  # "flag", "refuse" or "fail"
    detail: str


@dataclass(frozen=True, slots=True)
class PersonQuality:
    """Quality of one participant's visit; nothing about the person besides."""

    participant_id: str
    status: str  # one of STATUSES
    reasons: tuple[QualityReason, ...]
    runs: Mapping[str, Mapping[str, float | None]]  # run name -> measure -> number
    coverage: Mapping[str, Mapping[str, float | None]]  # run name -> region -> share of its voxels, 0 to 1
    gaps: Mapping[str, str]  # first part of the names of missing features -> why the first of them is missing
    input_digest: str  # empty where the visit failed
    has_report: bool

    def motion_mm(self, family: str) -> float | None:
        """Return mean framewise displacement of the runs a family is made from, weighted by kept volumes."""
        kind = RUN_KIND_OF_FAMILY.get(family)
        found = [run for name, run in self.runs.items() if kind_of_run(name) == kind and run[MOTION] is not None]
        if not found:
            return None
        weights = [run["n_volumes_kept"] or 0.0 for run in found]
        moved = [run[MOTION] or 0.0 for run in found]
        return float(np.average(moved, weights=weights if any(weights) else None))

    def values_of(self, measure: str) -> list[float]:
        """Return a measure of every run that has it."""
        return [value for run in self.runs.values() if (value := run.get(measure)) is not None]


def read_people(
    participant_ids: Sequence[str], out: Path, *, failed: Sequence[FailedVisit] = ()
) -> tuple[PersonQuality, ...]:
    """Return everyone, the worst status first, then by name.

    Parameters
    ----------
    participant_ids
        Who has a result.
    out
        Folder of the results of `krp extract`.
    failed
        Whose visit could not be read.

    Raises
    ------
    TableError
        If a result is damaged.
    """
    lost = {failure.participant_id for failure in failed}
    people = [_failed(failure) for failure in failed]
    for name in participant_ids:
        if name not in lost:  # one file at a time, and of each only what is shown
            people.append(_person(read_document(result_path(out, name)), report_path(out, name).is_file()))
    return tuple(sorted(people, key=lambda one: (STATUSES.index(one.status), one.participant_id)))


def run_names(people: Sequence[PersonQuality]) -> tuple[str, ...]:
    """Return the runs that anyone has, in the order of the visit."""
    found = {name for person in people for name in person.runs}
    return tuple(sorted(found, key=_order_of_run))


def kind_of_run(name: str) -> str:
    """Return the kind of a run by its name.

    Examples
    --------
    >>> kind_of_run("rest_2"), kind_of_run("faces")
    ('rest', 'faces')
    """
    return name.partition("_")[0]


def _person(document: Mapping[str, Any], has_report: bool) -> PersonQuality:
    quality: Mapping[str, Mapping[str, Any]] = document["quality"]
    coverage = {name: dict(run.get("coverage") or {}) for name, run in quality.items()}
    runs = {
        name: {**{key: _number(run.get(key)) for key in _TAKEN}, LOWEST_COVERAGE: _lowest(coverage[name])}
        for name, run in quality.items()
    }
    return PersonQuality(
        participant_id=document["participant_id"],
        status=document["status"] if document["status"] in STATUSES else "flagged",
        reasons=tuple(
            QualityReason(str(one["code"]), str(one["severity"]), str(one["detail"])) for one in document["reasons"]
        ),
        runs=runs,
        coverage=coverage,
        gaps=_gaps(document["missing_reasons"]),
        input_digest=document["input_digest"],
        has_report=has_report,
    )


def _failed(failure: FailedVisit) -> PersonQuality:
    detail = f"{failure.message} {failure.remedy}".strip()
    place = f" ({failure.where})" if failure.where else ""
    reason = QualityReason(failure.code, "fail", detail + place)
    return PersonQuality(failure.participant_id, "failed", (reason,), {}, {}, {}, "", False)


def _gaps(reasons: Mapping[str, Any]) -> dict[str, str]:
    """Return one reason per kind of feature: a cohort of many people with many features must fit into memory."""
    found: dict[str, str] = {}
    for name, reason in reasons.items():
        found.setdefault(name.partition("__")[0], str(reason))
    return found


def _lowest(coverage: Mapping[str, Any]) -> float | None:
    return min((value for one in coverage.values() if (value := _number(one)) is not None), default=None)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if np.isfinite(value) else None


def _order_of_run(name: str) -> tuple[int, int, str]:
    kind, _, number = name.partition("_")
    position = RUN_KINDS.index(kind) if kind in RUN_KINDS else len(RUN_KINDS)
    return position, int(number) if number.isdecimal() else 1, name

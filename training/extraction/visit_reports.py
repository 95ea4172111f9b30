"""Reports beside the results of `krp extract --reports`: one HTML file per participant, `OUT/sub-01.html`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from predictor.features.feature_vector import FeatureVector
from predictor.features.recipe import Recipe
from predictor.scan.dataset_files import is_synthetic
from predictor.scan.session import BaselineSession
from training.cohort.visit import CohortVisit
from training.output_files import write_atomically


def report_path(out: Path, participant_id: str) -> Path:
    """Return where a participant's report stands."""
    return out / f"{participant_id}.html"


def write_report(
    visit: CohortVisit, session: BaselineSession, recipe: Recipe, vector: FeatureVector, out: Path
) -> None:
    """Draw a visit and write its report.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    # Drawing takes a second to import, and most extractions draw nothing.
    from predictor.report.visit_report import VisitLabel, visit_report

    label = VisitLabel(
        participant=visit.participant_id,
        session=visit.session_id,
        is_synthetic=any(is_synthetic(file.parent) for file in visit.input_files[:1]),
    )
    page = visit_report(session, recipe, label, vector=vector)
    write_atomically(report_path(out, visit.participant_id), page)


def has_report(out: Path, participant_id: str, *, since_ns: int) -> bool:
    """Whether a participant has a report that is not older than this."""
    try:
        return report_path(out, participant_id).stat().st_mtime_ns >= since_ns
    except OSError:
        return False


def forget_report(out: Path, participant_id: str) -> None:
    """Remove a participant's report, so that one of an earlier result does not pass for this one's."""
    with suppress(OSError):
        report_path(out, participant_id).unlink(missing_ok=True)

"""A cohort's quality on a page for others: the same numbers as `cohort_quality_page`, without a row of anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from predictor.report.page_template import page_resource, page_style, page_template
from training.cohort_quality.cohort_quality import CohortQuality
from training.output_files import write_atomically
from training.report.cohort_aggregate_sections import cohort_aggregate_sections
from training.report.cohort_quality_page import headline, looks_at, tiles

PAGE_FILE: Final = "aggregates.html"
_PACKAGE: Final = "training.report"


def write_aggregates_page(quality: CohortQuality, out: Path) -> Path:
    """Write `cohort_aggregates_page` to aggregates.html of a folder, whole or not at all, and return where.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    path = out / PAGE_FILE
    write_atomically(path, cohort_aggregates_page(quality))
    return path


def cohort_aggregates_page(quality: CohortQuality) -> str:
    """Write up the quality of a cohort for people outside the group.

    Parameters
    ----------
    quality
        Its numbers.

    Returns
    -------
    str
        A whole HTML document without script, link or path, the same for the same input. No participant, no mark of
        one, and no number about fewer than five people but how many they are. All text is escaped.
    """
    return page_template(_PACKAGE, "cohort_aggregates.html").render(
        is_synthetic=quality.is_synthetic,
        headline=headline(quality),
        runs=quality.runs,
        tiles=tiles(quality, looks_at(quality)),
        sections=cohort_aggregate_sections(quality),
        recipe_hash=quality.recipe_hash,
        style=page_style(_PACKAGE, "experiment_report.css") + page_resource(_PACKAGE, "cohort_quality.css"),
    )

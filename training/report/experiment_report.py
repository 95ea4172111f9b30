"""One experiment on one page: a single HTML file that needs nothing else and tells what was compared with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from predictor.report.page_template import page_style, page_template
from training.output_files import write_atomically
from training.report.closing_sections import closing_sections
from training.report.experiment_figures import drawn_figures
from training.report.experiment_methods import describe_experiment
from training.report.experiment_record import ExperimentRecord
from training.report.figure_frame import DrawnFigure
from training.report.report_headline import headline, lead, tiles
from training.report.report_section import ReportSection
from training.report.report_sections import report_sections

METHODS = "methods"


def report_page(
    record: ExperimentRecord,
    *,
    aggregates_only: bool = False,
    sections: Sequence[ReportSection] = (),
    previous: Sequence[Mapping[str, Any]] = (),
    drawn: Mapping[str, DrawnFigure] | None = None,
) -> str:
    """Draw and write up one experiment.

    Parameters
    ----------
    record
        What the experiment was and found.
    aggregates_only
        Leave every single person out, also where the record holds predictions.
    sections
        Further sections, such as a multiverse or a locked test, shown before the limits.
    previous
        Earlier versions of the registered model, for the card's change log.
    drawn
        The record's figures, where they are drawn already; not looked at with `aggregates_only`.

    Returns
    -------
    str
        A whole HTML document without script, the same for the same record: no clock, no path, no address of another
        host but DOIs as text. All text is escaped.
    """
    document = record.document
    predictions = None if aggregates_only else record.predictions
    # Figures that were drawn already may show people.
    is_undrawn = drawn is None or aggregates_only
    figures = drawn_figures(document, predictions) if is_undrawn else drawn
    found = report_sections(document, figures or {})
    shown = [
        *found[:-1],
        *sections,
        found[-1],
        ReportSection(METHODS, "Methods"),
        *closing_sections(document, previous=previous),
    ]
    return page_template("training.report", "experiment_report.html").render(
        name=document["name"],
        is_synthetic=document["is_synthetic"],
        is_aggregate=predictions is None,
        headline=headline(document),
        lead=lead(document),
        tiles=tiles(document),
        sections=shown,
        methods=describe_experiment(document),
        style=page_style("training.report", "experiment_report.css"),
    )


def write_report(
    record: ExperimentRecord,
    path: Path,
    *,
    aggregates_only: bool = False,
    sections: Sequence[ReportSection] = (),
    previous: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write the page of `report_page` whole or not at all, and return where.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    page = report_page(record, aggregates_only=aggregates_only, sections=sections, previous=previous)
    write_atomically(path, page)
    return path

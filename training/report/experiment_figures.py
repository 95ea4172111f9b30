"""All figures of an experiment by name, from its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from training.report.cohort_figures import benefit_figure, coverage_figure, data_flow_figure, power_figure
from training.report.experiment_record import ExperimentRecord
from training.report.figure_frame import DrawnFigure, standalone_svg
from training.report.model_figures import coefficients_figure, contributions_figure, models_figure, subgroups_figure
from training.report.prediction_figures import (
    calibration_figure,
    decision_figure,
    permutation_figure,
    prediction_figure,
)


def drawn_figures(document: Mapping[str, Any], predictions: pd.DataFrame | None) -> dict[str, DrawnFigure]:
    """Draw what the record holds; figures without numbers are absent.

    Parameters
    ----------
    document
        The record's document.
    predictions
        Out-of-fold rows; None: no single person is drawn.
    """
    drawn = (
        data_flow_figure(document),
        models_figure(document),
        prediction_figure(document, predictions),
        calibration_figure(document),
        decision_figure(document),
        permutation_figure(document),
        coefficients_figure(document),
        contributions_figure(document),
        benefit_figure(document),
        power_figure(document),
        coverage_figure(document),
        subgroups_figure(document),
    )
    return {figure.name: figure for figure in drawn if figure is not None}


def report_figures(
    record: ExperimentRecord,
    *,
    aggregates_only: bool = False,
    drawn: Mapping[str, DrawnFigure] | None = None,
) -> dict[str, str]:
    """Every figure as an SVG file's text, by name.

    Parameters
    ----------
    record
        The experiment.
    aggregates_only
        Leave every single person out, also where the record holds predictions.
    drawn
        The record's figures, where they are drawn already (see `drawn_figures`); not looked at with `aggregates_only`.

    Returns
    -------
    dict of str to str
        Name without suffix -> a drawing that stands on its own, in light and dark, labelled research use only.
    """
    predictions = None if aggregates_only else record.predictions
    is_synthetic = bool(record.document["is_synthetic"])
    # Figures that were drawn already may show people.
    is_undrawn = drawn is None or aggregates_only
    figures = drawn_figures(record.document, predictions) if is_undrawn else drawn or {}
    return {name: standalone_svg(figure, is_synthetic=is_synthetic) for name, figure in figures.items()}

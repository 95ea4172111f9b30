"""Clinical outcomes: what is predicted, in which unit, and which direction is good.

All labels that the literature uses are offered by name; none is chosen silently.

References
----------
Feder et al. (2021), doi 10.1176/appi.ajp.2020.20050596: response is a CAPS-5 reduction of 30 %.
Marx et al. (2022), doi 10.1037/pas0001041: reliable change of the CAPS-5 is 13 points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import (
    ConfigError,
    MissingColumnError,
    OutcomeConstantError,
    OutcomeMissingError,
    ValueOutOfRangeError,
)
from predictor.model.outcome_definition import MAX_ABS_VALUE, OutcomeDefinition
from training.cohort.participants import listed
from training.config import OutcomeConfig

Change = Literal["percent", "points", "response"]

# Squares of smaller differences would vanish, and be divided by.
SMALLEST_SPREAD = 1 / MAX_ABS_VALUE


@dataclass(frozen=True, slots=True)
class ScaleOutcome:
    """An outcome made of a severity scale before and after; positive is better."""

    scale: str  # columns <scale>_baseline and <scale>_followup
    highest: float  # the scale's end; it starts at 0
    change: Change
    threshold: float | None = None  # percent or points that count as a response
    threshold_unit: Literal["percent", "points"] = "percent"

    @property
    def columns(self) -> tuple[str, str]:
        """Columns of participants.tsv that are needed."""
        return f"{self.scale}_baseline", f"{self.scale}_followup"

    def definition(self, name: str) -> OutcomeDefinition:
        """Return what answers and reports say about it."""
        if self.change == "response":
            return OutcomeDefinition(name, "probability", "higher")
        rule = None if self.threshold is None else f"at least {self.threshold:g} {self.change}"
        return OutcomeDefinition(name, self.change, "higher", self.threshold, rule)


# "response" outcomes are 0 and 1: did the person reach the threshold?
OUTCOMES: dict[str, ScaleOutcome] = {
    "caps5_percent_improvement": ScaleOutcome("caps5_total", 80, "percent", 30),  # primary, Feder 2021
    "caps5_percent_improvement_50": ScaleOutcome("caps5_total", 80, "percent", 50),
    "caps5_points_improvement": ScaleOutcome("caps5_total", 80, "points", 10),
    "caps5_points_improvement_13": ScaleOutcome("caps5_total", 80, "points", 13),  # reliable change, Marx 2022
    "pcl5_points_improvement": ScaleOutcome("pcl5_total", 80, "points", 15),
    "caps5_response_30_percent": ScaleOutcome("caps5_total", 80, "response", 30),
    "caps5_response_50_percent": ScaleOutcome("caps5_total", 80, "response", 50),
    "caps5_response_10_points": ScaleOutcome("caps5_total", 80, "response", 10, "points"),
    "caps5_response_13_points": ScaleOutcome("caps5_total", 80, "response", 13, "points"),
    "pcl5_response_15_points": ScaleOutcome("pcl5_total", 80, "response", 15, "points"),
    "madrs_percent_improvement": ScaleOutcome("madrs_total", 60, "percent", 50),  # depression, beside PTSD
}


def outcome_values(
    participants: pd.DataFrame, config: OutcomeConfig, *, drop_missing: bool
) -> tuple[pd.Series, OutcomeDefinition]:
    """Return everyone's outcome and its definition.

    Parameters
    ----------
    participants
        Rows of participants.tsv, indexed by participant_id.
    config
        The name of a registered outcome, or a numeric column with unit and direction.
    drop_missing
        Leave people without an outcome out, on purpose.

    Raises
    ------
    ConfigError
        If no such outcome is registered.
    MissingColumnError
        If a column is absent.
    OutcomeMissingError
        If someone has no outcome and is not left out on purpose, or nobody has one.
    ValueOutOfRangeError
        If a score is outside its scale, no number, or the baseline is 0 where a percentage is asked for.
    OutcomeConstantError
        If everyone has the same outcome.
    """
    if config.name and config.name not in OUTCOMES:
        raise ConfigError(
            f"unknown outcome {config.name}; registered are {', '.join(OUTCOMES)}.",
            where="[outcome] name",
            remedy="Use one of these, or name a numeric column with `column`, `unit` and `better`.",
        )
    columns = OUTCOMES[config.name].columns if config.name else (config.column,)
    known = _complete(participants, columns, drop_missing=drop_missing)
    if config.name:
        outcome = OUTCOMES[config.name]
        values, definition = _scale_values(known, outcome), outcome.definition(config.name)
    else:
        values, definition = _numbers(known, config.column), _column_definition(config)
    if np.ptp(values) < SMALLEST_SPREAD:
        raise OutcomeConstantError(
            f"all {len(values)} participants have the same outcome {definition.name}.", where=_where(columns)
        )
    return pd.Series(values, index=known.index, name=definition.name), definition


def _complete(participants: pd.DataFrame, columns: tuple[str, ...], *, drop_missing: bool) -> pd.DataFrame:
    absent = [column for column in columns if column not in participants.columns]
    if absent:
        raise MissingColumnError(
            f"the outcome needs {' and '.join(absent)}, which the table lacks.", where="participants.tsv"
        )
    is_missing = participants[list(columns)].isna().any(axis=1)
    if is_missing.all() or (is_missing.any() and not drop_missing):
        names = [str(name) for name in participants.index[is_missing]]
        raise OutcomeMissingError(
            f"{len(names)} of {len(participants)} participants have no outcome: {listed(names)}.", where=_where(columns)
        )
    return participants[~is_missing]


def _scale_values(participants: pd.DataFrame, outcome: ScaleOutcome) -> NDArray[np.float64]:
    baseline, followup = (_scores(participants, column, outcome.highest) for column in outcome.columns)
    points = baseline - followup
    uses_percent = outcome.change == "percent" or (outcome.change, outcome.threshold_unit) == ("response", "percent")
    if not uses_percent:
        change = points
    else:
        _check_baseline(participants, baseline, outcome.columns[0])
        change = 100 * points / baseline
    if outcome.change != "response":
        return change
    assert outcome.threshold is not None, "a response outcome has a threshold"
    return np.asarray(change >= outcome.threshold, dtype=np.float64)


def _check_baseline(participants: pd.DataFrame, baseline: NDArray[np.float64], column: str) -> None:
    names = [str(name) for name in participants.index[baseline == 0]]
    if names:
        raise ValueOutOfRangeError(
            f"a percentage of a baseline of 0 does not exist; {listed(names)} have it.",
            where=_where((column,)),
            remedy="Leave these participants out, or use an outcome in points.",
        )


def _scores(participants: pd.DataFrame, column: str, highest: float) -> NDArray[np.float64]:
    scores = _numbers(participants, column)
    is_outside = ~((scores >= 0) & (scores <= highest))
    if is_outside.any():
        names = [str(name) for name in participants.index[is_outside]]
        raise ValueOutOfRangeError(
            f"expected scores from 0 to {highest:g}, found others for {listed(names)}.", where=_where((column,))
        )
    return scores


def _numbers(participants: pd.DataFrame, column: str) -> NDArray[np.float64]:
    numbers = pd.to_numeric(participants[column], errors="coerce").to_numpy(dtype=np.float64)
    is_bad = ~np.isfinite(numbers)
    if is_bad.any():
        names = [str(name) for name in participants.index[is_bad]]
        raise ValueOutOfRangeError(f"expected a finite number for {listed(names)}.", where=_where((column,)))
    return numbers


def _column_definition(config: OutcomeConfig) -> OutcomeDefinition:
    threshold = config.response_threshold
    least = "at least" if config.better == "higher" else "at most"
    rule = None if threshold is None else f"{least} {threshold:g} {config.unit}"
    return OutcomeDefinition(config.column, config.unit, config.better, threshold, rule)


def _where(columns: tuple[str, ...]) -> str:
    return f"participants.tsv, column {' and '.join(columns)}"

"""Everything that is reported about one model's out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from predictor.model.outcome_definition import OutcomeDefinition
from training.evaluation.calibration import Calibration, calibrate_outcome, calibrate_probability, calibration_table
from training.evaluation.classification import (
    LEAVE_ONE_OUT,
    ResponderMetrics,
    ResponseForecast,
    forecast_responses,
    measure_responders,
)
from training.evaluation.decision_curve import DecisionCurve, draw_decision_curve
from training.evaluation.metrics import Interval, Metrics, NotReported, measure
from training.evaluation.nested_cv import OutOfFold


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """Numbers about one model, or the reason why one is not reported."""

    response_rule: str | None
    metrics: Metrics
    calibration: Calibration | NotReported  # of the outcome
    responders: ResponderMetrics | NotReported
    response_calibration: Calibration | NotReported  # of the response probability
    response_groups: pd.DataFrame | NotReported  # predicted and observed share of responders, for a figure
    decision_curve: DecisionCurve | NotReported

    def document(self) -> dict[str, Any]:
        """Everything as JSON; what is not reported is {"not_reported": reason}."""
        return {
            "response_rule": self.response_rule,
            "metrics": asdict(self.metrics),
            "calibration": _document(self.calibration),
            "responders": _document(self.responders),
            "response_calibration": _document(self.response_calibration),
            "response_groups": _document(self.response_groups),
            "decision_curve": _document(self.decision_curve),
        }

    def values(self) -> dict[str, float | None]:
        """Return headline numbers by name, for the log book; None where not reported."""
        values: dict[str, float | None] = {}
        for prefix, part, names in (
            ("", self.calibration, ("slope", "in_the_large")),
            ("", self.responders, ("auc", "balanced_accuracy", "brier", "brier_skill", "log_loss")),
            ("response_", self.response_calibration, ("slope", "in_the_large")),
        ):
            for name in names:
                stem = f"{prefix}calibration_{name}" if name in ("slope", "in_the_large") else name
                interval: Interval | None = getattr(part, f"{name}_interval", None)
                values[stem] = getattr(part, name, None)
                values[f"{stem}_lower"] = interval.lower if interval else None
                values[f"{stem}_upper"] = interval.upper if interval else None
        return values

    def lines(self) -> Iterator[str]:
        """Up to five lines for the screen."""
        if self.calibration == self.responders == NotReported(LEAVE_ONE_OUT):
            yield f"calibration and responders are not reported: {LEAVE_ONE_OUT}"
            return
        if isinstance(self.calibration, NotReported):
            yield f"calibration: {self.calibration.reason}"
        else:
            yield f"calibration slope {_shown(self.calibration.slope, self.calibration.slope_interval)}"
        if isinstance(self.responders, NotReported):
            yield f"responders: {self.responders.reason}"
            return
        found = self.responders
        yield (
            f"responders ({self.response_rule or 'as given'}; {found.n_responders} of "
            f"{found.n_responders + found.n_others}): AUC {_shown(found.auc, found.auc_interval)}, "
            f"balanced accuracy {_shown(found.balanced_accuracy, found.balanced_accuracy_interval)}"
        )
        yield (
            f"their probability: Brier {_shown(found.brier, found.brier_interval)}, skill against the base rate "
            f"{_shown(found.brier_skill, found.brier_skill_interval)}, "
            f"log loss {_shown(found.log_loss, found.log_loss_interval)}"
        )
        if isinstance(self.response_calibration, Calibration):
            slope = self.response_calibration
            yield f"their calibration slope {_shown(slope.slope, slope.slope_interval)}"
        if isinstance(self.decision_curve, DecisionCurve):
            yield self.decision_curve.line()


def evaluate(predicted: OutOfFold, definition: OutcomeDefinition, *, seed: int) -> Assessment:
    """Return all metrics of one model's out-of-fold predictions, with intervals.

    Parameters
    ----------
    predicted
        Out-of-fold predictions.
    definition
        What was predicted; its response rule makes responders.
    seed
        Of the bootstraps.
    """
    forecast = forecast_responses(predicted, definition)
    return Assessment(
        response_rule=definition.response_rule,
        metrics=measure(predicted, seed=seed),
        calibration=calibrate_outcome(predicted),
        responders=_of(forecast, measure_responders, seed=seed),
        response_calibration=_of(forecast, calibrate_probability),
        response_groups=_of(forecast, calibration_table),
        decision_curve=_of(forecast, draw_decision_curve, seed=seed),
    )


def _of(forecast: ResponseForecast | NotReported, make: Any, **options: Any) -> Any:
    return forecast if isinstance(forecast, NotReported) else make(forecast, **options)


def _document(part: Any) -> Any:
    if isinstance(part, NotReported):
        return {"not_reported": part.reason}
    if isinstance(part, DecisionCurve):
        part = part.table()
    return part.to_dict(orient="records") if isinstance(part, pd.DataFrame) else asdict(part)


def _shown(value: float, interval: Interval) -> str:
    return f"{value:.2f} [{interval.lower:.2f}, {interval.upper:.2f}]"

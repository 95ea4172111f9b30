"""One model of an experiment and what it achieved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.evaluation.assessment import Assessment
from training.evaluation.metrics import Metrics, PairedComparison
from training.evaluation.nested_cv import OutOfFold

Role = Literal["primary", "winner", "candidate", "baseline"]


@dataclass(frozen=True, slots=True, eq=False)
class ModelResult:
    """One model's out-of-fold predictions and what they are worth."""

    name: str
    role: Role
    predicted: OutOfFold
    assessment: Assessment
    gain_of_primary: PairedComparison | None  # how much better the first model is; None: itself, or not comparable
    n_inputs: int | None = None  # columns that a baseline reads

    @property
    def metrics(self) -> Metrics:
        """R2, MAE and RMSE; of the probability, for models of a response."""
        return self.assessment.metrics

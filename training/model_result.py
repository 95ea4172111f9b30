"""One model of an experiment and what it achieved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.evaluation.metrics import Metrics, PairedComparison
from training.evaluation.nested_cv import OutOfFold

Role = Literal["primary", "candidate", "baseline"]


@dataclass(frozen=True, slots=True, eq=False)
class ModelResult:
    """One model's out-of-fold predictions and what they are worth."""

    name: str
    role: Role
    predicted: OutOfFold
    metrics: Metrics
    gain_of_primary: PairedComparison | None  # how much better the primary is; None for the primary itself

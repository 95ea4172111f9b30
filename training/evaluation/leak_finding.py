"""One way in which a cohort's table gives the outcome, or held-out people, away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["leak", "look"]


@dataclass(frozen=True, slots=True)
class LeakFinding:
    """What was found, and the step to which it belongs.

    A "leak" makes the experiment's numbers worthless as they stand; a "look" needs a person's judgement.
    """

    step: str  # duplicates, covariates, features, time, scaling, imputation, confound removal, groups
    severity: Severity
    message: str
    where: str
    remedy: str

    def document(self) -> dict[str, Any]:
        """Fields by name, ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def line(self) -> str:
        """One line for the screen."""
        return f"{self.step}: {self.message} [{self.where}] -> {self.remedy}"

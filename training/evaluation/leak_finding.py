"""One way in which a cohort's table gives the outcome, or held-out people, away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["leak", "undeclared", "analysis", "look"]
TITLES: dict[Severity, str] = {
    "leak": "LEAK", "undeclared": "UNDECLARED", "analysis": "analysis", "look": "look at"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeakFinding:
    """What was found, and the step to which it belongs.

    A "leak" makes the experiment's numbers worthless as they stand. "undeclared" is an input that is named like a later
    measure, and nobody says when it was measured. An "analysis" says openly that it uses later measures: honest, but no
    predictor. A "look" needs a person's judgement. The first two fail an audit.
    """

    step: str  # duplicates, covariates, features, missing values, target encoding, time, scaling, components, ...
    severity: Severity
    message: str
    where: str
    remedy: str

    @property
    def fails(self) -> bool:
        """Whether an audit with this finding fails."""
        return self.severity in ("leak", "undeclared")

    def document(self) -> dict[str, Any]:
        """Fields by name, ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def line(self) -> str:
        """One line for the screen."""
        return f"{self.step}: {self.message} [{self.where}] -> {self.remedy}"

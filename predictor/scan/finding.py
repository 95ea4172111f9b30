"""What a check found, and how much it matters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from predictor.errors import PredictorError

# unusable: extraction will refuse the visit; missing: some of its features will be; flag: an answer will say so;
# note: good to know.
Severity = Literal["unusable", "missing", "flag", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing."""

    severity: Severity
    code: str  # of the error that extraction would raise, or of the check's own; kebab-case
    message: str
    remedy: str = ""
    participant_id: str | None = None  # None: it concerns the whole tree
    session_id: str | None = None
    where: str = ""  # run, part or file

    def document(self) -> dict[str, str | None]:
        """Return plain values."""
        return {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "remedy": self.remedy,
            "participant": self.participant_id,
            "session": self.session_id,
            "where": self.where,
        }


def finding_of(error: PredictorError, severity: Severity = "unusable", *, where: str = "") -> Finding:
    """Return an error as a finding about no one in particular."""
    return Finding(severity, error.code, str(error), error.remedy, where=error.where or where)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings by severity, otherwise in their order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))

"""How much the service is doing right now, and whether it has been told to stop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Load:
    """Counts of what is under way; changed on the event loop only, so that no lock is needed."""

    n_requests: int = 0  # uploads among them; health and metrics are not counted
    n_uploads: int = 0
    is_stopping: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return self.n_requests == 0

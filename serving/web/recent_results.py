"""Results of the page, in memory only: a few, for a while, each behind an address that nobody can guess."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serving.envelope import Envelope
from serving.model_store import LoadedModel


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One answer as a page shows it."""

    envelope: Envelope
    answer: dict[str, Any]
    model: LoadedModel  # that answered, whatever is loaded by the time the page is read
    label: str


class RecentResults:
    """Hold the newest results until they are too old, too many, or deleted."""

    def __init__(self, *, n_kept: int, keep_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.n_kept = n_kept
        self._keep_s = keep_s
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, Result]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, result: Result) -> str:
        """Hold a result and return its id."""
        with self._lock:
            self._held[result.envelope.id] = (self._clock() + self._keep_s, result)
            self._forget()
        return result.envelope.id

    def get(self, result_id: str) -> Result | None:
        """Return a result, None when it is gone."""
        with self._lock:
            self._forget()
            held = self._held.get(result_id)
        return held[1] if held else None

    def delete(self, result_id: str) -> None:
        """Forget a result now."""
        with self._lock:
            self._held.pop(result_id, None)

    def _forget(self) -> None:
        """Drop what is too old or too many; all are kept equally long, so the oldest stand first."""
        now = self._clock()
        while self._held:
            oldest = next(iter(self._held))
            if self._held[oldest][0] > now and len(self._held) <= self.n_kept:
                return
            del self._held[oldest]

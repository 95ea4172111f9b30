"""How much one caller may send: token buckets, in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Callable


class TokenBuckets:
    """Give every owner a bucket of one minute's tokens that fills up evenly.

    Parameters
    ----------
    per_minute
        Size of a bucket, and how many tokens flow into it in a minute.
    max_owners
        Buckets held at most; beyond it the longest untouched ones are forgotten, which makes them full.

    Notes
    -----
    Not locked: it is used on the event loop only. Each process counts for itself.

    Examples
    --------
    >>> buckets = TokenBuckets(per_minute=1, clock=lambda: 0.0)
    >>> buckets.take("key:a"), buckets.take("key:a")
    (0.0, 60.0)
    """

    def __init__(
        self, *, per_minute: int, max_owners: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = float(per_minute)
        self._per_s = per_minute / 60
        self._max_owners = max_owners
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}  # owner -> tokens, when counted; oldest first

    def take(self, owner: str) -> float:
        """Take one token; return 0, or how many seconds until there is one."""
        wait_s, level, now = self._look(owner)
        if not wait_s:
            self._levels.pop(owner, None)  # behind the others again
            self._levels[owner] = (level - 1, now)
            if len(self._levels) > self._max_owners:
                del self._levels[next(iter(self._levels))]
        return wait_s

    def wait_s(self, owner: str) -> float:
        """Return how many seconds until the owner has a token, 0 if there is one; none is taken."""
        return self._look(owner)[0]

    def _look(self, owner: str) -> tuple[float, float, float]:
        now = self._clock()
        level, counted = self._levels.get(owner, (self._size, now))
        level = min(self._size, level + (now - counted) * self._per_s)
        return (0.0 if level >= 1 else (1 - level) / self._per_s), level, now

"""How long things are kept, in words."""

from __future__ import annotations

from datetime import UTC, datetime


def time_left(expires: datetime, *, now: datetime | None = None) -> str:
    """Say how long a result will still be there.

    Examples
    --------
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> time_left(datetime(2026, 1, 2, 10, 59, tzinfo=UTC), now=noon), time_left(noon, now=noon)
    ('22 hours', 'less than a minute')
    """
    return hours_in_words((expires - (now or datetime.now(UTC))).total_seconds() / 3600)


def hours_in_words(hours: float) -> str:
    """Return a length of time in the largest unit of which there are at least two, rounded down.

    Examples
    --------
    >>> hours_in_words(24), hours_in_words(72), hours_in_words(0.03)
    ('24 hours', '3 days', '1 minute')
    """
    minutes = max(60 * hours, 0.0)
    if minutes < 1:
        return "less than a minute"
    for unit, length in (("day", 1440), ("hour", 60)):
        if minutes >= 2 * length:
            return f"{int(minutes / length)} {unit}s"
    return "1 minute" if minutes < 2 else f"{int(minutes)} minutes"

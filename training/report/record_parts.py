"""Reads an experiment record's document: what is absent or not reported is empty, numbers become words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]

NOT_REPORTED = "not_reported"


def part(document: Document, *path: str) -> Document:
    """Return a part of the document; empty where it is absent, null, or not reported.

    Examples
    --------
    >>> part({"a": {"b": {"c": 1}}}, "a", "b"), part({"a": {"not_reported": "too few"}}, "a")
    ({'c': 1}, {})
    """
    found: Any = document
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) and NOT_REPORTED not in found else {}


def rows(document: Document, key: str) -> Sequence[Document]:
    """Return a list of the document; empty where it is absent, null, or not reported."""
    found = document.get(key)
    return found if isinstance(found, Sequence) and not isinstance(found, str) else ()


def why_not(document: Document, *path: str) -> str:
    """Return the reason why a part is not reported; empty if it is, or if nobody says."""
    return reason_of(part(document, *path[:-1]).get(path[-1]))


def reason_of(holder: object) -> str:
    """Return the reason that stands in place of a part, as {"not_reported": reason}; empty if none does."""
    return str(holder[NOT_REPORTED]) if isinstance(holder, Mapping) and NOT_REPORTED in holder else ""


def first_model(document: Document) -> Document:
    """Return the model that counts: the primary, or the winner of a competition."""
    models = rows(document, "models")
    return models[0] if models else {}


def said(document: Document, entry: str) -> str:
    """Return what people wrote in the section [report] of the experiment file; empty where they wrote nothing."""
    value = part(document, "config", "report").get(entry) or ""
    return value.strip() if isinstance(value, str) else ", ".join(str(one) for one in value)


def number(value: Any, *, decimals: int | None = None) -> str:
    """Return a number with three significant digits, or so many decimals; "not reported" of none.

    Examples
    --------
    >>> number(0.4567), number(1234.5), number(0.4567, decimals=2), number(None)
    ('0.457', '1234', '0.46', 'not reported')
    """
    if value is None:
        return "not reported"
    if decimals is None:
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    text = f"{value:.{decimals}f}"
    return text if float(text) else text.lstrip("-")


def with_interval(holder: Document, name: str, *, unit: str = "", decimals: int | None = 2) -> str:
    """Return a number and its interval, as the document holds them under `name` and `name`_interval.

    Examples
    --------
    >>> with_interval({"r2": 0.31, "r2_interval": {"lower": 0.1, "upper": 0.5, "level": 0.95}}, "r2")
    '0.31 [0.10, 0.50]'
    """
    value, interval = holder.get(name), part(holder, f"{name}_interval")
    shown = number(value, decimals=decimals)
    if value is None:
        return shown
    ends = (number(interval.get(end), decimals=decimals) for end in ("lower", "upper"))
    bounds = f"[{', '.join(ends)}]" if interval else ""
    return " ".join(filter(None, [shown, bounds, unit]))


def percent(share: Any) -> str:
    """Return a share between 0 and 1 in percent."""
    return "not reported" if share is None else f"{100 * share:.0f} %"


def counts(document: Document) -> str:
    """Return how many there are of each, e.g. "ketamine 30, midazolam 30"."""
    return ", ".join(f"{name} {n}" for name, n in document.items())

"""A document as JSON that people read: one line for each innermost part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from markupsafe import Markup

STEP = "  "


def readable_json(document: Any, *, indent: str = "") -> str:
    """Return JSON in which what holds nothing further stands on one line.

    Examples
    --------
    >>> print(readable_json({"status": "ok", "arms": {"all": {"expected": 1.5, "level": 0.9}}}))
    {
      "status": "ok",
      "arms": {
        "all": {"expected": 1.5, "level": 0.9}
      }
    }
    """
    inner = indent + STEP
    if isinstance(document, Mapping) and any(map(_holds_more, document.values())):
        lines = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {readable_json(held, indent=inner)}"
            for key, held in document.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(document, Sequence) and not isinstance(document, str) and any(map(_holds_more, document)):
        return "[\n" + ",\n".join(inner + readable_json(held, indent=inner) for held in document) + f"\n{indent}]"
    return json.dumps(document, ensure_ascii=False)


def as_text_of_a_page(text: str) -> Markup:
    """Return text for between two tags, where quotation marks may stay: each of them would weigh five bytes."""
    return Markup(escape(text, quote=False))


def _holds_more(held: Any) -> bool:
    return isinstance(held, Mapping | list | tuple) and len(held) > 0

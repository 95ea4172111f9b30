"""Documents as JSON that people can read, too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def document_text(content: Mapping[str, Any]) -> str:
    """Return a document as JSON that people can read, too."""
    return json.dumps(dict(content), indent=2, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    """Return numbers of numpy, paths and records as what JSON knows."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)

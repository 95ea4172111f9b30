"""The modules that the documentation site is made with lie beside it, not in a package."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
for folder in (DOCS, DOCS / "_extensions"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

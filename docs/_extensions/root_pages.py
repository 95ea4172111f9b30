"""Pages that lie at the top of the project, where people look for them, as pages of the site."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# File at the top -> page of the site that shows it.
PAGE_OF = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def root_page(name: str) -> str:
    """Return a file of the project's top folder, its links turned to where things are in the site.

    Links to pages below `docs` and to other such files stay links; what the site does not hold, such as the code,
    becomes its name.
    """
    return with_links_of_site((PROJECT / name).read_text(encoding="utf-8"))


def with_links_of_site(text: str) -> str:
    """Return Markdown of the top folder with links as a page in `docs` has them.

    Examples
    --------
    >>> with_links_of_site("[how](docs/api.md#keys), [safe](SECURITY.md), [code](predictor/errors.py)")
    '[how](api.md#keys), [safe](security.md), code'
    """
    return _LINK.sub(_link_of_site, text)


def _link_of_site(found: re.Match[str]) -> str:
    label, path, anchor = found[1], found[2], found[3] or ""
    if path in PAGE_OF:
        return f"[{label}]({PAGE_OF[path]}{anchor})"
    if path.startswith("docs/"):
        return f"[{label}]({path.removeprefix('docs/')}{anchor})"
    return label

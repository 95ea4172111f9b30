"""What holds of the documentation's sources without building the site; `make docs` checks the built one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# Parts of other pages, or pages of the folder view only.
NOT_IN_THE_SITE = {"generated"}


def test_every_term_of_the_glossary_is_explained_once(project: Path) -> None:
    text = (project / "docs" / "glossary.md").read_text(encoding="utf-8")
    entries = [block for block in re.findall(r":::\{glossary\}\n(.*?):::", text, flags=re.DOTALL)]
    terms = [line for block in entries for line in block.splitlines() if line and not line.startswith(" ")]
    assert len(terms) >= 80
    assert sorted(term for term in set(terms) if terms.count(term) > 1) == []
    used = set(re.findall(r"\{term\}`([^`]+)`", text))
    assert used <= set(terms)


@pytest.mark.parametrize("page", ["limits.md", "reference/features.md", "reference/command_line.md", "experiments.md"])
def test_pages_with_numbers_of_people_say_what_they_are_for(project: Path, page: str) -> None:
    assert "research use only" in (project / "docs" / page).read_text(encoding="utf-8").lower()


def test_every_page_can_be_reached_from_the_navigation(project: Path) -> None:
    docs = project / "docs"
    pages = {str(path.relative_to(docs).with_suffix("")) for path in docs.rglob("*.md")}
    reached, waiting = set(), ["index"]
    while waiting:
        page = waiting.pop()
        if page in reached or not (docs / f"{page}.md").exists():
            continue
        reached.add(page)
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", (docs / f"{page}.md").read_text("utf-8"), flags=re.DOTALL):
            entries = [line for line in tree.splitlines() if line.strip() and not line.startswith(":")]
            for entry in entries:
                place = re.sub(r"^.*<(.*)>$", r"\1", entry.strip())  # Title <page>
                found = docs.joinpath(page).parent.glob(f"{place}.md")
                waiting += [str(path.relative_to(docs).with_suffix("")) for path in found]
    assert sorted(page for page in pages - reached if page.split("/")[0] not in NOT_IN_THE_SITE) == []

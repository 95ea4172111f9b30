from __future__ import annotations

from pathlib import Path

import pytest
from root_pages import PAGE_OF, root_page, with_links_of_site


@pytest.mark.parametrize("name", sorted(PAGE_OF))
def test_every_link_of_a_page_from_the_top_leads_to_a_page_of_the_site(project: Path, name: str) -> None:
    text = root_page(name)
    assert text.startswith("# ")
    assert "](docs/" not in text
    assert f"root_page {name}\n" in (project / "docs" / PAGE_OF[name]).read_text(encoding="utf-8")


def test_links_to_other_sites_and_within_a_page_stay() -> None:
    text = "[a](https://doi.org/10.1/x) [b](#c)"
    assert with_links_of_site(text) == text

from __future__ import annotations

from collections.abc import Callable

from training.log_book.tracking import Store
from training.shelf.registry import CANDIDATE, RegisteredVersion, fetch_verified
from training.shelf.version_standing import standing_in_store


def test_a_new_candidate_was_never_asked_nor_opened(
    shelf: Store, put_on_shelf: Callable[..., RegisteredVersion]
) -> None:
    registered = put_on_shelf(shelf, "standing")
    standing = standing_in_store(fetch_verified("standing", registered.version, store=shelf), store=shelf)
    assert standing["version"] == f"standing/{registered.version}"
    assert standing["aliases"] == [CANDIDATE]
    assert standing["openings"] == 0

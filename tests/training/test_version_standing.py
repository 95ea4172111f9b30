from __future__ import annotations

import pytest

from training.experiment import ExperimentResult
from training.log_book.tracking import open_store
from training.shelf.registry import CANDIDATE, fetch_verified
from training.shelf.version_standing import standing_in_store


def test_a_new_candidate_was_never_asked_nor_opened(result: ExperimentResult, store_folder: object) -> None:
    store = open_store(str(store_folder))
    if result.registered is None:
        pytest.fail("nothing was registered")
    found = fetch_verified(result.registered.name, result.registered.version, store=store)
    standing = standing_in_store(found, store=store)
    assert standing["version"] == f"{result.registered.name}/{result.registered.version}"
    assert standing["aliases"] == [CANDIDATE]
    assert standing["openings"] == 0

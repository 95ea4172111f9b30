from __future__ import annotations

from collections.abc import Callable

import pytest

from predictor.__main__ import main
from training.log_book.tracking import Store
from training.shelf.registry import RegisteredVersion, champion_of

PutOnShelf = Callable[..., RegisteredVersion]


def test_promoting_twice_and_rolling_back_by_command(
    shelf: Store, put_on_shelf: PutOnShelf, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(shelf.folder)]
    for number in ("1", "2"):
        put_on_shelf(shelf, "by-promote")
        assert main(["promote", f"by-promote/{number}", *store]) == 0
    assert "by-promote v2 -> champion (gate passed: 6 of 6)" in capsys.readouterr().out
    assert main(["promote", "--rollback", "by-promote", "--reason", "drift", *store]) == 0
    assert "by-promote v1 -> champion again (was v2)" in capsys.readouterr().out
    assert champion_of("by-promote", store=shelf) == "1"
    assert main(["promote", "--rollback", "by-promote", *store]) == 4
    assert "found none in the log of promotions" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["model/1", "--rollback", "model"]])
def test_either_a_version_or_a_rollback_is_asked_for(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", *words]) == 2
    assert "either MODEL/VERSION or --rollback" in capsys.readouterr().err

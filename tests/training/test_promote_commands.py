from __future__ import annotations

from collections.abc import Callable

import pytest

import training.shelf.promotion
from predictor.__main__ import main
from training.log_book.tracking import Store
from training.shelf.promotion_gate import GateCheck
from training.shelf.promotion_log import read_decisions
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


def test_a_dry_run_prints_the_gate_and_changes_nothing(
    shelf: Store, put_on_shelf: PutOnShelf, capsys: pytest.CaptureFixture[str]
) -> None:
    put_on_shelf(shelf, "tried")
    call = ["promote", "tried/candidate", "--dry-run", "--store", str(shelf.folder)]
    assert main(call) == 0
    shown = capsys.readouterr()
    assert shown.out.count("passed") >= 6
    assert "tried v1 would become champion (6 of 6 checks passed)" in shown.out
    assert champion_of("tried", store=shelf) is None
    assert read_decisions(shelf, "tried") == ()
    assert "gate" not in shelf.client.get_model_version("tried", "1").tags
    assert main(["promote", "--rollback", "tried", "--dry-run", "--store", str(shelf.folder)]) == 2


def test_a_dry_run_ends_as_the_decision_would(
    shelf: Store, put_on_shelf: PutOnShelf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_shelf(shelf, "tried-in-vain")
    monkeypatch.setattr(training.shelf.promotion, "check_gate", lambda *_, **__: (GateCheck(1, "x", False, "p = .4"),))
    assert main(["promote", "tried-in-vain/1", "--dry-run", "--store", str(shelf.folder)]) == 4
    assert "tried-in-vain v1 would be refused (0 of 1 checks passed)" in capsys.readouterr().out
    assert read_decisions(shelf, "tried-in-vain") == ()

from __future__ import annotations

import json
from pathlib import Path

from training.log_book.tracking import Store, find_runs
from training.shelf.promotion_gate import GateCheck
from training.shelf.promotion_log import Decision, _append, champion_before, read_decisions, write_decision

CHECKS = (
    GateCheck(1, "named primary before fitting", True, "elastic_net", {"lead_s": 0.5}),
    GateCheck(3, "permutation p", False, "p = 0.2", {"permutation_p": 0.2}),
)


def decided(version: str, verdict: str, replaced: str | None) -> Decision:
    return Decision("model", version, verdict, "sha256:b", replaced)  # type: ignore[arg-type]


def test_a_decision_is_read_back_as_it_was_written_with_its_numbers(shelf: Store) -> None:
    first = Decision("logged", "1", "refused", "sha256:b", reason="too early", checks=CHECKS)
    write_decision(first, shelf)
    write_decision(Decision("logged", "2", "passed", "sha256:c", replaced="1"), shelf)
    one, two = read_decisions(shelf, "logged")
    assert (one.version, one.verdict, one.replaced, one.reason, one.at) == ("1", "refused", None, "too early", first.at)
    assert (two.version, two.verdict, two.replaced) == ("2", "passed", "1")
    run = next(run for run in find_runs(shelf, experiments=["promotions"]) if run.tags["bundle_digest"] == "sha256:b")
    assert run.metrics == {"lead_s": 0.5, "permutation_p": 0.2}
    assert "p = 0.2; too early" in run.tags["reasons"]
    assert shelf.folder is not None
    lines = (shelf.folder / "promotions.jsonl").read_text().splitlines()
    assert json.loads(lines[-2]) == json.loads(json.dumps(first.document()))


def test_a_model_about_which_nothing_was_decided_has_no_decisions(shelf: Store) -> None:
    assert read_decisions(shelf, "nobody asked") == ()


def test_the_champion_before_is_the_one_that_a_promotion_replaced() -> None:
    log = (decided("1", "passed", None), decided("2", "passed", "1"), decided("3", "refused", "2"))
    assert champion_before(log, "2") == "1"
    assert champion_before(log, "1") is None
    assert champion_before(log, "3") is None
    back = (*log, decided("1", "rolled back", "2"), decided("4", "passed", "1"))
    assert champion_before(back, "4") == "1"


def test_promoting_the_champion_again_does_not_hide_the_one_before() -> None:
    assert champion_before((decided("2", "passed", "1"), decided("2", "passed", "2")), "2") == "1"


def test_after_a_withdrawal_the_champion_before_the_withdrawn_one_is_found() -> None:
    log = (decided("1", "passed", None), decided("2", "passed", "1"), decided("2", "withdrawn", "2"))
    assert champion_before(log, None) == "1"


def test_a_line_that_was_cut_off_stays_and_the_next_stands_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "promotions.jsonl"
    _append(path, '{"a": 1}')
    path.write_text(path.read_text() + '{"cut')
    _append(path, '{"b": 2}')
    assert path.read_text() == '{"a": 1}\n{"cut\n{"b": 2}\n'

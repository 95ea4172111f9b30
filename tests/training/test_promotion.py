from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import mlflow
import pytest

import training.shelf.promotion
from predictor.errors import (
    BundleDamagedError,
    ModelUnavailableError,
    PromotionRefusedError,
    RunDeletedError,
    TrackingError,
    VersionUnverifiedError,
)
from training.log_book.tracking import Store, find_runs
from training.shelf.promotion import decide, examine, roll_back
from training.shelf.promotion_log import read_decisions
from training.shelf.registry import BUNDLE_IN_MODEL, REGISTERING, STATUS, RegisteredVersion, champion_of

PutOnShelf = Callable[..., RegisteredVersion]


def stored_bundle(store: Store, name: str, version: str) -> Path:
    uri = store.client.get_model_version_download_uri(name, version)
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri)) / BUNDLE_IN_MODEL


def promote(store: Store, name: str, version: str, **options: Any) -> None:
    decide(examine(f"{name}/{version}", store=store), store=store, **options)


def test_a_model_that_passes_becomes_champion_and_the_log_says_why(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(shelf, "passing")
    promotion = examine("passing/candidate", store=shelf)
    assert [check.passed for check in promotion.checks] == [True] * 6, [check.line() for check in promotion.checks]
    decide(promotion, store=shelf, reason="first of its kind")
    assert champion_of("passing", store=shelf) == "1"
    entry = json.loads((shelf.folder / "promotions.jsonl").read_text().splitlines()[-1])
    assert (entry["verdict"], entry["version"], len(entry["checks"])) == ("passed", "1", 6)
    (run,) = [run for run in find_runs(shelf, experiments=["promotions"]) if run.tags["model"] == "passing"]
    assert run.tags["reason"] == "first of its kind"
    assert run.metrics["permutation_p"] == 0.01
    assert run.metrics["smallest_lower_bound"] == 0.1
    assert shelf.client.get_model_version("passing", "1").tags["gate"] == "passed"


def test_a_model_that_fails_is_refused_with_reasons_and_the_champion_stays(
    shelf: Store, put_on_shelf: PutOnShelf
) -> None:
    put_on_shelf(shelf, "failing")
    promote(shelf, "failing", "1")
    put_on_shelf(shelf, "failing", permutation={"p_value": 0.4, "n_permutations": 99})
    with pytest.raises(PromotionRefusedError, match=r"failed 1 of 6 checks.*p = 0.4"):
        promote(shelf, "failing", "2")
    assert champion_of("failing", store=shelf) == "1"
    last = read_decisions(shelf, "failing")[-1]
    assert (last.verdict, last.version, last.replaced) == ("refused", "2", "1")
    assert "p = 0.4" in shelf.client.get_model_version("failing", "2").tags["gate_reasons"]


def test_a_model_whose_experiment_file_names_another_primary_is_refused(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(shelf, "renamed", source='[model]\nprimary = "ridge"\n')
    checks = examine("renamed/1", store=shelf).checks
    assert [check.number for check in checks if not check.passed] == [1]
    assert "the stored experiment file names ridge" in checks[0].measured


def test_an_experiment_file_that_was_changed_in_the_store_is_noticed(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(shelf, "rewritten")
    run = shelf.client.get_run(shelf.client.get_model_version("rewritten", "1").run_id)
    (Path(urlparse(run.info.artifact_uri).path) / "experiment.toml").write_text('name = "another"\n')
    first = examine("rewritten/1", store=shelf).checks[0]
    assert not first.passed
    assert "not the one that was registered" in first.measured


def test_a_changed_bundle_or_record_cannot_be_promoted(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(shelf, "changed")
    run = shelf.client.get_run(shelf.client.get_model_version("changed", "1").run_id)
    record = Path(urlparse(run.info.artifact_uri).path) / "gate.json"
    sound = record.read_bytes()
    record.write_bytes(sound.replace(b'"passed":true', b'"passed":null'))
    with pytest.raises(BundleDamagedError, match="was changed"):
        examine("changed/1", store=shelf)
    record.unlink()
    with pytest.raises(BundleDamagedError, match="is missing"):
        examine("changed/1", store=shelf)
    document = stored_bundle(shelf, "changed", "1") / "bundle.json"
    document.write_bytes(document.read_bytes().replace(b'"trained_on":60', b'"trained_on":61'))
    with pytest.raises(BundleDamagedError):
        examine("changed/1", store=shelf)
    assert champion_of("changed", store=shelf) is None


def test_a_version_that_was_never_verified_cannot_be_promoted(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(shelf, "unverified")
    shelf.client.set_model_version_tag("unverified", "1", STATUS, REGISTERING)
    with pytest.raises(VersionUnverifiedError, match="registering"):
        examine("unverified/1", store=shelf)


def test_a_version_whose_run_was_deleted_cannot_be_promoted(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(shelf, "deleted-run")
    shelf.client.delete_run(shelf.client.get_model_version("deleted-run", "1").run_id)
    with pytest.raises(RunDeletedError):
        examine("deleted-run/1", store=shelf)


def test_when_the_decision_cannot_be_written_down_the_alias_does_not_move(
    shelf: Store, put_on_shelf: PutOnShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_shelf(shelf, "unwritten")
    promotion = examine("unwritten/1", store=shelf)

    def fail(*arguments: object) -> None:
        raise TrackingError("the disk is full.")

    monkeypatch.setattr(training.shelf.promotion, "write_decision", fail)
    with pytest.raises(TrackingError):
        decide(promotion, store=shelf)
    assert champion_of("unwritten", store=shelf) is None


def test_a_promotion_without_checks_is_none(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(shelf, "no-checks")
    with pytest.raises(PromotionRefusedError):
        decide(replace(examine("no-checks/1", store=shelf), checks=()), store=shelf)


def test_rollback_goes_back_champion_by_champion_and_is_logged(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    for number in ("1", "2", "3"):
        put_on_shelf(shelf, "rolled")
        promote(shelf, "rolled", number)
    back = roll_back("rolled", store=shelf, reason="drift at the new site")
    assert (back.version, back.replaced, champion_of("rolled", store=shelf)) == ("2", "3", "2")
    assert roll_back("rolled", store=shelf).version == "1"
    with pytest.raises(PromotionRefusedError, match="found none"):
        roll_back("rolled", store=shelf)
    verdicts = [(one.verdict, one.version) for one in read_decisions(shelf, "rolled")]
    assert verdicts[3:] == [("rolled back", "2"), ("rolled back", "1")]
    assert read_decisions(shelf, "rolled")[3].reason == "drift at the new site"


def test_rollback_to_a_damaged_champion_is_refused_and_the_champion_stays(
    shelf: Store, put_on_shelf: PutOnShelf
) -> None:
    for number in ("1", "2"):
        put_on_shelf(shelf, "damaged-before")
        promote(shelf, "damaged-before", number)
    (stored_bundle(shelf, "damaged-before", "1") / "bundle.json").unlink()
    with pytest.raises(BundleDamagedError):
        roll_back("damaged-before", store=shelf)
    assert champion_of("damaged-before", store=shelf) == "2"


@pytest.mark.parametrize("reference", ["nothing/99", "nothing/1", "nothing", "nothing/best", "/1", ""])
def test_a_version_that_does_not_exist_is_named(shelf: Store, reference: str) -> None:
    with pytest.raises(ModelUnavailableError):
        examine(reference, store=shelf)


def test_rolling_back_what_was_never_registered_is_named(shelf: Store) -> None:
    with pytest.raises(ModelUnavailableError, match="nothing is registered"):
        roll_back("never-heard-of", store=shelf)

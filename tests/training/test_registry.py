from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import mlflow
import numpy as np
import pytest

from predictor.errors import BundleDamagedError, ModelUnavailableError, PromotionRefusedError
from predictor.model.bundle import ModelBundle, load_bundle
from training.experiment import ExperimentResult
from training.registry import BUNDLE_IN_MODEL, CANDIDATE, CHAMPION, Promotion, decide, examine, register_bundle
from training.tracking import Store, open_store, start_run
from training.training_table import TrainingTable


@pytest.fixture
def store(result: ExperimentResult, store_folder: Path) -> Store:
    opened = open_store(store_folder)
    if champion(opened):  # of another test
        opened.client.delete_registered_model_alias("small-model", CHAMPION)
    return opened


@pytest.fixture
def bundle(store: Store) -> ModelBundle:
    return load_bundle(stored_model(store) / BUNDLE_IN_MODEL)


def stored_model(store: Store) -> Path:
    """Folder in which the registry keeps version 1."""
    uri = store.client.get_model_version_download_uri("small-model", "1")
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))


def aliases(store: Store) -> dict[str, str]:
    found = store.client.get_registered_model("small-model").aliases
    return {alias: str(version) for alias, version in found.items()}


def champion(store: Store) -> str | None:
    return aliases(store).get(CHAMPION)


def test_training_names_a_candidate_and_no_champion(store: Store, result: ExperimentResult) -> None:
    assert aliases(store) == {CANDIDATE: "1"}
    tags = store.client.get_model_version("small-model", "1").tags
    assert tags["bundle_digest"] == result.registered.bundle_digest
    assert {"outcome", "cohort_digest", "config_digest", "code_version", "gate_digest"} <= set(tags)


def test_mlflow_can_load_and_ask_the_registered_model(
    store: Store, training_table: TrainingTable, bundle: ModelBundle
) -> None:
    model = mlflow.pyfunc.load_model(f"models:/small-model@{CANDIDATE}")
    people = training_table.model_inputs.drop(columns="arm").head(4)
    expected = model.predict(people)
    assert list(expected.columns) == ["ketamine", "midazolam"]
    site = (people["site"] == "a").to_numpy(dtype=float)
    raw = np.column_stack([people[list(bundle.feature_names)], people["caps5_total_baseline"], site])
    assert expected.to_numpy() == pytest.approx(bundle.model.predict(raw), abs=1e-9)


def test_a_model_that_passes_becomes_champion(store: Store) -> None:
    promotion = examine(f"small-model/{CANDIDATE}", store=store)
    assert [check.passed for check in promotion.checks] == [True] * 6
    decide(promotion, store=store)
    assert champion(store) == "1"
    entry = json.loads((store.folder / "promotions.jsonl").read_text().splitlines()[-1])
    assert (entry["decision"], entry["version"], len(entry["checks"])) == ("passed", "1", 6)


def test_a_model_that_fails_is_refused_with_reasons_and_the_champion_stays(store: Store) -> None:
    passed = examine("small-model/1", store=store)
    decide(passed, store=store)
    checks = (replace(passed.checks[0], passed=False, measured="no record"), *passed.checks[1:])
    with pytest.raises(PromotionRefusedError, match=r"failed 1 of 6 checks.*no record"):
        decide(Promotion("small-model", "1", checks, passed.bundle_digest), store=store)
    entry = json.loads((store.folder / "promotions.jsonl").read_text().splitlines()[-1])
    assert entry["decision"] == "refused"
    assert "no record" in store.client.get_model_version("small-model", "1").tags["gate_reasons"]
    assert champion(store) == "1"


def test_a_changed_bundle_cannot_be_promoted(store: Store) -> None:
    document = stored_model(store) / BUNDLE_IN_MODEL / "bundle.json"
    sound = document.read_bytes()
    document.write_bytes(sound.replace(b'"trained_on":60', b'"trained_on":61'))
    try:
        with pytest.raises(BundleDamagedError):
            examine("small-model/1", store=store)
    finally:
        document.write_bytes(sound)
    assert champion(store) is None


def test_a_rewritten_record_of_the_measurements_cannot_be_promoted(store: Store, result: ExperimentResult) -> None:
    folder = urlparse(store.client.get_run(result.run_id).info.artifact_uri).path
    record = Path(folder) / "gate.json"
    sound = record.read_bytes()
    record.write_bytes(sound.replace(b'"passed":true', b'"passed":null'))
    try:
        with pytest.raises(BundleDamagedError, match="was changed"):
            examine("small-model/1", store=store)
    finally:
        record.write_bytes(sound)


def test_when_the_stored_copy_is_damaged_the_candidate_alias_does_not_move(
    store: Store, bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_copy = shutil.copytree

    def copy_and_lose_a_file(*arguments: Any, **options: Any) -> Any:
        copied = whole_copy(*arguments, **options)
        for array in Path(copied).rglob("model.intercept.npy"):
            array.unlink()
        return copied

    monkeypatch.setattr(shutil, "copytree", copy_and_lose_a_file)
    with start_run(store, "small-trial", name="killed") as run, pytest.raises(BundleDamagedError):
        register_bundle(replace(bundle, card={}), {}, store=store, run=run, tags={})
    assert aliases(store)[CANDIDATE] == "1"


@pytest.mark.parametrize("reference", ["small-model/99", "nothing/1", "small-model", "small-model/best", "/1", ""])
def test_a_version_that_does_not_exist_is_named(store: Store, reference: str) -> None:
    with pytest.raises(ModelUnavailableError):
        examine(reference, store=store)

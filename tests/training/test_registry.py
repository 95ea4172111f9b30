from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from predictor.errors import BundleDamagedError, ModelUnavailableError, RegisteredNameError, VersionUnverifiedError
from predictor.model.bundle import ModelBundle
from predictor.model.linear_model import LinearResponseModel
from training.log_book.tracking import Store, find_runs, open_store, start_run
from training.shelf.registry import (
    CANDIDATE,
    REGISTERING,
    STATUS,
    VERIFIED,
    RegisteredVersion,
    champion_of,
    check_shelf,
    fetch_verified,
    register_bundle,
    resolve,
)
from training.training_table import TrainingTable

PutOnShelf = Callable[..., RegisteredVersion]


def aliases(store: Store, name: str) -> dict[str, str]:
    found = store.client.get_registered_model(name).aliases
    return {alias: str(version) for alias, version in found.items()}


def test_registering_names_a_candidate_and_no_champion(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    registered = put_on_shelf(shelf, "named")
    assert aliases(shelf, "named") == {CANDIDATE: "1"}
    assert champion_of("named", store=shelf) is None
    tags = shelf.client.get_model_version("named", "1").tags
    assert tags["bundle_digest"] == registered.bundle_digest
    assert (tags[STATUS], tags["outcome"]) == (VERIFIED, "improvement")
    assert {"cohort_digest", "config_digest", "code_version", "gate_digest"} <= set(tags)
    assert shelf.client.get_registered_model("named").tags["outcome"] == "improvement"


def test_the_model_is_logged_in_the_experiment_and_its_run_goes_on(shelf: Store, complete_bundle: ModelBundle) -> None:
    bundle = replace(complete_bundle, name="goes-on")
    with start_run(shelf, "small-trial", name="going on") as run:
        register_bundle(bundle, {}, store=shelf, run=run, tags={})
        assert shelf.client.get_run(run.run_id).info.status == "RUNNING"
    source = shelf.client.get_model_version("goes-on", "1").source
    model = shelf.client.get_logged_model(source.rpartition("/")[2])
    assert (model.experiment_id, model.source_run_id) == (run.experiment_id, run.run_id)


def test_a_bundle_goes_to_the_store_that_was_asked_for_though_another_was_opened_since(
    shelf: Store, put_on_shelf: PutOnShelf, tmp_path: Path
) -> None:
    other = open_store(str(tmp_path / "other"))
    registered = put_on_shelf(shelf, "asked-for")
    open_store(str(tmp_path / "third"))
    fetch_verified("asked-for", registered.version, store=shelf)
    assert other.client.search_registered_models() == []


def test_mlflow_can_load_and_ask_the_registered_model(
    shelf: Store, put_on_shelf: PutOnShelf, training_table: TrainingTable, complete_bundle: ModelBundle
) -> None:
    put_on_shelf(shelf, "asked")
    model = mlflow.pyfunc.load_model(f"models:/asked@{CANDIDATE}")
    people = training_table.model_inputs.drop(columns="arm").head(4)
    site = (people["site"] == "a").to_numpy(dtype=float)
    names = list(complete_bundle.feature_names)
    raw = np.column_stack([people[names], people["caps5_total_baseline"], site])
    assert model.predict(people).to_numpy() == pytest.approx(complete_bundle.model.predict(raw), abs=1e-9)


def test_one_name_stands_for_one_outcome(shelf: Store, put_on_shelf: PutOnShelf, complete_bundle: ModelBundle) -> None:
    put_on_shelf(shelf, "one-outcome")
    other = replace(complete_bundle, name="one-outcome", outcome=replace(complete_bundle.outcome, name="pain"))
    n_models = len(shelf.client.search_logged_models(experiment_ids=experiments(shelf)))
    with (
        start_run(shelf, "small-trial", name="other") as run,
        pytest.raises(RegisteredNameError, match="holds models of improvement"),
    ):
        register_bundle(other, {}, store=shelf, run=run, tags={})
    assert len(shelf.client.search_logged_models(experiment_ids=experiments(shelf))) == n_models
    check_shelf("one-outcome", "improvement", store=shelf)
    check_shelf("a name that is free", "pain", store=shelf)
    with pytest.raises(RegisteredNameError):
        check_shelf("one-outcome", "pain", store=shelf)


def test_a_name_without_a_mark_stands_for_the_outcome_of_its_versions(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(shelf, "older")
    shelf.client.delete_registered_model_tag("older", "outcome")
    with pytest.raises(RegisteredNameError):
        check_shelf("older", "pain", store=shelf)


def test_an_analysis_is_registered_under_a_name_that_says_so(
    shelf: Store, put_on_shelf: PutOnShelf, complete_bundle: ModelBundle
) -> None:
    with pytest.raises(RegisteredNameError, match=r"6 inputs .*measured at week2") as caught:
        put_on_shelf(shelf, "late", measured={"gppi_faces": "week2"})
    assert "late-analysis" in caught.value.remedy
    changes = with_inputs_renamed(complete_bundle, "change_")
    with (
        start_run(shelf, "small-trial", name="changes") as run,
        pytest.raises(RegisteredNameError, match="by its name"),
    ):
        register_bundle(replace(changes, name="late"), {}, store=shelf, run=run, tags={})
    assert put_on_shelf(shelf, "late-analysis", measured={"gppi_faces": "week2"}).name == "late-analysis"


def test_when_the_stored_copy_is_damaged_the_candidate_stays_and_the_version_is_no_good(
    shelf: Store, put_on_shelf: PutOnShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_shelf(shelf, "damaged-copy")
    whole_copy = shutil.copytree

    def copy_and_lose_a_file(*arguments: Any, **options: Any) -> Any:
        copied = whole_copy(*arguments, **options)
        for array in Path(copied).rglob("model.intercept.npy"):
            array.unlink()
        return copied

    monkeypatch.setattr(shutil, "copytree", copy_and_lose_a_file)
    with pytest.raises(BundleDamagedError):
        put_on_shelf(shelf, "damaged-copy")
    assert aliases(shelf, "damaged-copy")[CANDIDATE] == "1"
    assert shelf.client.get_model_version("damaged-copy", "2").tags[STATUS] == REGISTERING
    with pytest.raises(VersionUnverifiedError):
        fetch_verified("damaged-copy", "2", store=shelf)
    assert find_runs(shelf, experiments=["small-trial"], status="FAILED")


def test_references_are_resolved_by_number_and_alias(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(shelf, "resolved")
    assert resolve("resolved/1", store=shelf) == resolve("resolved/candidate", store=shelf) == ("resolved", "1")
    for reference in ("resolved/2", "resolved/champion", "resolved", "/1"):
        with pytest.raises(ModelUnavailableError):
            resolve(reference, store=shelf)


def test_an_alias_on_a_version_that_is_gone_is_named_with_its_remedy(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(shelf, "dangling")
    assert shelf.address.database is not None
    with closing(sqlite3.connect(shelf.address.database)) as database, database:
        database.execute("update registered_model_aliases set version = 77 where name = 'dangling'")
    with pytest.raises(ModelUnavailableError, match="candidate points at version 77") as caught:
        resolve("dangling/candidate", store=shelf)
    assert "krp doctor" in caught.value.remedy
    assert fetch_verified("dangling", "1", store=shelf).version == "1"


def experiments(store: Store) -> list[str]:
    return [one.experiment_id for one in store.client.search_experiments()]


def with_inputs_renamed(bundle: ModelBundle, prefix: str) -> ModelBundle:
    """Return the bundle as if its features were measured otherwise."""
    definitions = tuple(replace(one, name=prefix + one.name) for one in bundle.definitions)
    n_features, model = len(definitions), bundle.model
    names = (*(one.name for one in definitions), *model.input_names[n_features:])
    renamed: LinearResponseModel = replace(model, input_names=names)
    return replace(bundle, definitions=definitions, model=renamed)

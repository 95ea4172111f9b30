"""The log book behaves the same in a folder, in PostgreSQL, and behind a tracking server."""

from __future__ import annotations

from dataclasses import replace

import mlflow
import numpy as np
import pytest

from predictor.__main__ import main
from predictor.errors import PredictorError, StoreReadOnlyError, StoreUnreachableError
from predictor.model.mlflow_loader import BundleModel, input_example
from training.config import ExperimentConfig
from training.experiment import ExperimentResult, run_on_table
from training.log_book.tracking import Store, find_runs, open_store, read_document, start_run
from training.shelf.registry import CANDIDATE
from training.training_table import TrainingTable

PARENT_FILES = {
    "experiment.toml", "experiment.json", "report.html", "splits.tsv", "splits.json", "environment.json", "audit.json",
    "power.json", "permutation.json", "benefit.json", "card.md", "card.json", "tripod_ai.md", "tripod_ai.json",
    "figures", "gate.json",
}  # fmt: skip


@pytest.fixture(scope="module", params=["postgresql", "tracking_server"])
def elsewhere(
    request: pytest.FixtureRequest,
    training_table: TrainingTable,
    config: ExperimentConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Store, ExperimentResult, ExperimentConfig]:
    address = request.getfixturevalue(request.param)
    tracking = replace(config.tracking, store=address, artifacts=str(tmp_path_factory.mktemp("files")))
    quick = replace(
        config,
        name="elsewhere",  # names of its own: other tests use the same server
        model=replace(config.model, candidates=()),
        validation=replace(config.validation, n_repeats=1, n_permutations=0, n_bootstrap_models=2),
        tracking=replace(tracking, registered_model="elsewhere-model"),
    )
    result = run_on_table(training_table, quick, n_jobs=1)
    return open_store(address), result, quick


def test_the_whole_experiment_stands_in_the_log_book(
    elsewhere: tuple[Store, ExperimentResult, ExperimentConfig],
) -> None:
    store, result, config = elsewhere
    runs = find_runs(store, experiments=[config.name])
    (parent,) = [run for run in runs if run.parent is None]
    children = [run for run in runs if run.parent == parent.run_id]
    assert (parent.run_id, parent.tags["kind"], parent.params["n_participants"]) == (result.run_id, "experiment", "60")
    assert {run.name for run in children} == {model.name for model in result.models}
    assert {file.path for file in store.client.list_artifacts(parent.run_id)} >= PARENT_FILES
    assert {file.path for file in store.client.list_artifacts(children[0].run_id)} == {
        "assessment.json", "folds.tsv", "out_of_fold_predictions.tsv"
    }  # fmt: skip
    assert read_document(store, parent.run_id, "experiment.json") == result.record.document
    assert parent.metrics["r2"] == pytest.approx(result.primary.metrics.r2)


def test_the_registered_model_answers_through_mlflow_as_the_bundle_does(
    elsewhere: tuple[Store, ExperimentResult, ExperimentConfig], training_table: TrainingTable
) -> None:
    store, result, _ = elsewhere
    assert result.bundle is not None
    assert result.registered is not None
    open_store_again(store)
    loaded = mlflow.pyfunc.load_model(f"models:/{result.registered.name}@{CANDIDATE}")
    people = training_table.model_inputs.head(5).drop(columns="arm")
    assert np.array_equal(loaded.predict(people), BundleModel(result.bundle).predict(people))
    assert loaded.input_example.to_dict() == input_example(result.bundle).to_dict()


def test_a_gate_decides_and_aliases_move(
    elsewhere: tuple[Store, ExperimentResult, ExperimentConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    store, _, config = elsewhere
    assert main(["promote", "elsewhere-model/candidate", "--store", config.tracking.store]) == 4  # no permutations
    assert "(3) FAILED" in capsys.readouterr().out
    aliases = store.client.get_registered_model("elsewhere-model").aliases
    assert {name: str(version) for name, version in aliases.items()} == {CANDIDATE: "1"}


def test_an_error_closes_the_run_as_failed(elsewhere: tuple[Store, ExperimentResult, ExperimentConfig]) -> None:
    store, _, config = elsewhere
    with pytest.raises(ZeroDivisionError), start_run(store, config.name, name="broken") as log:
        raise ZeroDivisionError
    assert store.client.get_run(log.run_id).info.status == "FAILED"


def test_a_database_that_is_read_only_is_named_before_anything_is_fitted(
    elsewhere: tuple[Store, ExperimentResult, ExperimentConfig], postgresql: str, training_table: TrainingTable
) -> None:
    _, _, config = elsewhere
    if "postgresql" not in config.tracking.store:
        pytest.skip("of PostgreSQL only")
    read_only = f"{postgresql}?options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(StoreReadOnlyError):
        run_on_table(training_table, replace(config, tracking=replace(config.tracking, store=read_only)), n_jobs=1)


@pytest.mark.parametrize("address", ["postgresql://ada:secret@127.0.0.1:1/mlflow", "http://ada:secret@127.0.0.1:1"])
def test_a_store_that_does_not_answer_is_named_within_seconds_and_keeps_its_password(
    address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGPASSWORD", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
    with pytest.raises(StoreUnreachableError) as caught:
        open_store(address)
    assert main(["promote", "m/1", "--store", address, "--debug"]) == 3
    shown = f"{caught.value} {caught.value.where} {''.join(capsys.readouterr())}"
    assert "127.0.0.1:1" in shown
    assert "secret" not in shown


def test_a_server_that_is_none_of_mlflows_is_a_named_error(elsewhere: object, tracking_server: str) -> None:
    with pytest.raises(PredictorError):
        open_store(f"{tracking_server}/nowhere")


def open_store_again(store: Store) -> None:
    """Make this store the one that MLflow loads models from."""
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_registry_uri(store.uri)

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from predictor.errors import ConfigError, UsageError
from training.config import ExperimentConfig, TrackingConfig, read_experiment
from training.experiment import ExperimentResult
from training.log_book.experiment_log import environment
from training.log_book.tracking import LoggedRun, Store, find_runs, open_store, read_document
from training.shelf.registry import REGISTERING, STATUS, RegisteredVersion
from training.shelf.version_history import previous_versions

EXPERIMENT = """name = "trial"
[cohort]
features = "features.tsv"
participants = "participants.tsv"
[outcome]
name = "caps5_percent_improvement"
[tracking]
registered_model = "m"
"""


def logged(result: ExperimentResult, store_folder: Path) -> tuple[LoggedRun, list[LoggedRun]]:
    """Return the experiment's run and those of its models."""
    runs = find_runs(open_store(store_folder), experiments=["small-trial"])
    (parent,) = [run for run in runs if run.run_id == result.run_id]
    return parent, [run for run in runs if run.parent == result.run_id]


def test_the_parent_run_answers_a_comparison_without_any_file(result: ExperimentResult, store_folder: Path) -> None:
    parent, _ = logged(result, store_folder)
    best = max((m for m in result.models if m.role == "baseline"), key=lambda model: model.metrics.r2)
    assert best.gain_of_primary is not None
    assert parent.tags["best_baseline"] == best.name
    assert parent.tags["first_model"] == "elastic_net"
    assert parent.tags["registered_version"] == "1"
    assert parent.metrics["gain_lower"] == best.gain_of_primary.corrected_interval.lower
    assert parent.metrics["r2_lower"] == result.primary.metrics.r2_interval.lower


def test_every_models_run_has_a_table_of_its_folds(result: ExperimentResult, store_folder: Path) -> None:
    _, models = logged(result, store_folder)
    (primary,) = [run for run in models if run.tags["role"] == "primary"]
    path = mlflow.artifacts.download_artifacts(run_id=primary.run_id, artifact_path="folds.tsv")
    table = pd.read_csv(path, sep="\t")
    assert len(table) == 10  # 2 repeats of 5 folds
    assert (table["n_train"] + table["n_test"]).eq(60).all()
    assert table["alpha"].gt(0).all()


def test_record_report_figures_and_card_stand_beside_the_run(result: ExperimentResult, store_folder: Path) -> None:
    store = open_store(store_folder)
    assert read_document(store, result.run_id, "experiment.json") == result.record.document
    assert result.bundle is not None
    assert read_document(store, result.run_id, "card.json") == json.loads(json.dumps(dict(result.bundle.card)))
    names = {Path(file.path).name for file in store.client.list_artifacts(result.run_id, "figures")}
    assert len(names) >= 5
    report = mlflow.artifacts.download_artifacts(run_id=result.run_id, artifact_path="report.html")
    assert "esearch use only" in Path(report).read_text(encoding="utf-8")


def test_the_environment_names_packages_and_python_and_no_machine() -> None:
    found = environment()
    assert found["packages"]["scikit-learn"]
    assert found["python"].startswith("3.")
    assert socket.gethostname() not in json.dumps({**found, "packages": {}})


def test_the_environment_tells_every_package_with_its_version_in_order() -> None:
    packages = environment()["packages"]
    assert packages == {one.metadata["Name"]: one.version for one in distributions()}
    assert list(packages) == sorted(packages)


def test_earlier_versions_are_told_for_the_change_log(result: ExperimentResult, store_folder: Path) -> None:
    store = open_store(store_folder)
    (first, *_) = previous_versions(store, "small-model")
    assert result.registered is not None
    assert (first["version"], first["bundle_digest"]) == ("1", result.registered.bundle_digest)
    assert first["gate"] in ("not asked", "passed", "refused")
    assert previous_versions(store, "nothing of that name") == []


def test_the_change_log_passes_over_what_was_cut_off_while_it_was_registered(
    shelf: Store, put_on_shelf: Callable[..., RegisteredVersion]
) -> None:
    whole, cut_off = (put_on_shelf(shelf, "half-registered") for _ in range(2))
    shelf.client.set_model_version_tag(cut_off.name, cut_off.version, STATUS, REGISTERING)
    assert [one["version"] for one in previous_versions(shelf, "half-registered")] == [whole.version]


def test_a_password_in_the_stores_address_is_kept_out_of_what_is_logged(tmp_path: Path) -> None:
    (tmp_path / "trial.toml").write_text(EXPERIMENT + 'store = "postgresql://ada:secret@db/mlflow"\n')
    config = read_experiment(tmp_path / "trial.toml", overrides=["tracking.store=http://ada:secret@mlflow"])
    assert config.tracking.store == "http://ada:secret@mlflow"
    assert "secret" not in config.source
    assert config.source.count("***@") == 2


def test_an_address_of_no_known_form_is_refused_when_the_file_is_read(config: ExperimentConfig) -> None:
    with pytest.raises((ConfigError, UsageError), match="expected a folder"):
        replace(config, tracking=TrackingConfig(registered_model="m", store="ftp://host/mlflow"))

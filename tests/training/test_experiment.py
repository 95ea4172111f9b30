from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from predictor.errors import TrainingError
from training.config import ExperimentConfig
from training.evaluation.metrics import r2_against_training_mean
from training.experiment import ExperimentResult, make_partitions, run_on_table
from training.log_book.tracking import open_store
from training.report.result_table import result_lines, short
from training.training_table import TrainingTable


def test_primary_candidates_and_all_baselines_are_judged_on_the_same_folds(result: ExperimentResult) -> None:
    names = [model.name for model in result.models]
    assert names[:2] == ["elastic_net", "ridge"]
    assert set(names[2:]) == {
        "constant", "arm only", "clinical only", "arm + clinical", "covariates only",
        "site only", "age/sex only", "motion only"
    }  # fmt: skip
    for model in result.models:
        assert np.array_equal(model.predicted.fold_index, result.primary.predicted.fold_index)
        assert np.isfinite(model.predicted.prediction).all()


def test_a_planted_effect_is_found_and_the_constant_scores_zero(result: ExperimentResult) -> None:
    by_name = {model.name: model for model in result.models}
    assert by_name["constant"].metrics.r2 == 0.0
    assert result.primary.metrics.r2 > by_name["arm + clinical"].metrics.r2 + 0.1
    assert result.permutation is not None
    assert result.permutation.p_value == 1 / 25
    # Permutations are judged by compiled code, which agrees with the fitted models to the solver's tolerance.
    of_first_repeat = r2_against_training_mean(result.primary.predicted.repeat(0))
    assert result.permutation.observed_r2 == pytest.approx(of_first_repeat, abs=1e-6)
    assert result.fold_isolation.passed


def test_repeats_are_different_partitions(training_table: TrainingTable, config: ExperimentConfig) -> None:
    first, second = make_partitions(training_table, config)
    assert not np.array_equal(first, second)


def test_leave_one_out_has_one_repeat_with_a_fold_for_everyone(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    scheme = replace(config, validation=replace(config.validation, scheme="leave_one_out"))
    assert make_partitions(training_table, scheme).tolist() == [list(range(60))]


def test_the_log_book_holds_config_data_folds_and_one_child_run_per_model(
    result: ExperimentResult, config: ExperimentConfig, training_table: TrainingTable
) -> None:
    client = open_store_of(config)
    parent = client.get_run(result.run_id)
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.mlflow.parentRunId = '{result.run_id}'", max_results=50
    )
    assert parent.info.status == "FINISHED"
    assert {run.info.run_name for run in children} == {model.name for model in result.models}
    assert parent.data.tags["primary"] == "elastic_net"
    assert parent.data.tags["data_set_digest"] == training_table.features.digest
    assert parent.inputs.dataset_inputs[0].dataset.digest == "b" * 32
    assert read_text(config, f"runs:/{result.run_id}/experiment.toml") == config.source
    splits = pd.read_csv(download(config, f"runs:/{result.run_id}/splits.tsv"), sep="\t")
    assert np.array_equal(splits[["repeat_0", "repeat_1"]].to_numpy().T, result.primary.predicted.fold_index)
    assert "scikit-learn" in read_text(config, f"runs:/{result.run_id}/environment.json")


def test_logged_predictions_reproduce_the_logged_r2(result: ExperimentResult, config: ExperimentConfig) -> None:
    client = open_store_of(config)
    (run,) = client.search_runs(
        [client.get_run(result.run_id).info.experiment_id],
        f"tags.role = 'primary' and tags.mlflow.parentRunId = '{result.run_id}'",
    )
    table = pd.read_csv(download(config, f"runs:/{run.info.run_id}/out_of_fold_predictions.tsv"), sep="\t")
    squared = ((table["outcome"] - table["prediction"]) ** 2).sum()
    total = ((table["outcome"] - table["training_mean"]) ** 2).sum()
    assert run.data.metrics["r2"] == pytest.approx(1 - squared / total, abs=1e-12)


def test_the_table_on_screen_has_a_line_for_every_model(result: ExperimentResult) -> None:
    heading, *lines = result_lines(result)
    assert "primary's squared error less by" in heading
    assert lines[0].split()[:3] == ["elastic", "net", "R2"]
    assert "p = .04 (24 permutations)" in lines[0]
    assert any(line.split()[:3] == ["constant", "R2", ".00"] for line in lines)
    assert lines[-1].endswith("small-model v1 -> candidate")


def test_numbers_are_short() -> None:
    assert [short(value) for value in (0.456, -0.012, 0.0, -0.001, 1.0, -1.204)] == [
        ".46", "-.01", ".00", ".00", "1.00", "-1.20"
    ]  # fmt: skip


def test_the_same_experiment_in_another_store_gives_the_same_bundle_byte_for_byte(
    result: ExperimentResult, training_table: TrainingTable, config: ExperimentConfig, tmp_path: Path
) -> None:
    """Card and TRIPOD+AI table included: neither clock, nor store, nor path is in them."""
    elsewhere = replace(config, tracking=replace(config.tracking, store=str(tmp_path / "other" / "mlruns")))
    again = run_on_table(training_table, elsewhere, n_jobs=1)  # two: tests/robustness/test_reproducible.py
    assert again.registered is not None
    assert result.registered is not None
    assert again.run_id != result.run_id
    assert again.registered.bundle_digest == result.registered.bundle_digest
    assert again.bundle is not None
    assert result.bundle is not None
    assert again.bundle.card_text == result.bundle.card_text


def open_store_of(config: ExperimentConfig) -> mlflow.MlflowClient:
    from pathlib import Path

    return open_store(Path(config.tracking.store)).client


def download(config: ExperimentConfig, uri: str) -> str:
    open_store_of(config)
    return str(mlflow.artifacts.download_artifacts(artifact_uri=uri))


def read_text(config: ExperimentConfig, uri: str) -> str:
    with open(download(config, uri), encoding="utf-8") as file:
        return file.read()


def test_too_few_people_for_intervals_are_refused_before_anything_is_logged(
    training_table: TrainingTable, config: ExperimentConfig, tmp_path: Path
) -> None:
    few = replace(training_table, inputs=training_table.inputs.head(6), outcome=training_table.outcome[:6])
    elsewhere = replace(config, tracking=replace(config.tracking, store=str(tmp_path / "mlruns")))
    with pytest.raises(TrainingError, match="at least 9 participants, got 6"):
        run_on_table(few, elsewhere, n_jobs=1)
    assert not list(tmp_path.iterdir())

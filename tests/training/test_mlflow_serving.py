"""`mlflow models serve` and `mlflow.pyfunc.load_model` give the numbers of the bundle."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from predictor.model.bundle import ModelBundle
from predictor.model.mlflow_loader import EXAMPLE_IS, BundleModel, input_example
from predictor.model.site_correction import UnseenSitePolicy
from predictor.pipeline import score_features
from training.config import ExperimentConfig, HarmonizationConfig
from training.experiment import ExperimentResult
from training.final_model import build_bundle
from training.judged_models import make_estimators
from training.log_book.tracking import Store, open_store, start_run
from training.models.site_harmonization import make_harmonization
from training.shelf.registry import register_bundle
from training.training_table import TrainingTable

MODEL = "models:/small-model@candidate"


def test_mlflow_loads_the_candidate_and_it_answers_as_the_bundle_does(
    result: ExperimentResult, store_folder: Path, training_table: TrainingTable
) -> None:
    assert result.bundle is not None
    open_store(store_folder)
    people = training_table.model_inputs.drop(columns="arm")
    loaded = mlflow.pyfunc.load_model(MODEL)
    assert np.array_equal(loaded.predict(people), BundleModel(result.bundle).predict(people))
    assert loaded.metadata.metadata["input_example"] == EXAMPLE_IS
    assert list(loaded.metadata.signature.outputs.input_names()) == ["ketamine", "midazolam"]


def test_mlflow_serves_the_candidate_and_it_answers_as_the_bundle_does(
    result: ExperimentResult, store_folder: Path, training_table: TrainingTable, answering: Any
) -> None:
    assert result.bundle is not None
    people = training_table.model_inputs.drop(columns="arm").head(3)
    asked = people.astype(object).where(people.notna(), None)
    asked.iloc[0, 0] = None  # a missing value
    asked.iloc[1, asked.columns.get_loc("site")] = None
    expected = BundleModel(result.bundle).predict(asked)
    typical = input_example(result.bundle)
    command = ["models", "serve", "--env-manager", "local", "--model-uri", MODEL]
    with answering(command, "/ping", {"MLFLOW_TRACKING_URI": open_store(store_folder).uri}) as address:
        answered = post(address, {"dataframe_split": asked.to_dict(orient="split", index=False)})
        of_example = post(address, {"dataframe_split": typical.to_dict(orient="split", index=False)})
    assert answered["predictions"] == expected.to_dict(orient="records")
    assert of_example["predictions"] == BundleModel(result.bundle).predict(typical).to_dict(orient="records")


@pytest.mark.parametrize("unseen_site", ["flag", "refuse"])
def test_mlflow_answers_for_a_harmonised_model_as_the_service_does(
    training_table: TrainingTable, config: ExperimentConfig, shelf: Store, unseen_site: UnseenSitePolicy
) -> None:
    step = make_harmonization(
        HarmonizationConfig(unseen_site=unseen_site),
        training_table.inputs,
        covariates=training_table.covariates,
        definitions=training_table.definitions,
    )
    table = replace(training_table, harmonization=step)
    bundle = build_bundle(make_estimators(table, config)["elastic_net"], table, config, card={})
    bundle = replace(bundle, name=f"harmonised-{unseen_site}")
    assert bundle.harmonization is not None
    with start_run(shelf, "harmonised", name=unseen_site) as run:
        stored = register_bundle(bundle, {}, store=shelf, run=run, tags={})
    people = table.model_inputs.drop(columns="arm").head(4)
    people.iloc[1, people.columns.get_loc("site")] = "elsewhere"
    answered = mlflow.pyfunc.load_model(f"models:/{stored.name}/{stored.version}").predict(people)
    served = [_served(row, bundle) for _, row in people.iterrows()]
    assert len({one is None for one in served}) == (2 if unseen_site == "refuse" else 1)
    for found, expected in zip(answered.to_dict(orient="records"), served, strict=True):
        if expected is None:
            assert np.isnan(list(found.values())).all()
        else:
            assert found == pytest.approx(expected, abs=1e-9)


def _served(row: pd.Series, bundle: ModelBundle) -> dict[str, float] | None:
    """Return the expected outcome by arm that the service gives, None where it refuses."""
    features = {name: float(row[name]) for name in bundle.feature_names}
    known = {one.name: row[one.name] for one in bundle.covariates if one.role != "arm"}
    document = score_features(features, known, bundle, recipe_hash=None, input_digest=None)
    return {arm: one["expected"] for arm, one in document["arms"].items()} if "arms" in document else None


def post(address: str, document: dict[str, object]) -> dict[str, object]:
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return dict(json.load(reply))


def test_the_example_is_the_training_mean_and_the_most_frequent_level_and_nobodys_row(
    result: ExperimentResult, training_table: TrainingTable
) -> None:
    assert result.bundle is not None
    (row,) = input_example(result.bundle).to_dict(orient="records")
    inputs = training_table.model_inputs
    assert row["site"] == inputs["site"].mode()[0]
    numbers = [name for name in row if name != "site"]
    assert [row[name] for name in numbers] == pytest.approx(inputs[numbers].mean().tolist())
    assert "arm" not in row
    assert not (inputs[numbers].to_numpy(dtype=float) == np.array([row[name] for name in numbers], dtype=float)).any()

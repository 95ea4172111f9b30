from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from predictor.errors import BundleIncompatibleError, ModelBundleError
from predictor.model.bundle import ModelBundle, load_bundle, save_bundle
from training.config import ExperimentConfig
from training.evaluation.baselines import make_baselines
from training.experiment import make_estimators
from training.final_model import build_bundle
from training.locked.locked_reference import reference_of
from training.training_table import TrainingTable


def test_baselines_that_are_kept_predict_as_those_that_were_fitted(
    complete_bundle: ModelBundle, training_table: TrainingTable
) -> None:
    fitted = make_baselines(
        training_table.inputs,
        covariates=(*training_table.covariates, *training_table.demographic),
        motion_columns=training_table.motion_columns,
    )
    kept = {baseline.name: baseline for baseline in reference_of(complete_bundle).baselines}
    assert set(kept) == {baseline.name for baseline in fitted} - {"constant"}
    people = training_table.inputs
    for baseline in fitted[1:]:
        columns = list(baseline.columns)
        expected = clone(baseline.estimator).fit(people[columns], training_table.outcome).predict(people[columns])
        assert kept[baseline.name].predict(people) == pytest.approx(expected, abs=1e-9)


def test_training_people_are_described_and_recognised(
    complete_bundle: ModelBundle, training_table: TrainingTable
) -> None:
    reference = reference_of(complete_bundle)
    assert reference.n_people == len(training_table.outcome)
    assert reference.outcome_mean == pytest.approx(training_table.outcome.mean())
    values = training_table.inputs[list(complete_bundle.feature_names)].to_numpy()
    assert reference.fingerprints.n_shared(values) == (len(values), 0)
    name = complete_bundle.feature_names[0]
    assert reference.quantiles[name][10] == pytest.approx(np.median(values[:, 0]), rel=1e-5)


def test_quantiles_are_kept_of_the_inputs_that_trees_ask_for(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    config = replace(config, model=replace(config.model, primary="hist_gradient_boosting"))
    estimator = make_estimators(training_table, config)["hist_gradient_boosting"]
    bundle = build_bundle(estimator, training_table, config, card={})
    used = {name for name, flag in zip(bundle.model.input_names, bundle.model.influence > 0, strict=True) if flag}
    assert set(reference_of(bundle).quantiles) == used
    assert bundle.definitions[0].name in used


def test_it_travels_with_the_bundle_and_changes_its_digest(complete_bundle: ModelBundle, tmp_path: Path) -> None:
    digest = save_bundle(complete_bundle, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    assert loaded.locked_test == complete_bundle.locked_test
    assert save_bundle(replace(complete_bundle, locked_test=None), tmp_path / "other") != digest


def test_no_participant_stands_in_it(complete_bundle: ModelBundle, training_table: TrainingTable) -> None:
    text = json.dumps(complete_bundle.locked_test)
    assert not any(str(name) in text for name in training_table.inputs.index)
    assert not any(f"{outcome:.6f}" in text for outcome in training_table.outcome)


def test_an_older_bundle_is_refused_with_what_to_do(complete_bundle: ModelBundle) -> None:
    with pytest.raises(BundleIncompatibleError, match="another version") as caught:
        reference_of(replace(complete_bundle, locked_test=None))
    assert "Train the model again" in caught.value.remedy


def test_damage_is_named(complete_bundle: ModelBundle) -> None:
    broken = {**(complete_bundle.locked_test or {}), "baselines": [{"name": "arm only"}]}
    with pytest.raises(ModelBundleError, match="damaged"):
        reference_of(replace(complete_bundle, locked_test=broken))

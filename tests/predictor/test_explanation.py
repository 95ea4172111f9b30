from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline

from predictor.errors import ExplanationError
from predictor.model.bundle import ModelBundle
from predictor.model.explanation import explain, explain_or_withhold
from predictor.model.person_inputs import PersonInputs, person_inputs
from predictor.model.response_design import ResponseDesign


@pytest.fixture(scope="module")
def dense(make_bundle: Any, least_squares: Any) -> ModelBundle:
    return make_bundle(make_regressor=least_squares)


def person_of(cohort: Any, bundle: ModelBundle, number: int) -> PersonInputs:
    row = cohort.table.iloc[number]
    features = {name: None if pd.isna(row[name]) else float(row[name]) for name in cohort.feature_names}
    return person_inputs(features, {c.name: row[c.name] for c in cohort.covariates}, bundle)


def test_contributions_are_those_of_shap_with_all_training_people_as_background(
    cohort: Any, dense: ModelBundle
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap's own
        import shap
    design = ResponseDesign(covariates=cohort.covariates, features=cohort.feature_names)
    pipeline = Pipeline([("design", design), ("model", LinearRegression())]).fit(cohort.table, cohort.outcome)
    background = design.transform(cohort.table.assign(arm="ketamine"))
    masker = shap.maskers.Independent(background, max_samples=len(background))
    reference = shap.LinearExplainer(pipeline.named_steps["model"], masker)
    columns = list(design.get_feature_names_out())
    for number in range(10):
        row = design.transform(cohort.table.iloc[[number]].assign(arm="ketamine"))
        values = dict(zip(columns, reference.shap_values(row)[0], strict=True))
        explanation = explain(dense, person_of(cohort, dense, number), arm="ketamine")
        assert explanation.base_value == pytest.approx(reference.expected_value, abs=1e-9)
        found = {c.feature: c.contribution for c in explanation.contributions}
        for name in cohort.feature_names:
            together = values[name] + values[f"{name} x arm=ketamine"]
            assert found.get(name, 0.0) == pytest.approx(together, abs=1e-9)
        assert found["caps5_total_baseline"] == pytest.approx(values["caps5_total_baseline"], abs=1e-9)
        assert found["site"] == pytest.approx(sum(values[f"site={level}"] for level in "ABC"), abs=1e-9)


@pytest.mark.parametrize("arm", ["ketamine", "midazolam"])
def test_base_value_and_contributions_add_up_to_the_prediction(cohort: Any, dense: ModelBundle, arm: str) -> None:
    for number in range(20):
        person = person_of(cohort, dense, number)
        explanation = explain(dense, person, arm=arm)
        total = explanation.base_value + sum(c.contribution for c in explanation.contributions)
        output = dense.model.predict(person.values[np.newaxis])[0, dense.arms.index(arm)]
        assert explanation.output == output
        assert total == pytest.approx(output, abs=1e-9)
        assert sum(explanation.by_kind.values()) == pytest.approx(output - explanation.base_value, abs=1e-9)
        assert sum(explanation.by_circuit.values()) == pytest.approx(output - explanation.base_value, abs=1e-9)


def test_the_base_value_is_the_mean_prediction_over_the_training_people(cohort: Any, dense: ModelBundle) -> None:
    inputs = np.array([person_of(cohort, dense, number).values for number in range(len(cohort.table))])
    expected = dense.model.predict(inputs).mean(axis=0)
    for number, arm in enumerate(dense.arms):
        base_value = explain(dense, person_of(cohort, dense, 0), arm=arm).base_value
        assert base_value == pytest.approx(expected[number], abs=1e-9)


def test_contributions_are_sorted_and_zeros_left_out(cohort: Any, bundle: ModelBundle) -> None:
    explanation = explain(bundle, person_of(cohort, bundle, 3), arm="ketamine")
    sizes = [abs(c.contribution) for c in explanation.contributions]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) > 0
    assert len(sizes) < len(bundle.definitions) + 2


def test_an_imputed_input_has_no_value_but_may_contribute(dense: ModelBundle) -> None:
    person = person_inputs(dict.fromkeys(dense.feature_names[1:], 0.5), {"site": "B"}, dense)
    found = {c.feature: c for c in explain(dense, person, arm="ketamine").contributions}
    assert found[dense.feature_names[0]].value is None
    assert found[dense.feature_names[1]].value == 0.5
    assert found["caps5_total_baseline"].value is None
    assert (found["site"].value, found["site"].kind, found["site"].circuit) == ("B", "clinical", "clinical")


def test_fold_sign_agreement_is_counted_over_the_fold_models(dense: ModelBundle) -> None:
    person = person_inputs(dict.fromkeys(dense.feature_names, 0.7), {}, dense)
    found = {c.feature: c for c in explain(dense, person, arm="ketamine").contributions}
    for number, name in enumerate(dense.feature_names):
        signs = np.sign(dense.fold_models.weights_of(0)[:, number])
        assert found[name].fold_sign_agreement == np.mean(signs == np.sign(dense.model.weights[0, number]))


def test_contributions_that_do_not_add_up_are_withheld_and_logged(
    dense: ModelBundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    person = person_inputs(dict.fromkeys(dense.feature_names, 0.7), {}, dense)
    wrong = replace(dense.training_range, background_mean=dense.training_range.background_mean + 1.0)
    explain(replace(dense, training_range=wrong), person, arm="ketamine")  # another reference still adds up
    monkeypatch.setattr(type(dense.model), "weights", property(lambda self: self.coefficients))
    with pytest.raises(ExplanationError, match="miss the output by"):
        explain(dense, person, arm="ketamine")
    with caplog.at_level(logging.ERROR):
        assert explain_or_withhold(dense, person, arm="ketamine") is None
    assert "explanation-not-additive" in caplog.text

from __future__ import annotations

import itertools
import logging
import math
import warnings
from collections.abc import Sequence
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
        assert sum(explanation.contributions.by_kind.values()) == pytest.approx(
            output - explanation.base_value, abs=1e-9
        )
        assert sum(explanation.contributions.by_circuit.values()) == pytest.approx(
            output - explanation.base_value, abs=1e-9
        )


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


def judged_person(deviation_bundle: ModelBundle, values: list[float | None], **known: Any) -> PersonInputs:
    features = dict(zip(deviation_bundle.feature_names, values, strict=True))
    return person_inputs(features, {"age": 52.0, "sex": "M", "caps5_total_baseline": 50.0, **known}, deviation_bundle)


def exact_shapley_values(
    bundle: ModelBundle, person: PersonInputs, background: Sequence[PersonInputs]
) -> tuple[float, list[float]]:
    """Value of the empty coalition and Shapley values of the features, by enumeration of all coalitions.

    A feature brings its value and, where the reference judges it, its own deviation with it.
    """
    n_features = len(bundle.definitions)
    learned = bundle.deviations
    assert learned is not None

    def output(coalition: tuple[int, ...]) -> float:
        total = 0.0
        for other in background:
            assert other.deviations is not None
            assert person.deviations is not None
            values, z = other.values.copy(), other.deviations.z.copy()
            values[list(coalition)] = person.values[list(coalition)]
            judged = [place for place, number in enumerate(bundle.source_numbers) if number in coalition]
            z[judged] = person.deviations.z[judged]
            values[n_features : bundle.n_features] = learned.features(z[np.newaxis])[0]
            values[bundle.n_features :] = person.values[bundle.n_features :]
            total += float(bundle.model.predict(values[np.newaxis])[0, 0])
        return total / len(background)

    found = []
    for player in range(n_features):
        others = [number for number in range(n_features) if number != player]
        value = 0.0
        for size in range(n_features):
            weight = 1 / (n_features * math.comb(n_features - 1, size))
            for coalition in itertools.combinations(others, size):
                value += weight * (output((*coalition, player)) - output(coalition))
        found.append(value)
    return output(()), found


@pytest.mark.parametrize("values", [[1.4, -2.2, 0.3, 1.9, 0.2], [None, -2.2, 1.8, None, 0.2]])
def test_contributions_through_counts_and_deviations_are_the_exact_shapley_values_of_the_connections(
    deviating: Any, deviation_bundle: ModelBundle, values: list[float | None]
) -> None:
    background = [person_of(deviating[0], deviation_bundle, number) for number in range(len(deviating[0].table))]
    person = judged_person(deviation_bundle, values)
    explanation = explain(deviation_bundle, person, arm="ketamine")
    found = {c.feature: c.contribution for c in explanation.contributions}
    _, expected = exact_shapley_values(deviation_bundle, person, background)
    assert [found.get(name, 0.0) for name in deviation_bundle.feature_names] == pytest.approx(expected, abs=1e-9)
    counted = person.values[deviation_bundle.model.input_names.index("hyperconnected_edges")]
    assert counted >= 1  # indicators of several connections are in play
    assert deviation_bundle.model.weights[0, deviation_bundle.model.input_names.index("hyperconnected_edges")] > 1


@pytest.mark.parametrize("arm", ["ketamine", "midazolam"])
def test_contributions_of_what_a_person_brings_add_up_with_deviations_too(
    deviating: Any, deviation_bundle: ModelBundle, arm: str
) -> None:
    brought = {*deviation_bundle.feature_names, *(covariate.name for covariate in deviation_bundle.covariates)}
    for number in range(25):
        person = person_of(deviating[0], deviation_bundle, number)
        explanation = explain(deviation_bundle, person, arm=arm)
        total = explanation.base_value + sum(c.contribution for c in explanation.contributions)
        assert total == pytest.approx(explanation.output, abs=1e-9)
        assert {c.feature for c in explanation.contributions} <= brought
        assert not {"age", "sex"} & {c.feature for c in explanation.contributions}


def test_a_connection_that_acts_through_its_deviation_only_says_how_far_it_deviates(
    deviation_bundle: ModelBundle,
) -> None:
    fourth = deviation_bundle.feature_names[3]
    assert deviation_bundle.model.weights[:, 3] == pytest.approx(0.0)
    person = judged_person(deviation_bundle, [0.1, 0.2, 0.3, 1.9, 0.2])
    found = {c.feature: c for c in explain(deviation_bundle, person, arm="ketamine").contributions}
    assert person.deviations is not None
    assert found[fourth].deviation == person.deviations.z[3]
    assert found[fourth].value == 1.9
    assert 0 < found[fourth].fold_sign_agreement <= 1
    assert found[deviation_bundle.feature_names[4]].deviation is None


def test_equal_contributions_stand_by_name_and_fold_models_that_are_not_asked_agree_with_nobody(
    make_bundle: Any, make_cohort: Any, least_squares: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = make_bundle(make_cohort(n_features=12, covariates=(), missing_share=0.0), make_regressor=least_squares)
    even = replace(wide.model, coefficients=np.ones((1, 12)), scale=np.ones(12))
    level = replace(wide.training_range, background_mean=np.zeros(12))
    same = replace(wide, model=even, training_range=level)
    monkeypatch.setattr(type(same.fold_models), "contributions", lambda *_, **__: None)
    explanation = explain(same, person_inputs(dict.fromkeys(same.feature_names, 0.5), {}, same), arm="all")
    names = [contribution.feature for contribution in explanation.contributions]
    assert names == sorted(same.feature_names)
    assert {contribution.fold_sign_agreement for contribution in explanation.contributions} == {None}

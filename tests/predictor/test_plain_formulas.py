"""The fast way from features to an answer, against every formula written out for one person after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from predictor.model.answer import answer_bytes
from predictor.model.bundle import ModelBundle
from predictor.model.linear_model import LinearEnsemble
from predictor.pipeline import score_features

ARMS = ("ketamine", "midazolam")
LEVEL = 0.9


def people(bundle: ModelBundle, *, n_people: int = 25) -> list[tuple[dict[str, float | None], dict[str, Any]]]:
    """Features and covariates of people with gaps, strangers among them."""
    rng = np.random.default_rng(11)
    found = []
    for number in range(n_people):
        values: list[float | None] = list(
            np.clip(rng.normal(0, 6 if number % 5 == 4 else 1, len(bundle.feature_names)), -5, 5)
        )
        if number % 2:
            values[int(rng.integers(len(values)))] = None
        known: dict[str, Any] = {"caps5_total_baseline": float(rng.normal(42, 8)), "site": str(rng.choice([*"ABZ"]))}
        asked = known if number % 3 else {}
        found.append((dict(zip(bundle.feature_names, values, strict=True)), asked))
    return found


def raw_inputs(bundle: ModelBundle, features: dict[str, float | None], covariates: dict[str, Any]) -> list[float]:
    values = [math.nan if features[name] is None else float(features[name] or 0.0) for name in bundle.feature_names]
    site = covariates.get("site")
    sites = [math.nan if site not in ("A", "B", "C") else float(site == level) for level in "ABC"]
    return [*values, covariates.get("caps5_total_baseline", math.nan), *sites]


def ensemble_predictions(ensemble: LinearEnsemble, inputs: list[float], arm: int) -> list[float]:
    """Intercept plus weight times distance from the centre, entry after entry."""
    found = []
    for model in range(ensemble.n_models):
        total = float(ensemble.intercept[arm, model])
        for entry in range(int(ensemble.model_start[model]), int(ensemble.model_start[model + 1])):
            value = inputs[ensemble.input_index[entry]]
            value = float(ensemble.impute_values[entry]) if math.isnan(value) else value
            total += float(ensemble.weights[arm, entry]) * (value - float(ensemble.centre[entry]))
        found.append(total)
    return found


def variance(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / len(values)


@pytest.fixture(scope="module")
def dense(make_bundle: Any, least_squares: Any) -> ModelBundle:
    return make_bundle(make_regressor=least_squares)


def test_expectations_intervals_probabilities_and_benefit_are_the_plain_formulas(dense: ModelBundle) -> None:
    residuals, model = dense.out_of_fold, dense.model
    for features, covariates in people(dense):
        inputs = raw_inputs(dense, features, covariates)
        answer = score_features(features, covariates, dense, recipe_hash=None, input_digest=None)
        by_resample = [ensemble_predictions(dense.bootstrap_models, inputs, arm) for arm in range(2)]
        for arm, name in enumerate(ARMS):
            expected = float(model.intercept[arm]) + math.fsum(
                float(model.coefficients[arm, j])
                * ((float(model.impute_values[j]) if math.isnan(x) else x) - float(model.centre[j]))
                / float(model.scale[j])
                for j, x in enumerate(inputs)
            )
            by_fold = ensemble_predictions(dense.fold_models, inputs, arm)
            own = [i for i in range(len(residuals.residual)) if residuals.arm_index[i] == arm]
            assert len(own) >= 19
            centres = [by_fold[residuals.fold_index[i]] for i in range(len(residuals.residual))]
            rank = math.ceil(LEVEL * (len(own) + 1) - 1e-9)
            upper = sorted(centres[i] + abs(float(residuals.residual[i])) for i in own)[rank - 1]
            lower = sorted((centres[i] - abs(float(residuals.residual[i])) for i in own), reverse=True)[rank - 1]
            plausible = [centre + float(r) for centre, r in zip(centres, residuals.residual, strict=True)]
            found = answer["arms"][name]
            assert found["expected"] == pytest.approx(expected, rel=1e-12)
            assert (found["interval"]["lower"], found["interval"]["upper"]) == pytest.approx((lower, upper), rel=1e-12)
            assert found["response_probability"] == sum(value >= 30.0 for value in plausible) / len(plausible)
            if arm == 0:
                share = variance(by_resample[0]) / variance([plausible[i] for i in own])
                sources = {one["source"]: one["share"] for one in answer["uncertainty_sources"]}
                assert sources["model"] == pytest.approx(min(share, 1.0), rel=1e-11)
        differences = [one - other for one, other in zip(*by_resample, strict=True)]
        ends = np.quantile(differences, [(1 - LEVEL) / 2, 1 - (1 - LEVEL) / 2])
        interval = answer["benefit"]["interval"]
        assert (interval["lower"], interval["upper"]) == pytest.approx(tuple(ends), rel=1e-11, abs=1e-11)
        assert answer_bytes(answer)


def test_contributions_and_their_agreement_are_the_plain_formulas(dense: ModelBundle) -> None:
    model, mean = dense.model, dense.training_range.background_mean
    names = [*dense.feature_names, "caps5_total_baseline", "site", "site", "site"]
    for features, covariates in people(dense):
        inputs = raw_inputs(dense, features, covariates)
        filled = [float(model.impute_values[j]) if math.isnan(x) else x for j, x in enumerate(inputs)]
        own, in_folds = (
            dict.fromkeys(names, 0.0),
            [dict.fromkeys(names, 0.0) for _ in range(dense.fold_models.n_models)],
        )
        folds = dense.fold_models
        for j, name in enumerate(names):
            own[name] += float(model.coefficients[0, j]) / float(model.scale[j]) * (filled[j] - float(mean[j]))
        for number, of_fold in enumerate(in_folds):
            for entry in range(int(folds.model_start[number]), int(folds.model_start[number + 1])):
                j = int(folds.input_index[entry])
                of_fold[names[j]] += float(folds.weights[0, entry]) * (filled[j] - float(mean[j]))
        explanation = score_features(features, covariates, dense, recipe_hash=None, input_digest=None)["explanation"]
        found = {one["feature"]: one for one in explanation["contributions"]}
        assert explanation["additivity_error"] < 1e-9
        for name, contribution in own.items():
            if abs(contribution) < 1e-9:
                continue
            assert found[name]["contribution"] == pytest.approx(contribution, rel=1e-11, abs=1e-12)
            agreeing = sum(of_fold[name] * contribution > 0 for of_fold in in_folds)
            assert found[name]["fold_sign_agreement"] == pytest.approx(agreeing / len(in_folds), abs=1e-15)

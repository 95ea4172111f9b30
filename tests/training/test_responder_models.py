from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from predictor.errors import ConfigError, OutcomeConstantError, TrainingError
from predictor.model.outcome_definition import OutcomeDefinition
from training.evaluation.nested_cv import cross_validate
from training.evaluation.splits import stratified_folds
from training.models.model_names import CLASSIFIERS
from training.models.responder_models import (
    PenalisedLogistic,
    TunedClassifier,
    calibration_curve,
    classifier_model,
    model_outcome,
)

RULED = OutcomeDefinition("improvement", "percent", "higher", 30.0, "at least 30 percent")


def classifier(name: str) -> TunedClassifier:
    model, settings = classifier_model(name)
    return TunedClassifier(StandardScaler(), model, settings=settings)


def responders(rng: np.random.Generator, *, n: int, effect: float) -> tuple[pd.DataFrame, np.ndarray]:
    X = pd.DataFrame(rng.standard_normal((n, 6))).rename(columns=str)
    return X, (rng.random(n) < expit(effect * X["0"] - 0.5)).astype(float)


def test_the_logistic_elastic_net_is_scikit_learns(rng: np.random.Generator) -> None:
    X, y = responders(rng, n=80, effect=2.0)
    ours = PenalisedLogistic(strength=0.2, l1_ratio=0.5).fit(X, y)
    null = np.abs(X.to_numpy().T @ (y - y.mean())).max() / len(y)
    penalty = 0.2 * null / 0.5
    theirs = LogisticRegression(l1_ratio=0.5, C=1 / (penalty * len(y)), solver="saga", max_iter=20_000, tol=1e-8)
    assert ours.coef_ == pytest.approx(theirs.fit(X, y).coef_[0], abs=1e-3)
    assert ours.intercept_ == pytest.approx(theirs.intercept_[0], abs=1e-3)


def test_covariates_are_not_shrunk_and_features_vanish_at_the_largest_penalty(rng: np.random.Generator) -> None:
    X, y = responders(rng, n=120, effect=1.0)
    ours = PenalisedLogistic(strength=1.0, l1_ratio=0.5, unpenalised=(0,)).fit(X, y)
    alone = LogisticRegression(C=np.inf).fit(X[["0"]], y)
    assert not ours.coef_[1:].any()
    assert ours.coef_[0] == pytest.approx(alone.coef_[0, 0], rel=0.02)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_held_out_probabilities_are_calibrated(rng: np.random.Generator, name: str) -> None:
    X, y = responders(rng, n=240, effect=2.0)
    folds = stratified_folds(y, None, n_folds=5, rng=rng)
    p = cross_validate(classifier(name), X, y, folds[np.newaxis]).prediction[0]
    assert ((p > 0) & (p < 1)).all()
    slope = LogisticRegression(C=np.inf).fit(np.log(p / (1 - p))[:, np.newaxis], y).coef_[0, 0]
    assert 0.6 < slope < 1.5
    assert p.mean() == pytest.approx(y.mean(), abs=0.05)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_on_noise_probabilities_stay_near_the_rate_of_response(name: str) -> None:
    rng = np.random.default_rng(11)
    X, y = responders(rng, n=60, effect=0.0)
    folds = stratified_folds(y, None, n_folds=5, rng=rng)
    p = cross_validate(classifier(name), X, y, folds[np.newaxis]).prediction[0]
    assert ((p - y) ** 2).mean() < 1.15 * y.var()


def test_a_curve_against_the_labels_is_flat_rather_than_turned_round() -> None:
    labels = np.repeat([0.0, 1.0], [30, 10])
    slope, offset = calibration_curve(-labels + np.linspace(0, 0.1, 40), labels)
    assert slope == 0
    assert expit(offset) == pytest.approx(0.25)


def test_separated_people_get_no_certainty() -> None:
    labels = np.repeat([0.0, 1.0], 10)
    slope, offset = calibration_curve(labels * 2 - 1, labels)
    assert 0.85 < expit(slope + offset) < 0.95  # 11 of 12, as Platt softens ten responders


def test_one_class_only_and_other_values_are_named(rng: np.random.Generator) -> None:
    X, y = responders(rng, n=20, effect=0.0)
    with pytest.raises(OutcomeConstantError, match="nobody responded"):
        classifier("svm_linear").fit(X, np.zeros(20))
    with pytest.raises(TrainingError, match="1 for a response"):
        classifier("svm_linear").fit(X, y + 0.5)


def test_classifiers_are_fitted_to_responses_and_need_a_rule() -> None:
    outcome = np.array([10.0, 30.0, 50.0])
    assert list(model_outcome("svm_linear", RULED, outcome)) == [0, 1, 1]
    assert list(model_outcome("elastic_net", RULED, outcome)) == [10, 30, 50]
    with pytest.raises(ConfigError, match="has no rule"):
        model_outcome("svm_linear", OutcomeDefinition("change", "points", "higher"), outcome)

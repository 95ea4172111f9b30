"""Small synthetic cohorts and bundles for the tests of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Lasso, LinearRegression
from sklearn.pipeline import Pipeline

from predictor.features.feature_vector import FeatureDefinition
from predictor.model.bundle import ModelBundle
from predictor.model.linear_model import LinearEnsemble
from predictor.model.out_of_fold import OutOfFoldResiduals
from predictor.model.outcome_definition import Covariate, OutcomeDefinition
from predictor.model.response_design import ResponseDesign, linear_model_of
from predictor.model.training_range import describe_training

ARM = Covariate("arm", "category", ("ketamine", "midazolam"), role="arm")
SEVERITY = Covariate("caps5_total_baseline", "number", role="clinical", unit="points")
SITE = Covariate("site", "category", ("A", "B", "C"), role="site")
IMPROVEMENT = OutcomeDefinition("caps5_percent_improvement", "percent", "higher", 30.0, "at least 30 percent")
N_FOLDS, N_BOOTSTRAP = 5, 20
TRAINED_BY = "sha256:" + "1" * 64
REGIONS = ("amygdala_L", "amygdala_R", "dACC", "amPFC", "dmPFC")


def _definition(number: int) -> FeatureDefinition:
    region = REGIONS[number % len(REGIONS)]
    name = f"rest_fisher_z__{region}__vmPFC{number // len(REGIONS) or ''}"
    circuit = f"{region.split('_')[0]}-vmPFC"
    return FeatureDefinition(
        name, "fisher_z", "rest_fisher_z", "rest", circuit, f"resting connectivity between {region} and vmPFC"
    )


@dataclass(frozen=True, eq=False)
class Cohort:
    """Features and covariates of a cohort, and its outcome: the first feature matters, in the first arm only."""

    table: pd.DataFrame
    outcome: np.ndarray[Any, np.dtype[np.float64]]
    definitions: tuple[FeatureDefinition, ...]
    covariates: tuple[Covariate, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(definition.name for definition in self.definitions)


def _make_cohort(
    *,
    n_people: int = 80,
    n_features: int = 5,
    covariates: tuple[Covariate, ...] = (ARM, SEVERITY, SITE),
    effect: float = 8.0,
    noise: float = 12.0,
    missing_share: float = 0.05,
    seed: int = 0,
) -> Cohort:
    rng = np.random.default_rng(seed)
    definitions = tuple(_definition(number) for number in range(n_features))
    features = rng.standard_normal((n_people, n_features))
    is_ketamine = rng.permutation(n_people) % 2 == 0
    severity = rng.normal(42, 8, n_people)
    outcome = 20 + 15 * is_ketamine + effect * features[:, 0] * is_ketamine + 0.3 * (severity - 42)
    outcome = outcome + rng.normal(0, noise, n_people)
    features[rng.random(features.shape) < missing_share] = np.nan
    table = pd.DataFrame(features, columns=[definition.name for definition in definitions])
    known = {"arm": np.where(is_ketamine, "ketamine", "midazolam"), "caps5_total_baseline": severity}
    known["site"] = rng.choice(["A", "B", "C"], n_people)
    for covariate in covariates:
        table[covariate.name] = known[covariate.name]
    return Cohort(table, outcome, definitions, covariates)


def _fit(cohort: Cohort, rows: Any, regressor: Any, *, arm_interactions: bool = True) -> Pipeline:
    design = ResponseDesign(
        covariates=cohort.covariates, features=cohort.feature_names, arm_interactions=arm_interactions
    )
    pipeline = Pipeline([("design", design), ("model", regressor)])
    return pipeline.fit(cohort.table.iloc[rows], cohort.outcome[rows])


def _make_bundle(
    cohort: Cohort | None = None,
    *,
    make_regressor: Callable[[], Any] = lambda: Lasso(alpha=1.0),
    **changed: Any,
) -> ModelBundle:
    cohort = cohort or _make_cohort()
    n_people = len(cohort.outcome)
    rng = np.random.default_rng(1)
    everyone = np.arange(n_people)
    pipeline = _fit(cohort, everyone, make_regressor())
    fold_index = rng.permutation(n_people) % N_FOLDS
    folds = [_fit(cohort, everyone[fold_index != fold], make_regressor()) for fold in range(N_FOLDS)]
    resamples = [_fit(cohort, rng.integers(0, n_people, n_people), make_regressor()) for _ in range(N_BOOTSTRAP)]
    predicted = np.empty(n_people)
    for fold, fitted in enumerate(folds):
        predicted[fold_index == fold] = fitted.predict(cohort.table.iloc[everyone[fold_index == fold]])
    design, model = pipeline.named_steps["design"], linear_model_of(pipeline)
    arms = cohort.table["arm"] if "arm" in cohort.table else pd.Series(["all"] * n_people)
    fields: dict[str, Any] = {
        "name": "synthetic",
        "outcome": IMPROVEMENT,
        "definitions": cohort.definitions,
        "covariates": cohort.covariates,
        "recipe": None,
        "recipe_hashes": (TRAINED_BY,),
        "model": model,
        "fold_models": LinearEnsemble.of([linear_model_of(fitted) for fitted in folds]),
        "out_of_fold": OutOfFoldResiduals(
            fold_index=fold_index.astype(np.int64),
            arm_index=np.array([model.arms.index(arm) for arm in arms], dtype=np.int64),
            prediction=predicted,
            residual=cohort.outcome - predicted,
        ),
        "bootstrap_models": LinearEnsemble.of([linear_model_of(fitted) for fitted in resamples]),
        "training_range": describe_training(
            design.raw_inputs(cohort.table),
            n_features=len(cohort.definitions),
            background_mean=design.centre_,
            motion_mm={"rest": rng.uniform(0.05, 0.35, n_people)},
        ),
        "trained_on": n_people,
        "card": {"intended_use": "tests", "r2": 0.1},
        "versions": {"numpy": np.__version__},
    }
    return ModelBundle(**(fields | changed))


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Cohort]:
    """Return a function that draws a cohort; arguments change its size, covariates or effect."""
    return _make_cohort


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., ModelBundle]:
    """Return a function that trains a bundle on a cohort; arguments replace fields of the bundle."""
    return _make_bundle


@pytest.fixture(scope="session")
def cohort() -> Cohort:
    return _make_cohort()


@pytest.fixture(scope="session")
def bundle(cohort: Cohort) -> ModelBundle:
    """Return a lasso with two arms, a site and a clinical covariate."""
    return _make_bundle(cohort)


@pytest.fixture(scope="session")
def least_squares() -> Callable[[], Any]:
    """Return a regressor that uses every feature."""
    return LinearRegression


@pytest.fixture
def person(cohort: Cohort) -> dict[str, Any]:
    """Return arguments of score_features for someone who resembles the cohort."""
    features = {name: 0.1 * number for number, name in enumerate(cohort.feature_names)}
    covariates = {"caps5_total_baseline": 44.0, "site": "A"}
    return {"features": features, "covariates": covariates, "recipe_hash": TRAINED_BY, "input_digest": None}

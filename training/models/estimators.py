"""Models by name; every one is a scikit-learn regressor that tunes itself inside the fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from predictor.errors import ConfigError
from predictor.model.deviation import ReferenceDeviation
from predictor.model.harmonization import SiteHarmonization
from predictor.model.outcome_definition import Covariate
from predictor.model.response_design import ResponseDesign, covariate_column_names
from training.config import ModelConfig, ValidationConfig
from training.models.candidate_models import AddedToCovariates, candidate_model
from training.models.candidates import TunedRegressor
from training.models.model_names import CLASSIFIERS, LINEAR_MODELS, MODELS
from training.models.responder_models import TunedClassifier, classifier_model, model_outcome
from training.models.tuned_elastic_net import TunedElasticNet

__all__ = ["Estimator", "TunedClassifier", "TunedElasticNet", "TunedRegressor", "make_estimator", "model_outcome"]

Estimator = TunedElasticNet | TunedRegressor | TunedClassifier

# A ridge path starts far above any useful penalty and must reach far down.
RIDGE_N_ALPHAS = 30
RIDGE_SMALLEST_FRACTION = 1e-5


def make_estimator(
    name: str,
    *,
    covariates: Sequence[Covariate],
    arm_interactions: bool,
    model: ModelConfig,
    validation: ValidationConfig,
    features: Sequence[str] | None = None,
    unweighted: Sequence[str] = (),
    harmonization: SiteHarmonization | None = None,
    deviation: ReferenceDeviation | None = None,
    minimum_reliability: float = 0.0,
) -> Estimator:
    """Unfitted model by the name that experiment files use.

    Parameters
    ----------
    name
        One of `training.models.model_names.MODELS`. Classifiers are fitted to `model_outcome`.
    covariates, arm_interactions, unweighted, minimum_reliability
        See `ResponseDesign`.
    model, validation
        Sections of the experiment.
    features
        Columns that are features, learned ones among them; None takes every column that is no covariate.
    harmonization
        Step that takes site effects out of the features.
    deviation
        Step that makes the learned ones.

    Raises
    ------
    ConfigError
        If there is no such model.
    """
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}; known are {', '.join(MODELS)}.", where="[model]")
    arms = [covariate.name for covariate in covariates if covariate.role == "arm"]
    # Trees and kernels make products of features with the arm by themselves.
    is_linear = name in (*LINEAR_MODELS, *CLASSIFIERS)
    design = ResponseDesign(
        covariates=tuple(covariates),
        features=None if features is None else tuple(features),
        arm_interactions=arm_interactions and bool(arms) and is_linear,
        unweighted=tuple(unweighted),
        minimum_reliability=minimum_reliability,
    )
    unpenalised = covariate_column_names(covariates)
    common: dict[str, Any] = {
        "harmonization": harmonization,
        "deviation": deviation,
        "unpenalised": unpenalised,
        "inner_folds": validation.inner_folds,
        "arm": arms[0] if arms else None,
        "random_state": validation.seed,
    }
    if name in ("elastic_net", "ridge", "lasso"):
        return TunedElasticNet(design, **_penalties(name, model), **common)
    if name in CLASSIFIERS:
        classifier, settings = classifier_model(name)
        return TunedClassifier(design, classifier, settings=settings, **common)
    regressor, settings = candidate_model(name, random_state=validation.seed, n_covariates=len(unpenalised))
    return TunedRegressor(design, AddedToCovariates(regressor, is_linear=is_linear), settings=settings, **common)


def _penalties(name: str, model: ModelConfig) -> dict[str, Any]:
    """Grid of penalties: as the experiment says, but for ridge."""
    if name == "ridge":
        return {"l1_ratios": (0.0,), "n_alphas": RIDGE_N_ALPHAS, "smallest_alpha_fraction": RIDGE_SMALLEST_FRACTION}
    return {
        "l1_ratios": (1.0,) if name == "lasso" else model.l1_ratios,
        "n_alphas": model.n_alphas,
        "smallest_alpha_fraction": model.smallest_alpha_fraction,
    }

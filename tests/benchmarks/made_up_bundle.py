"""Models of made-up people, as large as the demo's: for timing, never for looking at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from predictor.features.extraction import feature_definitions
from predictor.features.recipe import Recipe, default_recipe
from predictor.model.bundle import ModelBundle, save_bundle
from predictor.model.linear_model import LinearEnsemble
from predictor.model.out_of_fold import OutOfFoldResiduals
from predictor.model.outcome_definition import Covariate, OutcomeDefinition
from predictor.model.response_design import ResponseDesign, covariate_column_names
from predictor.model.response_model import ModelEnsemble
from predictor.model.training_range import describe_training
from predictor.model.tree_model import TreeEnsemble, TreeResponseModel
from training.final_model import FEWEST_BOOTSTRAP_MODELS, MOST_BOOTSTRAP_NODES, MOST_EXPLAINED_NODES
from training.models.candidate_models import AddedToCovariates, candidate_model
from training.models.fitted_trees import response_model_of

Kind = Literal["linear", "random_forest", "hist_gradient_boosting"]

N_PEOPLE, N_FEATURES, N_FOLDS, N_BOOTSTRAP = 120, 140, 10, 100
REST_FAMILIES = ("rest_fisher_z", "rest_partial", "rdcm_rest")
COVARIATES = (
    Covariate("arm", "category", ("ketamine", "midazolam"), role="arm"),
    Covariate("caps5_total_baseline", "number", role="clinical", unit="points"),
    Covariate("site", "category", ("A", "B", "C"), role="site"),
)
COVARIATE_VALUES: dict[str, str | float] = {"caps5_total_baseline": 42.0, "site": "A"}
IMPROVEMENT = OutcomeDefinition("caps5_percent_improvement", "percent", "higher", 30.0, "at least 30 percent")


def save_made_up_bundle(folder: Path, *, kind: Kind = "linear", rest_only: bool = False) -> None:
    """Fit a ridge regression, or trees, to noise and save it; a resting run is enough for a model that is `rest_only`.

    Trees get as many bootstrap models and as many explained ones as `krp train` would give them.
    """
    recipe = default_recipe()
    if rest_only:
        recipe = replace(recipe, families=REST_FAMILIES)
    save_bundle(_fitted(recipe, kind), folder)


def _fitted(recipe: Recipe, kind: Kind) -> ModelBundle:
    rng = np.random.default_rng(0)
    known = [item for item in feature_definitions(recipe) if item.kind != "quality"]
    definitions = tuple(known[k] for k in np.linspace(0, len(known) - 1, min(len(known), N_FEATURES)).astype(int))
    names = [item.name for item in definitions]
    table = _people(rng, names)
    outcome = 20 + 9 * table[names[0]] + 0.4 * table["caps5_total_baseline"] + rng.normal(0, 12, N_PEOPLE)

    def fit(rows: Any) -> Pipeline:
        return _pipeline(kind, names).fit(table.iloc[rows], outcome.iloc[rows])

    def served(pipeline: Pipeline, rows: Any) -> Any:
        return response_model_of(pipeline, pipeline.named_steps["design"].raw_inputs(table.iloc[rows]))

    everyone, fold_index = np.arange(N_PEOPLE), rng.permutation(N_PEOPLE) % N_FOLDS
    folds, fold_models = [], []
    for fold in range(N_FOLDS):
        folds.append(fit(everyone[fold_index != fold]))
        fold_models.append(served(folds[-1], everyone[fold_index != fold]))
    predicted = np.empty(N_PEOPLE)
    for fold, fitted in enumerate(folds):
        predicted[fold_index == fold] = fitted.predict(table.iloc[everyone[fold_index == fold]])
    pipeline = fit(everyone)
    model, design = served(pipeline, everyone), pipeline.named_steps["design"]
    draws = [rng.integers(0, N_PEOPLE, N_PEOPLE) for _ in range(_n_bootstrap_models(model))]
    return ModelBundle(
        name="ketamine-response",
        outcome=IMPROVEMENT,
        definitions=definitions,
        covariates=COVARIATES,
        recipe=recipe,
        recipe_hashes=(recipe.recipe_hash,),
        model=model,
        fold_models=_ensemble(fold_models, is_explained=True),
        out_of_fold=OutOfFoldResiduals(
            fold_index=fold_index.astype(np.int64),
            arm_index=np.array([model.arms.index(arm) for arm in table["arm"]], dtype=np.int64),
            prediction=predicted,
            residual=np.asarray(outcome - predicted),
        ),
        bootstrap_models=_ensemble([served(fit(rows), rows) for rows in draws], is_explained=False),
        training_range=describe_training(
            design.raw_inputs(table),
            n_features=len(names),
            background_mean=design.centre_,
            motion_mm={kind: np.full(N_PEOPLE, 0.35) for kind in ("rest", "faces", "conflict")},
        ),
        trained_on=N_PEOPLE,
        card={"cohort": "made-up people"},
        versions={"numpy": np.__version__},
    )


def _pipeline(kind: Kind, names: list[str]) -> Pipeline:
    """Return an unfitted model of a kind; trees make products with the arm by themselves."""
    is_linear = kind == "linear"
    design = ResponseDesign(covariates=COVARIATES, features=tuple(names), arm_interactions=is_linear)
    if is_linear:
        return Pipeline([("design", design), ("model", Ridge(300.0))])
    free = tuple(range(len(names), len(names) + len(covariate_column_names(COVARIATES))))
    regressor, settings = candidate_model(kind, random_state=0, n_covariates=len(free))
    return Pipeline(
        [("design", design), ("model", AddedToCovariates(regressor.set_params(**settings[-1]), unpenalised=free))]
    )


def _n_bootstrap_models(model: Any) -> int:
    if not isinstance(model, TreeResponseModel):
        return N_BOOTSTRAP
    return min(N_BOOTSTRAP, max(FEWEST_BOOTSTRAP_MODELS, MOST_BOOTSTRAP_NODES // len(model.trees.column)))


def _ensemble(models: list[Any], *, is_explained: bool) -> ModelEnsemble:
    if not isinstance(models[0], TreeResponseModel):
        return LinearEnsemble.of(models)
    n_nodes = sum(len(model.trees.column) for model in models)
    return TreeEnsemble.of(models, is_counted=is_explained and n_nodes <= MOST_EXPLAINED_NODES)


def _people(rng: np.random.Generator, names: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rng.normal(0.1, 0.4, (N_PEOPLE, len(names))), columns=names)
    table["arm"] = np.where(np.arange(N_PEOPLE) % 2 == 0, "ketamine", "midazolam")
    table["caps5_total_baseline"] = rng.normal(42, 8, N_PEOPLE)
    table["site"] = rng.choice(["A", "B", "C"], N_PEOPLE)
    return table

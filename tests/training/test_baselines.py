from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline

from predictor.model.outcome_definition import Covariate
from predictor.model.response_design import ResponseDesign
from training.evaluation.baselines import make_baselines
from training.evaluation.metrics import compare, r2_against_training_mean
from training.evaluation.nested_cv import OutOfFold, cross_validate
from training.evaluation.splits import stratified_folds

COVARIATES = (
    Covariate("arm", "category", ("ketamine", "midazolam"), "arm"),
    Covariate("caps5_total_baseline", "number", role="clinical"),
    Covariate("site", "category", ("a", "b", "c"), "site"),
    Covariate("age", "number", role="demographic"),
    Covariate("sex", "category", ("F", "M"), "demographic"),
)


@pytest.fixture
def inputs(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "arm": np.tile(["ketamine", "midazolam"], 60),
            "caps5_total_baseline": rng.normal(43, 8, 120),
            "site": rng.choice(list("abc"), 120),
            "age": rng.normal(38, 9, 120),
            "sex": rng.choice(["F", "M"], 120),
            "motion": rng.gamma(2, 0.1, 120),
        }
    )


def cross_validated(inputs: pd.DataFrame, outcome: np.ndarray) -> dict[str, OutOfFold]:
    folds = stratified_folds(outcome, list(inputs["arm"]), n_folds=10, rng=np.random.default_rng(3))[np.newaxis]
    baselines = make_baselines(inputs, covariates=COVARIATES, motion_columns=("motion",))
    return {one.name: cross_validate(one.estimator, inputs, outcome, folds) for one in baselines}


def test_all_are_there_when_their_columns_are(inputs: pd.DataFrame) -> None:
    names = [one.name for one in make_baselines(inputs, covariates=COVARIATES, motion_columns=("motion",))]
    assert names[0] == "constant"
    assert set(names[1:]) == {
        "arm only", "clinical only", "arm + clinical", "covariates only", "site only", "age/sex only", "motion only"
    }  # fmt: skip


def test_what_is_absent_or_the_same_for_everyone_makes_no_baseline(inputs: pd.DataFrame) -> None:
    one_site = inputs.assign(site="a", motion=np.nan)
    covariates = (Covariate("site", "category", ("a",), "site"),)
    assert [one.name for one in make_baselines(one_site, covariates=covariates, motion_columns=("motion",))] == [
        "constant"
    ]


def test_the_parent_trials_effect_gives_the_arm_alone_the_r2_that_follows_from_it(rng: np.random.Generator) -> None:
    inputs = pd.DataFrame(
        {
            "arm": np.tile(["ketamine", "midazolam"], 600),
            "caps5_total_baseline": 43.0,
            "site": "a",
            "age": 1,
            "sex": "F",
        }
    )
    # Standardised difference 1.13 between equal arms explains d^2 / (d^2 + 4) = .24 of the variance.
    outcome = 1.13 * (inputs["arm"] == "ketamine").to_numpy() + rng.standard_normal(1200)
    folds = stratified_folds(outcome, list(inputs["arm"]), n_folds=10, rng=rng)[np.newaxis]
    arm_only = make_baselines(inputs, covariates=COVARIATES, motion_columns=())[1]
    assert arm_only.name == "arm only"
    r2 = r2_against_training_mean(cross_validate(arm_only.estimator, inputs, outcome, folds))
    assert r2 == pytest.approx(1.13**2 / (1.13**2 + 4), abs=0.03)


def test_arm_only_predicts_the_mean_of_the_training_people_in_that_arm(
    rng: np.random.Generator, inputs: pd.DataFrame
) -> None:
    outcome = rng.standard_normal(120) + (inputs["arm"] == "ketamine").to_numpy()
    predicted = cross_validated(inputs, outcome)["arm only"]
    for person in (0, 1, 77):
        others = (predicted.fold_index[0] != predicted.fold_index[0, person]) & (inputs["arm"] == inputs["arm"][person])
        assert predicted.prediction[0, person] == pytest.approx(outcome[others].mean())


def test_each_baseline_finds_what_it_knows_and_nothing_else(rng: np.random.Generator, inputs: pd.DataFrame) -> None:
    outcome = 10 * inputs["motion"].to_numpy() + 0.3 * rng.standard_normal(120)
    r2 = {name: r2_against_training_mean(one) for name, one in cross_validated(inputs, outcome).items()}
    assert r2.pop("motion only") > 0.8
    assert r2.pop("constant") == 0
    assert max(r2.values()) < 0.15


def test_knowing_arm_and_site_together_earns_a_model_of_noise_nothing(inputs: pd.DataFrame) -> None:
    rng = np.random.default_rng(4)
    inputs["noise"] = rng.standard_normal(120)
    outcome = 12 * (inputs["arm"] == "ketamine") + 12 * (inputs["site"] == "a") + 8 * rng.standard_normal(120)
    outcome = (outcome + 0.6 * inputs["caps5_total_baseline"]).to_numpy()
    folds = stratified_folds(outcome, list(inputs["arm"]), n_folds=10, rng=rng)[np.newaxis]
    design = ResponseDesign(covariates=COVARIATES[:3], features=("noise",), arm_interactions=False)
    model = cross_validate(Pipeline([("design", design), ("model", LinearRegression())]), inputs, outcome, folds)
    lower = {
        one.name: compare(model, cross_validate(one.estimator, inputs, outcome, folds), seed=0).corrected_interval.lower
        for one in make_baselines(inputs, covariates=COVARIATES[:3], motion_columns=())
    }
    assert lower.pop("covariates only") <= 0
    assert min(lower.values()) > 0  # no other baseline would have seen through it

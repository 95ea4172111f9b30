from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from training.evaluation.fold_isolation import (
    StepState,
    estimator_steps,
    learned_steps,
    poisoned,
    prove_fold_isolation,
)
from training.evaluation.nested_cv import fit_fold
from training.evaluation.poison import Poison
from training.evaluation.splits import stratified_folds
from training.models.estimators import TunedElasticNet

TUNED = TunedElasticNet(StandardScaler(), l1_ratios=(0.5,), n_alphas=8, inner_folds=3)


@pytest.fixture
def cohort(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    inputs = pd.DataFrame(rng.standard_normal((30, 8)), columns=[f"f{n}" for n in range(8)])
    outcome = inputs["f0"].to_numpy() + rng.standard_normal(30)
    return inputs, outcome, stratified_folds(outcome, None, n_folds=3, rng=rng)


def test_a_tuned_model_in_its_fold_passes(cohort: tuple[pd.DataFrame, np.ndarray, np.ndarray]) -> None:
    proof = prove_fold_isolation(estimator_steps(TUNED), *cohort)
    assert proof.passed
    assert proof.n_folds == 3
    # means, scales, variances, coefficients, choice and inner errors of every fold
    assert proof.n_values_compared > 3 * 4 * 8


def test_scaling_before_the_split_is_caught_and_named(cohort: tuple[pd.DataFrame, np.ndarray, np.ndarray]) -> None:
    def scale_everyone(inputs: pd.DataFrame, outcome: np.ndarray, train: np.ndarray) -> Mapping[str, StepState]:
        scaler = StandardScaler().fit(inputs)
        scaled = pd.DataFrame(scaler.transform(inputs), columns=inputs.columns)
        return {
            "scaling of the cohort": {"mean_": scaler.mean_},
            **learned_steps(fit_fold(TUNED, scaled, outcome, train)),
        }

    proof = prove_fold_isolation(scale_everyone, *cohort)
    assert not proof.passed
    assert (proof.leaking_step, proof.leaking_attribute) == ("scaling of the cohort", "mean_")


def test_selection_before_the_split_is_caught_even_when_only_the_pipeline_is_watched(
    cohort: tuple[pd.DataFrame, np.ndarray, np.ndarray],
) -> None:
    def select_on_everyone(inputs: pd.DataFrame, outcome: np.ndarray, train: np.ndarray) -> Mapping[str, StepState]:
        strongest = inputs.corrwith(pd.Series(outcome)).abs().nlargest(3).index
        return learned_steps(fit_fold(TUNED, inputs[sorted(strongest)], outcome, train))

    proof = prove_fold_isolation(select_on_everyone, *cohort)
    assert proof.leaking_step == "design"


def test_an_outcome_centred_over_everyone_is_caught(cohort: tuple[pd.DataFrame, np.ndarray, np.ndarray]) -> None:
    def centre_outcome(inputs: pd.DataFrame, outcome: np.ndarray, train: np.ndarray) -> Mapping[str, StepState]:
        pipeline = Pipeline([("design", StandardScaler()), ("model", LinearRegression())])
        return learned_steps(fit_fold(pipeline, inputs, outcome - outcome.mean(), train))

    proof = prove_fold_isolation(centre_outcome, *cohort)
    assert proof.leaking_step == "model"


def test_poison_reaches_the_named_rows_and_nobody_else(rng: np.random.Generator) -> None:
    inputs = pd.DataFrame({"x": rng.standard_normal(6), "age": np.arange(6), "arm": list("kmkmkm")})
    bad_inputs, bad_outcome = poisoned(inputs, np.arange(6.0), np.array([0, 2]))
    others = [1, 3, 4, 5]
    pd.testing.assert_frame_equal(bad_inputs.iloc[others], inputs.iloc[others], check_dtype=False)
    assert np.array_equal(bad_outcome[others], np.arange(6.0)[others])
    assert (bad_inputs.loc[[0, 2], ["x", "age"]].abs() >= 1e6).all(axis=None)
    assert list(bad_inputs.loc[[0, 2], "arm"]) == ["m", "m"]
    assert (np.abs(bad_outcome[[0, 2]]) >= 1e6).all()


def test_an_estimator_that_learns_nothing_visible_does_not_pass(
    cohort: tuple[pd.DataFrame, np.ndarray, np.ndarray],
) -> None:
    assert not prove_fold_isolation(lambda inputs, outcome, train: {}, *cohort).passed


def test_a_step_that_only_counts_gaps_is_caught(cohort: tuple[pd.DataFrame, np.ndarray, np.ndarray]) -> None:
    inputs, outcome, folds = cohort
    gappy = inputs.copy()
    gappy.iloc[::7, 3] = np.nan

    def drop_gappy_columns(inputs: pd.DataFrame, outcome: np.ndarray, train: np.ndarray) -> Mapping[str, StepState]:
        kept = inputs.columns[inputs.isna().mean() < 0.05]
        return {"dropping": {"kept_": tuple(kept)}}

    assert prove_fold_isolation(drop_gappy_columns, gappy, outcome, folds).leaking_step == "dropping"


def test_a_fit_that_held_out_people_can_stop_has_seen_them(
    cohort: tuple[pd.DataFrame, np.ndarray, np.ndarray],
) -> None:
    def refuse_large_numbers(inputs: pd.DataFrame, outcome: np.ndarray, train: np.ndarray) -> Mapping[str, StepState]:
        if inputs.abs().max(axis=None) > 1e5:
            raise ValueError("too large")
        return estimator_steps(TUNED)(inputs, outcome, train)

    proof = prove_fold_isolation(refuse_large_numbers, *cohort)
    assert (proof.leaking_step, proof.leaking_attribute) == ("fitting", "stopped by ValueError")


def test_every_fold_of_every_repeat_is_tried(cohort: tuple[pd.DataFrame, np.ndarray, np.ndarray]) -> None:
    inputs, outcome, folds = cohort
    assert prove_fold_isolation(estimator_steps(TUNED), inputs, outcome, np.stack([folds, folds[::-1]])).n_folds == 6


@pytest.mark.parametrize("kind", list(Poison))
def test_every_poison_changes_the_rows_it_should_and_keeps_labels_labels(
    kind: Poison, rng: np.random.Generator
) -> None:
    inputs = pd.DataFrame({"x": rng.standard_normal(20), "arm": np.arange(20) % 2 + 1.0, "site": list("ab") * 10})
    labels = (np.arange(20) % 3 == 0).astype(float)
    rows = np.array([3, 4, 5, 6])
    bad, bad_labels = poisoned(inputs, labels, rows, kind=kind, categories=["arm"])
    others = np.setdiff1d(np.arange(20), rows)
    pd.testing.assert_frame_equal(bad.iloc[others], inputs.iloc[others], check_dtype=False)
    assert (bad["x"].iloc[rows] != inputs["x"].iloc[rows]).all()
    assert (bad["arm"].iloc[rows] == 3 - inputs["arm"].iloc[rows]).all()
    assert (bad["site"].iloc[rows] != inputs["site"].iloc[rows]).all()
    assert np.array_equal(bad_labels, np.where(np.isin(np.arange(20), rows), 1 - labels, labels))

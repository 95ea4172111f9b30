"""The compiled way of tuning against the way that refits every step in every inner fold."""

from __future__ import annotations

from functools import partialmethod

import numpy as np
import pandas as pd
import pytest

from predictor.model.deviation import ReferenceDeviation
from predictor.model.harmonization import SiteHarmonization
from predictor.model.outcome_definition import Covariate
from predictor.model.response_design import ResponseDesign, covariate_column_names
from training.evaluation.elastic_net_cv import nested_elastic_net
from training.evaluation.nested_cv import cross_validate
from training.evaluation.splits import stratified_folds
from training.models.penalised_regression import PathProblem
from training.models.tuned_elastic_net import TunedElasticNet

ARM = Covariate("arm", "category", ("ketamine", "midazolam"), "arm")
SITE = Covariate("site", "category", ("a", "b", "c"), "site")
SEVERITY = Covariate("severity", "number")
COVARIATES = (ARM, SEVERITY, SITE)
EDGES = tuple(f"rest__{number}" for number in range(6))


@pytest.fixture
def trial(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    n = 48
    inputs = pd.DataFrame(rng.standard_normal((n, 6)) * [1, 5, 0.1, 2, 3, 1] + 4, columns=EDGES)
    inputs["arm"] = np.where(np.arange(n) % 2, "ketamine", "midazolam").astype(object)
    inputs["severity"] = rng.normal(40, 8, n)
    inputs["site"] = rng.choice(["a", "b", "c"], n).astype(object)
    is_ketamine = (inputs["arm"] == "ketamine").to_numpy()
    outcome = 10 * is_ketamine + 6 * is_ketamine * (inputs["rest__0"] - 4).to_numpy() + inputs["rest__1"].to_numpy()
    return inputs, outcome + 4 * rng.standard_normal(n)


def estimator(**options: object) -> TunedElasticNet:
    design = {name: options.pop(name) for name in ("arm_interactions", "unweighted") if name in options}
    features = options.pop("features", EDGES)
    return TunedElasticNet(
        ResponseDesign(covariates=COVARIATES, features=features, **design),
        unpenalised=covariate_column_names(COVARIATES),
        arm="arm",
        n_alphas=12,
        **options,
    )


def both_ways(one: TunedElasticNet, trial: tuple[pd.DataFrame, np.ndarray], monkeypatch: pytest.MonkeyPatch):
    compiled = one.fit(*trial)
    assert compiled.compiled_problem(trial[0]) is not None
    errors, choice, prediction = compiled.inner_mse_, compiled.choice_, compiled.predict(trial[0])
    monkeypatch.setattr(TunedElasticNet, "compiled_problem", lambda self, X: None)
    # While it tunes, the slow way stops early, which may move a choice to its neighbour; here it may not.
    monkeypatch.setattr(PathProblem, "solve", partialmethod(PathProblem.solve, tolerance=1e-12))
    slow = one.fit(*trial)
    assert errors == pytest.approx(slow.inner_mse_, rel=1e-5)
    assert choice["alpha"] == pytest.approx(slow.choice_["alpha"], rel=1e-9)
    assert choice["l1_ratio"] == slow.choice_["l1_ratio"]
    assert prediction == pytest.approx(slow.predict(trial[0]), abs=1e-5)


@pytest.mark.parametrize("arm_interactions", [True, False])
@pytest.mark.parametrize("inner_folds", [4, "leave_one_out"])
def test_choices_are_those_of_the_way_that_refits_every_step(
    trial, monkeypatch: pytest.MonkeyPatch, *, arm_interactions: bool, inner_folds: int | str
) -> None:
    both_ways(estimator(arm_interactions=arm_interactions, inner_folds=inner_folds), trial, monkeypatch)


def test_ridge_chooses_the_same_both_ways(trial, monkeypatch: pytest.MonkeyPatch) -> None:
    both_ways(estimator(l1_ratios=(0.0,), smallest_alpha_fraction=1e-5), trial, monkeypatch)


def test_features_that_are_not_weighed_stay_out_both_ways(trial, monkeypatch: pytest.MonkeyPatch) -> None:
    one = estimator(unweighted=("rest__0",))
    both_ways(one, trial, monkeypatch)
    assert one.pipeline_.named_steps["model"].coef_[0] == 0


def test_gaps_take_the_median_of_the_training_rows_both_ways(
    trial, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial[0].iloc[rng.integers(0, 48, 9), 2] = np.nan
    both_ways(estimator(arm_interactions=False), trial, monkeypatch)


def test_comparison_with_controls_is_taken_along(
    trial, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    controls = pd.DataFrame(rng.standard_normal((30, 6)) + 4, columns=EDGES)
    deviation = ReferenceDeviation(controls, sources=EDGES[:3])
    features = (*EDGES, "deviation_rest__0", "hypoconnected_edges")
    both_ways(estimator(deviation=deviation, features=features), trial, monkeypatch)


def test_what_the_compiled_code_cannot_repeat_is_left_to_the_other_way(trial) -> None:
    inputs = trial[0]
    gaps = inputs.copy()
    gaps.loc[0, "rest__0"] = np.nan
    assert estimator().compiled_problem(gaps) is None  # products with the arm have another median
    assert estimator(harmonization=SiteHarmonization(features=EDGES, site=SITE)).compiled_problem(inputs) is None
    one = estimator()
    one.design.minimum_reliability = 0.5
    assert one.compiled_problem(inputs) is None


def test_a_problem_of_the_whole_cohort_is_cross_validated_as_the_estimator_is(trial) -> None:
    inputs, outcome = trial
    one = estimator()
    folds = stratified_folds(outcome, list(inputs["arm"]), n_folds=6, rng=np.random.default_rng(0))
    expected = cross_validate(one, inputs, outcome, folds[np.newaxis])
    problem = one.compiled_problem(inputs)
    found = nested_elastic_net(problem.columns, outcome, folds, inner_folds=problem.inner_folds, grid=problem.grid)
    assert [c["alpha"] for c in found.choices] == pytest.approx([c["alpha"] for c in expected.choices], rel=1e-9)
    assert found.prediction == pytest.approx(expected.prediction, abs=1e-5)


def test_harmonisation_is_learned_anew_in_every_inner_fold(trial, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    learn = SiteHarmonization.fit
    monkeypatch.setattr(SiteHarmonization, "fit", lambda self, X, y=None: (rows.append(len(X)), learn(self, X, y))[1])
    one = estimator(harmonization=SiteHarmonization(features=EDGES, site=SITE), inner_folds=4).fit(*trial)
    assert sorted(rows) == [36, 36, 36, 36, 48]
    assert list(one.pipeline_.named_steps) == ["harmonization", "design", "model"]

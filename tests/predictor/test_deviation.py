from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from predictor.errors import MissingColumnError, ReferenceTooSmallError
from predictor.model.deviation import ReferenceDeviation
from predictor.model.learned_features import learned_names
from predictor.model.reliability import standard_error_column


def test_it_learns_from_the_controls_and_never_from_those_who_pass_through(deviating: Any) -> None:
    cohort, step = deviating
    absurd = cohort.table.assign(**dict.fromkeys(cohort.feature_names, 1e6), age=-1e6)
    one, other = clone(step).fit(cohort.table), clone(step).fit(absurd.iloc[:3])
    for name in ("centre_", "coefficients_", "residual_variance_"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_other_controls_give_other_deviations(deviating: Any) -> None:
    cohort, step = deviating
    shifted = clone(step).set_params(
        controls=step.controls.assign(**{step.sources[0]: step.controls[step.sources[0]] + 1})
    )
    before = clone(step).fit(cohort.table).transform(cohort.table)
    after = shifted.fit(cohort.table).transform(cohort.table)
    name = learned_names(step.sources)[0]
    assert (after[name] < before[name]).sum() == before[name].notna().sum()


def test_what_comes_in_comes_out_with_the_learned_features_behind(deviating: Any) -> None:
    cohort, step = deviating
    found = clone(step).fit(cohort.table).transform(cohort.table)
    pd.testing.assert_frame_equal(found[list(cohort.table.columns)], cohort.table)
    assert tuple(found.columns[cohort.table.shape[1] :]) == learned_names(step.sources)
    assert found.index.equals(cohort.table.index)


def test_a_planted_effect_of_age_is_taken_out(deviating: Any, rng: np.random.Generator) -> None:
    _, step = deviating
    people = pd.DataFrame({"age": rng.normal(40, 10, 2_000), "sex": rng.choice(["F", "M"], 2_000)})
    values = rng.standard_normal((2_000, 4)) + 0.02 * (people["age"].to_numpy() - 40)[:, np.newaxis]
    people[list(step.sources)] = values
    whole = clone(step).set_params(controls=people.head(1_000))
    others = people.tail(1_000)
    z = whole.fit(others).judge(others).z.mean(axis=1)
    without = whole.set_params(covariates=()).fit(others).judge(others).z.mean(axis=1)
    assert abs(np.corrcoef(z, others["age"])[0, 1]) < 0.1
    assert np.corrcoef(without, others["age"])[0, 1] > 0.25


def test_standard_errors_of_features_become_those_of_deviations_and_of_their_mean(deviating: Any) -> None:
    cohort, step = deviating
    table = cohort.table.dropna().head(20)
    errors = {standard_error_column(name): 0.1 for name in step.sources}
    fitted = clone(step).fit(table)
    found = fitted.transform(table.assign(**errors))
    moved = fitted.judge(table.assign(**{step.sources[0]: table[step.sources[0]] + 1e-4})).z - fitted.judge(table).z
    names = learned_names(step.sources)
    column = standard_error_column(names[0])
    assert found[column].to_numpy() == pytest.approx(np.abs(moved[:, 0]) / 1e-4 * 0.1, rel=1e-3)
    of_z = found[[standard_error_column(name) for name in names[:4]]].to_numpy()
    of_mean = found[standard_error_column("deviation_rest_mean")].to_numpy()
    assert of_mean == pytest.approx(np.sqrt((of_z**2).sum(axis=1)) / 4)
    assert standard_error_column("hypoconnected_edges") not in found


def test_scikit_learn_can_clone_the_step(deviating: Any) -> None:
    _, step = deviating
    again = clone(step)
    pd.testing.assert_frame_equal(again.controls, step.controls)
    assert (again.sources, again.covariates, again.threshold) == (step.sources, step.covariates, step.threshold)


def test_too_few_controls_are_a_named_error(deviating: Any) -> None:
    cohort, step = deviating
    few = ReferenceDeviation(step.controls.head(11), sources=step.sources, covariates=step.covariates)
    with pytest.raises(ReferenceTooSmallError, match="11 controls with all covariates have rest_fisher_z"):
        few.fit(cohort.table)


def test_an_absent_column_is_a_named_error(deviating: Any) -> None:
    cohort, step = deviating
    fitted = clone(step).fit(cohort.table)
    for name in (step.sources[2], "sex"):
        with pytest.raises(MissingColumnError, match=f"columns: {name}"):
            fitted.transform(cohort.table.drop(columns=name))


def test_tables_with_other_headers_keep_their_own(deviating: Any) -> None:
    cohort, step = deviating
    fitted = clone(step).fit(cohort.table)
    shuffled = cohort.table[sorted(cohort.table.columns, reverse=True)]
    for table in (cohort.table, cohort.table.iloc[3:9], shuffled, cohort.table.iloc[::2]):
        found = fitted.transform(table)
        pd.testing.assert_frame_equal(found[list(table.columns)], table)
        again = clone(step).fit(table).transform(table)
        pd.testing.assert_frame_equal(found, again)

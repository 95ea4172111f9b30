from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from predictor.errors import MissingColumnError, TableError, TrainingError
from predictor.model.linear_model import LinearResponseModel
from predictor.model.outcome_definition import Covariate
from predictor.model.reliability import standard_error_column
from predictor.model.response_design import ResponseDesign, covariate_column_names, linear_model_of

ARM = Covariate("arm", "category", ("ketamine", "midazolam"), role="arm")
THREE_ARMS = Covariate("arm", "category", ("ketamine", "midazolam", "saline"), role="arm")
SITE = Covariate("site", "category", ("A", "B", "C"), role="site")
AGE = Covariate("age", "number", role="demographic")


@pytest.fixture
def table(rng: np.random.Generator) -> pd.DataFrame:
    n_people = 60
    table = pd.DataFrame(rng.normal(3, 2, (n_people, 4)), columns=list("abcd"))
    table = table.mask(rng.random(table.shape) < 0.1)
    table["age"] = rng.normal(40, 10, n_people)
    table["site"] = rng.choice(["A", "B", "C"], n_people)
    table["arm"] = np.where(rng.random(n_people) < 0.5, "ketamine", "midazolam")
    return table


@pytest.fixture
def outcome(table: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.float64]:
    is_ketamine = (table["arm"] == "ketamine").to_numpy()
    return table["a"].fillna(3).to_numpy() * is_ketamine + 5 * is_ketamine + rng.normal(size=len(table))


def fitted(table: pd.DataFrame, outcome: NDArray[np.float64], model: Any, **options: Any) -> Pipeline:
    options = {"covariates": (AGE, SITE, ARM), **options}
    return Pipeline([("design", ResponseDesign(**options)), ("model", model)]).fit(table, outcome)


@pytest.mark.parametrize("has_interactions", [True, False])
@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), Lasso(0.1), ElasticNet(0.1), DummyRegressor()])
def test_the_arrays_predict_what_the_pipeline_predicts_in_every_arm(
    table: pd.DataFrame, outcome: NDArray[np.float64], model: Any, has_interactions: bool
) -> None:
    pipeline = fitted(table, outcome, model, arm_interactions=has_interactions)
    arrays = linear_model_of(pipeline)
    predicted = arrays.predict(pipeline.named_steps["design"].raw_inputs(table))
    for number, arm in enumerate(arrays.arms):
        expected = pipeline.predict(table.assign(arm=arm))
        assert predicted[:, number] == pytest.approx(expected, abs=1e-10)


def test_three_arms_each_have_their_own_prediction(table: pd.DataFrame, outcome: NDArray[np.float64]) -> None:
    table = table.assign(arm=np.array(THREE_ARMS.levels)[np.arange(len(table)) % 3])
    pipeline = fitted(table, outcome, Ridge(), covariates=(THREE_ARMS,), features=tuple("abcd"))
    arrays = linear_model_of(pipeline)
    predicted = arrays.predict(pipeline.named_steps["design"].raw_inputs(table))
    assert arrays.arms == THREE_ARMS.levels
    for number, arm in enumerate(arrays.arms):
        assert predicted[:, number] == pytest.approx(pipeline.predict(table.assign(arm=arm)), abs=1e-10)


def test_without_an_arm_there_is_one_prediction_for_all(table: pd.DataFrame, outcome: NDArray[np.float64]) -> None:
    pipeline = fitted(table, outcome, Ridge(), covariates=(AGE,), features=tuple("abcd"))
    arrays = linear_model_of(pipeline)
    assert arrays.arms == ("all",)
    raw = pipeline.named_steps["design"].raw_inputs(table)
    assert arrays.predict(raw)[:, 0] == pytest.approx(pipeline.predict(table), abs=1e-10)


def test_features_are_imputed_and_scaled_as_by_scikit_learn(table: pd.DataFrame) -> None:
    features = table[list("abcd")]
    design = ResponseDesign(arm_interactions=False).fit(features)
    reference = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(features)
    shifted = features + 1.5
    assert design.transform(shifted) == pytest.approx(reference.transform(shifted), abs=1e-12)


def test_the_arm_is_centred_and_multiplies_the_features(table: pd.DataFrame) -> None:
    design = ResponseDesign(covariates=(AGE, ARM), features=("a", "b")).fit(table)
    columns = pd.DataFrame(design.transform(table), columns=design.get_feature_names_out())
    half = np.where(table["arm"] == "ketamine", 0.5, -0.5)
    assert list(columns) == ["a", "b", "age", "arm=ketamine", "a x arm=ketamine", "b x arm=ketamine"]
    assert columns["arm=ketamine"].to_numpy() == pytest.approx(half)
    assert columns["b x arm=ketamine"].to_numpy() == pytest.approx((columns["b"] * half).to_numpy())


def test_names_of_the_unpenalised_columns_are_known_before_fitting(table: pd.DataFrame) -> None:
    covariates = (AGE, SITE, ARM)
    design = ResponseDesign(covariates=covariates, features=("a",)).fit(table)
    names = covariate_column_names(covariates)
    assert names == ("age", "site=A", "site=B", "site=C", "arm=ketamine")
    assert set(names) <= set(design.get_feature_names_out())


def test_an_unseen_site_is_scored_like_the_average_training_site(
    table: pd.DataFrame, outcome: NDArray[np.float64]
) -> None:
    pipeline = fitted(table, outcome, LinearRegression())
    design = pipeline.named_steps["design"]
    columns = list(design.get_feature_names_out())
    unseen = design.transform(table.assign(site="Z"))
    assert unseen[:, [columns.index(f"site={level}") for level in "ABC"]] == pytest.approx(0.0, abs=1e-12)


def test_a_column_that_is_constant_in_training_never_counts(table: pd.DataFrame, outcome: NDArray[np.float64]) -> None:
    pipeline = fitted(table.assign(d=0.1), outcome, LinearRegression())
    moved = table.assign(d=50.0)
    assert pipeline.predict(moved) == pytest.approx(pipeline.predict(table.assign(d=0.1)), abs=1e-12)
    assert not linear_model_of(pipeline).is_used[3]


def test_a_feature_that_is_missing_for_everyone_in_a_fold_is_a_named_error(table: pd.DataFrame) -> None:
    with pytest.raises(TrainingError, match=r"1 inputs have no value in any of 60 training rows: c\."):
        ResponseDesign(features=("a", "c")).fit(table.assign(c=np.nan))


def test_an_absent_column_an_empty_arm_and_text_are_named_errors(table: pd.DataFrame) -> None:
    design = ResponseDesign(covariates=(ARM,), features=("a",)).fit(table)
    with pytest.raises(MissingColumnError, match=r"lacks 1 of 2 columns: a"):
        design.transform(table.drop(columns="a"))
    with pytest.raises(TableError, match="an arm for everyone"):
        design.transform(table.assign(arm=None))
    with pytest.raises(TableError, match="numbers in all feature columns"):
        design.transform(table.assign(a="high"))


def test_a_design_without_inputs_is_possible_for_baselines(table: pd.DataFrame, outcome: NDArray[np.float64]) -> None:
    arm_only = fitted(table, outcome, LinearRegression(), covariates=(ARM,), features=())
    is_ketamine = (table["arm"] == "ketamine").to_numpy()
    means = [outcome[is_ketamine].mean(), outcome[~is_ketamine].mean()]
    assert linear_model_of(arm_only).predict(np.zeros((1, 0)))[0] == pytest.approx(means)


def test_scikit_learn_can_clone_the_design() -> None:
    design = ResponseDesign(covariates=(ARM,), features=("a",), arm_interactions=False)
    assert clone(design).get_params() == design.get_params()


def test_the_planted_interaction_is_found(make_cohort: Callable[..., Any]) -> None:
    cohort = make_cohort(n_people=2_000, missing_share=0.0, effect=8.0)
    pipeline = Pipeline([("design", ResponseDesign(covariates=cohort.covariates)), ("model", LinearRegression())])
    model: LinearResponseModel = linear_model_of(pipeline.fit(cohort.table, cohort.outcome))
    assert model.weights[:, 0] == pytest.approx([8.0, 0.0], abs=1.5)


@pytest.mark.parametrize("rows", [slice(None), slice(0, 1), slice(5, 40, 3)])
@pytest.mark.parametrize("features", [None, ("a", "b"), ("d", "a"), ()])
@pytest.mark.parametrize("covariates", [(AGE, SITE, ARM), (SITE,), ()])
def test_quick_reading_gives_the_bytes_and_layout_of_reading_value_by_value(
    table: pd.DataFrame,
    rows: slice,
    features: tuple[str, ...] | None,
    covariates: tuple[Covariate, ...],
) -> None:
    known = table if covariates else table[list("abcd")]
    known = known.drop(columns=["age", "arm"]) if covariates == (SITE,) else known
    if not covariates and features == ():
        pytest.skip("a design of nothing")
    design = ResponseDesign(covariates=covariates, features=features, arm_interactions=False).fit(known)
    chosen = known.astype({"site": object}).iloc[rows] if "site" in known else known.iloc[rows]
    if "site" in chosen:
        chosen = chosen.assign(site=[None if number % 5 == 0 else site for number, site in enumerate(chosen["site"])])
    for _ in range(2):  # the second time, the header is known
        slow = [chosen.loc[:, list(design.feature_names_)].to_numpy(dtype=np.float64, na_value=np.nan)]
        slow += [covariate.encode(chosen[covariate.name].tolist()) for covariate in covariates]
        expected, quick = np.concatenate(slow, axis=1), design.raw_inputs(chosen)
        assert np.array_equal(quick, expected, equal_nan=True)
        assert quick.flags.c_contiguous == expected.flags.c_contiguous
        assert not np.shares_memory(quick, chosen.to_numpy())


def test_a_table_with_other_columns_is_read_by_name_after_the_first(table: pd.DataFrame) -> None:
    design = ResponseDesign(covariates=(AGE, SITE, ARM)).fit(table)
    shuffled = table[["arm", "d", "site", "b", "age", "a", "c"]]
    assert np.array_equal(design.raw_inputs(shuffled), design.raw_inputs(table), equal_nan=True)
    with pytest.raises(MissingColumnError):
        design.raw_inputs(table.drop(columns="b"))


def test_true_is_not_taken_for_the_level_1_seen_before(table: pd.DataFrame) -> None:
    site = Covariate("site", "category", ("1", "2"), role="site")
    design = ResponseDesign(covariates=(site,), features=("a",)).fit(table.assign(site=["1", "2"] * 30))
    raw = design.raw_inputs(pd.DataFrame({"a": 1.0, "site": pd.Series([1, True, 1.0, "2"], dtype=object)}))
    assert np.array_equal(raw[:, 1], [1.0, np.nan, 1.0, 0.0], equal_nan=True)


def test_an_unweighted_feature_is_an_input_without_influence(table: pd.DataFrame, outcome: NDArray[np.float64]) -> None:
    pipeline = fitted(table, outcome, LinearRegression(), unweighted=("a",))
    arrays = linear_model_of(pipeline)
    assert arrays.input_names[:4] == tuple("abcd")
    assert list(arrays.is_used[:4]) == [False, True, True, True]
    assert pipeline.predict(table.assign(a=99.0)) == pytest.approx(pipeline.predict(table), abs=1e-10)


def test_a_feature_below_the_floor_of_reliability_is_set_aside_by_the_training_rows(
    table: pd.DataFrame, outcome: NDArray[np.float64]
) -> None:
    spread = {name: float(table[name].std()) for name in "abcd"}
    shares = {"a": 0.5, "b": 0.95, "c": 0.2}  # of the spread; reliabilities .75, .0975 and .96; d has none
    errors = {standard_error_column(name): share * spread[name] for name, share in shares.items()}
    table = table.assign(**errors)
    pipeline = fitted(table, outcome, LinearRegression(), features=tuple("abcd"), minimum_reliability=0.2)
    design = pipeline.named_steps["design"]
    assert design.reliability_ == pytest.approx([0.75, 0.0975, 0.96, np.nan], abs=1e-6, nan_ok=True)
    assert list(linear_model_of(pipeline).is_used[:4]) == [True, False, True, True]
    # Those who are only predicted have no say in it.
    quiet = table.assign(**{standard_error_column("b"): 0.0})
    assert pipeline.predict(quiet) == pytest.approx(pipeline.predict(table), abs=1e-12)


def test_without_a_floor_standard_errors_are_not_looked_at(table: pd.DataFrame) -> None:
    design = ResponseDesign(features=("a",)).fit(table.assign(**{standard_error_column("a"): 1e9}))
    assert np.isnan(design.reliability_).all()
    assert not design.is_set_aside_.any()


def test_what_only_the_reference_asks_for_is_no_input(table: pd.DataFrame) -> None:
    sex = Covariate("sex", "category", ("F", "M"), role="reference")
    years = Covariate("age", "number", role="reference")
    design = ResponseDesign(covariates=(sex, years, ARM), features=("a",)).fit(table.assign(sex="F"))
    assert design.input_names_ == ("a",)
    assert list(design.get_feature_names_out()) == ["a", "arm=ketamine", "a x arm=ketamine"]

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats

from predictor.errors import ModelBundleError, ReferenceTooSmallError, TrainingError
from predictor.model.reference_model import ReferenceModel, fit_reference, normal_score, reference_covariate

Array = NDArray[np.float64]
AGE, MOTION = reference_covariate("age"), reference_covariate("motion")
SEX, SITE = reference_covariate("sex", ["F", "M"]), reference_covariate("site", ["A", "B", "C"])
COVARIATES = (AGE, SEX, MOTION, SITE)


def draw_people(rng: np.random.Generator, n_people: int, n_sources: int) -> tuple[Array, Array]:
    """Values that depend on age, sex, motion and site, with Gaussian noise; and the covariates' columns."""
    age, motion = rng.normal(40, 10, n_people), rng.gamma(3, 0.05, n_people)
    sex, site = rng.choice(["F", "M"], n_people), rng.choice(["A", "B", "C"], n_people)
    slopes = np.random.default_rng(5).normal(size=(4, n_sources))
    expected = np.outer((age - 40) / 10, slopes[0]) + np.outer(sex == "F", slopes[1]) + 0.3
    expected += np.outer((motion - 0.15) / 0.09, slopes[2]) + np.outer(site == "B", slopes[3])
    columns = [AGE.encode(list(age)), SEX.encode(list(sex)), MOTION.encode(list(motion)), SITE.encode(list(site))]
    return expected + 0.2 * rng.normal(size=(n_people, n_sources)), np.concatenate(columns, axis=1)


def fit(values: Array, columns: Array, covariates: tuple[object, ...] = COVARIATES) -> ReferenceModel:
    names = [f"rest_fisher_z__r{number}__s" for number in range(values.shape[1])]
    return fit_reference(values, columns, sources=names, covariates=covariates)  # type: ignore[arg-type]


def test_new_controls_of_a_gaussian_cohort_have_standard_normal_deviations(rng: np.random.Generator) -> None:
    reference = fit(*draw_people(rng, 60, 600))
    z = reference.judge(*draw_people(rng, 100, 600)).z
    assert z.mean() == pytest.approx(0.0, abs=0.05)
    assert z.std() == pytest.approx(1.0, abs=0.05)
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.05, abs=0.005)


def test_with_a_small_reference_still_five_percent_of_new_controls_lie_past_the_threshold(
    rng: np.random.Generator,
) -> None:
    controls, others = rng.normal(size=(12, 4_000)), rng.normal(size=(20, 4_000))
    z = fit(controls, np.empty((12, 0)), ()).judge(others, np.empty((20, 0))).z
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.05, abs=0.005)
    naive = (others - controls.mean(axis=0)) / controls.std(axis=0, ddof=1)
    assert (np.abs(naive) > 1.96).mean() > 0.075  # so the test can tell


def test_without_covariates_it_is_the_statistic_of_crawford_and_howell(rng: np.random.Generator) -> None:
    controls = rng.normal(0.3, 0.2, (15, 1))
    z = fit(controls, np.empty((15, 0)), ()).judge(np.array([[-0.4], [0.5]]), np.empty((2, 0))).z
    t = (np.array([-0.4, 0.5]) - controls.mean()) / (controls.std(ddof=1) * np.sqrt(16 / 15))
    assert z[:, 0] == pytest.approx(stats.norm.ppf(stats.t.cdf(t, 14)), abs=1e-10)


def test_expectation_and_yardstick_are_those_of_a_prediction_by_statsmodels(rng: np.random.Generator) -> None:
    values, columns = draw_people(rng, 40, 3)
    others, of_others = draw_people(rng, 5, 3)
    found = fit(values, columns).judge(others, of_others)
    for number in range(3):
        fitted = sm.OLS(values[:, number], sm.add_constant(columns[:, :-1])).fit()  # one site is the baseline
        expected = fitted.get_prediction(sm.add_constant(of_others[:, :-1], has_constant="add"))
        t = (others[:, number] - expected.predicted_mean) / expected.se_obs
        assert found.z[:, number] == pytest.approx(stats.norm.ppf(stats.t.cdf(t, fitted.df_resid)), abs=1e-8)


def test_someone_from_an_unknown_site_is_compared_with_all_sites_by_a_wider_yardstick(
    rng: np.random.Generator,
) -> None:
    values, columns = draw_people(rng, 90, 200)
    reference = fit(values, columns)
    person = np.repeat(columns[:1], 4, axis=0)
    person[:3, 3:] = np.eye(3)
    person[3, 3:] = np.nan
    at_sites = reference.judge(np.zeros((4, 200)), person)
    raised = reference.judge(np.ones((4, 200)), person)
    spread = 1 / (raised.z - at_sites.z).mean(axis=1)
    assert spread[3] > spread[:3].max()
    shares = columns[:, 3:].mean(axis=0)
    expected = [-_level(reference, person[row]) for row in range(4)]
    assert expected[3] == pytest.approx(shares @ np.array(expected[:3]), abs=1e-8)


def _level(reference: ReferenceModel, columns: Array) -> Array:
    standardised = np.nan_to_num((columns - reference.centre) / reference.spread)
    return np.asarray(-np.r_[1.0, standardised] @ reference.coefficients.T)


def test_who_lacks_covariates_is_as_surprising_as_the_spread_of_controls_says(rng: np.random.Generator) -> None:
    reference = fit(*draw_people(rng, 200, 100))
    others, columns = draw_people(rng, 400, 100)
    z = reference.judge(others, np.full_like(columns, np.nan)).z
    assert z.std() == pytest.approx(1.0, abs=0.1)


def test_a_control_without_a_feature_is_left_out_for_that_feature_only(rng: np.random.Generator) -> None:
    values, columns = draw_people(rng, 50, 2)
    gappy = values.copy()
    gappy[:8, 1] = np.nan
    reference, whole, rest = fit(gappy, columns), fit(values, columns), fit(values[8:], columns[8:])
    assert reference.residual_variance == pytest.approx([whole.residual_variance[0], rest.residual_variance[1]])
    assert list(reference.degrees_of_freedom) == [50 - 6, 42 - 6]


def test_controls_without_a_covariate_are_left_out(rng: np.random.Generator) -> None:
    values, columns = draw_people(rng, 50, 2)
    gappy = columns.copy()
    gappy[:5, 0] = np.nan
    assert fit(values, gappy).n_people == 45
    assert fit(values, gappy).coefficients == pytest.approx(fit(values[5:], columns[5:]).coefficients)


def test_a_missing_feature_has_no_deviation(rng: np.random.Generator) -> None:
    values, columns = draw_people(rng, 50, 2)
    z = fit(values, columns).judge(np.array([[np.nan, 0.1]]), columns[:1]).z
    assert np.isnan(z[0, 0])
    assert np.isfinite(z[0, 1])


@pytest.mark.parametrize("n_controls", [12, 3, 0])
def test_a_reference_that_is_too_small_is_a_named_error(rng: np.random.Generator, n_controls: int) -> None:
    values, columns = rng.normal(size=(13, 1)), rng.normal(size=(13, 2))
    assert fit(values, columns, (AGE, MOTION)).degrees_of_freedom == pytest.approx(10)
    with pytest.raises(ReferenceTooSmallError, match="10 more controls than terms") as caught:
        fit(values[:n_controls], columns[:n_controls], (AGE, MOTION))
    assert caught.value.n_people == n_controls


def test_columns_that_say_the_same_count_as_one_term(rng: np.random.Generator) -> None:
    values, column = rng.normal(size=(20, 1)), rng.normal(size=(20, 1))
    doubled = fit(values, np.c_[column, 2 * column + 1], (AGE, MOTION))
    assert doubled.degrees_of_freedom == pytest.approx(18)
    once = fit(values, column, (AGE,)).judge(values, column).z
    assert doubled.judge(values, np.c_[column, 2 * column + 1]).z == pytest.approx(once, abs=1e-9)


def test_a_feature_that_is_the_same_in_all_controls_is_a_named_error(rng: np.random.Generator) -> None:
    values, columns = draw_people(rng, 50, 2)
    values[:, 1] = 0.25
    with pytest.raises(TrainingError, match="1 features do not vary among the controls: rest_fisher_z__r1__s"):
        fit(values, columns)


def test_a_covariate_that_is_the_same_in_all_controls_changes_nothing(rng: np.random.Generator) -> None:
    values, columns = draw_people(rng, 50, 2)
    columns[:, 0] = 33.3
    without = fit(values, columns[:, 1:], COVARIATES[1:]).judge(values, columns[:, 1:])
    assert fit(values, columns).judge(values, columns).z == pytest.approx(without.z, abs=1e-9)


def test_what_controls_of_a_site_never_show_is_not_judged_there(rng: np.random.Generator) -> None:
    values, columns = draw_people(rng, 90, 2)
    at_last_site = columns[:, -1] == 1
    values[:, 1] += 5 * at_last_site
    gappy = np.where(at_last_site[:, np.newaxis] & [False, True], np.nan, values)
    reference = fit(gappy, columns)
    z = reference.judge(values, columns).z
    assert np.isnan(z[at_last_site, 1]).all(), "no control of the site says how much is expected there"
    assert np.isfinite(z[~at_last_site]).all()
    assert np.isfinite(z[:, 0]).all()


def test_who_lies_far_outside_the_controls_is_named_by_covariate(rng: np.random.Generator) -> None:
    values, columns = rng.normal(size=(40, 1)), np.c_[rng.uniform(20, 40, 40), rng.gamma(3, 0.05, 40)]
    reference = fit(values, columns, (AGE, MOTION))
    assert reference.extrapolated(np.array([39.0, 0.1])) == ()
    assert reference.extrapolated(np.array([42.0, np.nan])) == (), "a little beyond is no extrapolation"
    assert reference.extrapolated(np.array([60.0, 0.1])) == (AGE.name,)
    assert reference.extrapolated(np.array([10.0, 3.0])) == (AGE.name, MOTION.name)
    same_age = fit(values, np.full((40, 1), 30.0), (AGE,))
    assert same_age.extrapolated(np.array([31.0])) == (AGE.name,), "controls of one age say nothing about others"


def test_the_normal_score_has_students_tail_and_its_slope_is_the_derivative() -> None:
    t = np.linspace(-9, 9, 61)
    z, slope = normal_score(t, 17.0)
    assert z == pytest.approx(stats.norm.ppf(stats.t.cdf(t, 17)), abs=1e-6)
    step = 1e-5
    numeric = (normal_score(t + step, 17.0)[0] - normal_score(t - step, 17.0)[0]) / (2 * step)
    assert slope == pytest.approx(numeric, rel=1e-6)


def test_absurd_values_have_finite_deviations() -> None:
    z, slope = normal_score(np.array([-1e30, -1e6, 0.0, 1e6, 1e30]), np.array(30.0))
    assert np.isfinite(z).all()
    assert np.isfinite(slope).all()
    assert (np.diff(z) >= 0).all()
    assert z == pytest.approx(-z[::-1])


def test_arrays_that_do_not_fit_are_refused(rng: np.random.Generator) -> None:
    reference = fit(*draw_people(rng, 50, 2))
    fields = {name: getattr(reference, name) for name in reference.__slots__}
    with pytest.raises(ModelBundleError, match="residual_variance of shape"):
        ReferenceModel(**(fields | {"residual_variance": np.ones(3)}))
    with pytest.raises(ModelBundleError, match="above 0"):
        ReferenceModel(**(fields | {"residual_variance": np.zeros(2)}))
    with pytest.raises(ModelBundleError, match="named once"):
        ReferenceModel(**(fields | {"sources": ("a", "a")}))

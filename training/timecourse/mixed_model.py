"""One pair of regions over time: a linear mixed model with a random intercept per person and arm x window.

The model gives estimates and intervals; the test that counts is `arm_test`, because the intervals suppose that the
noise of a person's windows is independent and of one size.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from predictor.errors import FeatureError

FloatArray = NDArray[np.float64]

CONFIDENCE = 0.95
# Below this share of the residual variance, people do not differ: the intercepts' variance sits at its bound of zero.
_NO_VARIANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class EdgeModel:
    """Arm x window of one pair; the windows after baseline, in their order, NaN for one that lacks an arm."""

    estimate: FloatArray  # (n_windows - 1,), Fisher z: change of the treated minus change of the others
    standard_error: FloatArray  # (n_windows - 1,)
    lower: FloatArray  # (n_windows - 1,), of the 95 % interval
    upper: FloatArray  # (n_windows - 1,)
    f_statistic: float  # of all interactions together
    f_degrees_of_freedom: tuple[int, int]
    p_parametric: float
    between_person_sd: float  # Fisher z
    residual_sd: float  # Fisher z
    n_people: int
    n_observations: int


def fit_edge_model(fisher_z: FloatArray, is_treated: NDArray[np.bool_]) -> EdgeModel:
    """Fit z ~ window * arm + (1 | person) by restricted maximum likelihood.

    Parameters
    ----------
    fisher_z
        Shape (n_people, n_windows), baseline first; NaN where missing. People with some windows count with those; a
        window that lacks one arm is left out.
    is_treated
        Shape (n_people,).

    Returns
    -------
    EdgeModel
        Intervals and p use t and F with the degrees of freedom within people (observations - people - parameters
        that vary within people), which is exact for complete data.

    Raises
    ------
    FeatureError
        If the baseline window or every other lacks an arm, or too few observations are left.

    References
    ----------
    Laird & Ware (1982), Biometrics 38:963-974, doi 10.2307/2529876.
    """
    is_known = np.isfinite(fisher_z)
    is_fitted = np.array([column[is_treated].any() and column[~is_treated].any() for column in is_known.T])
    if not is_fitted[0] or not is_fitted[1:].any():
        raise FeatureError("arm x window cannot be estimated: windows lack one arm.")
    person, window = np.nonzero(is_known[:, is_fitted])
    n_later = int(is_fitted[1:].sum())
    design = _design(window, is_treated[person], n_later)
    n_people = len(np.unique(person))
    df_within = len(person) - n_people - 2 * n_later
    if np.linalg.matrix_rank(design) < design.shape[1] or df_within < 1:
        raise FeatureError("arm x window cannot be estimated: too few people and windows are left.")
    observed = fisher_z[:, is_fitted][person, window]
    ratio, residual_variance = _variances(observed, design, person)
    coefficients, covariance = _generalised_least_squares(observed, design, person, ratio, residual_variance)
    estimate, of_interactions = coefficients[-n_later:], covariance[-n_later:, -n_later:]
    standard_error = np.sqrt(np.diag(of_interactions))
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, df_within) * standard_error
    f_statistic = float(estimate @ np.linalg.solve(of_interactions, estimate) / n_later)
    place = np.full((4, fisher_z.shape[1] - 1), np.nan)
    place[:, is_fitted[1:]] = [estimate, standard_error, estimate - reach, estimate + reach]
    return EdgeModel(
        estimate=place[0],
        standard_error=place[1],
        lower=place[2],
        upper=place[3],
        f_statistic=f_statistic,
        f_degrees_of_freedom=(n_later, df_within),
        p_parametric=float(stats.f.sf(f_statistic, n_later, df_within)),
        between_person_sd=float(np.sqrt(ratio * residual_variance)),
        residual_sd=float(np.sqrt(residual_variance)),
        n_people=n_people,
        n_observations=len(person),
    )


def _design(window: NDArray[np.intp], treated: NDArray[np.bool_], n_later: int) -> FloatArray:
    """Columns: intercept, arm, one per later window, one per later window x arm."""
    is_window = (window[:, None] == np.arange(1, n_later + 1)).astype(np.float64)
    arm = treated.astype(np.float64)[:, None]
    return np.hstack([np.ones((len(window), 1)), arm, is_window, is_window * arm])


def _variances(observed: FloatArray, design: FloatArray, person: NDArray[np.intp]) -> tuple[float, float]:
    """Return the variance of the intercepts over that of the residuals, and the residuals' variance."""
    with warnings.catch_warnings():
        # Where people do not differ, statsmodels warns of the bound that is then the right answer, and of standard
        # errors of the variances, which are not used.
        warnings.simplefilter("ignore")
        # Powell's method: those with gradients fail where people hardly differ, in four of five cases by an exception.
        fitted = MixedLM(observed, design, groups=person).fit(reml=True, method="powell")
    residual_variance = float(fitted.scale)
    ratio = float(fitted.cov_re[0, 0]) / residual_variance if residual_variance > 0 else np.nan
    if not (fitted.converged and np.isfinite(ratio) and np.isfinite(residual_variance)):
        raise FeatureError("the mixed model has no finite solution; the signals hardly vary.")
    return (0.0 if ratio < _NO_VARIANCE else ratio), residual_variance


def _generalised_least_squares(
    observed: FloatArray, design: FloatArray, person: NDArray[np.intp], ratio: float, residual_variance: float
) -> tuple[FloatArray, FloatArray]:
    """Return coefficients and covariance given the variances; statsmodels' own needs a Hessian, singular at the bound.

    Within a person the covariance is I + ratio 1 1'; taking the share theta of the person's mean away whitens it.
    """
    n_windows = np.bincount(person)[person]
    theta = 1 - 1 / np.sqrt(1 + ratio * n_windows)
    whitened, target = (_without_share_of_mean(values, person, theta) for values in (design, observed[:, None]))
    cross = np.asarray(np.linalg.inv(whitened.T @ whitened), dtype=np.float64)
    return (cross @ whitened.T @ target)[:, 0], residual_variance * cross


def _without_share_of_mean(values: FloatArray, person: NDArray[np.intp], theta: FloatArray) -> FloatArray:
    n_rows = np.bincount(person)
    means = np.column_stack([np.bincount(person, column) for column in values.T]) / np.maximum(n_rows, 1)[:, None]
    return np.asarray(values - theta[:, None] * means[person])

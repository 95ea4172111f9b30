"""What is expected of controls, and how far someone is from it.

One linear model per measured feature, fitted on controls only: expected = average + age, sex, head motion, site, as far
as the experiment names them. The deviation is

    t = (value - expected) / sqrt(residual variance * (1 + leverage) + variance of what is not known)

where the leverage is what the finite reference leaves uncertain about `expected` at this person's covariates. For new
people of the reference's population t follows Student's t distribution with n - p degrees of freedom, exactly when
values are normal: Crawford and Howell's statistic, with covariates Crawford and Garthwaite's. It is given as the z with
the same tail probability, whatever the size of the reference, so that 1.96 always leaves 5 % of controls outside; for
large references z and t are the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtri, stdtr

from predictor.errors import ModelBundleError, ReferenceTooSmallError, TrainingError
from predictor.model.linear_model import check_arrays
from predictor.model.outcome_definition import Covariate

Array = NDArray[np.float64]

# Below this many degrees of freedom the residual variance is a guess: its own standard error exceeds 40 %. [assumed]
MIN_DEGREES_OF_FREEDOM = 10
# Double precision has no smaller tail: deviations beyond 37.5 are all given as 37.5.
SMALLEST_TAIL = float(np.finfo(np.float64).tiny)
SHOWN_NAMES = 5
# Of an expectation: further from controls than this, in their squared spread, nothing is expected of anyone.
MAX_LEVERAGE = 1e4
# Variance of what controls with this feature say nothing about, such as a site at which they all lack it.
_UNSAID = 1e8
# In standard deviations beyond the outermost control; controls are few, so their range alone is too narrow. [assumed]
MAX_EXTRAPOLATION = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Deviations:
    """How far people are from what is expected of controls."""

    # (n_people, n_sources), above 0 where the value is higher than expected; NaN where it is missing, or where controls
    # do not say what to expect
    z: Array
    slope: Array  # (n_people, n_sources), change of z per unit of the value


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceModel:
    """Linear models of controls' values as plain arrays; every one has the columns 1, then the covariates'.

    A covariate that is missing, or a category that no control has, is pooled over: the person stands at the controls'
    average, and the controls' spread in that covariate widens the yardstick.
    """

    sources: tuple[str, ...]  # measured features
    covariates: tuple[Covariate, ...]  # see `reference_covariate`
    n_people: int
    centre: Array  # (n_columns,)
    spread: Array  # (n_columns,), above 0
    lowest: Array  # (n_columns,), of the controls
    highest: Array  # (n_columns,)
    column_covariance: Array  # (n_columns, n_columns), of the standardised columns
    coefficients: Array  # (n_sources, 1 + n_columns), unit of the source per standard deviation of the column
    residual_variance: Array  # (n_sources,), above 0
    unscaled_covariance: Array  # (n_sources, 1 + n_columns, 1 + n_columns), of the coefficients, per residual variance
    degrees_of_freedom: Array  # (n_sources,)

    def __post_init__(self) -> None:
        n_sources, n_columns = len(self.sources), sum(len(covariate.input_names) for covariate in self.covariates)
        shapes: dict[str, tuple[int, ...]] = {"centre": (n_columns,), "spread": (n_columns,)}
        shapes |= {"lowest": (n_columns,), "highest": (n_columns,)}
        shapes |= {"column_covariance": (n_columns, n_columns), "coefficients": (n_sources, 1 + n_columns)}
        shapes |= {"residual_variance": (n_sources,), "degrees_of_freedom": (n_sources,)}
        shapes |= {"unscaled_covariance": (n_sources, 1 + n_columns, 1 + n_columns)}
        check_arrays(self, shapes)
        if not n_sources or len(set(self.sources)) != n_sources:
            raise ModelBundleError("a reference needs features, each named once.")
        if not ((self.residual_variance > 0).all() and (self.spread > 0).all() and (self.degrees_of_freedom > 0).all()):
            raise ModelBundleError("expected variances, spreads and degrees of freedom above 0.")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what must be known about a person: features, then covariates (features or not) to judge them by."""
        return (*self.sources, *(covariate.name for covariate in self.covariates))

    def judge(self, values: Array, columns: Array) -> Deviations:
        """Compare people with what is expected of controls like them.

        Parameters
        ----------
        values
            The sources' values, shape (n_people, n_sources), NaN where missing.
        columns
            The covariates' columns, shape (n_people, n_columns), NaN where unknown.
        """
        n_people = len(values)
        is_unknown = np.isnan(columns)
        standardised = np.where(is_unknown, 0.0, (columns - self.centre) / self.spread)
        design = np.concatenate([np.ones((n_people, 1)), standardised], axis=1)
        leverage = _quadratic_forms(design, self.unscaled_covariance)
        variance = self.residual_variance * (1 + leverage)
        if is_unknown.any():
            weights = self.coefficients[:, 1:]
            unknown = weights[:, :, np.newaxis] * self.column_covariance * weights[:, np.newaxis, :]
            variance = variance + _quadratic_forms(is_unknown.astype(np.float64), unknown)
        scale = np.sqrt(variance)
        t = (values - design @ self.coefficients.T) / scale
        z, slope = normal_score(np.where(leverage > MAX_LEVERAGE, np.nan, t), self.degrees_of_freedom)
        return Deviations(z=z, slope=slope / scale)

    def extrapolated(self, columns: Array) -> tuple[str, ...]:
        """Return the covariates that lie more than `MAX_EXTRAPOLATION` outside the controls' range.

        Parameters
        ----------
        columns
            One person's, shape (n_columns,), NaN where unknown.
        """
        margin = MAX_EXTRAPOLATION * np.where(self.highest > self.lowest, self.spread, 0.0)
        is_outside = (columns < self.lowest - margin) | (columns > self.highest + margin)
        owners = [covariate.name for covariate in self.covariates for _ in covariate.input_names]
        return tuple(dict.fromkeys(name for name, flag in zip(owners, is_outside, strict=True) if flag))


def reference_covariate(name: str, levels: Sequence[str] = ()) -> Covariate:
    """Return a covariate of the reference: a number, or a category whose unknown levels count as missing."""
    return (
        Covariate(name, "category", tuple(levels), "site") if levels else Covariate(name, "number", role="demographic")
    )


def fit_reference(
    values: Array, columns: Array, *, sources: Sequence[str], covariates: Sequence[Covariate]
) -> ReferenceModel:
    """Learn what is expected of controls.

    Parameters
    ----------
    values
        The sources' values of the controls, shape (n_controls, n_sources), NaN where missing.
    columns
        The covariates' columns, shape (n_controls, n_columns); controls for whom one is NaN are left out.
    sources, covariates
        What the columns are.

    Raises
    ------
    ReferenceTooSmallError
        If fewer than 10 degrees of freedom are left for a feature.
    TrainingError
        If a feature is the same in all controls.

    References
    ----------
    Crawford and Howell 1998, Clin Neuropsychol 12:482-486. Crawford and Garthwaite 2006, Neuropsychology 20:196-204.
    """
    is_known = ~np.isnan(columns).any(axis=1)
    values, columns = values[is_known], columns[is_known]
    if not len(values):
        raise ReferenceTooSmallError(0, 1 + columns.shape[1], sources[0])
    centre, spread = columns.mean(axis=0), columns.std(axis=0)
    spread = np.where(columns.max(axis=0, initial=-np.inf) == columns.min(axis=0, initial=np.inf), 1.0, spread)
    standardised = (columns - centre) / spread
    design = np.concatenate([np.ones((len(columns), 1)), standardised], axis=1)
    of_all = _row_projector(_pseudo_inverse(design)[0], design)
    n_sources, n_terms = values.shape[1], design.shape[1]
    coefficients, residual_variance = np.empty((n_sources, n_terms)), np.empty(n_sources)
    covariance, freedom = np.empty((n_sources, n_terms, n_terms)), np.empty(n_sources)
    for rows, members in _by_rows(~np.isnan(values)):
        pseudo_inverse, n_used = _pseudo_inverse(design[rows])
        freedom[members] = rows.sum() - n_used
        if rows.sum() - n_used < MIN_DEGREES_OF_FREEDOM:
            raise ReferenceTooSmallError(int(rows.sum()), n_used, sources[members[0]])
        known = values[np.ix_(rows, members)]
        coefficients[members] = (pseudo_inverse @ known).T
        residual = known - design[rows] @ coefficients[members].T
        residual_variance[members] = (residual**2).sum(axis=0) / (rows.sum() - n_used)
        unsaid = of_all - _row_projector(pseudo_inverse, design[rows])
        covariance[members] = pseudo_inverse @ pseudo_inverse.T + _UNSAID * np.where(np.abs(unsaid) > 1e-6, unsaid, 0.0)
        _check_varies(known, residual, [sources[number] for number in members])
    return ReferenceModel(
        sources=tuple(sources),
        covariates=tuple(covariates),
        n_people=len(values),
        centre=centre,
        spread=spread,
        lowest=columns.min(axis=0),
        highest=columns.max(axis=0),
        column_covariance=(standardised.T @ standardised) / (len(columns) - 1),
        coefficients=coefficients,
        residual_variance=residual_variance,
        unscaled_covariance=covariance,
        degrees_of_freedom=freedom,
    )


def normal_score(t: Array, degrees_of_freedom: Array | float) -> tuple[Array, Array]:
    """Return the normal deviate with the tail probability of Student's t, and its derivative.

    Parameters
    ----------
    t
        Any shape, NaN allowed.
    degrees_of_freedom
        Broadcast against `t`.

    Returns
    -------
    z, slope
        z has the sign of t and stays within 37.5; slope is dz/dt.
    """
    freedom = np.asarray(degrees_of_freedom, dtype=np.float64)
    tail = np.maximum(stdtr(freedom, -np.abs(t)), SMALLEST_TAIL)
    z = -np.sign(t) * ndtri(np.where(np.isnan(t), np.nan, tail))
    with np.errstate(over="ignore", under="ignore"):
        log_density = (
            gammaln((freedom + 1) / 2)
            - gammaln(freedom / 2)
            - np.log(freedom * np.pi) / 2
            - (freedom + 1) / 2 * np.log1p((t / np.sqrt(freedom)) ** 2)
        )
        slope = np.exp(log_density + z**2 / 2 + np.log(2 * np.pi) / 2)
    return np.asarray(z), np.asarray(slope)


def _quadratic_forms(rows: Array, matrices: Array) -> Array:
    """X' M x for every row x and every matrix M, shape (n_rows, n_matrices)."""
    products = (rows[:, :, np.newaxis] * rows[:, np.newaxis, :]).reshape(len(rows), -1)
    return np.asarray(products @ matrices.reshape(len(matrices), products.shape[1]).T)


def _by_rows(is_known: NDArray[np.bool_]) -> list[tuple[NDArray[np.bool_], NDArray[np.intp]]]:
    """Features that the same people have, together: rows of these people, numbers of the features."""
    patterns, group = np.unique(is_known, axis=1, return_inverse=True)
    return [(patterns[:, number], np.flatnonzero(np.ravel(group) == number)) for number in range(patterns.shape[1])]


def _pseudo_inverse(design: Array) -> tuple[Array, int]:
    """Pseudo-inverse and rank; indicators of all sites add up to the constant, so the design has more columns."""
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    is_used = singular > 1e-10 * singular.max(initial=0.0)
    return (right[is_used].T / singular[is_used]) @ left[:, is_used].T, int(is_used.sum())


def _row_projector(pseudo_inverse: Array, design: Array) -> Array:
    """Projector on the combinations of coefficients that a design can tell, shape (n_terms, n_terms)."""
    return np.asarray(pseudo_inverse @ design)


def _check_varies(known: Array, residual: Array, names: Sequence[str]) -> None:
    is_fixed = (residual**2).sum(axis=0) <= 1e-20 * (known**2).sum(axis=0)
    if is_fixed.any():
        shown = [name for name, flag in zip(names, is_fixed, strict=True) if flag][:SHOWN_NAMES]
        raise TrainingError(
            f"{int(is_fixed.sum())} features do not vary among the controls: {', '.join(shown)}.",
            where="[reference] family",
            remedy="Leave these features out of the table, or choose other controls.",
        )

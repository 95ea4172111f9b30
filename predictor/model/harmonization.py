"""Site effects taken out of features: learned from the training people, applied to one new person at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from predictor.errors import ConfigError, MissingColumnError, TrainingError, UnseenSiteError
from predictor.model.outcome_definition import Covariate
from predictor.model.reliability import standard_error_column
from predictor.model.response_design import encoded_column
from predictor.model.site_correction import SiteCorrection, UnseenSitePolicy

Array = NDArray[np.float64]

# The posterior of a site's effect is found by iteration; changes below this share end it.
SHRINKAGE_TOLERANCE = 1e-6
MAX_SHRINKAGE_STEPS = 1000
MIN_PEOPLE_PER_SITE = 3
# A spread below this share of the values is rounding error: the feature is constant.
MIN_RELATIVE_SPREAD = 1e-12


class SiteHarmonization(TransformerMixin, BaseEstimator):
    """ComBat for a pipeline: no label at transform, one person at a time, unseen sites by a named policy.

    Each feature is standardised by a linear model of site and the preserved covariates; the sites' shifts and
    variances are shrunken towards their mean over the features by empirical Bayes; both are then removed. A missing
    value stays missing. All that is learned comes from the training rows; with one site only, nothing is changed.
    Standard errors of the features, where the table holds them, are scaled with their features.

    Parameters
    ----------
    features
        Columns to harmonise.
    site
        The covariate that is the site.
    preserved
        Covariates whose effect on the features is kept: part of the model, never removed.
    unseen_site
        For sites that are not among the training rows. "flag": features stay as they are (a bundle flags the answer);
        "reference": the same, but all other sites are moved to `reference_site`, so that a new site counts as the
        reference; "refuse": UnseenSiteError.
    reference_site
        Site that stays unchanged and to which the others are moved; None: the mean over all sites.

    Attributes
    ----------
    sites_
        Sites of the training rows, in alphabetical order.
    coefficients_ : ndarray of shape (n_preserved_columns, n_features)
    mean_, scale_ : ndarray of shape (n_features,)
    shift_, spread_ : ndarray of shape (n_sites, n_features)
    correction_
        All of these as a `SiteCorrection`.

    References
    ----------
    Johnson, Li and Rabinovic (2007), Biostatistics 8:118-127, doi 10.1093/biostatistics/kxj037.
    Fortin et al. (2018), NeuroImage 167:104-120, doi 10.1016/j.neuroimage.2017.11.024.
    """

    def __init__(
        self,
        *,
        features: tuple[str, ...],
        site: Covariate,
        preserved: tuple[Covariate, ...] = (),
        unseen_site: UnseenSitePolicy = "flag",
        reference_site: str | None = None,
    ) -> None:
        self.features = features
        self.site = site
        self.preserved = preserved
        self.unseen_site = unseen_site
        self.reference_site = reference_site

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Learn the sites' effects from the training rows.

        Raises
        ------
        ConfigError
            If the policy is unknown, or the reference site is needed and not given, or not among the rows.
        TrainingError
            If a site has fewer than three people, a feature has fewer than two values at a site, or someone lacks the
            site or a preserved covariate.
        MissingColumnError
            If a column is absent.
        """
        values, columns, sites = self._parts(X)
        names = tuple(sorted({site for site in sites if site is not None}))
        self._check(names, sites, columns)
        membership = np.array([[site == name for name in names] for site in sites], dtype=np.float64)
        self.n_features_in_ = X.shape[1]
        self.sites_ = names
        self._learn_location(values, columns, membership)
        self.shift_, self.spread_ = np.zeros((2, len(names), values.shape[1]))
        self.spread_ += 1.0
        if len(names) > 1:
            standardised = (values - self.mean_ - columns @ self.coefficients_) / self.scale_
            for number, name in enumerate(names):
                if name != self.reference_site:
                    self.shift_[number], self.spread_[number] = _shrunken(standardised[membership[:, number] > 0])
        self.correction_ = SiteCorrection(
            features=tuple(self.features),
            site=self.site.name,
            sites=names,
            preserved=tuple(self.preserved),
            reference_site=self.reference_site,
            centre=columns.mean(axis=0),
            coefficients=self.coefficients_,
            mean=self.mean_,
            scale=self.scale_,
            shift=self.shift_,
            spread=self.spread_,
        )
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the table with its features harmonised; other columns stay as they are.

        Raises
        ------
        UnseenSiteError
            If a site was not in training and the policy is to refuse.
        MissingColumnError
            If a column is absent.
        """
        values, columns, sites = self._parts(X)
        n_unseen = len({site for site in sites if site not in self.sites_})
        if n_unseen and self.unseen_site == "refuse":
            raise UnseenSiteError(
                f"people of {n_unseen} sites are to be judged by a model that has seen none of them.",
                where=self.site.name,
            )
        harmonised = self.correction_.apply(values, columns, sites)
        blocks = {name: harmonised.values[:, number] for number, name in enumerate(self.features)}
        for number, name in enumerate(map(standard_error_column, self.features)):
            if name in X:
                blocks[name] = X[name].to_numpy(dtype=np.float64, na_value=np.nan) * harmonised.gain[:, number]
        return _replaced(X, blocks)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns, which stay what they were."""
        return np.asarray(input_features if input_features is not None else self.features, dtype=object)

    def _parts(self, X: pd.DataFrame) -> tuple[Array, Array, list[str | None]]:
        """Features (n, n_features), preserved covariates (n, n_columns), and sites, None where unknown."""
        needed = [*self.features, *(covariate.name for covariate in self.preserved), self.site.name]
        positions = X.columns.get_indexer(pd.Index(needed, dtype=object))
        absent = [name for name, position in zip(needed, positions, strict=True) if position < 0]
        if absent:
            raise MissingColumnError(f"the table lacks {len(absent)} columns: {', '.join(absent[:5])}.")
        values = X.iloc[:, positions[: len(self.features)]].to_numpy(dtype=np.float64, na_value=np.nan)
        encoded = [encoded_column(covariate, X[covariate.name]) for covariate in self.preserved]
        columns = np.concatenate([np.zeros((len(X), 0)), *encoded], axis=1)
        return values, columns, [self.site.level_of(value) for value in X[self.site.name].tolist()]

    def _check(self, names: Sequence[str], sites: Sequence[str | None], columns: Array) -> None:
        if self.unseen_site not in get_args(UnseenSitePolicy):
            raise ConfigError(f"unknown policy for unseen sites: {self.unseen_site!r}.", where="unseen_site")
        if self.unseen_site == "reference" and self.reference_site is None:
            raise ConfigError("the policy `reference` needs a reference site.", where="reference_site")
        if self.reference_site is not None and self.reference_site not in names:
            raise ConfigError(
                f"the reference site {self.reference_site} has no training people.",
                where="reference_site",
                remedy="Name a site of the cohort; with leave-one-site-out it is left out once, so name none.",
            )
        if None in sites or not np.isfinite(columns).all():
            raise TrainingError("expected site and preserved covariates of everyone.", where=self.site.name)
        small = [name for name in names if sites.count(name) < MIN_PEOPLE_PER_SITE]
        if small and len(names) > 1:
            raise TrainingError(
                f"expected at least {MIN_PEOPLE_PER_SITE} training people at every site; fewer are from "
                f"{', '.join(small[:5])}.",
                where=self.site.name,
                remedy="Leave these sites out, pool them, or use larger folds.",
            )

    def _learn_location(self, values: Array, columns: Array, membership: Array) -> None:
        """Fit site means and covariates, over the people who have the feature; equal gaps are fitted together."""
        n_sites, n_features = membership.shape[1], values.shape[1]
        is_there = np.isfinite(values)
        is_short = membership.T @ is_there < 2
        if is_short.any() and n_sites > 1:
            site, number = (int(found[0]) for found in np.nonzero(is_short))
            raise TrainingError(
                f"{self.features[number]} has fewer than two values at {self.sites_[site]}.",
                where=self.site.name,
                remedy="Leave the feature or the site out.",
            )
        own = self.sites_.index(self.reference_site) if self.reference_site is not None else None
        weights = membership.mean(axis=0) if own is None else np.eye(n_sites)[own]
        design = np.column_stack([membership, columns])
        self.coefficients_ = np.zeros((columns.shape[1], n_features))
        self.mean_, self.scale_ = np.zeros(n_features), np.ones(n_features)
        patterns, pattern_of = np.unique(is_there, axis=1, return_inverse=True)
        for pattern in range(patterns.shape[1]):
            rows, members = patterns[:, pattern], np.flatnonzero(np.ravel(pattern_of) == pattern)
            if not rows.any():
                continue
            effects = np.linalg.lstsq(design[rows], values[np.ix_(rows, members)], rcond=None)[0]
            residual = values[np.ix_(rows, members)] - design[rows] @ effects
            counted = residual if own is None else residual[membership[rows, own] > 0]
            spread = np.sqrt(np.mean(counted**2, axis=0))
            is_varying = spread > MIN_RELATIVE_SPREAD * np.abs(values[np.ix_(rows, members)]).max(axis=0)
            self.mean_[members] = weights @ effects[:n_sites]
            self.coefficients_[:, members] = effects[n_sites:]
            self.scale_[members] = np.where(is_varying, spread, 1.0)


def _shrunken(standardised: Array) -> tuple[Array, Array]:
    """Posterior shift and variance of one site, each (n_features,), shrunken over features.

    Parameters
    ----------
    standardised
        The site's people, shape (n_people, n_features), NaN where missing.
    """
    n_people = np.isfinite(standardised).sum(axis=0)
    shift = np.nanmean(standardised, axis=0)
    spread = np.nanvar(standardised, axis=0, ddof=1)
    is_varying = spread > MIN_RELATIVE_SPREAD
    if standardised.shape[1] < 2 or not is_varying.all():  # nothing to borrow strength from
        return shift, np.where(is_varying, spread, 1.0)
    prior_shift, prior_variance = shift.mean(), shift.var(ddof=1)
    mean, variance = spread.mean(), spread.var(ddof=1)
    if not (prior_variance > 0 and variance > 0):
        return shift, spread
    shape, rate = (2 * variance + mean**2) / variance, (mean * variance + mean**3) / variance
    estimate, ratio = shift, spread
    for _ in range(MAX_SHRINKAGE_STEPS):
        previous = estimate, ratio
        estimate = (n_people * prior_variance * shift + ratio * prior_shift) / (n_people * prior_variance + ratio)
        squares = np.nansum((standardised - estimate) ** 2, axis=0)
        ratio = (squares / 2 + rate) / (n_people / 2 + shape - 1)
        change = max(
            np.max(np.abs(new - old) / np.maximum(np.abs(old), SHRINKAGE_TOLERANCE))
            for new, old in zip((estimate, ratio), previous, strict=True)
        )
        if change < SHRINKAGE_TOLERANCE:
            break
    return estimate, ratio


def _replaced(table: pd.DataFrame, columns: dict[str, Array]) -> pd.DataFrame:
    """Return the table with some columns exchanged, and the very same header."""
    kept = table.columns[~table.columns.isin(list(columns))]
    whole = pd.concat([table[kept], pd.DataFrame(columns, index=table.index)], axis=1)[list(table.columns)]
    whole.columns = table.columns
    return whole

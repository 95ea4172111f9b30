"""Does a feature matter more in one arm than in the other? A permutation test, family-wise over all features.

For every feature: outcome ~ covariates + arm + feature + arm x feature. The statistic is the interaction's coefficient
over its HC3 standard error, which holds when the arms differ in size and spread. Under the null hypothesis the
residuals of the model *without* the interaction carry no trace of arm x feature, so they are what is permuted
(Freedman and Lane): what the arm and the feature do for everyone stays where it is. Permuting the arms themselves would
turn the main effect of the arm into noise, and with it the test's level. Residuals stay within their arm, since arms
may differ in spread, and one permutation serves all features, so that the largest |t| keeps their correlation.
Where people belong to groups (families, repeated visits), the residuals of whole groups change places, with groups of
as many members in the same arms, whether an arm is given to groups or to members; standard errors then take the members
of a group together. A group without a counterpart keeps its residuals, which costs power, not level.

The null hypothesis is that *no* feature interacts with the arm: a feature that is correlated with one that does may
well be the one that is found. Whether arms were randomised is not known here; if they were not, a difference between
arms in whom they treated can pass for an interaction.

References
----------
Freedman D, Lane D (1983). A nonstochastic interpretation of reported significance levels. J Bus Econ Stat 1:292-298.
Winkler AM et al. (2014). Permutation inference for the general linear model. NeuroImage 92:381-397.
DiCiccio CJ, Romano JP (2017). Robust permutation tests for correlation and regression coefficients. J Am Stat Assoc
112:1211-1220.
Westfall PH, Young SS (1993). Resampling-based multiple testing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from predictor.errors import TrainingError
from training.evaluation.permutation import Exchange
from training.evaluation.robust_regression import MIN_FREE_SHARE, orthonormal_basis, summed_within

Floats = NDArray[np.float64]

NULL_HYPOTHESIS = "no feature relates to the outcome differently in the two arms"
METHOD = "Freedman-Lane permutation within arms of HC3-studentised interactions, maximum over features"
LEVEL = 0.05
POWER = 0.8
# Equal statistics must count as equal although their sums were added in another order.
TIE = 1 - 1e-9
# An interaction with less variance of its own than this share of the feature's cannot be told from the rest.
MIN_OWN_SHARE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class InteractionTest:
    """Arm x feature, one entry per feature; NaN where the interaction cannot be estimated."""

    names: tuple[str, ...]
    slope_difference: Floats  # treated minus control: outcome per standard deviation of the feature
    standard_error: Floats  # HC3, or CR3 where people belong to groups
    p_value: Floats  # of the feature alone, two-sided
    p_family: Floats  # corrected over all features
    null_largest: Floats  # (n_permutations,), sorted: largest |t| over the features
    n_fixed: int = 0  # people whose group has no counterpart to change places with

    @property
    def p_any(self) -> float:
        """P-value of the null hypothesis that no feature interacts with the arm; 1 where nothing can be estimated."""
        return float(np.nanmin(self.p_family)) if np.isfinite(self.p_family).any() else 1.0

    @property
    def strongest(self) -> int | None:
        """Position of the feature with the largest |t|."""
        if not np.isfinite(self.p_family).any():
            return None
        return int(np.nanargmax(np.abs(self.slope_difference / self.standard_error)))

    @property
    def detectable_slope_difference(self) -> float | None:
        """Difference of slopes that such a test finds with 80 % power, for a feature of median standard error."""
        if not np.isfinite(self.standard_error).any():
            return None
        threshold = float(np.quantile(self.null_largest, 1 - LEVEL, method="higher"))
        return float((threshold + stats.norm.ppf(POWER)) * np.nanmedian(self.standard_error))

    def document(self) -> dict[str, Any]:
        """Fields ready for JSON, the features by p-value."""
        order = np.argsort(-np.abs(np.nan_to_num(self.slope_difference / self.standard_error)), kind="stable")
        columns = ("slope_difference", "standard_error", "p_value", "p_family")
        features = [
            {"feature": self.names[one], **{name: _number(getattr(self, name)[one]) for name in columns}}
            for one in order
        ]
        return {
            "null_hypothesis": NULL_HYPOTHESIS,
            "method": METHOD,
            "level": LEVEL,
            "p": self.p_any,
            "n_permutations": len(self.null_largest),
            "n_not_exchanged": self.n_fixed,
            "detectable_slope_difference": self.detectable_slope_difference,
            "power_of_detectable": POWER,
            "features": features,
        }


def interaction_test(
    features: Floats,
    is_treated: NDArray[np.bool_],
    covariates: Floats,
    outcome: Floats,
    *,
    names: Sequence[str],
    n_permutations: int,
    seed: int,
    groups: Sequence[object] | None = None,
) -> InteractionTest:
    """Test arm x feature for every feature.

    Parameters
    ----------
    features
        Shape (n_people, n_features), nothing missing.
    is_treated
        Shape (n_people,).
    covariates
        Shape (n_people, n_covariates), nothing missing; the arm and the intercept are added here.
    outcome
        Shape (n_people,).
    names
        Of the features.
    n_permutations
        Permutations of the residuals besides the true order.
    seed
        Of the permutations.
    groups
        Group of everyone; groups change places as wholes. None: everyone is on their own.

    Raises
    ------
    TrainingError
        If fewer people are left than the models have terms, or too few groups are alike to change places.
    """
    exchange = _checked(Exchange.within(len(outcome), strata=is_treated.tolist(), groups=groups))
    problem = _InteractionProblem.of(features, is_treated, covariates, exchange.groups)
    residual = problem.reduced_residual(np.tile(outcome[:, np.newaxis], (1, features.shape[1])))
    slope, error = problem.estimate(residual)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.abs(slope / error)
    size[~problem.is_estimable] = np.nan
    rng = np.random.default_rng(seed)
    at_least, largest = np.ones(len(size)), np.zeros(n_permutations)
    for number in range(n_permutations):
        moved = residual[exchange.order(rng)]
        null_slope, null_error = problem.estimate(moved)
        with np.errstate(invalid="ignore", divide="ignore"):
            null = np.where(problem.is_estimable, np.nan_to_num(np.abs(null_slope / null_error)), 0.0)
        at_least += null >= size * TIE
        largest[number] = null.max(initial=0.0)
    p_family = (1 + (largest[:, np.newaxis] >= size * TIE).sum(axis=0)) / (1 + n_permutations)
    return InteractionTest(
        names=tuple(names),
        slope_difference=np.where(problem.is_estimable, slope, np.nan),
        standard_error=np.where(problem.is_estimable, error, np.nan),
        p_value=np.where(problem.is_estimable, at_least / (1 + n_permutations), np.nan),
        p_family=np.where(problem.is_estimable, p_family, np.nan),
        null_largest=np.sort(largest),
        n_fixed=exchange.n_fixed,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _InteractionProblem:
    """All features' models at once, made ready for many outcomes.

    Every feature has three orthogonal parts: what covariates and arm share (`basis`), its own main effect, and its own
    interaction.
    """

    basis: Floats  # (n_people, rank): intercept, covariates, arm
    main: Floats  # (n_people, n_features), columns of length 1
    interaction: Floats  # (n_people, n_features), orthogonal to basis and main
    energy: Floats  # (n_features,): squared length of `interaction`
    weights: Floats  # (n_people, n_features): of residuals, in what leaving out a person (or group) does to the slope
    is_estimable: NDArray[np.bool_]  # (n_features,)
    groups: NDArray[np.intp] | None  # (n_people,)

    @classmethod
    def of(
        cls,
        features: Floats,
        is_treated: NDArray[np.bool_],
        covariates: Floats,
        groups: NDArray[np.intp] | None,
    ) -> _InteractionProblem:
        """Take covariates, arm and main effects out of the interactions."""
        arm = np.where(is_treated, 0.5, -0.5)[:, np.newaxis]
        basis = orthonormal_basis(np.column_stack([np.ones(len(arm)), covariates, arm]))
        n_units, unit = (len(arm), "people") if groups is None else (len(np.unique(groups)), "groups")
        if n_units - basis.shape[1] - 2 < 1:
            raise TrainingError(
                f"an arm x feature interaction beside {basis.shape[1]} terms needs more than {n_units} {unit}.",
                where="[covariates]",
                remedy="Take fewer clinical covariates, or add people.",
            )
        spread = features.std(axis=0)
        is_constant = features.max(axis=0, initial=-np.inf) == features.min(axis=0, initial=np.inf)
        scaled = np.where(is_constant, 0.0, (features - features.mean(axis=0)) / np.where(is_constant, 1.0, spread))
        main = scaled - basis @ (basis.T @ scaled)
        has_main = (main**2).mean(axis=0) > MIN_OWN_SHARE
        main = np.where(has_main, main / np.sqrt(np.maximum((main**2).sum(axis=0), 1e-300)), 0.0)
        product = scaled * arm
        product = product - basis @ (basis.T @ product)
        product -= main * (main * product).sum(axis=0)
        energy = (product**2).sum(axis=0)
        is_estimable = has_main & (energy > MIN_OWN_SHARE * len(arm))
        energy = np.where(is_estimable, energy, 1.0)
        own = product / np.sqrt(energy)
        if groups is None:
            leverage = (basis**2).sum(axis=1)[:, np.newaxis] + main**2 + own**2
            weights = product / np.maximum(1 - leverage, MIN_FREE_SHARE)
        else:
            weights = _weights_of_groups(product, basis, main, own, groups)
        return cls(basis, main, product, energy, weights, is_estimable, groups)

    def reduced_residual(self, outcome: Floats) -> Floats:
        """Return what covariates, arm and the feature's main effect leave of outcomes (n_people, n_features)."""
        rest = outcome - self.basis @ (self.basis.T @ outcome)
        return np.asarray(rest - self.main * (self.main * rest).sum(axis=0))

    def estimate(self, outcome: Floats) -> tuple[Floats, Floats]:
        """Interaction and its HC3 standard error for one outcome per feature, shapes (n_features,)."""
        rest = self.reduced_residual(outcome)
        slope = (self.interaction * rest).sum(axis=0) / self.energy
        weighted = self.weights * (rest - self.interaction * slope)
        return slope, np.sqrt((summed_within(weighted, self.groups) ** 2).sum(axis=0)) / self.energy


def _weights_of_groups(product: Floats, basis: Floats, main: Floats, own: Floats, groups: NDArray[np.intp]) -> Floats:
    """Leave out whole groups (CR3): a group's block of 1 - leverage, inverted, times its part of the interaction."""
    weights = np.empty_like(product)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        of_features = np.stack([main[rows].T, own[rows].T], axis=-1)  # (n_features, n_members, 2)
        free = np.eye(len(rows)) - basis[rows] @ basis[rows].T - of_features @ of_features.swapaxes(1, 2)
        values, directions = np.linalg.eigh(free)
        along = np.einsum("fij,if->fj", directions, product[rows]) / np.maximum(values, MIN_FREE_SHARE)
        weights[rows] = np.einsum("fij,fj->if", directions, along)
    return weights


def _checked(exchange: Exchange) -> Exchange:
    """Refuse groups so different that no order of theirs could be significant."""
    if exchange.n_orders >= 1 / LEVEL:
        return exchange
    raise TrainingError(
        f"arm x feature cannot be tested: residuals stand in {exchange.n_orders:.0f} orders, because hardly any groups "
        f"have as many members in the same arms as another; a p of {LEVEL} takes {1 / LEVEL:.0f}.",
        where="[cohort] groups",
        remedy="Take one visit or one relative of everyone.",
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

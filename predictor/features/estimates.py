"""What one family says about one run: numbers with their standard errors, or reasons; and how runs are put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from predictor.errors import FeatureError


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Features of one family from one run, or from half of it. Every feature stands in `values` or in `missing`."""

    values: dict[str, float]
    standard_errors: dict[str, float] = field(default_factory=dict)  # unit of the value; absent: not known
    missing: dict[str, str] = field(default_factory=dict)  # why there is no value

    def __post_init__(self) -> None:
        both = self.values.keys() & self.missing.keys()
        if both:
            raise FeatureError(f"{min(both)} has a value and a reason for having none.")
        stray = self.standard_errors.keys() - self.values.keys()
        if stray:
            raise FeatureError(f"{min(stray)} has a standard error but no value.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all features, missing ones last."""
        return (*self.values, *self.missing)


def all_missing(names: Iterable[str], reason: str) -> Estimates:
    """Return estimates of which none could be made, all for one reason."""
    return Estimates({}, {}, dict.fromkeys(names, reason))


def region_reason(regions: Iterable[str], missing_regions: Mapping[str, str]) -> str | None:
    """Return why the first unusable one of some regions cannot be used; None if all can."""
    return next((missing_regions[region] for region in regions if region in missing_regions), None)


def merged(families: Iterable[Estimates]) -> Estimates:
    """Return the features of several families together."""
    values: dict[str, float] = {}
    errors: dict[str, float] = {}
    missing: dict[str, str] = {}
    for family in families:
        values |= family.values
        errors |= family.standard_errors
        missing |= family.missing
    return Estimates(values, errors, missing)


def finite_only(estimates: Estimates) -> Estimates:
    """Return the same with values that are no finite numbers missing: signals of absurd size overflow on the way."""
    values = {name: value for name, value in estimates.values.items() if np.isfinite(value)}
    lost = estimates.values.keys() - values.keys()
    errors = {name: error for name, error in estimates.standard_errors.items() if name in values and np.isfinite(error)}
    return Estimates(values, errors, estimates.missing | dict.fromkeys(lost, "the result is not a finite number"))


def combine_runs(runs: Sequence[Estimates], weights: Sequence[float]) -> Estimates:
    """Put together what several runs of a kind say, feature by feature.

    Parameters
    ----------
    runs
        Estimates of the same features, one per run, in the order of the runs; at least one.
    weights
        One positive weight per run: its kept volumes.

    Returns
    -------
    Estimates
        Weighted mean over the runs that have the feature, its standard error sqrt(sum w^2 se^2) / sum w (runs are
        independent; known only if known in each of those runs). A feature is missing if it is in every run, for the
        first run's reason.
    """
    values, errors, missing = {}, {}, {}
    for name in dict.fromkeys(name for run in runs for name in run.names):
        having = [(run, weight) for run, weight in zip(runs, weights, strict=True) if name in run.values]
        if not having:
            missing[name] = next(run.missing[name] for run in runs if name in run.missing)
            continue
        if len(having) == 1:  # the number itself: a weight would cost it its last digit
            run = having[0][0]
            values[name] = run.values[name]
            if name in run.standard_errors:
                errors[name] = run.standard_errors[name]
            continue
        share = np.array([weight for _, weight in having], dtype=np.float64)
        share /= share.sum()
        values[name] = float(share @ [run.values[name] for run, _ in having])
        if all(name in run.standard_errors for run, _ in having):
            errors[name] = float(np.linalg.norm(share * [run.standard_errors[name] for run, _ in having]))
    return Estimates(values, errors, missing)

"""What a small, named set of features weighs in the final model, with signs that can be compared with a publication."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from predictor.model.bundle import ModelBundle
from predictor.model.linear_model import LinearEnsemble, LinearResponseModel

FloatArray = NDArray[np.float64]

MOST_FEATURES = 20  # more coefficients than this are no list to read
LEVEL = 0.95
# A sign that holds in fewer resamples than this is not known.
FIRM_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One coefficient in the outcome's unit per standard deviation of the feature, with bootstrap percentiles."""

    feature: str
    arm: str  # "all": mean over the arms; "ketamine > midazolam": difference of the arms
    value: float
    lower: float
    upper: float
    sign_share: float  # of resamples with the sign of `value`; 0 where the model does not use the feature

    @property
    def is_firm(self) -> bool:
        """Whether nearly all resamples agree on the sign."""
        return self.sign_share >= FIRM_SHARE

    def line(self) -> str:
        """One line for the screen."""
        interval = f"[{self.lower:+.2f}, {self.upper:+.2f}]"
        return f"{self.feature:<52}{self.arm:<22}{self.value:+7.2f} {interval:<17} same sign {self.sign_share:4.0%}"


def coefficients(bundle: ModelBundle) -> tuple[Coefficient, ...]:
    """Return every measured feature's coefficient: over the arms; with two, also their difference and the first.

    Percentiles are over the bundle's bootstrap models, which keep the penalties of the full fit; an elastic net
    shrinks, so that intervals are of the shrunken coefficients. Models with trees have none.
    """
    model, resampled = bundle.model, bundle.bootstrap_models
    if not isinstance(model, LinearResponseModel) or not isinstance(resampled, LinearEnsemble):
        return ()
    drawn = _bootstrap_coefficients(resampled, model)  # (n_models, n_arms, n_inputs)
    contrasts = {"all": np.full(len(model.arms), 1 / len(model.arms))}
    if len(model.arms) == 2:  # the treatment of interest stands first
        first, second = model.arms
        contrasts |= {f"{first} > {second}": np.array([1.0, -1.0])}
        contrasts |= {first: np.array([1.0, 0.0])}
    found = []
    for definition in bundle.definitions:
        column = model.input_names.index(definition.name)
        for name, weights in contrasts.items():
            value = float(weights @ model.coefficients[:, column])
            found.append(_coefficient(definition.name, name, value, drawn[:, :, column] @ weights))
    return tuple(found)


def coefficient_lines(bundle: ModelBundle) -> Iterator[str]:
    """Lines on every coefficient, and on how little or much this number of people can tell; none for long lists."""
    if len(bundle.definitions) > MOST_FEATURES or not (found := coefficients(bundle)):
        return
    yield f"coefficients ({bundle.outcome.unit} per standard deviation, 95 % of {_n_models(bundle)} resamples)"
    for one in found:
        yield f"  {one.line()}"
    yield from sample_size_lines(bundle.trained_on, found)


def sample_size_lines(n_people: int, found: tuple[Coefficient, ...]) -> Iterator[str]:
    """Say what this many people can show of a single association, and how many signs are firm."""
    n_firm = sum(one.is_firm for one in found)
    yield (
        f"{n_people} people: a correlation has to exceed {significant_r(n_people):.2f} to differ from 0 (p < .05), and "
        f"has to be {detectable_r(n_people):.2f} in truth to be found four times in five"
    )
    yield f"{n_firm} of {len(found)} signs hold in at least {FIRM_SHARE:.0%} of resamples" + (
        "; the others are not known" if n_firm < len(found) else ""
    )


def significant_r(n_people: int) -> float:
    """Return the smallest |r| that differs from 0 at the two-sided 5 % level.

    Examples
    --------
    >>> round(significant_r(21), 2)
    0.43
    """
    t = stats.t.ppf(0.975, n_people - 2)
    return float(t / np.sqrt(n_people - 2 + t**2))


def detectable_r(n_people: int, *, power: float = 0.8) -> float:
    """Return the true |r| that is found at the two-sided 5 % level with this power (Fisher's z approximation).

    Examples
    --------
    >>> round(detectable_r(21), 2)
    0.58
    """
    return float(np.tanh((stats.norm.ppf(0.975) + stats.norm.ppf(power)) / np.sqrt(n_people - 3)))


def _coefficient(feature: str, arm: str, value: float, drawn: FloatArray) -> Coefficient:
    lower, upper = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    share = float(np.mean(np.sign(drawn) == np.sign(value))) if value else 0.0
    return Coefficient(feature, arm, value, float(lower), float(upper), share)


def _bootstrap_coefficients(ensemble: LinearEnsemble, model: LinearResponseModel) -> FloatArray:
    """Return coefficients per standard deviation of the full cohort, shape (n_models, n_arms, n_inputs)."""
    n_models = len(ensemble.model_start) - 1
    drawn = np.zeros((n_models, len(model.arms), ensemble.n_inputs))
    for number in range(n_models):
        entries = slice(ensemble.model_start[number], ensemble.model_start[number + 1])
        columns = ensemble.input_index[entries]
        drawn[number][:, columns] = ensemble.weights[:, entries] * model.scale[columns]
    return drawn


def _n_models(bundle: ModelBundle) -> int:
    return bundle.bootstrap_models.n_models

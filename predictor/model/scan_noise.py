"""How much the answer would wander if the same person were scanned again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from predictor.model.bundle import ModelBundle
from predictor.model.learned_features import summary_parts
from predictor.model.linear_model import LinearResponseModel
from predictor.model.person_inputs import PersonInputs

Array = NDArray[np.float64]

# A normal error is stood for by this many equally probable values; counts make the answer a step function of it.
N_NOISE_VALUES = 81


def scan_noise_variance(
    bundle: ModelBundle, person: PersonInputs, standard_errors: Mapping[str, float | None], *, arm: str
) -> float | None:
    """Variance of the expected outcome from the standard errors of this visit's features.

    For a linear model the sum over features of (weight * standard error)^2. The errors are taken to be independent,
    which those of connections that share a region are not: it is an order of magnitude. A feature that the reference
    judges acts by itself, through its deviation, and by crossing the threshold of hypo- and hyperconnectivity; the
    variance is over all of these together.

    Parameters
    ----------
    bundle, person
        The model and the visit.
    standard_errors
        By measured feature, in the feature's unit; None or absent where unknown, which counts as no noise.
    arm
        The arm whose expected outcome is meant.

    Returns
    -------
    float or None
        In squared units of the outcome; None if no feature that matters has a standard error.
    """
    if not standard_errors:
        return None
    of_feature = np.array([_or_nan(standard_errors.get(name)) for name in bundle.feature_names], dtype=np.float64)
    if person.gain is not None:
        of_feature = of_feature * person.gain
    is_known = np.isfinite(of_feature) & np.isfinite(person.values[: len(of_feature)])
    if not (is_known & bundle.is_needed).any():
        return None
    errors = np.where(is_known, of_feature, 0.0)
    arm_index = bundle.arms.index(arm)
    if bundle.deviations is None or person.deviations is None:
        of_inputs = np.zeros(len(person.values))
        of_inputs[: len(errors)] = errors
        return bundle.model.noise_variance(person.values, of_inputs, arm_index)
    assert isinstance(bundle.model, LinearResponseModel), "a bundle lets no other model take learned features"
    weights, sources = bundle.model.weights[arm_index], bundle.source_numbers
    linear = weights[: len(errors)] * errors
    moved = linear[sources] * _noise()[:, np.newaxis] + _through_deviations(
        bundle, person, weights[len(errors) : bundle.n_features], errors[sources]
    )
    others = np.delete(linear, sources)
    return float((others**2).sum() + moved.var(axis=0).sum())


def deviation_standard_errors(
    bundle: ModelBundle, person: PersonInputs, standard_errors: Mapping[str, float | None]
) -> Array:
    """Return the standard error of every deviation from that of its feature, shape (n_sources,), NaN where unknown."""
    if bundle.deviations is None or person.deviations is None:
        return np.empty(0)
    of_source = [_or_nan(standard_errors.get(name)) for name in bundle.deviations.reference.sources]
    return np.where(np.isfinite(person.deviations.z), np.abs(person.deviations.slope) * of_source, np.nan)


def _through_deviations(bundle: ModelBundle, person: PersonInputs, weights: Array, errors: Array) -> Array:
    """Return what deviation, counts and mean make of each source's noise, shape (N_NOISE_VALUES, n_sources)."""
    step, deviations = bundle.deviations, person.deviations
    assert step is not None, "asked only where there is a reference"
    assert deviations is not None, "asked only where there is a reference"
    whole, n_sources = step.expand(weights), len(errors)
    z = deviations.z + np.where(np.isfinite(deviations.slope), deviations.slope, 0.0) * errors * _noise()[:, np.newaxis]
    parts = summary_parts(z, threshold=step.threshold)
    of_parts = np.einsum("p,vps->vs", whole[n_sources:], parts)
    return np.asarray(whole[:n_sources] * np.nan_to_num(z) + of_parts)


def _noise() -> Array:
    """Equally probable values of a standard normal, scaled to variance 1."""
    values = ndtri((np.arange(N_NOISE_VALUES) + 0.5) / N_NOISE_VALUES)
    return np.asarray(values / values.std())


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value

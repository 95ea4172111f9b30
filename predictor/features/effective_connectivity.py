"""Directed connectivity by regression dynamic causal modelling: who drives whom, in hertz.

Every region's regression (`predictor.features.network_regression`) is solved by variational Bayes: a normal posterior
of the connections, a gamma posterior of the noise precision, by turns until the evidence stands still.

References
----------
Frässle et al. (2017), NeuroImage 155:406-421, doi 10.1016/j.neuroimage.2017.02.090.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from predictor.errors import FeatureError
from predictor.features.network_regression import NetworkRegression, RegionRegression

# Prior of the noise precision: shape and rate.
NOISE_SHAPE = 2.0
NOISE_RATE = 1.0
_EVIDENCE_TOLERANCE = 1e-10  # of the squared change of the evidence
_MAX_ITERATIONS = 500


@dataclass(frozen=True, slots=True, eq=False)
class EffectiveConnectivity:
    """Posterior of the connections; row = region that is driven, column = region that drives."""

    connections_hz: NDArray[np.float64]  # (n_regions, n_regions); 0 where a connection is left out
    variance: NDArray[np.float64]  # (n_regions, n_regions), posterior, Hz squared
    input_weights: NDArray[np.float64]  # (n_regions, n_inputs), Hz
    input_variance: NDArray[np.float64]  # (n_regions, n_inputs), posterior, Hz squared
    noise_precision: NDArray[np.float64]  # (n_regions,), posterior mean
    n_frequencies: NDArray[np.int64]  # (n_regions,), complex frequencies that the posterior rests on
    log_evidence: float  # lower bound, sum over regions


@dataclass(frozen=True, slots=True, eq=False)
class _Posterior:
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    noise_precision: float
    log_evidence: float


def fit_effective_connectivity(regression: NetworkRegression) -> EffectiveConnectivity:
    """Regression DCM of one run.

    Parameters
    ----------
    regression
        What `network_regression` made of the run.

    Returns
    -------
    EffectiveConnectivity
        Connections in Hz.

    Raises
    ------
    FeatureError
        If the fit does not converge.
    """
    n_regions, of_inputs, hz = regression.n_regions, regression.input_columns, regression.hz_per_weight
    posteriors = [_posterior(regression.of(region)) for region in range(n_regions)]
    mean, variance = np.zeros(regression.is_present.shape), np.zeros(regression.is_present.shape)
    for region, posterior in enumerate(posteriors):
        mean[region, regression.is_present[region]] = posterior.mean
        variance[region, regression.is_present[region]] = np.diag(posterior.covariance)
    return EffectiveConnectivity(
        connections_hz=mean[:, :n_regions],
        variance=variance[:, :n_regions],
        input_weights=hz * mean[:, of_inputs],
        input_variance=hz**2 * variance[:, of_inputs],
        noise_precision=np.array([posterior.noise_precision for posterior in posteriors]),
        n_frequencies=np.count_nonzero(regression.is_used, axis=0),
        log_evidence=sum(posterior.log_evidence for posterior in posteriors),
    )


def _posterior(regression: RegionRegression) -> _Posterior:
    """Variational Bayes of one region."""
    regressors, slopes = regression.regressors, regression.slopes
    prior_mean, prior_precision = regression.prior_mean, regression.prior_precision
    n_frequencies = len(slopes)
    information = np.real(regressors.conj().T @ regressors)
    correlation = np.real(regressors.conj().T @ slopes)
    shape = NOISE_SHAPE + n_frequencies / 2
    noise_precision, log_evidence = NOISE_SHAPE / NOISE_RATE, -np.inf
    for _ in range(_MAX_ITERATIONS):
        covariance = np.asarray(
            np.linalg.inv(noise_precision * information + np.diag(prior_precision)), dtype=np.float64
        )
        mean = covariance @ (noise_precision * correlation + prior_precision * prior_mean)
        error = float(np.sum(np.abs(slopes - regressors @ mean) ** 2) + np.trace(information @ covariance))
        rate = NOISE_RATE + error / 2
        noise_precision = shape / rate
        previous, log_evidence = (
            log_evidence,
            _log_evidence(mean - prior_mean, covariance, prior_precision, error, shape, rate, n_frequencies),
        )
        if (log_evidence - previous) ** 2 < _EVIDENCE_TOLERANCE:
            return _Posterior(mean, covariance, noise_precision, log_evidence)
    raise FeatureError(f"effective connectivity did not converge in {_MAX_ITERATIONS} steps.")


def _log_evidence(
    deviation: NDArray[np.float64],
    covariance: NDArray[np.float64],
    prior_precision: NDArray[np.float64],
    error: float,
    shape: float,
    rate: float,
    n_frequencies: int,
) -> float:
    """Lower bound on the log evidence of one region."""
    log_precision = special.digamma(shape) - np.log(rate)
    likelihood = 0.5 * n_frequencies * (log_precision - np.log(2 * np.pi)) - 0.5 * shape / rate * error
    parameters = 0.5 * (
        np.sum(np.log(prior_precision))
        - deviation @ (prior_precision * deviation)
        - prior_precision @ np.diag(covariance)
        + len(deviation)
        + np.linalg.slogdet(covariance)[1]
    )
    noise_prior = (
        NOISE_SHAPE * np.log(NOISE_RATE)
        - special.gammaln(NOISE_SHAPE)
        + (NOISE_SHAPE - 1) * log_precision
        - NOISE_RATE * shape / rate
    )
    noise_entropy = shape - np.log(rate) + special.gammaln(shape) + (1 - shape) * special.digamma(shape)
    return float(likelihood + parameters + noise_prior + noise_entropy)

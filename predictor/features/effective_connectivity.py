"""Directed connectivity by regression dynamic causal modelling: who drives whom, in hertz.

A linear dynamic model, Fourier-transformed, turns into one Bayesian linear regression per region. Not yet part of the
default feature families.

References
----------
Frässle et al. (2017), NeuroImage 155:406-421, doi 10.1016/j.neuroimage.2017.02.090.
Frässle et al. (2021), Human Brain Mapping 42:2159-2180 (rest), doi 10.1002/hbm.25357.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from predictor.errors import FeatureError
from predictor.features.balloon_response import balloon_response

BINS_PER_VOLUME = 16
# Priors: mean and precision of self-connections, precision of all other connections (times or per number of regions),
# of inputs and of the constant; shape and rate of the noise precision.
SELF_CONNECTION_MEAN_HZ = -0.5
SELF_CONNECTION_PRECISION = 8.0
CONNECTION_PRECISION = 1 / 8
INPUT_PRECISION = 1.0
CONSTANT_PRECISION = 1e-8
NOISE_SHAPE = 2.0
NOISE_RATE = 1.0
_SPECTRUM_THRESHOLD = 1e-4  # a frequency carries signal when the response's spectrum exceeds this
_SHORTEST_PERIOD = 16.0  # with 7 / 16 of the frequencies on either side, those near the Nyquist frequency drop out
_EVIDENCE_TOLERANCE = 1e-10  # of the squared change of the evidence
_MAX_ITERATIONS = 500


@dataclass(frozen=True, slots=True, eq=False)
class EffectiveConnectivity:
    """Posterior of the connections; row = region that is driven, column = region that drives."""

    connections_hz: NDArray[np.float64]  # (n_regions, n_regions); 0 where a connection is left out
    variance: NDArray[np.float64]  # (n_regions, n_regions), posterior
    input_weights: NDArray[np.float64]  # (n_regions, n_inputs)
    log_evidence: float  # lower bound, sum over regions


@dataclass(frozen=True, slots=True, eq=False)
class _Posterior:
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    log_evidence: float


def fit_effective_connectivity(
    bold: NDArray[np.float64],
    repetition_time_s: float,
    *,
    inputs: NDArray[np.float64] | None = None,
    connection_mask: NDArray[np.bool_] | None = None,
    input_mask: NDArray[np.bool_] | None = None,
    filter_strength: float = 1.0,
) -> EffectiveConnectivity:
    """Regression DCM of one run.

    Parameters
    ----------
    bold
        Region signals, shape (n_volumes, n_regions), mean near zero; priors suppose a standard deviation near 1.
    repetition_time_s
        Time between volumes.
    inputs
        Stimuli on the microtime grid, shape (16 * n_volumes, n_inputs), 0 and 1. None: rest.
    connection_mask
        Which connections exist, shape (n_regions, n_regions), [to, from]. None: all.
    input_mask
        Which inputs reach which region, shape (n_regions, n_inputs). None: all.
    filter_strength
        A frequency is kept if it stands out of the noise by this many standard deviations.

    Returns
    -------
    EffectiveConnectivity
        Connections in Hz.

    Raises
    ------
    FeatureError
        If shapes do not fit or signals hold gaps.
    """
    n_volumes, n_regions = bold.shape
    _check_input(bold, inputs)
    response = balloon_response(n_volumes * BINS_PER_VOLUME, repetition_time_s / BINS_PER_VOLUME)
    driving = _convolved_inputs(inputs, response, n_volumes)
    is_informative = informative_frequencies(bold, response, driving, filter_strength=filter_strength)
    spectrum = np.where(is_informative, np.fft.fft(bold, axis=0), 0)
    shift = np.exp(2j * np.pi * np.arange(n_volumes) / n_volumes) - 1
    slopes = shift[:, None] * spectrum / repetition_time_s
    regressors = np.column_stack([spectrum, np.fft.fft(driving, axis=0)])
    is_used = up_to_highest(is_informative)
    n_inputs = 0 if inputs is None else inputs.shape[1]
    is_present = _present(n_regions, n_inputs, driving.shape[1], connection_mask, input_mask)
    posteriors = []
    for region in range(n_regions):
        prior_mean, prior_precision = _prior(region, n_regions, n_inputs, driving.shape[1])
        rows, columns = is_used[:, region], is_present[region]
        posteriors.append(
            _regress(
                regressors[np.ix_(rows, columns)], slopes[rows, region], prior_mean[columns], prior_precision[columns]
            )
        )
    mean, variance = np.zeros(is_present.shape), np.zeros(is_present.shape)
    for region, posterior in enumerate(posteriors):
        mean[region, is_present[region]] = posterior.mean
        variance[region, is_present[region]] = np.diag(posterior.covariance)
    return EffectiveConnectivity(
        connections_hz=mean[:, :n_regions],
        variance=variance[:, :n_regions],
        input_weights=BINS_PER_VOLUME * mean[:, n_regions : n_regions + n_inputs],
        log_evidence=sum(posterior.log_evidence for posterior in posteriors),
    )


def informative_frequencies(
    bold: NDArray[np.float64],
    response: NDArray[np.float64],
    driving: NDArray[np.float64],
    *,
    filter_strength: float,
) -> NDArray[np.bool_]:
    """Frequencies that carry signal rather than noise, per region.

    Parameters
    ----------
    bold
        Region signals, shape (n_volumes, n_regions).
    response
        Haemodynamic response on the microtime grid, shape (16 * n_volumes,).
    driving
        Convolved inputs and the constant, shape (n_volumes, n_inputs + 1); no columns at rest.
    filter_strength
        Standard deviations of noise that a frequency must exceed.

    Returns
    -------
    ndarray of bool, shape (n_volumes, n_regions)
        Symmetric; zero is always kept.
    """
    n_volumes = len(bold)
    is_task = driving.shape[1] > 0
    period = _SHORTEST_PERIOD if is_task else max(_SHORTEST_PERIOD + 4 * (filter_strength - 1), _SHORTEST_PERIOD)
    n_side = min(int(7 * n_volumes / period + 0.5), n_volumes // 2)
    carries_signal = np.abs(np.fft.fft(response[::BINS_PER_VOLUME])) > _SPECTRUM_THRESHOLD
    if is_task:
        carries_signal &= (np.abs(np.fft.fft(driving[:, :-1], axis=0)) > _SPECTRUM_THRESHOLD).any(axis=1)
    order = np.arange(n_volumes)
    is_slow = np.minimum(order, n_volumes - order) <= n_side
    is_informative = np.stack(
        [_stands_out(values, carries_signal, filter_strength) for values in np.fft.fft(bold, axis=0).T], axis=1
    )
    is_informative &= is_slow[:, None]
    is_informative |= is_informative[-order % n_volumes]
    is_informative[0] = True
    return is_informative


def up_to_highest(is_informative: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the frequencies up to the highest informative one of each region, on both sides; shape stays."""
    order = np.arange(len(is_informative))
    distance = np.minimum(order, len(order) - order)[:, None]
    return np.asarray(distance <= (distance * is_informative).max(axis=0), dtype=np.bool_)


def _stands_out(
    values: NDArray[np.complex128], carries_signal: NDArray[np.bool_], filter_strength: float
) -> NDArray[np.bool_]:
    noise = values[~carries_signal]
    if noise.size < 2:  # no frequency is free of signal, so there is nothing to compare with
        return carries_signal
    is_above = (np.abs(values.real) > filter_strength * noise.real.std(ddof=1)) | (
        np.abs(values.imag) > filter_strength * noise.imag.std(ddof=1)
    )
    return np.asarray(carries_signal & is_above, dtype=np.bool_)


def _regress(
    regressors: NDArray[np.complex128],
    slopes: NDArray[np.complex128],
    prior_mean: NDArray[np.float64],
    prior_precision: NDArray[np.float64],
) -> _Posterior:
    """Variational Bayes of one region; frequencies are complex and count once."""
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
            return _Posterior(mean, covariance, log_evidence)
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


def _convolved_inputs(
    inputs: NDArray[np.float64] | None, response: NDArray[np.float64], n_volumes: int
) -> NDArray[np.float64]:
    """Return what the scanner sees of the inputs, and a constant: (n_volumes, n_inputs + 1); no columns at rest."""
    if inputs is None:
        return np.empty((n_volumes, 0))
    product = np.fft.fft(inputs, axis=0) * np.fft.fft(response)[:, None]
    convolved = np.real(np.fft.ifft(product, axis=0))[::BINS_PER_VOLUME]
    return np.column_stack([convolved, np.ones(n_volumes)])


def _present(
    n_regions: int,
    n_inputs: int,
    n_driving: int,
    connection_mask: NDArray[np.bool_] | None,
    input_mask: NDArray[np.bool_] | None,
) -> NDArray[np.bool_]:
    """Which regressors each region has, shape (n_regions, n_regions + n_driving)."""
    is_present = np.ones((n_regions, n_regions + n_driving), dtype=np.bool_)
    if connection_mask is not None:
        is_present[:, :n_regions] = connection_mask
    if input_mask is not None:
        is_present[:, n_regions : n_regions + n_inputs] = input_mask
    return is_present


def _prior(
    region: int, n_regions: int, n_inputs: int, n_driving: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = np.zeros(n_regions + n_driving)
    precision = np.full(n_regions + n_driving, INPUT_PRECISION)
    precision[:n_regions] = CONNECTION_PRECISION * n_regions
    precision[n_regions + n_inputs :] = CONSTANT_PRECISION
    mean[region] = SELF_CONNECTION_MEAN_HZ
    precision[region] = SELF_CONNECTION_PRECISION * n_regions
    return mean, precision


def _check_input(bold: NDArray[np.float64], inputs: NDArray[np.float64] | None) -> None:
    if not np.isfinite(bold).all():
        raise FeatureError("effective connectivity needs signals without gaps.")
    if inputs is not None and inputs.shape[0] != len(bold) * BINS_PER_VOLUME:
        raise FeatureError(f"expected inputs of {len(bold) * BINS_PER_VOLUME} microtime bins, got {inputs.shape[0]}.")

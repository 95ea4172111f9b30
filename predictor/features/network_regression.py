"""One linear regression per region: what regression dynamic causal modelling makes of a run.

A linear dynamic model dx/dt = A x + C u, seen through one haemodynamic response for all regions, says how fast each
region's signal changes: a sum over all regions' signals and over what the scanner sees of the inputs. In the Fourier
domain this is a regression per region, over the frequencies that carry signal.

References
----------
Frässle et al. (2017), NeuroImage 155:406-421, doi 10.1016/j.neuroimage.2017.02.090.
Frässle et al. (2021), Human Brain Mapping 42:2159-2180 (rest), doi 10.1002/hbm.25357.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.balloon_response import balloon_response

BINS_PER_VOLUME = 16
# Priors: mean and precision of self-connections, precision of all other connections (times or per number of regions),
# of inputs and of the constant.
SELF_CONNECTION_MEAN_HZ = -0.5
SELF_CONNECTION_PRECISION = 8.0
CONNECTION_PRECISION = 1 / 8
INPUT_PRECISION = 1.0
CONSTANT_PRECISION = 1e-8
_SPECTRUM_THRESHOLD = 1e-4  # a frequency carries signal when the response's spectrum exceeds this
_SHORTEST_PERIOD = 16.0  # with 7 / 16 of the frequencies on either side, those near the Nyquist frequency drop out


@dataclass(frozen=True, slots=True, eq=False)
class RegionRegression:
    """What explains one region: its own columns, at its own frequencies; frequencies are complex and count once."""

    regressors: NDArray[np.complex128]  # (n_frequencies, n_columns)
    slopes: NDArray[np.complex128]  # (n_frequencies,), what is explained
    prior_mean: NDArray[np.float64]  # (n_columns,)
    prior_precision: NDArray[np.float64]  # (n_columns,)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkRegression:
    """The same columns for all regions: regions, inputs, then the constant if there is one."""

    regressors: NDArray[np.complex128]  # (n_volumes, n_columns)
    slopes: NDArray[np.complex128]  # (n_volumes, n_regions)
    is_used: NDArray[np.bool_]  # (n_volumes, n_regions), frequencies
    is_present: NDArray[np.bool_]  # (n_regions, n_columns), columns
    prior_mean: NDArray[np.float64]  # (n_regions, n_columns)
    prior_precision: NDArray[np.float64]  # (n_regions, n_columns)
    n_inputs: int
    hz_per_weight: int  # turns the coefficient of an input into Hz

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return int(self.slopes.shape[1])

    @property
    def input_columns(self) -> slice:
        """Where the inputs stand among the columns."""
        return slice(self.n_regions, self.n_regions + self.n_inputs)

    def of(self, region: int) -> RegionRegression:
        """Return the regression of one region."""
        rows, columns = self.is_used[:, region], self.is_present[region]
        return RegionRegression(
            regressors=self.regressors[np.ix_(rows, columns)],
            slopes=self.slopes[rows, region],
            prior_mean=self.prior_mean[region, columns],
            prior_precision=self.prior_precision[region, columns],
        )


def network_regression(
    bold: NDArray[np.float64],
    repetition_time_s: float,
    *,
    inputs: NDArray[np.float64] | None = None,
    connection_mask: NDArray[np.bool_] | None = None,
    input_mask: NDArray[np.bool_] | None = None,
    filter_strength: float = 1.0,
    is_model_output: bool = False,
) -> NetworkRegression:
    """Turn a run into regressions with their priors.

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
    is_model_output
        Signals made by the model itself, as in recovery studies: they have no constant to be explained, and the prior
        of an input holds for its weight in Hz (for measured signals, for a 16th of it).

    Raises
    ------
    FeatureError
        If shapes do not fit or signals hold gaps.
    """
    _check_input(bold, inputs)
    # The response is that to an input of one bin. For measured signals the weight is counted per bin, 16 to a volume.
    hz_per_weight = 1 if is_model_output else BINS_PER_VOLUME
    response = balloon_response(len(bold) * BINS_PER_VOLUME, repetition_time_s / BINS_PER_VOLUME)
    driving = _convolved_inputs(inputs, response, len(bold)) * (hz_per_weight / BINS_PER_VOLUME)
    n_regions, n_inputs = bold.shape[1], driving.shape[1]
    is_informative = informative_frequencies(bold, response, inputs, filter_strength=filter_strength)
    spectrum = np.where(is_informative, np.fft.fft(bold, axis=0), 0)
    shift = np.exp(2j * np.pi * np.arange(len(bold)) / len(bold)) - 1
    constant = np.ones((len(bold), 1 if n_inputs and not is_model_output else 0))
    regressors = np.column_stack([spectrum, np.fft.fft(np.column_stack([driving, constant]), axis=0)])
    prior_mean, prior_precision = _prior(n_regions, n_inputs, regressors.shape[1])
    return NetworkRegression(
        regressors=regressors,
        slopes=shift[:, None] * spectrum / repetition_time_s,
        is_used=up_to_highest(is_informative),
        is_present=_present(prior_mean.shape, n_regions, n_inputs, connection_mask, input_mask),
        prior_mean=prior_mean,
        prior_precision=prior_precision,
        n_inputs=n_inputs,
        hz_per_weight=hz_per_weight,
    )


def informative_frequencies(
    bold: NDArray[np.float64],
    response: NDArray[np.float64],
    inputs: NDArray[np.float64] | None,
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
    inputs
        Stimuli on the microtime grid, shape (16 * n_volumes, n_inputs); None at rest.
    filter_strength
        Standard deviations of noise that a frequency must exceed.

    Returns
    -------
    ndarray of bool, shape (n_volumes, n_regions)
        Symmetric; zero is always kept.
    """
    n_volumes = len(bold)
    order = np.arange(n_volumes)
    distance = np.minimum(order, n_volumes - order)  # of a frequency from zero
    period = (
        _SHORTEST_PERIOD if inputs is not None else max(_SHORTEST_PERIOD + 4 * (filter_strength - 1), _SHORTEST_PERIOD)
    )
    carries_signal = np.abs(np.fft.fft(response[::BINS_PER_VOLUME])) > _SPECTRUM_THRESHOLD
    if inputs is not None:
        # A stimulus that comes at regular times leaves most frequencies empty, and what is there must be noise.
        spectrum = np.abs(np.fft.rfft(inputs, axis=0))[distance] / BINS_PER_VOLUME
        carries_signal &= (spectrum > _SPECTRUM_THRESHOLD).any(axis=1)
    is_slow = distance <= int(7 * n_volumes / period + 0.5)
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


def _convolved_inputs(
    inputs: NDArray[np.float64] | None, response: NDArray[np.float64], n_volumes: int
) -> NDArray[np.float64]:
    """Return what the scanner sees of the inputs, shape (n_volumes, n_inputs); no columns at rest."""
    if inputs is None:
        return np.empty((n_volumes, 0))
    product = np.fft.fft(inputs, axis=0) * np.fft.fft(response)[:, None]
    return np.asarray(np.real(np.fft.ifft(product, axis=0))[::BINS_PER_VOLUME])


def _present(
    shape: tuple[int, ...],
    n_regions: int,
    n_inputs: int,
    connection_mask: NDArray[np.bool_] | None,
    input_mask: NDArray[np.bool_] | None,
) -> NDArray[np.bool_]:
    """Return which columns each region has, shape (n_regions, n_columns)."""
    is_present = np.ones(shape, dtype=np.bool_)
    if connection_mask is not None:
        is_present[:, :n_regions] = connection_mask
    if input_mask is not None:
        is_present[:, n_regions : n_regions + n_inputs] = input_mask
    return is_present


def _prior(n_regions: int, n_inputs: int, n_columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means and precisions, shape (n_regions, n_columns)."""
    own = np.arange(n_regions)
    mean = np.zeros((n_regions, n_columns))
    mean[own, own] = SELF_CONNECTION_MEAN_HZ
    precision = np.full((n_regions, n_columns), CONSTANT_PRECISION)
    precision[:, n_regions : n_regions + n_inputs] = INPUT_PRECISION
    precision[:, :n_regions] = CONNECTION_PRECISION * n_regions
    precision[own, own] = SELF_CONNECTION_PRECISION * n_regions
    return mean, precision


def _check_input(bold: NDArray[np.float64], inputs: NDArray[np.float64] | None) -> None:
    if not np.isfinite(bold).all():
        raise FeatureError("effective connectivity needs signals without gaps.")
    if inputs is not None and inputs.shape[0] != len(bold) * BINS_PER_VOLUME:
        raise FeatureError(f"expected inputs of {len(bold) * BINS_PER_VOLUME} microtime bins, got {inputs.shape[0]}.")

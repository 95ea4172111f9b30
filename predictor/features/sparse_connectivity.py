"""Directed connectivity when it is not known which connections exist: sparse regression DCM.

Every connection between two regions has a switch; whether it is on is inferred together with its strength. The
evidence has many local maxima, so the search starts from many places and keeps the best. Made for networks of dozens
of regions and long runs; the features of the circuit use the plain model, `predictor.features.effective_connectivity`.

References
----------
Frässle et al. (2018), NeuroImage 179:505-529, doi 10.1016/j.neuroimage.2018.05.058.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from predictor.errors import FeatureError
from predictor.features.effective_connectivity import NOISE_RATE, NOISE_SHAPE
from predictor.features.network_regression import NetworkRegression, RegionRegression

_SMALLEST_CHANGE = 1e-5  # of the evidence, below which a search has ended
_FEWEST_ROUNDS = 5
_MAX_ROUNDS = 500
# Starts are random inclusion probabilities, from even (power 1) to few connections (power 12).
_SPARSEST_START = 12.0
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class SparseConnectivity:
    """Posterior of strengths and switches; row = region that is driven, column = region that drives."""

    connections_hz: NDArray[np.float64]  # (n_regions, n_regions); 0 where a connection is more likely absent
    inclusion: NDArray[np.float64]  # (n_regions, n_regions), posterior probability that a connection exists
    input_weights: NDArray[np.float64]  # (n_regions, n_inputs), Hz
    objective: float  # lower bound on the log evidence up to a constant, sum over regions


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """What a region's search needs of its regression."""

    information: NDArray[np.float64]  # (n_columns, n_columns)
    correlation: NDArray[np.float64]  # (n_columns,)
    energy: float  # of what is explained
    n_frequencies: int
    prior_mean: NDArray[np.float64]  # (n_columns,)
    prior_precision: NDArray[np.float64]  # (n_columns,)
    switched: NDArray[np.intp]  # columns that may be off
    log_odds: float  # prior, of a switch being on


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """State of all searches of one region; axis 0 counts the starts."""

    mean: NDArray[np.float64]  # (n_starts, n_columns)
    inclusion: NDArray[np.float64]  # (n_starts, n_columns)
    objective: NDArray[np.float64]  # (n_starts,)


def fit_sparse_connectivity(
    regression: NetworkRegression,
    *,
    prior_inclusion: float = 0.15,
    n_starts: int = 40,
    random_state: int = 0,
    start: NDArray[np.float64] | None = None,
) -> SparseConnectivity:
    """Sparse regression DCM of one run.

    Parameters
    ----------
    regression
        What `network_regression` made of the run. Connections and inputs that its masks leave out stay out;
        self-connections and inputs have no switch.
    prior_inclusion
        Probability that a connection exists before anything is seen, between 0 and 1.
    n_starts
        Random starts per region.
    random_state
        Seed of starts and of the order in which switches are visited.
    start
        Inclusion probabilities to start from, shape (n_regions, n_regions), in place of random ones.

    Returns
    -------
    SparseConnectivity
        Of the best search of each region.

    Raises
    ------
    FeatureError
        If the prior probability is not between 0 and 1, or there is no start.
    """
    if not (0 < prior_inclusion < 1 and n_starts >= 1):
        raise FeatureError(f"an inclusion of {prior_inclusion} or {n_starts} starts are not possible.")
    rng = np.random.default_rng(random_state)
    mean, inclusion = np.zeros(regression.is_present.shape), np.zeros(regression.is_present.shape)
    objective = 0.0
    for region in range(regression.n_regions):
        columns = np.flatnonzero(regression.is_present[region])
        problem = _problem(regression.of(region), columns, region, regression.n_regions, prior_inclusion)
        given = None if start is None else start[region, columns[problem.switched]]
        search = _searched(problem, _starts(problem, n_starts, rng) if given is None else given[None, :], rng)
        best = int(np.argmax(search.objective))
        mean[region, columns] = np.where(search.inclusion[best] >= 0.5, search.mean[best], 0.0)
        inclusion[region, columns] = search.inclusion[best]
        objective += float(search.objective[best])
    return SparseConnectivity(
        connections_hz=mean[:, : regression.n_regions],
        inclusion=inclusion[:, : regression.n_regions],
        input_weights=regression.hz_per_weight * mean[:, regression.input_columns],
        objective=objective,
    )


def _problem(
    regression: RegionRegression, columns: NDArray[np.intp], region: int, n_regions: int, prior_inclusion: float
) -> _Problem:
    regressors, slopes = regression.regressors, regression.slopes
    return _Problem(
        information=np.real(regressors.conj().T @ regressors),
        correlation=np.real(regressors.conj().T @ slopes),
        energy=float(np.sum(np.abs(slopes) ** 2)),
        n_frequencies=len(slopes),
        prior_mean=regression.prior_mean,
        prior_precision=regression.prior_precision,
        switched=np.flatnonzero((columns < n_regions) & (columns != region)),
        log_odds=float(np.log(prior_inclusion) - np.log1p(-prior_inclusion)),
    )


def _starts(problem: _Problem, n_starts: int, rng: np.random.Generator) -> NDArray[np.float64]:
    powers = np.geomspace(1.0, _SPARSEST_START, n_starts)[:, None]
    return np.asarray(rng.random((n_starts, problem.switched.size)) ** powers)


def _searched(problem: _Problem, start: NDArray[np.float64], rng: np.random.Generator) -> _Search:
    """Update strengths, switches and noise by turns until no search gains any more; all starts at once."""
    inclusion = np.ones((len(start), problem.prior_mean.size))
    inclusion[:, problem.switched] = start
    noise_precision, objective = np.full(len(start), NOISE_SHAPE / NOISE_RATE), np.full(len(start), -np.inf)
    for round_number in range(_MAX_ROUNDS):
        mean, covariance = _strengths(problem, inclusion, noise_precision)
        _update_switches(problem, inclusion, mean, covariance, noise_precision, rng.permutation(problem.switched))
        error = _expected_error(problem, inclusion, mean, covariance)
        rate = NOISE_RATE + error / 2
        noise_precision = (NOISE_SHAPE + problem.n_frequencies / 2) / rate
        previous, objective = objective, _objective(problem, inclusion, mean, covariance, rate)
        if round_number >= _FEWEST_ROUNDS and (np.abs(objective - previous) < _SMALLEST_CHANGE).all():
            break
    return _Search(mean, inclusion, objective)


def _expected_information(problem: _Problem, inclusion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return E[Z X'X Z] of the diagonal switches Z, shape (n_starts, n_columns, n_columns)."""
    information = problem.information * inclusion[:, :, None] * inclusion[:, None, :]
    own = np.arange(problem.prior_mean.size)
    information[:, own, own] = np.diag(problem.information) * inclusion
    return np.asarray(information)


def _strengths(
    problem: _Problem, inclusion: NDArray[np.float64], noise_precision: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    precision = noise_precision[:, None, None] * _expected_information(problem, inclusion)
    covariance = np.asarray(np.linalg.inv(precision + np.diag(problem.prior_precision)), dtype=np.float64)
    pull = noise_precision[:, None] * inclusion * problem.correlation + problem.prior_precision * problem.prior_mean
    return np.asarray(np.einsum("sij,sj->si", covariance, pull)), covariance


def _update_switches(
    problem: _Problem,
    inclusion: NDArray[np.float64],
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    noise_precision: NDArray[np.float64],
    order: NDArray[np.intp],
) -> None:
    """Renew inclusion probabilities in place, one connection after the other, each given all others."""
    shared = problem.information * (covariance + mean[:, :, None] * mean[:, None, :])
    for column in order:
        own = shared[:, column, column]
        by_others = np.einsum("si,si->s", inclusion, shared[:, column]) - inclusion[:, column] * own
        gain = mean[:, column] * problem.correlation[column] - own / 2 - by_others
        inclusion[:, column] = special.expit(problem.log_odds + noise_precision * gain)


def _expected_error(
    problem: _Problem, inclusion: NDArray[np.float64], mean: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    second_moment = covariance + mean[:, :, None] * mean[:, None, :]
    explained = np.einsum("sij,sij->s", _expected_information(problem, inclusion), second_moment)
    return np.asarray(problem.energy - 2 * (inclusion * mean) @ problem.correlation + explained)


def _objective(
    problem: _Problem,
    inclusion: NDArray[np.float64],
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    rate: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Lower bound on the log evidence, less what is the same for every state of the search; shape (n_starts,)."""
    deviation = mean - problem.prior_mean
    strengths = 0.5 * (
        np.linalg.slogdet(covariance)[1]
        - (deviation**2) @ problem.prior_precision
        - np.einsum("i,sii->s", problem.prior_precision, covariance)
    )
    is_on = np.clip(inclusion[:, problem.switched], _ROUNDING, 1 - _ROUNDING)
    switches = np.sum(is_on * problem.log_odds + special.entr(is_on) + special.entr(1 - is_on), axis=1)
    # Expected error and noise prior together make up the noise precision's own rate, so only its logarithm is left.
    noise = -(NOISE_SHAPE + problem.n_frequencies / 2) * np.log(rate)
    return np.asarray(strengths + switches + noise)

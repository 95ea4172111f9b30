"""Who drives whom among the circuit's regions, at rest and while viewing faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.effective_connectivity import EffectiveConnectivity, fit_effective_connectivity
from predictor.features.estimates import Estimates, region_reason
from predictor.features.feature_catalogue import edge_feature_name
from predictor.features.network_regression import BINS_PER_VOLUME, CONNECTION_PRECISION, network_regression
from predictor.features.recipe import Recipe
from predictor.features.run_preparation import RestRun, TaskRun
from predictor.features.task_design import Condition, check_trials
from predictor.scan.cleaning import RegionTimeseries

# With a larger share of the prior's variance left, the prior says more about a connection than the data do. That is so
# when hardly a frequency of one of its regions stands out of the noise; zero would then stand for want of knowledge.
MAXIMUM_SHARE_OF_PRIOR = 0.5
UNINFORMED = "the frequencies that stand out of the noise say less about this connection than the prior does"


def rdcm_rest(run: RestRun, recipe: Recipe) -> Estimates:
    """Effective connectivity of the circuit's pairs at rest, in both directions.

    Parameters
    ----------
    run
        A prepared resting run.
    recipe
        Names the pairs, the scale of the signals and the strength of the frequency filter.

    Returns
    -------
    Estimates
        Hz, positive where the first region excites the second; standard errors are posterior standard deviations.
        All usable regions are connected with one another in the model, whether or not they are a pair of the circuit.

    Raises
    ------
    FeatureError
        If the repetition time is unknown, or cleaning leaves nothing of a signal.
    """
    return _estimates(run.unbroken, None, run.missing_regions, recipe, "rdcm_rest")


def rdcm_faces(run: TaskRun, recipe: Recipe) -> Estimates:
    """Effective connectivity during the faces run, with faces and control blocks as inputs to every region.

    As `rdcm_rest`; an error too if a condition has fewer events than the recipe wants. A connection is one number for
    the whole run: what is left of the coupling when the direct responses to faces and to control are accounted for,
    not a difference between the two.
    """
    check_trials(run.conditions, [condition.name for condition in run.conditions], recipe.minimum_trials_faces)
    return _estimates(run.unbroken, run.conditions, run.missing_regions, recipe, "rdcm_faces")


def driving_inputs(conditions: tuple[Condition, ...], n_volumes: int, repetition_time_s: float) -> NDArray[np.float64]:
    """Lay events out on the time grid of regression DCM: 1 while one lasts, else 0.

    Parameters
    ----------
    conditions
        One input each. An event without length lasts one bin; overlapping events count once.
    n_volumes, repetition_time_s
        Length and step of the run.

    Returns
    -------
    ndarray of shape (16 * n_volumes, n_conditions)
        Bins of a 16th of the repetition time. Unlike SPM's, a block does not last one bin longer than it does.
    """
    step_s = repetition_time_s / BINS_PER_VOLUME
    n_bins = n_volumes * BINS_PER_VOLUME
    inputs = np.zeros((n_bins, len(conditions)))
    for column, condition in enumerate(conditions):
        starts = np.rint(condition.onsets_s / step_s).astype(np.int64)
        lengths = np.maximum(np.rint(condition.durations_s / step_s).astype(np.int64), 1)
        for start, length in zip(starts, lengths, strict=True):
            inputs[max(start, 0) : max(start + length, 0), column] = 1.0
    return inputs


def _estimates(
    unbroken: RegionTimeseries,
    conditions: tuple[Condition, ...] | None,
    missing_regions: dict[str, str],
    recipe: Recipe,
    prefix: str,
) -> Estimates:
    directed = [
        pair for edge in recipe.circuit.edges for pair in ((edge.source, edge.target), (edge.target, edge.source))
    ]
    names = {pair: edge_feature_name(prefix, *pair) for pair in directed}
    missing = {name: reason for pair, name in names.items() if (reason := region_reason(pair, missing_regions))}
    if len(missing) == len(names):
        return Estimates({}, {}, missing)
    fit = _fit(unbroken, conditions, recipe)
    index = {name: position for position, name in enumerate(unbroken.region_names)}
    cells = {name: (index[to], index[source]) for (source, to), name in names.items() if name not in missing}
    largest = MAXIMUM_SHARE_OF_PRIOR / (CONNECTION_PRECISION * len(unbroken.region_names))
    missing |= {name: UNINFORMED for name, cell in cells.items() if fit.variance[cell] > largest}
    known = {name: cell for name, cell in cells.items() if name not in missing}
    return Estimates(
        values={name: float(fit.connections_hz[cell]) for name, cell in known.items()},
        standard_errors={name: float(np.sqrt(fit.variance[cell])) for name, cell in known.items()},
        missing=missing,
    )


def _fit(unbroken: RegionTimeseries, conditions: tuple[Condition, ...] | None, recipe: Recipe) -> EffectiveConnectivity:
    if unbroken.repetition_time_s is None:
        raise FeatureError("the repetition time is unknown, and effective connectivity needs it.")
    inputs = None
    if conditions is not None:
        inputs = driving_inputs(conditions, len(unbroken.bold), unbroken.repetition_time_s)
    regression = network_regression(
        _scaled(unbroken, recipe),
        unbroken.repetition_time_s,
        inputs=inputs,
        filter_strength=recipe.rdcm_filter_strength,
    )
    return fit_effective_connectivity(regression)


def _scaled(unbroken: RegionTimeseries, recipe: Recipe) -> NDArray[np.float64]:
    centred = np.asarray(unbroken.bold - unbroken.bold.mean(axis=0))
    if recipe.rdcm_scale == "percent":
        return centred
    spread = centred.std(axis=0)
    if not (spread > 0).all():
        region = unbroken.region_names[int(np.argmin(spread > 0))]
        raise FeatureError(f"nothing is left of the signal of {region} after cleaning.")
    return np.asarray(centred / spread)

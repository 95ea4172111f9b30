"""Resting connectivity of the circuit's pairs, with bootstrap standard errors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.bootstrap import (
    EdgesOfResamples,
    block_length,
    bootstrap_standard_errors,
    fisher_z_of_resamples,
    partial_fisher_z_of_resamples,
)
from predictor.features.estimates import Estimates, region_reason
from predictor.features.feature_catalogue import edge_feature_name
from predictor.features.recipe import Recipe
from predictor.features.rest_connectivity import fisher_z_edges, partial_fisher_z_edges
from predictor.features.run_preparation import RestRun
from predictor.scan.cleaning import RegionTimeseries

Measure = Callable[[RegionTimeseries], NDArray[np.float64]]


def rest_fisher_z(run: RestRun, recipe: Recipe) -> Estimates:
    """Fisher z of the correlation of every pair of the circuit.

    Parameters
    ----------
    run
        A prepared resting run.
    recipe
        Names the pairs, and how standard errors are made.

    Returns
    -------
    Estimates
        Unitless; a pair with an unusable region is missing for that region's reason. No standard errors if the recipe
        wants none, the repetition time is unknown, or fewer than 4 blocks fit in the run.

    Raises
    ------
    FeatureError
        If two regions carry the same signal.
    """
    return _edges(run, recipe, "rest_fisher_z", fisher_z_edges, fisher_z_of_resamples)


def rest_partial(run: RestRun, recipe: Recipe) -> Estimates:
    """Fisher z of the partial correlation of every pair given all other usable regions; else as `rest_fisher_z`."""
    return _edges(run, recipe, "rest_partial", partial_fisher_z_edges, partial_fisher_z_of_resamples)


def _edges(
    run: RestRun, recipe: Recipe, prefix: str, measure: Measure, measure_of_resamples: EdgesOfResamples
) -> Estimates:
    names = {edge: edge_feature_name(prefix, edge.source, edge.target) for edge in recipe.circuit.edges}
    missing = {
        name: reason
        for edge, name in names.items()
        if (reason := region_reason((edge.source, edge.target), run.missing_regions))
    }
    if len(missing) == len(names):
        return Estimates({}, {}, missing)
    edges = measure(run.timeseries)
    pairs = [frozenset(pair) for pair in combinations(run.timeseries.region_names, 2)]
    value_of = dict(zip(pairs, edges.tolist(), strict=True))
    error_of = dict(zip(pairs, _standard_errors(run, recipe, measure_of_resamples), strict=True))
    present = {name: frozenset((edge.source, edge.target)) for edge, name in names.items() if name not in missing}
    return Estimates(
        values={name: value_of[pair] for name, pair in present.items()},
        standard_errors={name: error_of[pair] for name, pair in present.items() if np.isfinite(error_of[pair])},
        missing=missing,
    )


def _standard_errors(run: RestRun, recipe: Recipe, measure_of_resamples: EdgesOfResamples) -> list[float]:
    """Return one number per pair of usable regions, NaN where it is not known."""
    bold, repetition_time_s = run.timeseries.bold, run.timeseries.repetition_time_s
    unknown = [float("nan")] * (bold.shape[1] * (bold.shape[1] - 1) // 2)
    if recipe.bootstrap_samples == 0 or repetition_time_s is None:
        return unknown
    try:
        length = block_length(len(bold), repetition_time_s, recipe.bootstrap_block_s)
    except FeatureError:
        return unknown
    errors = bootstrap_standard_errors(
        bold,
        measure_of_resamples,
        length=length,
        n_samples=recipe.bootstrap_samples,
        freedom_left=run.freedom_left,
    )
    return [float(error) for error in errors]

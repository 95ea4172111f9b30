"""Resting edges of the circuit, with standard errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictor.circuit.circuit import load_circuit
from predictor.errors import FeatureError
from predictor.features.bootstrap import bootstrap_standard_errors, fisher_z_of_resamples
from predictor.features.recipe import Recipe, default_recipe, region_table_recipe
from predictor.features.rest_connectivity import fisher_z_edges, partial_fisher_z_edges
from predictor.features.rest_families import rest_fisher_z, rest_partial
from predictor.features.run_preparation import RestRun
from predictor.scan.cleaning import RegionTimeseries

NAMES = load_circuit().region_names


@pytest.fixture
def recipe() -> Recipe:
    return replace(default_recipe(), bootstrap_samples=40)


@pytest.fixture
def run(rng: np.random.Generator) -> RestRun:
    bold = rng.standard_normal((150, 12)) + 0.5 * rng.standard_normal((150, 1))
    return rest_run(RegionTimeseries(bold, NAMES, 2.0))


def rest_run(timeseries: RegionTimeseries, **changed) -> RestRun:
    fields = {"timeseries": timeseries, "unbroken": timeseries, "missing_regions": {}, "freedom_left": 1.0}
    return RestRun(**(fields | changed))


@pytest.mark.parametrize(
    ("family", "measure", "prefix"),
    [(rest_fisher_z, fisher_z_edges, "rest_fisher_z"), (rest_partial, partial_fisher_z_edges, "rest_partial")],
)
def test_every_pair_of_the_circuit_has_its_value_and_an_error(
    run: RestRun, recipe: Recipe, family, measure, prefix: str
) -> None:
    found = family(run, recipe)
    matrix = np.zeros((12, 12))
    matrix[np.triu_indices(12, k=1)] = measure(run.timeseries)
    matrix += matrix.T
    assert list(found.values) == [f"{prefix}__{edge.source}__{edge.target}" for edge in recipe.circuit.edges]
    for edge in recipe.circuit.edges:
        name = f"{prefix}__{edge.source}__{edge.target}"
        assert found.values[name] == matrix[NAMES.index(edge.source), NAMES.index(edge.target)]
    assert found.standard_errors.keys() == found.values.keys()
    # Independent volumes and no confounds: theory says 1 / sqrt(n - 3), and less where shrinkage holds an edge back.
    assert np.mean(list(found.standard_errors.values())) == pytest.approx(1 / np.sqrt(147), rel=0.25)
    assert not found.missing


def test_errors_are_those_of_blocks_of_the_recipes_length(run: RestRun, recipe: Recipe) -> None:
    found = rest_fisher_z(replace(run, freedom_left=0.5), replace(recipe, bootstrap_block_s=20.0))
    expected = bootstrap_standard_errors(
        run.timeseries.bold, fisher_z_of_resamples, length=10, n_samples=40, freedom_left=0.5
    )
    position = list(zip(*np.triu_indices(12, k=1), strict=True)).index(
        (NAMES.index("amygdala_L"), NAMES.index("vmPFC"))
    )
    assert found.standard_errors["rest_fisher_z__amygdala_L__vmPFC"] == expected[position]


def test_a_lost_region_takes_only_its_own_pairs_with_it(run: RestRun, recipe: Recipe) -> None:
    kept = [position for position, name in enumerate(NAMES) if name != "vmPFC"]
    fewer = RegionTimeseries(run.timeseries.bold[:, kept], tuple(NAMES[position] for position in kept), 2.0)
    found = rest_fisher_z(rest_run(fewer, missing_regions={"vmPFC": "region not covered (3%): vmPFC"}), recipe)
    complete = rest_fisher_z(run, recipe)
    assert found.missing["rest_fisher_z__amygdala_L__vmPFC"] == "region not covered (3%): vmPFC"
    assert all("vmPFC" in name for name in found.missing)
    assert found.values == pytest.approx({name: z for name, z in complete.values.items() if "vmPFC" not in name})
    assert found.standard_errors.keys() == found.values.keys()


def test_nothing_left_is_no_crash(recipe: Recipe) -> None:
    none = rest_run(RegionTimeseries(np.empty((150, 0)), (), 2.0), missing_regions=dict.fromkeys(NAMES, "gone"))
    assert set(rest_partial(none, recipe).missing.values()) == {"gone"}


@pytest.mark.parametrize(
    ("repetition_time_s", "changed"),
    [(None, {}), (2.0, {"bootstrap_samples": 0}), (2.0, {"bootstrap_block_s": 100.0})],
    ids=["unknown repetition time", "none wanted", "run too short for blocks"],
)
def test_without_blocks_there_are_values_but_no_errors(
    run: RestRun, recipe: Recipe, repetition_time_s: float | None, changed: dict[str, float]
) -> None:
    timeseries = replace(run.timeseries, repetition_time_s=repetition_time_s)
    found = rest_fisher_z(rest_run(timeseries), replace(recipe, **changed))
    assert found.values == rest_fisher_z(run, recipe).values
    assert not found.standard_errors


def test_two_regions_with_one_signal_are_a_named_error(run: RestRun, recipe: Recipe) -> None:
    twins = run.timeseries.bold.copy()
    twins[:, 1] = twins[:, 0]
    with pytest.raises(FeatureError, match="correlation of amygdala_L and amygdala_R"):
        rest_fisher_z(rest_run(RegionTimeseries(twins, NAMES, 2.0)), recipe)


def test_a_table_of_many_regions_works(rng: np.random.Generator) -> None:
    names = tuple(f"region_{number:03}" for number in range(60))
    recipe = replace(region_table_recipe(names), bootstrap_samples=20)
    found = rest_partial(rest_run(RegionTimeseries(rng.standard_normal((160, 60)), names, 2.0)), recipe)
    assert len(found.values) == len(found.standard_errors) == 60 * 59 // 2

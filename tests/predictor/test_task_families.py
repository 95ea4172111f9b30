"""Families of task features: one prepared run in, named numbers with standard errors or reasons out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from predictor.features.feature_catalogue import feature_definitions
from predictor.features.gppi import gppi_estimates, seed_signals
from predictor.features.recipe import Recipe, default_recipe
from predictor.features.run_preparation import TaskRun
from predictor.features.task_activation import activation_design, activation_estimates
from predictor.features.task_design import (
    Condition,
    DesignMatrix,
    MicrotimeGrid,
    condition_regressors,
    convolve_hrf,
    cosine_drift,
)
from predictor.features.task_families import (
    activation_conflict,
    activation_conflict_regulation,
    activation_faces,
    gppi_faces,
    task_diagnostics,
    task_models,
)
from predictor.scan.cleaning import RegionTimeseries
from predictor.scan.events import EventsTable

N_VOLUMES = 200
GRID = MicrotimeGrid(N_VOLUMES, 2.0)
DRIFT = cosine_drift(N_VOLUMES, 2.0, 128.0)
FAMILIES = {
    "activation_faces": activation_faces,
    "gppi_faces": gppi_faces,
    "activation_conflict": activation_conflict,
    "activation_conflict_regulation": activation_conflict_regulation,
}
MakeRun = Callable[..., TaskRun]


@pytest.fixture
def recipe() -> Recipe:
    return default_recipe()


@pytest.fixture
def make_run(rng: np.random.Generator, recipe: Recipe) -> MakeRun:
    """Return a maker of task runs from events; signals are noise plus what is added."""

    def make(
        kind: str,
        events: EventsTable,
        *,
        signal: NDArray[np.float64] | None = None,
        lost: tuple[str, ...] = (),
        extra_confound: NDArray[np.float64] | None = None,
    ) -> TaskRun:
        names = tuple(name for name in recipe.circuit.region_names if name not in lost)
        bold = rng.standard_normal((N_VOLUMES, len(names)))
        bold = RegionTimeseries(bold if signal is None else bold + signal[:, None], names, 2.0)
        motion = rng.standard_normal((N_VOLUMES, 6))
        if extra_confound is not None:
            motion[:, 0] = extra_confound
        return TaskRun(
            kind=kind,  # type: ignore[arg-type]
            timeseries=bold,
            unbroken=bold,
            missing_regions={name: f"region not recorded: {name}" for name in lost},
            conditions=tuple(Condition(name, *events.of(name)) for name in events.conditions),
            events=events,
            grid=GRID,
            drift=DRIFT,
            confounds=DesignMatrix(motion, tuple(f"motion_{column}" for column in range(6))),
        )

    return make


def events_of(names: list[str], *, spacing_s: float, duration_s: float, correct: list[bool | None]) -> EventsTable:
    return EventsTable(
        onset_s=10 + spacing_s * np.arange(len(names)),
        duration_s=np.full(len(names), duration_s),
        event_names=tuple(names),
        condition=tuple(names),
        is_correct=tuple(correct),
    )


@pytest.fixture
def faces_events() -> EventsTable:
    return events_of(["faces", "control"] * 6, spacing_s=30.0, duration_s=18.0, correct=[None] * 12)


@pytest.fixture
def conflict_events(rng: np.random.Generator) -> EventsTable:
    names = [("congruent", "incongruent")[number] for number in rng.integers(2, size=76)]
    correct: list[bool | None] = [bool(draw > 0.06) for draw in rng.random(76)]
    return events_of(names, spacing_s=5.0, duration_s=1.0, correct=correct)


@pytest.fixture
def run_of(make_run: MakeRun, faces_events: EventsTable, conflict_events: EventsTable) -> MakeRun:
    """Return a maker of the run that a family needs."""

    def make(family: str, **options) -> TaskRun:
        kind = "faces" if family.endswith("faces") else "conflict"
        return make_run(kind, faces_events if kind == "faces" else conflict_events, **options)

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_every_feature_of_the_family_has_a_value_and_a_standard_error(run_of, recipe: Recipe, family: str) -> None:
    found = FAMILIES[family](run_of(family), recipe)
    expected = {each.name for each in feature_definitions(recipe) if each.family == family}
    assert set(found.values) == set(found.standard_errors) == expected
    assert found.missing == {}
    assert np.isfinite(list(found.values.values())).all()
    assert min(found.standard_errors.values()) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_features_of_a_lost_region_are_missing_with_its_reason_and_the_others_unharmed(
    run_of, recipe: Recipe, family: str
) -> None:
    found = FAMILIES[family](run_of(family, lost=("vmPFC",)), recipe)
    assert found.missing
    assert all("vmPFC" in name for name in found.missing)
    assert set(found.missing.values()) == {"region not recorded: vmPFC"}
    assert not any("vmPFC" in name for name in found.values)
    assert len(found.values) > len(found.missing) / 2


@pytest.mark.parametrize("family", FAMILIES)
def test_too_few_events_of_a_condition_are_the_reason_for_all(run_of, recipe: Recipe, family: str) -> None:
    demanding = replace(recipe, minimum_trials_faces=7, minimum_trials_conflict=60)
    found = FAMILIES[family](run_of(family), demanding)
    assert found.values == {}
    assert len(found.missing) == sum(each.family == family for each in feature_definitions(recipe))
    (reason,) = set(found.missing.values())
    assert reason.startswith("only ")
    assert reason.endswith(" are needed.")


@pytest.mark.parametrize("family", [name for name in FAMILIES if name.startswith("activation")])
def test_a_confound_that_is_the_condition_is_the_reason_for_all(run_of, recipe: Recipe, family: str) -> None:
    run = run_of(family)
    model = task_models(run, recipe)[family]
    shown = model.design.columns[:, model.design.names.index(next(iter(model.contrast)))]
    spoilt = replace(run, confounds=DesignMatrix(np.column_stack([run.confounds.columns, shown]), ("x",) * 7))
    (reason,) = set(FAMILIES[family](spoilt, recipe).missing.values())
    assert reason == "the contrast cannot be estimated: its regressors are combinations of the others."


def test_activation_is_that_of_the_named_contrast(run_of, recipe: Recipe) -> None:
    run = run_of("activation_faces")
    found = activation_faces(run, recipe)
    design = activation_design(run.conditions, GRID, confounds=run.confounds)
    expected = activation_estimates(run.timeseries.bold, design, {"faces": 1, "control": -1}, drift=DRIFT)
    for column, region in enumerate(run.timeseries.region_names):
        assert found.values[f"activation_faces__{region}"] == pytest.approx(expected.effect[column], rel=1e-9)
        error = found.standard_errors[f"activation_faces__{region}"]
        assert error == pytest.approx(expected.standard_error[column], rel=1e-9)


def test_interactions_have_both_directions_and_their_mean(run_of, recipe: Recipe) -> None:
    run = run_of("gppi_faces")
    found = gppi_faces(run, recipe)
    seeds = seed_signals(run.timeseries.bold, run.conditions, GRID, drift=DRIFT, confounds=run.confounds.columns)
    expected = gppi_estimates(
        run.timeseries.bold, seeds, {"faces": 1, "control": -1}, drift=DRIFT, confounds=run.confounds
    )
    names = run.timeseries.region_names
    amygdala, prefrontal = names.index("amygdala_L"), names.index("vmPFC")
    there, back = found.values["gppi_faces__amygdala_L__vmPFC"], found.values["gppi_faces__vmPFC__amygdala_L"]
    assert there == pytest.approx(expected.effect[amygdala, prefrontal], rel=1e-9)
    assert back == pytest.approx(expected.effect[prefrontal, amygdala], rel=1e-9)
    assert found.values["gppi_faces_mean__amygdala_L__vmPFC"] == pytest.approx((there + back) / 2)
    errors = [found.standard_errors[f"gppi_faces__{pair}"] for pair in ("amygdala_L__vmPFC", "vmPFC__amygdala_L")]
    mean_error = found.standard_errors["gppi_faces_mean__amygdala_L__vmPFC"]
    assert mean_error == pytest.approx(sum(errors) / 2)


def test_planted_regulation_is_found_with_its_sign_and_leaves_plain_conflict_alone(
    make_run: MakeRun, conflict_events: EventsTable, recipe: Recipe
) -> None:
    empty = make_run("conflict", conflict_events)
    model = task_models(empty, recipe)["activation_conflict_regulation"]
    shown = dict(zip(model.design.names, model.design.columns.T, strict=True))
    run = make_run("conflict", conflict_events, signal=8 * (shown["cI"] - shown["iI"]))
    regulation = activation_conflict_regulation(run, recipe).values["activation_conflict_regulation__dACC"]
    conflict = activation_conflict(run, recipe)
    assert regulation == pytest.approx(-16, abs=4)
    name = "activation_conflict__dACC"
    assert abs(conflict.values[name]) < 4 * conflict.standard_errors[name]


def test_errors_do_not_reach_the_contrast(make_run: MakeRun, conflict_events: EventsTable, recipe: Recipe) -> None:
    empty = make_run("conflict", conflict_events)
    model = task_models(empty, recipe)["activation_conflict"]
    error_response = model.design.columns[:, model.design.names.index("error")]
    run = make_run("conflict", conflict_events, signal=100 * error_response)
    found = activation_conflict(run, recipe)
    name = "activation_conflict__dACC"
    assert abs(found.values[name]) < 4 * found.standard_errors[name]


def test_conflict_of_one_kind_only_is_missing_with_the_count(make_run: MakeRun, recipe: Recipe) -> None:
    names = ["congruent", *["incongruent"] * 60]
    run = make_run("conflict", events_of(names, spacing_s=6.0, duration_s=1.0, correct=[True] * 61))
    assert set(activation_conflict(run, recipe).missing.values()) == {
        "only 1 events of the condition congruent; 5 are needed."
    }
    assert set(activation_conflict_regulation(run, recipe).missing.values()) == {
        "only 1 events of the condition cI; 5 are needed."
    }


def test_conditions_outside_the_contrast_may_be_rare_or_absent(make_run: MakeRun, recipe: Recipe) -> None:
    # Congruent trials come alone, so none follows another one: cC has no event.
    names = (["congruent"] + ["incongruent"] * 3) * 18
    run = make_run("conflict", events_of(names, spacing_s=5.0, duration_s=1.0, correct=[True] * len(names)))
    assert "cC" not in task_models(run, recipe)["activation_conflict_regulation"].condition_names
    assert len(activation_conflict_regulation(run, recipe).values) == len(recipe.circuit.regions)


def test_unknown_accuracy_is_noted(make_run: MakeRun, conflict_events: EventsTable, recipe: Recipe) -> None:
    events = replace(conflict_events, is_correct=(None,) * len(conflict_events.condition))
    models = task_models(make_run("conflict", events), recipe)
    for model in models.values():
        assert any("do not say which answers were right" in note for note in model.notes)
    assert models["activation_conflict"].condition_names == ("congruent", "incongruent")


@pytest.mark.parametrize("family", FAMILIES)
def test_response_and_its_derivatives_are_those_of_the_recipe(run_of, recipe: Recipe, family: str) -> None:
    run = run_of(family)
    plain = FAMILIES[family](run, recipe)
    for other in (replace(recipe, hrf="glover"), replace(recipe, hrf_derivatives=2)):
        found = FAMILIES[family](run, other)
        assert found.values.keys() == plain.values.keys()
        assert found.values != plain.values
    if family != "gppi_faces":
        design = task_models(run, replace(recipe, hrf_derivatives=1))[family].design
        assert sum(name.endswith("_time_derivative") for name in design.names) >= 2


@pytest.mark.parametrize("variant", [{"deconvolve_seed": False}, {"center_psychological": False}])
def test_variants_of_the_interaction_are_those_of_the_recipe(run_of, recipe: Recipe, variant) -> None:
    run = run_of("gppi_faces")
    assert gppi_faces(run, replace(recipe, **variant)).values != gppi_faces(run, recipe).values


def test_diagnostics_of_a_faces_run_cover_activation_and_every_seed(run_of, recipe: Recipe) -> None:
    found = task_diagnostics(run_of("activation_faces", lost=("dACC",)), recipe)
    assert set(found) == {
        "activation_faces",
        *(f"gppi_faces__{name}" for name in recipe.circuit.region_names if name != "dACC"),
    }
    assert set(found["activation_faces"].variance_inflation) == {"faces", "control"}
    assert set(found["activation_faces"].efficiency) == {"faces", "control", "contrast"}
    interactions = found["gppi_faces__vmPFC"]
    assert set(interactions.variance_inflation) == {"ppi_faces", "ppi_control"}
    assert all(value is not None and value >= 1 for value in interactions.variance_inflation.values())


def test_diagnostics_of_a_conflict_run_name_every_condition_and_what_was_left_out(run_of, recipe: Recipe) -> None:
    found = task_diagnostics(run_of("activation_conflict"), recipe)
    assert set(found) == {"activation_conflict", "activation_conflict_regulation"}
    regulation = found["activation_conflict_regulation"]
    assert {"iI", "cI", "iC", "cC", "first_trial", "error"} <= set(regulation.efficiency)
    assert "trials are modelled but stand in no contrast" in regulation.notes[0]


def test_nothing_is_said_of_trials_left_out_where_there_are_none(make_run: MakeRun, recipe: Recipe) -> None:
    names = ["congruent", "incongruent"] * 30
    run = make_run("conflict", events_of(names, spacing_s=6.0, duration_s=1.0, correct=[True] * 60))
    assert task_diagnostics(run, recipe)["activation_conflict"].notes == ()


def test_diagnostics_do_without_a_condition_that_has_no_trial(make_run: MakeRun, recipe: Recipe) -> None:
    names = ["congruent", "incongruent"] * 30
    run = make_run("conflict", events_of(names, spacing_s=6.0, duration_s=1.0, correct=[True] * 60))
    assert task_diagnostics(run, recipe)["activation_conflict_regulation"].efficiency["contrast"] is None


def test_a_design_is_that_of_the_conditions_the_confounds_and_a_constant(run_of, recipe: Recipe) -> None:
    run = run_of("activation_faces")
    (model,) = task_models(run, recipe).values()
    assert model.design.names == ("faces", "control", "constant", *run.confounds.names)
    assert model.design.columns[:, :2] == pytest.approx(condition_regressors(run.conditions, GRID).columns)


def test_the_standard_error_of_a_mean_direction_is_the_spread_of_what_it_belongs_to(
    run_of, recipe: Recipe, rng: np.random.Generator
) -> None:
    run = run_of("gppi_faces")
    ratios = []
    for _ in range(8):
        neuronal = rng.standard_normal((GRID.n_bins, len(run.timeseries.region_names)))
        bold = 20 * convolve_hrf(neuronal, GRID)[GRID.sampled_bins] + 0.2 * rng.standard_normal(
            run.timeseries.bold.shape
        )
        found = gppi_faces(replace(run, timeseries=replace(run.timeseries, bold=bold)), recipe)
        ratios += [found.values[name] / found.standard_errors[name] for name in found.values if "_mean__" in name]
    # Taken for independent, the two directions would give 1.4 times as much.
    assert np.std(ratios) == pytest.approx(1.0, abs=0.2)

"""The synthetic trial without scans: features as if they had been measured, for checks that must take seconds.

People, couplings, changes and outcomes are those of `simulate_people`; only what lies between a coupling and its
feature (signals, images, extraction) is replaced by a reliability: feature = sqrt(r) * true value + sqrt(1 - r) *
noise, in standard deviations at baseline. Features that no planted coupling shapes vary between people all the same.
Whoever wants to know what real extraction loses simulates scans. All data made here are synthetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.circuit.circuit import Circuit, Edge, load_circuit
from predictor.features.feature_catalogue import feature_definitions
from predictor.features.feature_vector import FeatureDefinition
from predictor.features.recipe import Recipe, default_recipe
from training.cohort.change_scores import ChangeScores, change_scores, with_scale_change, write_change_scores
from training.cohort.participants import PARTICIPANT_ID
from training.extraction.feature_table import FeatureTable
from training.simulation.bids_writer import write_tsv
from training.simulation.neural_model import (
    FACES_INHIBITION_MEAN_HZ,
    FACES_INHIBITION_SD_HZ,
    INHIBITION_MEAN_HZ,
    INHIBITION_SD_HZ,
)
from training.simulation.treatment_change import FACES_CHANGE_SD_HZ
from training.simulation.trial import SimulatedPerson, TrialPlan, inhibition_sd, participants_table, simulate_people

FloatArray = NDArray[np.float64]

# Share of a feature's variance that is the person's own [assumed]: .6 is what resting edges of simulated scans show;
# task features of scans of this length show less (.2 to .6), here they are good ones.
RELIABILITY: Mapping[str, float] = {"rest_fisher_z": 0.6, "rest_partial": 0.6}
OTHER_RELIABILITY = 0.5
# What one standard deviation of a change adds, in sd of the true value at baseline.
FACES_CHANGE = FACES_CHANGE_SD_HZ / FACES_INHIBITION_SD_HZ
OTHER_CHANGE = 1.0  # dACC's regulation and the insula's connectivity: [assumed] as large as people differ
MEAN_FRAMEWISE_DISPLACEMENT_MM, DISPLACEMENT_SPREAD = 0.15, 0.4  # log-normal between people
_STREAM = 2000  # of random numbers, out of reach of those that scans use


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedTables:
    """A trial as the tables that extraction would have left."""

    people: tuple[SimulatedPerson, ...]
    participants: pd.DataFrame  # participants.tsv, indexed by participant_id
    baseline: FeatureTable  # everyone
    followup: FeatureTable  # patients, after treatment

    def changes(self) -> ChangeScores:
        """Return follow-up minus baseline of the patients, change of depression included."""
        return with_scale_change(
            change_scores(self.baseline, self.followup), self.participants, "madrs_total", unit="points"
        )


def simulate_tables(plan: TrialPlan) -> SimulatedTables:
    """Draw a trial and what its features would measure; the same for the same plan."""
    circuit = load_circuit()
    people = simulate_people(plan, circuit)
    definitions = _definitions(circuit)
    names = [definition.name for definition in definitions]
    baseline = np.array([_visit(person, definitions, is_followup=False) for person in people])
    patients = tuple(person for person in people if person.change is not None)
    followup = np.array([_visit(person, definitions, is_followup=True) for person in patients])
    return SimulatedTables(
        people,
        participants_table(people),
        _table(pd.DataFrame(baseline, _index(people), names), definitions),
        _table(pd.DataFrame(followup, _index(patients), names), definitions),
    )


def write_tables(tables: SimulatedTables, folder: Path, *, changes: bool = False) -> None:
    """Write participants.tsv and the feature table of baseline, or of the changes, as experiments read them."""
    write_tsv(folder / "participants.tsv", tables.participants.reset_index())
    if changes:
        write_change_scores(tables.changes(), folder)
        return
    at_baseline = tables.baseline
    write_change_scores(
        ChangeScores(at_baseline.values, at_baseline.standard_errors, at_baseline.definitions, {}), folder
    )


def true_values(people: tuple[SimulatedPerson, ...], *, changes: bool) -> pd.DataFrame:
    """Return what shapes the outcome, in sd, for an oracle: inhibition at baseline, and the changes if they count."""
    columns: dict[str, list[float]] = {"true_inhibition": [inhibition_sd(person.coupling) for person in people]}
    if changes:
        for name in ("faces_connectivity", "conflict_regulation", "rest_insula_connectivity"):
            columns[f"true_{name}"] = [np.nan if p.change is None else getattr(p.change, name) for p in people]
    return pd.DataFrame(columns, _index(people))


def _definitions(circuit: Circuit) -> tuple[FeatureDefinition, ...]:
    """Features of the default recipe, and study A's resting edge of vmPFC and anterior insula."""
    insula = tuple(region.name for region in circuit.regions if region.group == "insula_anterior")
    wider = replace(circuit, edges=(*circuit.edges, *(Edge("vmPFC", name) for name in insula)))
    recipe = Recipe(circuit=wider, tasks=default_recipe().tasks)
    return feature_definitions(recipe)


def _visit(person: SimulatedPerson, definitions: tuple[FeatureDefinition, ...], *, is_followup: bool) -> FloatArray:
    """Return one visit's features: true values, which a change may have moved, and noise of this visit alone."""
    trait_rng, noise_rng = (_generator(person, _STREAM + number) for number in (0, 2 if is_followup else 1))
    own = trait_rng.standard_normal(len(definitions))
    noise = noise_rng.standard_normal(len(definitions))
    displacement_mm = MEAN_FRAMEWISE_DISPLACEMENT_MM * np.exp(DISPLACEMENT_SPREAD * trait_rng.standard_normal())
    values = np.empty(len(definitions))
    for number, definition in enumerate(definitions):
        if definition.kind == "quality":
            values[number] = _quality(definition.name, displacement_mm, noise[number])
            continue
        true = _planted(person, definition)
        true = own[number] if true is None else true
        if is_followup:
            true += _planted_change(person, definition)
        share = RELIABILITY.get(definition.family, OTHER_RELIABILITY)
        values[number] = np.sqrt(share) * true + np.sqrt(1 - share) * noise[number]
    return values


def _planted(person: SimulatedPerson, definition: FeatureDefinition) -> float | None:
    """Return the true value of a feature that inhibition of the amygdala by vmPFC shapes, None of any other.

    More inhibition is less connectivity, so all of these fall with it.
    """
    if definition.circuit != "amygdala-vmPFC":
        return None
    kind, source, target = definition.name.split("__")
    if kind.startswith("rdcm") and source != "vmPFC":
        return None
    side = target if source == "vmPFC" else source
    rest_hz = -person.coupling.hz("vmPFC", side, during_faces=False)
    faces_hz = -person.coupling.hz("vmPFC", side, during_faces=True) - rest_hz
    if definition.family in ("rest_fisher_z", "rest_partial", "rdcm_rest"):
        return -(rest_hz - INHIBITION_MEAN_HZ) / INHIBITION_SD_HZ
    if definition.family == "gppi_faces":
        return -(faces_hz - FACES_INHIBITION_MEAN_HZ) / FACES_INHIBITION_SD_HZ
    return -inhibition_sd(person.coupling)


def _planted_change(person: SimulatedPerson, definition: FeatureDefinition) -> float:
    change = person.change
    if change is None:
        return 0.0
    if definition.circuit == "amygdala-vmPFC" and definition.family == "gppi_faces":
        return FACES_CHANGE * change.faces_connectivity
    if definition.name == "activation_conflict_regulation__dACC":
        return OTHER_CHANGE * change.conflict_regulation
    if definition.family == "rest_fisher_z" and definition.circuit == "vmPFC-insula_anterior":
        return OTHER_CHANGE * change.rest_insula_connectivity
    return 0.0


def _quality(name: str, displacement_mm: float, noise: float) -> float:
    if "framewise_displacement" in name:
        return float(displacement_mm * np.exp(0.2 * noise))
    return float(abs(0.02 * noise)) if "share" in name else float(60 + 5 * noise)


def _generator(person: SimulatedPerson, stream: int) -> np.random.Generator:
    seed = person.scan_seed
    return np.random.default_rng(np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, stream)))


def _index(people: tuple[SimulatedPerson, ...]) -> pd.Index:
    return pd.Index([person.participant_id for person in people], name=PARTICIPANT_ID, dtype=object)


def _table(values: pd.DataFrame, definitions: tuple[FeatureDefinition, ...]) -> FeatureTable:
    unknown = pd.DataFrame(np.nan, index=values.index, columns=values.columns)
    return FeatureTable(
        values=values,
        definitions=definitions,
        recipe=None,
        recipe_hashes=pd.Series(None, index=values.index, dtype=object),
        quality=pd.DataFrame(index=values.index),
        digest="",
        standard_errors=unknown,
    )

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from predictor.features.extraction import extract_features
from predictor.features.recipe import Recipe, default_recipe
from predictor.scan.session import read_visit
from training.extraction.feature_table import extract_cohort, gather_table
from training.simulation.bids_writer import write_visit
from training.simulation.signal_visits import SignalVisit, simulated_session
from training.simulation.trial import SimulatedPerson, TrialPlan, simulate_people


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return replace(default_recipe(), families=("rest_fisher_z", "quality"), bootstrap_samples=0)


@pytest.fixture(scope="module")
def people(recipe: Recipe) -> tuple[SimulatedPerson, ...]:
    return simulate_people(TrialPlan(n_patients=4, n_controls=0, seed=7), recipe.circuit)


def test_a_person_gives_the_same_signals_every_time(people: tuple[SimulatedPerson, ...], recipe: Recipe) -> None:
    once, again = (simulated_session(people[0], recipe) for _ in range(2))
    assert once.input_digest == again.input_digest
    assert once.input_digest != simulated_session(people[1], recipe).input_digest


def test_signals_without_images_resemble_those_read_from_images(
    people: tuple[SimulatedPerson, ...], recipe: Recipe, tmp_path: Path
) -> None:
    session = simulated_session(people[0], recipe)
    read = read_visit(write_visit(tmp_path, people[0], recipe.circuit), recipe.circuit, recipe.tasks)
    assert [(run.name, run.n_volumes, run.repetition_time_s) for run in session.runs] == [
        (run.name, run.n_volumes, run.repetition_time_s) for run in read.runs
    ]
    edges, from_images = (
        np.array([value for name, value in extract_features(one, recipe).by_name().items() if "fisher" in name])
        for one in (session, read)
    )
    # The same brain activity, measured with other noise.
    assert np.corrcoef(edges, from_images)[0, 1] > 0.7
    assert edges.std() == pytest.approx(from_images.std(), rel=0.5)


def test_a_cohort_of_them_becomes_a_feature_table(
    people: tuple[SimulatedPerson, ...], recipe: Recipe, tmp_path: Path
) -> None:
    summary = extract_cohort([SignalVisit(person) for person in people], recipe, tmp_path / "features", n_jobs=1)
    assert summary.failed == ()
    table = gather_table(tmp_path / "features")
    assert list(table.values.index) == [person.participant_id for person in people]
    assert table.values.notna().all().all()
    assert table.recipe == recipe

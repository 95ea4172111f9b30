"""Task features of a real scan: one person's visual localizer (studyforrest), faces against everything else.

One run of one person, so only the strongest response is asked to be there; the rest is compared with nilearn's own fit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nilearn.glm.contrasts import compute_contrast
from nilearn.glm.first_level import run_glm

from predictor.circuit.circuit import circuit_document, circuit_from_document, load_circuit
from predictor.features.recipe import Recipe
from predictor.features.run_preparation import TaskRun, prepare_task_run, run_confounds
from predictor.features.task_families import activation_faces, gppi_faces, task_diagnostics, task_models
from predictor.scan.session import find_visits, read_visit
from predictor.scan.task_description import load_task_description

# Where a face localizer is known to find something, beside the circuit's regions.
VISUAL_REGIONS = {"fusiform_R": [40.0, -52.0, -18.0], "parahippocampal_R": [26.0, -46.0, -10.0]}
VISUAL_EDGES = [["fusiform_R", "amygdala_R"], ["fusiform_R", "vmPFC"], ["parahippocampal_R", "amygdala_R"]]


@pytest.fixture(scope="module")
def localizer(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TaskRun, Recipe]:
    """Return the prepared run, and the recipe with the visual regions added."""
    document = dict(circuit_document(load_circuit()))
    template = document["regions"][0]
    added = [
        {**template, "name": name, "group": name.split("_")[0], "centre_mni_mm": centre, "radius_mm": 6.0}
        for name, centre in VISUAL_REGIONS.items()
    ]
    document["regions"] = [*document["regions"], *added]
    document["edges"] = [*document["edges"], *VISUAL_EDGES]
    circuit = circuit_from_document(document)
    path = tmp_path_factory.mktemp("tasks") / "tasks.toml"
    path.write_text('[faces]\ntasks = ["oneback"]\n')
    tasks = load_task_description(path)
    dataset = shared / "data/studyforrest_localizer"
    [files] = find_visits(dataset, bids_dir=None, tasks=tasks, participant_labels=None)
    session, recipe = read_visit(files, circuit, tasks), Recipe(circuit=circuit, tasks=tasks)
    [run] = session.of_kind("faces")
    return prepare_task_run(run, run_confounds(run, recipe), recipe), recipe


def t_values(found) -> dict[str, float]:
    return {name: value / found.standard_errors[name] for name, value in found.values.items()}


def test_activation_has_the_known_signs(localizer) -> None:
    t = t_values(activation_faces(*localizer))
    # A general linear model made elsewhere: parahippocampal place area about -4.7, right fusiform face area about +2.
    assert -6 < t["activation_faces__parahippocampal_R"] < -3
    assert 1 < t["activation_faces__fusiform_R"] < 4
    assert abs(t["activation_faces__amygdala_L"]) < 2
    assert abs(t["activation_faces__amygdala_R"]) < 2


def test_activation_agrees_with_nilearn_on_the_same_design(localizer) -> None:
    run, recipe = localizer
    found = activation_faces(run, recipe)
    model = task_models(run, recipe)["activation_faces"]
    columns = np.column_stack([model.design.columns, run.drift])
    labels, results = run_glm(run.timeseries.bold, columns, noise_model="ar1")
    weights = np.zeros(columns.shape[1])
    weights[: len(model.design.names)] = model.design.weights(model.contrast)
    peer = compute_contrast(labels, results, weights, stat_type="t")
    names = [f"activation_faces__{region}" for region in run.timeseries.region_names]
    effects = np.array([found.values[name] for name in names])
    assert effects == pytest.approx(
        np.ravel(peer.effect_size()), abs=0.4 * np.median(list(found.standard_errors.values()))
    )
    # nilearn rounds the autoregression and does not correct it for the regressors: t a little larger.
    t = t_values(found)
    theirs = np.ravel(peer.stat())
    assert np.corrcoef([t[name] for name in names], theirs)[0, 1] > 0.99


def test_interactions_are_complete_and_their_size_is_that_of_noise(localizer) -> None:
    run, recipe = localizer
    found = gppi_faces(run, recipe)
    assert found.missing == {}
    assert set(found.values) == set(found.standard_errors)
    t = np.array([value for name, value in t_values(found).items() if not name.startswith("gppi_faces_mean")])
    # One run of five minutes: nothing is expected to stand out, and the standard errors must say so.
    assert 0.5 < t.std() < 1.5
    assert np.abs(t).max() < 4.5


def test_faces_and_the_other_pictures_can_be_told_apart(localizer) -> None:
    found = task_diagnostics(*localizer)
    assert set(found) == {"activation_faces", *(f"gppi_faces__{name}" for name in localizer[0].timeseries.region_names)}
    for diagnostics in found.values():
        assert all(value is not None and 1 <= value < 10 for value in diagnostics.variance_inflation.values())

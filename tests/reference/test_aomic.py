"""Real confounds and events of eight people (AOMIC-PIOP2, old fMRIPrep names): each gives matrices to model with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import make_first_level_design_matrix

from predictor.circuit.circuit import load_circuit
from predictor.features.extraction import extract_features, feature_definitions
from predictor.features.feature_catalogue import feature_source
from predictor.features.recipe import default_recipe
from predictor.features.run_preparation import nuisance_design, prepare_task_run, run_confounds
from predictor.features.task_families import task_diagnostics, task_models
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, Run, build_run
from predictor.scan.task_description import RunKind

PEOPLE = [f"sub-{number:04d}" for number in range(2, 10)]
TASK_OF_KIND = {"rest": "restingstate", "faces": "emomatching"}


@pytest.fixture(params=PEOPLE)
def person(request: pytest.FixtureRequest, shared: Path) -> tuple[Path, str]:
    return shared / "data" / "aomic_piop2", str(request.param)


def confounds_path(tree: Path, label: str, kind: RunKind) -> Path:
    stem = f"{label}_task-{TASK_OF_KIND[kind]}_acq-seq_desc-confounds_regressors.tsv"
    return tree / "derivatives" / "fmriprep" / label / "func" / stem


def events_path(tree: Path, label: str) -> Path:
    return tree / label / "func" / f"{label}_task-emomatching_acq-seq_events.tsv"


def real_run(person: tuple[Path, str], kind: RunKind) -> Run:
    """The person's own tables around signals of noise, since the images are not kept."""
    tree, label = person
    path = confounds_path(tree, label, kind)
    n_volumes = len(pd.read_csv(path, sep="\t"))
    sidecar = path.with_name(
        f"{label}_task-{TASK_OF_KIND[kind]}_acq-seq_space-MNI152NLin2009cAsym_desc-preproc_bold.json"
    )
    names = load_circuit().region_names
    recording = RegionRecording(
        region_names=names,
        bold=900 + 5 * np.random.default_rng(int(label[-4:])).standard_normal((n_volumes, len(names))),
        coverage=np.ones(len(names)),
        temporal_snr=np.full(len(names), 80.0),
        carpet=np.zeros((n_volumes, 0), dtype=np.float32),
        repetition_time_s=2.0,
        space="MNI152NLin2009cAsym",
        input_digest="sha256:0",
    )
    return build_run(
        kind,
        recording,
        confounds_tsv=path.read_bytes(),
        confounds_sidecar=path.with_suffix(".json").read_bytes(),
        sidecar=sidecar.read_bytes(),
        events_tsv=events_path(tree, label).read_bytes() if kind == "faces" else None,
        tasks=default_recipe().tasks,
    )


@pytest.mark.parametrize("kind", ["rest", "faces"])
def test_confounds_are_the_table_s_own_columns(person: tuple[Path, str], kind: RunKind) -> None:
    run = real_run(person, kind)
    confounds = run_confounds(run, default_recipe())
    table = pd.read_csv(confounds_path(*person, kind), sep="\t").bfill()
    assert (confounds.strategy_used, confounds.fallback_reason) == ("motion24_wm_csf", None)
    assert len(confounds.names) == 26
    assert np.isfinite(confounds.regressors).all()
    for name, column in zip(confounds.names, confounds.regressors.T, strict=True):
        expected = table[name].to_numpy() - table[name].mean()
        assert column == pytest.approx(expected, abs=1e-6 * np.abs(expected).max()), name
    moved = table["framewise_displacement"].to_numpy()[1:]
    assert np.array_equal(confounds.is_censored[1:], moved > 0.5)
    columns = nuisance_design(confounds).columns
    assert np.linalg.matrix_rank(columns / np.linalg.norm(columns, axis=0)) == columns.shape[1]


def test_the_design_tells_faces_from_control_and_looks_like_nilearn_s(person: tuple[Path, str]) -> None:
    recipe, run = default_recipe(), real_run(person, "faces")
    task = prepare_task_run(run, run_confounds(run, recipe), recipe)
    model = task_models(task, recipe)["activation_faces"]
    events = pd.read_csv(events_path(*person), sep="\t")[["onset", "duration", "trial_type"]]
    counts = events["trial_type"].value_counts()
    assert [condition.onsets_s.size for condition in task.conditions] == [counts["emotion"], counts["control"]]
    # fMRIPrep moves slices to the middle of the volume; nilearn then wants to be told.
    frames = (np.arange(run.n_volumes) + 0.5) * 2.0
    theirs = make_first_level_design_matrix(frames, events, hrf_model="spm", drift_model=None)
    for ours, name in (("faces", "emotion"), ("control", "control")):
        column = model.design.columns[:, model.design.names.index(ours)]
        assert np.corrcoef(column, theirs[name])[0, 1] > 0.99
    diagnostics = task_diagnostics(task, recipe)
    for found in diagnostics.values():
        assert all(inflation is not None and inflation >= 1 for inflation in found.variance_inflation.values())
        assert (found.efficiency["contrast"] or 0) > 0


def test_every_feature_of_rest_and_faces_can_be_computed(person: tuple[Path, str]) -> None:
    recipe = default_recipe()
    session = BaselineSession((real_run(person, "rest"), real_run(person, "faces")))
    vector = extract_features(session, recipe)
    is_measured = [feature_source(definition) != "conflict" for definition in feature_definitions(recipe)]
    assert np.isfinite(vector.values[is_measured]).all()
    assert {reason for reason in vector.missing_reasons if reason} == {"no conflict run"}

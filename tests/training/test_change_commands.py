from __future__ import annotations

from pathlib import Path

import pytest

from predictor.__main__ import main
from predictor.scan.task_description import load_task_description
from predictor.scan.visit_files import find_visits
from training.extraction.feature_table import read_feature_table
from training.simulation.dataset import simulate_dataset
from training.simulation.trial import TrialPlan


@pytest.fixture(scope="module")
def two_visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("followup") / "trial"
    simulate_dataset(folder, TrialPlan(n_patients=2, n_controls=1, seed=5, followup=True), n_jobs=1)
    return folder


def test_patients_have_two_sessions_and_controls_one(two_visits: Path) -> None:
    visits = find_visits(two_visits, bids_dir=None, tasks=load_task_description(), participant_labels=None)
    assert [(visit.participant_id, visit.session_id) for visit in visits] == [
        ("sub-001", "ses-baseline"), ("sub-001", "ses-followup"),
        ("sub-002", "ses-baseline"), ("sub-002", "ses-followup"),
        ("sub-003", "ses-baseline"),
    ]  # fmt: skip
    assert all(run.events is not None for visit in visits for run in visit.runs if run.kind != "rest")


def test_the_baseline_visit_has_the_same_scans_as_a_trial_with_one_visit(two_visits: Path, small_trial: Path) -> None:
    name = "task-rest_space-MNI152NLin2009cAsym_res-6_desc-preproc_bold.nii.gz"
    derivatives = "derivatives/fmriprep/sub-001"
    with_session = two_visits / derivatives / "ses-baseline" / "func" / f"sub-001_ses-baseline_{name}"
    assert with_session.read_bytes() == (small_trial / derivatives / "func" / f"sub-001_{name}").read_bytes()
    assert (two_visits / "participants.tsv").read_bytes() == (small_trial / "participants.tsv").read_bytes()


def test_two_sessions_become_change_scores(
    two_visits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for session in ("baseline", "followup"):
        extract = ["extract", str(two_visits / "derivatives/fmriprep"), str(tmp_path / session), "group"]
        options = ["--bids-dir", str(two_visits), "--session", session, "--jobs", "1", "--participant-label", "001"]
        assert main([*extract, *options]) == 0
    folders = [str(tmp_path / name) for name in ("baseline", "followup", "changes")]
    scale = ["--participants", str(two_visits / "participants.tsv"), "--scale", "madrs_total"]
    assert main(["change", *folders, *scale]) == 0
    assert "1 participants with both visits" in capsys.readouterr().out
    before, after, change = (read_feature_table(Path(folder) / "features.tsv").values for folder in folders)
    name = "rest_fisher_z__amygdala_L__vmPFC"
    assert change[f"change_{name}"].item() == pytest.approx(after[name].item() - before[name].item(), abs=1e-15)
    assert change[f"change_{name}"].item() != 0
    assert "change_madrs_total" in change


def test_a_scale_without_its_table_is_wrong_use(tmp_path: Path) -> None:
    assert main(["change", str(tmp_path), str(tmp_path), str(tmp_path / "out"), "--scale", "madrs_total"]) == 2

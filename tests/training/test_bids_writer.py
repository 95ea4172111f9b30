from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from predictor.circuit.circuit import load_circuit
from predictor.scan.session import read_visit
from predictor.scan.task_description import load_task_description
from predictor.scan.visit_files import find_visits
from training.simulation.bids_writer import nifti_bytes, write_tsv
from training.simulation.images import brain_grid
from training.simulation.visit import N_VOLUMES

CIRCUIT = load_circuit()


def _scan(trial: Path, kind: str) -> Path:
    return next((trial / "derivatives/fmriprep/sub-001/func").glob(f"*task-{kind}_*desc-preproc_bold.nii.gz"))


def test_image_header_says_what_nibabel_needs(small_trial: Path) -> None:
    for kind, n_volumes in N_VOLUMES.items():
        image = nib.load(_scan(small_trial, kind))
        assert image.shape == (31, 33, 25, n_volumes)
        assert image.get_data_dtype() == np.int16
        assert image.header["sform_code"] == image.header["qform_code"] == 4
        assert image.header.get_zooms() == (6, 6, 6, 2)
        assert image.header.get_xyzt_units() == ("mm", "sec")
        assert np.array_equal(image.affine, brain_grid(CIRCUIT).affine)


def test_voxels_stand_where_the_grid_says() -> None:
    grid = brain_grid(CIRCUIT)
    volumes = np.arange(2 * np.prod(grid.shape), dtype="<i4").astype("<i2").reshape(2, -1)
    image = nib.Nifti1Image.from_bytes(gzip.decompress(nifti_bytes(grid, volumes)))
    data = np.asarray(image.dataobj)
    assert np.array_equal(data.reshape(-1, 2, order="F").T, volumes)


def test_compressed_files_carry_no_time_and_no_name(small_trial: Path) -> None:
    content = _scan(small_trial, "rest").read_bytes()
    flags, time_stamp = content[3], content[4:8]
    assert (flags, time_stamp) == (0, bytes(4))


def test_mask_covers_exactly_the_voxels_with_signal(small_trial: Path) -> None:
    scan = _scan(small_trial, "faces")
    mask = np.asarray(nib.load(scan.with_name(scan.name.replace("preproc_bold", "brain_mask"))).dataobj)
    assert np.array_equal(mask > 0, np.asarray(nib.load(scan).dataobj).mean(axis=3) > 0)


def test_visits_are_found_and_read_by_the_predictor(small_trial: Path) -> None:
    tasks = load_task_description()
    visits = find_visits(small_trial, bids_dir=None, tasks=tasks, participant_labels=None)
    assert [visit.participant_id for visit in visits] == ["sub-001", "sub-002", "sub-003"]
    session = read_visit(visits[0], CIRCUIT, tasks)
    assert [run.kind for run in session.runs] == ["rest", "faces", "conflict"]
    for run in session.runs:
        assert run.repetition_time_s == 2.0
        assert run.confounds is not None
        assert (run.recording.coverage == 1).all()
        assert not run.notes
    assert session.runs[1].events is not None


def test_everything_says_that_it_is_synthetic(small_trial: Path) -> None:
    for folder in (small_trial, small_trial / "derivatives/fmriprep"):
        description = json.loads((folder / "dataset_description.json").read_text())
        assert description["Name"].startswith("Synthetic randomised trial")
        assert description["GeneratedBy"][0]["Name"] == "krp simulate"
    sidecar = _scan(small_trial, "rest").with_name(_scan(small_trial, "rest").name.replace(".nii.gz", ".json"))
    assert "Synthetic" in json.loads(sidecar.read_text())["Description"]
    assert b"synthetic" in bytes(nib.load(_scan(small_trial, "rest")).header["descrip"])
    assert json.loads((small_trial / "planted_truth.json").read_text())["synthetic"] is True


def test_participants_have_the_columns_that_their_description_names(small_trial: Path) -> None:
    table = pd.read_csv(small_trial / "participants.tsv", sep="\t", keep_default_na=False)
    described = json.loads((small_trial / "participants.json").read_text())
    assert list(table) == ["participant_id", *described] or set(table) == {"participant_id", *described}
    assert (table.loc[table["group"] == "control", "arm"] == "n/a").all()


def test_tables_are_written_as_bids_wants_them(tmp_path: Path) -> None:
    write_tsv(tmp_path / "t.tsv", pd.DataFrame({"a": [np.nan, 1 / 3], "b": ["x", "y"]}))
    assert (tmp_path / "t.tsv").read_bytes() == b"a\tb\nn/a\tx\n0.33333333\ty\n"


@pytest.mark.parametrize("kind", ["faces", "conflict"])
def test_events_stand_in_the_raw_tree(kind: str, small_trial: Path) -> None:
    events = pd.read_csv(small_trial / "sub-001/func" / f"sub-001_task-{kind}_events.tsv", sep="\t")
    assert list(events)[:3] == ["onset", "duration", "trial_type"]

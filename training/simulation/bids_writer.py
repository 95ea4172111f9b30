"""The synthetic trial on disk: a BIDS dataset with fMRIPrep-shaped derivatives, the same bytes for the same seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from isal import igzip
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from predictor.circuit.circuit import Circuit
from predictor.scan.visit_files import RunFiles, VisitFiles
from training.simulation.confounds_table import confounds_table
from training.simulation.images import BrainGrid
from training.simulation.trial import SimulatedPerson, TrialPlan, participants_table
from training.simulation.visit import REPETITION_TIME_S, SimulatedRun, simulate_visit

DATASET_NAME = "Synthetic randomised trial of ketamine in PTSD (simulated, no real participants)"
SPACE = "MNI152NLin2009cAsym"
RESOLUTION = "6"
DERIVATIVES = Path("derivatives") / "fmriprep"
MNI_CODE = 4
# Level 1 of ISA-L: the noise hardly compresses, and higher levels only take time.
COMPRESSION_LEVEL = 1

PARTICIPANT_COLUMNS: dict[str, dict[str, object]] = {
    "group": {"Description": "Patient with PTSD or healthy control", "Levels": {"patient": "", "control": ""}},
    "arm": {"Description": "Randomised treatment, n/a for controls", "Levels": {"ketamine": "", "midazolam": ""}},
    "age": {"Description": "Age", "Units": "years"},
    "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
    "site": {"Description": "Where the person was scanned"},
    "caps5_total_baseline": {"Description": "CAPS-5 total severity before treatment", "Units": "points, 0 to 80"},
    "caps5_total_followup": {"Description": "CAPS-5 total severity after two weeks", "Units": "points, 0 to 80"},
    "madrs_total_baseline": {"Description": "MADRS total, depression before treatment", "Units": "points, 0 to 60"},
    "madrs_total_followup": {"Description": "MADRS total, depression after two weeks", "Units": "points, 0 to 60"},
}
README = """Synthetic data, made by `krp simulate`. No real person was scanned.

The tree is shaped like a BIDS dataset with fMRIPrep derivatives (three runs per visit; a second visit of the patients
after treatment, ses-followup, only if it was asked for), so that tools can be tried on it. The raw images are left out;
events stand where raw runs would have them. The true couplings and how the outcome was made from them are in
planted_truth.json.
"""


def write_dataset(root: Path, people: tuple[SimulatedPerson, ...], plan: TrialPlan) -> None:
    """Write everything that belongs to no single person."""
    root.mkdir(parents=True, exist_ok=True)
    generator = {
        "Name": "krp simulate",
        "Version": version("ketamine-response-predictor"),
        "Description": f"synthetic data, seed {plan.seed}, effect {plan.effect}",
    }
    description = {"Name": DATASET_NAME, "BIDSVersion": "1.10.0", "License": "CC0", "GeneratedBy": [generator]}
    write_json(root / "dataset_description.json", description | {"DatasetType": "raw"})
    write_json(root / DERIVATIVES / "dataset_description.json", description | {"DatasetType": "derivative"})
    (root / "README").write_text(README, encoding="utf-8")
    (root / ".bidsignore").write_text("planted_truth.json\n", encoding="utf-8")
    write_tsv(root / "participants.tsv", participants_table(people).reset_index())
    write_json(root / "participants.json", PARTICIPANT_COLUMNS)


def write_visit(root: Path, person: SimulatedPerson, circuit: Circuit, *, session: str | None = None) -> VisitFiles:
    """Simulate one person's visit and write it, under "ses-..." if a session is named; returns where its files are.

    The linear algebra runs on one thread: with more, sums are added in another order and the bytes could differ.
    """
    with threadpool_limits(limits=1):
        runs = tuple(_write_run(root, person.participant_id, session, run) for run in simulate_visit(person, circuit))
    return VisitFiles(person.participant_id, session, runs)


def nifti_bytes(grid: BrainGrid, volumes: NDArray[np.int16] | NDArray[np.uint8]) -> bytes:
    """Return a gzipped NIfTI-1 file without time stamp or name.

    Parameters
    ----------
    volumes
        Shape (n_volumes, n_voxels of the grid) with x fastest; a single row gives a three-dimensional image.
    """
    new_header: Any = nib.Nifti1Header  # nibabel's headers are not typed
    header = new_header()
    is_series = len(volumes) > 1
    header.set_data_shape((*grid.shape, len(volumes)) if is_series else grid.shape)
    header.set_data_dtype(volumes.dtype)
    header.set_xyzt_units("mm", "sec")
    header.set_sform(grid.affine, MNI_CODE)
    header.set_qform(grid.affine, MNI_CODE)
    zooms = np.abs(np.diag(grid.affine)[:3])
    header.set_zooms((*zooms, REPETITION_TIME_S) if is_series else tuple(zooms))
    header["descrip"] = b"synthetic, krp simulate"
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    content = header.binaryblock + bytes(4) + volumes.tobytes()
    return bytes(igzip.compress(content, COMPRESSION_LEVEL, mtime=0))


def write_json(path: Path, document: Mapping[str, object]) -> None:
    """Write a document with sorted keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def write_tsv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as BIDS wants it: tabs, n/a, eight digits."""
    text = StringIO()
    table.to_csv(text, sep="\t", index=False, na_rep="n/a", float_format="%.8g", lineterminator="\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8")


def _write_run(root: Path, participant_id: str, session: str | None, run: SimulatedRun) -> RunFiles:
    named = [participant_id] if session is None else [participant_id, session]
    stem = "_".join([*named, f"task-{run.kind}"])
    func = Path(*named) / "func"
    folder = root / DERIVATIVES / func
    folder.mkdir(parents=True, exist_ok=True)
    image_stem = f"{stem}_space-{SPACE}_res-{RESOLUTION}"
    files = RunFiles(
        kind=run.kind,
        scan=folder / f"{image_stem}_desc-preproc_bold.nii.gz",
        confounds=folder / f"{stem}_desc-confounds_timeseries.tsv",
        confounds_sidecar=folder / f"{stem}_desc-confounds_timeseries.json",
        sidecar=folder / f"{image_stem}_desc-preproc_bold.json",
        events=None if run.events is None else root / func / f"{stem}_events.tsv",
        space=SPACE,
    )
    files.scan.write_bytes(nifti_bytes(run.image.grid, run.image.volumes()))
    (folder / f"{image_stem}_desc-brain_mask.nii.gz").write_bytes(_mask_bytes(run.image.grid))
    write_json(folder / f"{image_stem}_desc-preproc_bold.json", _bold_sidecar(run))
    table, components = confounds_table(run.image, run.motion, REPETITION_TIME_S)
    write_tsv(folder / f"{stem}_desc-confounds_timeseries.tsv", table)
    write_json(folder / f"{stem}_desc-confounds_timeseries.json", components)
    if files.events is not None and run.events is not None:
        write_tsv(files.events, run.events)
    return files


def _mask_bytes(grid: BrainGrid) -> bytes:
    mask = np.zeros((1, int(np.prod(grid.shape))), dtype=np.uint8)
    mask[0, grid.flat_index] = 1
    return nifti_bytes(grid, mask)


def _bold_sidecar(run: SimulatedRun) -> dict[str, object]:
    return {
        "Description": "Synthetic BOLD series (krp simulate); no real person was scanned",
        "RepetitionTime": REPETITION_TIME_S,
        "SkullStripped": False,
        "SliceTimingCorrected": True,
        "StartTime": REPETITION_TIME_S / 2,
        "TaskName": run.kind,
    }

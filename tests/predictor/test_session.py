"""Runs and visits: parts that fit each other, or a named error."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nilearn.maskers import NiftiSpheresMasker

from predictor.circuit.circuit import Circuit, Region, load_circuit
from predictor.errors import (
    EventsBeyondRunError,
    PredictorError,
    RepetitionTimeError,
    RowMismatchError,
    ScanError,
    SessionError,
    TableError,
)
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, Run, build_run, find_visits, read_visit, resolve_repetition_time
from predictor.scan.task_description import RunKind, load_task_description

N_VOLUMES = 40
MNI = "space-MNI152NLin2009cAsym"
CONFOUNDS = b"csf\n" + b"".join(b"%d\n" % row for row in range(N_VOLUMES))
EVENTS = b"onset\tduration\ttrial_type\n0\t2\tface\n10\t2\tshape\n"
SIDECAR = b'{"RepetitionTime": 2.0}'


def recording(repetition_time_s: float | None = 2.0, digest: str = "sha256:1") -> RegionRecording:
    return RegionRecording(
        region_names=("amygdala_L",),
        bold=np.full((N_VOLUMES, 1), 100.0),
        coverage=np.ones(1),
        temporal_snr=np.array([50.0]),
        carpet=np.zeros((N_VOLUMES, 0), dtype=np.float32),
        repetition_time_s=repetition_time_s,
        space="MNI152NLin2009cAsym",
        input_digest=digest,
    )


def run_of(kind: RunKind = "faces", recorded: RegionRecording | None = None, **parts: bytes | None) -> Run:
    given: dict[str, Any] = {
        "confounds_tsv": CONFOUNDS,
        "confounds_sidecar": b"{}",
        "sidecar": SIDECAR,
        "events_tsv": EVENTS,
        **parts,
    }
    return build_run(kind, recorded or recording(), tasks=load_task_description(), **given)


def test_a_run_holds_its_parts() -> None:
    run = run_of()
    assert run.n_volumes == N_VOLUMES
    assert run.confounds is not None
    assert run.confounds.n_rows == N_VOLUMES
    assert run.events is not None
    assert run.events.conditions == ("faces", "control")
    assert run.repetition_time_s == 2.0
    assert run.notes == ()


def test_a_side_car_of_a_table_that_is_not_there_is_no_input() -> None:
    alone = run_of(confounds_tsv=None, confounds_sidecar=b"{}")
    assert alone.input_digest == run_of(confounds_tsv=None, confounds_sidecar=None).input_digest
    assert run_of(confounds_sidecar=None).input_digest != run_of().input_digest


def test_a_run_may_lack_everything_but_the_scan() -> None:
    run = run_of(confounds_tsv=None, confounds_sidecar=None, sidecar=None, events_tsv=None)
    assert (run.confounds, run.events, run.repetition_time_s) == (None, None, 2.0)


def test_events_of_a_rest_run_are_not_used() -> None:
    assert run_of("rest", events_tsv=b"no table").events is None


def test_confounds_of_another_length_are_a_named_error() -> None:
    with pytest.raises(RowMismatchError, match="has 2 rows, the scan 40 volumes") as caught:
        run_of(confounds_tsv=b"csf\n1\n2\n")
    assert caught.value.where == "faces_confounds"


def test_the_side_cars_repetition_time_decides_where_the_run_ends() -> None:
    events = b"onset\tduration\ttrial_type\n0\t2\tface\n75\t2\tshape\n"
    assert run_of(recorded=recording(1.79), events_tsv=events).notes != ()
    with pytest.raises(EventsBeyondRunError, match=r"71\.6 s"):
        run_of(recorded=recording(1.79), sidecar=None, events_tsv=events)


def test_errors_name_the_run_among_several() -> None:
    with pytest.raises(RowMismatchError) as caught:
        build_run(
            "faces",
            recording(),
            confounds_tsv=b"csf\n1\n",
            confounds_sidecar=None,
            sidecar=None,
            events_tsv=None,
            tasks=load_task_description(),
            number=2,
        )
    assert caught.value.where == "faces_2_confounds"


@pytest.mark.parametrize("part", ["confounds_tsv", "confounds_sidecar", "sidecar", "events_tsv"])
def test_malformed_bytes_of_any_part_are_a_table_error(part: str) -> None:
    with pytest.raises(TableError):
        run_of(**{part: b"\xff\x00{"})


@pytest.mark.parametrize(
    ("header_s", "sidecar_s", "expected_s"),
    [(None, None, None), (2.0, None, 2.0), (None, 2, 2.0), (0.0, 2.0, 2.0), (2.0004, 2.0, 2.0)],
)
def test_repetition_times_that_agree_need_no_note(
    header_s: float | None, sidecar_s: float | None, expected_s: float | None
) -> None:
    assert resolve_repetition_time(header_s, sidecar_s) == (expected_s, None)


@pytest.mark.parametrize("header_s", [1.79, 2000.0, -1.0, np.nan, 2.002])
def test_the_side_car_outranks_the_header_and_the_note_says_so(header_s: float) -> None:
    seconds, note = resolve_repetition_time(header_s, 2.0)
    assert seconds == 2.0
    assert "the side-car 2 s" in str(note)
    run = run_of(recorded=recording(header_s))
    assert run.repetition_time_s == run.recording.repetition_time_s == 2.0


@pytest.mark.parametrize("value", [0, -2, np.nan, np.inf, 2000, 100, 0.002, True, "2.0", [2.0], 10**400])
def test_a_repetition_time_that_is_none_is_a_named_error(value: Any) -> None:
    with pytest.raises(RepetitionTimeError) as caught:
        resolve_repetition_time(2.0, value, where="rest")
    assert caught.value.where == "rest_sidecar"
    if isinstance(value, int | float) and not isinstance(value, bool):
        with pytest.raises(RepetitionTimeError):
            resolve_repetition_time(value, None)


def test_milliseconds_are_recognised() -> None:
    with pytest.raises(RepetitionTimeError, match="milliseconds"):
        run_of(sidecar=b'{"RepetitionTime": 2000}')


def test_the_digest_changes_with_every_part() -> None:
    other_events, other_confounds = EVENTS.replace(b"10", b"12"), CONFOUNDS.replace(b"\n39", b"\n38")
    runs = [
        run_of(),
        run_of(recorded=recording(digest="sha256:2")),
        run_of(confounds_tsv=other_confounds),
        run_of(confounds_tsv=None),
        run_of(confounds_sidecar=b"{ }"),
        run_of(sidecar=None),
        run_of(events_tsv=other_events),
    ]
    digests = {BaselineSession((run,)).input_digest for run in runs}
    assert len(digests) == len(runs)
    assert run_of().input_digest == runs[0].input_digest
    assert all(digest.startswith("sha256:") and len(digest) == 71 for digest in digests)


def test_a_session_holds_numbered_runs_in_a_fixed_order() -> None:
    rest, second, faces = run_of("rest"), replace(run_of("rest"), number=2), run_of("faces")
    session = BaselineSession((rest, second, faces))
    assert session.of_kind("rest") == (rest, second)
    assert session.of_kind("conflict") == ()
    assert [run.name for run in session.runs] == ["rest", "rest_2", "faces"]
    for wrong in ((), (faces, rest), (rest, rest), (second,), (second, rest), (replace(faces, number=3),)):
        with pytest.raises(SessionError):
            BaselineSession(wrong)
    assert BaselineSession((rest, faces)).input_digest != session.input_digest
    assert BaselineSession((replace(rest, kind="faces"),)).input_digest != BaselineSession((rest,)).input_digest


def small_circuit() -> Circuit:
    regions = tuple(
        Region(name, name, centre, 8.0)
        for name, centre in (("amygdala", (-24.0, -4.0, -20.0)), ("vmPFC", (0.0, 26.0, -18.0)))
    )
    return Circuit("small", "MNI152NLin2009cAsym", regions, ())


def write_visit(root: Path, rng: np.random.Generator) -> Path:
    """Write one participant's rest run on an 8 mm grid."""
    folder = root / "sub-01/func"
    folder.mkdir(parents=True)
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = [-96, -132, -78]
    image = nib.Nifti1Image((rng.random((25, 29, 25, N_VOLUMES)) * 100 + 1000).astype(np.int16), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.0
    nib.save(image, folder / f"sub-01_task-rest_{MNI}_desc-preproc_bold.nii.gz")
    (folder / "sub-01_task-rest_desc-confounds_timeseries.tsv").write_bytes(CONFOUNDS)
    return root


def test_a_visit_read_from_files_is_the_run_built_from_bytes(tmp_path: Path, rng: np.random.Generator) -> None:
    tasks, circuit = load_task_description(), small_circuit()
    [files] = find_visits(write_visit(tmp_path, rng), bids_dir=None, tasks=tasks, participant_labels=["01"])
    session = read_visit(files, circuit, tasks)
    [run] = session.of_kind("rest")
    centres = [region.centre_mni_mm for region in circuit.regions]
    # Without a dtype nilearn keeps the image's int16 and cuts the means down to integers.
    masker = NiftiSpheresMasker(centres, radius=8.0, standardize=None, dtype="float64")
    np.testing.assert_allclose(run.recording.bold, masker.fit_transform(str(files.runs[0].scan)), rtol=1e-9)
    rebuilt = build_run(
        "rest",
        run.recording,
        confounds_tsv=CONFOUNDS,
        confounds_sidecar=None,
        sidecar=None,
        events_tsv=None,
        tasks=tasks,
    )
    assert rebuilt.input_digest == run.input_digest


def test_a_damaged_file_of_a_visit_is_named_by_its_part(tmp_path: Path, rng: np.random.Generator) -> None:
    tasks, circuit = load_task_description(), small_circuit()
    [files] = find_visits(write_visit(tmp_path, rng), bids_dir=None, tasks=tasks, participant_labels=None)
    table = tmp_path / "sub-01/func/sub-01_task-rest_desc-confounds_timeseries.tsv"
    table.unlink()
    with pytest.raises(TableError) as caught:
        read_visit(files, circuit, tasks)
    assert caught.value.where == "rest_confounds"
    files.runs[0].scan.write_bytes(b"no scan")
    with pytest.raises(ScanError) as caught_scan:
        read_visit(files, circuit, tasks)
    assert caught_scan.value.where == "rest"


def test_a_visit_with_a_problem_raises_it_when_read(tmp_path: Path, rng: np.random.Generator) -> None:
    tasks = load_task_description()
    (write_visit(tmp_path, rng) / "sub-02").mkdir()
    _, empty = find_visits(tmp_path, bids_dir=None, tasks=tasks, participant_labels=None)
    with pytest.raises(PredictorError, match="found none for this participant"):
        read_visit(empty, small_circuit(), tasks)


def test_the_real_localizer_is_read_with_all_its_parts(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "tasks.toml").write_text('[faces]\ntasks = ["oneback"]\n')
    tasks = load_task_description(tmp_path / "tasks.toml")
    dataset = shared / "data/studyforrest_localizer"
    [files] = find_visits(dataset, bids_dir=None, tasks=tasks, participant_labels=None)
    session = read_visit(files, load_circuit(), tasks)
    [run] = session.of_kind("faces")
    assert run.n_volumes == 156
    assert run.repetition_time_s == json.loads(files.runs[0].sidecar.read_text())["RepetitionTime"] == 2.0  # type: ignore[union-attr]
    assert run.events is not None
    assert len(run.events.of("faces")[0]) == 32
    assert len(run.events.of("control")[0]) == 160
    assert "sub-02" not in repr(session)

"""What a scan's header tells, and what its end gives away."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from predictor.circuit.circuit import Circuit, Region, load_circuit
from predictor.errors import CircuitNotCoveredError, ScanError, ScanSpaceError, ScanTruncatedError
from predictor.scan.region_signals import read_region_signals
from predictor.scan.scan_preview import preview_scan, stand_in_recording

MNI = "MNI152NLin2009cAsym"


def image_bytes(origin_mm: tuple[float, float, float] = (-96, -132, -78), n_volumes: int = 5) -> bytes:
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = origin_mm
    return nib.Nifti1Image(
        np.arange(25 * 29 * 25 * n_volumes, dtype=np.int32).reshape(25, 29, 25, -1), affine
    ).to_bytes()


def circuit(*centres: tuple[float, float, float]) -> Circuit:
    return Circuit("x", MNI, tuple(Region(f"r{i}", f"r{i}", centre, 8.0) for i, centre in enumerate(centres)), ())


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_the_share_in_view_is_what_reading_finds_at_most(name: str, tmp_path: Path) -> None:
    # The field of view begins at z = -78 mm, so that regions lie within, on the edge and outside.
    regions = circuit((-24.0, -4.0, -20.0), (0.0, 4.0, -78.0), (0.0, 4.0, -100.0))
    path = tmp_path / name
    path.write_bytes(gzip.compress(image_bytes()) if name.endswith("gz") else image_bytes())
    preview = preview_scan(path, regions, declared_space=MNI)
    read = read_region_signals(path, regions, declared_space=MNI)
    assert preview.in_view.tolist() == pytest.approx(read.coverage.tolist())
    assert preview.in_view[0] == 1
    assert 0 < preview.in_view[1] < 1
    assert preview.in_view[2] == 0
    assert preview.voxel_size_mm == pytest.approx(8.0)
    stand_in = stand_in_recording(preview, regions, declared_space=MNI)
    assert stand_in.bold.shape == read.bold.shape
    assert np.isnan(stand_in.bold).all(axis=0).tolist() == np.isnan(read.bold).all(axis=0).tolist()


def test_what_is_wrong_with_the_header_is_the_error_of_reading(tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(image_bytes((400, 400, 400))))
    for read in (preview_scan, read_region_signals):
        with pytest.raises(CircuitNotCoveredError):
            read(path, load_circuit(), declared_space=MNI)
        with pytest.raises(ScanSpaceError):
            read(path, load_circuit(), declared_space="T1w")
        with pytest.raises(ScanError, match="disk"):
            read(tmp_path / "absent.nii", load_circuit())


@pytest.mark.parametrize("n_bytes", [0, 3, 20, 340, 5_000, 100_000, -1])
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_file_cut_off_anywhere_is_noticed(name: str, n_bytes: int, tmp_path: Path) -> None:
    content = image_bytes() if name == "x.nii" else gzip.compress(image_bytes())
    (tmp_path / name).write_bytes(content[:n_bytes])
    with pytest.raises(ScanTruncatedError):
        preview_scan(tmp_path / name, load_circuit(), declared_space=MNI)


def test_padding_and_small_marked_members_are_not_taken_for_truncation(tmp_path: Path) -> None:
    path, content = tmp_path / "x.nii.gz", image_bytes()
    path.write_bytes(gzip.compress(content + bytes(512)))
    preview_scan(path, load_circuit(), declared_space=MNI)
    # An extra field of no bytes, as tools that write many members set it.
    first = bytearray(gzip.compress(content[:100_000]))
    first[3] |= 4
    first[10:10] = b"\0\0"
    path.write_bytes(bytes(first) + gzip.compress(content[100_000:]))
    preview_scan(path, load_circuit(), declared_space=MNI)
    assert read_region_signals(path, load_circuit(), declared_space=MNI).bold.shape[0] == 5

"""Region signals from a scan, compared with nilearn's sphere masker and with what was planted."""

from __future__ import annotations

import gzip
import hashlib
import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.maskers import NiftiSpheresMasker
from nilearn.maskers.nifti_spheres_masker import apply_mask_and_get_affinity

from predictor.circuit.circuit import Circuit, circuit_of_names, load_circuit
from predictor.errors import (
    CircuitError,
    CircuitNotCoveredError,
    FeatureError,
    PredictorError,
    ScanError,
    ScanSpaceError,
    ScanTooLargeError,
)
from predictor.scan.nifti_stream import ScanLimits
from predictor.scan.region_signals import RegionReader, RegionRecording, read_region_signals

# 4 mm voxels over the whole circuit, x from right to left as in many real files.
SHAPE = (28, 26, 20)
AFFINE = np.array([[-4.0, 0, 0, 54], [0, 4, 0, -28], [0, 0, 4, -34], [0, 0, 0, 1]])
N_VOLUMES = 12
TYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return load_circuit()


@pytest.fixture(scope="module")
def sphere_masks(circuit: Circuit) -> list[np.ndarray]:
    """Give nilearn's voxels of every region, asked for once because nilearn lists every voxel in Python."""
    template = nibabel.Nifti1Image(np.zeros((*SHAPE, 1)), AFFINE)
    masks = []
    for region in circuit.regions:
        _, affinity = apply_mask_and_get_affinity(
            [region.centre_mni_mm], template, region.radius_mm, allow_overlap=False
        )
        masks.append(np.asarray(affinity.toarray()[0] > 0).reshape(SHAPE))
    return masks


def plausible_series(rng: np.random.Generator) -> np.ndarray:
    """Draw a bright series that fits the smallest integers."""
    return 60 + 8 * rng.standard_normal((*SHAPE, 1)) + 4 * rng.standard_normal((*SHAPE, N_VOLUMES))


def image(series: np.ndarray, *, dtype: str = "f4", order: str = "<", code: int = 4, **fields: Any) -> Any:
    """Make an image in MNI space with a repetition time of 2 s."""
    kind = np.dtype(dtype).newbyteorder(order)  # type: ignore[call-overload]
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(kind)
    made = nibabel.Nifti1Image(series.astype(kind), AFFINE, header=header, dtype=kind)
    made.header.set_xyzt_units("mm", "sec")
    made.header.set_zooms((4.0, 4.0, 4.0, 2.0))
    made.set_sform(AFFINE, code)
    made.set_qform(AFFINE, code)
    for name, value in fields.items():
        made.header[name] = value
    return made


def read(
    data: bytes, circuit: Circuit, *, step: int = 1 << 20, limits: ScanLimits | None = None, space: str | None = None
) -> RegionRecording:
    """Push data in chunks of `step` bytes."""
    reader = RegionReader(circuit, limits=limits, declared_space=space)
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
    return reader.finish()


def sphere_means(scan: Any, circuit: Circuit) -> np.ndarray:
    """Compute the same means with nilearn, shape (n_volumes, n_regions)."""
    means = np.full((scan.shape[3], len(circuit.regions)), np.nan)
    for radius in {region.radius_mm for region in circuit.regions}:
        chosen = [index for index, region in enumerate(circuit.regions) if region.radius_mm == radius]
        centres = [circuit.regions[index].centre_mni_mm for index in chosen]
        masker = NiftiSpheresMasker(centres, radius=radius, standardize=None, dtype=np.float64)
        means[:, chosen] = masker.fit_transform(scan)
    return means


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", TYPES)
def test_means_of_every_type_are_those_of_the_stored_voxels(
    dtype: str,
    order: str,
    is_compressed: bool,
    circuit: Circuit,
    sphere_masks: list[np.ndarray],
    rng: np.random.Generator,
) -> None:
    block = bytearray(image(plausible_series(rng), dtype=dtype, order=order).to_bytes())
    block[112:120] = np.array([0.5, 100.0], dtype=np.dtype("f4").newbyteorder(order)).tobytes()  # type: ignore[call-overload]
    scan = nibabel.Nifti1Image.from_bytes(bytes(block))
    data = gzip.compress(bytes(block), 1) if is_compressed else bytes(block)
    recording = read(data, circuit)
    series = scan.get_fdata(dtype=np.float64)
    expected = np.stack([series[mask].mean(axis=0) for mask in sphere_masks], axis=1)
    np.testing.assert_allclose(recording.bold, expected, rtol=1e-6)
    assert recording.region_names == circuit.region_names
    assert recording.repetition_time_s == 2.0
    assert recording.space == "MNI152"
    assert recording.input_digest == "sha256:" + hashlib.sha256(data).hexdigest()


def test_means_are_those_of_nilearns_sphere_masker(circuit: Circuit, rng: np.random.Generator) -> None:
    scan = image(plausible_series(rng), dtype="f8")
    np.testing.assert_allclose(read(scan.to_bytes(), circuit).bold, sphere_means(scan, circuit), rtol=1e-10)


@pytest.mark.parametrize("how", ["plain", "gzip", "members"])
def test_the_size_of_chunks_changes_nothing(how: str, circuit: Circuit, rng: np.random.Generator) -> None:
    block = image(plausible_series(rng)[..., :2], dtype="u1").to_bytes()
    cuts = range(0, len(block) + 5_000, 5_000)
    data = {
        "plain": block,
        "gzip": gzip.compress(block),
        "members": b"".join(gzip.compress(block[start:end]) for start, end in itertools.pairwise(cuts)),
    }[how]
    whole = read(data, circuit, step=len(data))
    for step in (1, 13, 4_096, 65_537):
        part = read(data, circuit, step=step)
        for field in ("bold", "coverage", "temporal_snr", "carpet"):
            np.testing.assert_array_equal(getattr(part, field), getattr(whole, field))
        assert part.input_digest == whole.input_digest


def test_file_and_bytes_give_the_same_recording(tmp_path: Path, circuit: Circuit, rng: np.random.Generator) -> None:
    path = tmp_path / "bold.nii.gz"
    nibabel.save(image(plausible_series(rng), dtype="i2"), path)
    from_file, from_bytes = read_region_signals(path, circuit), read(path.read_bytes(), circuit)
    np.testing.assert_array_equal(from_file.bold, from_bytes.bold)
    assert from_file.input_digest == from_bytes.input_digest


def test_file_that_does_not_exist_is_named_without_its_path(tmp_path: Path, circuit: Circuit) -> None:
    with pytest.raises(ScanError, match="cannot be read from disk") as caught:
        read_region_signals(tmp_path / "nowhere.nii.gz", circuit)
    assert str(tmp_path) not in str(caught.value)


def test_flipping_the_axes_of_the_file_changes_no_signal(circuit: Circuit, rng: np.random.Generator) -> None:
    scan = image(plausible_series(rng))
    as_stored = read(scan.to_bytes(), circuit)
    turned = scan.as_reoriented(nibabel.io_orientation(AFFINE) * [1, -1] + [[0, 0], [0, 0], [0, 0]])
    turned.set_sform(turned.affine, 4)
    assert nibabel.aff2axcodes(turned.affine) != nibabel.aff2axcodes(scan.affine)
    np.testing.assert_allclose(read(turned.to_bytes(), circuit).bold, as_stored.bold, rtol=1e-6)


def test_temporal_snr_is_the_median_over_voxels(
    circuit: Circuit, sphere_masks: list[np.ndarray], rng: np.random.Generator
) -> None:
    scan = image(plausible_series(rng), dtype="f8")
    recording = read(scan.to_bytes(), circuit)
    data = scan.get_fdata()
    for index, mask in enumerate(sphere_masks):
        voxels = data[mask]
        expected = np.median(voxels.mean(axis=1) / voxels.std(axis=1))
        assert recording.temporal_snr[index] == pytest.approx(expected)
    assert recording.coverage.tolist() == [1.0] * 12


def test_dark_constant_and_broken_voxels_lower_the_coverage(
    circuit: Circuit, sphere_masks: list[np.ndarray], rng: np.random.Generator
) -> None:
    series = plausible_series(rng)
    dark, constant, broken, gone = (np.argwhere(sphere_masks[index]) for index in (0, 1, 2, 4))
    series[tuple(dark[0])] *= 0.1
    series[tuple(constant[0])] = 60.0
    series[tuple(broken[0])][3] = np.nan
    for voxel in gone:
        series[tuple(voxel)] = 0.0
    recording = read(image(series, dtype="f8").to_bytes(), circuit)
    n_voxels = [mask.sum() for mask in sphere_masks]
    expected = [1 - 1 / n_voxels[0], 1 - 1 / n_voxels[1], 1 - 1 / n_voxels[2], 1.0, 0.0] + [1.0] * 7
    assert recording.coverage == pytest.approx(expected)
    # A voxel that is no number in one volume counts in none, so that it makes no step in the mean.
    rest = [tuple(voxel) for voxel in broken[1:]]
    np.testing.assert_allclose(recording.bold[:, 2], np.mean([series[voxel] for voxel in rest], axis=0))
    assert np.isnan(recording.bold[:, 4]).all()
    assert np.isnan(recording.temporal_snr[4])
    assert np.isfinite(np.delete(recording.bold, 4, axis=1)).all()


def test_region_outside_the_field_of_view_is_uncovered(circuit: Circuit, rng: np.random.Generator) -> None:
    low = 7  # z from -6 mm on
    cropped = image(plausible_series(rng)).slicer[:, :, low:]
    cropped.set_sform(cropped.affine, 4)
    recording = read(cropped.to_bytes(), circuit)
    assert recording.coverage[:4].tolist() == [0, 0, 0, 0]
    assert np.isnan(recording.bold[:, :4]).all()
    assert 0 < recording.coverage[10] <= 1
    assert recording.coverage[6] == 1.0


def test_scan_that_misses_the_circuit_is_refused(circuit: Circuit, rng: np.random.Generator) -> None:
    lowest = image(plausible_series(rng)).slicer[:, :, :1]
    with pytest.raises(CircuitNotCoveredError):
        read(lowest.to_bytes(), circuit, space="MNI152Lin")


def test_carpet_holds_real_voxels_in_the_files_unit(circuit: Circuit, rng: np.random.Generator) -> None:
    scan = image(plausible_series(rng), dtype="f4")
    carpet = read(scan.to_bytes(), circuit).carpet
    series = {tuple(voxel) for voxel in scan.get_fdata(dtype=np.float32).reshape(-1, N_VOLUMES).tolist()}
    assert carpet.dtype == np.float32
    assert 100 < carpet.shape[1] < 700
    assert {tuple(voxel) for voxel in carpet.T.tolist()} <= series


@pytest.mark.parametrize(
    ("code", "declared", "is_fine"),
    [
        (4, None, True),
        (4, "MNI152NLin2009cAsym", True),
        (2, "MNI152NLin6Asym", True),
        (1, "MNI152Lin", True),
        (4, "T1w", False),
        (4, "", False),
        (1, None, False),
        (2, None, False),
        (3, None, False),
        (5, None, False),
    ],
)
def test_space_is_what_is_declared_or_what_the_header_says(
    code: int, declared: str | None, is_fine: bool, circuit: Circuit, rng: np.random.Generator
) -> None:
    data = image(plausible_series(rng), code=code).to_bytes()
    if is_fine:
        assert read(data, circuit, space=declared).space == (declared or "MNI152")
    else:
        with pytest.raises(ScanSpaceError):
            read(data, circuit, space=declared)


def test_qform_alone_is_enough(circuit: Circuit, rng: np.random.Generator) -> None:
    scan = image(plausible_series(rng))
    by_sform = read(scan.to_bytes(), circuit)
    scan.header["sform_code"] = 0
    scan.header["srow_x"] = 0
    np.testing.assert_array_equal(read(scan.to_bytes(), circuit).bold, by_sform.bold)


def test_what_is_kept_in_memory_is_limited(circuit: Circuit, rng: np.random.Generator) -> None:
    data = image(plausible_series(rng)).to_bytes()
    with pytest.raises(ScanTooLargeError, match="bytes of region signals"):
        read(data, circuit, limits=ScanLimits(max_kept_bytes=1_000))


def test_circuit_known_by_name_only_cannot_be_read_from_a_scan(rng: np.random.Generator) -> None:
    with pytest.raises(CircuitError, match="no coordinates"):
        read(image(plausible_series(rng)).to_bytes(), circuit_of_names(["N1", "N2"], name="table"))


def test_values_beyond_all_reason_are_no_signal(circuit: Circuit, rng: np.random.Generator) -> None:
    series = plausible_series(rng)
    series[..., 5] = 1e200
    recording = read(image(series, dtype="f8").to_bytes(), circuit)
    assert recording.coverage.tolist() == [0.0] * 12
    assert np.isnan(recording.bold).all()
    assert np.isnan(recording.carpet[5]).all()


def test_transposed_recording_is_refused() -> None:
    with pytest.raises(FeatureError, match="Transposed"):
        RegionRecording(
            ("a", "b"), np.zeros((2, 9)), np.ones(2), np.ones(2), np.zeros((9, 0), np.float32), 2.0, "", "sha256:0"
        )


VALID = image(plausible_series(np.random.default_rng(3))[..., :3], dtype="i2").to_bytes()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data(), is_compressed=st.booleans())
def test_a_mutated_file_gives_a_recording_or_a_named_error(data: st.DataObject, is_compressed: bool) -> None:
    block = bytearray(VALID)
    # Bytes that matter are in the header; the compressed stream is hit anywhere.
    for _ in range(data.draw(st.integers(0, 6))):
        block[data.draw(st.integers(0, 351))] = data.draw(st.integers(0, 255))
    mutated = bytearray(gzip.compress(block, 1)) if is_compressed else block
    for _ in range(data.draw(st.integers(0, 2))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] ^= data.draw(st.integers(0, 255))
    mutated = mutated[: data.draw(st.sampled_from([len(mutated), len(mutated) - 1, len(mutated) // 2, 10, 400]))]
    mutated += data.draw(st.sampled_from([b"", bytes(9), b"tail"]))
    space = data.draw(st.sampled_from([None, "MNI152NLin2009cAsym"]))
    limits = ScanLimits(max_voxels_per_volume=200_000, max_volumes=400)
    step = data.draw(st.sampled_from([100, 70_000]))
    try:
        outcome: RegionRecording | PredictorError = read(
            bytes(mutated), load_circuit(), step=step, limits=limits, space=space
        )
    except PredictorError as error:
        outcome = error
    if isinstance(outcome, PredictorError):
        assert str(outcome)
        assert outcome.remedy
    else:
        assert outcome.bold.shape == (outcome.n_volumes, 12)
        assert ((outcome.coverage >= 0) & (outcome.coverage <= 1)).all()


@pytest.mark.shared
def test_real_scan_gives_nilearns_means(shared: Path) -> None:
    folder = shared / "data/studyforrest_localizer/derivatives/fmriprep_like/sub-02/func"
    (path,) = folder.glob("*_desc-preproc_bold.nii.gz")
    circuit = load_circuit()
    recording = read_region_signals(path, circuit, declared_space="MNI152Lin")
    np.testing.assert_allclose(recording.bold, sphere_means(nibabel.load(path), circuit), rtol=1e-5)
    assert recording.bold.shape == (156, 12)
    assert recording.coverage.min() > 0.9
    assert recording.repetition_time_s == 2.0


@pytest.mark.parametrize("dtype", ["i2", "f4", "u1"])
def test_mean_image_is_the_mean_of_the_volumes_on_the_scans_grid(
    dtype: str, circuit: Circuit, rng: np.random.Generator
) -> None:
    scan = image(plausible_series(rng), dtype=dtype, order=">", scl_slope=0.5, scl_inter=10.0)
    reader = RegionReader(circuit, keep_mean_image=True)
    reader.feed(scan.to_bytes())
    kept = reader.finish().mean_image
    assert kept is not None
    expected = nibabel.Nifti1Image.from_bytes(scan.to_bytes())
    np.testing.assert_allclose(kept.values, expected.get_fdata().mean(axis=3), rtol=1e-6)
    np.testing.assert_allclose(kept.affine, expected.affine)


def test_mean_image_is_kept_only_on_demand_and_changes_nothing_else(
    tmp_path: Path, circuit: Circuit, rng: np.random.Generator
) -> None:
    path = tmp_path / "bold.nii"
    nibabel.save(image(plausible_series(rng)), path)
    without, with_image = (read_region_signals(path, circuit, keep_mean_image=wanted) for wanted in (False, True))
    assert without.mean_image is None
    for field in ("bold", "coverage", "temporal_snr", "carpet"):
        np.testing.assert_array_equal(getattr(without, field), getattr(with_image, field))
    assert without.input_digest == with_image.input_digest


def test_a_voxel_without_number_in_one_volume_is_none_in_the_mean_image(
    circuit: Circuit, rng: np.random.Generator
) -> None:
    series = plausible_series(rng)
    series[3, 4, 5, 2], series[3, 4, 6, 2] = np.nan, np.inf
    reader = RegionReader(circuit, keep_mean_image=True)
    reader.feed(image(series).to_bytes())
    kept = reader.finish().mean_image
    assert kept is not None
    assert np.argwhere(np.isnan(kept.values)).tolist() == [[3, 4, 5], [3, 4, 6]]

from __future__ import annotations

import gzip
from typing import Any

import nibabel
import numpy as np
import pytest

from predictor.circuit.circuit import Circuit, Region, load_circuit
from predictor.circuit.region_voxels import region_voxels
from predictor.errors import ExplanationAbsentError, RegionsUnknownError
from predictor.report.edge_table import attributions_of
from predictor.report.region_attributions import (
    GRID_AFFINE,
    GRID_SHAPE,
    attribution_image,
    attribution_volume,
    region_sums,
)


def answer_of(*contributions: tuple[str, str, float]) -> dict[str, Any]:
    items = [
        {"feature": feature, "kind": kind, "contribution": amount, "circuit": "", "value": 0.1, "unit": "1"}
        for feature, kind, amount in contributions
    ]
    return {"status": "ok", "explanation": {"arm": "all", "contributions": items}}


@pytest.fixture
def answer() -> dict[str, Any]:
    return answer_of(
        ("rest_fisher_z__amygdala_L__vmPFC", "rest", 4.0),
        ("gppi_faces__vmPFC__amygdala_L", "gppi", -1.0),
        ("activation_faces__dACC", "activation", 0.75),
        ("site", "clinical", 9.0),
    )


def test_regions_add_up_to_what_was_measured_in_the_brain(answer: dict[str, Any]) -> None:
    sums = region_sums(attributions_of(answer))
    assert sums == {"amygdala_L": 1.5, "vmPFC": 1.5, "dACC": 0.75}
    assert sum(sums.values()) == pytest.approx(4.0 - 1.0 + 0.75)


def test_a_regions_sum_stands_at_its_seed_and_nothing_outside_the_regions(answer: dict[str, Any]) -> None:
    circuit = load_circuit()
    volume = attribution_volume(answer, circuit)
    sums = region_sums(attributions_of(answer))
    for region in circuit.regions:
        assert region.centre_mni_mm is not None
        voxel = np.round(np.linalg.inv(GRID_AFFINE) @ [*region.centre_mni_mm, 1.0])[:3].astype(int)
        assert volume[tuple(voxel)] == pytest.approx(sums.get(region.name, 0.0))
    voxels = region_voxels(circuit, GRID_SHAPE, GRID_AFFINE)
    outside = np.ones(volume.size, dtype=bool)
    outside[voxels.flat_index] = False
    assert not volume.ravel(order="F")[outside].any()


def test_the_image_is_read_by_nibabel_in_mni_space(answer: dict[str, Any]) -> None:
    content = attribution_image(answer, load_circuit())
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(content))
    assert image.shape == GRID_SHAPE
    assert np.array_equal(image.affine, GRID_AFFINE)
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (4, 4)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert b"research use only" in image.header["descrip"].item()
    assert np.array_equal(np.asarray(image.dataobj), attribution_volume(answer, load_circuit()))


def test_the_same_answer_gives_the_same_bytes(answer: dict[str, Any]) -> None:
    assert attribution_image(answer, load_circuit()) == attribution_image(answer, load_circuit())


def test_a_region_that_the_circuit_does_not_hold_is_named() -> None:
    with pytest.raises(RegionsUnknownError, match="cerebellum"):
        attribution_volume(answer_of(("rest_fisher_z__vmPFC__cerebellum", "rest", 1.0)), load_circuit())


def test_a_refused_answer_has_no_image() -> None:
    with pytest.raises(ExplanationAbsentError):
        attribution_image({"status": "refused"}, Circuit("", "", (Region("a", "a", (0, 0, 0), 5.0),), ()))

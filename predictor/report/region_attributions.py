"""Contributions as a brain image: every region's voxels hold what the region adds to the expected improvement."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.circuit.circuit import Circuit
from predictor.circuit.region_voxels import region_voxels
from predictor.errors import RegionsUnknownError
from predictor.report.edge_table import Attribution, attributions_of

# The 2 mm grid of MNI152NLin2009cAsym as TemplateFlow and fMRIPrep have it (res-02).
GRID_SHAPE = (97, 115, 97)
GRID_AFFINE = np.array([[2.0, 0, 0, -96], [0, 2.0, 0, -132], [0, 0, 2.0, -78], [0, 0, 0, 1]])
MNI_CODE = 4  # NIfTI's xform code for MNI 152
INTENT = "contribution"
DESCRIPTION = b"Contribution per region; research use only"  # at most 79 bytes


def region_sums(attributions: Iterable[Attribution]) -> dict[str, float]:
    """Return summed contributions by region; an edge gives one half to each of its two regions.

    The sums of all regions add up to the contributions of everything measured in the brain.

    Examples
    --------
    >>> edge = Attribution("", "", "", ("dACC", "vmPFC"), 0.1, "", 3.0, None)
    >>> region_sums([edge])
    {'dACC': 1.5, 'vmPFC': 1.5}
    """
    sums: dict[str, float] = {}
    for one in attributions:
        for region in one.regions:
            sums[region] = sums.get(region, 0.0) + one.contribution / len(one.regions)
    return sums


def attribution_volume(answer: Mapping[str, Any], circuit: Circuit) -> NDArray[np.float32]:
    """Return each region's summed contribution in every one of its voxels.

    Parameters
    ----------
    answer
        An answer document with an explanation.
    circuit
        Regions with coordinates, those that the features were measured in.

    Returns
    -------
    ndarray of shape (97, 115, 97)
        In the outcome's unit; 0 outside the regions. A region's value stands in each of its voxels and is not divided
        by their number: one voxel per region, summed over the regions, gives the sum over the brain's features.

    Raises
    ------
    ExplanationAbsentError
        If the answer was refused, or its explanation withheld.
    RegionsUnknownError
        If a feature was measured in a region that the circuit does not hold.
    """
    sums = region_sums(attributions_of(answer))
    check_regions(sums, circuit)
    voxels = region_voxels(circuit, GRID_SHAPE, GRID_AFFINE)
    flat = np.zeros(int(np.prod(GRID_SHAPE)), dtype=np.float32)
    for index, region in enumerate(circuit.regions):
        flat[voxels.flat_index[voxels.of_region(index)]] = sums.get(region.name, 0.0)
    return flat.reshape(GRID_SHAPE, order="F")


def attribution_image(answer: Mapping[str, Any], circuit: Circuit) -> bytes:
    """Return `attribution_volume` as a NIfTI file (.nii.gz) in MNI152NLin2009cAsym; the same bytes every time.

    Raises
    ------
    ExplanationAbsentError, RegionsUnknownError
        As for `attribution_volume`.
    """
    from nibabel import nifti1  # not needed by anything else that answers

    make_image: Any = nifti1.Nifti1Image  # nibabel says nothing of its types
    image = make_image(attribution_volume(answer, circuit), GRID_AFFINE)
    for set_affine in (image.set_sform, image.set_qform):
        set_affine(GRID_AFFINE, code=MNI_CODE)
    image.header.set_xyzt_units("mm")
    image.header.set_intent("estimate", name=INTENT)
    image.header["descrip"] = DESCRIPTION
    return gzip.compress(bytes(image.to_bytes()), compresslevel=6, mtime=0)


def check_regions(names: Iterable[str], circuit: Circuit) -> None:
    """Refuse to draw what has no place.

    Raises
    ------
    RegionsUnknownError
        If the circuit does not hold one of the regions.
    """
    unknown = sorted(set(names) - set(circuit.region_names))
    if unknown:
        raise RegionsUnknownError(f"the model's circuit does not hold the region {unknown[0][:100]}.")

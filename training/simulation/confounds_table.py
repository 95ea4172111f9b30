"""The confounds table of a simulated run, with fMRIPrep's column names and side-car."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.simulation.head_motion import MOTION_COLUMNS, HeadMotion
from training.simulation.images import RunImage

FloatArray = NDArray[np.float64]

N_COMPONENTS = 5
HIGH_PASS_PERIOD_S = 128.0
# fMRIPrep's defaults for motion_outlierXX.
OUTLIER_DISPLACEMENT_MM = 0.5
OUTLIER_STANDARDISED_DVARS = 1.5
# CompCor by tissue: column prefix, name in the side-car, tissues.
COMPONENT_MASKS = (
    ("c_comp_cor", "CSF", ("csf",)),
    ("w_comp_cor", "WM", ("white",)),
    ("a_comp_cor", "combined", ("csf", "white")),
)


def confounds_table(
    image: RunImage, motion: HeadMotion, repetition_time_s: float
) -> tuple[pd.DataFrame, dict[str, dict[str, object]]]:
    """Return one row per volume in fMRIPrep's order, and the description of the columns that needs a side-car."""
    n_volumes = len(image.voxels)
    columns: dict[str, FloatArray] = {}
    for name, tissue in (("csf", "csf"), ("white_matter", "white")):
        columns |= expanded(name, image.tissue_mean(tissue))
    columns |= expanded("global_signal", image.voxels.mean(axis=1, dtype=np.float64))
    columns |= _dvars(image)
    columns["framewise_displacement"] = _without_first(motion.framewise_displacement_mm)
    cosines = discrete_cosines(n_volumes, repetition_time_s)
    sidecar: dict[str, dict[str, object]] = {}
    for prefix, mask, tissues in COMPONENT_MASKS:
        components, description = _components(image, cosines, prefix, mask, tissues)
        columns |= components
        sidecar |= description
    columns |= {f"cosine{index:02d}": cosine for index, cosine in enumerate(cosines.T)}
    for index, name in enumerate(MOTION_COLUMNS):
        columns |= expanded(name, motion.parameters[:, index])
    columns |= _outliers(columns["framewise_displacement"], columns["std_dvars"])
    return pd.DataFrame(columns), sidecar


def discrete_cosines(n_volumes: int, repetition_time_s: float) -> FloatArray:
    """Return slow cosines with periods above 128 s, orthonormal, shape (n_volumes, n_cosines)."""
    n_cosines = int(np.floor(2 * n_volumes * repetition_time_s / HIGH_PASS_PERIOD_S))
    phase = np.pi / n_volumes * (np.arange(n_volumes) + 0.5)
    return np.asarray(np.sqrt(2 / n_volumes) * np.cos(np.outer(phase, np.arange(1, n_cosines + 1))))


def expanded(name: str, course: FloatArray) -> dict[str, FloatArray]:
    """Return a column with its derivative and the squares of both, under fMRIPrep's names."""
    derivative = np.concatenate([[np.nan], np.diff(course)])
    return {
        name: course,
        f"{name}_derivative1": derivative,
        f"{name}_power2": course**2,
        f"{name}_derivative1_power2": derivative**2,
    }


def _dvars(image: RunImage) -> dict[str, FloatArray]:
    """Root mean square change over brain voxels; standardised by what the voxels' own noise would give."""
    change = np.diff(image.voxels.astype(np.float32), axis=0)
    change *= change
    mean_square = change.mean(axis=1, dtype=np.float64)
    expected = np.median(change, axis=0).mean() / 0.4549  # the median of a squared standard normal
    dvars = np.sqrt(mean_square)
    return {"std_dvars": _led(dvars / np.sqrt(expected)), "dvars": _led(dvars)}


def _components(
    image: RunImage, cosines: FloatArray, prefix: str, mask: str, tissues: tuple[str, ...]
) -> tuple[dict[str, FloatArray], dict[str, dict[str, object]]]:
    """Principal courses of the noise voxels after slow cosines are removed, as fMRIPrep computes CompCor."""
    noise = image.voxels[:, np.isin(image.grid.tissue, tissues)].astype(np.float64)
    noise -= noise.mean(axis=0)
    noise -= cosines @ (cosines.T @ noise)
    noise /= noise.std(axis=0)
    eigenvalues, vectors = np.linalg.eigh(noise @ noise.T)
    share = eigenvalues[::-1] / eigenvalues.sum()
    courses, sidecar = {}, {}
    for index in range(N_COMPONENTS):
        course = vectors[:, -1 - index]
        name = f"{prefix}_{index:02d}"
        # A component's sign is arbitrary; a rule makes it the same everywhere.
        courses[name] = course * np.sign(course[np.argmax(np.abs(course))])
        sidecar[name] = {
            "Method": "aCompCor",
            "Mask": mask,
            "Retained": True,
            "SingularValue": round(float(np.sqrt(eigenvalues[-1 - index])), 6),
            "VarianceExplained": round(float(share[index]), 9),
            "CumulativeVarianceExplained": round(float(share[: index + 1].sum()), 9),
        }
    return courses, sidecar


def _outliers(displacement_mm: FloatArray, standardised_dvars: FloatArray) -> dict[str, FloatArray]:
    with np.errstate(invalid="ignore"):
        is_outlier = (displacement_mm > OUTLIER_DISPLACEMENT_MM) | (standardised_dvars > OUTLIER_STANDARDISED_DVARS)
    spikes = np.eye(len(is_outlier))[:, is_outlier]
    return {f"motion_outlier{index:02d}": spike for index, spike in enumerate(spikes.T)}


def _led(course: FloatArray) -> FloatArray:
    """Put the value that the first volume does not have in front."""
    return np.concatenate([[np.nan], course])


def _without_first(course: FloatArray) -> FloatArray:
    return _led(course[1:])

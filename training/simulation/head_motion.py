"""How a simulated person's head moves during a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

MOTION_COLUMNS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
HEAD_RADIUS_MM = 50.0  # Power et al. 2012: one radian moves a point of the cortex this far
# Between people, mean framewise displacement is about log-normal; patients move a little more [assumed].
TYPICAL_DISPLACEMENT_MM = {"patient": 0.14, "control": 0.12}
DISPLACEMENT_LOG_SD = 0.35
JERKS_PER_VOLUME = 0.012  # sudden movements of a person who moves typically
JERK_MM = 0.9
# Breathing and settling pull the head back: share of the displacement kept from volume to volume.
PERSISTENCE = 0.97


@dataclass(frozen=True, slots=True, eq=False)
class HeadMotion:
    """Realignment parameters of one run and what follows from them."""

    parameters: FloatArray  # (n_volumes, 6): translations in mm, rotations in radians
    framewise_displacement_mm: FloatArray  # (n_volumes,); 0 in the first volume, which has none before it


def draw_typical_displacement(group: str, rng: np.random.Generator) -> float:
    """Draw how much a person moves from one volume to the next, in mm."""
    return float(TYPICAL_DISPLACEMENT_MM[group] * np.exp(DISPLACEMENT_LOG_SD * rng.standard_normal()))


def draw_head_motion(typical_mm: float, n_volumes: int, rng: np.random.Generator) -> HeadMotion:
    """Draw a run of a person whose ordinary framewise displacement is `typical_mm`; jerks come on top."""
    # Six Gaussian parameters share the displacement: the mean of |normal| is 0.8 sd.
    step_mm = typical_mm / (6 * np.sqrt(2 / np.pi)) * rng.standard_normal((n_volumes, 6))
    is_jerk = rng.random(n_volumes) < JERKS_PER_VOLUME * typical_mm / TYPICAL_DISPLACEMENT_MM["patient"]
    direction = rng.standard_normal((n_volumes, 6))
    direction /= np.abs(direction).sum(axis=1, keepdims=True)
    step_mm += is_jerk[:, None] * direction * JERK_MM * rng.uniform(0.5, 2.0, size=(n_volumes, 1))
    position_mm = np.empty_like(step_mm)
    position_mm[0] = 0.0
    for volume in range(1, n_volumes):
        position_mm[volume] = PERSISTENCE * position_mm[volume - 1] + step_mm[volume]
    parameters = position_mm / np.array([1.0, 1.0, 1.0, HEAD_RADIUS_MM, HEAD_RADIUS_MM, HEAD_RADIUS_MM])
    return HeadMotion(parameters, framewise_displacement(parameters))


def framewise_displacement(parameters: FloatArray) -> FloatArray:
    """Return Power's framewise displacement in mm, shape (n_volumes,); the first is 0."""
    moved = np.abs(np.diff(parameters, axis=0, prepend=parameters[:1]))
    return np.asarray(moved[:, :3].sum(axis=1) + HEAD_RADIUS_MM * moved[:, 3:].sum(axis=1))

"""Neuronal activity of the circuit under directed coupling, and the BOLD signal it causes.

dx/dt = (A + u_faces B) x + C u + noise on a microtime grid, then a convolution with the haemodynamic response.
All data made here are synthetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import signal, stats

from predictor.circuit.circuit import Circuit, Region
from predictor.errors import ConfigError

FloatArray = NDArray[np.float64]

# One bin is an eighth of a second: a tenth of the fastest time constant, so that Euler steps are accurate.
MICROTIME_BINS_PER_VOLUME = 16
# Activity and haemodynamics forget their start within this time (the response lasts 32 s).
LEAD_IN_VOLUMES = 20
HRF_LENGTH_S = 32.0

SELF_DECAY_HZ = 0.8  # time constant 1.4 s
NEURONAL_NOISE = 1.0  # sd of the fluctuations' increments, per sqrt(second)
# Percent BOLD per unit of activity; ordinary fluctuations of a region then have an sd of about half a percent.
BOLD_GAIN_PERCENT = 1.3
# Couplings further out than this many sd do not occur; keeps every person's dynamics stable.
MAX_DEVIATION_SD = 2.5

# vmPFC -> amygdala: the coupling that the synthetic trial's outcome depends on. Inhibition is a positive number of Hz
# here and a negative entry of A. INHIBITION_SD_HZ is frozen where a resting amygdala-vmPFC edge, cleaned by the default
# recipe, has a split-half reliability of about .6, given the noise levels in `images`: .64 over 800 simulated people
# (and .58 and .62 over another 800 with .13 and .145).
INHIBITION_MEAN_HZ = 0.3
INHIBITION_SD_HZ = 0.14
INHIBITION_SIDE_SD_HZ = 0.03  # left and right amygdala differ a little
FACES_INHIBITION_MEAN_HZ = 0.45
FACES_INHIBITION_SD_HZ = 0.45
# People who inhibit at rest also do so while they view faces.
REST_FACES_CORRELATION = 0.8

FACES_EXCITATION_MEAN_HZ = 0.06  # amygdala -> vmPFC, added by faces
FACES_EXCITATION_SD_HZ = 0.03
COUPLING_SD_HZ = 0.04  # every other coupling, between people

# (source group, target group, mean Hz); sides are joined with the same side, midline regions with both.
ENDOGENOUS_COUPLING_HZ = (
    ("amygdala", "vmPFC", 0.10),
    ("amygdala", "amygdala", 0.12),
    ("amygdala", "hippocampus_anterior", 0.15),
    ("hippocampus_anterior", "amygdala", 0.12),
    ("hippocampus_anterior", "hippocampus_anterior", 0.12),
    ("hippocampus_anterior", "vmPFC", 0.08),
    ("amygdala", "insula_anterior", 0.10),
    ("insula_anterior", "amygdala", 0.06),
    ("insula_anterior", "insula_anterior", 0.15),
    ("insula_anterior", "dACC", 0.15),
    ("dACC", "insula_anterior", 0.10),
    ("dACC", "amygdala", -0.06),
    ("dmPFC", "amygdala", -0.06),
    ("dmPFC", "amPFC", 0.12),
    ("amPFC", "vmPFC", 0.12),
    ("vmPFC", "amPFC", 0.10),
    ("rACC", "vmPFC", 0.10),
    ("rACC", "rACC", 0.15),
    ("rACC", "dACC", 0.08),
    ("rACC", "amygdala", -0.05),
)
# What a condition does to a region, in units of activity per second.
DRIVE_PER_S = {
    "faces": {"amygdala": 0.5, "insula_anterior": 0.25, "hippocampus_anterior": 0.15, "vmPFC": -0.1},
    "control": {"amygdala": 0.1, "insula_anterior": 0.15},
    "congruent": {"dACC": 0.4, "insula_anterior": 0.3, "amygdala": 0.2},
    "incongruent": {"dACC": 0.9, "insula_anterior": 0.6, "amygdala": 0.3},
}


@dataclass(frozen=True, slots=True)
class Inhibition:
    """How strongly a person's vmPFC inhibits the amygdala, in standard deviations of the population."""

    rest_sd: float
    faces_sd: float


@dataclass(frozen=True, slots=True, eq=False)
class Coupling:
    """One person's true couplings in Hz; rows are targets, columns are sources."""

    region_names: tuple[str, ...]
    endogenous: FloatArray  # (n_regions, n_regions): A
    faces_modulation: FloatArray  # (n_regions, n_regions): B, added while faces are shown

    def hz(self, source: str, target: str, *, during_faces: bool) -> float:
        """Return the coupling from `source` to `target`; negative inhibits."""
        place = self.region_names.index(target), self.region_names.index(source)
        return float(self.endogenous[place] + during_faces * self.faces_modulation[place])

    def inhibition_hz(self, *, during_faces: bool) -> float:
        """Return the mean inhibition of both amygdalae by vmPFC; positive inhibits."""
        sides = [name for name in self.region_names if name.startswith("amygdala")]
        return -float(np.mean([self.hz("vmPFC", side, during_faces=during_faces) for side in sides]))

    @property
    def slowest_decay_hz(self) -> float:
        """Rate at which the slowest mode decays; positive means that the dynamics are stable."""
        matrices = np.stack([self.endogenous, self.endogenous + self.faces_modulation])
        return -float(np.linalg.eigvals(matrices).real.max())


def draw_inhibition(rng: np.random.Generator, *, mean_sd: float = 0.0) -> Inhibition:
    """Draw a person's inhibition at rest and its increase by faces, both clipped normal around `mean_sd`."""
    rest, other = np.clip(rng.standard_normal(2), -MAX_DEVIATION_SD, MAX_DEVIATION_SD)
    faces = REST_FACES_CORRELATION * rest + np.sqrt(1 - REST_FACES_CORRELATION**2) * other
    return Inhibition(float(rest + mean_sd), float(np.clip(faces, -MAX_DEVIATION_SD, MAX_DEVIATION_SD) + mean_sd))


def inhibition_population_hz() -> tuple[float, float]:
    """Return mean and sd over people of the inhibition during faces, averaged over both sides, in Hz.

    Closed form from the constants above; clipping at 2.5 sd changes the sd by less than 2 %.
    """
    variance = (
        INHIBITION_SD_HZ**2
        + FACES_INHIBITION_SD_HZ**2
        + 2 * REST_FACES_CORRELATION * INHIBITION_SD_HZ * FACES_INHIBITION_SD_HZ
        + INHIBITION_SIDE_SD_HZ**2 / 2
    )
    return INHIBITION_MEAN_HZ + FACES_INHIBITION_MEAN_HZ, float(np.sqrt(variance))


def draw_coupling(circuit: Circuit, inhibition: Inhibition, rng: np.random.Generator) -> Coupling:
    """Draw one person's couplings around the population's means.

    Raises
    ------
    ConfigError
        If the circuit lacks the amygdala or vmPFC, on which the planted effect rests.
    """
    _check_circuit(circuit)
    n_regions = len(circuit.regions)
    endogenous = -SELF_DECAY_HZ * np.eye(n_regions)
    modulation = np.zeros((n_regions, n_regions))
    for target, source, mean_hz in _endogenous_entries(circuit):
        endogenous[target, source] = _clipped_normal(rng, mean_hz, COUPLING_SD_HZ)
    rest_hz = INHIBITION_MEAN_HZ + INHIBITION_SD_HZ * inhibition.rest_sd
    faces_hz = FACES_INHIBITION_MEAN_HZ + FACES_INHIBITION_SD_HZ * inhibition.faces_sd
    vmpfc = circuit.region_names.index("vmPFC")
    for index, region in enumerate(circuit.regions):
        if region.group == "amygdala":
            endogenous[index, vmpfc] = -_clipped_normal(rng, rest_hz, INHIBITION_SIDE_SD_HZ)
            modulation[index, vmpfc] = -faces_hz
            modulation[vmpfc, index] = _clipped_normal(rng, FACES_EXCITATION_MEAN_HZ, FACES_EXCITATION_SD_HZ)
    return Coupling(circuit.region_names, endogenous, modulation)


def condition_drive(circuit: Circuit, conditions: dict[str, FloatArray]) -> FloatArray:
    """Return C u: what the conditions' time courses (n_bins,) drive in every region, shape (n_bins, n_regions)."""
    n_bins = max((len(course) for course in conditions.values()), default=0)
    drive = np.zeros((n_bins, len(circuit.regions)))
    for condition, course in conditions.items():
        strength = [DRIVE_PER_S[condition].get(region.group, 0.0) for region in circuit.regions]
        drive += np.outer(course, strength)
    return drive


def neuronal_activity(
    coupling: Coupling, *, faces_on: FloatArray, drive: FloatArray, bin_s: float, rng: np.random.Generator
) -> FloatArray:
    """Integrate the stochastic dynamics of several runs of one person side by side (Euler-Maruyama).

    Parameters
    ----------
    faces_on
        Shape (n_bins, n_runs); 1 while faces are shown.
    drive
        Shape (n_bins, n_runs, n_regions), activity per second.
    bin_s
        Length of a bin in seconds.

    Returns
    -------
    ndarray of shape (n_bins, n_runs, n_regions)
        Activity, arbitrary unit; 0 is rest.
    """
    n_bins, n_runs, n_regions = drive.shape
    kicks = rng.standard_normal(drive.shape) * NEURONAL_NOISE * np.sqrt(bin_s) + bin_s * drive
    step = np.eye(n_regions) + bin_s * coupling.endogenous
    extra = bin_s * coupling.faces_modulation
    # Rows are runs, so the matrices stand transposed on the right.
    step, extra = step.T.copy(), extra.T.copy()
    activity = np.empty((n_bins, n_runs, n_regions))
    state = np.zeros((n_runs, n_regions))
    any_faces = np.asarray(faces_on.any(axis=1))
    for bin_index in range(n_bins):
        change = state @ step
        if any_faces[bin_index]:
            change += (state * faces_on[bin_index][:, None]) @ extra
        state = change + kicks[bin_index]
        activity[bin_index] = state
    return activity


def bold_percent(activity: FloatArray, *, n_volumes: int, repetition_time_s: float) -> FloatArray:
    """Return the BOLD signal in percent, sampled in the middle of every volume after the lead-in.

    `activity` is (n_bins, ...) with `LEAD_IN_VOLUMES` volumes in front; the result is (n_volumes, ...).
    """
    response = haemodynamic_response(repetition_time_s / MICROTIME_BINS_PER_VOLUME)
    kernel = response.reshape((-1,) + (1,) * (activity.ndim - 1))
    convolved = signal.oaconvolve(activity, kernel, axes=0)
    middle = MICROTIME_BINS_PER_VOLUME // 2
    sampled = (LEAD_IN_VOLUMES + np.arange(n_volumes)) * MICROTIME_BINS_PER_VOLUME + middle
    return np.asarray(BOLD_GAIN_PERCENT * convolved[sampled], dtype=np.float64)


@cache
def haemodynamic_response(bin_s: float) -> FloatArray:
    """Return the double-gamma response (peak at 5 s, undershoot at 15 s), summing to one."""
    seconds = np.arange(0, HRF_LENGTH_S, bin_s)
    response = stats.gamma.pdf(seconds, 6) - stats.gamma.pdf(seconds, 16) / 6
    return np.asarray(response / response.sum(), dtype=np.float64)


def _check_circuit(circuit: Circuit) -> None:
    missing = {"amygdala", "vmPFC"} - {region.group for region in circuit.regions}
    if missing:
        raise ConfigError(
            f"the simulation needs regions of the groups amygdala and vmPFC; circuit {circuit.name} lacks "
            f"{', '.join(sorted(missing))}."
        )


@cache
def _endogenous_entries(circuit: Circuit) -> tuple[tuple[int, int, float], ...]:
    return tuple(
        (target_index, source_index, mean_hz)
        for source_group, target_group, mean_hz in ENDOGENOUS_COUPLING_HZ
        for source_index, source in enumerate(circuit.regions)
        for target_index, target in enumerate(circuit.regions)
        if (source.group, target.group) == (source_group, target_group) and _are_joined(source, target)
    )


def _are_joined(source: Region, target: Region) -> bool:
    """Return whether two regions lie on one side, or one in the midline; within a group, on different sides."""
    if source.group == target.group:
        return source.name != target.name
    sides = {region.name[-2:] for region in (source, target)} & {"_L", "_R"}
    return len(sides) < 2


def _clipped_normal(rng: np.random.Generator, mean: float, sd: float) -> float:
    return float(mean + sd * np.clip(rng.standard_normal(), -MAX_DEVIATION_SD, MAX_DEVIATION_SD))

"""The synthetic trial without images: a person's visit as region signals, in a tenth of the time.

People, couplings, events and head motion are those of `krp simulate`; what the scanner adds to a region's mean is drawn
here in the same sizes as in `images`, without voxels. For notebooks, examples and trials of many people; whoever wants
to know what reading real scans loses simulates images. All data made here are synthetic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import PredictorError
from predictor.features.recipe import Recipe
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, Run, build_run
from training.simulation.confounds_table import expanded
from training.simulation.head_motion import HEAD_RADIUS_MM, MOTION_COLUMNS, HeadMotion
from training.simulation.images import (
    DRIFT_PERCENT,
    GLOBAL_PERCENT,
    MOTION_PERCENT_PER_MM,
    REGION_NOISE_PERCENT,
    REGION_NOISE_PERSISTENCE,
    SCANNERS,
    SPIKE_PERCENT_PER_MM,
    SPIKE_THRESHOLD_MM,
    TISSUE_PERCENT,
    VOXEL_NOISE_PERCENT,
    autoregressive,
)
from training.simulation.trial import SimulatedPerson
from training.simulation.visit import REPETITION_TIME_S, SimulatedSignals, simulate_signals

FloatArray = NDArray[np.float64]

# Voxels of 6 mm in a sphere of the circuit: their own noise shrinks with the square root.
VOXELS_PER_REGION = 4
# Share of the global course that white matter and CSF show, as in `images`.
GLOBAL_SHARE = {"white_matter": 0.5, "csf": 0.3}


@dataclass(frozen=True, slots=True, eq=False)
class SignalVisit:
    """A simulated person's visit as a `CohortVisit`: `extract_cohort` takes it like one that lies on disk."""

    person: SimulatedPerson
    session_id: str | None = None
    run_names: tuple[str, ...] = ("rest", "faces", "conflict")
    problem: PredictorError | None = None
    input_files: tuple[Path, ...] = ()

    @property
    def participant_id(self) -> str:
        """The person, "sub-001"."""
        return self.person.participant_id

    def read(self, recipe: Recipe, *, keep_mean_image: bool = False) -> BaselineSession:
        """Simulate the visit; there is no mean image to keep."""
        return simulated_session(self.person, recipe)


def simulated_session(person: SimulatedPerson, recipe: Recipe) -> BaselineSession:
    """Return a simulated person's visit, the same for the same person.

    Parameters
    ----------
    person
        One of `simulate_people(plan, recipe.circuit)`.
    recipe
        Its circuit is recorded, its tasks name the events.
    """
    return BaselineSession(
        tuple(simulated_run(run, person, recipe) for run in simulate_signals(person, recipe.circuit))
    )


def simulated_run(signals: SimulatedSignals, person: SimulatedPerson, recipe: Recipe) -> Run:
    """Return one run as it was measured: with the noise of scanner, vessels and head, and its confounds table."""
    rng = np.random.default_rng(signals.noise_seed)
    scanner = SCANNERS[str(person.row["site"])]
    common = GLOBAL_PERCENT * scanner.global_factor * autoregressive(rng, (len(signals.bold), 1), persistence=0.6)
    percent = signals.bold + common + _measurement_noise(signals, scanner.noise_factor, rng)
    bold = scanner.brightness * (1 + percent / 100)
    confounds = _confounds(signals.motion, common[:, 0], scanner.brightness, rng)
    return build_run(
        signals.kind,
        _recording(bold, recipe),
        confounds_tsv=_tsv(pd.DataFrame(confounds)),
        confounds_sidecar=None,
        sidecar=None,
        events_tsv=None if signals.events is None else _tsv(signals.events),
        tasks=recipe.tasks,
    )


def _recording(bold: FloatArray, recipe: Recipe) -> RegionRecording:
    n_volumes, n_regions = bold.shape
    return RegionRecording(
        region_names=recipe.circuit.region_names,
        bold=bold,
        coverage=np.ones(n_regions),
        temporal_snr=bold.mean(axis=0) / bold.std(axis=0),
        carpet=np.empty((n_volumes, 0), dtype=np.float32),
        repetition_time_s=REPETITION_TIME_S,
        space=recipe.circuit.space,
        input_digest="sha256:" + hashlib.sha256(bold.tobytes()).hexdigest(),
        circuit=recipe.circuit,
    )


def _measurement_noise(signals: SimulatedSignals, noise_factor: float, rng: np.random.Generator) -> FloatArray:
    """Vessels, voxels, drift and head motion, in percent, shape (n_volumes, n_regions)."""
    shape = signals.bold.shape
    vascular = REGION_NOISE_PERCENT * autoregressive(rng, shape, persistence=REGION_NOISE_PERSISTENCE)
    thermal = VOXEL_NOISE_PERCENT * noise_factor / np.sqrt(VOXELS_PER_REGION) * rng.standard_normal(shape)
    when = np.linspace(-1, 1, shape[0])[:, np.newaxis]
    drift = DRIFT_PERCENT * when * rng.uniform(-1, 1, shape[1])
    return np.asarray(vascular + thermal + drift + _motion_artefact(signals.motion, shape[1], rng))


def _motion_artefact(motion: HeadMotion, n_regions: int, rng: np.random.Generator) -> FloatArray:
    position_mm = motion.parameters * np.repeat([1.0, HEAD_RADIUS_MM], 3)
    slow = MOTION_PERCENT_PER_MM * position_mm @ (rng.standard_normal((6, n_regions)) / np.sqrt(6))
    excess_mm = np.maximum(motion.framewise_displacement_mm - SPIKE_THRESHOLD_MM, 0.0)
    return np.asarray(slow - np.outer(SPIKE_PERCENT_PER_MM * excess_mm, rng.uniform(0.5, 1.5, n_regions)))


def _confounds(
    motion: HeadMotion, common_percent: FloatArray, brightness: float, rng: np.random.Generator
) -> Mapping[str, FloatArray]:
    displacement = motion.framewise_displacement_mm.copy()
    displacement[0] = np.nan  # nothing moved before the first volume
    columns = {"framewise_displacement": displacement}
    for name, share in GLOBAL_SHARE.items():
        own = TISSUE_PERCENT * autoregressive(rng, (len(common_percent), 1), persistence=0.6)[:, 0]
        columns |= expanded(name, brightness * (1 + (share * common_percent + own) / 100))
    for index, name in enumerate(MOTION_COLUMNS):
        columns |= expanded(name, motion.parameters[:, index])
    return columns


def _tsv(table: pd.DataFrame) -> bytes:
    return table.to_csv(sep="\t", index=False, na_rep="n/a").encode()

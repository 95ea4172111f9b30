"""One simulated person's visit: three runs with their events, confounds and images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.circuit.circuit import Circuit
from predictor.scan.task_description import RunKind
from training.simulation.head_motion import HeadMotion, draw_head_motion, draw_typical_displacement
from training.simulation.images import SCANNERS, RunImage, brain_grid, simulate_run
from training.simulation.neural_model import (
    LEAD_IN_VOLUMES,
    MICROTIME_BINS_PER_VOLUME,
    bold_percent,
    condition_drive,
    neuronal_activity,
)
from training.simulation.trial import SimulatedPerson

FloatArray = NDArray[np.float64]

REPETITION_TIME_S = 2.0
N_VOLUMES: dict[RunKind, int] = {"rest": 240, "faces": 210, "conflict": 150}

# Blocks of faces and of a control picture, in mirrored order so that both halves of the run hold as many of each.
BLOCK_S, PAUSE_S, FIRST_ONSET_S = 18.0, 7.0, 10.0
BLOCK_ORDER = ("faces", "control", "control", "faces")
TRIAL_S, TRIAL_GAP_S = 1.0, (3.0, 5.0)
ERROR_SHARE = {"congruent": 0.04, "incongruent": 0.10}
RESPONSE_TIME_S = {"congruent": 0.72, "incongruent": 0.80}


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedSignals:
    """One run before it becomes an image: what the circuit does, and how the head moves."""

    kind: RunKind
    bold: FloatArray  # (n_volumes, n_regions), percent, without any noise of the measurement
    motion: HeadMotion
    events: pd.DataFrame | None
    noise_seed: np.random.SeedSequence  # of what the measurement adds


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedRun:
    """What stands on disk for one run."""

    kind: RunKind
    image: RunImage
    motion: HeadMotion
    events: pd.DataFrame | None


def simulate_visit(person: SimulatedPerson, circuit: Circuit) -> Iterator[SimulatedRun]:
    """Simulate a person's runs one after another; the same for the same person, in whatever process."""
    grid, scanner = brain_grid(circuit), SCANNERS[str(person.row["site"])]
    for run in simulate_signals(person, circuit):
        image = simulate_run(grid, run.bold, run.motion, scanner, np.random.default_rng(run.noise_seed))
        yield SimulatedRun(run.kind, image, run.motion, run.events)


def simulate_signals(person: SimulatedPerson, circuit: Circuit) -> Iterator[SimulatedSignals]:
    """Simulate what a person's circuit does in each run; the same for the same person, in whatever process."""
    # A fresh copy: spawning counts up, and a second simulation of the same person must give the same runs.
    scan_seed = np.random.SeedSequence(entropy=person.scan_seed.entropy, spawn_key=person.scan_seed.spawn_key)
    neuronal_seed, motion_seed, *run_seeds = scan_seed.spawn(2 + len(N_VOLUMES))
    events = {kind: _events(kind, seed) for kind, seed in zip(N_VOLUMES, run_seeds, strict=True)}
    activity = _activity(person, circuit, events, np.random.default_rng(neuronal_seed))
    motion_rng = np.random.default_rng(motion_seed)
    typical_mm = draw_typical_displacement(str(person.row["group"]), motion_rng)
    for index, (kind, seed) in enumerate(zip(N_VOLUMES, run_seeds, strict=True)):
        bold = bold_percent(activity[:, index], n_volumes=N_VOLUMES[kind], repetition_time_s=REPETITION_TIME_S)
        motion = draw_head_motion(typical_mm, N_VOLUMES[kind], motion_rng)
        yield SimulatedSignals(kind, bold, motion, events[kind], seed.spawn(1)[0])


def faces_events() -> pd.DataFrame:
    """Return the blocks of the faces run, the same for everyone."""
    end_s = N_VOLUMES["faces"] * REPETITION_TIME_S
    onsets = np.arange(FIRST_ONSET_S, end_s - BLOCK_S - PAUSE_S, BLOCK_S + PAUSE_S)
    names = [BLOCK_ORDER[index % len(BLOCK_ORDER)] for index in range(len(onsets))]
    return pd.DataFrame({"onset": onsets, "duration": BLOCK_S, "trial_type": names})


def conflict_events(rng: np.random.Generator) -> pd.DataFrame:
    """Draw the trials of the conflict run, with accuracy and response time."""
    end_s = N_VOLUMES["conflict"] * REPETITION_TIME_S - 12.0
    gaps = rng.uniform(*TRIAL_GAP_S, size=int(end_s / (TRIAL_S + TRIAL_GAP_S[0])))
    onsets = FIRST_ONSET_S + np.concatenate([[0.0], np.cumsum(TRIAL_S + gaps)[:-1]])
    onsets = np.round(onsets[onsets < end_s], 3)
    names = rng.permutation(np.resize(["congruent", "incongruent"], len(onsets)))
    is_error = rng.random(len(onsets)) < np.array([ERROR_SHARE[str(name)] for name in names])
    typical_s = np.array([RESPONSE_TIME_S[str(name)] for name in names])
    return pd.DataFrame(
        {
            "onset": onsets,
            "duration": TRIAL_S,
            "trial_type": names,
            "response_time": np.round(typical_s * np.exp(0.15 * rng.standard_normal(len(onsets))), 3),
            "response_accuracy": np.where(is_error, "incorrect", "correct"),
        }
    )


def _events(kind: RunKind, seed: np.random.SeedSequence) -> pd.DataFrame | None:
    if kind == "rest":
        return None
    return faces_events() if kind == "faces" else conflict_events(np.random.default_rng(seed))


def _activity(
    person: SimulatedPerson, circuit: Circuit, events: dict[RunKind, pd.DataFrame | None], rng: np.random.Generator
) -> FloatArray:
    """Neuronal activity of all runs side by side, shape (n_bins of the longest run, n_runs, n_regions)."""
    n_bins = (LEAD_IN_VOLUMES + max(N_VOLUMES.values())) * MICROTIME_BINS_PER_VOLUME
    faces_on = np.zeros((n_bins, len(events)))
    drive = np.zeros((n_bins, len(events), len(circuit.regions)))
    for index, table in enumerate(events.values()):
        if table is not None:
            courses = condition_courses(table, n_bins)
            drive[:, index] = condition_drive(circuit, courses)
            drive[:, index] += _regulation_drive(person, circuit, table, n_bins)
            faces_on[:, index] = courses.get("faces", 0.0)
    bin_s = REPETITION_TIME_S / MICROTIME_BINS_PER_VOLUME
    return neuronal_activity(person.coupling, faces_on=faces_on, drive=drive, bin_s=bin_s, rng=rng)


def _regulation_drive(person: SimulatedPerson, circuit: Circuit, events: pd.DataFrame, n_bins: int) -> FloatArray:
    """Return what incongruent trials after incongruent ones drive in dACC, shape (n_bins, n_regions)."""
    is_incongruent = (events["trial_type"] == "incongruent").to_numpy()
    repeated = events[is_incongruent & np.append(False, is_incongruent[:-1])]
    strength = [person.conflict_regulation_per_s * (region.group == "dACC") for region in circuit.regions]
    course = condition_courses(repeated, n_bins).get("incongruent", np.zeros(n_bins))
    return np.outer(course, strength)


def condition_courses(events: pd.DataFrame, n_bins: int) -> dict[str, FloatArray]:
    """Return for every condition 1 while it lasts, 0 otherwise, shape (n_bins,), behind the lead-in."""
    bin_s = REPETITION_TIME_S / MICROTIME_BINS_PER_VOLUME
    courses: dict[str, FloatArray] = {}
    for onset_s, duration_s, name in events[["onset", "duration", "trial_type"]].itertuples(index=False):
        first = LEAD_IN_VOLUMES * MICROTIME_BINS_PER_VOLUME + round(onset_s / bin_s)
        courses.setdefault(str(name), np.zeros(n_bins))[first : first + round(duration_s / bin_s)] = 1.0
    return courses

"""A synthetic study of connectivity during an infusion: resting region signals, arms and dissociation.

Signals are correlated noise with a haemodynamic time scale. Their correlations are set minute by minute on the Fisher z
scale, so that what is planted is known exactly, and pairs in which nothing is planted have the same distribution in
both arms. Time itself lowers every pair a little in everyone: a comparison of arms must not take that for an effect.
All data made here are synthetic.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import signal

from predictor import console
from predictor.errors import UsageError
from training.output_files import check_folder, make_folder
from training.simulation.bids_writer import write_json, write_tsv
from training.simulation.head_motion import HeadMotion, draw_head_motion
from training.simulation.neural_model import haemodynamic_response

FloatArray = NDArray[np.float64]
InfusionEffect = Literal["transient-decrease", "null"]

TRUTH_FILE = "planted_truth.json"
ARMS = ("ketamine", "midazolam")
REGIONS = ("amygdala_L", "amygdala_R", "vmPFC", "dmPFC", "amPFC")
PLANTED_EDGES = (("amygdala_L", "vmPFC"), ("amygdala_R", "vmPFC"))

REPETITION_TIME_S = 2.0
# As in the default plan of windows: baseline, then 40 minutes of infusion.
BASELINE_MIN, INFUSION_MIN = 10, 40
# Minutes of infusion between which the planted decrease holds, with ramps of a minute inside.
PLANTED_MIN = (10, 20)

# Fisher z [assumed]: what is usual between these regions, and how people and minutes differ.
MEAN_Z, BILATERAL_Z = 0.30, 0.70
PERSON_SD_Z = 0.12
MINUTE_SD_Z = 0.08  # slow drift of each pair within a person
DRIFT_PERSISTENCE = 0.8  # from one minute to the next
TIME_EFFECT_Z = -0.05  # in everyone, from the start of the infusion on
DECREASE_SD_SHARE = 0.4  # people differ in the planted decrease by this share of it

# A head that moves little; jerks above the censoring threshold of region tables come on top.
TYPICAL_DISPLACEMENT_MM = 0.07
CENSORED_ABOVE_MM = 0.15
ARTEFACT_PER_MM = 3.0  # of all regions alike, in sd of a region's signal

CADSS_RANGE = (0, 92)
CADSS_MEAN_SD = {"ketamine": (30.0, 12.0), "midazolam": (5.0, 4.0)}
# Correlation of CADSS with a person's planted decrease, in the ketamine arm.
CADSS_CORRELATION = 0.8
_SMALLEST_EIGENVALUE = 0.05


@dataclass(frozen=True, slots=True)
class InfusionPlan:
    """What is simulated; study B had 12 people with ketamine and 14 with midazolam."""

    n_ketamine: int = 12
    n_midazolam: int = 14
    seed: int = 0
    effect: InfusionEffect = "transient-decrease"
    decrease_z: float = 0.4  # Fisher z by which amygdala-vmPFC connectivity falls under ketamine

    def __post_init__(self) -> None:
        if min(self.n_ketamine, self.n_midazolam) < 1 or self.seed < 0:
            raise UsageError("expected at least one person per arm and a seed of at least 0.")
        if self.effect not in get_args(InfusionEffect):
            raise UsageError(f"expected an effect of {', '.join(get_args(InfusionEffect))}, got {self.effect}.")
        if not 0 <= self.decrease_z <= 0.6:
            raise UsageError(f"expected a strength of 0 to 0.6 (a decrease in Fisher z), got {self.decrease_z}.")


@dataclass(frozen=True, slots=True, eq=False)
class InfusedPerson:
    """One person's row of participants.tsv, signals and motion."""

    participant_id: str
    arm: str
    cadss: int
    decrease_z: float  # planted in this person
    bold: FloatArray  # (n_volumes, n_regions), around 0, sd 1
    motion: HeadMotion


def simulate_infusion(out: Path, plan: InfusionPlan) -> None:
    """Write the study: region tables, side-cars, confounds, participants.tsv and the planted truth.

    Raises
    ------
    UsageError
        If the folder holds anything (nothing is ever overwritten), or cannot be made.
    """
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            "the output folder exists and is not empty; nothing is overwritten.",
            remedy="Name a new folder, or remove that one first.",
        )
    make_folder(out.parent)
    check_folder(out.parent)
    partial = Path(mkdtemp(prefix=f".{out.name}-partial-", dir=out.parent))
    try:
        partial.chmod(0o755)
        people = []
        n_people = plan.n_ketamine + plan.n_midazolam
        for person in console.progress(simulate_infused_people(plan), total=n_people, label="Simulate infusion"):
            _write_person(partial, person)
            people.append(person)
        _write_study(partial, people, plan)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def simulate_infused_people(plan: InfusionPlan) -> Iterator[InfusedPerson]:
    """Draw everyone; the same for the same plan. Arms stand in random order."""
    study_seed, *person_seeds = np.random.SeedSequence(plan.seed).spawn(plan.n_ketamine + plan.n_midazolam + 1)
    arms = np.repeat(ARMS, [plan.n_ketamine, plan.n_midazolam])
    shuffled = np.random.default_rng(study_seed).permutation(arms)
    for number, (arm, seed) in enumerate(zip(shuffled, person_seeds, strict=True), start=1):
        yield _simulate_person(f"sub-{number:02d}", str(arm), plan, np.random.default_rng(seed))


def _simulate_person(participant_id: str, arm: str, plan: InfusionPlan, rng: np.random.Generator) -> InfusedPerson:
    spread, noise = np.clip(rng.standard_normal(2), -2.5, 2.5)
    would_be = plan.decrease_z * (1 + DECREASE_SD_SHARE * spread) if plan.effect == "transient-decrease" else 0.0
    mean, sd = CADSS_MEAN_SD[arm]
    shared = CADSS_CORRELATION if arm == "ketamine" and would_be else 0.0
    cadss = mean + sd * (shared * spread + np.sqrt(1 - shared**2) * noise)
    # Drawn alike in both arms and checked with the decrease in both, so that the choice of matrices knows no arm.
    without, with_decrease = _correlations(would_be, rng)
    correlations = with_decrease if arm == "ketamine" else without
    n_volumes = int((BASELINE_MIN + INFUSION_MIN) * 60 / REPETITION_TIME_S)
    motion = draw_head_motion(TYPICAL_DISPLACEMENT_MM, n_volumes, rng)
    bold = _mixed(correlations, n_volumes, rng) + _artefact(motion, rng)
    return InfusedPerson(
        participant_id=participant_id,
        arm=arm,
        cadss=int(np.clip(round(cadss), *CADSS_RANGE)),
        decrease_z=would_be if arm == "ketamine" else 0.0,
        bold=bold,
        motion=motion,
    )


def planted_course(n_minutes: int = BASELINE_MIN + INFUSION_MIN) -> FloatArray:
    """Share of the planted decrease that holds in each minute of the run, shape (n_minutes,)."""
    infusion_min = np.arange(n_minutes) + 0.5 - BASELINE_MIN
    first, last = PLANTED_MIN
    return np.asarray(np.clip(np.minimum(infusion_min - first, last - infusion_min), 0.0, 1.0))


def _correlations(decrease_z: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw a person's correlations without and with the decrease, shape (n_minutes, n_regions, n_regions) each."""
    while True:
        without = _drawn_z(rng)
        with_decrease = without.copy()
        for source, target in PLANTED_EDGES:
            i, j = REGIONS.index(source), REGIONS.index(target)
            with_decrease[:, i, j] -= decrease_z * planted_course()
            with_decrease[:, j, i] = with_decrease[:, i, j]
        both = np.tanh(np.stack([without, with_decrease]))
        both[..., np.arange(len(REGIONS)), np.arange(len(REGIONS))] = 1.0
        if np.linalg.eigvalsh(both)[..., 0].min() > _SMALLEST_EIGENVALUE:
            return both[0], both[1]


def _drawn_z(rng: np.random.Generator) -> FloatArray:
    """Draw Fisher z of every pair and minute: the usual, the person, slow drift, and what time does to everyone."""
    n_minutes, rows, columns = BASELINE_MIN + INFUSION_MIN, *np.triu_indices(len(REGIONS), k=1)
    is_bilateral = np.array(
        [REGIONS[i][:-2] == REGIONS[j][:-2] for i, j in zip(rows, columns, strict=True)], dtype=np.bool_
    )
    kicks = rng.standard_normal((n_minutes, len(rows))) * np.sqrt(1 - DRIFT_PERSISTENCE**2)
    kicks[0] = rng.standard_normal(len(rows))
    drift = MINUTE_SD_Z * signal.lfilter([1.0], [1.0, -DRIFT_PERSISTENCE], kicks, axis=0)
    person = PERSON_SD_Z * rng.standard_normal(len(rows))
    time = TIME_EFFECT_Z * (np.arange(n_minutes) >= BASELINE_MIN)
    fisher_z = np.zeros((n_minutes, len(REGIONS), len(REGIONS)))
    fisher_z[:, rows, columns] = np.where(is_bilateral, BILATERAL_Z, MEAN_Z) + person + drift + time[:, None]
    return np.asarray(fisher_z + fisher_z.transpose(0, 2, 1))


def _mixed(correlations: FloatArray, n_volumes: int, rng: np.random.Generator) -> FloatArray:
    """Return signals with these correlations in each minute and one time scale throughout, (n_volumes, n_regions)."""
    kernel = haemodynamic_response(REPETITION_TIME_S)
    noise = rng.standard_normal((n_volumes + len(kernel) - 1, len(REGIONS)))
    smooth = signal.oaconvolve(noise, kernel[:, None], mode="valid", axes=0) / np.linalg.norm(kernel)
    minute = (np.arange(n_volumes) * REPETITION_TIME_S / 60).astype(int)
    mixing = np.linalg.cholesky(correlations)[minute]
    return np.asarray(np.einsum("vij,vj->vi", mixing, smooth))


def _artefact(motion: HeadMotion, rng: np.random.Generator) -> FloatArray:
    """Return what jerks do to all regions alike, shape (n_volumes, 1): a reason to censor them."""
    excess_mm = np.maximum(motion.framewise_displacement_mm - CENSORED_ABOVE_MM, 0.0)
    signs = rng.choice([-1.0, 1.0], (len(excess_mm), 1))
    return np.asarray(ARTEFACT_PER_MM * excess_mm[:, None] * signs)


def _write_person(root: Path, person: InfusedPerson) -> None:
    folder = root / person.participant_id / "ses-infusion" / "func"
    folder.mkdir(parents=True)
    stem = f"{person.participant_id}_ses-infusion_task-rest"
    write_tsv(
        folder / f"{stem}_seg-fronto_stat-mean_timeseries.tsv",
        pd.DataFrame(person.bold, columns=list(REGIONS)).round(5),
    )
    sidecar = {"RepetitionTime": REPETITION_TIME_S, "Description": "Synthetic (krp simulate); no real person"}
    write_json(folder / f"{stem}_seg-fronto_stat-mean_timeseries.json", sidecar)
    displacement = pd.Series(person.motion.framewise_displacement_mm).round(5)
    displacement.iloc[0] = np.nan
    write_tsv(folder / f"{stem}_desc-confounds_timeseries.tsv", pd.DataFrame({"framewise_displacement": displacement}))


def _write_study(root: Path, people: list[InfusedPerson], plan: InfusionPlan) -> None:
    generator = {
        "Name": "krp simulate",
        "Version": version("ketamine-response-predictor"),
        "Description": f"synthetic data, seed {plan.seed}, effect {plan.effect}",
    }
    description = {
        "Name": "Synthetic study of an infusion of ketamine in PTSD (simulated, no real participants)",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "License": "CC0",
        "GeneratedBy": [generator],
    }
    write_json(root / "dataset_description.json", description)
    rows = [{"participant_id": p.participant_id, "arm": p.arm, "cadss": p.cadss} for p in people]
    write_tsv(root / "participants.tsv", pd.DataFrame(rows))
    columns: dict[str, object] = {
        "arm": {"Description": "Randomised infusion", "Levels": dict.fromkeys(ARMS, "")},
        "cadss": {"Description": "Clinician-Administered Dissociative States Scale", "Units": "points, 0 to 92"},
    }
    write_json(root / "participants.json", columns)
    truth: dict[str, object] = {
        "plan": asdict(plan),
        "planted_edges": [list(edge) for edge in PLANTED_EDGES] if plan.effect != "null" else [],
        "planted_infusion_minutes": list(PLANTED_MIN),
        "baseline_minutes": BASELINE_MIN,
        "time_effect_z_in_everyone": TIME_EFFECT_Z,
        "decrease_z": {p.participant_id: round(p.decrease_z, 4) for p in people},
    }
    write_json(root / TRUTH_FILE, truth)

"""A randomised trial of ketamine against midazolam that never took place: people, arms, CAPS-5 before and after.

Scaled to the parent trial (Feder et al. 2021, doi 10.1176/appi.ajp.2020.20050596): 67 % against 20 % responders and a
mean difference of 11.9 CAPS-5 points. Every number that shapes the outcome follows in closed form from those figures
and from `strength`; nothing is tuned to a cohort or to a model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from predictor.circuit.circuit import Circuit
from predictor.errors import UsageError
from training.simulation.neural_model import Coupling, draw_coupling, draw_inhibition, inhibition_population_hz
from training.simulation.treatment_change import (
    TreatmentChange,
    change_slopes,
    coupling_at_followup,
    draw_change,
    draw_depression,
)

Effect = Literal["ketamine-only", "prognostic", "null"]
ARMS = ("ketamine", "midazolam")

# Feder 2021.
RESPONDERS = {"ketamine": 0.67, "midazolam": 0.20}
RESPONSE_PERCENT = 30.0
MEAN_DIFFERENCE_POINTS = 11.9
BASELINE_MEAN, BASELINE_SD, BASELINE_RANGE = 42.0, 8.0, (30.0, 70.0)  # CAPS-5 points; 30 was needed to enter
CAPS5_RANGE = (0, 80)
SCORE_COLUMNS = ("caps5_total_baseline", "caps5_total_followup", "madrs_total_baseline", "madrs_total_followup")

# Share of the outcome's variance that an oracle explains beyond arm + clinical, unless --strength says otherwise.
DEFAULT_STRENGTH = 0.35
# Share that the baseline severity explains in both arms [assumed]: small, as in the published trials.
CLINICAL_SHARE = 0.03

SITES = ("north", "centre", "south")
SITE_SHARES = (0.45, 0.33, 0.22)
# Controls inhibit a little more than patients do, in sd of the population [assumed].
CONTROL_INHIBITION_SD = 0.5
AGE_RANGE_YEARS = (18, 70)
# Number of the follow-up scan's random stream, out of reach of the streams that a visit spawns from 0 on.
FOLLOWUP_SCAN = 1000


@dataclass(frozen=True, slots=True)
class OutcomeModel:
    """CAPS-5 improvement in percent: arm mean + slopes on inhibition and baseline severity (both in sd) + noise."""

    mean_percent: dict[str, float]
    inhibition_slope_percent: dict[str, float]  # negative: low inhibition is good
    baseline_slope_percent: float
    residual_sd_percent: float

    def spread_percent(self, arm: str) -> float:
        """Return the standard deviation of the improvement within an arm."""
        slopes = (self.inhibition_slope_percent[arm], self.baseline_slope_percent, self.residual_sd_percent)
        return float(np.linalg.norm(slopes))


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedPerson:
    """One person's row of participants.tsv and the truth behind it."""

    participant_id: str
    row: dict[str, object]
    coupling: Coupling
    scan_seed: np.random.SeedSequence
    change: TreatmentChange | None = None  # from baseline to follow-up; None: a control, who has no second visit
    conflict_regulation_per_s: float = 0.0  # drive of dACC by incongruent trials after incongruent ones; 0 at baseline

    def at_followup(self, circuit: Circuit) -> SimulatedPerson:
        """Return the same person after treatment: changed couplings, another scan.

        Raises
        ------
        UsageError
            If the person was not treated.
        """
        if self.change is None:
            raise UsageError(f"{self.participant_id} is a control, who has no visit after treatment.")
        seed = np.random.SeedSequence(self.scan_seed.entropy, spawn_key=(*self.scan_seed.spawn_key, FOLLOWUP_SCAN))
        return replace(
            self,
            coupling=coupling_at_followup(self.coupling, self.change, circuit),
            scan_seed=seed,
            conflict_regulation_per_s=self.change.conflict_regulation_per_s,
        )


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """What `krp simulate` was asked for."""

    n_patients: int = 120
    n_controls: int = 40
    seed: int = 0
    effect: Effect = "ketamine-only"
    strength: float = DEFAULT_STRENGTH
    followup: bool = False  # scan the patients a second time, after treatment

    def __post_init__(self) -> None:
        if self.n_patients < 2 or self.n_patients % 2:
            raise UsageError(f"expected an even number of patients (half per arm), got {self.n_patients}.")
        if self.n_controls < 0 or self.seed < 0:
            raise UsageError("expected a number of controls and a seed of at least 0.")
        if self.effect not in get_args(Effect):
            raise UsageError(f"expected an effect of {', '.join(get_args(Effect))}, got {self.effect}.")


def outcome_model(effect: Effect, strength: float = DEFAULT_STRENGTH) -> OutcomeModel:
    """Solve for the outcome's parameters, given who responds in the parent trial and what the oracle may explain.

    With total variance T = D^2/4 + mean of the arms' variances, an arm's mean lies z sd from the response threshold,
    so z_k s_k + z_m s_m = D fixes the noise once the couplings' variance is `strength` times T. Rounding to whole
    points and the scale's ends are left out; their effect is below one percent.

    Raises
    ------
    UsageError
        If no noise is left for such a strength.
    """
    difference = 100 * MEAN_DIFFERENCE_POINTS / _baseline_moments()[0]
    z_above = {arm: float(stats.norm.ppf(share)) for arm, share in RESPONDERS.items()}
    # In which share of the sample the couplings matter.
    acting = {"ketamine-only": (1.0, 0.0), "prognostic": (1.0, 1.0), "null": (0.0, 0.0)}[effect]
    acts = dict(zip(ARMS, acting, strict=True))
    share_acting = sum(acting) / len(ARMS)

    def variances(other: float) -> tuple[float, float]:
        """Return total variance and coupling variance where it acts, given the other within-arm variance."""
        if not share_acting:
            return difference**2 / 4 + other, 0.0
        total = (difference**2 / 4 + other) / (1 - strength)
        return total, strength * total / share_acting

    def excess(other: float) -> float:
        coupling = variances(other)[1]
        spread = {arm: np.sqrt(acts[arm] * coupling + other) for arm in ARMS}
        return float(z_above["ketamine"] * spread["ketamine"] - z_above["midazolam"] * spread["midazolam"] - difference)

    no_room = UsageError(f"a strength of {strength} leaves no room for the parent trial's figures; try 0 to 0.6.")
    if not 0 <= strength < 1 or excess(0.0) >= 0:
        raise no_room
    other = float(optimize.brentq(excess, 0.0, difference**2 * 10))
    total, coupling = variances(other)
    clinical = CLINICAL_SHARE * total
    if other <= clinical:
        raise no_room
    spread = {arm: float(np.sqrt(acts[arm] * coupling + other)) for arm in ARMS}
    return OutcomeModel(
        mean_percent={arm: RESPONSE_PERCENT + z_above[arm] * spread[arm] for arm in ARMS},
        inhibition_slope_percent={arm: -acts[arm] * float(np.sqrt(coupling)) for arm in ARMS},
        baseline_slope_percent=float(np.sqrt(clinical)),
        residual_sd_percent=float(np.sqrt(other - clinical)),
    )


def simulate_people(plan: TrialPlan, circuit: Circuit) -> tuple[SimulatedPerson, ...]:
    """Draw patients, randomised 1:1 within site and sex, and healthy controls; the same for the same plan."""
    n_people = plan.n_patients + plan.n_controls
    trial_seed, *person_seeds = np.random.SeedSequence(plan.seed).spawn(n_people + 1)
    table = _demographics(plan, np.random.default_rng(trial_seed))
    model, slopes = outcome_model(plan.effect, plan.strength), change_slopes(plan.effect)
    people = []
    for person_seed, row in zip(person_seeds, table.to_dict("records"), strict=True):
        # Streams of their own: neither another circuit nor another planted effect changes what else is drawn.
        coupling_seed, clinical_seed, scan_seed, change_seed, depression_seed = person_seed.spawn(5)
        rng = np.random.default_rng(coupling_seed)
        mean_sd = CONTROL_INHIBITION_SD if row["group"] == "control" else 0.0
        coupling = draw_coupling(circuit, draw_inhibition(rng, mean_sd=mean_sd), rng)
        person = {str(name): value for name, value in row.items()}
        if person["group"] == "control":
            person |= dict.fromkeys(SCORE_COLUMNS, "n/a")
            change = None
        else:
            arm = str(person["arm"])
            scores, noise, deviation_sd = _caps5(arm, coupling, model, np.random.default_rng(clinical_seed))
            change = draw_change(noise, slopes[arm], np.random.default_rng(change_seed))
            person |= scores | draw_depression(arm, deviation_sd, np.random.default_rng(depression_seed))
        people.append(SimulatedPerson(str(person.pop("participant_id")), person, coupling, scan_seed, change))
    return tuple(people)


def participants_table(people: tuple[SimulatedPerson, ...]) -> pd.DataFrame:
    """Return participants.tsv, indexed by participant_id; controls have no arm, no CAPS-5 and no MADRS."""
    index = pd.Index([person.participant_id for person in people], name="participant_id")
    return pd.DataFrame([person.row for person in people], index=index)


def inhibition_sd(coupling: Coupling) -> float:
    """Return a person's true inhibition during faces, in sd of the population from its mean."""
    mean_hz, sd_hz = inhibition_population_hz()
    return (coupling.inhibition_hz(during_faces=True) - mean_hz) / sd_hz


def improvement_percent(baseline: NDArray[np.float64], followup: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 100 * (baseline - follow-up) / baseline; positive is better."""
    return np.asarray(100 * (baseline - followup) / baseline, dtype=np.float64)


@cache
def _baseline_moments() -> tuple[float, float]:
    points = _baseline_points()
    return float(points.mean()), float(points.std())


@cache
def _baseline_points() -> Any:  # a frozen scipy distribution
    low, high = ((bound - BASELINE_MEAN) / BASELINE_SD for bound in BASELINE_RANGE)
    return stats.truncnorm(low, high, loc=BASELINE_MEAN, scale=BASELINE_SD)


def _demographics(plan: TrialPlan, rng: np.random.Generator) -> pd.DataFrame:
    n_people = plan.n_patients + plan.n_controls
    is_patient = np.arange(n_people) < plan.n_patients
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{number:03d}" for number in range(1, n_people + 1)],
            "group": np.where(is_patient, "patient", "control"),
            "age": np.clip(np.round(rng.normal(39, 12, n_people)), *AGE_RANGE_YEARS).astype(int),
            "sex": np.where(rng.random(n_people) < 0.64, "F", "M"),
            "site": rng.choice(SITES, size=n_people, p=SITE_SHARES),
        }
    )
    table.insert(2, "arm", "n/a")
    table.loc[is_patient, "arm"] = _randomise(table.loc[is_patient, ["site", "sex"]], rng)
    return table


def _randomise(strata: pd.DataFrame, rng: np.random.Generator) -> list[str]:
    """Allocate in blocks of two down the list of patients sorted by stratum: equal arms, balanced strata."""
    shuffled = strata.iloc[rng.permutation(len(strata))].sort_values(list(strata.columns), kind="stable")
    blocks = [rng.permutation(ARMS) for _ in range(len(strata) // 2)]
    arms = pd.Series(np.concatenate(blocks), index=shuffled.index)
    return [str(arm) for arm in arms.loc[strata.index]]


def _caps5(
    arm: str, coupling: Coupling, model: OutcomeModel, rng: np.random.Generator
) -> tuple[dict[str, object], float, float]:
    """Draw CAPS-5 before and after, in whole points; also the noise, and the deviation from the arm's mean, in sd."""
    mean, sd = _baseline_moments()
    quantile, noise = rng.random(), float(rng.standard_normal())
    baseline = round(float(_baseline_points().ppf(quantile)))
    deviation = (
        model.inhibition_slope_percent[arm] * inhibition_sd(coupling)
        + model.baseline_slope_percent * (baseline - mean) / sd
        + model.residual_sd_percent * noise
    )
    followup = int(np.clip(round(baseline * (1 - (model.mean_percent[arm] + deviation) / 100)), *CAPS5_RANGE))
    scores: dict[str, object] = {"caps5_total_baseline": baseline, "caps5_total_followup": followup}
    return scores, noise, deviation / model.spread_percent(arm)

"""What two weeks of treatment change in the synthetic trial: three couplings of the circuit, and depression.

The signs are those of study A (Norbury et al. 2021, doi 10.1038/s41386-021-01104-4): improvement goes with an increase
of vmPFC-amygdala connectivity while faces are viewed (in both arms, more so with ketamine), and with ketamine only with
a decrease of dACC activity in conflict regulation and an increase of resting connectivity of vmPFC and anterior insula.
The sizes are ours [assumed] and larger than the published ones: 0.6 points per standard deviation would take
thousands of people to find, and a synthetic trial has to show within 200 whether an analysis works.

Outcomes do not depend on whether there is a second visit. The part of the improvement that baseline leaves open is
noise e of unit variance; here the changes c are drawn given e, such that e = slopes . c + rest with independent
standard normal c. All data made here are synthetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from predictor.circuit.circuit import Circuit
from training.simulation.neural_model import Coupling, inhibition_population_hz

FloatArray = NDArray[np.float64]
Effect = Literal["ketamine-only", "prognostic", "null"]

CHANGES = ("faces_connectivity", "conflict_regulation", "rest_insula_connectivity")
# Standard deviations of the unexplained improvement per standard deviation of each change, positive is better.
# Squares sum to less than one: the changes explain 77 % (ketamine) and 2 % (midazolam) of what baseline leaves open.
KETAMINE_SLOPES = (0.65, -0.42, 0.42)
MIDAZOLAM_SLOPES = (0.15, 0.0, 0.0)

# What one standard deviation of a change is in the circuit [assumed]: about as much as people differ at baseline.
FACES_CHANGE_SD_HZ = 0.45  # vmPFC -> amygdala while faces are viewed; positive is less inhibition, more connectivity
INSULA_CHANGE_SD_HZ = 0.10  # vmPFC -> anterior insula, at rest and in tasks
REGULATION_CHANGE_SD_PER_S = 0.80  # drive of dACC by incongruent trials that follow incongruent ones
MAX_DEVIATION_SD = 2.0

# Depression (MADRS, 0 to 60): [assumed], moderate at entry, improving more with ketamine, and along with PTSD.
MADRS_RANGE = (0, 60)
MADRS_BASELINE_MEAN, MADRS_BASELINE_SD = 27.0, 7.0
MADRS_IMPROVEMENT_PERCENT = {"ketamine": 42.0, "midazolam": 25.0}
MADRS_IMPROVEMENT_SD_PERCENT = 25.0
MADRS_CAPS5_CORRELATION = 0.6


@dataclass(frozen=True, slots=True)
class TreatmentChange:
    """One person's changes from baseline to follow-up, in standard deviations over people."""

    faces_connectivity: float  # vmPFC-amygdala during faces; positive is an increase
    conflict_regulation: float  # dACC activity; positive is an increase
    rest_insula_connectivity: float  # vmPFC-anterior insula; positive is an increase

    @property
    def conflict_regulation_per_s(self) -> float:
        """Drive of dACC at follow-up by incongruent trials after incongruent ones, activity per second."""
        return REGULATION_CHANGE_SD_PER_S * self.conflict_regulation


def change_slopes(effect: Effect) -> dict[str, tuple[float, ...]]:
    """Return per arm how the unexplained improvement goes with `CHANGES`, in sd per sd; all 0 for a null trial."""
    none = (0.0,) * len(CHANGES)
    if effect == "null":
        return {"ketamine": none, "midazolam": none}
    if effect == "prognostic":
        return {"ketamine": KETAMINE_SLOPES, "midazolam": KETAMINE_SLOPES}
    return {"ketamine": KETAMINE_SLOPES, "midazolam": MIDAZOLAM_SLOPES}


def draw_change(noise: float, slopes: tuple[float, ...], rng: np.random.Generator) -> TreatmentChange:
    """Draw a person's changes given the noise of the improvement; clipped at 2 sd.

    With |slopes| = s, c = slopes * noise + sqrt(I - slopes slopes') w has unit covariance over people and makes
    slopes . c + sqrt(1 - s^2) u the noise again, for standard normal w and u.
    """
    direction = np.array(slopes)
    share = float(direction @ direction)
    own = rng.standard_normal(len(CHANGES))
    if share > 0:
        own -= direction * float(direction @ own) * (1 - np.sqrt(1 - share)) / share
    values = np.clip(direction * noise + own, -MAX_DEVIATION_SD, MAX_DEVIATION_SD)
    return TreatmentChange(*(float(value) for value in values))


def coupling_at_followup(coupling: Coupling, change: TreatmentChange, circuit: Circuit) -> Coupling:
    """Return the couplings after treatment; regions that the circuit lacks change nothing.

    No vmPFC excites the amygdala more than the extreme person of the baseline population, so that dynamics stay stable.
    """
    mean_hz, sd_hz = inhibition_population_hz()
    ceiling_hz = MAX_DEVIATION_SD * sd_hz - mean_hz
    endogenous, modulation = coupling.endogenous.copy(), coupling.faces_modulation.copy()
    vmpfc = circuit.region_names.index("vmPFC")
    insula_hz = INSULA_CHANGE_SD_HZ * change.rest_insula_connectivity
    for index, region in enumerate(circuit.regions):
        if region.group == "amygdala":
            raised_hz = modulation[index, vmpfc] + FACES_CHANGE_SD_HZ * change.faces_connectivity
            room_hz = max(ceiling_hz - endogenous[index, vmpfc], modulation[index, vmpfc])
            modulation[index, vmpfc] = min(raised_hz, room_hz)
        if region.group == "insula_anterior":
            endogenous[index, vmpfc] += insula_hz
    return Coupling(coupling.region_names, endogenous, modulation)


def draw_depression(arm: str, caps5_deviation_sd: float, rng: np.random.Generator) -> dict[str, int]:
    """Draw MADRS before and after, in whole points.

    Parameters
    ----------
    arm
        "ketamine" or "midazolam".
    caps5_deviation_sd
        CAPS-5 improvement beyond the arm's mean, in sd within the arm; positive is better.
    """
    standard, own = rng.standard_normal(2)
    baseline = int(np.clip(round(MADRS_BASELINE_MEAN + MADRS_BASELINE_SD * standard), 7, MADRS_RANGE[1]))
    shared = MADRS_CAPS5_CORRELATION
    deviation = shared * caps5_deviation_sd + np.sqrt(1 - shared**2) * own
    percent = MADRS_IMPROVEMENT_PERCENT[arm] + MADRS_IMPROVEMENT_SD_PERCENT * deviation
    followup = int(np.clip(round(baseline * (1 - percent / 100)), *MADRS_RANGE))
    return {"madrs_total_baseline": baseline, "madrs_total_followup": followup}

"""What was planted in a synthetic trial, and how much of it a perfect and a real measurement could find."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from predictor.circuit.circuit import Circuit
from predictor.errors import FeatureError
from predictor.features.recipe import Recipe
from predictor.scan.cleaning import clean, percent_signal_change
from predictor.scan.confounds import select_confounds
from predictor.scan.session import BaselineSession
from training.simulation import images, neural_model, treatment_change
from training.simulation.treatment_change import change_slopes
from training.simulation.trial import (
    ARMS,
    RESPONSE_PERCENT,
    OutcomeModel,
    SimulatedPerson,
    TrialPlan,
    improvement_percent,
    inhibition_sd,
    outcome_model,
    participants_table,
)

FloatArray = NDArray[np.float64]

# What the defaults aim at; printed beside what a cohort shows.
TARGET_RELIABILITY = 0.6


def planted_edges(circuit: Circuit) -> tuple[tuple[str, str], ...]:
    """Return the pairs (amygdala, vmPFC) whose resting edge carries the planted coupling."""
    return tuple((region.name, "vmPFC") for region in circuit.regions if region.group == "amygdala")


def half_run_edges(session: BaselineSession, recipe: Recipe) -> FloatArray:
    """Fisher z of the planted edges in the first and the second half of the cleaned resting run.

    Cleaned as the recipe says, as a whole: filter and confounds take as much from the halves as they take from the
    run, so that the Spearman-Brown formula tells the reliability of the feature that `krp extract` writes.

    Returns
    -------
    ndarray of shape (2, n_edges)
        NaN if the run cannot be cleaned.
    """
    edges = planted_edges(recipe.circuit)
    runs = session.of_kind("rest")
    if not runs:
        return np.full((2, len(edges)), np.nan)
    run = runs[0]
    confounds = select_confounds(
        run.confounds,
        recipe.confound_strategy,
        censor_framewise_displacement_mm=recipe.censor_framewise_displacement_mm,
        n_volumes=run.n_volumes,
    )
    try:
        cleaned = clean(
            percent_signal_change(run.recording),
            confounds,
            high_pass_hz=recipe.high_pass_hz,
            low_pass_hz=recipe.low_pass_hz,
        )
    except FeatureError:  # moved too much: no feature either
        return np.full((2, len(edges)), np.nan)
    column = cleaned.region_names.index
    middle = len(cleaned.bold) // 2
    halves = (cleaned.bold[:middle], cleaned.bold[middle:])
    return np.array(
        [[_fisher_z(half[:, column(one)], half[:, column(other)]) for one, other in edges] for half in halves]
    )


def split_half_reliability(halves: FloatArray) -> FloatArray:
    """Return the Spearman-Brown corrected correlation of the halves, per edge.

    Parameters
    ----------
    halves
        Shape (n_people, 2, n_edges); people with NaN are left out.

    Returns
    -------
    ndarray of shape (n_edges,)
        Reliability of the whole run; NaN with fewer than three people.
    """
    known = halves[np.isfinite(halves).all(axis=(1, 2))]
    if len(known) < 3:
        return np.full(halves.shape[2], np.nan)
    first, second = (half - half.mean(axis=0) for half in (known[:, 0], known[:, 1]))
    correlation = (first * second).sum(axis=0) / np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    return np.asarray(2 * correlation / (1 + correlation))


def oracle_shares(people: tuple[SimulatedPerson, ...]) -> dict[str, float | None]:
    """Share of the outcome's variance that arm, arm + clinical, and the true couplings on top explain.

    Ordinary least squares over the patients, R2 adjusted for the number of terms. The oracle adds the true inhibition
    and its interaction with the arm; clinical means baseline CAPS-5, age and sex.
    """
    patients = tuple(person for person in people if person.row["group"] == "patient")
    table = participants_table(patients)
    baseline = table["caps5_total_baseline"].to_numpy(np.float64)
    outcome = improvement_percent(baseline, table["caps5_total_followup"].to_numpy(np.float64))
    arm = np.where(table["arm"] == "ketamine", 0.5, -0.5)
    clinical = [baseline, table["age"].to_numpy(np.float64), (table["sex"] == "F").to_numpy(np.float64)]
    truth = np.array([inhibition_sd(person.coupling) for person in patients])
    arm_only = _adjusted_r2(outcome, [arm])
    arm_clinical = _adjusted_r2(outcome, [arm, *clinical])
    oracle = _adjusted_r2(outcome, [arm, *clinical, truth, arm * truth])
    beyond = None if oracle is None or arm_clinical is None else oracle - arm_clinical
    return {"arm": arm_only, "arm_clinical": arm_clinical, "oracle": oracle, "oracle_beyond_arm_clinical": beyond}


def trial_figures(people: tuple[SimulatedPerson, ...]) -> dict[str, float]:
    """Return responders per arm and the mean difference at follow-up, beside which the parent trial's can be put."""
    table = participants_table(people)
    figures: dict[str, float] = {}
    followup = {}
    for arm in ARMS:
        rows = table[table["arm"] == arm]
        before, after = (rows[f"caps5_total_{when}"].to_numpy(np.float64) for when in ("baseline", "followup"))
        figures[f"responders_{arm}"] = float(np.mean(improvement_percent(before, after) >= RESPONSE_PERCENT))
        followup[arm] = float(np.mean(before - after))
    figures["difference_caps5_points"] = followup["ketamine"] - followup["midazolam"]
    return figures


def truth_document(
    plan: TrialPlan, people: tuple[SimulatedPerson, ...], halves: FloatArray, circuit: Circuit
) -> dict[str, object]:
    """Return planted_truth.json."""
    reliability = split_half_reliability(halves)
    names = [f"rest_fisher_z__{one}__{other}" for one, other in planted_edges(circuit)]
    by_edge = {name: _number(value) for name, value in zip(names, reliability, strict=True)}
    return {
        "synthetic": True,
        "plan": asdict(plan),
        "parameters": {
            "outcome": asdict(_model_of(plan)),
            "neural_model": _constants(neural_model),
            "images": _constants(images),
            "treatment_change": _constants(treatment_change) | {"slopes_sd": change_slopes(plan.effect)},
        },
        "measured": {
            "split_half_reliability": {"mean": _number(float(np.mean(reliability))), "by_feature": by_edge},
            "variance_explained": {name: _number(share) for name, share in oracle_shares(people).items()},
            "trial": {name: _number(value) for name, value in trial_figures(people).items()},
        },
        "participants": {person.participant_id: _person_truth(person) for person in people},
    }


def _model_of(plan: TrialPlan) -> OutcomeModel:
    return outcome_model(plan.effect, plan.strength)


def _person_truth(person: SimulatedPerson) -> dict[str, object]:
    coupling = person.coupling
    change = {} if person.change is None else asdict(person.change)
    return {
        "change_sd": {name: _number(value) for name, value in change.items()},
        "inhibition_rest_hz": _number(coupling.inhibition_hz(during_faces=False)),
        "inhibition_faces_hz": _number(coupling.inhibition_hz(during_faces=True)),
        "inhibition_faces_sd": _number(inhibition_sd(coupling)),
        "endogenous_hz": _pairs(coupling.endogenous, coupling.region_names),
        "faces_modulation_hz": _pairs(coupling.faces_modulation, coupling.region_names),
    }


def _pairs(matrix: FloatArray, names: tuple[str, ...]) -> dict[str, float | None]:
    """Return source->target: Hz, zeros left out."""
    return {
        f"{names[source]}->{names[target]}": _number(float(matrix[target, source]))
        for target, source in np.argwhere(matrix).tolist()
    }


def _constants(module: object) -> dict[str, object]:
    return {
        name.lower(): value
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int | float | dict | tuple) and name != "SCANNERS"
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 6)


def _fisher_z(one: FloatArray, other: FloatArray) -> float:
    return float(np.arctanh(np.corrcoef(one, other)[0, 1]))


def _adjusted_r2(outcome: FloatArray, terms: list[FloatArray]) -> float | None:
    n_left = len(outcome) - len(terms) - 1
    spread = outcome.var(ddof=1)
    if n_left < 1 or spread == 0:
        return None
    design = np.column_stack([np.ones(len(outcome)), *terms])
    residual = outcome - design @ np.linalg.lstsq(design, outcome, rcond=None)[0]
    return float(1 - (residual @ residual) / n_left / spread)

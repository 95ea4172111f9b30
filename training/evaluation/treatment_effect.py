"""Prognosis or benefit? Whether the scan says who gains from the treatment, apart from who improves anyway.

The verdict is one test, named beforehand: arm x feature, family-wise over the features (`arm_interaction`).
Cross-fitted learners say how large the benefit is predicted to be and whether predictions order people; they decide
nothing. With one arm there is no benefit to be had from the data: predictions are prognostic only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import OutcomeConstantError, TrainingError
from predictor.model.prediction import BENEFIT_IS_ABOUT, INTERVAL_LEVEL
from predictor.model.response_design import encoded_column
from training.evaluation.arm_interaction import LEVEL, InteractionTest, interaction_test
from training.evaluation.benefit_calibration import BenefitCalibration, calibrate_benefit
from training.evaluation.benefit_concordance import BenefitConcordance, benefit_concordance
from training.evaluation.cross_fitted_learners import LEARNERS, ArmPair, CrossFitted, Learner, cross_fit
from training.evaluation.resampling import count_units
from training.evaluation.splits import codes
from training.training_table import TrainingTable

Floats = NDArray[np.float64]
Status = Literal["benefit shown", "benefit not shown", "prognostic only"]

# In fewer people of an arm, neither slopes nor folds mean anything.
MIN_PER_ARM = 8
N_PERMUTATIONS = 999
RESPONSE_UNIT = "response probability"
ONE_ARM = "there are no two arms to compare"


@dataclass(frozen=True, slots=True, eq=False)
class LearnerResult:
    """One learner's out-of-fold predictions and what they are worth; benefit above 0 is better."""

    predicted: CrossFitted
    calibration: BenefitCalibration
    concordance: BenefitConcordance | None  # None: everyone is predicted the same benefit
    # By arm: R2 against the mean of the arm's training people. A model of benefit only is at chance in the control arm.
    r2_within_arm: Mapping[str, float]

    def document(self) -> dict[str, Any]:
        """Numbers ready for JSON."""
        return {
            **self.calibration.document(),
            "concordance_for_benefit": self.concordance.document() if self.concordance else None,
            "r2_within_arm": dict(self.r2_within_arm),
        }


@dataclass(frozen=True, slots=True, eq=False)
class BenefitAnalysis:
    """Everything found about benefit; with status "prognostic only" there is a reason and nothing else."""

    status: Status
    reason: str = ""
    arms: ArmPair | None = None
    n_per_arm: Mapping[str, int] = field(default_factory=dict)
    unit: str = ""
    learner_unit: str = ""  # of everything that the learners say
    interaction: InteractionTest | None = None
    learners: Mapping[Learner, LearnerResult] = field(default_factory=dict)
    failed_learners: Mapping[Learner, str] = field(default_factory=dict)  # why there is no result
    people: pd.DataFrame = field(default_factory=pd.DataFrame)  # one row per person and learner

    def document(self) -> dict[str, Any]:
        """Everything but the people, ready for JSON."""
        if self.arms is None or self.interaction is None:
            return {"status": self.status, "reason": self.reason}
        return {
            "status": self.status,
            "reason": self.reason,
            "about": BENEFIT_IS_ABOUT,
            "treated": self.arms.treated,
            "control": self.arms.control,
            "n_per_arm": dict(self.n_per_arm),
            "unit": self.unit,
            "learner_unit": self.learner_unit,
            "interaction": self.interaction.document(),
            "learners": {LEARNERS[name]: one.document() for name, one in self.learners.items()},
            "failed_learners": {LEARNERS[name]: reason for name, reason in self.failed_learners.items()},
        }

    def lines(self) -> Iterator[str]:
        """Return what stands on the screen."""
        if self.arms is None or self.interaction is None:
            yield f"{self.status}: {self.reason}"
            return
        yield f"{self.status}: {self.reason}"
        detectable = self.interaction.detectable_slope_difference
        if detectable is not None:
            yield (
                f"with {' + '.join(str(n) for n in self.n_per_arm.values())} people, arm x feature is found with 80 % "
                f"power from {detectable:.3g} {self.unit} per sd upwards"
            )
        for name, one in self.learners.items():
            yield f"{LEARNERS[name]}: {_in_words(one, self.arms, self.learner_unit)}"
        for name, reason in self.failed_learners.items():
            yield f"{LEARNERS[name]}: none, {reason}"
        yield f"benefit is about {BENEFIT_IS_ABOUT}"


def analyse_benefit(
    table: TrainingTable,
    estimator: Any,
    partitions: NDArray[np.intp],
    *,
    seed: int,
    fitted_to: Floats | None = None,
    n_permutations: int = N_PERMUTATIONS,
    n_jobs: int = 1,
    show: Callable[..., Any] | None = None,
) -> BenefitAnalysis:
    """Tell benefit from prognosis.

    Parameters
    ----------
    table
        The cohort. With three or more arms, the first (the treatment) is compared with the last, as in every answer.
    estimator
        Unfitted primary model; with and without arm x feature interactions it becomes the learners.
    partitions
        Folds of the experiment, shape (n_repeats, n_participants).
    seed
        Of permutations, pairing and bootstrap.
    fitted_to
        What the estimator is fitted to where that is not the outcome: for a classifier 1 for a response, 0 for none.
        The learners then speak of response probabilities; the interaction test stays with the outcome.
    n_permutations
        Of the interaction test.
    n_jobs
        Processes.
    show
        Called with what comes of a learner's folds, their number and a `label`; passes them through.

    Returns
    -------
    BenefitAnalysis
        "prognostic only", with the reason, where the cohort cannot tell.
    """
    arms = _arm_pair(table)
    if arms is None:
        return BenefitAnalysis("prognostic only", ONE_ARM)
    labels = np.asarray(table.arms)
    n_per_arm = {name: int((labels == name).sum()) for name in (arms.treated, arms.control)}
    short = _arm_too_small(table, labels, arms)
    if short:
        return BenefitAnalysis("prognostic only", short)
    rows = np.flatnonzero(np.isin(labels, list(n_per_arm)))
    is_treated = labels[rows] == arms.treated
    sign = 1.0 if table.outcome_definition.better == "higher" else -1.0
    covariates = _covariates(table)[rows]
    groups = None if table.groups is None else codes([table.groups[row] for row in rows])
    names = [definition.name for definition in table.weighted_definitions]
    try:
        interaction = interaction_test(
            _features(table, names)[rows], is_treated, covariates, sign * table.outcome[rows],
            names=names, n_permutations=n_permutations, seed=seed, groups=None if groups is None else groups.tolist(),
        )  # fmt: skip
    except TrainingError as error:
        return BenefitAnalysis("prognostic only", str(error))
    learners: dict[Learner, LearnerResult] = {}
    failed: dict[Learner, str] = {}
    is_classifier = fitted_to is not None and not np.array_equal(fitted_to, table.outcome)
    inputs, outcome = table.model_inputs.iloc[rows], (table.outcome if fitted_to is None else fitted_to)[rows]
    learner_sign = 1.0 if is_classifier else sign
    for learner in LEARNERS:
        try:
            predicted = cross_fit(
                learner, estimator, inputs, outcome, arms, partitions[:, rows], n_jobs=n_jobs,
                show=None if show is None else partial(show, label=LEARNERS[learner]),
            )  # fmt: skip
            learners[learner] = _judge(
                predicted, is_treated, covariates, outcome, arms, sign=learner_sign, seed=seed, groups=groups
            )
        except (TrainingError, OutcomeConstantError) as error:  # nobody responded in an arm
            failed[learner] = str(error)
    status, reason = _verdict(interaction, table.outcome_definition.unit)
    return BenefitAnalysis(
        status=status,
        reason=reason,
        arms=arms,
        n_per_arm=n_per_arm,
        unit=table.outcome_definition.unit,
        learner_unit=RESPONSE_UNIT if is_classifier else table.outcome_definition.unit,
        interaction=interaction,
        learners=learners,
        failed_learners=failed,
        people=_people(learners, inputs.index, labels[rows], sign=learner_sign),
    )


def _arm_pair(table: TrainingTable) -> ArmPair | None:
    """Return the first and the last arm that the cohort declares, None with fewer than two."""
    found = [covariate for covariate in table.covariates if covariate.role == "arm"]
    if not found or len(found[0].levels) < 2:
        return None
    return ArmPair(found[0].name, found[0].levels[0], found[0].levels[-1])


def _arm_too_small(table: TrainingTable, labels: NDArray[Any], arms: ArmPair) -> str:
    """Why an arm cannot be judged, empty if both can; relatives, or visits of one person, count once."""
    groups, unit = (None, "people") if table.groups is None else (codes(table.groups), "groups")
    for name in (arms.treated, arms.control):
        n_units = count_units(groups, labels == name)
        if n_units < MIN_PER_ARM:
            return f"at least {MIN_PER_ARM} {unit} per arm are needed, found {n_units} of {name}"
    return ""


def _covariates(table: TrainingTable) -> Floats:
    """Clinical covariates and site indicators, shape (n_people, n_columns)."""
    blocks = [encoded_column(covariate, table.inputs[covariate.name]) for covariate in table.covariates]
    return np.concatenate([np.empty((len(table.outcome), 0)), *blocks], axis=1)


def _features(table: TrainingTable, names: list[str]) -> Floats:
    """Measured and learned features; missing values take the median, which knows nothing of arm or outcome."""
    whole = table.model_inputs
    if table.reference:
        whole = table.reference.step.fit(whole).transform(whole)
    values = whole[names].to_numpy(dtype=np.float64, na_value=np.nan)
    is_missing = np.isnan(values)
    if not is_missing.any():
        return values
    known = np.where(is_missing.all(axis=0), 0.0, values)
    return np.asarray(np.where(is_missing, np.nanmedian(known, axis=0), values))


def _judge(
    predicted: CrossFitted,
    is_treated: NDArray[np.bool_],
    covariates: Floats,
    outcome: Floats,
    arms: ArmPair,
    *,
    sign: float,
    seed: int,
    groups: NDArray[np.intp] | None,
) -> LearnerResult:
    deviation, prognosis = (sign * values.mean(axis=0) for values in (predicted.deviation, predicted.prognosis))
    own = np.where(is_treated, predicted.treated, predicted.control)
    r2 = {}
    for name, is_member in ((arms.treated, is_treated), (arms.control, ~is_treated)):
        error = ((outcome - own) ** 2)[:, is_member].sum()
        r2[name] = float(1 - error / ((outcome - predicted.arm_mean) ** 2)[:, is_member].sum())
    return LearnerResult(
        predicted=predicted,
        calibration=calibrate_benefit(
            deviation, prognosis, covariates, is_treated, sign * outcome, n_training=predicted.n_training, groups=groups
        ),
        concordance=benefit_concordance(deviation, sign * outcome, is_treated, seed=seed, groups=groups),
        r2_within_arm=r2,
    )


def _verdict(interaction: InteractionTest, unit: str) -> tuple[Status, str]:
    strongest = interaction.strongest
    if strongest is None:
        return "benefit not shown", "no feature varies enough within the arms to be told apart"
    n_features = int(np.isfinite(interaction.p_family).sum())
    found = (
        f"arm x feature p = {interaction.p_any:.3g} over {n_features} features "
        f"({len(interaction.null_largest)} permutations), strongest {interaction.names[strongest]}: "
        f"{interaction.slope_difference[strongest]:+.3g} {unit} per sd"
    )
    if interaction.n_fixed:
        found += f"; {interaction.n_fixed} people could not be exchanged, their groups being unlike any other"
    return ("benefit shown" if interaction.p_any <= LEVEL else "benefit not shown"), found


def _people(
    learners: Mapping[Learner, LearnerResult], people: pd.Index, labels: NDArray[Any], *, sign: float
) -> pd.DataFrame:
    """Predicted outcomes under both arms, and benefit with an interval about the conditional mean."""
    tables = []
    for name, one in learners.items():
        treated, control = one.predicted.treated.mean(axis=0), one.predicted.control.mean(axis=0)
        tables.append(
            pd.DataFrame(
                {
                    "participant_id": people.astype(str),
                    "arm": labels,
                    "learner": LEARNERS[name],
                    "expected_treated": treated,
                    "expected_control": control,
                    "predicted_benefit": sign * (treated - control),
                    "calibrated_benefit": one.calibration.benefit,
                    "calibrated_lower": one.calibration.lower,
                    "calibrated_upper": one.calibration.upper,
                    "interval_level": INTERVAL_LEVEL,
                    "interval_is_about": BENEFIT_IS_ABOUT,
                }
            )
        )
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _in_words(one: LearnerResult, arms: ArmPair, unit: str) -> str:
    calibration, concordance = one.calibration, one.concordance
    average = calibration.average_interval
    parts = [
        f"{arms.treated} - {arms.control} {calibration.average:.3g} {unit} [{average.lower:.3g}, {average.upper:.3g}]"
    ]
    if calibration.slope is not None and calibration.slope_interval is not None:
        slope = calibration.slope_interval
        parts.append(f"calibration slope {calibration.slope:.2f} [{slope.lower:.2f}, {slope.upper:.2f}]")
    else:
        parts.append("same benefit predicted for everyone")
    if concordance is not None:
        parts.append(f"C-for-benefit {concordance.value:.2f} [{concordance.lower:.2f}, {concordance.upper:.2f}]")
    parts += [f"R2 within {name} {value:.2f}" for name, value in one.r2_within_arm.items()]
    return "; ".join(parts)

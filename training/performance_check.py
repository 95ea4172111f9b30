"""Whether training finds what was planted in simulated trials, no more than that, and nothing where nothing is.

Two trials are simulated as tables (see `training.simulation.measured_tables`): one with an effect, one without. The
experiment's primary model is cross-validated on both as it would be on real people, beside two least-squares models on
the same folds: `covariates` knows arm, clinical columns and site (and changes of scales that the experiment uses), and
is what chance means here, for a null trial still has arms that differ; the `oracle` also knows the true couplings. The
primary must reach a stated share of what the oracle gains beyond the covariates, and must not gain more than the
oracle: that would be a leak.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline

from predictor import console
from predictor.errors import ConfigError, UsageError
from predictor.model.response_design import ResponseDesign
from predictor.scratch_folder import scratch_folder
from training.cohort.change_scores import CHANGE, SCORES_FAMILY
from training.config import ExperimentConfig, read_experiment
from training.evaluation.metrics import r2_against_training_mean
from training.evaluation.nested_cv import cross_validate
from training.experiment import make_estimators, make_partitions
from training.simulation.measured_tables import simulate_tables, true_values, write_tables
from training.simulation.trial import DEFAULT_STRENGTH, Effect, TrialPlan
from training.training_table import TrainingTable, read_training_table

DEFAULT_EXPERIMENT = Path(__file__).with_name("ci_check.toml")
N_PATIENTS, N_CONTROLS = 240, 60


@dataclass(frozen=True, slots=True)
class Band:
    """Where cross-validated performance must lie.

    The defaults are for the experiment that comes with the package: over 14 simulated trials it reached a share of .64
    (sd .09) and a gain of -.003 (sd .004) on null trials (tests/robustness/test_performance_check.py).
    """

    least_share: float = 0.35  # of the oracle's gain beyond covariates, with an effect
    most_share: float = 1.0  # more than the oracle knows cannot be known before the outcome
    null_lowest: float = -0.10  # R2 beyond covariates on the null trial: the price of fitting noise
    null_highest: float = 0.03

    def __post_init__(self) -> None:
        if not -np.inf < self.least_share < self.most_share < np.inf:
            raise UsageError("expected a band from a lower to a higher share.", where="--share")


@dataclass(frozen=True, slots=True)
class TrialScore:
    """Cross-validated R2 of three models on one simulated trial, on the same folds."""

    effect: Effect
    n_people: int
    primary: float
    covariates: float  # chance: what is known without features
    oracle: float  # covariates and the true couplings

    @property
    def gain(self) -> float:
        """R2 of the primary beyond covariates."""
        return self.primary - self.covariates

    @property
    def share(self) -> float:
        """Share of the oracle's gain beyond covariates that the primary reaches; NaN where the oracle gains nothing."""
        possible = self.oracle - self.covariates
        return self.gain / possible if possible > 0 else float("nan")


@dataclass(frozen=True, slots=True)
class PerformanceCheck:
    """Scores with and without an effect, and whether they lie in the band."""

    model: str
    planted: TrialScore
    null: TrialScore
    band: Band

    @property
    def finds_the_effect(self) -> bool:
        """Whether the share of the oracle's gain lies in the band."""
        return self.band.least_share <= self.planted.share <= self.band.most_share

    @property
    def is_at_chance(self) -> bool:
        """Whether the null trial shows no gain, and no loss beyond the price of fitting noise."""
        return self.band.null_lowest <= self.null.gain <= self.band.null_highest

    @property
    def passed(self) -> bool:
        """Whether both hold."""
        return self.finds_the_effect and self.is_at_chance

    def lines(self) -> Iterator[str]:
        """Return what is printed: both trials, the oracle, chance, and the band."""
        planted, null, band = self.planted, self.null, self.band
        heads = "".join(f"{head:>10}" for head in ("primary", "oracle", "chance"))
        yield f"  {'simulated tables':<22}{heads}   cross-validated R2, {self.model}"
        for score, name in ((planted, "with an effect"), (null, "null trial")):
            numbers = "".join(f"{value:>10.3f}" for value in (score.primary, score.oracle, score.covariates))
            yield f"  {name:<22}{numbers}   {score.n_people} people"
        yield (
            f"  {_word(self.finds_the_effect)}  share of the oracle's gain beyond covariates {planted.share:.2f}, "
            f"expected {band.least_share:.2f} to {band.most_share:.2f}"
        )
        yield (
            f"  {_word(self.is_at_chance)}  gain over chance on the null trial {null.gain:+.3f}, "
            f"expected {band.null_lowest:+.2f} to {band.null_highest:+.2f}"
        )


def check_performance(
    config: ExperimentConfig | None = None,
    *,
    n_patients: int = N_PATIENTS,
    seed: int = 1,
    n_jobs: int = 1,
    band: Band | None = None,
) -> PerformanceCheck:
    """Train the experiment's primary model on a trial with an effect and on a null trial.

    Parameters
    ----------
    config
        The experiment; cohort files are replaced by simulated ones. None: the one that comes with the package.
    n_patients
        Patients of each trial.
    seed
        Of the simulation; the same seed gives the same numbers.
    n_jobs
        Processes.
    band
        Where performance must lie; None: the stated one.

    Raises
    ------
    ConfigError
        If no primary model is named, or the experiment asks for what the simulated trial does not have.
    """
    config = config or read_experiment(DEFAULT_EXPERIMENT)
    if not config.model.primary:
        raise ConfigError("the check needs a primary model; none is named.", where="[model] primary")
    with console.step("Train on a simulated trial with an effect"):
        planted = _score(config, "ketamine-only", n_patients, seed, n_jobs)
    with console.step("Train on one without"):
        null = _score(config, "null", n_patients, seed, n_jobs)
    return PerformanceCheck(config.model.primary, planted, null, band or Band())


def _score(config: ExperimentConfig, effect: Effect, n_patients: int, seed: int, n_jobs: int) -> TrialScore:
    uses_changes = any(name.startswith(CHANGE) for name in (*config.features.families, *config.features.names))
    # Beside a strong effect at baseline, changes could hardly be seen: study A's trial has none.
    plan = TrialPlan(n_patients, N_CONTROLS, seed, effect, strength=0.0 if uses_changes else DEFAULT_STRENGTH)
    tables = simulate_tables(plan)
    with scratch_folder("ci-check") as folder:
        write_tables(tables, folder, changes=uses_changes)
        features, participants = (str(folder / f"{name}.tsv") for name in ("features", "participants"))
        simulated = replace(config, cohort=replace(config.cohort, features=features, participants=participants))
        table = read_training_table(simulated)
    partitions = make_partitions(table, simulated)
    primary = make_estimators(table, simulated)[config.model.primary]
    truth = true_values(tables.people, changes=uses_changes).loc[table.inputs.index]
    # Depression improves along with PTSD whatever the brain does: who is told its change knows it by chance too.
    scales = tuple(definition.name for definition in table.definitions if definition.family == SCORES_FAMILY)

    def r2(estimator: Any, inputs: pd.DataFrame) -> float:
        with parallel_config("loky", inner_max_num_threads=1):
            predicted = cross_validate(estimator, inputs, table.outcome, partitions, n_jobs=n_jobs)
        return r2_against_training_mean(predicted)

    return TrialScore(
        effect,
        len(table.outcome),
        primary=r2(primary, table.model_inputs),
        covariates=r2(_least_squares(table, scales), table.inputs),
        oracle=r2(_least_squares(table, (*truth.columns, *scales)), pd.concat([table.inputs, truth], axis=1)),
    )


def _least_squares(table: TrainingTable, features: tuple[str, ...]) -> Pipeline:
    """Return a linear model of the covariates, and of some features with their interactions with the arm."""
    has_arms = table.arms is not None and bool(features)
    design = ResponseDesign(covariates=table.covariates, features=features, arm_interactions=has_arms)
    return Pipeline([("design", design), ("model", LinearRegression())])


def _word(passed: bool) -> str:
    return "passed" if passed else "FAILED"

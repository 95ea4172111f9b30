"""A small cohort in memory, and one experiment run on it that several modules' tests look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictor.features.feature_vector import FeatureDefinition
from predictor.model.outcome_definition import Covariate, OutcomeDefinition
from training.config import (
    CohortConfig,
    CovariatesConfig,
    ExperimentConfig,
    ModelConfig,
    OutcomeConfig,
    TrackingConfig,
    ValidationConfig,
)
from training.experiment import ExperimentResult, run_on_table
from training.feature_table import FeatureTable
from training.training_table import TrainingTable

N_PEOPLE, N_FEATURES = 60, 6


def make_table(*, effect: float = 14.0, seed: int = 7) -> TrainingTable:
    """Trial with two arms in which the first feature matters under ketamine only."""
    rng = np.random.default_rng(seed)
    people = pd.Index([f"sub-{number:02d}" for number in range(N_PEOPLE)], name="participant_id")
    definitions = tuple(
        FeatureDefinition(f"gppi_faces__r{number}__s", "beta", "gppi_faces", "gppi", "r-s", "a number")
        for number in range(N_FEATURES)
    )
    motion = FeatureDefinition(
        "quality_mean_framewise_displacement_mm__rest", "mm", "quality", "quality", "", "mean head motion"
    )
    values = pd.DataFrame(rng.standard_normal((N_PEOPLE, N_FEATURES)), people, [d.name for d in definitions])
    values[motion.name] = rng.gamma(3, 0.05, N_PEOPLE)
    known = pd.DataFrame(
        {
            "arm": np.tile(["ketamine", "midazolam"], N_PEOPLE // 2),
            "caps5_total_baseline": rng.normal(43, 8, N_PEOPLE),
            "site": rng.choice(["a", "b"], N_PEOPLE),
            "age": rng.normal(38, 9, N_PEOPLE),
        },
        index=people,
    ).astype({"arm": object, "site": object})
    is_ketamine = (known["arm"] == "ketamine").to_numpy()
    outcome = 20.0 + 15 * is_ketamine - effect * is_ketamine * values.iloc[:, 0].to_numpy()
    features = FeatureTable(
        values=values,
        definitions=(*definitions, motion),
        recipe=None,
        recipe_hashes=pd.Series("sha256:" + "a" * 64, index=people),
        quality=pd.DataFrame(index=people),
        digest="sha256:" + "b" * 64,
        standard_errors=pd.DataFrame(np.nan, index=values.index, columns=values.columns),
    )
    return TrainingTable(
        inputs=pd.concat([values, known], axis=1),
        outcome=outcome + 6 * rng.standard_normal(N_PEOPLE),
        outcome_definition=OutcomeDefinition("improvement", "percent", "higher", 30.0, "at least 30 percent"),
        definitions=definitions,
        covariates=(
            Covariate("arm", "category", ("ketamine", "midazolam"), "arm"),
            Covariate("caps5_total_baseline", "number", role="clinical"),
            Covariate("site", "category", ("a", "b"), "site"),
        ),
        demographic=(Covariate("age", "number", role="demographic"),),
        motion_columns=(motion.name,),
        features=features,
        left_out=(),
    )


def make_config(store: Path, *, n_permutations: int = 0) -> ExperimentConfig:
    """Quick experiment on that trial."""
    return ExperimentConfig(
        name="small-trial",
        cohort=CohortConfig(features="features.tsv", participants="participants.tsv", name="small trial"),
        outcome=OutcomeConfig(column="improvement", unit="percent"),
        covariates=CovariatesConfig(
            arm="arm", clinical=("caps5_total_baseline",), site="site", demographic=("age",), interactions=True
        ),
        model=ModelConfig(candidates=("ridge",), l1_ratios=(0.5,), n_alphas=6),
        validation=ValidationConfig(
            n_folds=5, n_repeats=2, inner_folds=3, n_permutations=n_permutations, n_bootstrap_models=8
        ),
        tracking=TrackingConfig(registered_model="small-model", store=str(store)),
        source='name = "small-trial"\n',
    )


@pytest.fixture(scope="session")
def training_table() -> TrainingTable:
    """Return the small trial."""
    return make_table()


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an MLflow store; making one takes seconds, so that all tests share it."""
    return tmp_path_factory.mktemp("mlruns")


@pytest.fixture(scope="session")
def config(store_folder: Path) -> ExperimentConfig:
    """Return the experiment that `result` is of."""
    return make_config(store_folder, n_permutations=24)


@pytest.fixture(scope="session")
def result(training_table: TrainingTable, config: ExperimentConfig) -> ExperimentResult:
    """Return a whole experiment: judged, logged, registered as version 1 of `small-model`."""
    return run_on_table(training_table, config, n_jobs=1)


@pytest.fixture(scope="session")
def small_trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a synthetic trial on disk: two patients and a control, three runs each."""
    from training.simulation.dataset import simulate_dataset
    from training.simulation.trial import TrialPlan

    folder = tmp_path_factory.mktemp("trial") / "small"
    simulate_dataset(folder, TrialPlan(n_patients=2, n_controls=1, seed=5), n_jobs=1)
    return folder

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor

from predictor.__main__ import main
from predictor.errors import ConfigError, UsageError
from training import performance_check
from training.config import ExperimentConfig, FeaturesConfig, read_experiment
from training.performance_check import DEFAULT_EXPERIMENT, Band, PerformanceCheck, TrialScore, check_performance


def small() -> ExperimentConfig:
    config = read_experiment(DEFAULT_EXPERIMENT)
    return replace(config, features=FeaturesConfig(families=("gppi_faces",)))


class KnowsTheOutcome(RegressorMixin, BaseEstimator):
    """Leaks: predicts everyone's own outcome, held out or not."""

    def __init__(self, outcome: dict[str, float]) -> None:
        self.outcome = outcome

    def fit(self, X: pd.DataFrame, y: Any) -> KnowsTheOutcome:
        self.is_fitted_ = True
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return np.array([self.outcome[name] for name in X.index])


def test_the_default_experiment_lies_in_the_band_and_prints_oracle_and_chance() -> None:
    check = check_performance(small(), n_patients=160, seed=1)
    assert check.passed
    assert check.planted.covariates < check.planted.primary < check.planted.oracle
    text = "\n".join(check.lines())
    assert "oracle" in text
    assert f"{check.planted.oracle:.3f}" in text
    assert f"{check.null.primary:.3f}" in text


def test_a_leak_is_above_the_band_on_both_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(table: Any, config: ExperimentConfig) -> dict[str, Any]:
        return {"elastic_net": KnowsTheOutcome(dict(zip(table.inputs.index, table.outcome, strict=True)))}

    monkeypatch.setattr(performance_check, "make_estimators", leaky)
    check = check_performance(small(), n_patients=60)
    assert check.planted.share > 1
    assert not check.finds_the_effect
    assert not check.is_at_chance
    assert sum("FAILED" in line for line in check.lines()) == 2


def test_a_pipeline_that_finds_nothing_is_below_the_band(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performance_check, "make_estimators", lambda table, config: {"elastic_net": DummyRegressor()})
    check = check_performance(small(), n_patients=60)
    assert check.planted.share < 0
    assert not check.passed


def test_an_oracle_without_gain_leaves_no_share() -> None:
    score = TrialScore("ketamine-only", 10, primary=0.3, covariates=0.3, oracle=0.2)
    assert np.isnan(score.share)
    assert not PerformanceCheck("elastic_net", score, score, Band()).finds_the_effect


def test_an_experiment_on_changes_is_checked_on_changes() -> None:
    features = FeaturesConfig(families=("change_gppi_faces",))
    config = replace(small(), features=features, tracking=replace(small().tracking, registered_model="an analysis"))
    check = check_performance(config, n_patients=80)
    assert check.planted.oracle > check.planted.covariates


def test_an_experiment_that_asks_for_unknown_columns_is_refused_by_name() -> None:
    config = small()
    with pytest.raises(ConfigError, match="no family"):
        check_performance(replace(config, features=FeaturesConfig(families=("ready",))), n_patients=20)


def test_command_exits_4_outside_the_band(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(performance_check, "make_estimators", lambda table, config: {"elastic_net": DummyRegressor()})
    assert main(["ci-check", "--participants", "40", "--jobs", "1"]) == 4
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize("share", [(1.0, 0.3), (float("nan"), 1.0), (0.3, float("inf"))])
def test_a_band_that_nothing_can_lie_in_is_wrong_use(share: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="from a lower to a higher share"):
        Band(*share)
    assert main(["ci-check", "--share", *map(str, share)]) == 2

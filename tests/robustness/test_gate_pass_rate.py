"""How often the promotion gate passes: the default synthetic trial, and a trial in which nothing predicts improvement.

The trials are simulated as tables, as `krp ci-check` does, and judged as experiments/baseline_prediction.toml says. Of
the six checks only two depend on chance: the baselines (2) and the permutations (3). The permutations, which take most
of the time, are drawn where the baselines are beaten; elsewhere the gate has refused already.

With 120 patients the gate lets about half of the trials with the default effect through: what stops the others is `arm
+ clinical`, beside which 120 people can show the planted gain only half of the time. Measured over seeds 1 to 50: 23
passed (46 %, exact 95 % interval 32 to 61 %), `arm + clinical` was beaten by 24, and every trial that beat all
baselines had p = .01, so that the permutations stopped none; of 50 null trials none passed (0 to 7 %).

Run on its own (minutes): python -m pytest tests/robustness/test_gate_pass_rate.py -s; N_SEEDS in the environment makes
it shorter or longer (50 for the full measurement: a quarter of an hour of one core).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from predictor.console import emit
from training.config import ExperimentConfig, read_experiment
from training.evaluation.baselines import REQUIRED_BASELINES
from training.experiment_folds import make_manifest
from training.judged_models import chance_level, judge_all, make_estimators
from training.shelf.promotion_gate import SIGNIFICANCE
from training.simulation.measured_tables import simulate_tables, write_tables
from training.simulation.trial import Effect, TrialPlan
from training.training_table import read_training_table

N_SEEDS = int(os.environ.get("N_SEEDS", "4"))


@pytest.fixture(scope="module")
def experiment() -> ExperimentConfig:
    project = Path(__file__).resolve().parents[2]
    config = read_experiment(project / "experiments" / "baseline_prediction.toml")
    return replace(config, model=replace(config.model, candidates=()))


def beaten_and_p(config: ExperimentConfig, effect: Effect, seed: int, folder: Path) -> tuple[dict[str, bool], float]:
    """Which baselines the primary beats, with the lower bound of its gain, and p; 1 where p is not asked for."""
    write_tables(simulate_tables(TrialPlan(seed=seed, effect=effect)), folder)
    files = {name: str(folder / f"{name}.tsv") for name in ("features", "participants")}
    one = replace(config, cohort=replace(config.cohort, **files))
    table = read_training_table(one)
    manifest, estimators = make_manifest(table, one), make_estimators(table, one)
    models = judge_all(estimators, table, manifest, one, n_jobs=1)
    gains = {model.name: model.gain_of_primary for model in models[1:]}
    beaten = {name: gain is not None and gain.corrected_interval.lower > 0 for name, gain in gains.items()}
    assert set(beaten) == set(REQUIRED_BASELINES)
    if not all(beaten.values()):
        return beaten, 1.0
    test = chance_level(estimators, table, models, manifest, one, n_jobs=1)
    assert test is not None
    return beaten, test.p_value


@pytest.mark.parametrize("effect", ["ketamine-only", "null"])
def test_the_gate_lets_through_what_was_planted_and_hardly_ever_what_was_not(
    experiment: ExperimentConfig, effect: Effect, tmp_path: Path
) -> None:
    found = []
    for seed in range(1, N_SEEDS + 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found.append(beaten_and_p(experiment, effect, seed, folder))
    n_passed = sum(all(beaten.values()) and p < SIGNIFICANCE for beaten, p in found)
    each = ", ".join(f"{name} {sum(beaten[name] for beaten, _ in found)}" for name in REQUIRED_BASELINES)
    interval = stats.binomtest(n_passed, N_SEEDS).proportion_ci(method="exact")
    emit(
        f"\n{effect}: gate passed {n_passed} of {N_SEEDS} trials "
        f"({n_passed / N_SEEDS:.0%} [{interval.low:.0%}, {interval.high:.0%}]); baselines beaten: {each}"
    )
    # A gate that lets 5 % of null trials through passes more than this in 1 of 1000 measurements.
    if effect == "null":
        assert n_passed <= stats.binom.ppf(0.999, N_SEEDS, SIGNIFICANCE)
    else:
        assert sum(beaten["constant"] for beaten, _ in found) >= 0.8 * N_SEEDS
        # Half of them pass; so few would be seen once in 1000 measurements if a quarter did.
        assert n_passed >= stats.binom.ppf(0.001, N_SEEDS, 0.25)

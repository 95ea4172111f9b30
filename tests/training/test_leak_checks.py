from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.evaluation.leak_checks import (
    associations,
    carries_outcome,
    carries_outcome_jointly,
    encodes_outcome,
    gaps_carry_outcome,
    measured_late,
)


@pytest.fixture
def features(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(3 + 2 * rng.standard_normal((80, 12))).add_prefix("f")


def test_a_column_that_is_the_outcome_with_noise_is_named(rng: np.random.Generator) -> None:
    outcome = rng.normal(25, 20, 60)
    table = pd.DataFrame({"age": rng.normal(40, 9, 60), "score": outcome + rng.normal(0, 6, 60)})
    (finding,) = carries_outcome(table, outcome, ["age", "score"], step="covariates", where="participants.tsv")
    assert (finding.severity, finding.step) == ("leak", "covariates")
    assert "score" in finding.message
    assert "age" not in finding.message


def test_an_outcome_in_other_clothes_is_named(rng: np.random.Generator) -> None:
    outcome = rng.normal(25, 20, 60)
    table = pd.DataFrame(
        {
            "rank": np.exp(outcome / 10),  # monotone only
            "grade": pd.cut(outcome, 8, labels=list("abcdefgh")).astype(object),
            "reversed": -outcome,
        }
    )
    (finding,) = carries_outcome(table, outcome, list(table), step="covariates", where="participants.tsv")
    assert all(name in finding.message for name in table)


def test_a_good_predictor_is_no_leak_and_an_astonishing_one_is_worth_a_look(rng: np.random.Generator) -> None:
    good = rng.standard_normal(100)
    noise = rng.standard_normal(100)
    assert not carries_outcome(pd.DataFrame({"x": good}), good + noise, ["x"], step="features", where="")
    (finding,) = carries_outcome(pd.DataFrame({"x": good}), good + 0.6 * noise, ["x"], step="features", where="")
    assert finding.severity == "look"


def test_chance_among_thousands_of_features_of_ten_people_is_no_leak() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        table = pd.DataFrame(rng.standard_normal((10, 1000))).add_prefix("f")
        best = max(r for r, _ in associations(table, table["f0"].to_numpy(), list(table.columns[1:])).values())
        assert best > 0.8  # there is something to be wrong about
        assert not carries_outcome(table, rng.standard_normal(10), list(table), step="features", where="")


def test_baseline_and_follow_up_give_the_improvement_away_together(rng: np.random.Generator) -> None:
    baseline, followup = rng.normal(45, 10, 80), rng.normal(30, 10, 80)
    outcome = 100 * (baseline - followup) / baseline
    table = pd.DataFrame({"age": rng.normal(40, 9, 80), "score_a": baseline, "score_b": followup})
    (finding,) = carries_outcome_jointly(table, outcome, list(table), where="participants.tsv")
    assert "without score_b" in finding.message
    assert not carries_outcome_jointly(table, outcome, ["age", "score_a"], where="participants.tsv")


def test_declared_times_overrule_names_in_both_directions() -> None:
    columns = ["depression", "hr_post", "followup_plan", "change_rest__a__b"]
    measured = {"depression": "week2", "followup_plan": "baseline", "change_rest": "week2"}
    late, named = measured_late(columns, measured=measured, suspicious=["hr_post", "followup_plan"], where="")
    assert (late.severity, late.fails) == ("analysis", False)
    assert "can never be champion" in late.line()
    assert "depression (week2)" in late.message
    assert "change_rest__a__b" in late.message
    assert (named.severity, named.fails) == ("undeclared", True)
    assert "hr_post" in named.message
    assert "followup_plan" not in named.message


def test_gaps_that_go_with_the_outcome_are_named_and_gaps_by_chance_are_not(rng: np.random.Generator) -> None:
    outcome = rng.normal(25, 20, 60)
    features = pd.DataFrame(rng.standard_normal((60, 4))).add_prefix("f")
    by_chance = features.mask(rng.random(features.shape) < 0.3)
    assert not gaps_carry_outcome(by_chance, outcome, where="features.tsv")
    of_responders = by_chance.assign(f2=features["f2"].where(outcome > np.median(outcome)))
    (finding,) = gaps_carry_outcome(of_responders, outcome, where="features.tsv")
    assert (finding.step, finding.severity) == ("missing values", "leak")
    assert "f2 (1.00)" in finding.message


def test_mean_outcomes_of_a_category_are_recognised_and_the_category_itself_is_not(rng: np.random.Generator) -> None:
    outcome, site = rng.normal(25, 20, 60), np.arange(60) % 3
    encoded = np.array([outcome[site == one].mean() for one in site])
    table = pd.DataFrame({"site": site, "age": rng.normal(40, 9, 60), "site_effect": encoded.round(2)})
    (finding,) = encodes_outcome(table, outcome, where="participants.tsv")
    assert finding.message.endswith("stand in site_effect, held-out people among them.")

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.benefit_concordance import benefit_concordance, concordance

N_COHORTS = 30


def slow_concordance(predicted: np.ndarray, observed: np.ndarray) -> float:
    """Count couples one by one."""
    right, comparable = 0.0, 0
    for one in range(len(observed)):
        for other in range(one):
            if observed[one] == observed[other]:
                continue
            comparable += 1
            if predicted[one] == predicted[other]:
                right += 0.5
            elif (predicted[one] > predicted[other]) == (observed[one] > observed[other]):
                right += 1
    return right / comparable


def test_concordance_counts_couples_and_gives_ties_a_half(rng: np.random.Generator) -> None:
    predicted, observed = rng.integers(0, 6, 40).astype(float), rng.integers(0, 9, 40).astype(float)
    assert concordance(predicted, observed) == pytest.approx(slow_concordance(predicted, observed))
    assert np.isnan(concordance(predicted, np.ones(40)))


def test_pairs_are_made_of_people_of_the_same_rank_in_both_arms() -> None:
    predicted = np.array([3.0, 1.0, 2.0, 2.5, 0.5, 1.5])
    is_treated = np.array([True, True, True, False, False, False])
    outcome = np.array([9.0, 5.0, 2.0, 1.0, 3.0, 4.0])
    # Pairs by rank: (1.0, 0.5) benefit 2, (2.0, 1.5) benefit -2, (3.0, 2.5) benefit 8: two of three couples in order.
    found = benefit_concordance(predicted, outcome, is_treated, seed=0)
    assert found is not None
    assert found.value == pytest.approx(2 / 3)
    assert found.n_pairs == 3


def test_perfect_predictions_without_noise_reach_one_and_reversed_ones_zero(rng: np.random.Generator) -> None:
    truth = rng.standard_normal(60)
    is_treated = np.arange(60) < 20  # unequal arms
    outcome = 50.0 * truth * is_treated
    found = benefit_concordance(truth, outcome, is_treated, seed=0)
    reverse = benefit_concordance(-truth, outcome, is_treated, seed=0)
    assert found is not None
    assert reverse is not None
    assert found.value == 1.0
    assert reverse.value == 0.0
    assert found.n_pairs == 20


def test_what_predicts_the_outcome_but_not_the_benefit_is_at_chance() -> None:
    rng = np.random.default_rng(5)
    values, held = [], 0
    for seed in range(N_COHORTS):
        prognosis = rng.standard_normal(80)
        is_treated = rng.permutation(np.arange(80) < 40)
        outcome = 2 * prognosis + 1.0 * is_treated + rng.standard_normal(80)
        found = benefit_concordance(prognosis, outcome, is_treated, seed=seed)
        assert found is not None
        values.append(found.value)
        held += found.lower <= 0.5 <= found.upper
    assert np.mean(values) == pytest.approx(0.5, abs=4 * np.std(values) / np.sqrt(N_COHORTS))
    assert held >= 0.8 * N_COHORTS


def test_the_same_prediction_for_everyone_has_no_concordance() -> None:
    assert benefit_concordance(np.zeros(20), np.arange(20.0), np.arange(20) % 2 == 0, seed=0) is None

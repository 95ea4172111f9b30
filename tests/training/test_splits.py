from __future__ import annotations

import numpy as np
import pytest

from predictor.errors import TrainingError
from training.evaluation.splits import leave_one_out, stratified_folds, train_and_test


def test_folds_differ_in_size_by_one_at_most_overall_and_within_every_arm(rng: np.random.Generator) -> None:
    arms = ["ketamine"] * 53 + ["midazolam"] * 64
    folds = stratified_folds(rng.standard_normal(117), arms, n_folds=10, rng=rng)
    sizes = np.bincount(folds, minlength=10)
    within = np.bincount(folds[:53], minlength=10)
    assert np.ptp(sizes) <= 1
    assert np.ptp(within) <= 1


def test_every_fold_covers_the_range_of_the_outcome(rng: np.random.Generator) -> None:
    outcome = rng.standard_normal(100)
    folds = stratified_folds(outcome, None, n_folds=5, rng=rng)
    shuffled = rng.permutation(folds)
    spread = np.ptp([outcome[folds == fold].mean() for fold in range(5)])
    spread_of_random_folds = np.ptp([outcome[shuffled == fold].mean() for fold in range(5)])
    assert spread < spread_of_random_folds / 2


def test_the_same_generator_state_gives_the_same_folds_and_another_gives_others() -> None:
    outcome = np.random.default_rng(1).standard_normal(60)
    draw = [stratified_folds(outcome, None, n_folds=6, rng=np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert np.array_equal(draw[0], draw[1])
    assert not np.array_equal(draw[0], draw[2])


def test_nobody_is_predicted_by_a_model_that_saw_them(rng: np.random.Generator) -> None:
    folds = stratified_folds(rng.standard_normal(31), None, n_folds=4, rng=rng)
    held_out = []
    for train, test in train_and_test(folds):
        assert not set(train) & set(test)
        assert len(train) + len(test) == 31
        held_out += list(test)
    assert sorted(held_out) == list(range(31))


def test_leave_one_out_holds_everyone_out_once() -> None:
    assert [list(test) for _, test in train_and_test(leave_one_out(4))] == [[0], [1], [2], [3]]


def test_fewer_participants_than_folds_are_refused_with_both_numbers(rng: np.random.Generator) -> None:
    with pytest.raises(TrainingError, match="8 participants for 10 folds"):
        stratified_folds(np.arange(8.0), None, n_folds=10, rng=rng)

from __future__ import annotations

import numpy as np
import pytest

from predictor.errors import TrainingError
from training.models.in_fold_steps import inner_partition


def test_inner_folds_are_balanced_over_arms_and_the_same_for_the_same_seed(rng: np.random.Generator) -> None:
    outcome, arms = rng.standard_normal(40), ["a", "b"] * 20
    folds = inner_partition(outcome, arms, inner_folds=5, seed=3)
    for fold in range(5):
        assert sum(arm == "a" for arm, own in zip(arms, folds, strict=True) if own == fold) == 4
    assert np.array_equal(folds, inner_partition(outcome, arms, inner_folds=5, seed=3))


def test_leaving_one_out_keeps_groups_together() -> None:
    folds = inner_partition(np.arange(6.0), None, inner_folds="leave_one_out", seed=0, groups=list("aabbcc"))
    assert folds[0] == folds[1]
    assert len(np.unique(folds)) == 3


def test_fewer_groups_than_folds_name_the_inner_folds() -> None:
    with pytest.raises(TrainingError) as caught:
        inner_partition(np.arange(6.0), None, inner_folds=4, seed=0, groups=list("aabbcc"))
    assert caught.value.where == "[validation] inner_folds"

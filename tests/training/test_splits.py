from __future__ import annotations

import numpy as np
import pytest

from predictor.errors import TrainingError
from training.evaluation.splits import (
    PartitionMaker,
    leave_one_out,
    leave_one_site_out,
    stratified_folds,
    train_and_test,
)


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


def families(n_people: int, rng: np.random.Generator) -> list[str]:
    """Families of one to four."""
    return [f"family {number}" for number in np.sort(rng.integers(0, n_people // 2, n_people))]


def n_folds_of(groups: list[str], folds: np.ndarray) -> set[int]:
    return {len({fold for fold, group in zip(folds, groups, strict=True) if group == one}) for one in set(groups)}


def test_groups_are_never_split_and_folds_stay_balanced(rng: np.random.Generator) -> None:
    groups, arms = families(90, rng), list(rng.choice(["a", "b"], 90))
    folds = stratified_folds(rng.standard_normal(90), arms, n_folds=5, rng=rng, groups=groups)
    assert n_folds_of(groups, folds) == {1}
    assert np.ptp(np.bincount(folds, minlength=5)) <= 4


def test_groups_of_one_are_the_same_as_no_groups() -> None:
    outcome = np.random.default_rng(1).standard_normal(40)
    alone = [f"{number:02d}" for number in range(40)]
    draws = [
        stratified_folds(outcome, ["a", "b"] * 20, n_folds=4, rng=np.random.default_rng(2), groups=groups)
        for groups in (None, alone)
    ]
    assert np.array_equal(draws[0], draws[1])


def test_leave_one_out_leaves_whole_groups_out() -> None:
    assert leave_one_out(5, groups=["x", "y", "x", "z", "y"]).tolist() == [0, 1, 0, 2, 1]


def test_fewer_groups_than_folds_are_refused_with_both_numbers(rng: np.random.Generator) -> None:
    with pytest.raises(TrainingError, match="4 groups for 5 folds"):
        stratified_folds(np.arange(20.0), None, n_folds=5, rng=rng, groups=[str(n % 4) for n in range(20)])


def test_one_group_only_cannot_be_left_out() -> None:
    with pytest.raises(TrainingError, match="1 groups"):
        leave_one_out(6, groups=["all"] * 6)


def test_leave_one_site_out_has_a_fold_per_site(rng: np.random.Generator) -> None:
    draw = PartitionMaker(None, 10, sites=("bochum", "essen", "bochum", "szeged"))
    assert draw(np.arange(4.0), rng).tolist() == [0, 1, 0, 2]


def test_one_site_only_is_refused() -> None:
    with pytest.raises(TrainingError, match="at least 2 sites, the cohort has 1"):
        leave_one_site_out(["bochum"] * 8)


def test_a_maker_for_some_people_keeps_their_arms_and_groups_and_has_no_more_folds_than_groups(
    rng: np.random.Generator,
) -> None:
    maker = PartitionMaker(tuple("abababab"), 4, groups=tuple("11223344"))
    some = maker.of_rows(np.array([0, 1, 4, 5, 6]))
    assert (some.arms, some.groups, some.n_folds) == (tuple("ababa"), tuple("11334"), 3)
    assert n_folds_of(list("11334"), some(np.arange(5.0), rng)) == {1}

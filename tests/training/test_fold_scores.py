from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.fold_scores import fold_scores
from training.evaluation.nested_cv import OutOfFold


def predictions(choices: tuple[dict[str, float], ...] = ()) -> OutOfFold:
    folds = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    outcome = np.array([1.0, 3.0, 5.0, 7.0])
    means = np.array([[6.0, 6.0, 2.0, 2.0], [5.0, 3.0, 5.0, 3.0]])
    return OutOfFold(outcome, np.tile(outcome, (2, 1)) + 1.0, means, folds, choices)


def test_there_is_a_row_per_repeat_and_fold_with_sizes_and_errors() -> None:
    table = fold_scores(predictions())
    assert table[["repeat", "fold"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert table["n_train"].tolist() == table["n_test"].tolist() == [2, 2, 2, 2]
    assert table["mse"].tolist() == table["mae"].tolist() == [1.0] * 4
    assert table["r2"][0] == pytest.approx(1 - 2 / (25 + 9))


def test_choices_of_the_tuning_stand_beside_their_fold() -> None:
    table = fold_scores(predictions(tuple({"alpha": float(number)} for number in range(4))))
    assert table["alpha"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_fold_whose_people_all_have_the_training_mean_has_no_r2() -> None:
    flat = OutOfFold(np.ones(2), np.ones((1, 2)), np.ones((1, 2)), np.array([[0, 1]]), ())
    assert fold_scores(flat)["r2"].isna().all()

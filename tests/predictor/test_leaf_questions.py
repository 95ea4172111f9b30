from __future__ import annotations

import numpy as np
import pytest

from predictor.errors import ModelBundleError
from predictor.model.leaf_questions import WORD, LeafQuestions, questions_of


def comb(n_leaves: int, *, to_left: bool) -> LeafQuestions:
    """A tree that asks one input for 0.5, 1.5, ... and has the leaf n for n, grown down one side."""
    n_inner = n_leaves - 1
    thresholds = np.arange(n_inner) + 0.5
    inner, leaves = np.arange(n_inner), n_inner + np.arange(n_leaves)
    if to_left:
        thresholds = thresholds[::-1]
        left, right = np.append(inner[1:], leaves[:1])[:n_inner], leaves[::-1][:n_inner]
    else:
        left, right = leaves[:n_inner], np.append(inner[1:], leaves[-1:])[:n_inner]
    pad = np.zeros(n_leaves, dtype=np.int64)
    return questions_of(
        root=np.array([0]),
        slot=np.array([0]),
        n_models=1,
        n_slots=1,
        left=np.append(left, pad),
        right=np.append(right, pad),
        column=np.append(np.zeros(n_inner, dtype=np.int64), pad - 1),
        threshold=np.append(thresholds, pad),
        value=np.append(np.zeros(n_inner), 100.0 + np.arange(n_leaves)),
    )


@pytest.mark.parametrize("to_left", [True, False])
@pytest.mark.parametrize("n_leaves", [2, WORD - 1, WORD, WORD + 1, 2 * WORD, 2 * WORD + 1, 200])
def test_one_leaf_is_left_whatever_number_of_words_the_leaves_take(n_leaves: int, *, to_left: bool) -> None:
    questions = comb(n_leaves, to_left=to_left)
    assert len(questions.slot) == -(-n_leaves // WORD)
    found = [questions.leaf_values(np.array([float(n)])) for n in range(n_leaves)]
    assert [one.sum() for one in found] == [100.0 + n for n in range(n_leaves)]
    assert all(np.count_nonzero(one) == 1 for one in found)


@pytest.mark.parametrize("n_leaves", [4_000, 500_000])
def test_a_tree_that_would_fill_the_memory_is_refused(n_leaves: int) -> None:
    with pytest.raises(ModelBundleError, match="steps to their leaves"):
        comb(n_leaves, to_left=False)


def test_trees_that_are_a_leaf_are_a_constant_of_their_model() -> None:
    questions = questions_of(
        root=np.array([0, 1, 2]),
        slot=np.array([0, 1, 1]),
        n_models=2,
        n_slots=4,
        left=np.zeros(3, dtype=np.int64),
        right=np.zeros(3, dtype=np.int64),
        column=np.full(3, -1),
        threshold=np.zeros(3),
        value=np.array([1.0, 2.0, 4.0]),
    )
    assert questions.constant.tolist() == [[1.0, 6.0], [0.0, 0.0]]
    assert len(questions.leaf_values(np.zeros(1))) == 0

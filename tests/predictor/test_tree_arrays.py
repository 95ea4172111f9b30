from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from predictor.errors import ModelBundleError
from predictor.model.tree_arrays import TreeArrays, arm_children

Grow = Callable[..., TreeArrays]


def walked(trees: TreeArrays, person: NDArray[np.float64], arm: int, tree: int) -> float:
    """Value of the leaf that a person gets to, node by node."""
    known = np.append(person, trees.arm_values[arm])
    node = trees.tree_start[tree]
    while trees.column[node] >= 0:
        is_left = known[trees.column[node]] <= trees.threshold[node]
        node = trees.left[node] if is_left else trees.right[node]
    return float(trees.value[node])


def by_walking(trees: TreeArrays, people: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prediction of every model in every arm, shape (n_people, n_models, n_arms)."""
    found = np.zeros((len(people), trees.n_models, trees.n_arms))
    for row, person in enumerate(people):
        for tree, model in enumerate(trees.model_of_tree):
            for arm in range(trees.n_arms):
                found[row, model, arm] += walked(trees, person, arm, tree)
    return found


@pytest.mark.parametrize("n_arms", [1, 2])
@pytest.mark.parametrize("n_leaves", [1, 2, 6, 40])
def test_predictions_are_those_of_walking_the_trees_in_every_arm(
    grow_trees: Grow, rng: np.random.Generator, n_arms: int, n_leaves: int
) -> None:
    trees = grow_trees(rng, n_arms=n_arms, n_models=3, n_leaves=n_leaves)
    people = rng.standard_normal((20, 5))
    assert trees.predict(people) == pytest.approx(by_walking(trees, people), abs=1e-12)
    if n_arms == 2 and n_leaves > 2:
        assert (trees.column == 5).any()
        assert (np.ptp(trees.predict(people), axis=2) > 0).any()


def test_a_value_on_the_threshold_goes_left(grow_trees: Grow, rng: np.random.Generator) -> None:
    trees = grow_trees(rng, n_arms=1, n_trees=1, n_leaves=2)
    person = np.zeros((1, 5))
    person[0, trees.column[0]] = trees.threshold[0]
    assert trees.predict(person)[0, 0, 0] == trees.value[trees.left[0]]
    person[0, trees.column[0]] = np.nextafter(trees.threshold[0], np.inf)
    assert trees.predict(person)[0, 0, 0] == trees.value[trees.right[0]]


def test_every_model_may_have_its_own_picture_of_a_person(grow_trees: Grow, rng: np.random.Generator) -> None:
    trees = grow_trees(rng, n_models=4)
    pictures = rng.standard_normal((4, 5))
    expected = [by_walking(trees, pictures)[model, model] for model in range(4)]
    assert trees.predict_one(pictures) == pytest.approx(np.array(expected))
    assert trees.predict_one(pictures[:1]) == pytest.approx(by_walking(trees, pictures[:1])[0])


def test_in_one_arm_questions_about_the_arm_have_their_answer(grow_trees: Grow, rng: np.random.Generator) -> None:
    trees = grow_trees(rng, n_trees=10, n_leaves=8)
    for arm in range(2):
        left, right, first = arm_children(trees, arm)
        inner = trees.column >= 0
        for children in (left[inner], right[inner], first[trees.tree_start[:-1]]):
            assert (trees.column[children] < trees.n_inputs).all()


def test_the_inputs_asked_about_are_used(grow_trees: Grow, rng: np.random.Generator) -> None:
    trees = grow_trees(rng, n_inputs=50, n_trees=2, n_leaves=4)
    asked = set(trees.column[(trees.column >= 0) & (trees.column < 50)].tolist())
    assert set(np.flatnonzero(trees.is_used).tolist()) == asked
    assert 0 < len(asked) < 50


def test_trees_that_would_be_walked_in_a_ring_are_refused(grow_trees: Grow, rng: np.random.Generator) -> None:
    trees = grow_trees(rng, n_trees=2)
    back, shared, next_tree = trees.left.copy(), trees.left.copy(), trees.right.copy()
    back[trees.left[0]], back[0] = 0, 0
    shared[0] = trees.right[0]
    next_tree[0] = trees.tree_start[1]
    for change in ({"left": back}, {"left": shared}, {"right": next_tree}):
        with pytest.raises(ModelBundleError, match="follow their parents"):
            replace(trees, **change)


@pytest.mark.parametrize("child", [10**6, -(10**6)])
def test_leaves_that_lead_somewhere_are_refused(grow_trees: Grow, rng: np.random.Generator, child: int) -> None:
    trees = grow_trees(rng)
    for side in ("left", "right"):
        with pytest.raises(ModelBundleError, match="leaf leads nowhere"):
            replace(trees, **{side: np.where(trees.column < 0, child, getattr(trees, side))})


def test_arrays_that_do_not_fit_are_refused(grow_trees: Grow, rng: np.random.Generator) -> None:
    trees = grow_trees(rng)
    unknown = np.where(trees.column >= 0, 6, trees.column)
    changes = [
        ({"column": unknown}, "columns that do not exist"),
        ({"tree_start": trees.tree_start[:-1]}, "without gaps"),
        ({"model_start": np.array([0, 3])}, "without gaps"),
        ({"threshold": trees.threshold[:-1]}, "threshold of shape"),
        ({"value": np.where(trees.value == trees.value[-1], np.inf, trees.value)}, "not finite"),
        ({"n_passing": trees.n_passing[:1]}, "n_passing of shape"),
    ]
    for change, message in changes:
        with pytest.raises(ModelBundleError, match=message):
            replace(trees, **change)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from math import factorial

import numpy as np
import pytest
from numpy.typing import NDArray

from predictor.errors import ModelBundleError
from predictor.model.tree_arrays import TreeArrays, arm_children
from predictor.model.tree_shap import LeafPlayers, variance_of_splits

Grow = Callable[..., TreeArrays]
Array = NDArray[np.float64]


def expected(trees: TreeArrays, node: int, person: Array, told: frozenset[int], arm: int) -> float:
    """Expectation below a node when only some inputs are told, by the counts at the nodes."""
    column = int(trees.column[node])
    if column < 0:
        return float(trees.value[node])
    left, right, _ = arm_children(trees, arm)
    sides = (int(left[node]), int(right[node]))
    if column in told:
        return expected(trees, sides[int(person[column] > trees.threshold[node])], person, told, arm)
    counts = [trees.n_passing[arm, side] for side in sides]
    found = [expected(trees, side, person, told, arm) for side in sides]
    return float(np.average(found, weights=counts))


def shapley(trees: TreeArrays, person: Array, arm: int) -> tuple[float, Array]:
    """Base value and Shapley values by all coalitions."""
    players, n = range(trees.n_inputs), trees.n_inputs
    roots = arm_children(trees, arm)[2][trees.tree_start[:-1]]

    def worth(told: frozenset[int]) -> float:
        return sum(expected(trees, int(root), person, told, arm) for root in roots)

    found = np.zeros(n)
    for player in players:
        others = [one for one in players if one != player]
        for size in range(n):
            for coalition in combinations(others, size):
                weight = factorial(size) * factorial(n - 1 - size) / factorial(n)
                found[player] += weight * (worth(frozenset(coalition) | {player}) - worth(frozenset(coalition)))
    return worth(frozenset()), found


@pytest.mark.parametrize(("n_arms", "n_leaves"), [(1, 3), (2, 6), (2, 12)])
def test_contributions_are_shapley_values_by_all_coalitions(
    grow_trees: Grow, rng: np.random.Generator, n_arms: int, n_leaves: int
) -> None:
    trees = grow_trees(rng, n_arms=n_arms, n_trees=3, n_leaves=n_leaves)
    for arm in range(n_arms):
        players, person = LeafPlayers.of(trees, arm), rng.standard_normal(5)
        base, values = shapley(trees, person, arm)
        assert players.base[0] == pytest.approx(base, abs=1e-12)
        assert players.contributions(person)[0] == pytest.approx(values, abs=1e-12)


def test_contributions_add_up_on_deep_trees(grow_trees: Grow, rng: np.random.Generator) -> None:
    trees = grow_trees(rng, n_inputs=30, n_trees=5, n_leaves=60, n_people=2000)
    for arm in range(2):
        players = LeafPlayers.of(trees, arm)
        for person in rng.standard_normal((10, 30)):
            total = players.base + players.contributions(person).sum(axis=1)
            assert total == pytest.approx(trees.predict(person[np.newaxis])[0, :, arm], abs=1e-10)


def test_every_model_is_explained_by_its_own_trees(grow_trees: Grow, rng: np.random.Generator) -> None:
    trees = grow_trees(rng, n_models=3, n_trees=2)
    person = rng.standard_normal(5)
    together = LeafPlayers.of(trees, 1).contributions(person)
    for model in range(3):
        nodes = slice(trees.tree_start[2 * model], trees.tree_start[2 * model + 2])
        alone = replace(trees, value=np.where(_is_in(trees, nodes), trees.value, 0.0))
        found = LeafPlayers.of(alone, 1)
        assert together[model] == pytest.approx(found.contributions(person)[model])
        assert not np.delete(found.contributions(person), model, axis=0).any()


def test_trees_that_are_a_leaf_move_nobody(grow_trees: Grow, rng: np.random.Generator) -> None:
    trees = grow_trees(rng, n_leaves=1)
    players = LeafPlayers.of(trees, 0)
    assert players.contributions(np.zeros(5)).tolist() == [[0.0] * 5]
    assert players.base == pytest.approx([trees.value.sum()])


def test_contributions_need_people_at_the_nodes(grow_trees: Grow, rng: np.random.Generator) -> None:
    trees = grow_trees(rng)
    with pytest.raises(ModelBundleError, match="counted at their nodes"):
        LeafPlayers.of(replace(trees, n_passing=trees.n_passing[:0]), 0)
    nobody = replace(trees, n_passing=np.zeros_like(trees.n_passing))
    with pytest.raises(ModelBundleError, match="at every node"):
        LeafPlayers.of(nobody, 0)


def test_the_variance_that_splits_take_is_that_of_the_leaves_of_a_single_tree(
    grow_trees: Grow, rng: np.random.Generator
) -> None:
    trees = grow_trees(rng, n_arms=1, n_trees=1, n_leaves=12)
    is_leaf = trees.column < 0
    weights, values = trees.n_passing[0, is_leaf], trees.value[is_leaf]
    spread = np.average((values - np.average(values, weights=weights)) ** 2, weights=weights)
    assert variance_of_splits(trees, 0).sum() == pytest.approx(spread)
    assert (variance_of_splits(trees, 0) > 0).tolist() == trees.is_used.tolist()


def _is_in(trees: TreeArrays, nodes: slice) -> NDArray[np.bool_]:
    numbers = np.arange(len(trees.column))
    return np.asarray((numbers >= nodes.start) & (numbers < nodes.stop))

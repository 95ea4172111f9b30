"""Exact Shapley values of sums of trees, from the training people counted at their nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ModelBundleError
from predictor.model.tree_arrays import LEAF, TreeArrays, arm_children

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LeafPlayers:
    """Every leaf of the trees of one arm as a game among the inputs on its path, ready to be asked about a person.

    A leaf gives its value times, for every input on its path, 1 or 0 for a person whose value leads there or elsewhere,
    and, while the input is not told, the share of the training people who took the same turns at its nodes. That is
    the path-dependent expectation of TreeSHAP. It needs counts and no background of training people, whose rows a
    bundle should not hold.

    The Shapley value of input i in a leaf with the inputs j is

        value * (told_i - share_i) * integral from 0 to 1 of the product over j other than i of
                                     (t * told_j + (1 - t) * share_j) dt,

    since the integral of t^s (1 - t)^(n - 1 - s) is s! (n - 1 - s)! / n!, the weight of a coalition of s others. The
    integrand is a polynomial of degree n - 1, so Gauss-Legendre nodes give it exactly.

    References
    ----------
    Lundberg et al. 2020, Nature Machine Intelligence 2:56-67; Owen 1972, Management Science 18:64-79 (the integral);
    Bifet, Read and Xu 2022, Linear TreeSHAP, NeurIPS 35.
    """

    n_inputs: int
    base: Array  # (n_models,), mean over the training people, all in this arm
    column: NDArray[np.intp]  # (n_entries,), input
    above: Array  # (n_entries,), who has more than this and
    up_to: Array  # (n_entries,), at most this is on the way to the leaf
    share: Array  # (n_entries,)
    leaf: NDArray[np.intp]  # (n_entries,)
    leaf_start: NDArray[np.intp]  # (n_leaves,), first entry
    told: Array  # (n_nodes, n_entries): t + (1 - t) * share
    untold: Array  # (n_nodes, n_entries): (1 - t) * share
    weight: Array  # (n_nodes, n_leaves): quadrature weight * value of the leaf
    slot: NDArray[np.intp]  # (n_entries,), model * n_inputs + input

    @classmethod
    def of(cls, trees: TreeArrays, arm: int) -> LeafPlayers:
        """Collect the paths of one arm.

        Raises
        ------
        ModelBundleError
            If nobody was counted at the nodes, or nobody passes one that is reached.
        """
        if not trees.is_counted:
            raise ModelBundleError("contributions of trees need training people counted at their nodes.")
        steps = _Steps.of(trees, arm)
        leaf, column, above, up_to, share = steps.merged(trees.n_inputs)
        leaf_nodes, number = np.unique(leaf, return_inverse=True)
        start = np.flatnonzero(np.diff(leaf, prepend=-1))
        most = int(np.diff(np.append(start, len(leaf))).max(initial=1))
        nodes, weights = np.polynomial.legendre.leggauss((most + 1) // 2)
        t = (nodes[:, np.newaxis] + 1) / 2
        model = steps.model[leaf_nodes]
        return cls(
            n_inputs=trees.n_inputs,
            base=steps.expected_values(trees),
            column=column.astype(np.intp),
            above=above,
            up_to=up_to,
            share=share,
            leaf=number.astype(np.intp),
            leaf_start=start.astype(np.intp),
            told=t + (1 - t) * share,
            untold=(1 - t) * share,
            weight=weights[:, np.newaxis] / 2 * trees.value[leaf_nodes],
            slot=(model[number] * trees.n_inputs + column).astype(np.intp),
        )

    def contributions(self, inputs: Array) -> Array:
        """Shapley values of one person's inputs in every model.

        Parameters
        ----------
        inputs
            Imputed inputs, shape (n_inputs,).

        Returns
        -------
        ndarray of shape (n_models, n_inputs)
            In the outcome's unit; with `base` they add up to the sum of the trees.
        """
        n_models = len(self.base)
        if not len(self.leaf):
            return np.zeros((n_models, self.n_inputs))
        value = inputs.take(self.column)
        is_told = (value > self.above) & (value <= self.up_to)
        factor = np.where(is_told, self.told, self.untold)
        product = np.multiply.reduceat(factor, self.leaf_start, axis=1) * self.weight
        integral = np.einsum("qe,qe->e", product.take(self.leaf, axis=1), 1 / factor)
        found = (is_told - self.share) * integral
        sums = np.bincount(self.slot, weights=found, minlength=n_models * self.n_inputs)
        return np.asarray(sums.reshape(n_models, self.n_inputs))


def variance_of_splits(trees: TreeArrays, arm: int) -> Array:
    """How much the questions about each input take from the squared deviations of the trees, everyone in one arm.

    Returns
    -------
    ndarray of shape (n_inputs,)
        Mean over the training people, squared outcome units, summed over the trees of all models.
    """
    left, right, first = arm_children(trees, arm)
    passing, mean = trees.n_passing[arm].astype(np.float64), trees.value.copy()
    found = np.zeros(trees.n_inputs)
    root = first[np.repeat(trees.tree_start[:-1], np.diff(trees.tree_start))]
    # Children stand after their parents, so going backwards their means are known.
    for node in np.flatnonzero((trees.column != LEAF) & (trees.column < trees.n_inputs) & (passing > 0))[::-1]:
        sides = np.array([left[node], right[node]])
        weights = passing[sides] / passing[node]
        mean[node] = weights @ mean[sides]
        found[trees.column[node]] += passing[node] / passing[root[node]] * (weights @ (mean[sides] - mean[node]) ** 2)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Parent of every node that is reached in one arm, and the share of those at the parent who go on to the node."""

    parent: Indices  # (n_nodes,), -1 at roots and where nobody gets
    is_left: NDArray[np.bool_]
    share: Array
    is_reached: NDArray[np.bool_]
    model: Indices  # (n_nodes,)
    trees: TreeArrays

    @classmethod
    def of(cls, trees: TreeArrays, arm: int) -> _Steps:
        n_nodes, n_passing = len(trees.column), trees.n_passing[arm]
        left, right, first = arm_children(trees, arm)
        parent, is_left = np.full(n_nodes, -1), np.zeros(n_nodes, dtype=bool)
        is_reached = np.zeros(n_nodes, dtype=bool)
        level = first[trees.tree_start[:-1]]
        while len(level):
            is_reached[level] = True
            inner = level[trees.column[level] != LEAF]
            parent[left[inner]] = parent[right[inner]] = inner
            is_left[left[inner]] = True
            level = np.concatenate([left[inner], right[inner]])
        if (n_passing[is_reached] < 1).any():
            raise ModelBundleError("expected training people at every node of a tree.")
        share = np.where(parent >= 0, n_passing / np.maximum(n_passing[parent], 1), 1.0)
        model = np.repeat(trees.model_of_tree, np.diff(trees.tree_start))
        return cls(parent, is_left, share, is_reached, model, trees)

    @property
    def leaves(self) -> Indices:
        """Leaves that are reached."""
        return np.flatnonzero(self.is_reached & (self.trees.column == LEAF))

    def merged(self, n_inputs: int) -> tuple[Indices, Indices, Array, Array, Array]:
        """Leaf, input, interval and share of everything asked on the way to a leaf, once per input; sorted by leaf."""
        leaf, node, column, above, up_to, share = self.leaves, self.leaves, [], [], [], []
        leaves = []
        while len(node):
            is_on = self.parent[node] >= 0
            leaf, node = leaf[is_on], node[is_on]
            up = self.parent[node]
            threshold, went_left = self.trees.threshold[up], self.is_left[node]
            leaves.append(leaf)
            column.append(self.trees.column[up])
            above.append(np.where(went_left, -np.inf, threshold))
            up_to.append(np.where(went_left, threshold, np.inf))
            share.append(self.share[node])
            node = up
        key = np.concatenate(leaves) * n_inputs + np.concatenate(column)
        order = np.argsort(key, kind="stable")
        start = np.flatnonzero(np.diff(key[order], prepend=-1))
        first = key[order][start]
        if not len(start):
            return first, first, np.empty(0), np.empty(0), np.empty(0)
        return (
            first // n_inputs,
            first % n_inputs,
            np.maximum.reduceat(np.concatenate(above)[order], start),
            np.minimum.reduceat(np.concatenate(up_to)[order], start),
            np.multiply.reduceat(np.concatenate(share)[order], start),
        )

    def expected_values(self, trees: TreeArrays) -> Array:
        """Mean of every model's trees over its training people, shape (n_models,)."""
        reach = np.ones(len(self.leaves))
        node = self.leaves
        while (node >= 0).any():
            reach *= np.where(node >= 0, self.share[node], 1.0)
            node = np.where(node >= 0, self.parent[node], -1)
        weights = trees.value[self.leaves] * reach
        return np.asarray(np.bincount(self.model[self.leaves], weights=weights, minlength=trees.n_models))

"""Regression trees of one or many models as plain arrays, and which leaf a person falls into."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ModelBundleError
from predictor.model.leaf_questions import MAX_STEPS, LeafQuestions, questions_of
from predictor.model.linear_model import check_arrays

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

LEAF = -1  # in place of a leaf's column


@dataclass(frozen=True, slots=True, eq=False)
class TreeArrays:
    """Trees one after another, those of one model side by side; a model's response is the sum over its trees.

    Model m owns the trees `model_start[m]` to `model_start[m + 1]`, tree t the nodes `tree_start[t]` to
    `tree_start[t + 1]`, its root first. At a node, who has at most `threshold` in `column` goes to `left`, all others
    to `right`. Columns are the inputs in their own units, then the columns by which the design tells arms apart.
    Inputs are imputed before they come here, so a value is never missing at a node and no direction is kept for it.
    """

    n_inputs: int
    arm_values: Array  # (n_arms, n_arm_columns), what the arm columns hold in each arm
    model_start: Indices  # (n_models + 1,), numbers of trees
    tree_start: Indices  # (n_trees + 1,), numbers of nodes
    column: Indices  # (n_nodes,), -1 at a leaf
    threshold: Array  # (n_nodes,), the column's unit; 0 at a leaf
    left: Indices  # (n_nodes,), numbers of nodes; 0 at a leaf
    right: Indices  # (n_nodes,)
    value: Array  # (n_nodes,), what a leaf adds to the response, the outcome's unit; 0 at other nodes
    # (n_arms, n_nodes): training people of the node's model who pass, each taken to be in that arm; or (0, n_nodes)
    # where they were not counted, and so contributions cannot be told.
    n_passing: Indices
    questions: LeafQuestions = field(init=False, repr=False)  # follows from the above; every answer needs it

    def __post_init__(self) -> None:
        n_nodes, shape = len(self.column), self.arm_values.shape
        if n_nodes * shape[0] > MAX_STEPS:
            raise ModelBundleError(f"expected at most {MAX_STEPS} nodes of trees, counted in every arm.")
        check_arrays(self, {name: (n_nodes,) for name in ("threshold", "left", "right", "value")})
        check_arrays(self, {"arm_values": shape, "n_passing": (shape[0] if len(self.n_passing) else 0, n_nodes)})
        _check_starts(self.tree_start, n_nodes, at_least=1)
        _check_starts(self.model_start, len(self.tree_start) - 1, at_least=0)
        self._check_nodes()
        object.__setattr__(self, "questions", _questions_of(self))

    @property
    def n_models(self) -> int:
        """Number of models."""
        return len(self.model_start) - 1

    @property
    def n_arms(self) -> int:
        """Number of arms."""
        return len(self.arm_values)

    @property
    def n_trees(self) -> int:
        """Number of trees of all models."""
        return len(self.tree_start) - 1

    @property
    def is_counted(self) -> bool:
        """Whether training people were counted at the nodes."""
        return len(self.n_passing) > 0

    @property
    def n_bytes(self) -> int:
        """Size of the arrays, bytes."""
        arrays = (getattr(self, one.name) for one in fields(self) if one.init and one.name != "n_inputs")
        return sum(array.nbytes for array in arrays)

    @property
    def model_of_tree(self) -> Indices:
        """Number of the model that owns each tree, shape (n_trees,)."""
        return np.repeat(np.arange(self.n_models), np.diff(self.model_start))

    @property
    def is_used(self) -> NDArray[np.bool_]:
        """Whether any node asks for an input, shape (n_inputs,)."""
        found = np.zeros(self.n_inputs, dtype=bool)
        found[self.column[(self.column >= 0) & (self.column < self.n_inputs)]] = True
        return found

    def _check_nodes(self) -> None:
        """Check that every node is reached at most once, so that walking ends."""
        inner = np.flatnonzero(self.column != LEAF)
        if (self.column < LEAF).any() or (self.column >= self.n_inputs + self.arm_values.shape[1]).any():
            raise ModelBundleError("a tree asks for columns that do not exist.")
        is_leaf = self.column == LEAF
        if self.left[is_leaf].any() or self.right[is_leaf].any():
            raise ModelBundleError("a leaf leads nowhere, so its children must be 0.")
        start = self.tree_start[np.searchsorted(self.tree_start, inner, side="right") - 1]
        stop = self.tree_start[np.searchsorted(self.tree_start, inner, side="right")]
        children = np.concatenate([self.left[inner], self.right[inner]])
        # A child stands after its parent, so no path can return; and has one parent only.
        is_after = (children > np.tile(inner, 2)) & (children > np.tile(start, 2)) & (children < np.tile(stop, 2))
        if not is_after.all() or len(np.unique(children)) != len(children):
            raise ModelBundleError("the nodes of a tree must follow their parents, each of them one.")

    def predict(self, inputs: Array) -> Array:
        """Sum of every model's trees in every arm.

        Parameters
        ----------
        inputs
            Imputed inputs, shape (n_people, n_inputs).

        Returns
        -------
        ndarray of shape (n_people, n_models, n_arms)
            In the outcome's unit.
        """
        return np.array([self.predict_one(one[np.newaxis]) for one in inputs]).reshape(-1, self.n_models, self.n_arms)

    def predict_one(self, inputs: Array) -> Array:
        """Sum of every model's trees for one person, of whom every model may have its own picture.

        Parameters
        ----------
        inputs
            Imputed inputs, shape (1, n_inputs), or (n_models, n_inputs) where the models impute differently.

        Returns
        -------
        ndarray of shape (n_models, n_arms)
            In the outcome's unit.
        """
        questions, n_slots = self.questions, self.n_arms + 1
        row_start = questions.slot % self.n_models * self.n_inputs if len(inputs) > 1 else None
        leaf_value = questions.leaf_values(inputs.ravel(), row_start)
        sums = np.bincount(questions.slot, weights=leaf_value, minlength=self.n_models * n_slots)
        found = sums.reshape(n_slots, self.n_models) + questions.constant
        return np.asarray((found[1:] + found[0]).T)


def arm_children(trees: TreeArrays, arm: int) -> tuple[Indices, Indices, Indices]:
    """Left and right of every node when everyone is in this arm.

    Returns
    -------
    left, right
        Shape (n_nodes,): the next nodes that ask for an input, or are leaves.
    first
        Shape (n_nodes,): the node itself, or the next one that does not ask for the arm.
    """
    first = np.arange(len(trees.column))
    asks = np.flatnonzero(trees.column >= trees.n_inputs)
    is_left = trees.arm_values[arm][trees.column[asks] - trees.n_inputs] <= trees.threshold[asks]
    # Children stand after their parents, so going backwards each is settled before it is asked for.
    for node, child in zip(asks[::-1], np.where(is_left, trees.left[asks], trees.right[asks])[::-1], strict=True):
        first[node] = first[child]
    return first[trees.left], first[trees.right], first


def _questions_of(trees: TreeArrays) -> LeafQuestions:
    """Prepare the trees to be asked about people.

    A tree that never asks for the arm is asked once for all arms (slot 0), any other once per arm, its questions about
    the arm answered (slot of the arm + 1); for one row of numbers per arm, nodes of arm a are moved up a times.
    """
    n_nodes, roots, n_models = len(trees.column), trees.tree_start[:-1], trees.n_models
    asks = np.logical_or.reduceat(trees.column >= trees.n_inputs, roots)
    root, slot = [roots[~asks]], [trees.model_of_tree[~asks]]
    left, right = [], []
    for arm in range(trees.n_arms):
        to_left, to_right, first = arm_children(trees, arm)
        left.append(to_left + arm * n_nodes)
        right.append(to_right + arm * n_nodes)
        root.append(first[roots[asks]] + arm * n_nodes)
        slot.append(trees.model_of_tree[asks] + n_models * (arm + 1))
    return questions_of(
        root=np.concatenate(root),
        slot=np.concatenate(slot),
        n_models=n_models,
        n_slots=n_models * (trees.n_arms + 1),
        left=np.concatenate(left),
        right=np.concatenate(right),
        column=np.tile(trees.column, trees.n_arms),
        threshold=np.tile(trees.threshold, trees.n_arms),
        value=np.tile(trees.value, trees.n_arms),
    )


def _check_starts(starts: Indices, end: int, *, at_least: int) -> None:
    if len(starts) < 2 or starts[0] != 0 or starts[-1] != end or (np.diff(starts) < at_least).any():
        raise ModelBundleError("trees and models of an ensemble must lie one after another without gaps.")

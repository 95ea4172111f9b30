"""A fitted pipeline as plain arrays, whichever kind of model it ends in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.pipeline import Pipeline

from predictor.errors import TrainingError
from predictor.model.linear_model import LinearResponseModel
from predictor.model.response_design import ResponseDesign, arm_contrasts, linear_model_of, weighted_sum
from predictor.model.tree_arrays import LEAF, TreeArrays, arm_children
from predictor.model.tree_model import TreeResponseModel
from training.models.candidate_models import AddedToCovariates

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Doubles in the order of these whole numbers are in the order of their values.
_SIGN = np.int64(-(2**63))


def response_model_of(pipeline: Pipeline, raw_inputs: Floats) -> LinearResponseModel | TreeResponseModel:
    """Write a fitted pipeline as plain arrays that predict the same.

    Parameters
    ----------
    pipeline
        Fitted steps "design" (`ResponseDesign`) and "model": a linear one, or `AddedToCovariates` with a random forest
        or gradient-boosted trees.
    raw_inputs
        `ResponseDesign.raw_inputs` of the training people, shape (n_people, n_inputs); they are counted at the nodes.
    """
    model = pipeline.named_steps["model"]
    if not isinstance(model, AddedToCovariates) or model.is_linear:
        return linear_model_of(pipeline)
    design: ResponseDesign = pipeline.named_steps["design"]
    fitted = _NodeTable.of(model)
    effects = np.zeros(len(design.get_feature_names_out()))
    effects[list(model.unpenalised)] = model.covariate_effects_[1:]
    linear = weighted_sum(design, effects, float(model.covariate_effects_[0]) + fitted.constant)
    trees = _tree_arrays(fitted, design)
    return TreeResponseModel(
        linear=linear, trees=replace(trees, n_passing=people_at_nodes(trees, linear.impute(raw_inputs)))
    )


def thresholds_of_inputs(thresholds: Floats, centre: Floats, scale: Floats, *, is_single: bool) -> Floats:
    """Return thresholds in the inputs' own units at which exactly the same values turn left.

    A threshold moved back by `threshold * scale + centre` would send someone the other way whose value lies on it but
    for rounding, as the values of training people do. So each is the largest number that the trees themselves, asked
    about its standardised value, would send left; found by halving what lies between the smallest number and the
    largest.

    Parameters
    ----------
    thresholds
        Of standardised columns, finite.
    centre, scale
        Of the column of each threshold, same shape.
    is_single
        Whether the trees compare numbers of single precision, as scikit-learn's forests do.
    """
    limit = _rank(np.full(thresholds.shape, np.finfo(np.float64).max))
    lowest, highest = -limit, limit
    with np.errstate(over="ignore"):
        while (highest > lowest + 1).any():
            middle = (lowest & highest) + ((lowest ^ highest) >> 1)  # the mean; their sum would not fit
            standardised = (_number(middle) - centre) / scale
            compared = standardised.astype(np.float32).astype(np.float64) if is_single else standardised
            goes_left = compared <= thresholds
            lowest, highest = np.where(goes_left, middle, lowest), np.where(goes_left, highest, middle)
    return _number(lowest)


def people_at_nodes(trees: TreeArrays, inputs: Floats) -> Indices:
    """How many people pass each node when all of them are in one arm, shape (n_arms, n_nodes).

    Parameters
    ----------
    trees
        Trees of one model.
    inputs
        Imputed inputs, shape (n_people, n_inputs).
    """
    counts = np.zeros((trees.n_arms, len(trees.column)), dtype=np.int64)
    for arm in range(trees.n_arms):
        left, right, first = arm_children(trees, arm)
        node = np.tile(first[trees.tree_start[:-1]], (len(inputs), 1)).ravel()
        person = np.repeat(np.arange(len(inputs)), trees.n_trees)
        while len(node):
            counts[arm] += np.bincount(node, minlength=counts.shape[1])
            is_inner = trees.column[node] != LEAF
            node, person = node[is_inner], person[is_inner]
            is_left = inputs[person, trees.column[node]] <= trees.threshold[node]
            node = np.where(is_left, left[node], right[node])
    return counts


@dataclass(frozen=True, slots=True, eq=False)
class _NodeTable:
    """Nodes of fitted trees, numbered within their tree, thresholds on standardised columns."""

    n_nodes: Indices  # (n_trees,)
    column: Indices
    threshold: Floats
    left: Indices
    right: Indices
    value: Floats  # the outcome's unit
    constant: float
    is_single: bool

    @classmethod
    def of(cls, model: AddedToCovariates) -> _NodeTable:
        scale, fitted = model.outcome_scale_, model.model_
        constant, is_single = 0.0, isinstance(fitted, RandomForestRegressor)
        if fitted is None:  # covariates explain everything, so the one tree is a leaf of nothing
            trees = [(np.array([LEAF]), np.zeros(1), np.zeros(1, int), np.zeros(1, int), np.zeros(1))]
        elif isinstance(fitted, RandomForestRegressor):
            trees = list(_forest_trees(fitted))
        elif isinstance(fitted, HistGradientBoostingRegressor):
            constant = float(np.ravel(fitted._baseline_prediction)[0]) * scale
            trees = list(_boosted_trees(fitted))
        else:
            raise TrainingError(f"a {type(fitted).__name__} cannot be written as plain arrays.")
        column, threshold, left, right, value = (np.concatenate(parts) for parts in zip(*trees, strict=True))
        n_nodes = np.array([len(tree[0]) for tree in trees], dtype=np.int64)
        return cls(n_nodes, column, threshold, left, right, value * scale, constant, is_single)


def _forest_trees(forest: RandomForestRegressor) -> Iterator[tuple[Any, ...]]:
    for one in forest.estimators_:
        tree = one.tree_
        is_leaf = tree.children_left < 0
        yield (
            np.where(is_leaf, LEAF, tree.feature),
            np.where(is_leaf, 0.0, tree.threshold),
            np.where(is_leaf, 0, tree.children_left),
            np.where(is_leaf, 0, tree.children_right),
            np.where(is_leaf, np.ravel(tree.value), 0.0) / len(forest.estimators_),
        )


def _boosted_trees(boosting: HistGradientBoostingRegressor) -> Iterator[tuple[Any, ...]]:
    for (predictor,) in boosting._predictors:
        nodes = predictor.nodes
        is_leaf = nodes["is_leaf"].astype(bool)
        yield (
            np.where(is_leaf, LEAF, nodes["feature_idx"].astype(np.int64)),
            np.where(is_leaf, 0.0, nodes["num_threshold"]),
            np.where(is_leaf, 0, nodes["left"].astype(np.int64)),
            np.where(is_leaf, 0, nodes["right"].astype(np.int64)),
            np.where(is_leaf, nodes["value"], 0.0),
        )


def _tree_arrays(table: _NodeTable, design: ResponseDesign) -> TreeArrays:
    contrasts = arm_contrasts(design.covariates)
    # Columns of the arms come out of the design as they are.
    centre = np.append(design.centre_, np.zeros(contrasts.shape[1]))
    scale = np.append(design.scale_, np.ones(contrasts.shape[1]))
    start = np.append(0, np.cumsum(table.n_nodes))
    inner = np.flatnonzero(table.column != LEAF)
    if not np.isfinite(table.threshold[inner]).all():
        raise TrainingError("expected trees that ask for numbers, found one that asks what is missing.")
    before = np.repeat(start[:-1], table.n_nodes)[inner]
    threshold, left, right = np.zeros(start[-1]), np.zeros(start[-1], np.int64), np.zeros(start[-1], np.int64)
    asked = table.column[inner]
    threshold[inner] = thresholds_of_inputs(
        table.threshold[inner], centre[asked], scale[asked], is_single=table.is_single
    )
    left[inner], right[inner] = table.left[inner] + before, table.right[inner] + before
    return TreeArrays(
        n_inputs=len(design.input_names_),
        arm_values=contrasts,
        model_start=np.array([0, len(table.n_nodes)], dtype=np.int64),
        tree_start=start.astype(np.int64),
        column=table.column.astype(np.int64),
        threshold=threshold,
        left=left,
        right=right,
        value=table.value,
        n_passing=np.zeros((0, start[-1]), dtype=np.int64),
    )


def _rank(numbers: Floats) -> Indices:
    """Place of finite doubles among all of them; 0 for 0, negative below."""
    bits = numbers.view(np.int64)
    return np.where(bits >= 0, bits, _SIGN - bits)


def _number(rank: Indices) -> Floats:
    return np.where(rank >= 0, rank, _SIGN - rank).view(np.float64)

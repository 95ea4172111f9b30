"""A model of the response with trees: covariates as a weighted sum, and trees of what that leaves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from predictor.errors import ModelBundleError
from predictor.model.linear_model import LinearEnsemble, LinearResponseModel, check_arrays
from predictor.model.tree_arrays import TreeArrays
from predictor.model.tree_shap import LeafPlayers, variance_of_splits

Array = NDArray[np.float64]

# Errors of the inputs are stood for by this many people who differ from the measured one by as much; an answer that
# moves in steps has no derivative to work with.
N_NOISE_DRAWS = 200


@dataclass(frozen=True, slots=True, eq=False)
class TreeResponseModel:
    """Expected outcome in every arm: `linear`, which holds the covariates, plus the sum of the leaves reached.

    The trees take all inputs, with the arm among their questions. In one arm its questions have one answer, so a
    prediction for an arm, and its explanation, is that of the trees with these answers filled in.
    """

    linear: LinearResponseModel
    trees: TreeArrays  # of one model, people counted at the nodes
    # Follow from the above, prepared once since every answer needs them.
    players: tuple[LeafPlayers, ...] = field(init=False, repr=False)  # one per arm
    is_used: NDArray[np.bool_] = field(init=False, repr=False)  # (n_inputs,), whether it has influence in any arm

    def __post_init__(self) -> None:
        n_inputs, n_arms = len(self.linear.input_names), len(self.linear.arms)
        if (self.trees.n_inputs, self.trees.n_arms, self.trees.n_models) != (n_inputs, n_arms, 1):
            raise ModelBundleError(f"expected the trees of one model of {n_inputs} inputs and {n_arms} arms.")
        object.__setattr__(self, "players", tuple(LeafPlayers.of(self.trees, arm) for arm in range(n_arms)))
        object.__setattr__(self, "is_used", self.linear.is_used | self.trees.is_used)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Features, then covariates."""
        return self.linear.input_names

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms that are answered for; the first is the treatment of interest."""
        return self.linear.arms

    @property
    def influence(self) -> Array:
        """How far each input moves the expected outcome, root mean square over the training people, shape (n_inputs,).

        Of the weighted sum, the weight per standard deviation; of the trees, the root of what their questions about the
        input take from the squared deviations, summed; the larger of the arms.
        """
        of_trees = np.array([variance_of_splits(self.trees, arm) for arm in range(len(self.arms))])
        return np.asarray(np.sqrt(self.linear.coefficients**2 + of_trees).max(axis=0))

    def impute(self, inputs: Array) -> Array:
        """Fill in the missing inputs; same shape."""
        return self.linear.impute(inputs)

    def predict(self, inputs: Array) -> Array:
        """Outcome of every person in every arm: raw inputs (n_people, n_inputs) to (n_people, n_arms)."""
        filled = self.impute(inputs)
        return np.asarray(self.linear.predict(filled) + self.trees.predict(filled)[:, 0])

    def contributions(self, inputs: Array, arm_index: int, *, background_mean: Array) -> tuple[float, Array]:
        """Shapley values of one person's inputs in one arm: of the weighted sum in closed form, and of every tree.

        Parameters
        ----------
        inputs
            Raw inputs, shape (n_inputs,), NaN where missing.
        arm_index
            Number of the arm.
        background_mean
            Mean of the imputed inputs of the training people, shape (n_inputs,). The trees' reference are the training
            people themselves, counted at the nodes; see `LeafPlayers`.

        Returns
        -------
        base_value
            Mean expectation of the training people, all taken to be in this arm.
        contributions
            Shape (n_inputs,), the outcome's unit.
        """
        base, found = self.linear.contributions(inputs, arm_index, background_mean=background_mean)
        players = self.players[arm_index]
        return float(base + players.base[0]), found + players.contributions(self.impute(inputs))[0]

    def noise_variance(self, inputs: Array, standard_errors: Array, arm_index: int) -> float:
        """Variance of the expected outcome from independent normal errors of the inputs.

        Every noisy input takes the same `N_NOISE_DRAWS` equally probable values, each in an order of its own that is
        the same in every call (a Latin hypercube), so that equal visits get equal answers.

        References
        ----------
        McKay, Beckman and Conover 1979, Technometrics 21:239-245.
        """
        noisy = np.flatnonzero((standard_errors > 0) & self.is_used)
        if not len(noisy):
            return 0.0
        values = ndtri((np.arange(N_NOISE_DRAWS) + 0.5) / N_NOISE_DRAWS)
        order = np.random.default_rng(0).permuted(np.tile(values / values.std(), (len(noisy), 1)), axis=1).T
        people = np.tile(self.impute(inputs), (N_NOISE_DRAWS, 1))
        people[:, noisy] += order * standard_errors[noisy]
        return float(self.predict(people)[:, arm_index].var())


@dataclass(frozen=True, slots=True, eq=False)
class TreeEnsemble:
    """Models with trees of the same inputs and arms: those of the folds, or of the bootstrap samples."""

    linear: LinearEnsemble
    trees: TreeArrays
    impute_values: Array  # (n_models, n_inputs): every model fills in what its own training people had
    players: tuple[LeafPlayers, ...] = field(init=False, repr=False)  # one per arm; none where nobody was counted

    def __post_init__(self) -> None:
        shape = (self.linear.n_models, self.linear.n_inputs, self.linear.n_arms)
        if (self.trees.n_models, self.trees.n_inputs, self.trees.n_arms) != shape:
            raise ModelBundleError("expected trees of as many models, inputs and arms as their weighted sums.")
        check_arrays(self, {"impute_values": shape[:2]})
        n_explained = self.trees.n_arms if self.trees.is_counted else 0
        object.__setattr__(self, "players", tuple(LeafPlayers.of(self.trees, arm) for arm in range(n_explained)))

    @classmethod
    def of(cls, models: list[TreeResponseModel] | tuple[TreeResponseModel, ...], *, is_counted: bool) -> TreeEnsemble:
        """Put models together; with the counts at their nodes where their contributions are to be compared.

        Raises
        ------
        ModelBundleError
            If there are none, or they differ in inputs or arms.
        """
        return cls(
            linear=LinearEnsemble.of([model.linear for model in models]),
            trees=joined([model.trees for model in models], is_counted=is_counted),
            impute_values=np.stack([model.linear.impute_values for model in models]),
        )

    @property
    def n_models(self) -> int:
        """Number of models."""
        return self.linear.n_models

    @property
    def n_arms(self) -> int:
        """Number of arms."""
        return self.linear.n_arms

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return self.linear.n_inputs

    @property
    def n_bytes(self) -> int:
        """Size of the arrays that are kept in files, bytes."""
        return self.linear.n_bytes + self.trees.n_bytes + self.impute_values.nbytes

    def predict(self, inputs: Array) -> Array:
        """Outcome of one person by every model: raw inputs (n_inputs,) to (n_models, n_arms)."""
        is_missing = np.isnan(inputs)
        filled = np.where(is_missing, self.impute_values, inputs) if is_missing.any() else inputs[np.newaxis]
        return np.asarray(self.linear.predict(inputs) + self.trees.predict_one(filled))

    def contributions(self, imputed: Array, arm_index: int, *, background_mean: Array) -> Array | None:
        """Contributions by every model, shape (n_models, n_inputs); None where nobody was counted at the nodes.

        Parameters
        ----------
        imputed
            One person's inputs without gaps, shape (n_inputs,).
        arm_index, background_mean
            As for `TreeResponseModel.contributions`.
        """
        if not self.players:
            return None
        of_sums = self.linear.contributions(imputed, arm_index, background_mean=background_mean)
        return np.asarray(of_sums + self.players[arm_index].contributions(imputed))


def joined(parts: list[TreeArrays], *, is_counted: bool) -> TreeArrays:
    """Trees of several models one after another.

    Raises
    ------
    ModelBundleError
        If there are none, or they differ in inputs or arms.
    """
    if not parts or any((one.n_inputs, one.n_arms) != (parts[0].n_inputs, parts[0].n_arms) for one in parts):
        raise ModelBundleError("an ensemble needs trees of the same inputs and arms.")
    nodes_before = np.cumsum([0, *(len(one.column) for one in parts)])
    trees_before = np.cumsum([0, *(one.n_trees for one in parts)])
    counts = [one.n_passing if is_counted else one.n_passing[:0] for one in parts]
    return TreeArrays(
        n_inputs=parts[0].n_inputs,
        arm_values=parts[0].arm_values,
        model_start=_shifted([one.model_start for one in parts], trees_before),
        tree_start=_shifted([one.tree_start for one in parts], nodes_before),
        column=np.concatenate([one.column for one in parts]),
        threshold=np.concatenate([one.threshold for one in parts]),
        left=_moved([one.left for one in parts], parts, nodes_before),
        right=_moved([one.right for one in parts], parts, nodes_before),
        value=np.concatenate([one.value for one in parts]),
        n_passing=np.concatenate(counts, axis=1),
    )


def _moved(children: list[NDArray[np.int64]], parts: list[TreeArrays], before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Children by their new numbers; leaves keep a 0."""
    moved = zip(children, parts, before[:-1], strict=True)
    return np.concatenate([np.where(one.column >= 0, own + shift, 0) for own, one, shift in moved])


def _shifted(starts: list[NDArray[np.int64]], before: NDArray[np.int64]) -> NDArray[np.int64]:
    moved = [one[:-1] + shift for one, shift in zip(starts, before[:-1], strict=True)]
    return np.concatenate([*moved, before[-1:]])

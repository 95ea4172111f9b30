"""The trained thing: a linear model of the response as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ModelBundleError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LinearResponseModel:
    """Expected outcome in every arm as a weighted sum of imputed, standardised inputs.

    expected[arm] = intercept[arm] + sum over inputs of coefficients[arm] * (input - centre) / scale, where a missing
    input takes its `impute_values`. A model trained without arms has the single arm "all".
    """

    input_names: tuple[str, ...]  # features, then covariates
    impute_values: Array  # (n_inputs,), the inputs' own units
    centre: Array  # (n_inputs,)
    scale: Array  # (n_inputs,), above 0
    arms: tuple[str, ...]
    intercept: Array  # (n_arms,), the outcome's unit
    coefficients: Array  # (n_arms, n_inputs), outcome units per training standard deviation

    def __post_init__(self) -> None:
        n_inputs, n_arms = len(self.input_names), len(self.arms)
        shapes: dict[str, tuple[int, ...]] = {"impute_values": (n_inputs,), "centre": (n_inputs,), "scale": (n_inputs,)}
        shapes |= {"intercept": (n_arms,), "coefficients": (n_arms, n_inputs)}
        check_arrays(self, shapes)
        if not n_arms or len(set(self.arms)) != n_arms or len(set(self.input_names)) != n_inputs:
            raise ModelBundleError("expected at least one arm, and arms and inputs with distinct names.")
        if (self.scale <= 0).any():
            raise ModelBundleError("expected scales above 0.")

    def impute(self, inputs: Array) -> Array:
        """Fill in the missing inputs; same shape."""
        return np.where(np.isnan(inputs), self.impute_values, inputs)

    def predict(self, inputs: Array) -> Array:
        """Predict the outcome of every person in every arm.

        Parameters
        ----------
        inputs
            Raw inputs in the order of `input_names`, shape (n_people, n_inputs), NaN where missing.

        Returns
        -------
        ndarray of shape (n_people, n_arms)
            In the outcome's unit.
        """
        standardised = (self.impute(inputs) - self.centre) / self.scale
        return np.asarray(standardised @ self.coefficients.T + self.intercept)

    @property
    def weights(self) -> Array:
        """Outcome units per unit of each raw input, shape (n_arms, n_inputs)."""
        return np.asarray(self.coefficients / self.scale)

    @property
    def is_used(self) -> NDArray[np.bool_]:
        """Whether an input has any influence in any arm, shape (n_inputs,)."""
        return np.asarray((self.coefficients != 0).any(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class LinearEnsemble:
    """Many linear models of the same inputs and arms, of which only the non-zero columns are kept.

    The models lie one after another: model m owns the entries `model_start[m]` to `model_start[m + 1]` of the arrays
    of length n_entries. With 7,503 inputs of which a fold selects 40, that is 1/190 of the full matrices.
    """

    n_inputs: int
    model_start: NDArray[np.int64]  # (n_models + 1,)
    input_index: NDArray[np.int64]  # (n_entries,)
    impute_values: Array  # (n_entries,)
    centre: Array  # (n_entries,)
    weights: Array  # (n_arms, n_entries), outcome units per unit of the raw input
    intercept: Array  # (n_arms, n_models)

    def __post_init__(self) -> None:
        n_entries, n_models = len(self.input_index), len(self.model_start) - 1
        n_arms = len(self.intercept)
        shapes: dict[str, tuple[int, ...]] = {"impute_values": (n_entries,), "centre": (n_entries,)}
        shapes |= {"weights": (n_arms, n_entries), "intercept": (n_arms, n_models)}
        check_arrays(self, shapes)
        starts = self.model_start
        if n_models < 1 or starts[0] != 0 or starts[-1] != n_entries or (np.diff(starts) < 0).any():
            raise ModelBundleError("the models of an ensemble must lie one after another without gaps.")
        if n_entries and not (self.input_index.min() >= 0 and self.input_index.max() < self.n_inputs):
            raise ModelBundleError("an ensemble refers to inputs that do not exist.")

    @classmethod
    def of(cls, models: list[LinearResponseModel] | tuple[LinearResponseModel, ...]) -> LinearEnsemble:
        """Keep what matters of these models.

        Raises
        ------
        ModelBundleError
            If there are none, or they differ in inputs or arms.
        """
        if not models or any((m.input_names, m.arms) != (models[0].input_names, models[0].arms) for m in models):
            raise ModelBundleError("an ensemble needs models of the same inputs and arms.")
        used = [np.flatnonzero(model.is_used) for model in models]
        return cls(
            n_inputs=len(models[0].input_names),
            model_start=np.cumsum([0, *(len(index) for index in used)], dtype=np.int64),
            input_index=np.concatenate(used).astype(np.int64),
            impute_values=np.concatenate([m.impute_values[i] for m, i in zip(models, used, strict=True)]),
            centre=np.concatenate([m.centre[i] for m, i in zip(models, used, strict=True)]),
            weights=np.concatenate([m.weights[:, i] for m, i in zip(models, used, strict=True)], axis=1),
            intercept=np.stack([model.intercept for model in models], axis=1),
        )

    @property
    def n_models(self) -> int:
        """Number of models."""
        return len(self.model_start) - 1

    @property
    def n_arms(self) -> int:
        """Number of arms."""
        return len(self.intercept)

    @property
    def n_bytes(self) -> int:
        """Memory and file size of the arrays, bytes."""
        return sum(value.nbytes for value in (getattr(self, f.name) for f in fields(self)) if hasattr(value, "nbytes"))

    def predict(self, inputs: Array) -> Array:
        """Predict the outcome of one person by every model in every arm.

        Parameters
        ----------
        inputs
            Raw inputs, shape (n_inputs,), NaN where missing.

        Returns
        -------
        ndarray of shape (n_models, n_arms)
        """
        own = inputs[self.input_index]
        deviation = np.where(np.isnan(own), self.impute_values, own) - self.centre
        model_of_entry = np.repeat(np.arange(self.n_models), np.diff(self.model_start))
        sums = [np.bincount(model_of_entry, weights=row * deviation, minlength=self.n_models) for row in self.weights]
        return np.asarray((np.array(sums) + self.intercept).T)

    def weights_of(self, arm_index: int) -> Array:
        """Weights of every model on every raw input in one arm, zeros filled in, shape (n_models, n_inputs)."""
        dense = np.zeros((self.n_models, self.n_inputs))
        model_of_entry = np.repeat(np.arange(self.n_models), np.diff(self.model_start))
        dense[model_of_entry, self.input_index] = self.weights[arm_index]
        return dense


def check_arrays(record: object, shapes: dict[str, tuple[int, ...]]) -> None:
    """Check that arrays of a record have their shapes and hold finite numbers.

    Raises
    ------
    ModelBundleError
        If one does not.
    """
    for name, shape in shapes.items():
        array = getattr(record, name)
        if array.shape != shape:
            raise ModelBundleError(f"expected {name} of shape {shape}, found {array.shape}.")
        if not np.isfinite(array).all():
            raise ModelBundleError(f"{name} holds values that are not finite.")

"""The trained thing: a linear model of the response as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
    # Follow from the above, prepared once since every answer needs them.
    weights: Array = field(init=False, repr=False)  # (n_arms, n_inputs), outcome units per unit of the raw input
    is_used: NDArray[np.bool_] = field(init=False, repr=False)  # (n_inputs,), whether it has influence in any arm

    def __post_init__(self) -> None:
        n_inputs, n_arms = len(self.input_names), len(self.arms)
        shapes: dict[str, tuple[int, ...]] = {"impute_values": (n_inputs,), "centre": (n_inputs,), "scale": (n_inputs,)}
        shapes |= {"intercept": (n_arms,), "coefficients": (n_arms, n_inputs)}
        check_arrays(self, shapes)
        if not n_arms or len(set(self.arms)) != n_arms or len(set(self.input_names)) != n_inputs:
            raise ModelBundleError("expected at least one arm, and arms and inputs with distinct names.")
        if (self.scale <= 0).any():
            raise ModelBundleError("expected scales above 0.")
        keep_prepared(
            self, {"weights": self.coefficients / self.scale, "is_used": (self.coefficients != 0).any(axis=0)}
        )

    @property
    def influence(self) -> Array:
        """Largest weight over the arms, outcome units per training standard deviation, shape (n_inputs,)."""
        return np.asarray(np.abs(self.coefficients).max(axis=0))

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
        # Not a BLAS product: its last digits would depend on the number of threads, and an answer's bytes on the host.
        return np.asarray(np.einsum("pi,ai->pa", standardised, self.coefficients) + self.intercept)

    def contributions(self, inputs: Array, arm_index: int, *, background_mean: Array) -> tuple[float, Array]:
        """Linear SHAP values of one person in closed form.

        The weight times the distance from the training mean (interventional expectation; no input is taken to stand for
        another).

        Parameters
        ----------
        inputs
            Raw inputs, shape (n_inputs,), NaN where missing.
        arm_index
            Number of the arm.
        background_mean
            Mean of the imputed inputs of the training people, shape (n_inputs,).

        Returns
        -------
        base_value
            What is expected of the average training person.
        contributions
            Shape (n_inputs,), the outcome's unit.

        References
        ----------
        Lundberg and Lee 2017, NeurIPS 30, corollary 1; Strumbelj and Kononenko 2014, Knowl Inf Syst 41:647-665.
        """
        average = np.einsum("i,i->", (background_mean - self.centre) / self.scale, self.coefficients[arm_index])
        deviation = self.impute(inputs) - background_mean
        return float(average + self.intercept[arm_index]), np.asarray(self.weights[arm_index] * deviation)

    def noise_variance(self, inputs: Array, standard_errors: Array, arm_index: int) -> float:
        """Sum of (weight * standard error)^2 over the inputs, wherever the person lies.

        Parameters
        ----------
        inputs
            Not looked at: a linear model is as sensitive everywhere.
        standard_errors
            Shape (n_inputs,), the inputs' own units; 0 where there is no noise or none is known.
        arm_index
            Number of the arm.
        """
        return float(((self.weights[arm_index] * standard_errors) ** 2).sum())


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
    # Follow from the above: the inputs that any model uses, and the models as matrices of these.
    used_inputs: NDArray[np.int64] = field(init=False, repr=False)  # (n_used,)
    reference: Array = field(init=False, repr=False)  # (n_used,), about where the inputs lie
    at_reference: Array = field(init=False, repr=False)  # (n_arms * n_models,), prediction there
    used_weights: Array = field(init=False, repr=False)  # (n_arms * n_models, n_used)
    imputed_shift: Array = field(
        init=False, repr=False
    )  # (n_models, n_used), each model's imputed value less reference

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
        keep_prepared(self, self._matrices())

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
        """Size of the arrays that are kept in files, bytes."""
        kept = (self.model_start, self.input_index, self.impute_values, self.centre, self.weights, self.intercept)
        return sum(array.nbytes for array in kept)

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
        own = inputs[self.used_inputs]
        is_missing = np.isnan(own)
        has_gaps = bool(is_missing.any())
        deviation = np.where(is_missing, 0.0, own - self.reference) if has_gaps else own - self.reference
        sums = np.einsum("mu,u->m", self.used_weights, deviation) + self.at_reference
        by_arm = sums.reshape(self.n_arms, self.n_models)
        if has_gaps:
            lost = np.flatnonzero(is_missing)
            weights = self.used_weights[:, lost].reshape(self.n_arms, self.n_models, len(lost))
            by_arm += (weights * self.imputed_shift[:, lost]).sum(axis=2)
        return np.asarray(by_arm.T)

    def contributions(self, imputed: Array, arm_index: int, *, background_mean: Array) -> Array:
        """Weight times distance from the training mean by every model, shape (n_models, n_inputs).

        Parameters
        ----------
        imputed
            One person's inputs without gaps, shape (n_inputs,).
        arm_index
            Number of the arm.
        background_mean
            Mean of the imputed inputs of the training people, shape (n_inputs,).
        """
        used = self.used_inputs
        found = np.zeros((self.n_models, self.n_inputs))
        found[:, used] = self._used_weights_of(arm_index) * (imputed - background_mean)[used]
        return found

    def weights_of(self, arm_index: int) -> Array:
        """Weights of every model on every raw input in one arm, zeros filled in, shape (n_models, n_inputs)."""
        dense = np.zeros((self.n_models, self.n_inputs))
        dense[:, self.used_inputs] = self._used_weights_of(arm_index)
        return dense

    def _used_weights_of(self, arm_index: int) -> Array:
        return self.used_weights[arm_index * self.n_models : (arm_index + 1) * self.n_models]

    def _matrices(self) -> dict[str, NDArray[Any]]:
        """Fill zeros in for the inputs that other models of the ensemble use.

        Distances are taken from a reference among the training people, because a weight times a raw value far from 0
        would lose digits that a weight times a distance keeps.
        """
        used, column = np.unique(self.input_index, return_inverse=True)
        model = np.repeat(np.arange(self.n_models), np.diff(self.model_start))
        n_entries = np.bincount(column, minlength=len(used))
        reference = np.bincount(column, weights=self.centre, minlength=len(used)) / n_entries
        weights = np.zeros((self.n_arms, self.n_models, len(used)))
        weights[:, model, column] = self.weights
        imputed_shift = np.zeros((self.n_models, len(used)))
        imputed_shift[model, column] = self.impute_values - reference[column]
        shifted = self.weights * (reference[column] - self.centre)
        at_reference = np.array([np.bincount(model, weights=row, minlength=self.n_models) for row in shifted])
        return {
            "used_inputs": used,
            "reference": reference,
            "at_reference": (at_reference + self.intercept).ravel(),
            "used_weights": weights.reshape(self.n_arms * self.n_models, len(used)),
            "imputed_shift": imputed_shift,
        }


def keep_prepared(record: object, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Keep what follows from a frozen record's fields in fields of its own, write-protected: every answer shares it."""
    for name, array in arrays.items():
        array.setflags(write=False)
        object.__setattr__(record, name, array)


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

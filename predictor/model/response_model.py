"""What every kind of model must be able to do to be served, and what the models around it must."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class ResponseModel(Protocol):
    """Expected outcome in every arm, and what each input contributes to it.

    Implemented by plain arrays (`linear_model.py`, `tree_model.py`); nothing is unpickled. A model trained without arms
    has the single arm "all". Everything that does not depend on a person is prepared when the record is built.
    """

    @property
    def input_names(self) -> tuple[str, ...]:
        """Features, then learned features, then covariates."""

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms that are answered for; the first is the treatment of interest."""

    @property
    def is_used(self) -> NDArray[np.bool_]:
        """Whether an input has any influence in any arm, shape (n_inputs,)."""

    @property
    def influence(self) -> Array:
        """How far an input moves the expected outcome over the training people, shape (n_inputs,); to compare them."""

    def impute(self, inputs: Array) -> Array:
        """Fill in the missing inputs; same shape. NaN may stay where the model itself knows what to do with it."""

    def predict(self, inputs: Array) -> Array:
        """Outcome of every person in every arm: raw inputs (n_people, n_inputs) to (n_people, n_arms)."""

    def contributions(self, inputs: Array, arm_index: int, *, background_mean: Array) -> tuple[float, Array]:
        """Shapley values of one person's inputs in one arm.

        Parameters
        ----------
        inputs
            Raw inputs, shape (n_inputs,), NaN where missing.
        arm_index
            Number of the arm.
        background_mean
            Mean of the imputed inputs of the training people, shape (n_inputs,); models that keep a background of
            their own leave it aside.

        Returns
        -------
        base_value
            Expected outcome of the average training person in this arm.
        contributions
            Shape (n_inputs,), the outcome's unit; with the base value they add up to `predict`.
        """

    def noise_variance(self, inputs: Array, standard_errors: Array, arm_index: int) -> float:
        """Variance of the expected outcome from independent errors of the inputs.

        Parameters
        ----------
        inputs
            Raw inputs, shape (n_inputs,), NaN where missing.
        standard_errors
            Shape (n_inputs,), the inputs' own units; 0 where there is no noise or none is known.
        arm_index
            Number of the arm.
        """


class ModelEnsemble(Protocol):
    """Models of the same inputs and arms: those of the folds, or of the bootstrap samples."""

    @property
    def n_models(self) -> int:
        """Number of models."""

    @property
    def n_arms(self) -> int:
        """Number of arms."""

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""

    @property
    def n_bytes(self) -> int:
        """File size of the arrays, bytes."""

    def predict(self, inputs: Array) -> Array:
        """Outcome of one person by every model: raw inputs (n_inputs,) to (n_models, n_arms)."""

    def contributions(self, imputed: Array, arm_index: int, *, background_mean: Array) -> Array | None:
        """Contributions of every model's inputs in one arm, of which only the signs are compared.

        Parameters
        ----------
        imputed
            One person's inputs as the full model's `impute` leaves them, shape (n_inputs,).
        arm_index, background_mean
            As for `ResponseModel.contributions`.

        Returns
        -------
        ndarray of shape (n_models, n_inputs) or None
            None where these models are not kept, or not asked, for the sign of their contributions.
        """

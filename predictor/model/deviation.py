"""Hypo- and hyperconnectivity as a step of a pipeline: learned from controls only, made anew in every fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from predictor.errors import MissingColumnError
from predictor.model.learned_features import DEFAULT_THRESHOLD, learned_names, learned_values
from predictor.model.outcome_definition import Covariate
from predictor.model.reference_model import Deviations, fit_reference
from predictor.model.reliability import standard_error_column
from predictor.model.response_design import encoded_column

Array = NDArray[np.float64]


class ReferenceDeviation(TransformerMixin, BaseEstimator):
    """Append how far everyone is from what is expected of controls like them.

    Whoever passes through is judged, never learned from: the controls come with the constructor, so that no fold can
    hold patients back or let them in. Columns that come out: those that came in, then for every source
    `deviation_...` (z), then `hypoconnected_edges` and `hyperconnected_edges` (how many z lie below -threshold and
    above threshold) and the mean of all z. A source that someone lacks has no deviation; in counts and mean it stands
    as expected of a control: z 0, and a chance of either count of the threshold's tail probability.

    Parameters
    ----------
    controls
        One row per control, with columns of the sources and of the covariates.
    sources
        Measured features that are judged, as columns of `controls` and of what is transformed.
    covariates
        What the expectation depends on; see `reference_covariate`.
    threshold
        In standard deviations of the controls, above 0.

    Attributes
    ----------
    reference_model_
        The fitted `ReferenceModel`; its numbers also stand in `centre_`, `coefficients_` and `residual_variance_`.
    """

    def __init__(
        self,
        controls: pd.DataFrame,
        *,
        sources: tuple[str, ...],
        covariates: tuple[Covariate, ...] = (),
        threshold: float = DEFAULT_THRESHOLD,
    ) -> None:
        self.controls = controls
        self.sources = sources
        self.covariates = covariates
        self.threshold = threshold

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Learn what is expected of controls; `X` is not looked at.

        Raises
        ------
        TrainingError
            If the controls are too few, or do not vary in a feature.
        """
        return self._fit_on(self.controls)

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the table with the learned features appended, and with their standard errors if it holds some."""
        found = self.judge(X)
        names = learned_names(self.sources)
        learned = [learned_values(found.z, threshold=self.threshold)]
        errors = [standard_error_column(name) for name in self.sources]
        if all(name in X for name in errors):
            # Signals of one scan: the errors of edges that share a region are not independent, so the mean's is rough.
            of_z = np.abs(found.slope) * _numbers(X, errors)
            of_mean = np.sqrt(np.nansum(of_z**2, axis=1, keepdims=True)) / len(self.sources)
            is_known = np.isfinite(of_z).any(axis=1, keepdims=True)
            learned += [of_z, np.where(is_known, of_mean, np.nan)]
            names += tuple(standard_error_column(name) for name in (*names[: len(self.sources)], names[-1]))
        whole = pd.concat([X, pd.DataFrame(np.concatenate(learned, axis=1), index=X.index)], axis=1)
        # One header for all that passes through: the design looks names up once per header, not once per call.
        if not X.columns.is_(getattr(self, "_header", None)):
            self._header, self._header_out = X.columns, X.columns.append(pd.Index(names, dtype=object))
        whole.columns = self._header_out
        return whole

    def judge(self, X: pd.DataFrame) -> Deviations:
        """Compare everyone with what is expected of controls like them."""
        return self.reference_model_.judge(_numbers(X, self.sources), _columns(X, self.covariates))

    def _fit_on(self, table: pd.DataFrame) -> Self:
        self.reference_model_ = fit_reference(
            _numbers(table, self.sources),
            _columns(table, self.covariates),
            sources=self.sources,
            covariates=self.covariates,
        )
        self.centre_ = self.reference_model_.centre
        self.coefficients_ = self.reference_model_.coefficients
        self.residual_variance_ = self.reference_model_.residual_variance
        return self


def _numbers(table: pd.DataFrame, names: Sequence[str]) -> Array:
    positions = table.columns.get_indexer(pd.Index(names, dtype=object))
    absent = [name for name, position in zip(names, positions, strict=True) if position < 0]
    if absent:
        raise MissingColumnError(f"the table lacks {len(absent)} of {len(names)} columns: {absent[0]}.")
    first, is_run = int(positions[0]), bool((np.diff(positions) == 1).all())
    # Neighbouring columns of one kind are a view; folds ask for them thousands of times.
    chosen = table.iloc[:, first : first + len(names)] if is_run else table.iloc[:, positions]
    numbers = chosen.to_numpy()
    return numbers if numbers.dtype == np.float64 else chosen.to_numpy(dtype=np.float64, na_value=np.nan)


def _columns(table: pd.DataFrame, covariates: Sequence[Covariate]) -> Array:
    absent = [covariate.name for covariate in covariates if covariate.name not in table]
    if absent:
        raise MissingColumnError(f"the table lacks {len(absent)} of {len(covariates)} columns: {absent[0]}.")
    blocks = [encoded_column(covariate, table[covariate.name]) for covariate in covariates]
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(table), 0))

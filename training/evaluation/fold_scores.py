"""What every fold looked like: who trained, who was held out, how large the error was, what the tuning chose."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training.evaluation.nested_cv import OutOfFold


def fold_scores(predicted: OutOfFold) -> pd.DataFrame:
    """Return one row per repeat and fold, in the order in which they were fitted.

    Parameters
    ----------
    predicted
        Out-of-fold predictions of one model.

    Returns
    -------
    DataFrame
        `repeat`, `fold`, `n_train`, `n_test`; `mse` and `mae` in the outcome's unit (squared); `r2` against the
        training mean, missing where the held-out people all have it; then the tuning's choices, if there are any.
        R2 of a fold of few people scatters widely: it is shown to find odd folds, not to be averaged.
    """
    rows = [
        _score(predicted, repeat, int(fold))
        for repeat, folds in enumerate(predicted.fold_index)
        for fold in np.unique(folds)
    ]
    choices = predicted.choices if len(predicted.choices) == len(rows) else ({},) * len(rows)
    return pd.DataFrame([row | choice for row, choice in zip(rows, choices, strict=True)])


def _score(predicted: OutOfFold, repeat: int, fold: int) -> dict[str, float]:
    is_test = predicted.fold_index[repeat] == fold
    outcome = predicted.outcome[is_test]
    error = outcome - predicted.prediction[repeat, is_test]
    total = float(np.sum((outcome - predicted.training_mean[repeat, is_test]) ** 2))
    return {
        "repeat": repeat,
        "fold": fold,
        "n_train": int((~is_test).sum()),
        "n_test": int(is_test.sum()),
        "mse": float(np.mean(error**2)),
        "mae": float(np.mean(np.abs(error))),
        "r2": 1 - float(np.sum(error**2)) / total if total > 0 else float("nan"),
    }

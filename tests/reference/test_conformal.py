"""CV+ and jackknife+ intervals against MAPIE."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from predictor.model.out_of_fold import OutOfFoldResiduals
from training.evaluation.conformal import cv_plus_intervals
from training.evaluation.splits import train_and_test


@pytest.mark.parametrize("method", ["cv_plus", "jackknife_plus"])
@pytest.mark.parametrize("percent", [90, 80])
def test_intervals_are_those_of_mapie(spm_case, method: str, percent: int) -> None:
    case = spm_case("conformal_cv_plus")
    people, new = case.table("people.csv"), case.table("out_intervals.csv")
    known, outcome = people[["x1", "x2"]].to_numpy(), people["y"].to_numpy()
    folds = people["fold"].to_numpy() if method == "cv_plus" else np.arange(len(people))
    models = [LinearRegression().fit(known[train], outcome[train]) for train, _ in train_and_test(folds)]
    prediction = np.array([models[fold].predict(row[np.newaxis])[0] for fold, row in zip(folds, known, strict=True)])
    residuals = OutOfFoldResiduals(
        folds.astype(np.int64), np.zeros(len(folds), dtype=np.int64), prediction, outcome - prediction
    )
    of_new = np.stack([model.predict(new[["x1", "x2"]].to_numpy()) for model in models])
    expected = new[[f"{method}_{percent}_lower", f"{method}_{percent}_upper"]].to_numpy()
    assert cv_plus_intervals(of_new, residuals, level=percent / 100) == pytest.approx(expected, abs=1e-10)

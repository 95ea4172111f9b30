from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from predictor.errors import TrainingError
from training.evaluation.nested_cv import cross_validate
from training.evaluation.splits import leave_one_out
from training.models.estimators import TunedElasticNet


class CountingScaler(StandardScaler):
    """Remembers on how many rows each fit was made."""

    fits: list[int] = []  # noqa: RUF012 - shared on purpose, also by clones

    def fit(self, X: pd.DataFrame, y: object = None, sample_weight: object = None) -> CountingScaler:
        self.fits.append(len(X))
        return super().fit(X, y)


def test_nested_leave_one_out_chooses_and_predicts_as_r_glmnet(shared: Path) -> None:
    folder = shared / "reference" / "glmnet_n21p12"
    inputs = pd.read_csv(folder / "X.csv")
    outcome = pd.read_csv(folder / "y.csv")["y"].to_numpy()
    expected = pd.read_csv(folder / "out_tight_fixedgrid_nested.csv")
    estimator = TunedElasticNet(
        StandardScaler(), l1_ratios=(0.5,), n_alphas=100, smallest_alpha_fraction=1e-4, inner_folds="leave_one_out"
    )
    predicted = cross_validate(estimator, inputs, outcome, leave_one_out(21)[np.newaxis])
    chosen = [choice["alpha"] for choice in predicted.choices]
    assert chosen == pytest.approx(expected["lambda_min"].to_numpy(), rel=1e-9)
    assert predicted.prediction[0] == pytest.approx(expected["pred_lambda_min"].to_numpy(), abs=1e-4)


def test_the_design_is_fitted_anew_in_every_inner_fold(rng: np.random.Generator) -> None:
    CountingScaler.fits.clear()
    inputs = pd.DataFrame(rng.standard_normal((30, 4))).rename(columns=str)
    TunedElasticNet(CountingScaler(), inner_folds=5, n_alphas=3).fit(inputs, rng.standard_normal(30))
    assert sorted(CountingScaler.fits) == [24, 24, 24, 24, 24, 30]


def test_on_noise_it_shrinks_and_on_signal_it_does_not(rng: np.random.Generator) -> None:
    inputs = pd.DataFrame(rng.standard_normal((80, 40))).rename(columns=str)
    noise = TunedElasticNet(StandardScaler()).fit(inputs, rng.standard_normal(80))
    signal = TunedElasticNet(StandardScaler()).fit(inputs, 2 * inputs["3"] + rng.standard_normal(80))
    coefficients = signal.pipeline_.named_steps["model"].coef_
    assert np.abs(noise.pipeline_.named_steps["model"].coef_).sum() < 0.5
    assert np.argmax(np.abs(coefficients)) == 3
    assert coefficients[3] > 1.5


def test_the_same_seed_gives_the_same_model(rng: np.random.Generator) -> None:
    inputs, outcome = pd.DataFrame(rng.standard_normal((40, 10))).rename(columns=str), rng.standard_normal(40)
    first, second = (TunedElasticNet(StandardScaler(), random_state=3).fit(inputs, outcome) for _ in range(2))
    assert np.array_equal(first.inner_mse_, second.inner_mse_)
    assert np.array_equal(first.pipeline_.named_steps["model"].coef_, second.pipeline_.named_steps["model"].coef_)


def test_refits_with_fixed_penalties_keep_the_choice(rng: np.random.Generator) -> None:
    inputs, outcome = pd.DataFrame(rng.standard_normal((40, 10))).rename(columns=str), rng.standard_normal(40)
    tuned = TunedElasticNet(StandardScaler()).fit(inputs, outcome + 2 * inputs["0"])
    refitted = tuned.with_penalties_fixed().fit(inputs, outcome + 2 * inputs["0"])
    assert refitted.predict(inputs) == pytest.approx(tuned.predict(inputs), abs=1e-12)


def test_more_columns_than_people_are_no_obstacle(rng: np.random.Generator) -> None:
    inputs = pd.DataFrame(rng.standard_normal((20, 1500))).rename(columns=str)
    tuned = TunedElasticNet(StandardScaler(), n_alphas=5, inner_folds=3).fit(inputs, rng.standard_normal(20))
    assert np.isfinite(tuned.predict(inputs)).all()


def test_too_few_people_for_the_inner_folds_names_the_inner_folds(rng: np.random.Generator) -> None:
    inputs = pd.DataFrame(rng.standard_normal((6, 2))).rename(columns=str)
    with pytest.raises(TrainingError) as caught:
        TunedElasticNet(StandardScaler(), inner_folds=7).fit(inputs, rng.standard_normal(6))
    assert caught.value.where == "[validation] inner_folds"

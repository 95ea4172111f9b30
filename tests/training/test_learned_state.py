from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import ElasticNet
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from training.evaluation.learned_state import is_same, learned_steps, state_of

MODELS = [
    ElasticNet(),
    PLSRegression(),
    SVR(),
    GaussianProcessRegressor(optimizer=None),
    RandomForestRegressor(5, random_state=0),
    HistGradientBoostingRegressor(max_iter=5, random_state=0, min_samples_leaf=5),
]


def same(first: Mapping[str, object], second: Mapping[str, object]) -> bool:
    return first.keys() == second.keys() and all(is_same(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_any_model_shows_what_it_learned(model: Any, rng: np.random.Generator) -> None:
    X = rng.standard_normal((40, 4))
    y = X[:, 0] + 0.1 * rng.standard_normal(40)
    other = y.copy()
    other[7] += 1.0
    fit = lambda target: state_of(type(model)(**model.get_params()).fit(X, target))  # noqa: E731
    assert same(fit(y), fit(y.copy()))
    assert not same(fit(y), fit(other))


def test_the_clock_is_no_state_and_tuning_comes_before_the_model(rng: np.random.Generator) -> None:
    X = rng.standard_normal((30, 3))
    pipeline = Pipeline([("scaling", StandardScaler()), ("model", ElasticNet())])
    search = GridSearchCV(pipeline, {"model__alpha": [0.1, 1.0]}, cv=3).fit(X, X[:, 0])
    steps = learned_steps(search)
    assert list(steps) == ["scaling", "tuning", "model"]
    assert not [name for name in steps["tuning"] if "_time" in name]
    assert same(steps["tuning"], learned_steps(search.fit(X, X[:, 0]))["tuning"])


def test_a_setting_chosen_elsewhere_is_part_of_the_state() -> None:
    assert state_of(ElasticNet(alpha=0.3)) != state_of(ElasticNet(alpha=0.4))


def test_long_tables_are_compared_to_the_last_cell() -> None:
    first = {"x_": np.arange(5000.0)}
    second = {"x_": np.where(np.arange(5000) == 2500, -1.0, np.arange(5000.0))}

    class Step:
        def __init__(self, learned: dict[str, np.ndarray]) -> None:
            self.learned_ = learned

    assert not same(state_of(Step(first)), state_of(Step(second)))


def test_an_object_that_holds_itself_does_not_hang() -> None:
    class Loop:
        def __init__(self) -> None:
            self.me_ = self
            self.list_: list[Any] = []
            self.list_.append(self.list_)
            self.value_ = 3.0

    assert state_of(Loop())["value_"] == 3.0

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.preprocessing import StandardScaler

from training.evaluation.preparation_traces import (
    adjusted_before,
    decorrelated_before,
    imputed_before,
    ranked_before,
    scaled_before,
)


@pytest.fixture
def features(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(3 + 2 * rng.standard_normal((80, 12))).add_prefix("f")


@pytest.mark.parametrize("ddof", [0, 1])
def test_a_table_scaled_over_everyone_is_recognised(features: pd.DataFrame, ddof: int) -> None:
    scaled = (features - features.mean()) / features.std(ddof=ddof)
    assert scaled_before(scaled.round(4))[0].step == "scaling"
    assert not scaled_before(features)
    assert not scaled_before(scaled.iloc[:60])  # scaled over others too: not over these very people


@pytest.mark.parametrize("how", ["mean", "median"])
def test_a_table_imputed_over_everyone_is_recognised(
    features: pd.DataFrame, how: str, rng: np.random.Generator
) -> None:
    gappy = features.mask(rng.random(features.shape) < 0.1)
    filled = gappy.fillna(getattr(gappy, how)())
    assert imputed_before(filled)[0].step == "imputation"
    assert not imputed_before(gappy)
    assert not imputed_before(features.assign(count=rng.integers(0, 3, 80)))


def test_a_table_adjusted_over_everyone_is_recognised(features: pd.DataFrame, rng: np.random.Generator) -> None:
    known = pd.DataFrame({"age": rng.normal(40, 9, 80), "site": rng.choice(["a", "b", "c"], 80)}).astype(
        {"site": object}
    )
    age = StandardScaler().fit_transform(known[["age"]])
    without_age = features - age @ np.linalg.lstsq(age, features - features.mean(), rcond=None)[0]
    without_site = features - features.groupby(known["site"]).transform("mean")
    assert "age" in adjusted_before(without_age, known)[0].message
    assert "site" in adjusted_before(without_site, known)[0].message
    assert not adjusted_before(features, known)
    gappy = without_age.mask(rng.random(without_age.shape) < 0.05)  # regressed out, then gaps: not exact any more
    assert not adjusted_before(gappy, known)
    gaps = features.mask(rng.random(features.shape) < 0.05)
    centred = known["age"] - known["age"].mean()
    slopes = gaps.apply(lambda column: column.cov(centred) / centred[column.notna()].var())
    assert "age" in adjusted_before(gaps - np.outer(centred, slopes), known)[0].message


def test_a_table_stretched_to_one_range_over_everyone_is_recognised(features: pd.DataFrame) -> None:
    stretched = (features - features.min()) / (features.max() - features.min())
    assert scaled_before(stretched)[0].step == "scaling"
    assert scaled_before(2 * stretched - 1)[0].step == "scaling"
    assert not scaled_before(stretched.drop(index=stretched.idxmin()))  # over others too


def ranks(features: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(stats.rankdata(features, axis=0) / len(features), columns=features.columns)


def normal_scores(features: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(stats.norm.ppf(ranks(features) - 0.5 / len(features)), columns=features.columns)


@pytest.mark.parametrize("how", [ranks, normal_scores])
def test_a_table_of_ranks_over_everyone_is_recognised(
    features: pd.DataFrame, how: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    assert ranked_before(how(features).round(4))[0].step == "scaling"
    assert not ranked_before(features)
    assert not ranked_before(features[["f0"]].assign(copy=features["f0"], again=features["f0"]))


def test_components_of_these_very_people_are_recognised(features: pd.DataFrame, rng: np.random.Generator) -> None:
    centred = features - features.mean()
    directions = np.linalg.svd(centred, full_matrices=False)[2].T
    components = (centred @ directions).add_prefix("pc")
    assert decorrelated_before(components.round(4))[0].step == "components"
    assert not decorrelated_before(components.iloc[:60])  # of others too
    assert not decorrelated_before(features)
    assert not decorrelated_before(pd.DataFrame(rng.standard_normal((10, 500))))  # more than can be uncorrelated


def test_gaps_filled_within_an_arm_are_recognised(features: pd.DataFrame, rng: np.random.Generator) -> None:
    known = pd.DataFrame({"arm": np.tile(["ketamine", "midazolam"], 40).astype(object)})
    gappy = features.mask(rng.random(features.shape) < 0.1)
    filled = gappy.fillna(gappy.groupby(known["arm"]).transform("median"))
    assert imputed_before(filled, known)[0].step == "imputation"
    assert not imputed_before(filled)
    assert not imputed_before(gappy, known)

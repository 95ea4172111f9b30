from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from predictor.errors import ConfigError, MissingColumnError, TrainingError, UnseenSiteError
from predictor.model.harmonization import SiteHarmonization
from predictor.model.outcome_definition import Covariate
from predictor.model.reliability import standard_error_column

FEATURES = tuple(f"edge{number}" for number in range(8))
SITE = Covariate("site", "category", ("north", "south", "west"), "site")
AGE = Covariate("age", "number")
SEX = Covariate("sex", "category", ("F", "M"), "site")


@pytest.fixture
def table(rng: np.random.Generator) -> pd.DataFrame:
    """Three sites: south is shifted by 2, west three times as wide; features rise with age."""
    site = np.repeat(["north", "south", "west"], 30)
    age = rng.uniform(20, 60, 90)
    values = rng.standard_normal((90, len(FEATURES))) * np.where(site == "west", 3.0, 1.0)[:, np.newaxis]
    values += 2.0 * (site == "south")[:, np.newaxis] + 0.1 * age[:, np.newaxis]
    return pd.DataFrame(values, columns=FEATURES).assign(
        site=site.astype(object), age=age, sex=np.where(rng.random(90) < 0.5, "F", "M").astype(object)
    )


def step(**options: object) -> SiteHarmonization:
    return SiteHarmonization(**{"features": FEATURES, "site": SITE, "preserved": (AGE, SEX), **options})


def test_shifts_and_spreads_of_the_sites_are_gone_and_the_effect_of_age_stays(table: pd.DataFrame) -> None:
    found = step().fit(table).transform(table)
    rest = found[list(FEATURES)].sub(0.1 * found["age"], axis=0)
    means, spreads = rest.groupby(table["site"]).mean(), rest.groupby(table["site"]).std()
    assert np.ptp(means.to_numpy(), axis=0).max() < 0.6  # 2 before; shrunken, so not exactly 0
    assert spreads.loc["west"].mean() == pytest.approx(spreads.loc["north"].mean(), rel=0.1)
    slope = np.polyfit(table["age"], found[list(FEATURES)].mean(axis=1), 1)[0]
    assert slope == pytest.approx(0.1, abs=0.02)


def test_one_person_alone_gets_the_same_as_among_others_and_nobody_needs_an_outcome(table: pd.DataFrame) -> None:
    fitted = step().fit(table)
    together = fitted.transform(table)
    alone = pd.concat([fitted.transform(table.iloc[[row]]) for row in (0, 40, 80)])
    pd.testing.assert_frame_equal(alone, together.iloc[[0, 40, 80]], atol=1e-12)


def test_other_columns_and_the_header_stay_and_missing_values_stay_missing(table: pd.DataFrame) -> None:
    table.loc[3, "edge2"] = np.nan
    found = step().fit(table).transform(table)
    assert found.columns is table.columns or found.columns.is_(table.columns)
    assert np.isnan(found.loc[3, "edge2"])
    assert found[list(FEATURES)].isna().sum().sum() == 1
    pd.testing.assert_frame_equal(found[["site", "age", "sex"]], table[["site", "age", "sex"]])


def test_features_with_gaps_are_fitted_on_the_people_who_have_them(table: pd.DataFrame) -> None:
    with_gap = table.copy()
    with_gap.loc[[0, 31, 62], "edge1"] = np.nan
    fitted = step().fit(with_gap)
    by_hand = step(features=("edge1",)).fit(with_gap.drop(index=[0, 31, 62]))
    assert fitted.coefficients_[:, 1] == pytest.approx(by_hand.coefficients_[:, 0])
    assert fitted.scale_[1] == pytest.approx(by_hand.scale_[0])


def test_an_unseen_site_passes_through_or_is_refused_as_the_policy_says(table: pd.DataFrame) -> None:
    seen, unseen = table[table["site"] != "west"], table[table["site"] == "west"]
    passed = step().fit(seen).transform(unseen)
    pd.testing.assert_frame_equal(passed, unseen)
    as_reference = step(unseen_site="reference", reference_site="north").fit(seen)
    pd.testing.assert_frame_equal(as_reference.transform(unseen), unseen)
    is_north = seen["site"] == "north"
    assert as_reference.transform(seen)[is_north][list(FEATURES)].to_numpy() == pytest.approx(
        seen[is_north][list(FEATURES)].to_numpy()
    )
    with pytest.raises(UnseenSiteError, match="1 sites"):
        step(unseen_site="refuse").fit(seen).transform(unseen)


def test_with_one_site_nothing_changes(table: pd.DataFrame) -> None:
    north = table[table["site"] == "north"]
    found = step().fit(north).transform(north)
    assert found[list(FEATURES)].to_numpy() == pytest.approx(north[list(FEATURES)].to_numpy())


def test_standard_errors_are_scaled_with_their_features(table: pd.DataFrame) -> None:
    name = standard_error_column("edge0")
    found = step().fit(table.assign(**{name: 1.0})).transform(table.assign(**{name: 1.0}))
    gain = found.loc[80, name]
    assert gain < 0.7  # west was wider than the others
    moved = table.copy()
    moved.loc[80, "edge0"] += 1.0
    fitted = step().fit(table)
    difference = fitted.transform(moved).loc[80, "edge0"] - fitted.transform(table).loc[80, "edge0"]
    assert difference == pytest.approx(gain)


def test_a_constant_feature_does_no_harm(table: pd.DataFrame) -> None:
    table["edge5"] = 7.0
    found = step().fit(table).transform(table)
    assert found["edge5"].to_numpy() == pytest.approx(7.0)
    assert np.isfinite(found[list(FEATURES)].to_numpy()).all()


def test_what_cannot_be_learned_is_named(table: pd.DataFrame) -> None:
    with pytest.raises(TrainingError, match="fewer are from west"):
        step().fit(table.iloc[:62])
    with pytest.raises(MissingColumnError, match="edge7"):
        step().fit(table.drop(columns="edge7"))
    with pytest.raises(ConfigError, match="needs a reference site"):
        step(unseen_site="reference").fit(table)
    with pytest.raises(ConfigError, match="east has no training people"):
        step(reference_site="east").fit(table)
    with pytest.raises(ConfigError, match="unknown policy"):
        step(unseen_site="guess").fit(table)
    lost = table.copy()
    lost.loc[0, "site"] = None
    with pytest.raises(TrainingError, match="site and preserved"):
        step().fit(lost)
    lost = table.copy()
    lost.loc[lost["site"] == "west", "edge3"] = np.nan
    with pytest.raises(TrainingError, match="edge3 has fewer than two values at west"):
        step().fit(lost)

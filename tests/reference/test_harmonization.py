"""Harmonisation against neuroHarmonize, which fails on a single new person; ours must not."""

from __future__ import annotations

import pandas as pd
import pytest

from predictor.model.harmonization import SiteHarmonization
from predictor.model.outcome_definition import Covariate

N_TRAINING = 70
FEATURES = tuple(f"f{number}" for number in range(12))
SITE = Covariate("SITE", "category", ("A", "B", "C"), "site")
PRESERVED = (Covariate("age", "number"), Covariate("sex", "number"))


@pytest.fixture
def case(spm_case):
    return spm_case("neuroharmonize")


def fitted(table: pd.DataFrame, *, reference_site: str | None = None) -> SiteHarmonization:
    step = SiteHarmonization(features=FEATURES, site=SITE, preserved=PRESERVED, reference_site=reference_site)
    return step.fit(table.iloc[:N_TRAINING])


def test_training_people_are_harmonised_as_by_neuroharmonize(case) -> None:
    table = case.table("in.csv")
    found = fitted(table).transform(table.iloc[:N_TRAINING])
    assert found[list(FEATURES)].to_numpy() == pytest.approx(case.matrix("out_train.csv"), abs=1e-5)


def test_new_people_are_harmonised_as_by_neuroharmonize_and_one_by_one_the_same(case) -> None:
    table = case.table("in.csv")
    step = fitted(table)
    together = step.transform(table.iloc[N_TRAINING:])
    assert together[list(FEATURES)].to_numpy() == pytest.approx(case.matrix("out_new.csv"), abs=1e-5)
    one_by_one = pd.concat([step.transform(table.iloc[[row]]) for row in range(N_TRAINING, len(table))])
    pd.testing.assert_frame_equal(one_by_one, together, rtol=0, atol=1e-12)


def test_a_reference_site_stays_and_the_others_move_to_it_as_by_neuroharmonize(case) -> None:
    table = case.table("in.csv")
    found = fitted(table, reference_site="B").transform(table.iloc[:N_TRAINING])
    expected = case.matrix("out_train_reference_b.csv")
    assert found[list(FEATURES)].to_numpy() == pytest.approx(expected, abs=1e-5)
    is_b = (table["SITE"].iloc[:N_TRAINING] == "B").to_numpy()
    assert found.loc[is_b, list(FEATURES)].to_numpy() == pytest.approx(table.loc[:69, list(FEATURES)].to_numpy()[is_b])

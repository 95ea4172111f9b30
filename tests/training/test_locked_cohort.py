from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from predictor.errors import (
    ConfigError,
    MissingColumnError,
    OutcomeMissingError,
    TableError,
    TrainingError,
    UnknownFeatureError,
)
from predictor.model.bundle import ModelBundle
from training.config import CohortConfig, OutcomeConfig
from training.locked.locked_cohort import LockedCohort, check_outcome, read_locked_cohort

WritePeople = Callable[..., Path]


def read(folder: Path, bundle: ModelBundle, **changes: object) -> LockedCohort:
    config = CohortConfig(str(folder / "people.tsv"), str(folder / "participants.tsv"), **changes)  # type: ignore[arg-type]
    return read_locked_cohort(config, bundle, name="new people")


def change(folder: Path, file: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    table = pd.read_csv(folder / file, sep="\t", index_col=0)
    edit(table).to_csv(folder / file, sep="\t", na_rep="n/a")


def test_everyone_is_sent_as_a_request_would_send_them(complete_bundle: ModelBundle, write_people: WritePeople) -> None:
    cohort = read(write_people(), complete_bundle)
    assert set(cohort.covariates_of(0)) == {"arm", "caps5_total_baseline", "site"}
    assert set(cohort.features_of(0)) == set(complete_bundle.feature_names)
    assert (len(cohort.outcome), set(cohort.arms)) == (60, {"ketamine", "midazolam"})


def test_filters_choose_people_and_the_digest_is_of_who_they_are(
    complete_bundle: ModelBundle, write_people: WritePeople
) -> None:
    folder = write_people()
    everyone, some = read(folder, complete_bundle), read(folder, complete_bundle, include={"site": "a"})
    assert 0 < len(some.outcome) < len(everyone.outcome)
    assert some.digest != everyone.digest
    change(folder, "participants.tsv", lambda table: table.iloc[::-1])
    assert read(folder, complete_bundle).digest == everyone.digest


def test_two_people_with_the_same_values_are_counted(complete_bundle: ModelBundle, write_people: WritePeople) -> None:
    folder = write_people()

    def copy_one(table: pd.DataFrame) -> pd.DataFrame:
        table.iloc[5] = table.iloc[4]
        return table

    change(folder, "people.tsv", copy_one)
    assert read(folder, complete_bundle).same_pairs == ((4, 5),)


def test_a_missing_feature_is_missing_for_everyone_and_none_at_all_is_refused(
    complete_bundle: ModelBundle, write_people: WritePeople
) -> None:
    folder, names = write_people(), list(complete_bundle.feature_names)
    change(folder, "people.tsv", lambda table: table.drop(columns=names[0]))
    cohort = read(folder, complete_bundle)
    assert cohort.absent_features == (names[0],)
    assert cohort.features[names[0]].isna().all()
    change(folder, "people.tsv", lambda table: table.drop(columns=names[1:]))
    with pytest.raises(UnknownFeatureError, match="none of the 6 features"):
        read(folder, complete_bundle)


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (lambda t: t.drop(columns="improvement"), MissingColumnError),
        (lambda t: t.assign(improvement=t["improvement"].where(t.index != "new-03")), OutcomeMissingError),
        (lambda t: t.drop(columns="arm"), MissingColumnError),
        (lambda t: t.assign(arm=t["arm"].where(t.index != "new-03")), TrainingError),
        (lambda t: t.assign(arm="placebo"), TableError),
    ],
)
def test_what_is_absent_is_named_and_nobody_is(
    complete_bundle: ModelBundle, write_people: WritePeople, edit: Callable, error: type[Exception]
) -> None:
    folder = write_people()
    change(folder, "participants.tsv", edit)
    with pytest.raises(error) as caught:
        read(folder, complete_bundle)
    assert "new-03" not in f"{caught.value} {caught.value.where}"  # type: ignore[attr-defined]


def test_people_without_an_outcome_can_be_left_out_on_purpose(
    complete_bundle: ModelBundle, write_people: WritePeople
) -> None:
    folder = write_people()
    change(folder, "participants.tsv", lambda t: t.assign(improvement=t["improvement"].where(t.index != "new-03")))
    assert len(read(folder, complete_bundle, exclude_missing_outcome=True).outcome) == 59


def test_nobody_left_is_refused(complete_bundle: ModelBundle, write_people: WritePeople) -> None:
    with pytest.raises(TrainingError, match="no participant passes"):
        read(write_people(), complete_bundle, include={"site": "nowhere"})


def test_an_experiment_about_another_outcome_is_refused(complete_bundle: ModelBundle) -> None:
    check_outcome(OutcomeConfig(column="improvement", unit="percent"), complete_bundle.outcome)
    for other in (
        OutcomeConfig(name="caps5_percent_improvement"),
        OutcomeConfig(column="improvement", unit="points"),
        OutcomeConfig(column="improvement", unit="percent", better="lower"),
    ):
        with pytest.raises(ConfigError, match="model's outcome"):
            check_outcome(other, complete_bundle.outcome)

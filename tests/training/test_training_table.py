from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from predictor.errors import (
    ConfigError,
    DuplicateParticipantError,
    MissingColumnError,
    OutcomeConstantError,
    OutcomeMissingError,
    PredictorError,
    TableError,
    TrainingError,
    UnknownParticipantError,
    ValueOutOfRangeError,
)
from predictor.model.reliability import standard_error_column
from training.config import (
    CohortConfig,
    CovariatesConfig,
    ExperimentConfig,
    HarmonizationConfig,
    OutcomeConfig,
    TrackingConfig,
)
from training.evaluation.splits import GROUP_COLUMN
from training.training_table import read_training_table

Change = Callable[[pd.DataFrame], pd.DataFrame]


def write_cohort(folder: Path, *, people: Change = lambda table: table, features: Change = lambda table: table) -> None:
    """Twelve patients and two controls at two sites, one patient without features."""
    rng = np.random.default_rng(2)
    names = [f"sub-{number:02d}" for number in range(14)]
    known = pd.DataFrame(
        {
            "participant_id": names,
            "group": ["patient"] * 12 + ["control"] * 2,
            "arm": ["midazolam", "ketamine"] * 6 + ["n/a"] * 2,
            "site": ["1", "2"] * 7,
            "age": rng.integers(20, 60, 14),
            "caps5_total_baseline": rng.integers(30, 60, 14),
            "caps5_total_followup": [*rng.integers(5, 30, 12), "n/a", "n/a"],
        }
    )
    values = pd.DataFrame(rng.standard_normal((14, 3)), columns=["a", "b", "c"])
    values.insert(0, "participant_id", names)
    people(known).to_csv(folder / "participants.tsv", sep="\t", index=False, na_rep="n/a")
    features(values.drop(index=3)).to_csv(folder / "features.tsv", sep="\t", index=False, na_rep="n/a")


def config_of(folder: Path) -> ExperimentConfig:
    return ExperimentConfig(
        name="test",
        cohort=CohortConfig(str(folder / "features.tsv"), str(folder / "participants.tsv")),
        outcome=OutcomeConfig(name="caps5_percent_improvement"),
        covariates=CovariatesConfig(
            arm="arm", treatment="midazolam", clinical=("caps5_total_baseline",), site="site", demographic=("age",)
        ),
        tracking=TrackingConfig("model"),
    )


def test_rows_of_all_parts_are_the_same_people(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    table = read_training_table(config_of(tmp_path))
    people = pd.read_csv(tmp_path / "participants.tsv", sep="\t", index_col=0).loc[table.inputs.index]
    expected = 100 * (1 - people["caps5_total_followup"].astype(float) / people["caps5_total_baseline"])
    features = pd.read_csv(tmp_path / "features.tsv", sep="\t", index_col=0).loc[table.inputs.index]
    assert table.outcome == pytest.approx(expected.to_numpy())
    assert table.inputs[["a", "b", "c"]].to_numpy() == pytest.approx(features.to_numpy())
    assert list(table.inputs["arm"]) == list(people["arm"])
    assert list(table.model_inputs.columns) == ["a", "b", "c", "arm", "caps5_total_baseline", "site"]


def test_controls_are_not_trained_on_and_who_lacks_features_is_named(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    table = read_training_table(config_of(tmp_path))
    assert len(table.outcome) == 11
    assert not {"sub-12", "sub-13"} & set(table.inputs.index)
    assert table.left_out == ("sub-03",)


def test_the_named_treatment_is_the_first_arm(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    arm = read_training_table(config_of(tmp_path)).covariates[0]
    assert (arm.role, arm.levels) == ("arm", ("midazolam", "ketamine"))


def test_strata_are_arm_and_site_and_numbered_sites_stay_readable(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    table = read_training_table(config_of(tmp_path))
    assert table.strata is not None
    assert set(table.strata) == {"midazolam / 1", "ketamine / 2"}


def test_filters_choose_people(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    config = config_of(tmp_path)
    chosen = replace(config, cohort=replace(config.cohort, include={"site": 2}), covariates=CovariatesConfig())
    assert len(read_training_table(chosen).outcome) == 5


def test_visits_that_the_quality_check_refuses_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import training_table

    write_cohort(tmp_path)
    read = training_table.read_feature_table

    def read_with_quality(path: Path) -> object:
        table = read(path)
        status = ["refused" if name == "sub-05" else "ok" for name in table.values.index]
        return replace(table, quality=pd.DataFrame({"status": status}, index=table.values.index))

    monkeypatch.setattr(training_table, "read_feature_table", read_with_quality)
    assert set(read_training_table(config_of(tmp_path)).left_out) == {"sub-03", "sub-05"}


def at(column: str, row: int, value: object) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object})
        table.loc[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("people", "features", "error", "named"),
    [
        (at("arm", 5, "n/a"), None, TableError, "arm is missing for 1 of 11 participants: sub-05"),
        (at("caps5_total_baseline", 5, "n/a"), None, OutcomeMissingError, "sub-05"),
        (at("age", 5, "n/a"), None, TableError, "age is missing for 1 of 11 participants: sub-05"),
        (at("caps5_total_followup", 4, "n/a"), None, OutcomeMissingError, "sub-04"),
        (at("participant_id", 4, "sub-05"), None, DuplicateParticipantError, "sub-05"),
        (lambda t: t.drop(columns="site"), None, MissingColumnError, "site"),
        (lambda t: t.assign(caps5_total_followup=10, caps5_total_baseline=40), None, OutcomeConstantError, "same"),
        (lambda t: t.assign(group="control"), None, TrainingError, "no participant passes"),
        (None, lambda t: t.assign(b=np.nan), TrainingError, "1 of 3 features have no value for any participant: b"),
        (None, lambda t: t.assign(participant_id="x-" + t["participant_id"]), UnknownParticipantError, "none of"),
        (None, lambda t: pd.concat([t, t.tail(1)]), DuplicateParticipantError, "sub-13"),
        (at("age", 5, "forty"), None, ValueOutOfRangeError, "age holds numbers, but none that can be used for sub-05"),
        (at("age", 5, "inf"), None, ValueOutOfRangeError, "sub-05"),
        (None, lambda t: t.assign(b=t["b"] * 1e200), ValueOutOfRangeError, "b"),
        (None, lambda t: t.assign(b=t["b"] * 1e-200), ValueOutOfRangeError, "people differ by less than 1e-30 in b"),
        (lambda t: t.assign(age=t["age"] * 1e-200), None, ValueOutOfRangeError, "people differ by less than"),
        (at("arm", 5, "Ketamine"), None, TableError, "arm holds one category in several spellings: 'Ketamine' = 'keta"),
        (None, lambda t: t.rename(columns={"b": GROUP_COLUMN}), TableError, "is a name that training needs itself"),
        (None, lambda t: t.rename(columns={"b": standard_error_column("a")}), TableError, "is a name that training"),
        (None, lambda t: t.rename(columns={"b": "age"}), TableError, "age stand in the feature table"),
        (None, lambda t: t.rename(columns={"b": "caps5_percent_improvement"}), TableError, "caps5_percent_improvement"),
    ],
)
def test_what_cannot_carry_an_experiment_is_a_named_error(
    tmp_path: Path, people: Change | None, features: Change | None, error: type[PredictorError], named: str
) -> None:
    write_cohort(tmp_path, people=people or (lambda table: table), features=features or (lambda table: table))
    with pytest.raises(error) as caught:
        read_training_table(config_of(tmp_path))
    assert named in str(caught.value)


def test_unknown_families_and_treatments_are_named(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    config = config_of(tmp_path)
    families = replace(config, features=replace(config.features, families=("gppi_faces",)))
    with pytest.raises(ConfigError, match="no family gppi_faces"):
        read_training_table(families)
    with pytest.raises(ConfigError, match="placebo"):
        read_training_table(replace(config, covariates=replace(config.covariates, treatment="placebo")))


def test_motion_in_words_is_refused_and_a_site_in_numbers_is_not(tmp_path: Path) -> None:
    write_cohort(tmp_path, people=lambda table: table.assign(site=["1", "x"] * 7))
    config = config_of(tmp_path)
    assert read_training_table(config).covariates[2].levels == ("1", "x")
    with pytest.raises(ValueOutOfRangeError, match="expected numbers in group"):
        read_training_table(replace(config, covariates=replace(config.covariates, motion=("group",))))


def test_empty_text_means_no_arm_no_treatment_no_site(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    config = config_of(tmp_path)
    table = read_training_table(replace(config, covariates=replace(config.covariates, arm="", site="", treatment="")))
    assert [covariate.name for covariate in table.covariates] == ["caps5_total_baseline"]


def with_groups(config: ExperimentConfig, column: str) -> ExperimentConfig:
    return replace(config, cohort=replace(config.cohort, groups=column))


def test_people_of_a_family_are_one_group_and_people_without_one_stand_alone(tmp_path: Path) -> None:
    families = ["1", "1", "n/a", "n/a", "2", "2", *["n/a"] * 8]
    write_cohort(tmp_path, people=lambda table: table.assign(family=families))
    table = read_training_table(with_groups(config_of(tmp_path), "family"))
    assert table.groups is not None
    of = dict(zip(table.inputs.index, table.groups, strict=True))
    assert of["sub-00"] == of["sub-01"] != of["sub-04"] == of["sub-05"]
    assert len(set(table.groups)) == 9
    assert list(table.model_inputs[GROUP_COLUMN]) == list(table.groups)


def test_people_are_no_groups(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    with pytest.raises(ConfigError, match="group of one"):
        read_training_table(with_groups(config_of(tmp_path), "participant_id"))


def test_a_column_of_groups_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    with pytest.raises(MissingColumnError, match="lacks family"):
        read_training_table(with_groups(config_of(tmp_path), "family"))


def test_harmonisation_asks_for_its_columns_and_gives_them_no_weight(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    config = replace(config_of(tmp_path), harmonization=HarmonizationConfig(preserved=("age",)))
    table = read_training_table(config)
    assert table.harmonization is not None
    assert table.harmonization.features == ("a", "b", "c")
    assert [(c.name, c.role) for c in table.covariates if c.role == "reference"] == [("age", "reference")]
    assert "age" in table.model_inputs
    fitted = table.harmonization.fit(table.model_inputs)
    assert fitted.sites_ == ("1", "2")


@pytest.mark.parametrize(
    "changed",
    [
        {"covariates": CovariatesConfig(arm="caps5_total_followup")},
        {"cohort": CohortConfig("", "", groups="caps5_total_followup")},
        {"harmonization": HarmonizationConfig(preserved=("caps5_total_followup",))},
    ],
)
def test_the_outcome_is_no_arm_no_group_and_nothing_to_preserve(tmp_path: Path, changed: dict[str, Any]) -> None:
    write_cohort(tmp_path)
    config = config_of(tmp_path)
    if "cohort" in changed:
        changed = {"cohort": replace(config.cohort, groups="caps5_total_followup")}
    with pytest.raises(ConfigError, match="caps5_total_followup is the outcome, or known only after the treatment"):
        read_training_table(replace(config, **changed))


def test_a_time_of_measurement_of_what_is_nowhere_is_a_slip_of_the_pen(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    config = config_of(tmp_path)
    measured = {"a": "baseline", "age": "screening", "depresion": "week2"}
    with pytest.raises(ConfigError, match="column or family depresion"):
        read_training_table(replace(config, cohort=replace(config.cohort, measured=measured)))


def test_an_outcome_that_hardly_differs_is_constant(tmp_path: Path) -> None:
    write_cohort(tmp_path, people=lambda table: table.assign(rating=np.arange(14) * 1e-200))
    config = replace(config_of(tmp_path), outcome=OutcomeConfig(column="rating", unit="points"))
    with pytest.raises(OutcomeConstantError, match="same outcome rating"):
        read_training_table(config)

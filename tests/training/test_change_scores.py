from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictor.errors import ConfigError, MissingColumnError, TableError, UnknownParticipantError
from predictor.features.feature_vector import FeatureDefinition
from training.cohort.baseline_inputs import not_available_at_baseline
from training.cohort.change_scores import CHANGE, change_scores, with_scale_change, write_change_scores
from training.config import CohortConfig, ExperimentConfig, FeaturesConfig, OutcomeConfig, TrackingConfig
from training.extraction.feature_table import FeatureTable, read_feature_table
from training.training_table import read_training_table

DEFINITIONS = (
    FeatureDefinition("gppi_faces__vmPFC__amygdala_L", "beta", "gppi_faces", "gppi", "amygdala-vmPFC", "connectivity"),
    FeatureDefinition("quality_mean_framewise_displacement_mm__rest", "mm", "quality", "quality", "quality", "motion"),
)


def make_table(values: dict[str, list[float]], *, recipe_hash: str = "sha256:a", error: float = 0.3) -> FeatureTable:
    names = [definition.name for definition in DEFINITIONS]
    frame = pd.DataFrame.from_dict(values, orient="index", columns=names)
    frame.index.name = "participant_id"
    return FeatureTable(
        values=frame,
        definitions=DEFINITIONS,
        recipe=None,
        recipe_hashes=pd.Series(recipe_hash, index=frame.index),
        quality=pd.DataFrame({"status": "ok"}, index=frame.index),
        digest="sha256:b",
        standard_errors=pd.DataFrame(error, index=frame.index, columns=names),
    )


BEFORE = make_table({"sub-1": [0.2, 0.1], "sub-2": [0.5, 0.2], "sub-3": [np.nan, 0.3]})
AFTER = make_table({"sub-3": [0.4, 0.1], "sub-2": [0.1, 0.4], "sub-4": [0.0, 0.1]}, error=0.4)


def test_a_change_is_followup_minus_baseline_matched_by_person() -> None:
    changes = change_scores(BEFORE, AFTER)
    assert list(changes.values.index) == ["sub-2", "sub-3"]
    assert changes.values["change_gppi_faces__vmPFC__amygdala_L"].tolist() == pytest.approx([-0.4, np.nan], nan_ok=True)
    assert changes.standard_errors.iloc[0, 0] == pytest.approx(0.5)  # 0.3 and 0.4, independent
    assert dict(changes.left_out) == {"sub-1": "no follow-up visit", "sub-4": "no baseline visit"}
    assert changes.definitions[0].family == "change_gppi_faces"
    assert [definition.name.startswith(CHANGE) for definition in changes.definitions] == [True, False]


def test_motion_is_averaged_and_keeps_its_name() -> None:
    motion = change_scores(BEFORE, AFTER).values["quality_mean_framewise_displacement_mm__rest"]
    assert motion.tolist() == pytest.approx([0.3, 0.2])


def test_a_visit_that_the_quality_check_refuses_is_left_out_by_name() -> None:
    refused = replace(AFTER, quality=pd.DataFrame({"status": ["ok", "refused", "ok"]}, index=AFTER.values.index))
    changes = change_scores(BEFORE, refused)
    assert list(changes.values.index) == ["sub-3"]
    assert changes.left_out["sub-2"] == "follow-up visit refused by the quality check"


def test_one_visit_named_twice_is_refused() -> None:
    with pytest.raises(TableError, match="same table"):
        change_scores(BEFORE, BEFORE)


def test_visits_measured_with_different_recipes_are_refused() -> None:
    with pytest.raises(TableError, match="different recipes"):
        change_scores(BEFORE, make_table({"sub-1": [0.0, 0.1]}, recipe_hash="sha256:c"))


def test_visits_with_different_features_are_refused_naming_one() -> None:
    fewer = replace(
        AFTER,
        values=AFTER.values.iloc[:, :1],
        standard_errors=AFTER.standard_errors.iloc[:, :1],
        definitions=DEFINITIONS[:1],
    )
    with pytest.raises(TableError) as caught:
        change_scores(BEFORE, fewer)
    assert "quality_mean_framewise_displacement_mm__rest" in caught.value.where


def test_nobody_with_two_visits_is_an_error() -> None:
    with pytest.raises(UnknownParticipantError, match="nobody"):
        change_scores(BEFORE, make_table({"sub-9": [0.0, 0.1]}))


def test_a_scale_is_subtracted_in_the_same_direction() -> None:
    participants = pd.DataFrame(
        {"madrs_total_baseline": [30, 20], "madrs_total_followup": [10, 25]}, index=["sub-2", "sub-3"]
    )
    changes = with_scale_change(change_scores(BEFORE, AFTER), participants, "madrs_total", unit="points")
    assert changes.values["change_madrs_total"].tolist() == [-20, 5]
    with pytest.raises(MissingColumnError, match="hamd_baseline"):
        with_scale_change(changes, participants, "hamd", unit="points")
    with pytest.raises(UnknownParticipantError, match="sub-3"):
        with_scale_change(changes, participants.head(1), "madrs_total", unit="points")


def test_written_changes_are_read_back_exactly(tmp_path: Path) -> None:
    changes = change_scores(BEFORE, AFTER)
    write_change_scores(changes, tmp_path)
    table = read_feature_table(tmp_path / "features.tsv")
    pd.testing.assert_frame_equal(table.values, changes.values, check_index_type=False)
    pd.testing.assert_frame_equal(table.standard_errors, changes.standard_errors, check_index_type=False)
    assert table.definitions == changes.definitions
    assert table.recipe is None  # no scan of one visit gives these features


def test_no_change_passes_for_a_measure_of_the_baseline() -> None:
    names = [d.name for d in change_scores(BEFORE, AFTER).definitions]
    assert not_available_at_baseline(names) == ("change_gppi_faces__vmPFC__amygdala_L",)


@pytest.mark.parametrize(
    ("registered", "is_refused"), [("ketamine-response", True), ("ketamine-change-analysis", False)]
)
def test_models_of_changes_need_a_registered_name_of_their_own(
    tmp_path: Path, registered: str, is_refused: bool
) -> None:
    write_change_scores(change_scores(BEFORE, AFTER), tmp_path)
    (tmp_path / "participants.tsv").write_text("participant_id\tscore\nsub-2\t1\nsub-3\t2\n")
    config = ExperimentConfig(
        name="changes",
        cohort=CohortConfig(str(tmp_path / "features.tsv"), str(tmp_path / "participants.tsv")),
        outcome=OutcomeConfig(column="score", unit="points"),
        features=FeaturesConfig(names=("change_gppi_faces__vmPFC__amygdala_L",)),
        tracking=TrackingConfig(registered),
    )
    if not is_refused:
        assert [d.name for d in read_training_table(config).definitions] == ["change_gppi_faces__vmPFC__amygdala_L"]
        return
    with pytest.raises(ConfigError, match="analysis") as caught:
        read_training_table(config)
    assert caught.value.where == "[tracking] registered_model"


def test_a_named_feature_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    write_change_scores(change_scores(BEFORE, AFTER), tmp_path)
    (tmp_path / "participants.tsv").write_text("participant_id\tscore\nsub-2\t1\nsub-3\t2\n")
    config = ExperimentConfig(
        name="changes",
        cohort=CohortConfig(str(tmp_path / "features.tsv"), str(tmp_path / "participants.tsv")),
        outcome=OutcomeConfig(column="score", unit="points"),
        features=FeaturesConfig(names=("change_gppi_faces__dACC__amygdala_L",)),
        tracking=TrackingConfig("analysis"),
    )
    with pytest.raises(ConfigError, match="change_gppi_faces__dACC__amygdala_L"):
        read_training_table(config)

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor

from predictor.errors import TrainingError
from training.evaluation.nested_cv import OutOfFold, cross_validate
from training.evaluation.split_manifest import SplitManifest, check_training_sets
from training.evaluation.splits import leave_one_out, stratified_folds

PEOPLE = tuple(f"sub-{number:02d}" for number in range(12))


@pytest.fixture
def manifest(rng: np.random.Generator) -> SplitManifest:
    outcome = rng.standard_normal(12)
    folds = np.stack([stratified_folds(outcome, None, n_folds=3, rng=rng) for _ in range(2)])
    return SplitManifest(PEOPLE, folds, "repeated_kfold", 5)


def judged(manifest: SplitManifest, rng: np.random.Generator) -> OutOfFold:
    inputs = pd.DataFrame({"x": rng.standard_normal(12)})
    return cross_validate(DummyRegressor(), inputs, rng.standard_normal(12), manifest.partitions)


def test_the_table_has_a_row_per_person_and_its_digest_is_of_the_stored_file(manifest: SplitManifest) -> None:
    table = manifest.table()
    assert list(table.columns) == ["participant_id", "repeat_0", "repeat_1"]
    assert np.array_equal(table[["repeat_0", "repeat_1"]].to_numpy().T, manifest.partitions)
    stored = table.to_csv(sep="\t", index=False).encode()
    assert manifest.digest == "sha256:" + hashlib.sha256(stored).hexdigest()
    assert manifest.document()["n_folds"] == [3, 3]


def test_moving_one_person_changes_the_digest(manifest: SplitManifest) -> None:
    moved = manifest.partitions.copy()
    moved[1, 4] = (moved[1, 4] + 1) % 3
    assert replace(manifest, partitions=moved).digest != manifest.digest


def test_predictions_on_these_folds_are_accepted(manifest: SplitManifest, rng: np.random.Generator) -> None:
    manifest.verify("constant", judged(manifest, rng))


def test_predictions_on_other_folds_are_refused_by_name(manifest: SplitManifest, rng: np.random.Generator) -> None:
    other = replace(manifest, partitions=manifest.partitions[::-1])
    with pytest.raises(TrainingError, match="ridge was judged on other folds"):
        manifest.verify("ridge", judged(other, rng))


def test_people_without_a_prediction_are_named(manifest: SplitManifest, rng: np.random.Generator) -> None:
    predicted = judged(manifest, rng)
    predicted.prediction[1, 7] = np.nan
    with pytest.raises(TrainingError, match="no finite prediction for sub-07"):
        manifest.verify("ridge", predicted)


def test_training_on_everyone_is_seen_by_its_training_mean(manifest: SplitManifest, rng: np.random.Generator) -> None:
    predicted = judged(manifest, rng)
    predicted.training_mean[:] = predicted.outcome.mean()
    with pytest.raises(TrainingError, match="other people than those outside the fold"):
        manifest.verify("leaky", predicted)


def test_a_group_in_two_folds_is_refused(manifest: SplitManifest) -> None:
    same_fold = manifest.partitions[:1]
    first, second = np.flatnonzero(same_fold[0] == 0)[0], np.flatnonzero(same_fold[0] == 1)[0]
    groups = [f"alone {person}" for person in PEOPLE]
    groups[first] = groups[second] = "family"
    with pytest.raises(TrainingError, match="1 groups are split over folds: family"):
        replace(manifest, partitions=same_fold, groups=tuple(groups))


def test_one_class_only_outside_a_fold_names_who_was_left_out() -> None:
    outcome = np.zeros(12)
    outcome[3] = 1.0
    with pytest.raises(TrainingError, match="without sub-03, all 11 others have the same outcome: one class only"):
        check_training_sets(leave_one_out(12)[np.newaxis], outcome, participants=PEOPLE, arms=None)


def test_an_arm_that_nobody_outside_a_fold_is_in_is_named() -> None:
    arms = ["ketamine"] * 11 + ["midazolam"]
    with pytest.raises(TrainingError, match="without sub-11, nobody is left in arm midazolam"):
        check_training_sets(leave_one_out(12)[np.newaxis], np.arange(12.0), participants=PEOPLE, arms=arms)


def test_sound_folds_pass(manifest: SplitManifest) -> None:
    check_training_sets(manifest.partitions, np.arange(12.0), participants=PEOPLE, arms=["a", "b"] * 6)

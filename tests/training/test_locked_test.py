from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training.locked.locked_test
from predictor.errors import AlreadyOpenedError, RefusedError, SharedParticipantsError
from predictor.model.bundle import ModelBundle
from predictor.pipeline import score_features
from training.config import CohortConfig
from training.locked.locked_cohort import LockedCohort, read_locked_cohort
from training.locked.locked_test import run_locked_test
from training.locked.openings import FileOpenings
from training.training_table import TrainingTable

WritePeople = Callable[..., Path]
NEW_PEOPLE = [f"new-{number:02d}" for number in range(60)]


@pytest.fixture
def openings(tmp_path: Path) -> FileOpenings:
    return FileOpenings.beside(tmp_path / "bundle")


@pytest.fixture
def locked(complete_bundle: ModelBundle) -> ModelBundle:
    return replace(complete_bundle, digest="sha256:" + "d" * 64)


@pytest.fixture(autouse=True)
def without_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than everything else; it has tests of its own."""
    monkeypatch.setattr(training.locked.locked_test, "locked_test_page", lambda document: "")


def read(folder: Path, bundle: ModelBundle, **changes: Any) -> LockedCohort:
    config = CohortConfig(str(folder / "people.tsv"), str(folder / "participants.tsv"), **changes)
    return read_locked_cohort(config, bundle, name="new people")


def run(bundle: ModelBundle, cohort: LockedCohort, openings: FileOpenings, **options: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"label": "small-model/1", "trained_on": None, "n_permutations": 99} | options
    return run_locked_test(bundle, cohort, openings, **known)


def test_numbers_are_those_of_the_answers_that_the_service_gives(
    locked: ModelBundle, write_people: WritePeople, openings: FileOpenings
) -> None:
    cohort = read(write_people(), locked)
    document = run(locked, cohort, openings)
    answers = [
        score_features(cohort.features_of(row), cohort.covariates_of(row), locked, recipe_hash=None, input_digest=None)
        for row in range(60)
    ]
    own = [answer["arms"][arm] for answer, arm in zip(answers, cohort.arms, strict=True)]
    error = cohort.outcome - [one["expected"] for one in own]
    training_mean = (locked.out_of_fold.prediction + locked.out_of_fold.residual).mean()
    metrics = document["models"][0]["metrics"]
    assert metrics["mae"] == pytest.approx(np.abs(error).mean())
    assert metrics["r2"] == pytest.approx(1 - (error**2).sum() / ((cohort.outcome - training_mean) ** 2).sum())
    held = [
        one["interval"]["lower"] <= y <= one["interval"]["upper"] for one, y in zip(own, cohort.outcome, strict=True)
    ]
    assert document["coverage"]["overall"]["share"] == pytest.approx(np.mean(held))
    assert document["models"][1]["name"] == "constant"
    assert document["models"][1]["metrics"]["r2"] == 0
    assert {one["name"] for one in document["models"]} >= {"arm only", "arm + clinical", "motion only", "age/sex only"}


def test_the_planted_effect_is_found_and_a_model_of_noise_is_not(
    locked: ModelBundle, write_people: WritePeople, openings: FileOpenings
) -> None:
    cohort = read(write_people(), locked)
    assert run(locked, cohort, openings)["models"][0]["metrics"]["r2_interval"]["lower"] > 0.3
    rng = np.random.default_rng(0)
    shuffled = replace(cohort, outcome=rng.permutation(cohort.outcome))
    document = run(locked, shuffled, openings, again=True)
    assert document["models"][0]["metrics"]["r2_interval"]["lower"] < 0
    assert document["permutation"]["p_value"] > 0.05


def test_the_opening_stands_before_any_outcome_is_used(
    locked: ModelBundle, write_people: WritePeople, openings: FileOpenings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: Any, **options: Any) -> None:
        assert len(openings.earlier()) == 1
        raise RuntimeError("power cut")

    monkeypatch.setattr(training.locked.locked_test, "external_test", crash)
    cohort = read(write_people(), locked)
    with pytest.raises(RuntimeError, match="power cut"):
        run(locked, cohort, openings)
    with pytest.raises(AlreadyOpenedError):
        run(locked, cohort, openings)


def test_a_second_look_is_refused_and_on_purpose_it_is_shown(
    locked: ModelBundle, write_people: WritePeople, openings: FileOpenings
) -> None:
    cohort = read(write_people(), locked)
    assert run(locked, cohort, openings)["opening"]["number"] == 1
    with pytest.raises(AlreadyOpenedError):
        run(locked, cohort, openings)
    again = run(locked, cohort, openings, again=True)
    assert (again["opening"]["number"], again["opening"]["number_on_this_cohort"]) == (2, 2)
    assert any("Opened 2 times" in line for line in again["limits"])


def test_other_models_that_looked_at_the_same_people_are_counted(
    locked: ModelBundle, write_people: WritePeople, openings: FileOpenings
) -> None:
    cohort = read(write_people(), locked)
    run(replace(locked, digest="sha256:" + "e" * 64), cohort, openings)
    document = run(locked, cohort, openings)
    assert (document["opening"]["number"], document["opening"]["n_other_models"]) == (1, 1)


def test_people_of_the_training_are_refused_by_id_and_nothing_is_opened(
    locked: ModelBundle, write_people: WritePeople, openings: FileOpenings
) -> None:
    cohort = read(write_people(), locked)
    with pytest.raises(SharedParticipantsError, match="2 with the id") as caught:
        run(locked, cohort, openings, trained_on={"new-03", "new-07", "sub-99"})
    assert "new-0" not in f"{caught.value} {caught.value.where}"
    assert openings.earlier() == ()
    document = run(locked, cohort, openings, trained_on={"new-03"}, is_other_study=True)
    assert "another study" in document["checks"]["participant_ids"]


@pytest.mark.parametrize(("scale", "words"), [(0.0, "60 with the values"), (1e-7, "60 with nearly the values")])
def test_people_of_the_training_under_other_names_are_refused_by_their_rows(
    locked: ModelBundle,
    training_table: TrainingTable,
    write_people: WritePeople,
    openings: FileOpenings,
    scale: float,
    words: str,
) -> None:
    cohort = read(write_people(table=training_table), locked)
    noise = scale * np.random.default_rng(0).standard_normal(cohort.features.shape)
    with pytest.raises(SharedParticipantsError, match=words):
        run(locked, replace(cohort, features=cohort.features + noise), openings)
    assert openings.earlier() == ()


def test_a_model_that_refuses_too_many_is_not_opened(
    locked: ModelBundle, write_people: WritePeople, openings: FileOpenings
) -> None:
    cohort = read(write_people(), locked)
    other_recipe = replace(cohort, recipe_hashes=("sha256:" + "0" * 64,) * 60)
    with pytest.raises(RefusedError, match=r"got 0 for 60 \(recipe-mismatch\); nothing was opened"):
        run(locked, other_recipe, openings)
    assert openings.earlier() == ()


def test_refused_people_are_counted_and_not_judged(
    locked: ModelBundle, write_people: WritePeople, openings: FileOpenings
) -> None:
    cohort = read(write_people(), locked)
    hashes = ("sha256:" + "0" * 64,) * 7 + (None,) * 53
    document = run(locked, replace(cohort, recipe_hashes=hashes), openings)
    assert (document["cohort"]["n_refused"], document["cohort"]["n_answered"]) == (7, 53)
    assert document["cohort"]["refusals"] == {"recipe-mismatch": 7}
    assert any("7 people got no answer" in line for line in document["limits"])


def test_a_baseline_without_its_columns_is_named(
    locked: ModelBundle, write_people: WritePeople, openings: FileOpenings
) -> None:
    cohort = read(write_people(), locked)
    document = run(locked, replace(cohort, known=cohort.known.drop(columns="age")), openings)
    assert document["baselines_left_out"] == [{"name": "age/sex only", "reason": "this cohort lacks age"}]


def test_doubled_people_are_reported_with_and_without(
    locked: ModelBundle, write_people: WritePeople, openings: FileOpenings
) -> None:
    cohort = read(write_people(), locked)
    document = run(locked, replace(cohort, same_pairs=((4, 5),)), openings)
    assert document["cohort"]["n_same_pairs"] == 1
    assert document["without_duplicates"]["n"] == 59


def test_the_result_holds_no_participant_and_no_single_value(
    locked: ModelBundle, write_people: WritePeople, openings: FileOpenings
) -> None:
    cohort = read(write_people(), locked)
    text = json.dumps(run(locked, cohort, openings))
    assert not any(name in text for name in NEW_PEOPLE)
    assert not any(repr(float(value)) in text for value in cohort.outcome)
    assert not any(name in openings.path.read_text() for name in NEW_PEOPLE)
    assert all(one["n"] >= 5 for one in json.loads(text)["calibration_bins"])

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from predictor.errors import BundleIncompatibleError, TableError, UnknownFeatureError
from predictor.features.extraction import extract_features
from predictor.features.feature_catalogue import feature_definitions
from predictor.features.recipe import region_table_recipe
from predictor.model import explanation as explanation_module
from predictor.model.answer import answer_bytes
from predictor.model.bundle import ModelBundle
from predictor.pipeline import score_features, score_features_as_json, score_session
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, build_run

REGIONS = ("amygdala_L", "amygdala_R", "vmPFC", "dACC")


def session_of(rng: np.random.Generator, *, n_volumes: int = 200, silent: bool = False) -> BaselineSession:
    """A resting run from a table of region signals."""
    shared = rng.standard_normal((n_volumes, 1))
    bold = 0.7 * shared + rng.standard_normal((n_volumes, len(REGIONS)))
    if silent:
        bold[:, :3] = np.nan
    unknown = np.full(len(REGIONS), np.nan)
    recording = RegionRecording(
        region_names=REGIONS,
        bold=bold,
        coverage=unknown,
        temporal_snr=unknown,
        carpet=np.zeros((n_volumes, 0), dtype=np.float32),
        repetition_time_s=2.0,
        space="",
        input_digest="sha256:" + "2" * 64,
    )
    tasks = region_table_recipe(REGIONS).tasks
    run = build_run(
        "rest", recording, confounds_tsv=None, confounds_sidecar=None, sidecar=None, events_tsv=None, tasks=tasks
    )
    return BaselineSession((run,))


@pytest.fixture(scope="module")
def scan_bundle(make_bundle: Any, make_cohort: Any, least_squares: Any) -> ModelBundle:
    """Return a bundle of the features that a recipe makes from region tables."""
    recipe = region_table_recipe(REGIONS)
    definitions = feature_definitions(recipe)
    cohort = make_cohort(n_features=len(definitions))
    names = dict(zip(cohort.feature_names, (d.name for d in definitions), strict=True))
    table = cohort.table.rename(columns=names)
    table[list(names.values())] *= 0.2
    own = replace(cohort, table=table, definitions=definitions)
    return make_bundle(own, make_regressor=least_squares, recipe=recipe, recipe_hashes=(recipe.recipe_hash,))


COVARIATES = {"caps5_total_baseline": 44.0, "site": "B"}


def test_a_session_is_scored_with_features_by_the_bundles_own_recipe(
    scan_bundle: ModelBundle, rng: np.random.Generator
) -> None:
    session = session_of(rng)
    answer = score_session(session, COVARIATES, scan_bundle)
    assert scan_bundle.recipe is not None
    vector = extract_features(session, scan_bundle.recipe)
    values = {c["feature"]: c["value"] for c in answer["explanation"]["contributions"] if c["kind"] == "rest"}
    assert values == {name: value for name, value in vector.by_name().items() if name in values}
    assert len(values) == 6
    assert answer["provenance"] == {
        "recipe_hash": scan_bundle.recipe.recipe_hash,
        "input_digest": session.input_digest,
    }
    assert answer["quality"]["rest"]["n_volumes"] == 200
    assert answer_bytes(answer)


def test_features_of_a_session_sent_as_a_row_give_the_same_numbers(
    scan_bundle: ModelBundle, rng: np.random.Generator
) -> None:
    session = session_of(rng)
    assert scan_bundle.recipe is not None
    vector = extract_features(session, scan_bundle.recipe)
    by_scan = score_session(session, COVARIATES, scan_bundle)
    by_row = score_features(
        vector.by_name(), COVARIATES, scan_bundle, recipe_hash=vector.recipe_hash, input_digest=vector.input_digest
    )
    for field in ("arms", "benefit", "explanation", "provenance"):
        assert by_row[field] == by_scan[field]


def test_standard_errors_of_a_scan_tell_the_share_of_scan_noise_and_ready_features_have_none(
    scan_bundle: ModelBundle, rng: np.random.Generator
) -> None:
    session = session_of(rng)
    assert scan_bundle.recipe is not None
    vector = extract_features(session, scan_bundle.recipe)
    by_scan = score_session(session, COVARIATES, scan_bundle)
    by_row = score_features(
        vector.by_name(), COVARIATES, scan_bundle, recipe_hash=vector.recipe_hash, input_digest=vector.input_digest
    )
    of_scan = {one["source"]: one["share"] for one in by_scan["uncertainty_sources"]}
    of_row = {one["source"]: one["share"] for one in by_row["uncertainty_sources"]}
    assert set(of_row) == {"residual", "model"}
    assert of_scan["scan_noise"] > 0
    assert of_scan["residual"] + of_scan["scan_noise"] == pytest.approx(of_row["residual"])
    assert of_scan["model"] == of_row["model"]


def test_a_scan_whose_features_are_missing_is_refused_and_says_why(
    scan_bundle: ModelBundle, rng: np.random.Generator
) -> None:
    answer = score_session(session_of(rng, silent=True), COVARIATES, scan_bundle)
    assert answer["status"] == "refused"
    assert "too-many-missing" in [reason["code"] for reason in answer["reasons"]]
    assert "arms" not in answer
    assert answer["quality"]["rest"]["n_volumes"] == 200


def test_a_model_of_ready_features_cannot_score_scans(bundle: ModelBundle, rng: np.random.Generator) -> None:
    with pytest.raises(BundleIncompatibleError, match="ready features"):
        score_session(session_of(rng), {}, bundle)


def test_a_recipe_of_another_version_is_refused(scan_bundle: ModelBundle, rng: np.random.Generator) -> None:
    older = replace(scan_bundle, recipe_hashes=("sha256:" + "3" * 64,))
    answer = score_session(session_of(rng), COVARIATES, older)
    assert (answer["status"], answer["reasons"][0]["code"]) == ("refused", "recipe-mismatch")


def test_an_explanation_that_does_not_add_up_is_null_with_its_reason(
    bundle: ModelBundle, person: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanation_module, "MAX_ADDITIVITY_ERROR", -1.0)
    answer = score_features(**person, bundle=bundle)
    assert answer["explanation"] is None
    assert [reason["code"] for reason in answer["reasons"]] == ["explanation-withheld"]
    assert answer["arms"]


def test_scoring_twice_gives_the_same_bytes(bundle: ModelBundle, person: dict[str, Any]) -> None:
    once = answer_bytes(score_features(**person, bundle=bundle))
    assert answer_bytes(score_features(**person, bundle=bundle)) == once


def test_wrong_names_are_errors_not_answers(bundle: ModelBundle, person: dict[str, Any]) -> None:
    with pytest.raises(UnknownFeatureError):
        score_features(**{**person, "features": {"nonsense": 1.0}}, bundle=bundle)
    with pytest.raises(TableError):
        score_features(**{**person, "covariates": {"shoe_size": 42.0}}, bundle=bundle)


def test_promotion_is_said_as_it_was_asked(bundle: ModelBundle, person: dict[str, Any]) -> None:
    assert score_features(**person, bundle=bundle)["model"]["promoted"] is False
    assert score_features(**person, bundle=bundle, promoted=True)["model"]["promoted"] is True


def test_trees_answer_on_the_same_path_with_reasons_that_add_up(tree_bundle: ModelBundle) -> None:
    features = dict.fromkeys(tree_bundle.feature_names, 0.8)
    arguments: dict[str, Any] = {"recipe_hash": tree_bundle.recipe_hashes[0], "input_digest": None}
    answer = score_features(features, {}, tree_bundle, **arguments)
    explanation = answer["explanation"]
    total = explanation["base_value"] + sum(one["contribution"] for one in explanation["contributions"])
    assert total == pytest.approx(answer["arms"][tree_bundle.arms[0]]["expected"], abs=1e-6)
    agreement = [one["fold_sign_agreement"] for one in explanation["contributions"]]
    assert agreement
    assert all(share is None or 0 <= share <= 1 for share in agreement)
    assert answer_bytes(score_features(features, {}, tree_bundle, **arguments)) == answer_bytes(answer)


def test_the_output_that_is_explained_is_the_expectation_that_is_shown(
    bundle: ModelBundle, person: dict[str, Any]
) -> None:
    answer = score_features(**person, bundle=bundle)
    assert answer["explanation"]["output"] == answer["arms"][answer["explanation"]["arm"]]["expected"]


@pytest.mark.parametrize("lost", ["nothing", "a feature", "the covariates", "what made them"])
def test_written_at_once_the_answer_has_the_same_bytes(
    bundle: ModelBundle, tree_bundle: ModelBundle, person: dict[str, Any], lost: str
) -> None:
    known = dict(person)
    if lost == "a feature":
        known["features"] = dict(person["features"]) | {next(iter(person["features"])): None}
    elif lost == "the covariates":
        known["covariates"] = {}
    elif lost == "what made them":
        known["recipe_hash"] = "sha256:" + "0" * 64
    expected = answer_bytes(score_features(**known, bundle=bundle))
    assert score_features_as_json(**known, bundle=bundle) == expected
    of_trees: dict[str, Any] = {
        "features": dict.fromkeys(tree_bundle.feature_names, 0.8),
        "covariates": {},
        "recipe_hash": None if lost == "what made them" else tree_bundle.recipe_hashes[0],
        "input_digest": None,
    }
    expected = answer_bytes(score_features(**of_trees, bundle=tree_bundle))
    assert score_features_as_json(**of_trees, bundle=tree_bundle) == expected


def test_written_at_once_an_answer_with_deviations_has_the_same_bytes(deviation_bundle: ModelBundle) -> None:
    names = deviation_bundle.feature_names
    known: dict[str, Any] = {
        "features": {**dict.fromkeys(names, 0.1), names[0]: 3.0, names[2]: None},
        "covariates": {"age": 40.0, "sex": "X", "caps5_total_baseline": 44.0},
        "recipe_hash": deviation_bundle.recipe_hashes[0],
        "input_digest": None,
    }
    content = score_features_as_json(**known, bundle=deviation_bundle)
    assert content == answer_bytes(score_features(**known, bundle=deviation_bundle))
    assert b'"deviations":{' in content


def test_written_at_once_a_withheld_explanation_is_null(
    bundle: ModelBundle, person: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("predictor.pipeline.explain_or_withhold", lambda *_, **__: None)
    content = score_features_as_json(**person, bundle=bundle)
    assert content == answer_bytes(score_features(**person, bundle=bundle))
    assert b'"explanation":null' in content

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from predictor.features.recipe import default_recipe
from predictor.model.applicability import assess_applicability
from predictor.model.bundle import ModelBundle
from predictor.model.person_inputs import person_inputs
from predictor.scan.quality import QualityReport, Reason, RunQuality

KNOWN = {"caps5_total_baseline": 44.0, "site": "A"}


def assess(
    bundle: ModelBundle,
    features: dict[str, float | None] | None = None,
    covariates: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Reason]:
    if features is None:
        features = dict.fromkeys(bundle.feature_names, 0.0)
    person = person_inputs(features, KNOWN if covariates is None else covariates, bundle)
    options = {"quality": None, "recipe_hash": bundle.recipe_hashes[0], **options}
    reasons = assess_applicability(person, bundle, **options)
    assert len({reason.code for reason in reasons}) == len(reasons)
    return {reason.code: reason for reason in reasons}


def quality_of(motion_mm: float, *reasons: Reason) -> QualityReport:
    run = RunQuality(
        kind="rest",
        n_volumes=200,
        n_volumes_kept=190,
        minutes=6.7,
        minutes_kept=6.3,
        mean_framewise_displacement_mm=motion_mm,
        share_censored=0.05,
        median_temporal_snr=60.0,
        mean_dvars=None,
        mean_std_dvars=None,
        coverage={},
        temporal_snr={},
        confound_strategy="motion24_wm_csf",
        fallback_reason=None,
    )
    return QualityReport((run,), reasons)


@pytest.fixture(scope="module")
def dense(make_bundle: Callable[..., ModelBundle], least_squares: Callable[[], Any]) -> ModelBundle:
    """Return a bundle whose model uses all five features."""
    return make_bundle(make_regressor=least_squares)


def test_someone_like_the_training_people_gets_no_reason(bundle: ModelBundle) -> None:
    assert assess(bundle) == {}


def test_most_training_people_get_no_reason(cohort: Any, bundle: ModelBundle) -> None:
    flagged = 0
    complete = cohort.table.dropna()
    for _, row in complete.iterrows():
        features = {name: float(row[name]) for name in cohort.feature_names}
        covariates = {covariate.name: row[covariate.name] for covariate in cohort.covariates}
        flagged += bool(assess(bundle, features, covariates))
    assert flagged <= 1


def test_features_by_another_recipe_are_refused_and_by_an_unknown_one_flagged(bundle: ModelBundle) -> None:
    assert assess(bundle, recipe_hash="sha256:" + "0" * 64)["recipe-mismatch"].severity == "refuse"
    assert assess(bundle, recipe_hash=None)["provenance-unknown"].severity == "flag"


def test_missing_features_count_only_if_the_model_uses_them(bundle: ModelBundle, dense: ModelBundle) -> None:
    unused = bundle.feature_names[int(np.flatnonzero(~bundle.model.is_used[:5])[0])]
    features: dict[str, float | None] = dict.fromkeys(bundle.feature_names, 0.0)
    assert assess(bundle, {**features, unused: None}) == {}
    two_gone = {**features, bundle.feature_names[0]: None, bundle.feature_names[3]: None}
    reason = assess(dense, two_gone, missing_reasons={bundle.feature_names[0]: "no rest run"})["missing-features"]
    assert reason.severity == "flag"
    assert "2 of 5 features" in reason.detail
    assert bundle.feature_names[3] in reason.detail
    assert "no rest run" in reason.detail


def test_more_than_half_missing_is_refused(dense: ModelBundle) -> None:
    some: dict[str, float | None] = dict.fromkeys(dense.feature_names[:2], 0.0)
    assert assess(dense, some)["too-many-missing"].severity == "refuse"


def test_a_missing_covariate_is_flagged(dense: ModelBundle) -> None:
    assert "caps5_total_baseline" in assess(dense, covariates={"site": "A"})["missing-covariates"].detail


@pytest.mark.parametrize("site", ["Z", None])
def test_an_unseen_site_is_flagged_or_refused_as_the_bundle_says(bundle: ModelBundle, site: str | None) -> None:
    covariates = {**KNOWN, "site": site}
    assert assess(bundle, covariates=covariates)["unseen-site"].severity == "flag"
    strict = replace(bundle, unseen_site_policy="refuse")
    assert assess(strict, covariates=covariates)["unseen-site"].severity == "refuse"


def test_someone_far_from_everyone_is_flagged(bundle: ModelBundle) -> None:
    far = dict.fromkeys(bundle.feature_names, 5.0)
    assert "5." in assess(bundle, far)["out-of-distribution"].detail


def test_one_stray_input_that_the_model_uses_is_named(make_bundle: Any, make_cohort: Any) -> None:
    wide = make_bundle(make_cohort(n_features=40))
    used = wide.feature_names[int(np.flatnonzero(wide.model.is_used)[0])]
    unused = wide.feature_names[int(np.flatnonzero(~wide.model.is_used)[0])]
    features = dict.fromkeys(wide.feature_names, 0.0)
    assert used in assess(wide, {**features, used: 4.9})["out-of-distribution"].detail
    assert assess(wide, {**features, unused: 4.9}) == {}


def test_one_stray_covariate_is_named_however_many_features_there_are(make_bundle: Any, make_cohort: Any) -> None:
    wide = make_bundle(make_cohort(n_features=200, n_people=300), make_regressor=Ridge)
    assert wide.model.is_used.sum() > 100, "so that one input in a hundred may stray"
    slip = {**KNOWN, "caps5_total_baseline": 80.0}
    assert assess(wide) == {}
    assert "caps5_total_baseline" in assess(wide, covariates=slip)["out-of-distribution"].detail
    far = dict.fromkeys(wide.feature_names, 5.0)
    assert "caps5_total_baseline" in assess(wide, far, slip)["out-of-distribution"].detail


def test_more_motion_than_in_training_is_flagged_with_both_numbers(bundle: ModelBundle) -> None:
    limit = bundle.training_range.largest_motion_mm["rest"]
    assert assess(bundle, quality=quality_of(limit - 0.01)) == {}
    detail = assess(bundle, quality=quality_of(0.42))["motion-high"].detail
    assert detail == (
        f"rest: mean framewise displacement 0.42 mm; the model was trained on visits up to {limit:.2f} mm"
    )


def test_motion_may_come_as_a_feature(bundle: ModelBundle) -> None:
    features = dict.fromkeys(bundle.feature_names, 0.0) | {"quality_mean_framewise_displacement_mm__rest": 0.42}
    assert "motion-high" in assess(replace(bundle, recipe=default_recipe()), features)


def test_reasons_of_the_quality_report_are_passed_on_and_motion_is_told_once(bundle: ModelBundle) -> None:
    refusal = Reason("motion-high", "refuse", "rest: mean framewise displacement 1.20 mm")
    coverage = Reason("coverage-low", "flag", "rest: vmPFC 0.31")
    found = assess(bundle, quality=quality_of(1.2, refusal, coverage))
    assert found == {"motion-high": refusal, "coverage-low": coverage}


def test_a_model_without_arms_says_that_it_is_prognostic_only(make_bundle: Any, make_cohort: Any) -> None:
    prognostic = make_bundle(make_cohort(covariates=()))
    assert "prognostic-only" in assess(prognostic, covariates={})


def test_a_connection_that_acts_through_counts_only_is_missed_when_it_is_missing(deviation_bundle: ModelBundle) -> None:
    everything = {"age": 40.0, "sex": "F", **KNOWN}
    features: dict[str, float | None] = dict.fromkeys(deviation_bundle.feature_names, 0.0)
    assert not deviation_bundle.model.is_used[3]
    assert deviation_bundle.is_needed[3]
    found = assess(deviation_bundle, {**features, deviation_bundle.feature_names[3]: None}, everything)
    assert deviation_bundle.feature_names[3] in found["missing-features"].detail
    assert "deviation_" not in found["missing-features"].detail
    assert "missing-features" not in assess(deviation_bundle, features, everything)


def test_a_person_whom_the_reference_cannot_place_is_flagged(deviation_bundle: ModelBundle) -> None:
    features: dict[str, float | None] = dict.fromkeys(deviation_bundle.feature_names, 0.0)
    found = assess(deviation_bundle, features, {"age": 40.0, **KNOWN})
    assert found["reference-pooled"].severity == "flag"
    assert found["reference-pooled"].detail.endswith("compared with all controls: sex")
    assert "missing-covariates" not in found
    assert "reference-pooled" not in assess(deviation_bundle, features, {"age": 40.0, "sex": "M", **KNOWN})


def test_a_person_far_outside_the_controls_is_flagged_although_age_is_no_input(deviation_bundle: ModelBundle) -> None:
    features: dict[str, float | None] = dict.fromkeys(deviation_bundle.feature_names, 0.0)
    assert "reference-extrapolated" not in assess(deviation_bundle, features, {"age": 40.0, "sex": "M", **KNOWN})
    found = assess(deviation_bundle, features, {"age": 95.0, "sex": "M", **KNOWN})
    assert found["reference-extrapolated"].severity == "flag"
    assert found["reference-extrapolated"].detail.endswith("what is expected is extrapolated: age")

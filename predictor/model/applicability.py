"""Is this person inside what the model knows? Reasons if not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from predictor.features.feature_catalogue import quality_feature_name
from predictor.model.bundle import ModelBundle
from predictor.model.person_inputs import SHOWN_NAMES, PersonInputs
from predictor.scan.quality import QualityReport, Reason
from predictor.scan.task_description import RUN_KINDS

# Of the features that the model uses; beyond it, imputation would speak more than the person. [assumed]
MAX_MISSING_SHARE = 0.5
# An input further out than this, and than anyone in training, is an extrapolation. [assumed]
EXTREME_STANDARD_SCORE = 4.0
# Among very many features a few stray ones are expected of everyone. [assumed]
MAX_EXTREME_SHARE = 0.01


def assess_applicability(
    person: PersonInputs,
    bundle: ModelBundle,
    *,
    quality: QualityReport | None,
    recipe_hash: str | None,
    missing_reasons: Mapping[str, str] | None = None,
) -> tuple[Reason, ...]:
    """Everything that speaks against trusting, or giving, an answer.

    Parameters
    ----------
    person
        The person as the model sees them.
    bundle
        The model, and what its training people were like.
    quality
        Quality of the scans, None for ready features.
    recipe_hash
        By which recipe the features were made, None if unknown.
    missing_reasons
        Why features are missing, by feature.

    Returns
    -------
    tuple of Reason
        Those of the quality report first. Codes: recipe-mismatch, too-many-missing (refuse), unseen-site (as the
        bundle says), provenance-unknown, missing-features, missing-covariates, reference-pooled,
        reference-extrapolated, motion-high, out-of-distribution, prognostic-only (flag).
    """
    found = [
        *(quality.reasons if quality else ()),
        *_provenance_reasons(recipe_hash, bundle),
        *_missing_reasons(person, bundle, missing_reasons or {}),
        *_site_reasons(person, bundle),
        *_reference_reasons(person),
        *_distribution_reasons(person, bundle),
    ]
    if not any(reason.code == "motion-high" for reason in found):
        found += _motion_reasons(person, quality, bundle)
    if len(bundle.arms) < 2:
        found.append(
            Reason(
                "prognostic-only",
                "flag",
                "the model was trained without a comparison of treatments, so it says nothing about the benefit of one",
            )
        )
    return tuple(found)


def _provenance_reasons(recipe_hash: str | None, bundle: ModelBundle) -> Iterator[Reason]:
    if recipe_hash is None:
        yield Reason(
            "provenance-unknown", "flag", "no recipe hash came with the features, so how they were made is not known"
        )
    elif recipe_hash not in bundle.recipe_hashes:
        yield Reason(
            "recipe-mismatch",
            "refuse",
            "the features were made by another recipe, or another version of it, than those the model was trained on",
        )


def _missing_reasons(person: PersonInputs, bundle: ModelBundle, why: Mapping[str, str]) -> Iterator[Reason]:
    is_missing = np.isnan(person.values)
    if not is_missing.any():
        return
    plan = bundle.plan
    lost = np.flatnonzero(plan.is_needed & is_missing[: len(plan.is_needed)])
    if len(lost):
        names = [plan.feature_names[number] for number in lost]
        causes = sorted({why[name] for name in names if name in why})
        because = f" ({'; '.join(causes[:SHOWN_NAMES])})" if causes else ""
        detail = f"{len(lost)} of {plan.n_needed} features that the model uses are missing: {_shown(names)}{because}"
        is_too_many = len(lost) > MAX_MISSING_SHARE * plan.n_needed
        yield Reason(*(("too-many-missing", "refuse") if is_too_many else ("missing-features", "flag")), detail)
    is_lost = plan.is_used & is_missing
    absent = [c.name for c, inputs in plan.inputs_of if c.role != "site" and is_lost[inputs].any()]
    if absent:
        detail = f"not given, so the training median is taken: {_shown(absent)}"
        yield Reason("missing-covariates", "flag", detail)


def _site_reasons(person: PersonInputs, bundle: ModelBundle) -> Iterator[Reason]:
    for covariate in bundle.covariates:
        if covariate.role != "site":
            continue
        value = person.covariates.get(covariate.name)
        if covariate.level_of(value) is None:
            what = "no site is given" if value is None else "the model has seen no one from this site"
            detail = f"{what}; it was trained on {_shown(list(covariate.levels))}"
            if bundle.unseen_site_policy == "refuse":
                yield Reason("unseen-site", "refuse", detail)
                continue
            if bundle.harmonization:
                site = bundle.harmonization.reference_site
                detail += f"; the features are taken as they are, as if from {site or 'an average site'}"
            yield Reason("unseen-site", "flag", detail)


def _reference_reasons(person: PersonInputs) -> Iterator[Reason]:
    if person.deviations and person.deviations.pooled:
        names = _shown(list(person.deviations.pooled))
        detail = f"not known, or not seen in any control, so the person is compared with all controls: {names}"
        yield Reason("reference-pooled", "flag", detail)
    if person.deviations and person.deviations.extrapolated:
        names = _shown(list(person.deviations.extrapolated))
        detail = f"far outside the range of the controls, so what is expected is extrapolated: {names}"
        yield Reason("reference-extrapolated", "flag", detail)


def _distribution_reasons(person: PersonInputs, bundle: ModelBundle) -> Iterator[Reason]:
    training, n_features = bundle.training_range, bundle.n_features
    scores = training.standard_scores(person.values)
    distance = training.mean_square(scores)
    is_far = distance > training.largest_distance
    stray = _stray_inputs(person, bundle, scores)
    n_expected = MAX_EXTREME_SHARE * bundle.plan.n_used_features
    if len(stray) and (is_far or np.count_nonzero(stray < n_features) <= n_expected):
        # Covariates are few, so none is expected to stray; one that does moves the answer as far as it likes.
        stray = stray[stray >= n_features]
    details = []
    if is_far:
        details.append(
            f"the features lie {np.sqrt(distance):.2f} standard deviations from the training mean (root mean square); "
            f"no training visit lay further from the others than {np.sqrt(training.largest_distance):.2f}"
        )
    if len(stray):
        names = [bundle.model.input_names[number] for number in stray]
        details.append(
            f"outside the training range and more than {EXTREME_STANDARD_SCORE:g} standard deviations from its mean: "
            f"{_shown(names)}"
        )
    if details:
        yield Reason("out-of-distribution", "flag", "; ".join(details))


def _stray_inputs(person: PersonInputs, bundle: ModelBundle, scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Numbers of the inputs that the model uses and that lie far outside what it was trained on."""
    training, values = bundle.training_range, person.values
    extreme = np.flatnonzero(np.abs(scores) > EXTREME_STANDARD_SCORE)
    if not len(extreme):
        return extreme
    is_outside = (values < training.minimum) | (values > training.maximum)
    return extreme[(bundle.plan.is_used & is_outside)[extreme]]


def _motion_reasons(person: PersonInputs, quality: QualityReport | None, bundle: ModelBundle) -> list[Reason]:
    found = []
    for kind in RUN_KINDS:
        limit = bundle.training_range.largest_motion_mm.get(kind)
        if limit is None:
            continue
        if quality is None:
            moved = person.features.get(quality_feature_name("mean_framewise_displacement_mm", kind))
        else:
            moved = quality.mean_framewise_displacement_mm(kind)
        if moved is not None and moved > limit:
            detail = (
                f"{kind}: mean framewise displacement {moved:.2f} mm; "
                f"the model was trained on visits up to {limit:.2f} mm"
            )
            found.append(Reason("motion-high", "flag", detail))
    return found


def _shown(names: list[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")

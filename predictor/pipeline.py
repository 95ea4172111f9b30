"""The whole flow: scan -> quality and features -> applicability -> prediction -> explanation -> answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from predictor.errors import BundleIncompatibleError
from predictor.features.extraction import extract_features, session_quality
from predictor.features.recipe import Recipe
from predictor.features.run_preparation import session_confounds
from predictor.model.answer import build_answer, deviations_document, status_of, write_answer
from predictor.model.applicability import assess_applicability
from predictor.model.bundle import ModelBundle
from predictor.model.explanation import explain_or_withhold
from predictor.model.outcome_definition import CovariateValue
from predictor.model.person_inputs import person_inputs
from predictor.model.prediction import predict_response
from predictor.model.scan_noise import scan_noise_variance
from predictor.scan.quality import QualityReport, Reason
from predictor.scan.session import BaselineSession

_Form = TypeVar("_Form", dict[str, Any], bytes)
EXPLANATION_WITHHELD = Reason(
    "explanation-withheld", "flag", "the contributions did not add up to the output, so none are shown"
)


def score_session(
    session: BaselineSession,
    covariates: Mapping[str, CovariateValue],
    bundle: ModelBundle,
    *,
    promoted: bool = False,
) -> dict[str, Any]:
    """Answer for one visit's scans, with features made by the bundle's own recipe.

    Parameters
    ----------
    session
        The visit; any of its runs may be absent.
    covariates
        Value by covariate name, None when missing. The arm may be left out: every arm is answered for.
    bundle
        The model.
    promoted
        Whether the model was asked for as the promoted one.

    Returns
    -------
    dict
        The answer document.

    Raises
    ------
    BundleIncompatibleError
        If the model was trained on ready features, so that nobody knows how to make them from a scan.
    TableError
        If a covariate or one of its levels is unknown.
    """
    recipe = recipe_of(bundle)
    confounds = session_confounds(session, recipe)
    vector = extract_features(session, recipe, confounds=confounds)
    reasons = zip(vector.names, vector.missing_reasons, strict=True)
    return _answer(
        vector.by_name(),
        covariates,
        bundle,
        quality=session_quality(session, recipe, confounds=confounds),
        recipe_hash=vector.recipe_hash,
        input_digest=vector.input_digest,
        missing_reasons={name: reason for name, reason in reasons if reason is not None},
        standard_errors=vector.standard_errors_by_name(),
        promoted=promoted,
        form=build_answer,
    )


def score_features(
    features: Mapping[str, float | None],
    covariates: Mapping[str, CovariateValue],
    bundle: ModelBundle,
    *,
    recipe_hash: str | None,
    input_digest: str | None,
    promoted: bool = False,
) -> dict[str, Any]:
    """Answer for ready features of one visit.

    Parameters
    ----------
    features
        Value by feature name, None when missing; features left out are missing too.
    covariates, bundle, promoted
        As for `score_session`.
    recipe_hash, input_digest
        What came with the features, None if nothing did.

    Returns
    -------
    dict
        The answer document.

    Raises
    ------
    UnknownFeatureError
        If a name is no feature of the model.
    ValueOutOfRangeError
        If a value is not a finite number, or none that such a measure can have.
    TableError
        If a covariate or one of its levels is unknown.
    """
    return _answer(
        features,
        covariates,
        bundle,
        recipe_hash=recipe_hash,
        input_digest=input_digest,
        promoted=promoted,
        form=build_answer,
    )


def score_features_as_json(
    features: Mapping[str, float | None],
    covariates: Mapping[str, CovariateValue],
    bundle: ModelBundle,
    *,
    recipe_hash: str | None,
    input_digest: str | None,
    promoted: bool = False,
) -> bytes:
    """Return `answer_bytes` of `score_features`, in two thirds of the time.

    Parameters
    ----------
    features, covariates, bundle, recipe_hash, input_digest, promoted
        As for `score_features`, and so are the errors.
    """
    return _answer(
        features,
        covariates,
        bundle,
        recipe_hash=recipe_hash,
        input_digest=input_digest,
        promoted=promoted,
        form=write_answer,
    )


def recipe_of(bundle: ModelBundle) -> Recipe:
    """Return how the model's features are made from scans.

    Raises
    ------
    BundleIncompatibleError
        If the model was trained on ready features.
    """
    if bundle.recipe is None:
        raise BundleIncompatibleError(
            "the model was trained on ready features and cannot score scans.",
            remedy="Send its features instead, or choose a model that was trained on scans.",
        )
    return bundle.recipe


def _answer(
    features: Mapping[str, float | None],
    covariates: Mapping[str, CovariateValue],
    bundle: ModelBundle,
    *,
    recipe_hash: str | None,
    input_digest: str | None,
    promoted: bool,
    form: Callable[..., _Form],
    # Known of scans only.
    quality: QualityReport | None = None,
    missing_reasons: Mapping[str, str] = MappingProxyType({}),
    standard_errors: Mapping[str, float | None] = MappingProxyType({}),
) -> _Form:
    person = person_inputs(features, covariates, bundle)
    reasons = assess_applicability(
        person, bundle, quality=quality, recipe_hash=recipe_hash, missing_reasons=missing_reasons
    )
    prediction = explanation = None
    if status_of(reasons) != "refused":
        arm = bundle.arms[0]
        noise = scan_noise_variance(bundle, person, standard_errors, arm=arm)
        prediction = predict_response(bundle, person.values, noise_variance=noise)
        explanation = explain_or_withhold(bundle, person, arm=arm, output=prediction.arms[arm].expected)
        reasons += (EXPLANATION_WITHHELD,) if explanation is None else ()
    return form(
        bundle,
        reasons=reasons,
        prediction=prediction,
        explanation=explanation,
        quality=quality.document() if quality else {},
        deviations=deviations_document(bundle, person, standard_errors),
        recipe_hash=recipe_hash,
        input_digest=input_digest,
        promoted=promoted,
    )

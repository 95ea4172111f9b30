"""The answer document: what the command line and the service give, byte for byte the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from predictor.model.bundle import ModelBundle
from predictor.model.canonical_json import answer_json
from predictor.model.explanation import Explanation
from predictor.model.out_of_fold import Interval
from predictor.model.person_inputs import PersonInputs
from predictor.model.prediction import Prediction
from predictor.model.scan_noise import deviation_standard_errors
from predictor.model.sentence import explanation_sentence
from predictor.scan.quality import Reason

# A text of a document cannot hold it: there, quotation marks are escaped.
_NO_CONTRIBUTIONS = b'"contributions":[]'


def build_answer(
    bundle: ModelBundle,
    *,
    reasons: Sequence[Reason],
    prediction: Prediction | None,
    explanation: Explanation | None,
    quality: Mapping[str, Any],
    recipe_hash: str | None,
    input_digest: str | None,
    promoted: bool,
    deviations: Mapping[str, Any] | None = None,
    with_contributions: bool = True,
) -> dict[str, Any]:
    """Put the answer together.

    Parameters
    ----------
    bundle
        The model that answers.
    reasons
        Why it is flagged or refused; refusals are put first.
    prediction, explanation
        None when refused (prediction) or withheld (explanation).
    quality
        Quality numbers by run; empty for ready features.
    recipe_hash, input_digest
        Where the features come from, None if unknown.
    promoted
        Whether the model was asked for as the promoted one.
    deviations
        `deviations_document` of the person, None when the model compares no one with controls.
    with_contributions
        Whether the explanation's list of contributions is filled in.

    Returns
    -------
    dict
        JSON-able. Without `arms` and what follows from them when refused.
    """
    document: dict[str, Any] = {
        "status": status_of(reasons),
        "research_use_only": True,
        "reasons": [r.document() for r in sorted(reasons, key=lambda reason: reason.severity != "refuse")],
        "outcome": {
            "name": bundle.outcome.name,
            "unit": bundle.outcome.unit,
            "better": bundle.outcome.better,
            "response_rule": bundle.outcome.response_rule,
        },
        "quality": dict(quality),
        "model": {
            "name": bundle.name,
            "digest": bundle.digest,
            "trained_on": bundle.trained_on,
            "promoted": promoted,
        },
        "provenance": {"recipe_hash": recipe_hash, "input_digest": input_digest},
    }
    if prediction is not None:
        document |= _prediction_document(prediction)
        document["explanation"] = (
            _explanation_document(explanation, bundle, with_contributions=with_contributions) if explanation else None
        )
        if deviations is not None:
            document["deviations"] = dict(deviations)
    return document


def write_answer(bundle: ModelBundle, *, explanation: Explanation | None, **parts: Any) -> bytes:
    """Return `answer_bytes` of `build_answer`, sooner: contributions are written without being named one by one.

    Parameters
    ----------
    bundle, explanation, parts
        As for `build_answer`.
    """
    document = build_answer(bundle, explanation=explanation, with_contributions=False, **parts)
    content = answer_bytes(document)
    if not document.get("explanation"):
        return content
    assert explanation is not None
    written = explanation.contributions.to_json()
    return content.replace(_NO_CONTRIBUTIONS, _NO_CONTRIBUTIONS[:-2] + written, 1)


def deviations_document(
    bundle: ModelBundle, person: PersonInputs, standard_errors: Mapping[str, float | None]
) -> dict[str, Any] | None:
    """Return how far the person is from what is expected of controls; None when the model compares no one with them.

    Counts are of the connections that were measured; z is above 0 where a connection is stronger than expected.
    """
    step, found = bundle.deviations, person.deviations
    if step is None or found is None:
        return None
    errors = deviation_standard_errors(bundle, person, standard_errors)
    is_known = np.isfinite(found.z)
    known = found.z[is_known]
    return {
        "edges": [
            {"feature": name, "z": _or_none(z), "standard_error": _or_none(error)}
            for name, z, error in zip(step.reference.sources, found.z, errors, strict=True)
        ],
        "hypoconnected_edges": int((known < -step.threshold).sum()),
        "hyperconnected_edges": int((known > step.threshold).sum()),
        "mean": float(known.mean()) if len(known) else None,
        "n_edges": len(known),
        "threshold": step.threshold,
        "reference": {
            "n_people": step.reference.n_people,
            "expected_given": [covariate.name for covariate in step.reference.covariates],
            "pooled_over": list(found.pooled),
        },
    }


def status_of(reasons: Sequence[Reason]) -> str:
    """Return "ok", "flagged" or "refused", as the strongest reason says."""
    if any(reason.severity == "refuse" for reason in reasons):
        return "refused"
    return "flagged" if reasons else "ok"


def answer_bytes(answer: Mapping[str, Any]) -> bytes:
    """Return the one spelling of an answer: UTF-8, sorted keys, every digit, no NaN, no line break."""
    return answer_json(answer, n_missing=_n_missing(answer))


def _n_missing(answer: Mapping[str, Any]) -> int:
    """Count the values that are None where answers to ready features have them, each once."""
    explanation, arms = answer.get("explanation"), answer.get("arms") or {}
    groups: list[Iterable[Any]] = [answer.values(), answer["provenance"].values()]
    groups += [arm.values() for arm in arms.values()]
    n_missing = sum(value is None for group in groups for value in group)
    if explanation is not None:
        for name in ("value", "fold_sign_agreement"):
            n_missing += [contribution[name] for contribution in explanation["contributions"]].count(None)
    return n_missing


def _prediction_document(prediction: Prediction) -> dict[str, Any]:
    benefit, shares = prediction.benefit, prediction.uncertainty_shares
    return {
        "arms": {
            name: {
                "expected": arm.expected,
                "interval": _interval_document(arm.interval),
                "response_probability": arm.response_probability,
            }
            for name, arm in prediction.arms.items()
        },
        "benefit": {
            "expected": benefit.expected,
            "interval": _interval_document(benefit.interval),
            "about": benefit.about,
        }
        if benefit
        else None,
        "uncertainty_sources": [
            {"source": source, "share": share} for source, share in sorted(shares.items(), key=lambda item: -item[1])
        ],
    }


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _interval_document(interval: Interval) -> dict[str, float]:
    return {"level": interval.level, "lower": interval.lower, "upper": interval.upper}


def _explanation_document(explanation: Explanation, bundle: ModelBundle, *, with_contributions: bool) -> dict[str, Any]:
    return {
        "arm": explanation.arm,
        "base_value": explanation.base_value,
        "output": explanation.output,
        "additivity_error": explanation.additivity_error,
        "sentence": explanation_sentence(explanation, bundle),
        "contributions": [one.document() for one in explanation.contributions] if with_contributions else [],
        "by_circuit": explanation.contributions.by_circuit,
        "by_kind": explanation.contributions.by_kind,
    }

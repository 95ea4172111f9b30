from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from predictor.model.answer import answer_bytes, status_of
from predictor.model.bundle import ModelBundle
from predictor.model.outcome_definition import OutcomeDefinition
from predictor.pipeline import score_features
from predictor.scan.quality import Reason

# The contract, field by field.
ANSWERED = {
    "status", "research_use_only", "reasons", "outcome", "arms", "benefit", "uncertainty_sources", "explanation",
    "quality", "model", "provenance",
}  # fmt: skip
REFUSED = {"status", "research_use_only", "reasons", "outcome", "quality", "model", "provenance"}
EXPLANATION = {
    "arm", "base_value", "output", "additivity_error", "sentence", "contributions", "by_circuit", "by_kind",
}  # fmt: skip
CONTRIBUTION = {"feature", "value", "unit", "contribution", "circuit", "kind", "fold_sign_agreement"}


def test_the_answer_has_the_fields_of_the_contract(bundle: ModelBundle, person: dict[str, Any]) -> None:
    answer = score_features(**person, bundle=bundle)
    assert set(answer) == ANSWERED
    assert answer["research_use_only"] is True
    assert set(answer["outcome"]) == {"name", "unit", "better", "response_rule"}
    assert set(answer["arms"]) == {"ketamine", "midazolam"}
    for arm in answer["arms"].values():
        assert set(arm) == {"expected", "interval", "response_probability"}
        assert set(arm["interval"]) == {"level", "lower", "upper"}
    assert set(answer["benefit"]) == {"expected", "interval", "about"}
    assert answer["benefit"]["about"] == "people like this one, not this individual"
    assert set(answer["explanation"]) == EXPLANATION
    assert all(set(contribution) == CONTRIBUTION for contribution in answer["explanation"]["contributions"])
    assert set(answer["model"]) == {"name", "digest", "trained_on", "promoted"}
    assert set(answer["provenance"]) == {"recipe_hash", "input_digest"}
    assert {source["source"] for source in answer["uncertainty_sources"]} == {"residual", "model"}
    assert sum(source["share"] for source in answer["uncertainty_sources"]) == pytest.approx(1.0)


def test_a_refused_answer_has_reasons_and_quality_but_no_arms(bundle: ModelBundle, person: dict[str, Any]) -> None:
    answer = score_features(**{**person, "recipe_hash": "sha256:" + "0" * 64}, bundle=bundle)
    assert answer["status"] == "refused"
    assert set(answer) == REFUSED


def test_the_status_is_the_strongest_reasons_and_refusals_come_first(
    bundle: ModelBundle, person: dict[str, Any]
) -> None:
    flag, refusal = Reason("a", "flag", ""), Reason("b", "refuse", "")
    assert [status_of(reasons) for reasons in ([], [flag], [flag, refusal])] == ["ok", "flagged", "refused"]
    strict = replace(bundle, unseen_site_policy="refuse")
    unseen = {**person, "covariates": {**person["covariates"], "site": "Z"}, "recipe_hash": None}
    reasons = score_features(**unseen, bundle=strict)["reasons"]
    assert [reason["code"] for reason in reasons] == ["unseen-site", "provenance-unknown"]


def test_one_arm_is_called_by_its_name_or_all_and_has_no_benefit(
    make_bundle: Any, make_cohort: Any, person: dict[str, Any]
) -> None:
    answer = score_features(**{**person, "covariates": {}}, bundle=make_bundle(make_cohort(covariates=())))
    assert set(answer["arms"]) == {"all"}
    assert answer["explanation"]["arm"] == "all"
    assert answer["benefit"] is None
    assert [reason["code"] for reason in answer["reasons"]] == ["prognostic-only"]


def test_without_a_response_rule_the_probability_is_null(bundle: ModelBundle, person: dict[str, Any]) -> None:
    other = replace(bundle, outcome=OutcomeDefinition("pain_sensitivity", "z", "lower"))
    answer = score_features(**person, bundle=other)
    assert answer["outcome"]["response_rule"] is None
    assert all(arm["response_probability"] is None for arm in answer["arms"].values())


def test_the_bytes_are_the_same_whatever_the_order_and_survive_a_round_trip(
    bundle: ModelBundle, person: dict[str, Any]
) -> None:
    answer = score_features(**person, bundle=bundle)
    content = answer_bytes(answer)
    assert answer_bytes(dict(reversed(answer.items()))) == content
    assert answer_bytes(json.loads(content)) == content
    assert json.loads(content) == answer


def test_a_bundle_with_a_reference_lists_how_far_the_person_deviates(deviation_bundle: ModelBundle) -> None:
    names = deviation_bundle.feature_names
    features: dict[str, float | None] = {**dict.fromkeys(names, 0.1), names[0]: 3.0, names[1]: -3.0, names[2]: None}
    known = {"age": 40.0, "sex": "X", "caps5_total_baseline": 44.0, "site": "A"}
    arguments = {"recipe_hash": deviation_bundle.recipe_hashes[0], "input_digest": None}
    answer = score_features(features, known, deviation_bundle, **arguments)
    found = answer["deviations"]
    assert set(answer) == ANSWERED | {"deviations"}
    assert set(found) == {
        "edges", "hypoconnected_edges", "hyperconnected_edges", "mean", "n_edges", "threshold", "reference",
    }  # fmt: skip
    assert [edge["feature"] for edge in found["edges"]] == list(names[:4])
    z = [edge["z"] for edge in found["edges"]]
    assert z[0] > 1.96
    assert z[1] < -1.96
    assert z[2] is None
    assert all(edge["standard_error"] is None for edge in found["edges"])
    assert (found["hypoconnected_edges"], found["hyperconnected_edges"], found["n_edges"]) == (1, 1, 3)
    assert found["mean"] == pytest.approx((z[0] + z[1] + z[3]) / 3)
    assert found["reference"] == {"n_people": 45, "expected_given": ["age", "sex"], "pooled_over": ["sex"]}
    assert json.loads(answer_bytes(answer)) == answer
    refused = score_features(features, known, deviation_bundle, **{**arguments, "recipe_hash": "sha256:" + "0" * 64})
    assert set(refused) == REFUSED


@pytest.mark.parametrize("spoil", ["contribution", "value", "expected", "quality"])
def test_an_answer_never_says_null_for_what_is_no_number(
    bundle: ModelBundle, person: dict[str, Any], spoil: str
) -> None:
    answer = score_features(**person, bundle=bundle)
    assert answer_bytes(answer)
    if spoil == "expected":
        answer["arms"]["ketamine"]["expected"] = math.nan
    elif spoil == "quality":
        answer["quality"] = {"rest": {"n_runs": None, "minutes_kept": math.inf}}
    else:
        answer["explanation"]["contributions"][0][spoil] = math.nan
    with pytest.raises(ValueError, match="not finite"):
        answer_bytes(answer)

from __future__ import annotations

from typing import Any

from predictor.model.bundle import ModelBundle
from predictor.pipeline import score_features
from predictor.report.summary import summarise_answer


def test_the_summary_tells_sentence_intervals_reasons_and_whom_it_is_for(
    bundle: ModelBundle, person: dict[str, Any]
) -> None:
    answer = score_features(**{**person, "recipe_hash": None}, bundle=bundle)
    words = summarise_answer(answer)
    arm = answer["arms"]["midazolam"]
    assert words.startswith(answer["explanation"]["sentence"])
    assert f"{arm['expected']:.3g} percent (90% interval {arm['interval']['lower']:.3g} to" in words
    assert f"response (at least 30 percent): {arm['response_probability']:.0%}" in words
    assert "benefit: " in words
    assert "people like this one, not this individual" in words
    assert "provenance-unknown (flag): " in words
    assert words.endswith("Research use only.")


def test_a_refusal_gives_no_number(bundle: ModelBundle, person: dict[str, Any]) -> None:
    words = summarise_answer(score_features(**{**person, "recipe_hash": "sha256:0"}, bundle=bundle))
    assert words.startswith("No prediction is given for this visit.")
    assert "recipe-mismatch (refuse)" in words
    assert "interval" not in words


def test_a_withheld_explanation_and_a_model_without_arms_are_shown_too(
    make_bundle: Any, make_cohort: Any, person: dict[str, Any]
) -> None:
    bundle = make_bundle(make_cohort(covariates=()))
    answer = score_features(**{**person, "covariates": {}}, bundle=bundle)
    words = summarise_answer({**answer, "explanation": None})
    assert "  all  " in words
    assert "benefit" not in words.split("prognostic-only")[0]

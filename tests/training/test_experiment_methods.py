"""Methods text of an experiment, from the configuration that was really run."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from predictor.features.recipe import default_recipe
from training.experiment import ExperimentResult
from training.report.experiment_methods import describe_experiment
from training.report.training_references import ALL_REFERENCES, TRAINING_REFERENCES


def _text(document: Any) -> str:
    return " ".join(said for _, said in describe_experiment(document).paragraphs)


@pytest.fixture
def document(result: ExperimentResult) -> dict[str, Any]:
    """Return the small trial's record, to change."""
    return copy.deepcopy(dict(result.record.document))


def test_describes_what_was_done(document: dict[str, Any]) -> None:
    said = _text(document)
    assert "60 people of the cohort small trial were analysed (30 ketamine and 30 midazolam)" in said
    assert "nested 2x5-fold" in said
    assert "24 permutations" in said
    assert "The primary model, named before fitting, was elastic net (Zou & Hastie, 2005)" in said


def test_does_not_describe_what_was_not_done(document: dict[str, Any]) -> None:
    document["permutation"] = {"n_permutations": 0}
    document["coverage"] = document["shap"] = None
    document["benefit"] = {"status": "prognostic only", "reason": "there are no two arms to compare"}
    said = _text(document)
    assert "Chance level was not tested by permutation." in said
    for absent in ("Winkler", "Barber", "Lundberg", "Freedman", "ComBat", "Controls", "synthetic"):
        assert absent not in said


def test_another_model_has_another_source(document: dict[str, Any]) -> None:
    document["models"][0]["name"] = "ridge"
    said = _text(document)
    assert "was ridge (Hoerl & Kennard, 1970)" in said
    assert "Zou" not in said


def test_contributions_of_trees_have_their_own_source(document: dict[str, Any]) -> None:
    assert "of a linear model in closed form" in _text(document)
    document["shap"]["method"] = "trees"
    assert "SHAP values of trees (Lundberg et al., 2020), path-dependent" in _text(document)
    assert "linear model in closed form" not in _text(document)


def test_recipe_reference_and_harmonisation_are_described(document: dict[str, Any]) -> None:
    document["features"]["recipe"] = default_recipe().document()
    document["features"]["harmonization"] = {"n_features": 6, "preserved": ["age"]}
    document["cohort"]["reference"] = {"n_controls": 40, "expected_given": ["age", "sex"], "threshold": 1.96}
    said = _text(document)
    assert "above 0.5 mm were censored" in said
    assert "40 controls, who were in no fold, let expect given age and sex (Crawford & Howell, 1998)" in said
    assert "ComBat (Johnson et al., 2007)" in said


def test_lists_exactly_the_works_that_it_cites(document: dict[str, Any]) -> None:
    methods = describe_experiment(document)
    said = " ".join(text for _, text in methods.paragraphs)
    assert all(reference.short in said for reference in methods.references)
    cited = {one for group in re.findall(r"\(([^()]*\d{4}[^()]*)\)", said) for one in group.split("; ")}
    assert cited == {reference.short for reference in methods.references}


def test_no_reference_has_an_address_or_two_keys() -> None:
    assert len(ALL_REFERENCES) == len({one.full for one in ALL_REFERENCES.values()})
    assert all(
        "http" not in one.doi and one.short.split(",")[-1].strip() in one.full for one in TRAINING_REFERENCES.values()
    )

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from predictor.features.extraction import session_quality
from predictor.features.recipe import Recipe
from predictor.features.run_preparation import run_confounds
from predictor.report.run_sections import run_context
from predictor.scan.session import BaselineSession, Run


def _context(runs: tuple[Run, ...], recipe: Recipe) -> dict[str, Any]:
    session = BaselineSession(runs)
    confounds = {run.name: run_confounds(run, recipe) for run in session.runs}
    return run_context(session, recipe, session_quality(session, recipe), confounds)


@pytest.fixture(scope="module")
def context(report_session: BaselineSession, report_recipe: Recipe) -> dict[str, Any]:
    runs = tuple(replace(run, recording=replace(run.recording, mean_image=None)) for run in report_session.runs)
    return _context(runs, report_recipe)


def test_designs_carry_their_diagnostics(context: dict[str, Any]) -> None:
    titles = [design["title"] for design in context["designs"]]
    assert titles == [
        "faces: Activation by faces",
        "conflict: Activation by conflict",
        "conflict: Activation in conflict regulation",
    ]
    faces = {row["condition"]: row for row in context["designs"][0]["rows"]}
    assert (faces["faces"]["weight"], faces["control"]["weight"]) == ("+1", "−1")
    assert faces["faces"]["inflation"] >= 1
    assert faces["contrast"]["efficiency"] > 0
    assert faces["contrast"]["inflation"] is None


def test_interactions_have_a_row_per_seed(context: dict[str, Any], report_recipe: Recipe) -> None:
    assert context["seed_conditions"] == ["faces", "control"]
    assert context["seed_rows"][0]["name"] == "faces: left amygdala"
    assert len(context["seed_rows"]) == len(report_recipe.circuit.regions)


def test_coverage_is_given_for_every_region_and_run(context: dict[str, Any]) -> None:
    assert context["coverage_figures"] == []  # there are no mean images
    assert context["coverage_has_loss"]
    last = context["coverage_rows"][-1]
    assert last["region"] == "right anterior insula"
    assert [cell["covered"] for cell in last["cells"]] == ["75 %"] * 3
    assert not any(cell["is_low"] for cell in last["cells"])


def test_a_task_run_that_cannot_be_modelled_says_why(report_session: BaselineSession, report_recipe: Recipe) -> None:
    faces = report_session.runs[1]
    bare = replace(faces, events=None, recording=replace(faces.recording, mean_image=None))
    [design] = _context((bare,), report_recipe)["designs"]
    assert design == {"title": "faces", "missing": "the faces run has no events table."}

from __future__ import annotations

import pytest

from predictor.features.recipe import Recipe
from predictor.features.run_preparation import prepare_task_run, run_confounds
from predictor.features.task_families import task_models
from predictor.report.design_figure import condition_in_words, design_svg
from predictor.scan.session import BaselineSession


def test_conditions_spikes_and_drift_are_named(report_session: BaselineSession, report_recipe: Recipe) -> None:
    run = report_session.runs[2]
    task = prepare_task_run(run, run_confounds(run, report_recipe), report_recipe)
    model = task_models(task, report_recipe)["activation_conflict_regulation"]
    svg = design_svg(task, model, name="design", title="Design")
    for name in model.condition_names:
        assert svg.count(f">{condition_in_words(name)}<") == 2  # in the legend and beside its row
    assert ">confounds (8)<" in svg
    assert ">censored volumes<" in svg  # a single one
    assert f">slow drift ({task.drift.shape[1]})<" in svg
    assert ">constant<" not in svg


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("iI", "incongruent after incongruent"),
        ("iC", "congruent after incongruent"),
        ("first_trial", "first trial"),
        ("ic", "ic"),
    ],
)
def test_trial_sequences_are_spelled_out(name: str, expected: str) -> None:
    assert condition_in_words(name) == expected

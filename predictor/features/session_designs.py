"""What can be said about the designs of a visit's task runs, for people to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from threadpoolctl import threadpool_limits

from predictor.errors import FeatureError
from predictor.features.feature_catalogue import run_kinds
from predictor.features.recipe import Recipe
from predictor.features.run_preparation import prepare_task_run, session_confounds
from predictor.features.task_families import task_diagnostics
from predictor.scan.confounds import Confounds
from predictor.scan.session import BaselineSession, Run


def session_designs(
    session: BaselineSession, recipe: Recipe, *, confounds: Mapping[str, Confounds] | None = None
) -> dict[str, dict[str, Any]]:
    """How well the conditions of each task run can be told apart.

    Parameters
    ----------
    session
        The visit's runs.
    recipe
        How they are modelled.
    confounds
        `session_confounds(session, recipe)`, if the caller has it already.

    Returns
    -------
    dict
        By run name, for runs that the recipe uses: by model (`activation_faces`, `gppi_faces__<seed>`, ...) variance
        inflation and efficiency by condition, None where a condition cannot be estimated, and notes. A run that cannot
        be modelled has the single key `missing` with the reason.
    """
    known = session_confounds(session, recipe) if confounds is None else confounds
    with threadpool_limits(limits=1):  # as for features: the same visit must give the same numbers
        return {
            run.name: _designs(run, known[run.name], recipe)
            for run in session.runs
            if run.kind != "rest" and run.kind in run_kinds(recipe)
        }


def _designs(run: Run, confounds: Confounds, recipe: Recipe) -> dict[str, Any]:
    try:
        diagnostics = task_diagnostics(prepare_task_run(run, confounds, recipe), recipe)
    except FeatureError as error:
        return {"missing": str(error)}
    return {
        model: {
            "variance_inflation": found.variance_inflation,
            "efficiency": found.efficiency,
            "notes": list(found.notes),
        }
        for model, found in diagnostics.items()
    }

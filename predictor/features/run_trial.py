"""Trying extraction out on a run, for the reasons alone: what `krp check` asks of every run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from predictor.features.extraction import extract_features, session_quality
from predictor.features.feature_catalogue import run_kinds
from predictor.features.feature_vector import FeatureVector
from predictor.features.recipe import Recipe
from predictor.features.run_preparation import session_confounds
from predictor.scan.run_check import CheckRules, RunTrial
from predictor.scan.session import BaselineSession, Run, RunKind

# Cheap families that, between them, need everything that any family needs of the tables.
_TRIED_FAMILIES: Final[dict[RunKind, tuple[str, ...]]] = {
    "rest": ("rest_fisher_z", "rest_partial"),
    "faces": ("activation_faces",),
    "conflict": ("activation_conflict", "activation_conflict_regulation"),
}


def check_rules(recipe: Recipe) -> CheckRules:
    """Return what extraction with a recipe will do with the runs."""
    return CheckRules(
        circuit=recipe.circuit,
        tasks=recipe.tasks,
        kinds=run_kinds(recipe),
        try_out=trial_with(recipe),
    )


def trial_with(recipe: Recipe) -> Callable[[Run], RunTrial]:
    """Return a function that extracts a few families from a run; it raises what extraction would raise."""

    def try_out(run: Run) -> RunTrial:
        """Extract the cheap families of the run's kind."""
        cheap = _TRIED_FAMILIES[run.kind]
        families = tuple(family for family in cheap if family in recipe.families) or cheap
        tried = replace(recipe, families=families, bootstrap_samples=0)
        session = BaselineSession((replace(run, number=1),))
        confounds = session_confounds(session, tried)
        # Quality comes first: extraction stops where a cell of it is no number.
        quality = session_quality(session, tried, confounds=confounds)
        vector = extract_features(session, tried, confounds=confounds)
        return RunTrial(_families_by_reason(vector), replace(quality.runs[0], number=run.number))

    return try_out


def _families_by_reason(vector: FeatureVector) -> dict[str, list[str]]:
    """Return why features are missing, and of which families they are, each once."""
    lost: dict[str, list[str]] = {}
    for definition, reason in zip(vector.definitions, vector.missing_reasons, strict=True):
        if reason is not None and definition.family not in lost.setdefault(reason, []):
            lost[reason].append(definition.family)
    return lost

"""What a visit's report says about its runs: quality, motion, coverage, designs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from predictor.errors import FeatureError
from predictor.features.feature_catalogue import run_kinds
from predictor.features.recipe import Recipe
from predictor.features.run_preparation import TaskRun, prepare_task_run
from predictor.features.session_designs import session_designs
from predictor.features.task_families import TaskModel, task_models
from predictor.report.coverage_figure import coverage_svg
from predictor.report.design_figure import condition_in_words, design_svg
from predictor.report.run_figure import run_svg
from predictor.report.wording import KIND_IN_WORDS, in_percent, region_in_words
from predictor.scan.confounds import Confounds
from predictor.scan.quality import QualityReport
from predictor.scan.session import BaselineSession

# Above this a condition's beta is hardly its own (Mumford 2015).
INFLATION_LIMIT: Final = 5.0
_GPPI: Final = "gppi_faces__"
_INTERACTION: Final = "ppi_"


def run_context(
    session: BaselineSession, recipe: Recipe, quality: QualityReport, confounds: Mapping[str, Confounds]
) -> dict[str, Any]:
    """Return what the template needs to show the runs.

    Parameters
    ----------
    session, recipe
        The visit and how it is measured.
    quality
        Of every run.
    confounds
        Of every run, by name.
    """
    diagnostics = session_designs(session, recipe)
    limit_mm = recipe.censor_framewise_displacement_mm
    return {
        "quality": quality.runs,
        "has_carpet": any(run.recording.carpet.shape[1] for run in session.runs),
        "run_figures": [
            {"name": run.name, "svg": run_svg(run, confounds[run.name], limit_mm=limit_mm)} for run in session.runs
        ],
        "coverage_figures": list(_coverage_figures(session, recipe, quality)),
        **_coverage_table(recipe, quality),
        "designs": list(_designs(session, recipe, confounds, diagnostics)),
        **_seed_table(diagnostics),
    }


def _coverage_figures(session: BaselineSession, recipe: Recipe, quality: QualityReport) -> Iterator[dict[str, str]]:
    """Yield one figure per kind of run: runs of a kind are placed alike, and many would make a large file."""
    for run, found in zip(session.runs, quality.runs, strict=True):
        if run.number == 1 and run.recording.mean_image is not None:
            yield {"name": run.name, "svg": coverage_svg(run.recording.mean_image, recipe.circuit, found)}


def _coverage_table(recipe: Recipe, quality: QualityReport) -> dict[str, Any]:
    """Return a row per region, none where nothing is known (tables of region signals)."""
    rows, has_loss = [], False
    for name in recipe.circuit.region_names:
        cells = []
        for run in quality.runs:
            share, snr = run.coverage.get(name), run.temporal_snr.get(name)
            is_low = share is not None and share < recipe.minimum_coverage
            has_loss |= share is not None and share < 1
            cells.append({"covered": None if share is None else in_percent(share), "snr": snr, "is_low": is_low})
        if any(cell["covered"] is not None for cell in cells):
            rows.append({"region": region_in_words(name), "cells": cells})
    return {"coverage_rows": rows, "coverage_has_loss": has_loss}


def _designs(
    session: BaselineSession,
    recipe: Recipe,
    confounds: Mapping[str, Confounds],
    diagnostics: Mapping[str, Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:
    for run in session.runs:
        if run.kind == "rest" or run.kind not in run_kinds(recipe):
            continue
        try:
            task = prepare_task_run(run, confounds[run.name], recipe)
            models = task_models(task, recipe)
        except FeatureError as error:
            yield {"title": run.name, "missing": str(error)}
            continue
        for family, model in models.items():
            if family in recipe.families:
                yield _design(run.name, task, family, model, diagnostics[run.name].get(family, {}))


def _design(run_name: str, task: TaskRun, family: str, model: TaskModel, found: Mapping[str, Any]) -> dict[str, Any]:
    title = f"{run_name}: {KIND_IN_WORDS.get(family, family)}"
    efficiency = found.get("efficiency", {})
    rows = []
    for name in model.condition_names:
        inflation, weight = found.get("variance_inflation", {}).get(name), model.contrast.get(name)
        rows.append(
            {
                "condition": condition_in_words(name),
                "inflation": inflation,
                "is_inflated": inflation is not None and inflation > INFLATION_LIMIT,
                "efficiency": efficiency.get(name),
                "weight": "" if weight is None else f"{weight:+g}".replace("-", "−"),
            }
        )
    if "contrast" in efficiency:
        contrast = {"condition": "contrast", "inflation": None, "is_inflated": False, "weight": ""}
        rows.append({**contrast, "efficiency": efficiency["contrast"]})
    return {
        "title": title,
        "missing": "",
        "svg": design_svg(task, model, name=f"design-{run_name}-{family}".replace("_", "-"), title=title),
        "rows": rows,
        "notes": [note.rstrip(".") for note in model.notes],
    }


def _seed_table(diagnostics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    conditions: list[str] = []
    for run_name, models in diagnostics.items():
        for model, found in models.items():
            if not model.startswith(_GPPI):
                continue
            inflation = found["variance_inflation"]
            conditions = [name.removeprefix(_INTERACTION) for name in inflation]
            rows.append(
                {
                    "name": f"{run_name}: {region_in_words(model.removeprefix(_GPPI))}",
                    "inflations": list(inflation.values()),
                    "efficiency": found["efficiency"].get("contrast"),
                }
            )
    return {"seed_rows": rows, "seed_conditions": conditions}

"""A folder as `krp extract ... group` leaves it, made of numbers: for tests of what is shown about a cohort.

Of the people, sub-02 is flagged for motion and sub-03 refused for its length, sub-04 has no faces run, sub-05 a signal
far worse than the others' in the faces run, and sub-06 and sub-07 have the same input.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from predictor.circuit.circuit import load_circuit
from predictor.features.feature_catalogue import feature_definitions
from predictor.features.recipe import Recipe
from predictor.scan.task_description import load_task_description
from training.extraction.feature_table import RECIPE_FILE, FeatureTable, gather_table
from training.extraction.visit_result import json_text, result_path

RECIPE = Recipe(
    circuit=load_circuit(),
    tasks=load_task_description(),
    families=("rest_fisher_z", "gppi_faces", "quality"),
    bootstrap_samples=0,
)
LIMITED = "vmPFC"  # a region that the scans of sub-02 cover in part


def write_measured_cohort(
    out: Path, *, n_people: int = 24, follows_motion: float = 0.0, knows_scans: bool = True
) -> FeatureTable:
    """Write the results of so many people, gather them, and return the table.

    `follows_motion` is the slope of every resting feature on millimetres of motion; without `knows_scans` coverage
    and signal-to-noise are unknown, as of region tables.
    """
    rng = np.random.default_rng(3)
    out.mkdir(parents=True, exist_ok=True)
    (out / RECIPE_FILE).write_text(json_text(RECIPE.document()))
    for number in range(1, n_people + 1):
        document = _document(number, rng, follows_motion=follows_motion, knows_scans=knows_scans)
        path = result_path(out, document["participant_id"])
        path.parent.mkdir(exist_ok=True)
        path.write_text(json_text(document))
    return gather_table(out)


def _document(number: int, rng: np.random.Generator, *, follows_motion: float, knows_scans: bool) -> dict[str, Any]:
    moved_mm = 0.7 if number == 2 else float(rng.uniform(0.1, 0.3))
    names = [one.name for one in feature_definitions(RECIPE)]
    values: dict[str, float | None] = {
        name: float(rng.normal(0.2, 0.2)) + (follows_motion * moved_mm if name.startswith("rest") else 0.0)
        for name in names
    }
    missing = [name for name in names if number == 4 and "faces" in name]
    values |= dict.fromkeys(missing)
    run = {"rest": 2.5 if number == 3 else 7.5, "faces": 6.5}
    return {
        "participant_id": f"sub-{number:02d}",
        "session_id": None,
        "recipe_hash": RECIPE.recipe_hash,
        "input_digest": f"sha256:{min(number, 6) if number in (6, 7) else number:064d}",
        "values": values,
        "standard_errors": {name: None if value is None else 0.1 for name, value in values.items()},
        "first_half": {
            name: None if value is None else value + 0.1 * float(rng.normal()) for name, value in values.items()
        },
        "second_half": {
            name: None if value is None else value + 0.1 * float(rng.normal()) for name, value in values.items()
        },
        "missing_reasons": dict.fromkeys(missing, "no faces run was found"),
        **_status(number),
        "quality": {
            name: _run(number, name, moved_mm, minutes, rng, knows_scans=knows_scans)
            for name, minutes in run.items()
            if not (number == 4 and name == "faces")
        },
        "designs": {},
    }


def _status(number: int) -> dict[str, Any]:
    if number == 2:
        detail = "rest: mean framewise displacement 0.70 mm; at most 0.5 mm is expected"
        return {"status": "flagged", "reasons": [{"code": "motion-high", "severity": "flag", "detail": detail}]}
    if number == 3:
        detail = "rest: 2.5 minutes are left after censoring"
        return {"status": "refused", "reasons": [{"code": "too-short", "severity": "refuse", "detail": detail}]}
    return {"status": "ok", "reasons": []}


def _run(
    number: int, name: str, moved_mm: float, minutes: float, rng: np.random.Generator, *, knows_scans: bool
) -> dict[str, Any]:
    snr = 30.0 if (number, name) == (5, "faces") else float(rng.uniform(90, 110))
    coverage = {
        region: (0.4 if number == 2 and region == LIMITED else 1.0) if knows_scans else None
        for region in RECIPE.circuit.region_names
    }
    return {
        "n_volumes": 240, "n_volumes_kept": 230, "minutes": 8.0, "minutes_kept": minutes,
        "mean_framewise_displacement_mm": moved_mm, "share_censored": 10 / 240,
        "median_temporal_snr": snr if knows_scans else None, "mean_dvars": None, "mean_std_dvars": 1.1,
        "coverage": coverage, "temporal_snr": {}, "confound_strategy": "motion24_wm_csf", "fallback_reason": None,
        "notes": [],
    }  # fmt: skip

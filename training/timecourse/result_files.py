"""The result as tables, JSON, figure and plain words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from predictor.features.recipe import Recipe
from training.output_files import make_folder, write_atomically, write_bytes_atomically
from training.timecourse.analysis import TimecourseResult
from training.timecourse.figure import mean_changes, timecourse_figure
from training.timecourse.recording import PersonWindows
from training.timecourse.summary import summary_text
from training.timecourse.window_plan import SECONDS_PER_MINUTE, WindowPlan

TIMECOURSE_FILE, WINDOWS_FILE = "timecourse.tsv", "results.tsv"
SLIDING_FILE = "sliding.tsv"
EDGES_FILE, DISSOCIATION_FILE = "results_edges.tsv", "results_dissociation.tsv"
RESULT_FILE, SUMMARY_FILE, DESCRIPTION_FILE = "results.json", "summary.md", "dataset_description.json"

COLUMNS = {
    "edge": "Pair of regions, source__target; connectivity has no direction",
    "window": "Name of the window; every change is a change from the baseline window",
    "fisher_z": "arctanh of the correlation of the cleaned signals within the window",
    "change_from_baseline": "Fisher z minus that of the person's baseline window",
    "n_volumes": "Volumes of the window that were kept",
    "reason": "Why a value is missing",
    "n_treated": "People of the treated arm with this change",
    "n_other": "People of the other arm with this change",
    "mean_change_treated": "Mean change from baseline, Fisher z",
    "mean_change_other": "Mean change from baseline, Fisher z",
    "difference": "mean_change_treated minus mean_change_other",
    "model_estimate": "The same difference in the mixed model (random intercept per person)",
    "model_standard_error": "Its standard error",
    "model_lower": "Lower end of its 95 % interval (not corrected for multiple testing)",
    "model_upper": "Upper end of its 95 % interval (not corrected for multiple testing)",
    "welch_t": "Welch's t of the difference; its z at Welch's degrees of freedom is the statistic that is permuted",
    "p_uncorrected": "Permutation p of this cell alone",
    "p_family_wise": "Permutation p, corrected over everything in the table (largest statistic)",
    "f": "Mixed model: all arm x window terms together",
    "f_df1": "Degrees of freedom of f",
    "f_df2": "Degrees of freedom of f, within people",
    "p_parametric": "p of f; supposes independent noise of one size, so it is not the test that counts",
    "between_person_sd": "Standard deviation of people's intercepts, Fisher z",
    "residual_sd": "Standard deviation within people, Fisher z",
    "scope": "Among whom",
    "rho": "Spearman's correlation of change and dissociation; negative: the stronger the fall, the more dissociation",
    "n": "People",
}
Row = dict[str, object]


def write_results(out: Path, result: TimecourseResult, recipe: Recipe, *, is_synthetic: bool) -> str:
    """Write every file of the analysis and return the summary.

    Parameters
    ----------
    out
        Folder; made if need be.
    result
        What was found.
    recipe
        How signals were cleaned; stands in results.json by its hash.
    is_synthetic
        Said in summary, figure and results.json.

    Raises
    ------
    UsageError
        If a file cannot be written.
    """
    make_folder(out)
    windows, edges = list(_window_rows(result)), list(_edge_rows(result))
    associations = list(_association_rows(result))
    summary = summary_text(result, is_synthetic=is_synthetic)
    document = _document(result, recipe, is_synthetic=is_synthetic)
    document |= {"windows": windows, "edges": edges, "dissociation": associations, "columns": COLUMNS}
    write_atomically(out / TIMECOURSE_FILE, _tsv(list(_long_rows(result))))
    write_atomically(out / WINDOWS_FILE, _tsv(windows))
    write_atomically(out / EDGES_FILE, _tsv(edges))
    if associations:
        write_atomically(out / DISSOCIATION_FILE, _tsv(associations))
    else:
        (out / DISSOCIATION_FILE).unlink(missing_ok=True)  # of an earlier run with other options
    write_atomically(out / RESULT_FILE, _json_text(document))
    write_atomically(out / SUMMARY_FILE, summary)
    write_atomically(out / DESCRIPTION_FILE, _json_text(_dataset_description(is_synthetic)))
    for kind, content in timecourse_figure(result, is_synthetic=is_synthetic).items():
        write_bytes_atomically(out / f"timecourse.{kind}", content)
    return summary


def write_sliding(out: Path, measured: Sequence[PersonWindows], plan: WindowPlan) -> None:
    """Write sliding windows as a long table, if the plan asks for them; minutes count from the infusion's start.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    rows = [row for person in measured if person.sliding is not None for row in _sliding_rows(person, plan)]
    if rows:
        write_atomically(out / SLIDING_FILE, _tsv(rows))
    else:
        (out / SLIDING_FILE).unlink(missing_ok=True)  # of an earlier run with another plan


def _sliding_rows(person: PersonWindows, plan: WindowPlan) -> Iterator[Row]:
    assert person.sliding is not None
    for edge, edge_name in enumerate(plan.edge_names):
        for number, window in enumerate(person.sliding.windows):
            yield {
                "participant_id": person.participant_id,
                "edge": edge_name,
                "start_min": round(window.start_s / SECONDS_PER_MINUTE - plan.infusion_start_min, 6),
                "end_min": round(window.end_s / SECONDS_PER_MINUTE - plan.infusion_start_min, 6),
                "fisher_z": float(person.sliding.fisher_z[number, edge]),
                "n_volumes": int(person.sliding.n_volumes[number]),
                "reason": person.sliding.missing.get((number, edge)),
            }


def _long_rows(result: TimecourseResult) -> Iterator[Row]:
    """One row per person, pair and window."""
    cohort, plan = result.cohort, result.plan
    for person, name in enumerate(cohort.participant_ids):
        for edge, edge_name in enumerate(plan.edge_names):
            for window, window_name in enumerate(plan.window_names):
                fisher_z = cohort.fisher_z[person, window, edge]
                yield {
                    "participant_id": name,
                    "arm": cohort.arms[0] if cohort.is_treated[person] else cohort.arms[1],
                    "edge": edge_name,
                    "window": window_name,
                    "fisher_z": float(fisher_z),
                    "change_from_baseline": float(fisher_z - cohort.fisher_z[person, 0, edge]),
                    "n_volumes": int(cohort.n_volumes[person, window]),
                    "reason": cohort.missing[person].get((window, edge)),
                }


def _window_rows(result: TimecourseResult) -> Iterator[Row]:
    """One row per pair and window after baseline."""
    test, cohort = result.arm_test, result.cohort
    means, _, _ = mean_changes(result)
    has_change = np.isfinite(cohort.changes)
    for edge, edge_name in enumerate(result.plan.edge_names):
        model = result.models[edge]
        for window, window_name in enumerate(result.plan.window_names[1:]):
            yield {
                "edge": edge_name,
                "window": window_name,
                "n_treated": int(has_change[cohort.is_treated, window, edge].sum()),
                "n_other": int(has_change[~cohort.is_treated, window, edge].sum()),
                "mean_change_treated": float(means[0, window, edge]),
                "mean_change_other": float(means[1, window, edge]),
                "difference": float(test.difference[window, edge]),
                "model_estimate": None if model is None else float(model.estimate[window]),
                "model_standard_error": None if model is None else float(model.standard_error[window]),
                "model_lower": None if model is None else float(model.lower[window]),
                "model_upper": None if model is None else float(model.upper[window]),
                "welch_t": float(test.welch_t[window, edge]),
                "p_uncorrected": float(test.p_uncorrected[window, edge]),
                "p_family_wise": float(test.p_family[window, edge]),
            }


def _edge_rows(result: TimecourseResult) -> Iterator[Row]:
    """One row per pair: arm x time."""
    for edge, (name, model) in enumerate(zip(result.plan.edge_names, result.models, strict=True)):
        yield {
            "edge": name,
            "p_family_wise": float(result.arm_test.p_family_of_edge[edge]),
            "f": None if model is None else model.f_statistic,
            "f_df1": None if model is None else model.f_degrees_of_freedom[0],
            "f_df2": None if model is None else model.f_degrees_of_freedom[1],
            "p_parametric": None if model is None else model.p_parametric,
            "between_person_sd": None if model is None else model.between_person_sd,
            "residual_sd": None if model is None else model.residual_sd,
            "reason": result.model_reasons.get(name),
        }


def _association_rows(result: TimecourseResult) -> Iterator[Row]:
    """One row per scope and pair; none where dissociation is unknown."""
    for association in result.associations:
        for edge, name in enumerate(result.plan.edge_names):
            yield {
                "scope": association.scope,
                "edge": name,
                "n": int(association.n_people[edge]),
                "rho": float(association.rho[edge]),
                "p_uncorrected": float(association.p_uncorrected[edge]),
                "p_family_wise": float(association.p_family[edge]),
            }


def _document(result: TimecourseResult, recipe: Recipe, *, is_synthetic: bool) -> dict[str, Any]:
    cohort = result.cohort
    return {
        "kind": "analysis",
        "is_predictor": False,
        "why_not": "It needs scans from during the infusion, which nobody has before the treatment.",
        "research_use_only": True,
        "is_synthetic": is_synthetic,
        "arms": {"treated": cohort.arms[0], "other": cohort.arms[1]},
        "n_people": {arm: int(cohort.members(arm).sum()) for arm in cohort.arms},
        "left_out": dict(cohort.left_out),
        "plan": result.plan.document(),
        "dissociation_column": cohort.dissociation_column,
        "permutation_test": {
            "n_permutations": result.n_permutations,
            "n_labellings": result.arm_test.n_labellings,
            "is_exhaustive": result.arm_test.is_exhaustive,
            "seed": result.seed,
        },
        "recipe_hash": recipe.recipe_hash,
        "recipe": recipe.document(),
        "input_digests": dict(zip(cohort.participant_ids, cohort.input_digests, strict=True)),
        "version": version("ketamine-response-predictor"),
    }


def _dataset_description(is_synthetic: bool) -> dict[str, Any]:
    return {
        "Name": "Connectivity during an infusion" + (" (synthetic data)" if is_synthetic else ""),
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "krp timecourse", "Version": version("ketamine-response-predictor")}],
    }


def _json_text(document: Mapping[str, Any]) -> str:
    return json.dumps(_without_nan(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _without_nan(value: Any) -> Any:
    """Return the value with null in place of NaN, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _tsv(rows: Sequence[Row]) -> str:
    lines = ["\t".join(rows[0])]
    lines += ["\t".join(_cell(value) for value in row.values()) for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "n/a"
    return repr(value) if isinstance(value, float) else str(value)

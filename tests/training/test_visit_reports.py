from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from predictor.circuit.circuit import load_circuit
from predictor.features.recipe import Recipe
from predictor.scan.task_description import load_task_description
from training.cohort.derivatives import DerivativesVisit, find_derivatives_visits
from training.extraction.feature_table import extract_cohort
from training.extraction.visit_reports import has_report, report_path

RECIPE = Recipe(circuit=load_circuit(), tasks=load_task_description(), families=("rest_fisher_z",), bootstrap_samples=0)


@pytest.fixture(scope="module")
def visit(small_trial: Path) -> DerivativesVisit:
    """Return one synthetic person."""
    return find_derivatives_visits(small_trial / "derivatives" / "fmriprep", tasks=RECIPE.tasks)[0]


def test_reports_are_written_once_and_follow_their_results(visit: DerivativesVisit, tmp_path: Path) -> None:
    name, report = visit.participant_id, report_path(tmp_path, visit.participant_id)
    assert extract_cohort([visit], RECIPE, tmp_path, n_jobs=1).extracted == (name,)
    assert not report.exists()
    # Who has no report yet is extracted again, and only then.
    assert extract_cohort([visit], RECIPE, tmp_path, n_jobs=1, reports=True).extracted == (name,)
    page = report.read_text(encoding="utf-8")
    assert extract_cohort([visit], RECIPE, tmp_path, n_jobs=1, reports=True).skipped == (name,)
    assert report.name == f"{name}.html"
    assert "Synthetic data" in page
    assert "Regions on the mean image of rest" in page
    assert str(tmp_path) not in page
    assert str(visit.input_files[0].parent) not in page
    # A result of another recipe must not keep this one's report.
    other = replace(RECIPE, low_pass_hz=0.09)
    assert extract_cohort([visit], other, tmp_path, n_jobs=1).extracted == (name,)
    assert not report.exists()


def test_a_report_older_than_its_result_does_not_count(tmp_path: Path) -> None:
    report = report_path(tmp_path, "sub-01")
    assert not has_report(tmp_path, "sub-01", since_ns=0)
    report.write_text("x")
    made_at = report.stat().st_mtime_ns
    assert has_report(tmp_path, "sub-01", since_ns=made_at)
    assert not has_report(tmp_path, "sub-01", since_ns=made_at + 1)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictor.features.recipe import Recipe
from predictor.features.run_preparation import run_confounds
from predictor.report.run_figure import run_svg, shortened, standardised
from predictor.scan.session import BaselineSession


def test_signals_are_standardised_without_their_trend(rng: np.random.Generator) -> None:
    signals = rng.standard_normal((200, 3)) * [1, 10, 100] + np.linspace(0, 500, 200)[:, np.newaxis] + 1e4
    shown = standardised(signals)
    np.testing.assert_allclose(shown.std(axis=0), 1)
    slope, _ = np.polyfit(np.arange(200), shown, 1)
    np.testing.assert_allclose(slope, 0, atol=1e-12)


def test_signals_with_a_gap_or_without_change_are_shown_as_empty(rng: np.random.Generator) -> None:
    signals = rng.standard_normal((50, 4)) + 100
    signals[7, 1] = np.nan
    signals[:, 2] = 100.1
    shown = standardised(signals)
    np.testing.assert_array_equal(np.isnan(shown).all(axis=0), [False, True, True, False])
    np.testing.assert_array_equal(np.isfinite(shown).all(axis=0), [True, False, False, True])


@pytest.mark.parametrize(("n_columns", "expected"), [(5, 5), (600, 600), (601, 301), (1300, 434)])
def test_long_runs_are_averaged_to_what_a_page_can_show(n_columns: int, expected: int) -> None:
    rows = np.tile(np.arange(n_columns, dtype=float), (2, 1))
    short = shortened(rows, 600)
    assert short.shape == (2, expected)
    assert short[0, 0] == rows[0, : -(-n_columns // expected)].mean()


def test_censored_volumes_are_shaded_and_counted(report_session: BaselineSession, report_recipe: Recipe) -> None:
    run = report_session.runs[0]
    confounds = run_confounds(run, report_recipe)
    assert confounds.is_censored.sum() == 1
    svg = run_svg(run, confounds, limit_mm=0.5)
    assert "1 of 120 volumes are censored" in svg
    assert "limit 0.5 mm" in svg
    assert svg.count("opacity: 0.28") == 1
    everything = replace(confounds, is_censored=np.zeros(120, dtype=bool))
    assert "opacity: 0.28" not in run_svg(run, everything, limit_mm=0.5)


def test_unknown_motion_and_repetition_time_are_said(report_session: BaselineSession, report_recipe: Recipe) -> None:
    run = report_session.runs[0]
    tableless = replace(run, confounds=None, repetition_time_s=None)
    svg = run_svg(tableless, run_confounds(tableless, report_recipe), limit_mm=0.5)
    assert "head motion is not known" in svg
    assert "repetition time unknown" in svg


def test_regions_are_named_as_people_say_them(report_session: BaselineSession, report_recipe: Recipe) -> None:
    run = report_session.runs[0]
    svg = run_svg(run, run_confounds(run, report_recipe), limit_mm=None)
    assert ">left anterior hippocampus<" in svg
    assert "limit" not in svg

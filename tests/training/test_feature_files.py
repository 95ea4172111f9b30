"""The text of a cohort's tables."""

from __future__ import annotations

import numpy as np

from predictor.features.feature_vector import FeatureDefinition
from training.extraction.feature_files import matrix_text, quality_text, reliability_document, reliability_text
from training.extraction.visit_result import VisitResult

DEFINITIONS = tuple(FeatureDefinition(name, "Hz", "rdcm_rest", "rdcm", "a-b", "") for name in ("x", "y"))


def result(participant_id: str, values: list[float], *, runs: tuple[str, ...] = ("rest",)) -> VisitResult:
    numbers = np.array(values)
    quality = {run: {"minutes_kept": 8.0, "share_censored": 0.25, "median_temporal_snr": None} for run in runs}
    return VisitResult(
        participant_id=participant_id,
        recipe_hash="sha256:r",
        input_digest="sha256:i",
        values=numbers,
        standard_errors=numbers / 10,
        first_half=numbers,
        second_half=numbers + 1,
        status="flagged",
        reason_codes=("a", "b"),
        quality=quality,
    )


RESULTS = [result("sub-01", [1 / 3, np.nan]), result("sub-02", [2.0, 1e-300], runs=("rest", "rest_2", "faces"))]


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def test_numbers_keep_every_digit_and_missing_ones_are_not_available() -> None:
    table = rows(matrix_text(RESULTS, DEFINITIONS, [r.values for r in RESULTS]))
    assert table[0] == ["participant_id", "recipe_hash", "input_digest", "x", "y"]
    assert table[1][3:] == [repr(1 / 3), "n/a"]
    assert float(table[2][4]) == 1e-300


def test_quality_has_a_column_for_every_run_that_anyone_has_in_the_order_of_kinds() -> None:
    header, first, second = rows(quality_text(RESULTS))
    kept = [name for name in header if name.startswith("minutes_kept")]
    assert kept == ["minutes_kept__rest", "minutes_kept__rest_2", "minutes_kept__faces"]
    assert first[:5] == ["sub-01", "flagged", "a b", "1", "8.0"]
    assert first[header.index("minutes_kept__faces")] == "n/a"
    assert second[header.index("share_censored__rest_2")] == "0.25"


def test_reliability_has_a_row_for_every_feature_and_whole_counts() -> None:
    header, x, y = rows(reliability_text(RESULTS, DEFINITIONS))
    assert header == list(reliability_document())
    assert (x[0], x[header.index("n_people")], x[header.index("split_half_r")]) == ("x", "2", "n/a")
    assert (y[0], y[header.index("n_people")]) == ("y", "1")

"""`krp report`, and the record as the log book holds it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from predictor.__main__ import main
from predictor.errors import ModelUnavailableError
from training.experiment import ExperimentResult
from training.log_book.logged_record import read_logged_record
from training.log_book.tracking import open_store, start_run
from training.report.experiment_report import report_page


def test_writes_the_same_page_as_the_experiment_logged(
    result: ExperimentResult, store_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    assert main(["report", "small-trial", "--store", str(store_folder), "--out", str(out)]) == 0
    logged = read_logged_record(open_store(store_folder), "small-trial")
    assert out.read_text(encoding="utf-8") == report_page(logged.record, previous=logged.previous)


def test_reads_back_the_very_record(result: ExperimentResult, store_folder: Path) -> None:
    logged = read_logged_record(open_store(store_folder), result.run_id)
    assert json.loads(json.dumps(dict(logged.record.document))) == result.record.document
    assert logged.record.predictions is not None
    assert result.record.predictions is not None
    keys = ["model", "repeat", "participant_id"]
    found, expected = (
        one.sort_values(keys, ignore_index=True) for one in (logged.record.predictions, result.record.predictions)
    )
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False)


def test_a_report_of_aggregates_does_not_read_predictions(result: ExperimentResult, store_folder: Path) -> None:
    logged = read_logged_record(open_store(store_folder), result.run_id, aggregates_only=True)
    assert logged.record.predictions is None


def test_an_unknown_experiment_is_named(result: ExperimentResult, store_folder: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="nosuch"):
        read_logged_record(open_store(store_folder), "nosuch")
    assert main(["report", "nosuch", "--store", str(store_folder)]) == 3


def test_a_run_without_a_record_says_what_to_do(result: ExperimentResult, store_folder: Path) -> None:
    store = open_store(store_folder)
    with start_run(store, "without-record", name="without-record"):
        pass
    with pytest.raises(ModelUnavailableError, match="found none") as caught:
        read_logged_record(store, "without-record")
    assert "Train the experiment again" in caught.value.remedy


def test_only_html_is_written(store_folder: Path) -> None:
    assert main(["report", "small-trial", "--store", str(store_folder), "--out", "report.pdf"]) == 2

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.extraction import extraction_summary
from training.extraction.extraction_summary import summary_lines
from training.extraction.feature_table import ExtractionSummary, FailedVisit


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with results of four people, as far as the summary reads them."""
    monkeypatch.setattr(extraction_summary, "read_document", lambda path: json.loads(path.read_text()))
    states = {
        "sub-01": ("ok", []),
        "sub-02": ("flagged", ["motion-high", "coverage-low"]),
        "sub-03": ("flagged", ["motion-high", "motion-high"]),
        "sub-04": ("refused", ["minutes-short"]),
    }
    for name, (status, codes) in states.items():
        (tmp_path / name).mkdir()
        document = {"status": status, "reasons": [{"code": code} for code in codes]}
        (tmp_path / name / f"{name}_features.json").write_text(json.dumps(document))
    return tmp_path


def failed(number: int, code: str) -> FailedVisit:
    return FailedVisit(f"sub-{number}", code, "the scan ends early.", "rest", "Copy it again.")


def test_everyone_is_counted_once_with_the_reasons(out: Path) -> None:
    summary = ExtractionSummary(
        extracted=("sub-01", "sub-02"),
        skipped=("sub-03", "sub-04"),
        failed=(failed(10, "scan-truncated"), failed(11, "scan-truncated"), failed(12, "scan-corrupt")),
    )
    lines = list(summary_lines(summary, out, seconds=75))
    assert lines[0] == "7 visits in 1 min 15 s"
    assert [line.split() for line in lines[1:]] == [
        ["ok", "1"],
        ["flagged", "2", "motion-high", "2,", "coverage-low", "1"],
        ["refused", "1", "minutes-short", "1"],
        ["failed", "3", "scan-truncated", "2", "(sub-10,", "sub-11),", "scan-corrupt", "1", "(sub-12)"],
    ]


def test_what_did_not_happen_has_no_row(out: Path) -> None:
    lines = list(summary_lines(ExtractionSummary(("sub-01",), (), ()), out, seconds=1))
    assert lines[0].startswith("1 visit in ")
    assert lines[1:] == ["  ok  1"]


def test_many_failures_are_counted_and_some_are_named(out: Path) -> None:
    failures = tuple(failed(number, "scan-truncated") for number in range(10, 30))
    *_, last = summary_lines(ExtractionSummary((), (), failures), out, seconds=1)
    assert "scan-truncated 20 (sub-10, " in last
    assert "and 14 more" in last

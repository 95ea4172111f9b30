from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from predictor.report.page_template import policy_hash
from training.cohort_quality.cohort_quality import CohortQuality, cohort_quality
from training.cohort_quality.person_quality import PersonQuality, QualityReason
from training.extraction.feature_table import FailedVisit, FeatureTable
from training.extraction.visit_reports import report_path
from training.report.cohort_quality_page import cohort_quality_page, looks_at, write_cohort_page

Write = Callable[..., FeatureTable]
HOSTILE = "<script>alert(1)</script>\"'>"


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def of(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


@pytest.fixture
def quality(write_measured_cohort: Write, tmp_path: Path) -> CohortQuality:
    table = write_measured_cohort(tmp_path / "out")
    report_path(tmp_path / "out", "sub-02").write_text("a report")
    rows = "".join(f"sub-{number:02d}\t{'ab'[number % 2]}\n" for number in range(1, 26))
    (tmp_path / "participants.tsv").write_text("participant_id\tsite\n" + rows)
    failed = [FailedVisit("sub-25", "scan-truncated", "the scan ends too early.", "rest", "Copy it again.")]
    return cohort_quality(table, tmp_path / "out", failed=failed, folders=[tmp_path], is_synthetic=True)


def test_the_page_is_one_offline_file_that_links_to_reports_that_are_there(
    quality: CohortQuality, tmp_path: Path
) -> None:
    path = write_cohort_page(quality, tmp_path / "out")
    page = path.read_text(encoding="utf-8")
    parsed = _Page(page)
    links = [href for href in parsed.of("href") if not href.startswith("#")]
    assert links == ["sub-02.html"]
    assert all((path.parent / link).is_file() for link in links)
    assert parsed.of("src") == []
    assert set(re.findall(r"https?://[^\"'<\s]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert str(tmp_path) not in page
    ids = parsed.of("id")
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in parsed.of("href") if href.startswith("#")} <= set(ids)
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert f"script-src '{policy_hash(script)}'" in page


def test_everyone_stands_in_the_table_and_the_worst_first(quality: CohortQuality) -> None:
    page = cohort_quality_page(quality)
    body = page.split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    names = re.findall(r">(sub-\d+)<", body)
    assert sorted(names) == [f"sub-{number:02d}" for number in range(1, 26)]
    assert names[:3] == ["sub-25", "sub-03", "sub-02"]
    assert set(names[3:6]) == {"sub-05", "sub-06", "sub-07"}  # usable, and worth a look
    assert "22 of 25 participants are within every limit; 1 flagged, 1 refused and 1 failed." in page
    for word in ("Research use only", "Synthetic data", "scan-truncated: the scan ends too early. Copy it again."):
        assert word in page


def test_what_stands_out_is_said_of_the_person_it_is_about(quality: CohortQuality) -> None:
    looks = looks_at(quality)
    assert looks["sub-06"] == ["same input as sub-07, byte for byte"]
    assert any("temporal signal-to-noise" in one and one.startswith("faces") for one in looks["sub-05"])
    assert looks["sub-01"] == []


def test_every_part_that_has_numbers_is_there(quality: CohortQuality) -> None:
    page = cohort_quality_page(quality)
    found = set(re.findall(r'<section id="([\w-]+)"', page))
    expected = {"participants", "reasons", "distributions", "by-site", "coverage", "gaps", "motion", "reliability"}
    assert found >= expected
    assert "vmPFC, rest" in page  # whose coverage is low in one person


def test_region_tables_have_a_page_without_what_they_do_not_know(write_measured_cohort: Write, tmp_path: Path) -> None:
    table = write_measured_cohort(tmp_path, knows_scans=False)
    page = cohort_quality_page(cohort_quality(table, tmp_path))
    assert 'id="coverage"' not in page
    assert "Tables of region signals know neither coverage nor signal-to-noise." in page
    assert "Synthetic" not in page


def test_the_same_cohort_gives_the_same_bytes(quality: CohortQuality) -> None:
    assert cohort_quality_page(quality) == cohort_quality_page(quality)


def test_text_from_files_is_escaped(quality: CohortQuality) -> None:
    person = PersonQuality(HOSTILE, "failed", (QualityReason(HOSTILE, "fail", HOSTILE),), {}, {}, {}, "", False)
    columns = quality.columns.reindex([HOSTILE, *quality.columns.index[1:]])
    columns.loc[HOSTILE] = HOSTILE
    page = cohort_quality_page(replace(quality, people=(person, *quality.people[1:]), columns=columns))
    assert "<script>alert" not in page
    assert HOSTILE in unescape(page)


@pytest.mark.parametrize("n_people", [1, 2])
def test_a_cohort_of_almost_nobody_has_a_page(write_measured_cohort: Write, tmp_path: Path, n_people: int) -> None:
    page = cohort_quality_page(cohort_quality(write_measured_cohort(tmp_path, n_people=n_people), tmp_path))
    assert "it needs ten people" in page

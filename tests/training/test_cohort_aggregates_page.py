from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from training.cohort_quality.cohort_quality import CohortQuality, FamilyGaps, cohort_quality
from training.extraction.feature_table import FailedVisit, FeatureTable
from training.report.cohort_aggregates_page import cohort_aggregates_page, write_aggregates_page

Write = Callable[..., FeatureTable]


@pytest.fixture
def quality(write_measured_cohort: Write, tmp_path: Path) -> CohortQuality:
    table = write_measured_cohort(tmp_path / "out")
    failed = [FailedVisit("sub-25", "scan-truncated", "the scan ends too early.", "rest", "Copy it again.")]
    return by_site(cohort_quality(table, tmp_path / "out", failed=failed, is_synthetic=True), n_north=12)


def by_site(quality: CohortQuality, *, n_north: int) -> CohortQuality:
    """Return the cohort with so many people from north, and the others from south."""
    names = [person.participant_id for person in quality.people]
    sites = ["north" if place < n_north else "south" for place in range(len(names))]
    return replace(quality, columns=pd.DataFrame({"site": sites}, index=names))


def shown_words(page: str) -> str:
    return re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)


def test_nobody_is_on_the_page_and_nothing_leads_elsewhere(quality: CohortQuality, tmp_path: Path) -> None:
    page = write_aggregates_page(quality, tmp_path).read_text(encoding="utf-8")
    assert page == cohort_aggregates_page(quality)
    for person in quality.people:
        assert not re.search(rf"{re.escape(person.participant_id)}\b", page)
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert str(tmp_path) not in page
    for word in ("Research use only", "Synthetic data", "scan-truncated", "By site", "Head motion in the features"):
        assert word in page


def test_numbers_are_means_of_five_people_or_more_and_never_one_of_them(quality: CohortQuality) -> None:
    words = shown_words(cohort_aggregates_page(quality))
    assert "Median and quartiles" not in words
    [row] = re.findall(r"Mean framewise displacement \(mm\), rest\s+(\d+)\s+([\d.]+)\s+([\d.]+)", words)
    values = [person.runs["rest"]["mean_framewise_displacement_mm"] for person in quality.people if person.runs]
    assert int(row[0]) == len(values)
    assert float(row[1]) == pytest.approx(sum(values) / len(values), abs=0.01)


@pytest.mark.parametrize("n_north", [2, 4])  # the first of them failed
def test_groups_are_left_out_when_the_rest_would_tell_a_small_one(quality: CohortQuality, n_north: int) -> None:
    words = shown_words(cohort_aggregates_page(by_site(quality, n_north=n_north)))
    assert "north" not in words
    assert "a group has fewer than 5 people" in words
    assert "north" in shown_words(cohort_aggregates_page(by_site(quality, n_north=10)))


def test_people_without_a_group_must_not_be_told_by_the_difference_either(quality: CohortQuality) -> None:
    columns = quality.columns.copy()
    columns.iloc[1, 0] = None
    assert "north" not in shown_words(cohort_aggregates_page(replace(quality, columns=columns)))


@pytest.mark.parametrize(("n_moved", "is_shown"), [(0, True), (1, False), (4, False), (5, True)])
def test_people_by_whom_groups_of_two_columns_differ_must_not_be_told_by_the_difference(
    quality: CohortQuality, n_moved: int, is_shown: bool
) -> None:
    sites = by_site(quality, n_north=12).columns["site"]
    scanners = by_site(quality, n_north=12 + n_moved).columns["site"].map({"north": "Prisma", "south": "Skyra"})
    columns = pd.DataFrame({"site": sites, "scanner": scanners})
    words = shown_words(cohort_aggregates_page(replace(quality, columns=columns)))
    assert "north" in words
    assert ("Prisma" in words) is is_shown


@pytest.mark.parametrize(("n_people", "is_shown"), [(4, False), (5, True)])
def test_a_reason_of_a_few_people_is_not_told_for_it_may_hold_their_number(
    quality: CohortQuality, n_people: int, is_shown: bool
) -> None:
    gap = FamilyGaps("rest_connectivity", 10, 20, n_people, 0, "region not covered (37%): vmPFC", n_people)
    words = shown_words(cohort_aggregates_page(replace(quality, gaps=(gap,))))
    assert "Most frequent reason" in words
    assert ("37%" in words) is is_shown


def test_a_handful_of_people_has_no_numbers(quality: CohortQuality) -> None:
    few = replace(quality, people=quality.people[-4:], stand_out=(), far_features={}, twins=(), differences=())
    few = by_site(few, n_north=2)
    words = shown_words(cohort_aggregates_page(few))
    assert "there are fewer than 5 people" in words
    assert "Standard deviation" not in words
    assert "Reliability" not in words

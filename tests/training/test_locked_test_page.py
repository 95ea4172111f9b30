from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from predictor.model.bundle import ModelBundle
from training.config import CohortConfig
from training.locked import locked_result
from training.locked.locked_cohort import read_locked_cohort
from training.locked.locked_test import run_locked_test
from training.locked.openings import FileOpenings
from training.report.locked_test_page import locked_test_markdown, locked_test_page


@pytest.fixture
def document(complete_bundle: ModelBundle, write_people: Callable[..., Path], tmp_path: Path) -> dict[str, Any]:
    folder = write_people()
    config = CohortConfig(str(folder / "people.tsv"), str(folder / "participants.tsv"))
    bundle = replace(complete_bundle, digest="sha256:" + "d" * 64)
    cohort = read_locked_cohort(config, bundle, name="<script>alert(1)</script>")
    openings = FileOpenings.beside(tmp_path / "bundle")
    return run_locked_test(
        bundle, cohort, openings, label="small-model/1", trained_on=None, is_synthetic=True, n_permutations=99
    )


def test_the_page_says_what_matters_first_and_needs_nothing_else(document: dict[str, Any]) -> None:
    page = locked_test_page(document)
    assert page == locked_test_page(document)
    first = page[page.index("<body>") : page.index("<main")]
    assert "Research use only" in first
    assert "Synthetic data" in first
    assert "R2" in first
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert "&lt;script&gt;" in page


def test_every_part_of_the_result_is_shown(document: dict[str, Any]) -> None:
    page = locked_test_page(document)
    for word in (
        "arm + clinical",
        "Calibration slope",
        "90% promised",
        "KS distance",
        "permutations",
        "AUC",
        "once in all",
    ):
        assert word in page
    for line in document["limits"]:
        assert line[:40] in page


def test_sentences_are_read_by_people_and_hold_no_markup(document: dict[str, Any]) -> None:
    said = locked_result.limits(document | {"cohort": document["cohort"] | {"n_same_pairs": 1}})
    assert any("with the same features" in line for line in said)
    assert "`" not in " ".join([document["headline"], *said])


def test_a_second_opening_stands_on_top(document: dict[str, Any]) -> None:
    again = document | {"opening": document["opening"] | {"number": 3}}
    assert "Opened 3 times" in locked_test_page(again)
    assert "Opened 3 times" not in locked_test_page(document)


def test_markdown_tells_the_same(document: dict[str, Any]) -> None:
    text = locked_test_markdown(document)
    assert text.startswith("# Locked test: small-model/1")
    assert "Research use only" in text
    assert "<script>" not in text
    assert "| arm only |" in text

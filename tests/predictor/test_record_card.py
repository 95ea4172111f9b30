from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

import predictor
from predictor.circuit.circuit import circuit_of_names
from predictor.features.feature_vector import FeatureVector
from predictor.features.recipe import Recipe
from predictor.model.bundle import ModelBundle
from predictor.record_card import MAX_ROWS, PresentedRecord, RecordCard, card_html
from predictor.scan.cleaning import percent_signal_change
from predictor.scan.session import BaselineSession

VOID = {"br", "hr", "img"}


class Balance(HTMLParser):
    """Complains about tags that are closed in another order than they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def records(
    report_session: BaselineSession, report_vector: FeatureVector, report_recipe: Recipe, bundle: ModelBundle
) -> dict[str, PresentedRecord]:
    run = report_session.runs[1]
    return {
        "session": report_session,
        "run": run,
        "signals": percent_signal_change(run.recording),
        "features": report_vector,
        "recipe": report_recipe,
        "circuit": report_recipe.circuit,
        "quality": predictor.session_quality(report_session, report_recipe),
        "bundle": bundle,
    }


KINDS = ("session", "run", "signals", "features", "recipe", "circuit", "quality", "bundle")


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_says_in_one_line_what_it_is_and_prints_no_arrays(
    records: dict[str, PresentedRecord], kind: str
) -> None:
    line = repr(records[kind])
    assert line.startswith(f"{type(records[kind]).__name__}(")
    assert "\n" not in line
    assert len(line) < 200
    assert "array(" not in line


@pytest.mark.parametrize("kind", KINDS)
def test_a_notebook_shows_a_small_table_that_brings_no_style_script_or_address(
    records: dict[str, PresentedRecord], kind: str
) -> None:
    html = records[kind]._repr_html_()
    balance = Balance()
    balance.feed(html)
    assert balance.open == []
    assert len(html) < 12_000
    assert re.search(r"<script|<style|https?:|src=|url\(", html) is None
    assert re.search(r"(?<!-)color:|background(?:-color)?:(?!none)", html) is None  # the page's own, light or dark


@pytest.mark.parametrize("kind", ["features", "quality", "bundle"])
def test_where_numbers_of_a_person_or_of_a_model_stand_it_says_what_for(
    records: dict[str, PresentedRecord], kind: str
) -> None:
    assert "Research use only." in records[kind]._repr_html_()


def test_lines_hold_the_facts_that_a_reader_asks_for(records: dict[str, Any]) -> None:
    assert repr(records["session"]) == ("BaselineSession(rest 4.0 min, faces 4.0 min, conflict 4.0 min; 12 regions)")
    assert repr(records["run"]) == "Run(faces, 120 volumes, 4.0 min, 12 regions, confounds, events)"
    assert repr(records["signals"]) == "RegionTimeseries(120 volumes x 12 regions, repetition time 2 s)"
    assert repr(records["circuit"]) == "Circuit(fronto_limbic: 12 regions, 32 pairs, MNI152NLin2009cAsym)"
    assert "333 features, " in repr(records["features"])
    assert "motion24_wm_csf, sha256:" in repr(records["recipe"])
    assert "trained on 80 people" in repr(records["bundle"])
    assert "arms ketamine and midazolam" in repr(records["bundle"])


def test_the_card_of_features_says_per_family_how_many_are_missing_and_why(records: dict[str, Any]) -> None:
    features = records["features"]
    n_regions_missing = sum(1 for name in features.names if name.startswith("activation_faces__"))
    gone = tuple(
        "no faces run" if name.startswith("activation_faces__") else reason
        for name, reason in zip(features.names, features.missing_reasons, strict=True)
    )
    values = features.values.copy()
    errors = features.standard_errors.copy()
    for number, reason in enumerate(gone):
        if reason is not None:
            values[number] = errors[number] = float("nan")
    html = replace(features, values=values, standard_errors=errors, missing_reasons=gone)._repr_html_()
    assert f"no faces run ({n_regions_missing})" in html


def test_names_from_outside_are_escaped() -> None:
    circuit = circuit_of_names(["<script>alert(1)</script>", "b"], name="<b>mine</b>")
    html = circuit._repr_html_()
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html


def test_a_long_table_is_cut_and_says_so() -> None:
    card = RecordCard("title", columns=("one",), rows=tuple((str(number),) for number in range(MAX_ROWS + 3)))
    html = card_html(card)
    assert html.count("<tr") == 1 + MAX_ROWS
    assert "and 3 more" in html

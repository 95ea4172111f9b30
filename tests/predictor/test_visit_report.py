from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from predictor.circuit.circuit import Circuit, Edge, Region
from predictor.features.extraction import extract_features
from predictor.features.feature_vector import FeatureVector
from predictor.features.recipe import Recipe, region_table_recipe
from predictor.pipeline import score_features
from predictor.report.visit_report import VisitLabel, visit_report
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, build_run

MAX_BYTES = 3_000_000
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>$x$"


class _Page(HTMLParser):
    """Collects what could load, run or clash in a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []  # tag, name, value
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def of(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


@pytest.fixture(scope="module")
def page(report_session: BaselineSession, report_recipe: Recipe, report_vector: FeatureVector) -> str:
    return visit_report(report_session, report_recipe, VisitLabel("sub-07", "ses-1"), vector=report_vector)


def test_a_report_is_one_offline_file(page: str) -> None:
    parsed = _Page(page)
    assert len(page.encode()) < MAX_BYTES
    for name in ("src", "href", "xlink:href", "action", "srcset", "data"):
        assert all(value.startswith(("#", "data:image/png")) for value in parsed.of(name)), name
    assert set(re.findall(r"https?://[^\"'<\s]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_only_the_reports_own_script_may_run(page: str) -> None:
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = [value for value in _Page(page).of("content") if "script-src" in value]
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_ids_are_unique_and_every_reference_is_met(page: str) -> None:
    ids = _Page(page).of("id")
    assert len(ids) == len(set(ids))
    referred = set(re.findall(r"(?:url\(#|href=\"#)([\w.-]+)", page))
    assert referred <= set(ids)
    assert any("carpet" not in name and name.startswith("run-rest") for name in referred)


def test_every_part_is_there(page: str, report_vector: FeatureVector) -> None:
    parsed = _Page(page)
    assert {"quality", "runs", "coverage", "designs", "connections", "features", "methods", "technical"} <= set(
        parsed.of("id")
    )
    assert parsed.tags.count("svg") == 3 + 3 + 3 + 5 + 2 + 1  # runs, coverage, designs, matrices, brains, activation
    assert all(definition.name in parsed.text for definition in report_vector.definitions)
    assert report_vector.recipe_hash in parsed.text
    assert report_vector.input_digest in parsed.text
    assert "Research use only" in parsed.text
    assert "sub-07, ses-1" in parsed.text
    assert all(value for _, name, value in parsed.attributes if name == "aria-label")


@pytest.fixture(scope="module")
def rest_only(report_session: BaselineSession) -> BaselineSession:
    """A resting run without pictures, which takes little time to draw."""
    rest = report_session.runs[0]
    return BaselineSession((replace(rest, recording=replace(rest.recording, mean_image=None)),))


def test_the_same_visit_gives_the_same_bytes_but_for_the_label_of_synthetic_data(
    page: str, rest_only: BaselineSession, report_recipe: Recipe
) -> None:
    recipe = replace(report_recipe, families=("rest_fisher_z",))
    real, synthetic = (
        visit_report(rest_only, recipe, VisitLabel("sub-07", "ses-1", is_synthetic=is_synthetic))
        for is_synthetic in (False, True)
    )
    assert "Synthetic data" in _Page(synthetic).text
    assert "ynthetic" not in _Page(page).text
    unlabelled = synthetic.replace(' <span class="tag tag-flag">Synthetic data, no real person</span>', "")
    assert unlabelled.replace(" The data are synthetic.", "") == real


def _table_session(names: tuple[str, ...], recipe: Recipe, *, note: str = "") -> BaselineSession:
    bold = np.random.default_rng(0).standard_normal((90, len(names)))
    bold[:, 0] = 0.0  # a region without any change of signal
    unknown = np.full(len(names), np.nan)
    recording = RegionRecording(
        names, bold, unknown, unknown, np.empty((90, 0), np.float32), None, "region table", "sha256:" + "0" * 64
    )
    run = build_run(
        "rest", recording, confounds_tsv=None, confounds_sidecar=None, sidecar=None, events_tsv=None, tasks=recipe.tasks
    )
    return BaselineSession((replace(run, notes=(note,) if note else ()),))


def test_hostile_names_stay_text() -> None:
    names = ("plain", f"a{HOSTILE}", "b_L", f"{HOSTILE}_R")
    recipe = region_table_recipe(names)
    page = visit_report(_table_session(names, recipe, note=HOSTILE), recipe, VisitLabel(HOSTILE, HOSTILE))
    parsed = _Page(page)
    assert parsed.tags.count("script") == 1
    assert "img" not in parsed.tags
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert HOSTILE in parsed.text


def test_a_table_of_many_regions_stays_small_and_lists_what_is_missing() -> None:
    names = tuple(f"region_{number:03d}" for number in range(122))
    recipe = region_table_recipe(names)
    page = visit_report(_table_session(names, recipe), recipe, VisitLabel("sub-01"))
    text = _Page(page).text
    assert len(page.encode()) < MAX_BYTES
    assert "7260 of 7381 features" in text
    assert text.count("missing: region without any change of signal: region_000") == 121
    assert "coverage" not in _Page(page).of("id")
    assert "repetition time unknown" in text


def test_every_run_of_a_kind_gets_its_figure_and_the_regions_are_drawn_once(
    report_session: BaselineSession, report_recipe: Recipe
) -> None:
    first = report_session.runs[0]
    recipe = replace(report_recipe, bootstrap_samples=0, families=("rest_fisher_z",))
    session = BaselineSession((first, replace(first, number=2)))
    page = visit_report(session, recipe, VisitLabel("sub-01"))
    assert "Motion and signals of rest_2" in page
    assert page.count("Regions on the mean image of") == 2  # aria-label and title of one figure
    text = _Page(page).text
    assert "Of several runs of a kind the first is drawn" in text
    assert "Features of several rest runs were averaged" in text


def test_a_bad_visit_says_so_first(rest_only: BaselineSession, report_recipe: Recipe) -> None:
    recipe = replace(report_recipe, families=("rest_fisher_z",), censor_framewise_displacement_mm=0.06)
    text = _Page(visit_report(rest_only, recipe, VisitLabel("sub-01"))).text
    assert "Refused: not usable as it is" in text
    assert text.index("too-short") < text.index("Motion and signals over time")
    assert "0 of 32 features" in text


def test_an_answer_comes_first_with_its_drawings(
    page: str, rest_only: BaselineSession, report_recipe: Recipe, bundle: Any, person: dict[str, Any]
) -> None:
    answer = score_features(bundle=bundle, **person)
    recipe = replace(report_recipe, families=("rest_fisher_z",))
    text = _Page(visit_report(rest_only, recipe, VisitLabel("sub-01"), answer=answer)).text
    assert answer["explanation"]["sentence"] in text
    for arm in answer["arms"].values():
        assert f"response ({answer['outcome']['response_rule']}): {arm['response_probability']:.0%}" in text
    assert answer["benefit"]["about"] in text
    assert text.index("Answer") < text.index("Quality")
    assert "not promoted" in text
    assert "Answer" not in _Page(page).text
    refused = {**answer, "status": "refused", "explanation": None}
    del refused["arms"]
    assert "No prediction is given" in visit_report(rest_only, recipe, VisitLabel("sub-01"), answer=refused)


def test_deviations_from_controls_stand_with_the_answer(
    rest_only: BaselineSession, report_recipe: Recipe, bundle: Any, person: dict[str, Any]
) -> None:
    edges = [
        {"feature": "rest_fisher_z__amygdala_L__vmPFC", "z": -2.34, "standard_error": 0.42},
        {"feature": "rest_fisher_z__amygdala_R__vmPFC", "z": 1.1, "standard_error": None},
        {"feature": "rest_fisher_z__amygdala_R__dACC", "z": None, "standard_error": None},
    ]
    counts = {"hypoconnected_edges": 1, "hyperconnected_edges": 0, "mean": -0.62, "n_edges": 2, "threshold": 1.96}
    reference = {"n_people": 40, "expected_given": [], "pooled_over": []}
    answer = {
        **score_features(bundle=bundle, **person),
        "deviations": {"edges": edges, **counts, "reference": reference},
    }
    recipe = replace(report_recipe, families=("rest_fisher_z",))
    text = _Page(visit_report(rest_only, recipe, VisitLabel("sub-01"), answer=answer)).text
    assert "Compared with 40 controls, 1 of 2 connections are weaker than expected and 0 stronger" in text
    assert "left amygdala – vmPFC −2.3 0.4" in " ".join(text.split())
    assert "right amygdala – vmPFC +1.1" not in text


def test_features_are_computed_when_none_are_given(rest_only: BaselineSession, report_recipe: Recipe) -> None:
    recipe = replace(report_recipe, families=("rest_fisher_z",))
    label = VisitLabel("sub-01")
    given = visit_report(rest_only, recipe, label, vector=extract_features(rest_only, recipe))
    assert visit_report(rest_only, recipe, label) == given


def test_a_circuit_without_pairs_of_two_sides_is_drawn_as_one_matrix(report_session: BaselineSession) -> None:
    regions = tuple(Region(name, name) for name in ("a", "b", "c"))
    circuit = Circuit("ring", "", regions, (Edge("a", "b"), Edge("b", "c"), Edge("c", "a")))
    names = circuit.region_names
    recipe = replace(region_table_recipe(names), circuit=circuit)
    session = _table_session(names, recipe)
    assert "Rest partial correlation" in visit_report(session, recipe, VisitLabel("sub-01"))

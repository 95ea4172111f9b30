"""One experiment on one page."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from predictor.errors import UsageError
from training.experiment import ExperimentResult
from training.report.experiment_figures import report_figures
from training.report.experiment_record import ExperimentRecord
from training.report.experiment_report import report_page, write_report
from training.report.figure_frame import DrawnFigure, in_words, wrapped
from training.report.model_figures import coefficients_figure
from training.report.prediction_figures import calibration_figure
from training.report.record_parts import first_model
from training.training_table import TrainingTable

Drawn = Mapping[str, DrawnFigure]


class _Page(HTMLParser):
    """Ids, elements and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src", "xlink:href"):
                self.addresses.append(value or "")


@pytest.fixture(scope="module")
def page(result: ExperimentResult) -> str:
    """Return the report of the small trial."""
    return report_page(result.record)


@pytest.fixture(scope="module")
def figures(result: ExperimentResult) -> dict[str, str]:
    """Return its figures as files."""
    return report_figures(result.record)


def test_needs_nothing_from_elsewhere_and_no_script(page: str) -> None:
    found = _Page(page)
    assert "script" not in found.tags
    assert all(address.startswith("#") for address in found.addresses)
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page


def test_links_and_drawings_refer_to_ids_that_occur_once(page: str) -> None:
    found = _Page(page)
    assert len(found.ids) == len(set(found.ids))
    assert {address[1:] for address in found.addresses} <= set(found.ids)
    assert set(re.findall(r"url\(#([\w.-]+)\)", page)) <= set(found.ids)


def test_says_research_use_only_and_that_data_are_synthetic(
    result: ExperimentResult, page: str, drawn_without_people: Drawn
) -> None:
    assert page.count("Research use only") >= 2
    assert "Synthetic data" not in page
    synthetic = {**result.record.document, "is_synthetic": True}
    labelled = report_page(ExperimentRecord(synthetic, None), drawn=drawn_without_people)
    assert "Synthetic data, no real person" in labelled


@pytest.mark.parametrize(
    "part",
    ["flow", "models", "predictions", "calibration", "chance", "coefficients", "contributions", "benefit", "coverage",
     "subgroups", "power", "audit", "limits", "methods", "card", "tripod", "technical"],
)  # fmt: skip
def test_holds_every_section(page: str, part: str) -> None:
    assert f'<section id="{part}"' in page


def test_draws_a_dot_per_person_only_where_people_may_be_shown(
    result: ExperimentResult, training_table: TrainingTable, figures: dict[str, str], drawn_without_people: Drawn
) -> None:
    n_people = len(training_table.outcome)
    shown, hidden = figures["predictions"], report_figures(result.record, aggregates_only=True)["predictions"]
    assert shown.count("<use ") - hidden.count("<use ") >= n_people
    assert "No single person is shown" in hidden
    without = report_figures(ExperimentRecord(result.record.document, None), drawn=drawn_without_people)
    assert without["predictions"] == hidden


def test_names_no_participant(page_without_people: str, training_table: TrainingTable) -> None:
    assert not [name for name in training_table.inputs.index if name in page_without_people]
    assert "Aggregates only" in page_without_people


def test_drawn_anew_or_drawn_already_page_and_figures_are_the_same(
    result: ExperimentResult, page: str, figures: dict[str, str], drawn: Drawn
) -> None:
    assert report_page(result.record, drawn=drawn) == page
    assert report_figures(result.record, drawn=drawn) == figures


def test_escapes_whatever_a_name_holds(result: ExperimentResult) -> None:
    document = copy.deepcopy(dict(result.record.document))
    document["name"] = document["cohort"]["name"] = "<script>alert(1)</script>"
    document["models"][1]["name"] = "<b>ridge</b>"
    document["limits"].append("<img src=x>")
    page = report_page(ExperimentRecord(document, None))
    assert "<script" not in page
    assert "<b>" not in page
    assert "<img" not in page


def test_every_figure_stands_on_its_own(figures: dict[str, str]) -> None:
    assert set(figures) == {
        "data_flow", "models", "predictions", "calibration", "decision_curve", "permutation_null", "coefficients",
        "contributions", "benefit", "power", "coverage", "subgroups",
    }  # fmt: skip
    for drawn in figures.values():
        assert ElementTree.fromstring(drawn).tag.endswith("svg")
        assert "Research use only" in drawn
        assert "prefers-color-scheme:dark" in drawn


def test_shows_what_is_not_reported_as_a_gap(result: ExperimentResult) -> None:
    document = _without_most(result.record.document)
    page = report_page(ExperimentRecord(document, None))
    assert page.count("Not reported:") >= 6
    assert "leave-one-out says nothing here" in page
    assert "GAP:" in page


def test_headline_says_which_baselines_are_not_beaten(
    result: ExperimentResult, page: str, drawn_without_people: Drawn
) -> None:
    assert "Its error is smaller than that of every baseline." in page
    document = copy.deepcopy(dict(result.record.document))
    document["models"][-1]["gain_of_primary"]["corrected_interval"]["lower"] = -1.0
    unbeaten = document["models"][-1]["name"]
    changed = report_page(ExperimentRecord(document, None), drawn=drawn_without_people)
    assert f"not shown to be better than {unbeaten}." in changed


def test_headline_claims_no_prediction_where_the_interval_holds_zero(
    result: ExperimentResult, page: str, drawn_without_people: Drawn
) -> None:
    assert "Elastic net predicts improvement of people it has not seen: R2 0." in page
    document = copy.deepcopy(dict(result.record.document))
    document["models"][0]["assessment"]["metrics"]["r2_interval"]["lower"] = -0.1
    changed = report_page(ExperimentRecord(document, None), drawn=drawn_without_people)
    assert "Elastic net is not shown to predict improvement" in changed


def test_writes_whole_or_says_why_not(result: ExperimentResult, tmp_path: Path, page: str) -> None:
    assert write_report(result.record, tmp_path / "report.html").read_text(encoding="utf-8") == page
    little = ExperimentRecord(_without_most(result.record.document), None)
    with pytest.raises(UsageError):
        write_report(little, tmp_path / "nowhere" / "report.html")


def _without_most(document: Any) -> dict[str, Any]:
    """Return a record in which everything is missing that can be."""
    left = copy.deepcopy(dict(document))
    reason = {"not_reported": "leave-one-out says nothing here."}
    parts = ("calibration", "responders", "response_calibration", "response_groups", "decision_curve")
    left["models"][0]["assessment"] |= dict.fromkeys(parts, reason)
    left["permutation"] = {"p_value": None, "n_permutations": 0, "null_hypothesis": "not tested", "null_r2": []}
    left["benefit"] = {"status": "prognostic only", "reason": "there are no two arms to compare", "groups": []}
    left |= {"coverage": None, "coefficients": None, "shap": None, "subgroups": [], "calibration_bins": []}
    left["cohort"] |= {"age": None, "sex": None, "n_per_site": {}}
    return left


def test_labels_beside_an_axis_are_broken_and_never_cut(result: ExperimentResult) -> None:
    regions = [f"hippocampus_anterior_{a}__insula_anterior_{b}" for a in "LR" for b in "LR"]
    names = [f"{kind}__{place}" for kind in ("gppi_faces_mean", "rdcm_faces") for place in regions]
    row = result.record.document["coefficients"][0] | {"arm": "all"}
    figure = coefficients_figure(result.record.document | {"coefficients": [row | {"feature": name} for name in names]})
    assert figure is not None
    assert "…" not in figure.svg
    assert len({wrapped(in_words(name)) for name in names}) == len(names)


def test_a_caption_names_sides_only_where_there_are_two(result: ExperimentResult) -> None:
    both = calibration_figure(result.record.document)
    document = copy.deepcopy(result.record.document)
    first_model(document)["assessment"]["response_groups"] = {"not_reported": "no rule."}
    one = calibration_figure(document)
    assert both is not None
    assert one is not None
    assert both.caption.startswith("Left: slope")
    assert " Right: share of responders" in both.caption
    assert one.caption.startswith("Slope")

"""Sections at the end of an experiment's report: multiverse, model card, TRIPOD+AI table, technical part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from predictor.report.markdown_page import markdown_as_html
from training.report.card_markdown import card_markdown
from training.report.figure_frame import DrawnFigure
from training.report.model_card import card_document
from training.report.multiverse_section import multiverse_section
from training.report.report_section import ReportSection, ReportTable
from training.report.tripod_ai import TripodItem, tripod_table

Document = Mapping[str, Any]


def closing_sections(document: Document, *, previous: Sequence[Mapping[str, Any]] = ()) -> list[ReportSection]:
    """Card, checklist and technical part, after the methods."""
    card = markdown_as_html(card_markdown(card_document(document, previous=previous)))
    return [
        ReportSection("card", "Model card", html=card, style="card page"),
        _tripod(tripod_table(document)),
        _technical(document),
    ]


def multiverse_part(multiverse: Document) -> ReportSection:
    """Return what other decisions would have given, from a multiverse's document."""
    found = multiverse_section(multiverse)
    figure = DrawnFigure("specification_curve", found.heading, found.note, found.figure)
    table = ReportTable(found.heading, found.columns, found.rows, frozenset(range(2, len(found.columns))))
    return ReportSection(
        "multiverse", found.heading, found.sentences, figures=(figure,), points=found.references, tables=(table,)
    )


def _tripod(items: Sequence[TripodItem]) -> ReportSection:
    rows = tuple((item.item, item.asks, _tripod_answer(item)) for item in items)
    n_gaps = sum(item.status == "gap" for item in items)
    said = (
        f"Items after Collins et al. (2024), in words of our own; {n_gaps} of {len(items)} rows are gaps. What only "
        "people know comes from the section [report] of the experiment file."
    )
    table = ReportTable("TRIPOD+AI", ("Item", "Asks for", "Answer"), rows)
    return ReportSection("tripod", "TRIPOD+AI", paragraphs=(said,), tables=(table,), style="tripod")


def _tripod_answer(item: TripodItem) -> str:
    if item.status == "not applicable":
        return f"Not applicable: {item.answer}"
    gap = f"GAP: {item.missing}" if item.missing else ""
    return " ".join(part for part in (item.answer, gap) if part)


def _technical(document: Document) -> ReportSection:
    folds = document["folds"]
    facts = {
        "Configuration": document["config_digest"],
        "Features": document["features"].get("digest", "–"),
        "Folds": folds["digest"],
        "Recipes of the features": ", ".join(document["features"]["recipe_hashes"]) or "ready features",
        "Version of this software": document["code_version"],
    }
    facts |= {f"{name} (version)": number_ for name, number_ in document["environment"].items()}
    if document["seconds"] is not None:
        facts["Computed in"] = f"{document['seconds']:.0f} s"
    table = ReportTable("Technical", ("", "Technical"), tuple(facts.items()))
    return ReportSection("technical", "Technical", tables=(table,), html=_configuration(document["config"]))


def _configuration(config: Document) -> str:
    text = json.dumps(config, indent=1, ensure_ascii=False)
    return (
        "<details><summary>The whole configuration</summary>"
        '<pre tabindex="0" role="group" aria-label="The whole configuration">'
        f"<code>{escape(text)}</code></pre></details>"
    )

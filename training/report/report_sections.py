"""Sections of an experiment's report on who was there and what the models found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from predictor.report.wording import outcome_in_words
from training.report.record_parts import first_model
from training.report.record_reading import digits_for, is_reported, model_in_words, number, why_not, with_interval
from training.report.report_section import Figures, ReportSection, ReportTable, figures_named
from training.report.trust_sections import trust_sections

Document = Mapping[str, Any]

MOST_LISTED = 40


def report_sections(document: Document, figures: Figures) -> list[ReportSection]:
    """Return the sections before the methods, in the order of the page; the limits come last."""
    return [
        _flow(document, figures),
        _models(document, figures),
        _predictions(document, figures),
        _calibration(document, figures),
        _chance(document, figures),
        _coefficients(document, figures),
        _contributions(document, figures),
        *trust_sections(document, figures),
    ]


def _flow(document: Document, figures: Figures) -> ReportSection:
    cohort = document["cohort"]
    outcome, unit = cohort["outcome"], document["outcome"]["unit"]
    quartiles = ", ".join(number(one, digits=1) for one in outcome["quartiles"])
    facts = [
        ("People", str(cohort["n_participants"])),
        ("By arm", _counted(cohort["n_per_arm"])),
        ("By site", _counted(cohort["n_per_site"]) or "site unknown"),
        ("Age (years)", _age(cohort["age"])),
        ("Sex", _counted(cohort["sex"]) if cohort["sex"] else "unknown"),
        (
            f"{outcome_in_words(document['outcome']['name'])} ({unit})",
            f"mean {number(outcome['mean'], digits=1)}, SD {number(outcome['sd'], digits=1)}, quartiles {quartiles}",
        ),
        ("Missing values", "; ".join(f"{family} {100 * share:.1f} %" for family, share in cohort["missing"].items())),
    ]
    table = ReportTable("The cohort", ("", "The cohort"), tuple(facts))
    return ReportSection("flow", "Data flow", figures=figures_named(figures, "data_flow"), tables=(table,))


def _models(document: Document, figures: Figures) -> ReportSection:
    rows = tuple(_model_row(one) for one in document["models"])
    header = ("Model", "R2", "MAE", "RMSE", "r", "Gain of the first")
    table = ReportTable("All models", header, rows, frozenset(range(1, 6)), frozenset({0}))
    drawn = figures_named(figures, "models")
    return ReportSection("models", "Models and baselines", figures=drawn, tables=(table,), style="dense")


def _model_row(model: Document) -> tuple[str, ...]:
    metrics, gain = model["assessment"]["metrics"], model["gain_of_primary"]
    digits = digits_for([metrics["mae"]])
    return (
        model_in_words(model["name"]) + ("" if model["role"] == "baseline" else f" ({model['role']})"),
        with_interval(metrics["r2"], metrics["r2_interval"]),
        with_interval(metrics["mae"], metrics["mae_interval"], digits=digits),
        with_interval(metrics["rmse"], metrics["rmse_interval"], digits=digits),
        with_interval(metrics["pearson_r"], metrics["pearson_r_interval"]),
        _gain(gain),
    )


def _gain(gain: Document | None) -> str:
    if gain is None:
        return "–"
    interval = gain["corrected_interval"]
    digits = digits_for([gain["difference"], interval["lower"], interval["upper"]])
    return with_interval(gain["difference"], interval, digits=digits)


def _predictions(document: Document, figures: Figures) -> ReportSection:
    found = figures_named(figures, "predictions")
    gaps = () if found else ("too few people for means of five, or the same prediction for everyone.",)
    return ReportSection("predictions", "Predicted and found", gaps=gaps, figures=found)


def _calibration(document: Document, figures: Figures) -> ReportSection:
    assessment = first_model(document)["assessment"]
    parts = {
        "calibration of the outcome": assessment["calibration"],
        "responders": assessment["responders"],
        "calibration of the response": assessment["response_calibration"],
        "decision curve": assessment["decision_curve"],
    }
    gaps = tuple(f"{name}: {why_not(one)}" for name, one in parts.items() if not is_reported(one))
    rows = tuple(_responder_rows(assessment["responders"])) if is_reported(assessment["responders"]) else ()
    title = f"Responders: {assessment['response_rule'] or 'as given'}"
    tables = (ReportTable(title, (title, "Value [95 % interval]"), rows, frozenset({1})),) if rows else ()
    drawn = figures_named(figures, "calibration", "decision_curve")
    return ReportSection("calibration", "Calibration and decisions", gaps=gaps, figures=drawn, tables=tables)


def _responder_rows(responders: Document) -> Iterator[tuple[str, str]]:
    yield "Responders", f"{responders['n_responders']} of {responders['n_responders'] + responders['n_others']}"
    for key, name in (
        ("auc", "AUC"),
        ("balanced_accuracy", "Balanced accuracy"),
        ("brier", "Brier score"),
        ("brier_skill", "Brier skill against the base rate"),
        ("log_loss", "Log loss"),
    ):
        yield name, with_interval(responders[key], responders[f"{key}_interval"])


def _chance(document: Document, figures: Figures) -> ReportSection:
    found = figures_named(figures, "permutation_null")
    gaps = () if found else ("no permutations were asked for.",)
    return ReportSection("chance", "Chance level", gaps=gaps, figures=found)


def _coefficients(document: Document, figures: Figures) -> ReportSection:
    found = figures_named(figures, "coefficients")
    if found:
        n_shown = len({row["feature"] for row in document["coefficients"]})
        rest = document.get("n_coefficients_not_shown", 0)
        said = f"{n_shown + rest} inputs have a weight" + (
            f"; {rest} small ones are not in the record." if rest else "."
        )
        return ReportSection("coefficients", "Coefficients", paragraphs=(said,), figures=found)
    if document["coefficients"] == []:
        reason = "the final model weighs nothing."
    elif document["shap"] is not None:
        reason = "the final model is made of trees, which have no coefficients; see what moves the predictions."
    else:
        reason = "models competed, so there is none."
    return ReportSection("coefficients", "Coefficients", gaps=(reason,))


def _contributions(document: Document, figures: Figures) -> ReportSection:
    found = figures_named(figures, "contributions")
    gaps = () if found else (why_not(document["shap"]),)
    return ReportSection("contributions", "What moves the predictions", gaps=gaps, figures=found)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in list(counts.items())[:MOST_LISTED])


def _age(age: Document | None) -> str:
    if age is None:
        return "unknown"
    decades = f"from the {age['min_decade']}s to the {age['max_decade']}s"
    return f"mean {number(age['mean'], digits=1)}, SD {number(age['sd'], digits=1)}, {decades}"

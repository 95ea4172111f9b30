"""The result of a locked test as one page: HTML that needs nothing else, or Markdown; aggregates only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from predictor.report.page_template import page_style, page_template
from predictor.report.themed_figure import MUTED, UP
from predictor.report.wording import feature_in_words
from training.report.figure_frame import DrawnFigure, IntervalRow, draw, forest, legend, quiet_grid
from training.report.markdown import bullets, plain, table
from training.report.record_reading import digits_for, number, with_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Document = Mapping[str, Any]
Rows = list[tuple[str, ...]]

RESEARCH_ONLY = "Research use only: no decision about a person may rest on these numbers."
SYNTHETIC = "Synthetic data: it says that the machinery works, nothing about people."
MEASURES = {"r2": "R2", "mae": "Mean absolute error", "bias": "Predicted minus observed"}


def locked_test_page(document: Document) -> str:
    """Write the result as one HTML file.

    Parameters
    ----------
    document
        Of `training.locked.locked_result`.

    Returns
    -------
    str
        Nothing is loaded from elsewhere and no script runs; the same bytes for the same document.
    """
    return page_template("training.report", "locked_test.html").render(
        document=document,
        research_only=RESEARCH_ONLY,
        synthetic=SYNTHETIC,
        tables=_tables(document),
        figures=[models_figure(document), calibration_figure(document)],
        style=page_style(),
    )


def locked_test_markdown(document: Document) -> str:
    """Write the result as Markdown."""
    lines = [f"# Locked test: {plain(document['model']['label'])} on {plain(document['cohort']['name'])}", ""]
    lines += [f"**{RESEARCH_ONLY}**", ""]
    lines += [f"**{SYNTHETIC}**", ""] if document["is_synthetic"] else []
    lines += [plain(document["headline"]), ""]
    for title, header, rows in _tables(document):
        lines += [f"## {title}", "", *table(header, rows), ""]
    lines += ["## What these numbers do not carry", "", *bullets(document["limits"])]
    return "\n".join(lines) + "\n"


def models_figure(document: Document) -> DrawnFigure:
    """Draw R2 of the locked model beside the baselines, with intervals."""
    rows = [
        IntervalRow(
            one["name"],
            one["metrics"]["r2"],
            one["metrics"]["r2_interval"]["lower"],
            one["metrics"]["r2_interval"]["upper"],
            is_first=place == 0,
        )
        for place, one in enumerate(document["models"])
    ]

    def paint(figure: Figure) -> None:
        """One axis."""
        figure.set_layout_engine("tight")
        axes = figure.subplots()
        forest(axes, rows, label="R2 against the mean of the training people (95 % interval over people)")

    caption = (
        "R2 of the locked model and of baselines fitted on the training people; 0 is the training mean. Where a "
        "baseline keeps pace, the model is not shown to add anything here."
    )
    return draw("locked_models", "R2 on the new people", caption, height=0.9 + 0.36 * len(rows), paint=paint)


def calibration_figure(document: Document) -> DrawnFigure:
    """Draw mean outcomes of groups of people over their mean predictions."""
    bins, unit = document["calibration_bins"], document["outcome"]["unit"]
    predicted, observed = [one["predicted_mean"] for one in bins], [one["observed_mean"] for one in bins]

    def paint(figure: Figure) -> None:
        """One axis."""
        figure.set_layout_engine("tight")
        axes = figure.subplots()
        ends = [min(*predicted, *observed), max(*predicted, *observed)]
        axes.plot(ends, ends, color=MUTED, linewidth=0.8, linestyle="--", label="as predicted")
        axes.errorbar(
            predicted,
            observed,
            yerr=[one["observed_sd"] for one in bins],
            fmt="o",
            color=UP,
            linewidth=1.0,
            label=f"groups of {min(one['n'] for one in bins)} or more people, with their standard deviation",
        )
        axes.set_xlabel(f"predicted ({unit})")
        axes.set_ylabel(f"observed ({unit})")
        quiet_grid(axes)
        legend(axes, loc="lower left", bbox_to_anchor=(0.0, 1.0))

    caption = "Mean observed outcome of groups of people over their mean prediction; no single person is shown."
    return draw("locked_calibration", "Observed over predicted", caption, height=3.6, paint=paint)


def _tables(document: Document) -> list[tuple[str, tuple[str, ...], Rows]]:
    """All tables of the page: title, header, rows."""
    return [
        ("The test", ("", ""), _facts(document)),
        ("Models", ("Model", "R2", "MAE", "r", "Locked model's squared error is smaller by"), _models(document)),
        (
            f"Prediction intervals ({document['coverage']['promised']:.0%} promised)",
            ("", "People", "Held"),
            _held(document),
        ),
        ("Calibration and responders", ("Measure", "Value"), _calibration(document)),
        (
            "Performance, in training and here",
            ("Measure", "Cross-validated in training", "Here", "Difference"),
            _performance(document),
        ),
        (
            "Inputs, in training and here",
            ("Input", "Mean difference (sd)", "Outside training range", "Missing", "KS distance", "p (Holm)"),
            _inputs(document),
        ),
    ]


def _facts(document: Document) -> Rows:
    model, cohort, opening = document["model"], document["cohort"], document["opening"]
    outcome, chance = document["outcome"], document["permutation"]
    counts = f"{_times(opening['number'])} in all, {_times(opening['number_on_this_cohort'])} on these people"
    rows: Rows = [
        ("Model", f"{model['label']}, trained on {model['trained_on']} people, {model['digest'][:19]}"),
        ("Outcome", f"{outcome['name']} ({outcome['unit']}), {outcome['better']} is better"),
        ("Opened", f"{counts}; this one at {opening['at']}"),
        ("People", f"{cohort['n_people']}; {cohort['n_answered']} answered ({_counts(cohort['n_per_arm'])})"),
        ("Without usable features", str(cohort["n_unusable"])),
        ("Flagged", f"{cohort['n_flagged']}{_of(cohort['flags'])}"),
        ("Refused", f"{cohort['n_refused']}{_of(cohort['refusals'])}"),
        ("Nobody from training: ids", document["checks"]["participant_ids"]),
        ("Nobody from training: rows", document["checks"]["feature_rows"]),
        ("Pairs with the same features", str(cohort["n_same_pairs"])),
        ("Permutation p", f"{chance['p_value']:.4f} ({chance['n_permutations']} permutations)"),
    ]
    without = document["without_duplicates"]
    if without:
        shown = without.get("not_reported") or f"R2 {_value(without, 'r2')}, MAE {_value(without, 'mae')}"
        rows.append(("With one of each pair left out", f"{without['n']} people, {shown}"))
    return rows


def _models(document: Document) -> Rows:
    rows: Rows = []
    for one in document["models"]:
        metrics, gain = one["metrics"], "–"
        if one["gain"] is not None:
            ends = one["gain_interval"]
            digits = digits_for([one["gain"], ends["lower"], ends["upper"]])
            gain = with_interval(one["gain"], ends, digits=digits, signed=True)
        r = "–" if metrics["pearson_r"] is None else _value(metrics, "pearson_r")
        rows.append((one["name"], _value(metrics, "r2"), _value(metrics, "mae"), r, gain))
    return rows + [
        (one["name"], "not possible: " + one["reason"], "", "", "") for one in document["baselines_left_out"]
    ]


def _held(document: Document) -> Rows:
    coverage = document["coverage"]
    parts = {"all": coverage["overall"], **(coverage["by_arm"] if len(coverage["by_arm"]) > 1 else {})}
    return [
        (name, "–", one["not_reported"])
        if "not_reported" in one
        else (name, str(one["n"]), f"{one['share']:.0%} [{one['lower']:.0%}, {one['upper']:.0%}]")
        for name, one in parts.items()
    ]


def _calibration(document: Document) -> Rows:
    parts = (
        (
            "calibration",
            {"slope": "Calibration slope (ideal 1)", "in_the_large": "Observed beyond predicted (ideal 0)"},
        ),
        ("responders", {"auc": "AUC of response probability", "brier": "Brier score", "brier_skill": "Brier skill"}),
        ("response_calibration", {"slope": "Calibration slope of response probability (ideal 1)"}),
    )
    rows: Rows = []
    for name, measures in parts:
        part = document[name]
        if "not_reported" in part:
            rows.append((name.replace("_", " ").capitalize(), f"not reported: {part['not_reported']}"))
        else:
            rows += [(words, _value(part, measure)) for measure, words in measures.items()]
    return rows


def _performance(document: Document) -> Rows:
    rows: Rows = []
    for name, one in document["drift"]["performance"].items():
        then = with_interval(one["in_training"], one["in_training_interval"])
        change = with_interval(one["difference"], one["difference_interval"], signed=True)
        rows.append((MEASURES.get(name, name), then, number(one["here"]), change))
    registered = document["drift"]["registered"]
    if "r2" in registered and "r2_interval" in registered:
        rows.append(("R2, as the experiment judged it", _value(registered, "r2"), "", ""))
    return rows


def _inputs(document: Document) -> Rows:
    features = document["drift"]["features"]
    rows: Rows = [
        (
            feature_in_words(one["name"]),
            number(one["mean_difference"], signed=True),
            _percent(one["outside_range"]),
            _percent(one["missing"]),
            number(one["ks_statistic"]),
            number(None) if one["ks_p_value"] is None else f"{one['ks_p_value']:.2g}",
        )
        for one in features["inputs"]
    ]
    if features["n_not_shown"]:
        rows.append((f"and {features['n_not_shown']} more with smaller differences", "", "", "", "", ""))
    words = f"{features['n_shifted']} of {features['n_tested']} inputs tested differ (p < {features['significance']:g})"
    return [*rows, (words, "", "", "", "", "")]


def _value(values: Document, name: str) -> str:
    return with_interval(values[name], values.get(f"{name}_interval"))


def _percent(share: float | None) -> str:
    return number(None) if share is None else f"{share:.0%}"


def _counts(counts: Document) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def _of(counts: Document) -> str:
    return f" ({_counts(counts)})" if counts else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"

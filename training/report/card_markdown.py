"""The model card as Markdown; what the card does not know stands there as a gap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training.report.markdown import bullets, plain, table
from training.report.record_parts import Document, counts, number, part, percent, rows, why_not, with_interval

GAP = "**GAP**"
RESEARCH_USE_ONLY = "**Research use only.** Not a medical device; no clinical decision may rest on these numbers."
SYNTHETIC = "**Synthetic data.** The people of this cohort are simulated; nothing here says anything about patients."
_POWER_ENTRIES = ("detectable_r2", "detectable_gain", "baseline_r2")
STATEMENT_TITLES = {
    "authors": "Authors", "setting": "Setting", "study_dates": "Dates of the study", "eligibility": "Eligibility",
    "registration": "Registration", "ethics": "Ethical approval and consent", "funding": "Funding",
    "conflicts": "Conflicts of interest", "data_availability": "Availability of the data",
    "code_availability": "Availability of the code", "patient_involvement": "Patient and public involvement",
    "notes": "Notes",
}  # fmt: skip


def card_markdown(card: Mapping[str, Any]) -> str:
    """Return the card for people.

    Parameters
    ----------
    card
        As `card_document` returns it; absent entries are shown as gaps.
    """
    sections = {
        "Use": _use(card), "Population": _population(card), "Inputs": _inputs(card), "Missing data": _missing(card),
        "Performance": _performance(card), "Calibration": _calibration(card), "Subgroups": _subgroups(card),
        "Prediction intervals": _coverage(card), "Power": _power(card), "Benefit or prognosis": _benefit(card),
        "Limits of applicability": _limits(card), "Statements": _statements(card), "Change log": _changes(card),
        "Provenance": _provenance(card),
    }  # fmt: skip
    lines = [f"# Model card: {_or_gap(card.get('name'))}", "", RESEARCH_USE_ONLY]
    if card.get("is_synthetic"):
        lines += ["", SYNTHETIC]
    for title, content in sections.items():
        lines += ["", f"## {title}", "", *content]
    return "\n".join(lines) + "\n"


def standing_markdown(standing: Mapping[str, Any]) -> str:
    """Return a further section of the card, which cannot stand in the bundle because a bundle never changes.

    Parameters
    ----------
    standing
        What is known of the version today: `version`, `gate`, `gate_reasons`, `aliases`, and `openings` of its locked
        test.
    """
    openings = standing.get("openings")
    facts = {
        "Version": standing.get("version"),
        "Aliases": ", ".join(map(str, rows(standing, "aliases"))) or "none",
        "Promotion gate": " ".join(str(standing[one]) for one in ("gate", "gate_reasons") if standing.get(one)),
        "Locked test": f"opened {openings} time{'' if openings == 1 else 's'}" if openings else "never opened",
    }
    return "\n".join(["## Standing today", "", *_facts(facts)]) + "\n"


def _use(card: Document) -> Iterator[str]:
    yield f"Intended: {_or_gap(card.get('intended_use'))}"
    yield ""
    yield "Not for:"
    yield ""
    yield from bullets(rows(card, "not_for")) or [GAP]
    outcome = part(card, "outcome")
    yield ""
    if not outcome:
        yield f"Predicts: {GAP}"
        return
    rule = f"; a response is {outcome['response_rule']}" if outcome.get("response_rule") else ""
    what = f"{outcome.get('unit')}; {outcome.get('better')} is better{rule}"
    yield f"Predicts: {plain(outcome.get('name'))} ({plain(what)})"


def _population(card: Document) -> Iterator[str]:
    population = part(card, "population")
    age, sex, outcome = (part(population, name) for name in ("age", "sex", "outcome"))
    unit = str(part(card, "outcome").get("unit", ""))
    facts = {
        "Cohort": card.get("cohort"),
        "People": card.get("n_participants"),
        "Left out": card.get("n_left_out"),
        "By arm": counts(part(card, "n_per_arm")),
        "Sites": _sites(card),
        "Age": f"mean {number(age.get('mean'))}, sd {number(age.get('sd'))} years" if age else None,
        "Sex": counts(sex),
        "Outcome": f"mean {number(outcome.get('mean'))}, sd {number(outcome.get('sd'))} {unit}" if outcome else None,
    }
    yield from _facts(facts)
    flow = rows(population, "flow")
    if flow:
        yield ""
        cells = ((one.get("stage"), _known(one.get("n")), one.get("detail") or "") for one in flow)
        yield from table(("From whom to whom", "n", "Detail"), cells)


def _known(n: Any) -> Any:
    return "not known" if n is None else n


def _sites(card: Document) -> str:
    sites = part(card, "n_per_site")
    return f"{len(sites)} ({counts(sites)})" if sites else ""


def _inputs(card: Document) -> Iterator[str]:
    families = part(card, "features")
    yield f"{_or_gap(card.get('n_features'))} features; every one is listed with its unit in the bundle."
    yield ""
    yield from table(
        ("Family", "Features", "Unit"), ((name, one.get("n"), one.get("unit")) for name, one in families.items())
    )
    yield ""
    yield f"Besides the scan: {plain(', '.join(map(str, rows(card, 'covariates'))) or 'nothing')}."


def _missing(card: Document) -> Iterator[str]:
    missing = part(card, "missing_data")
    yield _or_gap(missing.get("rule"))
    shares = part(missing, "share_by_family")
    if shares:
        yield ""
        yield from table(("Family", "Missing values"), ((name, _share(share)) for name, share in shares.items()))


def _performance(card: Document) -> Iterator[str]:
    metrics, unit = part(card, "metrics"), str(part(card, "outcome").get("unit", ""))
    permutation = part(card, "permutation")
    yield f"{_or_gap(card.get('model'))}, judged by {_or_gap(card.get('validation'))}."
    yield "R2 is against the mean of the training people, out of fold; intervals are 95 %."
    yield ""
    models = {str(card.get("model")): metrics, **part(card, "baselines")}
    cells = ((name, *_scores(one, unit), _gain(card, name)) for name, one in models.items() if one)
    header = ("Model", "R2", "MAE", "RMSE", "Pearson r", "Squared error saved by the first model")
    yield from table(header, cells)
    yield ""
    yield from _facts({"Chance level": _chance(permutation), "Fold isolation": _isolation(card)})
    responders = part(card, "responders")
    if responders:
        yield from _facts(
            {
                "Responders, AUC": with_interval(responders, "auc"),
                "Responders, balanced accuracy": with_interval(responders, "balanced_accuracy"),
                "Responders, Brier score": with_interval(responders, "brier"),
            }
        )
    else:
        yield from bullets([f"Responders: not reported. {why_not(card, 'responders')}"])


def _scores(metrics: Document, unit: str) -> tuple[str, ...]:
    errors = (with_interval(metrics, name, unit=unit, decimals=None) for name in ("mae", "rmse"))
    return (with_interval(metrics, "r2"), *errors, with_interval(metrics, "pearson_r"))


def _gain(card: Document, name: str) -> str:
    """Return by how much the first model's squared error is smaller; "-" for itself."""
    gain = part(card, "comparisons", name)
    interval = part(gain, "corrected_interval")
    if not interval:
        return "-"
    return f"{number(gain['difference'])} [{number(interval['lower'])}, {number(interval['upper'])}]"


def _chance(permutation: Document) -> str:
    p_value = permutation.get("p_value")
    if p_value is None:
        return "not tested by permutation" if permutation else ""
    return f"p = {number(p_value)}, {permutation.get('n_permutations')} permutations of the whole pipeline"


def _isolation(card: Document) -> str:
    passed = part(card, "fold_isolation").get("passed")
    if passed is None:
        return ""
    return "held-out people do not reach the fit" if passed else "FAILED: held-out people reach the fit"


def _calibration(card: Document) -> Iterator[str]:
    for title, name in (("Outcome", "calibration"), ("Response probability", "response_calibration")):
        found = part(card, name)
        if found:
            slope, level = with_interval(found, "slope"), with_interval(found, "in_the_large")
            text = f"{title}: slope {slope} (ideal 1), in the large {level} (ideal 0; {found.get('scale')})"
        else:
            text = f"{title}: not reported. {why_not(card, name)}"
        yield from bullets([text])
    bins = rows(card, "calibration_bins")
    if bins:
        yield ""
        cells = ((one.get("n"), number(one.get("predicted_mean")), number(one.get("observed_mean"))) for one in bins)
        yield from table(("People", "Predicted mean", "Observed mean"), cells)


def _subgroups(card: Document) -> Iterator[str]:
    groups = rows(card, "subgroups")
    if not groups:
        yield f"Not reported. {plain(why_not(card, 'subgroups'))}" if why_not(card, "subgroups") else GAP
        return
    yield (
        "In groups marked *too few* no number would mean anything; where a level is so small that the others would "
        "give it away, numbers are *withheld*."
    )
    yield ""
    cells = [
        (one.get("column"), one.get("level"), one.get("n"), *(_of_group(one, name) for name in ("r2", "mae", "bias")))
        for one in groups
    ]
    unit = part(card, "outcome").get("unit")
    yield from table(("Column", "Group", "n", "R2", f"MAE ({unit})", f"Bias ({unit})"), cells)


def _of_group(group: Document, name: str) -> str:
    if group.get("too_few"):
        return "too few"
    return "withheld" if group.get("withheld") else number(group.get(name), decimals=2)


def _coverage(card: Document) -> Iterator[str]:
    coverage = part(card, "coverage")
    if not coverage:
        reason = why_not(card, "coverage")
        yield f"Not reported. {plain(reason)}" if reason else GAP
        return
    shares = {"everyone": coverage, **part(coverage, "by_arm")}
    rows = [(arm, share.get("n_people"), _held(share)) for arm, share in shares.items()]
    promised = percent(coverage.get("promised"))
    yield from table(("Arm", "n", f"Realised, promised {promised}"), rows)


def _held(share: Document) -> str:
    """Share of people within their intervals, with its interval."""
    interval = part(share, "interval")
    bounds = f" [{percent(interval.get('lower'))}, {percent(interval.get('upper'))}]" if interval else ""
    return percent(share.get("realised")) + bounds


def _power(card: Document) -> Iterator[str]:
    power = part(card, "power")
    if not power:
        yield GAP
        return
    lowest, gain, base = (number(power.get(name), decimals=2) for name in _POWER_ENTRIES)
    yield (
        f"With {power.get('n_participants')} people, an R2 of {lowest} is found with a power of "
        f"{percent(power.get('wanted_power'))}, and {gain} beyond a baseline with R2 {base}; "
        f"{plain(power.get('holds', ''))}."
    )


def _benefit(card: Document) -> Iterator[str]:
    benefit = part(card, "benefit")
    if not benefit:
        yield GAP
        return
    yield f"**{plain(benefit.get('status'))}**: {plain(benefit.get('reason'))}."
    if benefit.get("about"):
        yield ""
        yield f"A benefit is about {plain(benefit['about'])}."


def _limits(card: Document) -> Iterator[str]:
    yield from bullets(rows(card, "limits")) or [GAP]
    applicability = rows(card, "applicability")
    if applicability:
        yield ""
        yield "Whom the model has seen, and what the service does with others:"
        yield ""
        yield from bullets(applicability)


def _statements(card: Document) -> Iterator[str]:
    said = part(card, "statements")
    yield from _facts({title: said.get(entry) for entry, title in STATEMENT_TITLES.items()})


def _changes(card: Document) -> Iterator[str]:
    earlier = rows(card, "change_log")
    if not earlier:
        yield "First version under this name."
        return
    cells = (
        (one.get("version"), str(one.get("bundle_digest"))[:19], one.get("gate"), one.get("gate_reasons") or "")
        for one in earlier
    )
    yield from table(("Version", "Bundle", "Promotion gate", "Reasons"), cells)


def _provenance(card: Document) -> Iterator[str]:
    found = part(card, "provenance")
    titles = {
        "code_version": "Version of the code", "config_digest": "Experiment file", "splits_digest": "Folds",
        "recipe_hashes": "Recipes of the features", "environment": "Software",
    }  # fmt: skip
    yield from _facts({title: _in_words(found.get(name)) for name, title in titles.items()})


def _facts(facts: Mapping[str, Any]) -> list[str]:
    return [f"- {title}: {_or_gap(value)}" for title, value in facts.items()]


def _or_gap(value: Any) -> str:
    return GAP if value is None or value == "" else plain(value)


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return str(value or "") if isinstance(value, str) or not value else ", ".join(str(one) for one in value)


def _share(share: Any) -> str:
    return "not reported" if share is None else f"{100 * share:.1f} %"

"""How a visit compares with controls, in the words of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from typing import Any

from predictor.report.wording import in_percent, place_and_kind, quantity

N_SHOWN = 6


@dataclass(frozen=True, slots=True)
class DeviationRow:
    """One connection in the table."""

    name: str
    z: str
    standard_error: str
    verdict: str


@dataclass(frozen=True, slots=True)
class DeviationView:
    """What the result page says about hypo- and hyperconnectivity."""

    title: str
    counts: str
    by_chance: str
    compared_with: str
    rows: list[DeviationRow]
    has_standard_errors: bool
    n_edges: int


def deviation_view(deviations: Mapping[str, Any] | None) -> DeviationView | None:
    """Put the block `deviations` of an answer into words; None when the model compares no one with controls."""
    if not deviations or not deviations["n_edges"]:
        return None
    known = [edge for edge in deviations["edges"] if edge["z"] is not None]
    strongest = sorted(known, key=lambda edge: -abs(edge["z"]))[:N_SHOWN]
    n_edges, threshold = int(deviations["n_edges"]), float(deviations["threshold"])
    weaker, stronger = deviations["hypoconnected_edges"], deviations["hyperconnected_edges"]
    beyond = in_percent(erfc(threshold / sqrt(2)))
    kind = place_and_kind(known[0]["feature"])[1].lower()
    return DeviationView(
        title=f"{kind.capitalize()} compared with controls",
        counts=(
            f"Of {n_edges} measured connections, {_so_many(weaker)} weaker than expected of controls (hypoconnected) "
            f"and {_so_many(stronger)} stronger (hyperconnected)."
        ),
        by_chance=(
            f"Weaker or stronger means a z beyond {threshold:g} either way; "
            f"of a control’s connections, about {beyond} lie that far out by chance."
        ),
        compared_with=_compared_with(deviations["reference"]),
        rows=[_row(edge, threshold) for edge in strongest],
        has_standard_errors=any(edge["standard_error"] is not None for edge in strongest),
        n_edges=n_edges,
    )


def _row(edge: Mapping[str, Any], threshold: float) -> DeviationRow:
    z, error = float(edge["z"]), edge["standard_error"]
    return DeviationRow(
        name=place_and_kind(edge["feature"])[0],
        z=quantity(z, "", signed=True, digits=2),
        standard_error="not known" if error is None else quantity(float(error), "", digits=2),
        verdict="weaker" if z < -threshold else "stronger" if z > threshold else "as expected",
    )


def _compared_with(reference: Mapping[str, Any]) -> str:
    pooled = set(reference["pooled_over"])
    given = [_covariate_in_words(name) for name in reference["expected_given"] if name not in pooled]
    like = f" of the same {_joined(given)}" if given else ""
    unknown = [_covariate_in_words(name) for name in reference["expected_given"] if name in pooled]
    over = f" For {_joined(unknown)} all controls are taken together." if unknown else ""
    return f"Expected is what the {reference['n_people']} controls of the model show in people{like}.{over}"


def _covariate_in_words(name: str) -> str:
    return "head motion" if "framewise_displacement" in name else name.replace("_", " ")


def _joined(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _so_many(count: int) -> str:
    return "none is" if count == 0 else f"{count} is" if count == 1 else f"{count} are"

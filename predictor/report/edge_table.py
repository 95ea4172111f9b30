"""An answer's contributions as a table: one row per input, with the regions it was measured in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from predictor.errors import ExplanationAbsentError
from predictor.features.feature_catalogue import QUALITY_KIND
from predictor.model.scoring_plan import CLINICAL

COLUMNS = (
    "feature",
    "kind",
    "circuit",
    "source",
    "target",
    "value",
    "value_unit",
    "contribution",
    "contribution_unit",
    "arm",
    "fold_sign_agreement",
    "research_use_only",
)
MISSING = "n/a"
# What comes after the first "__" of their names is no region.
_WITHOUT_REGION = (CLINICAL, QUALITY_KIND)


@dataclass(frozen=True, slots=True)
class Attribution:
    """What one input moves the output by, and where in the brain it was measured."""

    feature: str
    kind: str
    circuit: str
    regions: tuple[str, ...]  # from and to, or one region; none for what is not measured in one
    value: float | str | None  # None: missing, so its imputed value speaks
    value_unit: str
    contribution: float  # in the outcome's unit
    fold_sign_agreement: float | None


def attributions_of(answer: Mapping[str, Any]) -> tuple[Attribution, ...]:
    """Return an answer's contributions, largest first, with the regions that the feature names name.

    Raises
    ------
    ExplanationAbsentError
        If the answer was refused, or its explanation withheld.
    """
    return tuple(
        Attribution(
            feature=item["feature"],
            kind=item["kind"],
            circuit=item["circuit"],
            regions=() if item["kind"] in _WITHOUT_REGION else tuple(item["feature"].split("__")[1:3]),
            value=item["value"],
            value_unit=item["unit"],
            contribution=item["contribution"],
            fold_sign_agreement=item.get("fold_sign_agreement"),
        )
        for item in explanation_of(answer)["contributions"]
    )


def edge_sums(attributions: Iterable[Attribution]) -> dict[tuple[str, str], float]:
    """Return summed contributions by pair of regions, whatever the kind and direction of the measure.

    Examples
    --------
    >>> there, back = ("dACC", "vmPFC"), ("vmPFC", "dACC")
    >>> found = [Attribution("", "", "", pair, 0.1, "", 2.0, None) for pair in (there, back)]
    >>> edge_sums(found)
    {('dACC', 'vmPFC'): 4.0}
    """
    sums: dict[tuple[str, str], float] = {}
    for one in attributions:
        if len(one.regions) == 2:
            source, target = sorted(one.regions)
            sums[source, target] = sums.get((source, target), 0.0) + one.contribution
    return sums


def edge_table_tsv(answer: Mapping[str, Any]) -> str:
    """Return the table as tab-separated text with a header.

    Base value and the column `contribution` add up to the answer's output; so rows of covariates are there too,
    without regions. Numbers keep every digit; what is missing is n/a.

    Raises
    ------
    ExplanationAbsentError
        If the answer was refused, or its explanation withheld.
    """
    unit, arm = answer["outcome"]["unit"], explanation_of(answer)["arm"]
    lines = ["\t".join(COLUMNS)]
    for one in attributions_of(answer):
        source, target = (*one.regions, "", "")[:2]
        cells = (
            one.feature,
            one.kind,
            one.circuit,
            source,
            target,
            one.value,
            one.value_unit,
            one.contribution,
            unit,
            arm,
            one.fold_sign_agreement,
            "true",
        )
        lines.append("\t".join(map(_cell, cells)))
    return "\n".join(lines) + "\n"


def explanation_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer's explanation.

    Raises
    ------
    ExplanationAbsentError
        If the answer was refused, or its explanation withheld.
    """
    explanation: Mapping[str, Any] | None = answer.get("explanation")
    if explanation is None:
        why = "the answer was refused" if answer["status"] == "refused" else "the explanation was withheld"
        raise ExplanationAbsentError(f"{why}, so there is nothing to draw.")
    return explanation


def _cell(value: float | str | None) -> str:
    if value is None or value == "":
        return MISSING
    # Names and levels come from files: nothing of them may end a cell or a line.
    return repr(value) if isinstance(value, float) else " ".join(str(value).split())

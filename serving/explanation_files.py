"""Files that explain one kept answer: drawings, a brain image and a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from predictor.circuit.circuit import Circuit
from predictor.errors import RegionsUnknownError
from predictor.report.edge_table import edge_table_tsv, explanation_of
from predictor.report.glass_brain import glass_brain_svg
from predictor.report.region_attributions import attribution_image
from predictor.report.waterfall import waterfall_svg
from serving.kept_results import FoundResult


@dataclass(frozen=True, slots=True)
class ExplanationFile:
    """One kind of file: what it is, and how it is made from an answer."""

    name: str
    media_type: str
    description: str
    make: Callable[[FoundResult], bytes]
    needs_regions: bool = False  # their coordinates, which only models trained on scans have


EXPLANATION_FILES: Final = (
    ExplanationFile(
        "waterfall.svg",
        "image/svg+xml",
        "The ten largest contributions from the training average to the answer, and the sum of the rest.",
        lambda found: waterfall_svg(found.answer).encode(),
    ),
    ExplanationFile(
        "glass_brain.svg",
        "image/svg+xml",
        "Pairs of regions on the brain's outlines, coloured and as wide as their contribution.",
        lambda found: glass_brain_svg(found.answer, circuit_of(found)).encode(),
        needs_regions=True,
    ),
    ExplanationFile(
        "attributions.nii.gz",
        "application/gzip",
        "Brain image on the 2 mm grid of MNI152NLin2009cAsym: each region's summed contribution in all its voxels; "
        "an edge gives one half to each of its two regions.",
        lambda found: attribution_image(found.answer, circuit_of(found)),
        needs_regions=True,
    ),
    ExplanationFile(
        "edges.tsv",
        "text/tab-separated-values",
        "One row per contribution, with the regions it was measured in, value, unit and agreement across folds.",
        lambda found: edge_table_tsv(found.answer).encode(),
    ),
)


def files_for(found: FoundResult) -> tuple[ExplanationFile, ...]:
    """Return the files that can be made for an answer.

    Raises
    ------
    ExplanationAbsentError
        If the answer was refused, or its explanation withheld.
    """
    explanation_of(found.answer)
    has_regions = found.facts.circuit is not None
    return tuple(file for file in EXPLANATION_FILES if has_regions or not file.needs_regions)


def circuit_of(found: FoundResult) -> Circuit:
    """Return where the answer's features were measured.

    Raises
    ------
    ExplanationAbsentError
        If the answer was refused, or its explanation withheld.
    RegionsUnknownError
        If the model was trained on features or region tables, which do not say where they come from.
    """
    explanation_of(found.answer)
    if found.facts.circuit is None:
        raise RegionsUnknownError("the model was not trained on scans, so its regions have no coordinates.")
    return found.facts.circuit

"""Everything that decides which numbers come out of a visit, and one hash that stands for it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final, Literal, get_args

from predictor.circuit.circuit import Circuit, circuit_document, circuit_from_document, circuit_of_names, load_circuit
from predictor.errors import ConfigError
from predictor.scan.confounds import CONFOUND_STRATEGIES
from predictor.scan.task_description import (
    TaskDescription,
    load_task_description,
    task_description_from_document,
)

# Raised whenever a change of this package changes a number that a recipe yields.
EXTRACTION_VERSION: Final = 1

BoldScale = Literal["percent", "none"]
FAMILIES: Final = ("rest_fisher_z", "rest_partial", "activation_faces", "gppi_faces", "quality")
TASK_FAMILIES: Final = ("activation_faces", "gppi_faces")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is measured and how; equal recipes give equal numbers for equal input.

    Rest: signals are cleaned (confounds, filter) and censored volumes dropped. Task: uncleaned signals enter the
    model, confounds and one spike regressor per censored volume stand in its design, because the interaction needs
    an unbroken time grid. `bold_scale` decides the unit: with "percent" everything sees percent signal change around
    zero, so activations are in percent and interactions in percent of the target per percent of the seed; with "none"
    they are in whatever unit the table held. (Deconvolution is proportional to its input, and the constant is one of
    its confounds, so neither the scale nor adding 100 changes how it works.)

    Parameters
    ----------
    circuit
        Regions and pairs.
    tasks
        Which runs and events mean what.
    families
        Feature families, out of `FAMILIES`; always stored in that order.
    confound_strategy
        A name of `CONFOUND_STRATEGIES`.
    censor_framewise_displacement_mm
        Volumes that moved more are left out; None keeps all. Default .5 mm (Power 2014, lenient).
    high_pass_hz, low_pass_hz
        Band of the resting signals; None leaves that end open. Defaults .008 and .1 Hz.
    drift_period_s
        Slower cosines than this are drift in task models (SPM's default).
    deconvolve_seed, center_psychological
        Variants of the interaction, see `predictor.features.gppi`.
    microtime_bins, microtime_onset
        Bins per volume, and the bin (from 1) at which a volume is sampled (fMRIPrep moves slices to the middle).
    bold_scale
        "percent": percent signal change; "none": signals as they come (tables that hold scaled signals).
    minimum_coverage
        Share of a region's voxels that must hold signal, else its features are missing.
    minimum_volumes
        Volumes that must be left after censoring, else the run's features are missing.
    """

    circuit: Circuit
    tasks: TaskDescription
    families: tuple[str, ...] = FAMILIES
    confound_strategy: str = "motion24_wm_csf"
    censor_framewise_displacement_mm: float | None = 0.5
    high_pass_hz: float | None = 0.008
    low_pass_hz: float | None = 0.1
    drift_period_s: float = 128.0
    deconvolve_seed: bool = True
    center_psychological: bool = True
    microtime_bins: int = 16
    microtime_onset: int = 8
    bold_scale: BoldScale = "percent"
    minimum_coverage: float = 0.5
    minimum_volumes: int = 50

    def __post_init__(self) -> None:
        _check_known("feature family", self.families, FAMILIES)
        _check_known("confound strategy", [self.confound_strategy], tuple(CONFOUND_STRATEGIES))
        _check_known("bold scale", [self.bold_scale], get_args(BoldScale))
        # Neither order nor repetition of the families can change a number, so they must not change the hash.
        object.__setattr__(self, "families", tuple(name for name in FAMILIES if name in self.families))
        _check_ranges(self)

    @property
    def recipe_hash(self) -> str:
        """`sha256:...` of the recipe, this code's extraction version, and the version of nilearn."""
        return _recipe_hash(self)

    def document(self) -> dict[str, Any]:
        """Return plain JSON-able values, from which `recipe_from_document` makes an equal recipe."""
        document = {name: getattr(self, name) for name in _plain_field_names()}
        document["families"] = list(self.families)
        document["circuit"] = circuit_document(self.circuit)
        document["tasks"] = self.tasks.document()
        return document


def default_recipe() -> Recipe:
    """Return the recipe for whole scans: the embedded circuit and task description, every family."""
    return Recipe(circuit=load_circuit(), tasks=load_task_description())


def region_table_recipe(
    region_names: Sequence[str],
    *,
    name: str = "region-table",
    censor_framewise_displacement_mm: float | None = None,
    families: Sequence[str] = ("rest_partial",),
) -> Recipe:
    """Return the recipe for tables of resting region signals: all pairs, no filter, no rescaling.

    Parameters
    ----------
    region_names
        Columns of the table, in the order that the features should have.
    name
        Name of the set of regions.
    censor_framewise_displacement_mm
        Volumes that moved more are dropped (the RPN cohort: .15 mm).
    families
        Feature families.
    """
    return Recipe(
        circuit=circuit_of_names(region_names, name=name),
        tasks=load_task_description(),
        families=tuple(families),
        confound_strategy="none",
        censor_framewise_displacement_mm=censor_framewise_displacement_mm,
        high_pass_hz=None,
        low_pass_hz=None,
        bold_scale="none",
    )


def recipe_from_document(document: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `Recipe.document` wrote.

    Raises
    ------
    ConfigError
        If an entry is absent, unknown, of the wrong type or out of range.
    """
    expected = {field.name for field in fields(Recipe)}
    if set(document) != expected:
        wrong = ", ".join(sorted(str(name)[:60] for name in set(document) ^ expected))
        raise ConfigError(f"a recipe lacks entries or has unknown ones: {wrong}.")
    entries = {name: document[name] for name in _plain_field_names()}
    _check_types(entries)
    families = document["families"]
    if not isinstance(families, list) or not all(isinstance(name, str) for name in families):
        raise ConfigError("expected a list of names.", where="families")
    return Recipe(
        circuit=circuit_from_document(document["circuit"]),
        tasks=task_description_from_document(document["tasks"]),
        families=tuple(families),
        **entries,
    )


@lru_cache(maxsize=16)  # a circuit of 7,503 pairs takes longer to write down than to look up
def _recipe_hash(recipe: Recipe) -> str:
    hashed = {
        "recipe": recipe.document(),
        "extraction_version": EXTRACTION_VERSION,
        "nilearn": version("nilearn"),
    }
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def _plain_field_names() -> list[str]:
    return [field.name for field in fields(Recipe) if field.name not in {"circuit", "tasks", "families"}]


def _check_known(what: str, found: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in found if name not in known]
    if unknown:
        raise ConfigError(f"unknown {what} {str(unknown[0])[:60]}; expected {', '.join(known)}.")


def _check_ranges(recipe: Recipe) -> None:
    high, low = recipe.high_pass_hz, recipe.low_pass_hz
    censor = recipe.censor_framewise_displacement_mm
    numbers = [value for value in (getattr(recipe, name) for name in _plain_field_names()) if isinstance(value, float)]
    if not all(math.isfinite(number) for number in numbers):
        raise ConfigError("a recipe holds a number that is not finite; expected None where a limit is not wanted.")
    checks = {
        "families": len(recipe.families) > 0,
        "censor_framewise_displacement_mm": censor is None or censor > 0,
        "high_pass_hz": high is None or high > 0,
        "low_pass_hz": low is None or low > (high or 0),
        "drift_period_s": recipe.drift_period_s > 0,
        "microtime_bins": 1 <= recipe.microtime_bins <= 256,
        "microtime_onset": 1 <= recipe.microtime_onset <= recipe.microtime_bins,
        "minimum_coverage": 0 <= recipe.minimum_coverage <= 1,
        "minimum_volumes": recipe.minimum_volumes >= 3,
    }
    for name, is_fine in checks.items():
        if not is_fine:
            raise ConfigError(f"{name} of {getattr(recipe, name)} is not possible in a recipe.", where=name)


def _check_types(entries: Mapping[str, Any]) -> None:
    """Check what came out of a file against the types that the recipe declares."""
    for name, value in entries.items():
        if name in {"confound_strategy", "bold_scale"}:
            is_fine = isinstance(value, str)
        elif name in {"deconvolve_seed", "center_psychological"}:
            is_fine = isinstance(value, bool)
        elif name in {"microtime_bins", "microtime_onset", "minimum_volumes"}:
            is_fine = isinstance(value, int) and not isinstance(value, bool)
        else:
            is_optional = name in {"censor_framewise_displacement_mm", "high_pass_hz", "low_pass_hz"}
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            is_fine = is_number or (value is None and is_optional)
        if not is_fine:
            raise ConfigError(f"{name} has a value of the wrong type: {type(value).__name__}.", where=name)

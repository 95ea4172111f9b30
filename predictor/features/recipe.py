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
from predictor.record_card import PresentedRecord, RecordCard, counted, shortened
from predictor.scan.confounds import CONFOUND_STRATEGIES
from predictor.scan.task_description import (
    TaskDescription,
    load_task_description,
    task_description_from_document,
)

# Raised whenever a change of this package changes a number that a recipe yields.
EXTRACTION_VERSION: Final = 2
# Libraries whose versions may change a number in its last digits.
HASHED_LIBRARIES: Final = ("nilearn", "numpy", "scipy", "scikit-learn")

BoldScale = Literal["percent", "none"]
Hrf = Literal["spm", "glover"]
RdcmScale = Literal["zscore", "percent"]
FAMILIES: Final = (
    "rest_fisher_z",
    "rest_partial",
    "rdcm_rest",
    "activation_faces",
    "gppi_faces",
    "rdcm_faces",
    "activation_conflict",
    "activation_conflict_regulation",
    "quality",
)
BOOTSTRAP_SAMPLES: Final = 200
# Standard errors of the 80,000 edges of a 400-region atlas take a minute and a gigabyte per person.
MAX_BOOTSTRAPPED_REGIONS: Final = 150
# Limits that may be left out; None stands for "no limit".
OPTIONAL_FIELDS: Final = frozenset({"censor_framewise_displacement_mm", "high_pass_hz", "low_pass_hz"})


@dataclass(frozen=True, slots=True, repr=False)
class Recipe(PresentedRecord):
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
    minimum_trials_faces, minimum_trials_conflict
        Events that each modelled condition needs in a run, else the run's features of that task are missing. Faces are
        shown in blocks, so few are enough; conflict trials are single events.
    hrf
        Haemodynamic response of task models: "spm" (canonical) or "glover" (Glover 1999).
    hrf_derivatives
        0: the response alone; 1: its time derivative too; 2: time and dispersion. They stand in the design beside each
        condition; contrasts stay on the response itself.
    bootstrap_samples
        Resamples for the standard errors of resting edges; 0: none are computed.
    bootstrap_block_s
        Length of the resampled blocks; longer than the signals' memory.
    rdcm_filter_strength
        Effective connectivity keeps a frequency that exceeds the noise by this many standard deviations. Default 1: of
        1, 2, 3 and 5 it came closest to what was planted in 70 synthetic people, and no region lost all frequencies.
    rdcm_scale
        "zscore": every region has standard deviation 1, as the priors suppose; "percent": percent signal change.
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
    minimum_trials_faces: int = 2
    minimum_trials_conflict: int = 5
    hrf: Hrf = "spm"
    hrf_derivatives: int = 0
    bootstrap_samples: int = BOOTSTRAP_SAMPLES
    bootstrap_block_s: float = 30.0
    rdcm_filter_strength: float = 1.0
    rdcm_scale: RdcmScale = "zscore"

    def __post_init__(self) -> None:
        _check_known("feature family", self.families, FAMILIES)
        _check_known("confound strategy", [self.confound_strategy], tuple(CONFOUND_STRATEGIES))
        _check_known("bold scale", [self.bold_scale], get_args(BoldScale))
        _check_known("haemodynamic response", [self.hrf], get_args(Hrf))
        _check_known("scale of effective connectivity", [self.rdcm_scale], get_args(RdcmScale))
        # Neither order nor repetition of the families can change a number, so they must not change the hash.
        object.__setattr__(self, "families", tuple(name for name in FAMILIES if name in self.families))
        _check_ranges(self)

    @property
    def recipe_hash(self) -> str:
        """Sha256 of the recipe, this code's extraction version, and the libraries' versions."""
        return _recipe_hash(self)

    def document(self) -> dict[str, Any]:
        """Return plain JSON-able values, from which `recipe_from_document` makes an equal recipe."""
        document = {name: getattr(self, name) for name in _plain_field_names()}
        document["families"] = list(self.families)
        document["circuit"] = circuit_document(self.circuit)
        document["tasks"] = self.tasks.document()
        return document

    def _one_line(self) -> str:
        families = counted(len(self.families), "family", "families")
        return f"{self.circuit.name}, {families}, {self.confound_strategy}, {shortened(self.recipe_hash)}"

    def _card(self) -> RecordCard:
        own = {name: getattr(self, name) for name in _plain_field_names()}
        return RecordCard(
            title=f"Recipe: {self._one_line()}",
            facts=(
                ("circuit", self.circuit._one_line()),
                ("families", ", ".join(self.families)),
                *((name, "none" if value is None else str(value)) for name, value in own.items()),
            ),
        )


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

    Tables of more than 150 regions get no standard errors.

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
        bootstrap_samples=BOOTSTRAP_SAMPLES if len(region_names) <= MAX_BOOTSTRAPPED_REGIONS else 0,
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
        "libraries": {name: version(name) for name in HASHED_LIBRARIES},
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
        "minimum_trials_faces": recipe.minimum_trials_faces >= 1,
        "minimum_trials_conflict": recipe.minimum_trials_conflict >= 1,
        "hrf_derivatives": 0 <= recipe.hrf_derivatives <= 2,
        "bootstrap_samples": recipe.bootstrap_samples == 0 or 20 <= recipe.bootstrap_samples <= 100_000,
        "bootstrap_block_s": recipe.bootstrap_block_s > 0,
        "rdcm_filter_strength": recipe.rdcm_filter_strength > 0,
    }
    for name, is_fine in checks.items():
        if not is_fine:
            raise ConfigError(f"{name} of {getattr(recipe, name)} is not possible in a recipe.", where=name)


def _check_types(entries: Mapping[str, Any]) -> None:
    """Check what came out of a file against the types of the recipe's defaults."""
    for field in fields(Recipe):
        if field.name not in entries:
            continue
        value, expected = entries[field.name], type(field.default)
        is_fine = type(value) in ((int, float) if expected is float else (expected,))
        if not is_fine and not (value is None and field.name in OPTIONAL_FIELDS):
            raise ConfigError(f"{field.name} has a value of the wrong type: {type(value).__name__}.", where=field.name)

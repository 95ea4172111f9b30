"""What was done with one visit, in sentences for a methods section, from what was really done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import numpy as np

from predictor.features.conflict_trials import (
    ERROR,
    FIRST_TRIAL,
    NUISANCE_CONDITIONS,
    POST_ERROR,
    ConflictConditions,
    conflict_conditions,
    congruency_conditions,
)
from predictor.features.feature_catalogue import RUN_KIND_OF_FAMILY
from predictor.features.feature_vector import FeatureVector
from predictor.features.recipe import HASHED_LIBRARIES, Recipe
from predictor.report.references import Citations, Reference
from predictor.report.wording import in_percent
from predictor.scan.confounds import Confounds
from predictor.scan.events import EventsTable
from predictor.scan.session import BaselineSession, Run

PACKAGE: Final = "ketamine-response-predictor"
STRATEGY_IN_WORDS: Final[Mapping[str, str]] = {
    "motion24": "24 head-motion regressors (six parameters, their derivatives, and the squares of both)",
    "motion6": "the six head-motion parameters",
    "motion24_wm_csf": (
        "24 head-motion regressors (six parameters, their derivatives, and the squares of both) and the mean signals "
        "of white matter and CSF"
    ),
    "motion6_wm_csf": "the six head-motion parameters and the mean signals of white matter and CSF",
    "simple_gsr": "24 head-motion regressors and the mean signals of white matter, CSF and the whole brain",
    "motion6_wm_csf_gsr": (
        "the six head-motion parameters and the mean signals of white matter, CSF and the whole brain"
    ),
    "acompcor": ("24 head-motion regressors and five principal components each of white matter and CSF"),
    "available": "those of head motion, white matter and CSF that the table held",
}

_LEFT_OUT_IN_WORDS: Final[Mapping[str, str]] = {
    FIRST_TRIAL: "the first of a run",
    ERROR: "errors",
    POST_ERROR: "those after errors",
}


@dataclass(frozen=True, slots=True)
class Methods:
    """Paragraphs, each under a short heading, and the works they cite."""

    paragraphs: tuple[tuple[str, str], ...]
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Visit:
    session: BaselineSession
    recipe: Recipe
    vector: FeatureVector
    confounds: Mapping[str, Confounds]
    cite: Citations

    def computed(self, family: str) -> bool:
        """Whether the visit has any number of a family."""
        named = zip(self.vector.definitions, self.vector.values, strict=True)
        return any(definition.family == family and np.isfinite(value) for definition, value in named)

    def has_errors(self, *families: str) -> bool:
        """Whether any number of these families has a standard error."""
        named = zip(self.vector.definitions, self.vector.standard_errors, strict=True)
        return any(definition.family in families and np.isfinite(error) for definition, error in named)


def describe_methods(
    session: BaselineSession, recipe: Recipe, vector: FeatureVector, confounds: Mapping[str, Confounds]
) -> Methods:
    """Describe how a visit's features came about.

    Parameters
    ----------
    session, recipe, vector
        The visit, what was asked for, and what came out; families without any number are not described as done.
    confounds
        Regressors and censoring by run name, as the recipe selects them.
    """
    visit = _Visit(session, recipe, vector, confounds, Citations())
    paragraphs = []
    for heading, describe in _PARAGRAPHS:
        said = " ".join(describe(visit))
        if said:
            paragraphs.append((heading, said))
    return Methods(tuple(paragraphs), visit.cite.references)


def _data(visit: _Visit) -> Iterator[str]:
    described = "; ".join(f"{run.name}, {_length(run)}" for run in visit.session.runs)
    n_runs = len(visit.session.runs)
    yield f"The visit had {n_runs} {'run' if n_runs == 1 else 'runs'}: {described}."
    spaces = list(dict.fromkeys(run.recording.space for run in visit.session.runs))
    if all(run.recording.carpet.shape[1] == 0 for run in visit.session.runs):
        yield "Region signals came as tables; the scans themselves were not read."
    else:
        space = " and ".join(spaces)
        yield f"The scans came preprocessed, in the space {space}; nothing was smoothed or resampled here."
    notes = list(dict.fromkeys(note for run in visit.session.runs for note in run.notes))
    if notes:
        yield f"Noted while reading: {'; '.join(notes)}."


def _regions(visit: _Visit) -> Iterator[str]:
    circuit = visit.recipe.circuit
    radii = sorted({region.radius_mm for region in circuit.regions if region.radius_mm is not None})
    if not radii:
        yield f"{len(circuit.regions)} regions were known by name."
    else:
        span = f"{radii[0]:g}" if len(radii) == 1 else f"{radii[0]:g} to {radii[-1]:g}"
        cited = f" {visit.cite('norbury2021')}" if circuit.name.startswith("fronto_limbic") else ""
        yield (
            f"Signals of {len(circuit.regions)} spherical regions (circuit {circuit.name}, radius {span} mm, centres "
            f"in {circuit.space}){cited} were averaged over the voxels whose centre lies within the sphere."
        )
        sources = list(dict.fromkeys(region.source for region in circuit.regions if region.source))
        if sources:
            yield f"Sources of the centres: {'; '.join(sources)}."
        yield (f"A region counted when at least {in_percent(visit.recipe.minimum_coverage)} of its voxels held signal.")
    if visit.recipe.bold_scale == "percent":
        yield "Signals were expressed as percent change from their mean."


def _confounds(visit: _Visit) -> Iterator[str]:
    for strategy in dict.fromkeys(confounds.strategy_used for confounds in visit.confounds.values()):
        names = [name for name, found in visit.confounds.items() if found.strategy_used == strategy]
        if strategy == "none":
            yield f"No nuisance regressors were used in {_listed(names)}."
            continue
        citation = visit.cite(*_strategy_sources(strategy))
        yield f"Nuisance regressors in {_listed(names)}: {STRATEGY_IN_WORDS.get(strategy, strategy)} {citation}."
    for name, found in visit.confounds.items():
        if found.fallback_reason is not None:
            yield f"In {name} this departs from the strategy {found.strategy_asked}: {found.fallback_reason}."
    yield from _censoring(visit)


def _censoring(visit: _Visit) -> Iterator[str]:
    limit = visit.recipe.censor_framewise_displacement_mm
    counts = ", ".join(
        f"{int(found.is_censored.sum())} of {len(found.is_censored)} in {name}"
        for name, found in visit.confounds.items()
    )
    if limit is None:
        yield f"No volume was censored for head motion; volumes before the steady state were left out ({counts})."
    else:
        yield (
            f"Volumes with a framewise displacement above {limit:g} mm {visit.cite('power2012', 'power2014')}, and "
            f"volumes before the steady state, were censored: {counts}."
        )


def _rest(visit: _Visit) -> Iterator[str]:
    recipe = visit.recipe
    if not any(visit.computed(family) for family in ("rest_fisher_z", "rest_partial")):
        return
    runs = visit.session.of_kind("rest")
    band = _band(recipe, runs[0].repetition_time_s)
    if band:
        yield (
            f"Resting signals were detrended, {band} (Butterworth, fifth order, forwards and backwards) after censored "
            "volumes had been interpolated by cubic splines, and freed of the nuisance regressors, which had been "
            f"filtered in the same way {visit.cite('lindquist2019')}; censored volumes were then dropped."
        )
    elif any(visit.confounds[run.name].names for run in runs):
        yield (
            "Resting signals were detrended and freed of the nuisance regressors without a filter; censored volumes "
            "were dropped."
        )
    else:
        yield "Resting signals were taken as they came, without a filter; censored volumes were dropped."
    if visit.computed("rest_fisher_z"):
        yield "Connectivity of a pair is the Fisher z (arctanh) of the Pearson correlation."
    if visit.computed("rest_partial"):
        yield (
            "Direct connectivity is the Fisher z of the partial correlation given all other regions, from a "
            f"covariance with Ledoit-Wolf shrinkage {visit.cite('ledoit2004')}."
        )
    if visit.has_errors("rest_fisher_z", "rest_partial"):
        yield (
            f"Standard errors come from a circular block bootstrap {visit.cite('politis1992')} with "
            f"{recipe.bootstrap_samples} resamples of blocks of {recipe.bootstrap_block_s:g} s, corrected for the "
            "length of the blocks and for the degrees of freedom that the nuisance regressors took."
        )


def _task_models(visit: _Visit) -> Iterator[str]:
    families = [
        name for name in RUN_KIND_OF_FAMILY if name.startswith(("activation_", "gppi_")) and visit.computed(name)
    ]
    if not families:
        return
    recipe = visit.recipe
    shape = "Glover's" if recipe.hrf == "glover" else "the canonical"
    derivatives = ("", " with its time derivative", " with its time and dispersion derivatives")[recipe.hrf_derivatives]
    cited = visit.cite("glover1999" if recipe.hrf == "glover" else "friston1998")
    yield (
        f"Task runs were modelled with one regressor per condition, convolved with {shape} haemodynamic response"
        f"{derivatives} {cited} on a grid of {recipe.microtime_bins} bins per volume, cosine drift slower than "
        f"{recipe.drift_period_s:g} s, the nuisance regressors, and one regressor per censored volume."
    )
    yield f"Variance inflation and efficiency of the designs are given with them {visit.cite('mumford2015')}."
    if any(family.startswith("activation_") for family in families):
        yield (
            "Activation is a contrast of the conditions' betas, with the serial correlation of the noise estimated by "
            f"restricted maximum likelihood for each region {visit.cite('friston2002')}."
        )
    yield from (sentence(visit) for family, sentence in _CONTRASTS.items() if family in families)


def _faces(visit: _Visit) -> str:
    return "For faces the contrast is faces minus control."


def _conflict(visit: _Visit) -> str:
    return "For conflict it is incongruent minus congruent trials." + _left_out(visit, congruency_conditions)


def _regulation(visit: _Visit) -> str:
    return (
        "For the regulation of conflict it is incongruent trials after incongruent ones minus incongruent trials after "
        f"congruent ones {visit.cite('etkin2006')}." + _left_out(visit, conflict_conditions)
    )


def _left_out(visit: _Visit, sort_trials: Callable[[EventsTable], ConflictConditions]) -> str:
    """Say which trials were modelled outside the contrast, or why errors could not be."""
    found = [sort_trials(run.events) for run in visit.session.of_kind("conflict") if run.events is not None]
    said = [f" Here {trials.note}." for trials in found if trials.note is not None]
    n_left_out = sum(trials.n_left_out for trials in found)
    kinds = [name for name in NUISANCE_CONDITIONS if any(trials.n_trials(name) for trials in found)]
    if n_left_out:
        named = _listed([_LEFT_OUT_IN_WORDS[name] for name in kinds])
        said.append(f" {n_left_out} trials ({named}) were modelled but stand in no contrast.")
    return "".join(dict.fromkeys(said))


def _gppi(visit: _Visit) -> str:
    recipe = visit.recipe
    seed = (
        f"the deconvolved seed {visit.cite('gitelman2003')}" if recipe.deconvolve_seed else "the seed's measured signal"
    )
    centred = f"centred {visit.cite('di2017')}" if recipe.center_psychological else "uncentred"
    return (
        f"Task connectivity is the generalised psychophysiological interaction {visit.cite('mclaren2012')}: "
        f"interactions were built from {seed} and {centred} conditions, fitted by least squares for every seed and "
        "target, and contrasted as faces minus control; standard errors allow for serially correlated noise."
    )


def _effective(visit: _Visit) -> Iterator[str]:
    kinds = [kind for kind in ("rest", "faces") if visit.computed(f"rdcm_{kind}")]
    if not kinds:
        return
    cited = visit.cite("frassle2017", "frassle2021") if "rest" in kinds else visit.cite("frassle2017")
    yield (
        f"Effective connectivity was estimated by regression dynamic causal modelling {cited} from the "
        f"{_listed(kinds)} {'runs' if len(kinds) > 1 else 'run'}, with all usable regions connected with each other."
    )
    if "faces" in kinds:
        yield "Faces and control blocks entered as inputs to every region."
    if "rest" in kinds:
        yield (
            "At rest, frequencies were used that stand out of the noise by "
            f"{visit.recipe.rdcm_filter_strength:g} standard deviations."
        )
    scale = "standardised" if visit.recipe.rdcm_scale == "zscore" else "in percent signal change"
    yield (
        f"Signals were freed of nuisance regressors, censored volumes and slow drift, left unbroken, and {scale}. "
        "Values are posterior means in Hz, their errors posterior standard deviations."
    )


def _several_runs(visit: _Visit) -> Iterator[str]:
    kinds = [run.kind for run in visit.session.runs]
    several = [kind for kind in dict.fromkeys(kinds) if kinds.count(kind) > 1]
    if several:
        yield (
            f"Features of several {' and '.join(several)} runs were averaged, weighted by the volumes kept; the runs "
            "were taken as independent for the standard errors."
        )


def _missing(visit: _Visit) -> Iterator[str]:
    n_missing = sum(reason is not None for reason in visit.vector.missing_reasons)
    if n_missing:
        yield (
            f"{n_missing} of {len(visit.vector.definitions)} features could not be computed; each is listed with its "
            "reason."
        )
    absent = [family for family in visit.recipe.families if family in RUN_KIND_OF_FAMILY and not visit.computed(family)]
    if absent:
        yield f"Nothing could be computed for {_listed(absent)}."


def _software(visit: _Visit) -> Iterator[str]:
    libraries = ", ".join(f"{name} {version(name)}" for name in HASHED_LIBRARIES)
    yield f"Computed with {PACKAGE} {version(PACKAGE)}, using {libraries} {visit.cite('abraham2014')}."


_CONTRASTS: Final[Mapping[str, Callable[[_Visit], str]]] = {
    "activation_faces": _faces,
    "activation_conflict": _conflict,
    "activation_conflict_regulation": _regulation,
    "gppi_faces": _gppi,
}
_PARAGRAPHS: Final[tuple[tuple[str, Callable[[_Visit], Iterator[str]]], ...]] = (
    ("Data", _data),
    ("Regions", _regions),
    ("Confounds and censoring", _confounds),
    ("Resting connectivity", _rest),
    ("Task models", _task_models),
    ("Effective connectivity", _effective),
    ("Several runs", _several_runs),
    ("Missing values", _missing),
    ("Software", _software),
)


def _length(run: Run) -> str:
    if run.repetition_time_s is None:
        return f"{run.n_volumes} volumes (repetition time unknown)"
    minutes = run.n_volumes * run.repetition_time_s / 60
    return f"{run.n_volumes} volumes of {run.repetition_time_s:g} s ({minutes:.1f} minutes)"


def _strategy_sources(strategy: str) -> list[str]:
    sources = ["friston1996"] if "24" in strategy or strategy in ("acompcor", "simple_gsr") else []
    return [*sources, *(["behzadi2007"] if strategy == "acompcor" else []), "parkes2018"]


def _band(recipe: Recipe, repetition_time_s: float | None) -> str:
    """Say which filter had something to remove; a low-pass above half the sampling rate has not."""
    high, low = recipe.high_pass_hz, recipe.low_pass_hz
    if low is not None and repetition_time_s is not None and low >= 0.5 / repetition_time_s:
        low = None
    if high is not None and low is not None:
        return f"band-pass filtered at {high:g} to {low:g} Hz"
    if high is not None:
        return f"high-pass filtered at {high:g} Hz"
    return f"low-pass filtered at {low:g} Hz" if low is not None else ""


def _listed(names: list[str]) -> str:
    """Join names as a sentence does.

    Examples
    --------
    >>> _listed(["rest", "faces", "conflict"])
    'rest, faces and conflict'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))

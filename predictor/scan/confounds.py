"""Nuisance regressors, head motion and censoring of one run.

The strategies are loaded by nilearn from fMRIPrep's own columns. Two decisions are ours:

- **One high-pass filter, in one place.** fMRIPrep's cosine columns never become regressors: at rest `cleaning.clean`
  filters signals and regressors alike, in a task the design matrix has its own drift terms. Cosines beside either would
  remove the same thing twice and waste degrees of freedom.
- **A table that lacks what a strategy needs is used for what it has.** The next simpler strategy is taken and its name
  and the reason are kept, so that quality can flag it; nothing is changed silently. The global signal is never removed
  unless it was asked for, because it changes the sign of correlations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import ConfigError, RowMismatchError, TableError
from predictor.scan.tsv_table import TableLimits, TsvTable, parse_json_object, parse_tsv
from predictor.scratch_folder import scratch_folder

_MOTION: Final = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
_TISSUE: Final = ("csf", "white_matter")
_MODEL_SUFFIXES: Final = {
    "basic": ("",),
    "full": ("", "_derivative1", "_power2", "_derivative1_power2"),
}
# Angles become millimetres on a sphere of this radius (Power 2012, doi 10.1016/j.neuroimage.2011.10.018).
HEAD_RADIUS_MM: Final = 50.0
# Larger columns are made smaller while they are centred: rounding beside them exceeds what counts as zero.
LARGEST_CENTRED: Final = 2.0**20

# Name -> arguments of nilearn's load_confounds. "motion24" are 6 parameters, their derivatives and the squares of both
# (Friston 1996); acompcor takes 5 components each of white matter and CSF (Muschelli 2014, Parkes 2018,
# doi 10.1016/j.neuroimage.2017.12.073). nilearn loads CompCor only together with the cosines, which are dropped again.
CONFOUND_STRATEGIES: Final[dict[str, dict[str, Any]]] = {
    "motion24_wm_csf": {"strategy": ("motion", "wm_csf"), "motion": "full", "wm_csf": "basic"},
    "motion6_wm_csf": {"strategy": ("motion", "wm_csf"), "motion": "basic", "wm_csf": "basic"},
    "motion24": {"strategy": ("motion",), "motion": "full"},
    "motion6": {"strategy": ("motion",), "motion": "basic"},
    "simple_gsr": {
        "strategy": ("motion", "wm_csf", "global_signal"),
        "motion": "full",
        "wm_csf": "basic",
        "global_signal": "basic",
    },
    "motion6_wm_csf_gsr": {
        "strategy": ("motion", "wm_csf", "global_signal"),
        "motion": "basic",
        "wm_csf": "basic",
        "global_signal": "basic",
    },
    "acompcor": {
        "strategy": ("motion", "high_pass", "compcor"),
        "motion": "full",
        "compcor": "anat_separated",
        "n_compcor": 5,
    },
    "none": {"strategy": ()},
}
DEFAULT_CONFOUND_STRATEGY: Final = "motion24_wm_csf"

# What is tried next, in order; "available" takes whichever plain columns exist, "none" takes nothing.
_FALLBACKS: Final[dict[str, tuple[str, ...]]] = {
    "acompcor": ("motion24_wm_csf", "motion6_wm_csf", "motion24", "motion6", "available"),
    "simple_gsr": ("motion6_wm_csf_gsr", "available"),
    "motion6_wm_csf_gsr": ("available",),
    "motion24_wm_csf": ("motion6_wm_csf", "motion24", "motion6", "available"),
    "motion6_wm_csf": ("motion6", "available"),
    "motion24": ("motion6", "available"),
    "motion6": ("available",),
    "none": (),
}
# Not fMRIPrep's: tables that another pipeline censored already say so here (1: made up, 0: measured).
CENSORED_COLUMN: Final = "censored"
# No patient, no study: the names only have to be ones that nilearn recognises.
_NEUTRAL_STEM: Final = "sub-x_task-x"
_COMPONENT: Final = re.compile(r"[acw]_comp_cor_\d+")


@dataclass(frozen=True, slots=True, eq=False)
class ConfoundsTable:
    """The table as it came, one row per volume, and its side-car."""

    table: TsvTable
    sidecar: Mapping[str, Any] | None  # column name -> description; None when there was none

    @property
    def n_rows(self) -> int:
        """Number of rows, which must be the number of volumes."""
        return self.table.n_rows

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in the table's order."""
        return tuple(self.table.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Confounds:
    """Regressors of one run, its head motion, and which volumes are left out."""

    regressors: NDArray[np.float64]  # (n_volumes, n_regressors), centred on the steady-state volumes
    names: tuple[str, ...]
    framewise_displacement_mm: NDArray[np.float64]  # (n_volumes,), first volume NaN; all NaN when unknown
    is_censored: NDArray[np.bool_]  # (n_volumes,), too much motion, before the steady state, or marked as `censored`
    strategy_asked: str
    strategy_used: str  # a name of CONFOUND_STRATEGIES, or "available"
    fallback_reason: str | None  # None exactly when everything was as asked

    def __post_init__(self) -> None:
        n_volumes = len(self.is_censored)
        shapes = (self.regressors.shape, self.framewise_displacement_mm.shape)
        if shapes != ((n_volumes, len(self.names)), (n_volumes,)):
            raise TableError(f"expected confounds for {n_volumes} volumes, got shapes {shapes[0]} and {shapes[1]}.")


def read_confounds(
    content: bytes,
    sidecar: bytes | None = None,
    *,
    n_volumes: int | None = None,
    where: str = "confounds",
    limits: TableLimits | None = None,
) -> ConfoundsTable:
    """Return a confounds table from its bytes.

    Parameters
    ----------
    content
        `*_desc-confounds_timeseries.tsv`, or `_regressors.tsv` of fMRIPrep before 20.2.
    sidecar
        The `.json` beside it; only CompCor needs it.
    n_volumes
        Volumes of the scan; None: not checked.
    where
        The part of the visit, for messages.
    limits
        Largest accepted table.

    Raises
    ------
    TableError
        If either part cannot be read.
    RowMismatchError
        If rows and volumes differ in number.
    """
    table = parse_tsv(content, where=where, limits=limits)
    description = None if sidecar is None else parse_json_object(sidecar, where=f"{where}_sidecar")
    if n_volumes is not None and table.n_rows != n_volumes:
        raise RowMismatchError(table.n_rows, n_volumes, where=where)
    return ConfoundsTable(table, description)


def select_confounds(
    table: ConfoundsTable | None,
    strategy: str,
    *,
    censor_framewise_displacement_mm: float | None,
    n_volumes: int | None = None,
) -> Confounds:
    """Return the regressors of a named strategy, or of the next simpler one that the table allows.

    Parameters
    ----------
    table
        The run's table; None when the run has none.
    strategy
        A name of CONFOUND_STRATEGIES.
    censor_framewise_displacement_mm
        Volumes that moved more than this are censored; None: only volumes before the steady state are.
    n_volumes
        Volumes of the run; needed only when there is no table.

    Returns
    -------
    Confounds
        "n/a" in the first row becomes the second row's value, as nilearn does it; framewise displacement stays NaN.

    Raises
    ------
    ConfigError
        If there is no such strategy.
    TableError
        If a needed cell other than in the first row is no finite number.
    """
    if strategy not in CONFOUND_STRATEGIES:
        raise ConfigError(f"unknown confound strategy {strategy}; expected one of {', '.join(CONFOUND_STRATEGIES)}.")
    if table is None:
        return _without_table(strategy, n_volumes)
    used, regressors, reasons = _first_usable(table, strategy)
    displacement = framewise_displacement(table)
    if censor_framewise_displacement_mm is not None and np.isnan(displacement).all():
        reasons = [*reasons, "head motion is unknown, so no volume was censored for it"]
    with np.errstate(invalid="ignore"):
        moved = displacement > (
            np.inf if censor_framewise_displacement_mm is None else censor_framewise_displacement_mm
        )
    return Confounds(
        regressors=regressors.to_numpy(np.float64),
        names=tuple(map(str, regressors.columns)),
        framewise_displacement_mm=displacement,
        is_censored=moved | _is_not_steady(table) | _is_marked(table),
        strategy_asked=strategy,
        strategy_used=used,
        fallback_reason="; ".join(reasons) or None,
    )


def framewise_displacement(table: ConfoundsTable) -> NDArray[np.float64]:
    """Return the head's movement since the volume before, in mm; NaN in the first volume.

    fMRIPrep's column where there is one, otherwise Power's sum over the six motion parameters; all NaN without either.

    Returns
    -------
    ndarray of shape (n_volumes,)

    Raises
    ------
    TableError
        If a cell other than the first is no number, or one is negative.

    References
    ----------
    Power 2012, doi 10.1016/j.neuroimage.2011.10.018.
    """
    if "framewise_displacement" in table.column_names:
        displacement = table.table.numbers("framewise_displacement", may_miss=[0])
        if (displacement < 0).any():  # a distance; a negative one would pass every limit
            row = int(np.argmax(displacement < 0))
            raise table.table.cell_error(row, "framewise_displacement", expected="millimetres, 0 or more")
        return displacement
    if not set(_MOTION) <= set(table.column_names):
        return np.full(table.n_rows, np.nan)
    motion = np.column_stack([table.table.numbers(name, may_miss=[0]) for name in _MOTION])
    moved_mm = np.abs(np.diff(motion, axis=0)) * np.array([1.0, 1.0, 1.0, *[HEAD_RADIUS_MM] * 3])
    return np.concatenate([[np.nan], moved_mm.sum(axis=1)])


def mean_of_column(table: ConfoundsTable | None, name: str) -> float | None:
    """Return a column's mean over all volumes but a missing first one; None if the table has no such column."""
    if table is None or name not in table.column_names:
        return None
    numbers = table.table.numbers(name, may_miss=[0])
    return None if np.isnan(numbers).all() else float(np.nanmean(numbers))


def _without_table(strategy: str, n_volumes: int | None) -> Confounds:
    if n_volumes is None:
        raise TableError("expected the number of volumes, because there is no confounds table.")
    return Confounds(
        regressors=np.empty((n_volumes, 0)),
        names=(),
        framewise_displacement_mm=np.full(n_volumes, np.nan),
        is_censored=np.zeros(n_volumes, dtype=np.bool_),
        strategy_asked=strategy,
        strategy_used="none",
        fallback_reason="the run came without a confounds table, so nothing was removed and no volume was censored",
    )


def _first_usable(table: ConfoundsTable, asked: str) -> tuple[str, pd.DataFrame, list[str]]:
    """Return the first strategy of the chain that the table allows, its regressors, and what the one asked lacks."""
    reasons: list[str] = []
    for name in (asked, *_FALLBACKS[asked]):
        lack = _lack(table, name)
        if lack is None:
            try:
                return name, _load(table, name), reasons
            except (ValueError, KeyError):  # nilearn's way to say that side-car and table do not agree
                if name != "acompcor":
                    raise
                lack = "the components that the side-car describes"
        # The reason for the strategy that was asked says it all; the later ones repeat it.
        reasons = reasons or [f"{asked} needs {lack}"]
    return "none", _load(table, "none"), reasons


def _lack(table: ConfoundsTable, name: str) -> str | None:
    """Return what a strategy misses in this table, None if nothing."""
    if name == "none":
        return None
    if name == "available":
        return None if _available_columns(table) else "columns of head motion, white matter or CSF"
    missing = [column for column in _plain_columns(name) if column not in table.column_names]
    if missing:
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
        return f"columns that the table lacks: {shown}"
    if "compcor" in CONFOUND_STRATEGIES[name]["strategy"]:
        return _lack_of_components(table)
    return None


def _lack_of_components(table: ConfoundsTable) -> str | None:
    if table.sidecar is None:
        return "the table's JSON side-car"
    described = _described_components(table.sidecar)
    if not any(mask in ("WM", "CSF") for mask in described.values()):
        return "white-matter and CSF components in the side-car"
    if not any(name.startswith("cosine") for name in table.column_names):
        return "cosine columns, which show that the components were high-pass filtered"
    return None


def _described_components(sidecar: Mapping[str, Any]) -> dict[str, str]:
    """Return column name -> mask of the retained CompCor components."""
    return {
        name: str(entry.get("Mask"))
        for name, entry in sidecar.items()
        if isinstance(entry, Mapping) and _COMPONENT.fullmatch(name)
    }


def _plain_columns(name: str) -> list[str]:
    """Return the columns that a strategy needs, CompCor components aside."""
    arguments = CONFOUND_STRATEGIES[name]
    signals = {"motion": _MOTION, "wm_csf": _TISSUE, "global_signal": ("global_signal",)}
    return [
        signal + suffix
        for part, columns in signals.items()
        if part in arguments["strategy"]
        for suffix in _MODEL_SUFFIXES[arguments[part]]
        for signal in columns
    ]


def _available_columns(table: ConfoundsTable) -> list[str]:
    return [name for name in (*_MOTION, *_TISSUE) if name in table.column_names]


def _is_not_steady(table: ConfoundsTable) -> NDArray[np.bool_]:
    """Return which volumes fMRIPrep marked as before the steady state, shape (n_volumes,)."""
    is_not_steady = np.zeros(table.n_rows, dtype=np.bool_)
    for name in _non_steady_columns(table):
        is_not_steady |= table.table.numbers(name) != 0
    return is_not_steady


def _is_marked(table: ConfoundsTable) -> NDArray[np.bool_]:
    """Return which volumes the pipeline itself left out, shape (n_volumes,)."""
    if CENSORED_COLUMN not in table.column_names:
        return np.zeros(table.n_rows, dtype=np.bool_)
    return np.asarray(table.table.numbers(CENSORED_COLUMN) != 0)


def _non_steady_columns(table: ConfoundsTable) -> list[str]:
    return [name for name in table.column_names if "non_steady_state" in name]


def _load(table: ConfoundsTable, used: str) -> pd.DataFrame:
    """Return a strategy's regressors, shape (n_volumes, n_regressors), columns in alphabetical order."""
    if used == "none":
        return pd.DataFrame(index=range(table.n_rows))
    if used == "available":
        frame = _checked(table, sorted(_available_columns(table)))
        frame = frame.fillna(frame.iloc[1])
        return frame - frame[~_is_not_steady(table)].mean()
    loaded = _load_through_nilearn(table, used)
    return loaded[[name for name in loaded.columns if not name.startswith("cosine")]]


def _checked(table: ConfoundsTable, names: list[str]) -> pd.DataFrame:
    """Return columns as numbers, NaN allowed in the first row only; raises TableError with row and column."""
    if table.n_rows < 2:
        raise TableError("expected at least 2 rows, found 1.", where=table.table.where)
    if _is_not_steady(table).all():
        raise TableError("expected steady-state volumes, found every one marked otherwise.", where=table.table.where)
    return pd.DataFrame({name: table.table.numbers(name, may_miss=[0]) for name in names})


def _load_through_nilearn(table: ConfoundsTable, used: str) -> pd.DataFrame:
    """Return what nilearn's load_confounds selects.

    nilearn finds the table by the name of the image, which need not exist; so the columns and the side-car are written
    for a moment under names that say nothing about the person.
    """
    # Here, because importing nilearn takes a second, which the service does not wait for before it answers.
    from nilearn.interfaces.fmriprep import load_confounds

    components = _described_components(table.sidecar or {}) if used == "acompcor" else {}
    names = [*_plain_columns(used), *_non_steady_columns(table)]
    if components:
        names += [name for name in table.column_names if name in components or name.startswith("cosine")]
    with _folder_that_nilearn_accepts() as folder:
        stem = folder / _NEUTRAL_STEM
        columns, factors = _scaled_down(_checked(table, names))
        columns.to_csv(f"{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False, na_rep="n/a")
        description = json.dumps({name: {"Mask": mask} for name, mask in components.items()})
        Path(f"{stem}_desc-confounds_timeseries.json").write_text(description, encoding="utf-8")
        image = f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
        loaded, _ = load_confounds(image, **CONFOUND_STRATEGIES[used])
    assert isinstance(loaded, pd.DataFrame)
    return loaded * factors[loaded.columns]


def _scaled_down(columns: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Return columns that are small enough to be centred, and what to multiply each by afterwards.

    Of large numbers, such as the square of a tissue signal, nilearn's centring leaves more than it takes for zero, and
    warns. Powers of two change no digit.
    """
    size = columns.abs().max().fillna(0.0)
    factors = (2.0 ** np.frexp(size)[1]).where(size > LARGEST_CENTRED, 1.0)
    return columns / factors, factors


@contextmanager
def _folder_that_nilearn_accepts() -> Iterator[Path]:
    # nilearn 0.14 makes the side-car's path by replacing "tsv" everywhere in the table's, also in a random folder name.
    with scratch_folder("confounds") as folder:
        if "tsv" not in folder.name:
            yield folder
            return
    with _folder_that_nilearn_accepts() as another:
        yield another

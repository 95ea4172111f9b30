"""How strongly the features of a cohort follow head motion (QC-FC), beside what chance gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from predictor.circuit.circuit import Circuit
from predictor.features.feature_catalogue import QUALITY_KIND
from training.cohort_quality.person_quality import PersonQuality
from training.extraction.feature_table import FeatureTable

Array = NDArray[np.float64]

N_PERMUTATIONS: Final = 1000
# Permutations at once: what is held of them stays small with ten thousand features.
BATCH: Final = 100
# With fewer people a correlation says nothing.
FEWEST_PEOPLE: Final = 10
LEVEL: Final = 0.05
# People who lack more of a family than this are left out of it, so that its other features stay in.
MOST_MISSING: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class MotionCorrelation:
    """Correlation of a family's features with head motion over people."""

    family: str
    features: tuple[str, ...]
    r: Array  # (n_features,), Pearson
    n_people: int
    n_left_out: int  # features that someone lacks, or in which people do not differ
    median_abs_r: float
    null_median_abs_r: float  # median of the permutations' medians
    null_95: float  # 95 % of permutations stay below
    p_value: float
    critical_r: float  # |r| of a lone feature with p = .05
    share_beyond: float  # features with a larger |r|; 5 % by chance
    distance_r: float | None  # correlation of r with the distance between the regions; None: no coordinates
    distance_p: float | None


def motion_correlations(
    table: FeatureTable, people: Sequence[PersonQuality], *, random_state: int = 0
) -> tuple[MotionCorrelation, ...]:
    """Return the correlation with head motion of every family that can have one.

    Motion is permuted over people 1,000 times while the features stay together, so that the null holds whatever the
    correlation between features. Nothing is adjusted for: age, diagnosis or site may stand behind a correlation.

    Parameters
    ----------
    table
        Features of the cohort.
    people
        With their motion.
    random_state
        Seed of the permutations.

    References
    ----------
    Ciric R, et al. (2017). NeuroImage 154:174-187, doi 10.1016/j.neuroimage.2017.03.020.
    Parkes L, et al. (2018). NeuroImage 171:415-436, doi 10.1016/j.neuroimage.2017.12.073.
    """
    by_name = {person.participant_id: person for person in people}
    present = [by_name[str(name)] for name in table.values.index]
    families: dict[str, list[str]] = {}
    for definition in table.definitions:
        if definition.kind != QUALITY_KIND:
            families.setdefault(definition.family, []).append(definition.name)
    lengths = {} if table.recipe is None else distances_mm(table.recipe.circuit)
    found = []
    for family, names in families.items():
        moved = np.array([np.nan if (mm := one.motion_mm(family)) is None else mm for one in present])
        one = _of_family(family, names, table.values[names].to_numpy(dtype=np.float64), moved, lengths, random_state)
        if one is not None:
            found.append(one)
    return tuple(found)


def distances_mm(circuit: Circuit) -> dict[frozenset[str], float]:
    """Return the distance between the centres of every pair of regions; empty without coordinates."""
    if not circuit.has_coordinates:
        return {}
    centres = {one.name: np.array(one.centre_mni_mm) for one in circuit.regions}
    return {
        frozenset((edge.source, edge.target)): float(np.linalg.norm(centres[edge.source] - centres[edge.target]))
        for edge in circuit.edges
    }


def _of_family(
    family: str,
    names: Sequence[str],
    values: Array,
    moved: Array,
    lengths: Mapping[frozenset[str], float],
    random_state: int,
) -> MotionCorrelation | None:
    is_used = np.isfinite(moved) & (np.isnan(values).mean(axis=1) <= MOST_MISSING)
    values, moved = values[is_used], moved[is_used]
    if len(moved) < FEWEST_PEOPLE or not np.ptp(moved) > 0:
        return None
    is_whole = np.isfinite(values).all(axis=0) & (np.ptp(np.nan_to_num(values), axis=0) > 0)
    kept = [name for name, whole in zip(names, is_whole.tolist(), strict=True) if whole]
    if not kept:
        return None
    scores, motion = _standardised(values[:, is_whole]), _standardised(moved)
    r = motion @ scores
    apart = np.array([lengths.get(frozenset(name.split("__")[1:]), np.nan) for name in kept])
    has_lengths = bool(np.isfinite(apart).all()) and len(set(apart.tolist())) > 2
    direction = _standardised(apart) if has_lengths else None
    medians, slopes = _null(scores, motion, direction, np.random.default_rng(random_state))
    critical = critical_r(len(moved))
    observed = float(np.median(np.abs(r)))
    distance_r = None if direction is None else float(_standardised(r) @ direction)
    return MotionCorrelation(
        family=family,
        features=tuple(kept),
        r=r,
        n_people=len(moved),
        n_left_out=len(names) - len(kept),
        median_abs_r=observed,
        null_median_abs_r=float(np.median(medians)),
        null_95=float(np.quantile(medians, 0.95)),
        p_value=_p_value(medians, observed),
        critical_r=critical,
        share_beyond=float((np.abs(r) > critical).mean()),
        distance_r=distance_r,
        distance_p=None if distance_r is None else _p_value(np.abs(slopes), abs(distance_r)),
    )


def critical_r(n_people: int) -> float:
    """Return the size of a correlation over so many people that has p = .05, two-sided.

    Examples
    --------
    >>> round(critical_r(20), 2)
    0.44
    """
    t = float(stats.t.ppf(1 - LEVEL / 2, n_people - 2))
    return t / float(np.sqrt(n_people - 2 + t**2))


def _null(scores: Array, motion: Array, direction: Array | None, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return by permutation: median |r| over features, and correlation of r with distance (empty without)."""
    medians, slopes = [], []
    for _ in range(N_PERMUTATIONS // BATCH):
        permuted = rng.permuted(np.tile(motion, (BATCH, 1)), axis=1) @ scores
        medians.append(np.median(np.abs(permuted), axis=1))
        if direction is not None:
            slopes.append(_standardised(permuted.T).T @ direction)
    return np.concatenate(medians), np.concatenate(slopes) if slopes else np.empty(0)


def _standardised(values: Array) -> Array:
    """Return columns with mean 0 and length 1, so that products are correlations; a constant column is 0."""
    centred = values - values.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    return np.asarray(centred / np.where(length > 0, length, 1.0))


def _p_value(null: Array, observed: float) -> float:
    return float((1 + (null >= observed - 1e-12).sum()) / (1 + len(null)))

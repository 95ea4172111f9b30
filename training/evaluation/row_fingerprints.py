"""Recognises a training person's row of features again, without keeping the row.

Two kinds of marks, both SHA-256. The *row mark* is of all features to nine digits: it finds copies. The *band marks*
are of a few dozen features each, in cells half a standard deviation wide: a row that was computed again, rounded or
moved by up to about 2 % of a standard deviation falls into the same cells in enough bands; another person's row, or
another visit's, practically never does.

Nothing can be read back as long as guessing is hopeless, so every mark covers about 80 bits of what people differ in:
with fewer features the cells become finer, and below three continuous features no marks are made. Whoever *holds* a
row can always find out whether it was in the training; that is what the marks are for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import ModelBundleError
from training.evaluation.duplicates import CONTINUOUS_SHARE, find_same_people

Floats = NDArray[np.float64]

FEWEST_FEATURES = 3
N_BANDS, BAND_SIZE = 32, 32
WIDEST_CELL = 0.5  # standard deviations
# A Gaussian in cells of w standard deviations has log2(4.13 / w) bits.
GAUSSIAN_BITS_AT_ONE, SECRET_BITS = 4.13, 80.0
# Strangers agree in no band, a row moved by 2 % of a standard deviation in about every second. [assumed]
SAME_SHARE, FEWEST_SAME_BANDS = 0.25, 2
DIGITS = 9
MARK_LENGTH = 32  # hexadecimal digits that are kept: 128 bits


@dataclass(frozen=True, slots=True)
class Band:
    """Some features, and the grid on which their values are read."""

    columns: tuple[int, ...]
    widths: tuple[float, ...]  # of a cell, in the feature's unit
    offset: float  # of the grid, in cells

    def cells(self, row: Floats) -> bytes | None:
        """Cells of one person as bytes; None where a value is missing."""
        values = row[list(self.columns)] / np.array(self.widths) + self.offset
        return np.floor(values).astype("<i8").tobytes() if np.isfinite(values).all() else None


@dataclass(frozen=True, slots=True)
class RowFingerprints:
    """Marks of the training people, in no order that means anything."""

    salt: str
    n_features: int
    bands: tuple[Band, ...]  # empty: near copies cannot be recognised
    row_marks: tuple[str, ...]  # empty: nor can copies
    band_marks: tuple[tuple[str | None, ...], ...]  # one row per person, one mark per band

    def document(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "salt": self.salt,
            "n_features": self.n_features,
            "bands": [
                {"columns": list(band.columns), "widths": list(band.widths), "offset": band.offset}
                for band in self.bands
            ],
            "row_marks": list(self.row_marks),
            "band_marks": [list(marks) for marks in self.band_marks],
        }

    def n_shared(self, values: Floats) -> tuple[int, int]:
        """How many people here are, by their rows, people of the training.

        Parameters
        ----------
        values
            Features of other people in the same order, shape (n_people, n_features), NaN where missing.

        Returns
        -------
        tuple of int
            People with the same values, and people with nearly the same.
        """
        known, n_same, n_near = set(self.row_marks), 0, 0
        for row in values:
            if _row_mark(row, self.salt) in known:
                n_same += 1
            elif self._is_near(row):
                n_near += 1
        return n_same, n_near

    def _is_near(self, row: Floats) -> bool:
        own = _band_marks(row, self.bands, self.salt)
        n_known = sum(mark is not None for mark in own)
        needed = max(FEWEST_SAME_BANDS, SAME_SHARE * n_known)
        return any(
            sum(a is not None and a == b for a, b in zip(own, other, strict=True)) >= needed
            for other in self.band_marks
        )


def make_fingerprints(values: pd.DataFrame, *, families: Sequence[str]) -> RowFingerprints:
    """Mark every person's row.

    Parameters
    ----------
    values
        Features of the training people, index participant_id, NaN where missing.
    families
        Of every column; features of a family tend to be missing together, so a band keeps to one if it can.
    """
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    salt = hashlib.sha256("\n".join(map(str, values.columns)).encode()).hexdigest()[:16]
    telling = _continuous(numbers)
    if len(telling) < FEWEST_FEATURES:
        return RowFingerprints(salt, numbers.shape[1], (), (), ())
    bands = _make_bands(numbers, telling, families)
    marks = [_band_marks(row, bands, salt) for row in numbers]
    keep = _telling_bands(marks, n_same=len(find_same_people(values)))
    band_marks = sorted((tuple(row[number] for number in keep) for row in marks), key=str)
    row_marks = sorted(mark for mark in (_row_mark(row, salt) for row in numbers) if mark)
    return RowFingerprints(
        salt, numbers.shape[1], tuple(bands[number] for number in keep), tuple(row_marks), tuple(band_marks)
    )


def fingerprints_of(document: Mapping[str, Any]) -> RowFingerprints:
    """Read what `RowFingerprints.document` wrote.

    Raises
    ------
    ModelBundleError
        If it is no such document.
    """
    try:
        return RowFingerprints(
            salt=str(document["salt"]),
            n_features=int(document["n_features"]),
            bands=tuple(
                Band(tuple(one["columns"]), tuple(one["widths"]), float(one["offset"])) for one in document["bands"]
            ),
            row_marks=tuple(document["row_marks"]),
            band_marks=tuple(tuple(marks) for marks in document["band_marks"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelBundleError("the fingerprints of the training rows are damaged.", where="locked_test") from error


def _continuous(numbers: Floats) -> NDArray[np.intp]:
    """Columns whose values hardly ever repeat: in others, agreeing says nothing."""
    found = []
    for number, column in enumerate(numbers.T):
        known = column[np.isfinite(column)]
        if len(known) >= FEWEST_FEATURES and np.unique(known).size >= CONTINUOUS_SHARE * len(known):
            found.append(number)
    return np.array(found, dtype=np.intp)


def _make_bands(numbers: Floats, telling: NDArray[np.intp], families: Sequence[str]) -> tuple[Band, ...]:
    rng = np.random.default_rng(0)
    labels = np.asarray(families, dtype=object)[telling]
    pools = [telling[labels == family] for family in sorted(set(labels))]
    pools = [pool for pool in pools if len(pool) >= BAND_SIZE] or [telling]
    spread = np.nanstd(numbers, axis=0)
    bands = []
    for number in range(N_BANDS):
        pool = pools[number % len(pools)]
        columns = np.sort(rng.permutation(pool)[:BAND_SIZE])
        cell = min(WIDEST_CELL, GAUSSIAN_BITS_AT_ONE / 2 ** (SECRET_BITS / len(columns)))
        # Powers of two: the exact spread of a small cohort need not be told twice.
        widths = cell * 2.0 ** np.round(np.log2(spread[columns]))
        bands.append(Band(tuple(map(int, columns)), tuple(map(float, widths)), number / N_BANDS))
    return tuple(bands)


def _telling_bands(marks: Sequence[Sequence[str | None]], *, n_same: int) -> list[int]:
    """Bands in which no two training people agree, but those who are one person anyway.

    Features that all follow one global signal are one feature: strangers would agree in them by chance.
    """
    keep = []
    for number in range(len(marks[0])):
        of_band = [row[number] for row in marks if row[number] is not None]
        n_pairs = sum(a == b for a, b in combinations(of_band, 2))
        if n_pairs <= n_same:
            keep.append(number)
    return keep if len(keep) >= FEWEST_SAME_BANDS else []


def _band_marks(row: Floats, bands: Sequence[Band], salt: str) -> list[str | None]:
    cells = [(band.offset, band.cells(row)) for band in bands]  # no two bands have the same offset
    return [None if one is None else _mark(f"{salt} band {offset:g} ".encode() + one) for offset, one in cells]


def _row_mark(row: Floats, salt: str) -> str | None:
    if np.isfinite(row).sum() < FEWEST_FEATURES:
        return None
    text = " ".join("n/a" if value != value else f"{value:.{DIGITS}g}" for value in row.tolist())
    return _mark(f"{salt} row {text}".encode())


def _mark(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:MARK_LENGTH]

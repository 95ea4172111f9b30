"""Absurd people: what held-out rows are replaced by, to see who notices."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

POISON = 1e6  # finite, so that no check for missing values stops it on the way
POISON_SEED = 20210401  # every cell another number: with one for all, all features would be equally good to select

Array = NDArray[np.float64]


class Poison(Enum):
    """What the numbers are replaced by."""

    ABSURD = "absurd"  # about a million, either sign
    SWAPPED = "swapped"  # what others of the cohort have: passes every check of ranges
    MISSING = "missing"  # nothing; outcomes are swapped


def poisoned(
    inputs: pd.DataFrame,
    outcome: Array,
    rows: NDArray[np.intp],
    *,
    kind: Poison = Poison.ABSURD,
    categories: Collection[str] = (),
) -> tuple[pd.DataFrame, Array]:
    """Return copies in which the given rows carry other numbers and other people's categories.

    Parameters
    ----------
    inputs, outcome
        The cohort; an outcome of two values (a label) is turned round, and never gets a third.
    rows
        Positions to poison; none gives a table that differs in nothing but its place in memory.
    kind
        What numbers become.
    categories
        Columns with numbers that stand for categories; columns of words are recognised.
    """
    rng = np.random.default_rng(POISON_SEED)
    is_number = np.array(
        [pd.api.types.is_numeric_dtype(inputs.dtypes.iloc[n]) for n in range(inputs.shape[1])], dtype=bool
    ) & ~np.isin(np.asarray(inputs.columns, dtype=object).astype(str), list(categories))
    numbers = inputs.loc[:, is_number].to_numpy(dtype=np.float64, copy=True, na_value=np.nan)
    numbers[rows] = _other_numbers(numbers, rows, kind, rng)
    words = inputs.loc[:, ~is_number].to_numpy(dtype=object, copy=True)
    for column in range(words.shape[1]):
        words[rows, column] = _other_words(words[:, column], rows)
    # Two whole blocks rather than column by column: thousands of columns would make a fragmented, slow table.
    parts = [
        pd.DataFrame(numbers, index=inputs.index, columns=inputs.columns[is_number]),
        pd.DataFrame(words, index=inputs.index, columns=inputs.columns[~is_number], dtype=object),
    ]
    order = np.argsort(np.concatenate([np.flatnonzero(is_number), np.flatnonzero(~is_number)]))
    bad_outcome = np.array(outcome, dtype=np.float64)
    bad_outcome[rows] = _other_outcome(bad_outcome, rows, kind, rng)
    return pd.concat(parts, axis=1).iloc[:, order], bad_outcome


def _other_numbers(numbers: Array, rows: NDArray[np.intp], kind: Poison, rng: np.random.Generator) -> Array:
    shape = (len(rows), numbers.shape[1])
    if kind is Poison.MISSING:
        return np.full(shape, np.nan)
    if kind is Poison.SWAPPED:
        return numbers[rng.integers(len(numbers), size=shape), np.arange(shape[1])]
    return rng.choice([-1.0, 1.0], size=shape) * POISON * (1.0 + rng.random(shape))


def _other_outcome(outcome: Array, rows: NDArray[np.intp], kind: Poison, rng: np.random.Generator) -> Array:
    values = np.unique(outcome[np.isfinite(outcome)])
    if len(values) == 2:
        return np.asarray(values.sum() - outcome[rows])
    if kind is Poison.ABSURD:
        return rng.choice([-1.0, 1.0], size=len(rows)) * POISON * (1.0 + rng.random(len(rows)))
    return outcome[(rows + len(outcome) // 2) % len(outcome)]


def _other_words(words: NDArray[np.object_], rows: NDArray[np.intp]) -> list[object]:
    """Return another category for everyone: the next one."""
    levels = list(pd.unique(words[~pd.isna(words)]))
    following = dict(zip(levels, levels[1:] + levels[:1], strict=True))
    return [following.get(word, levels[0] if levels else word) for word in words[rows]]

"""Whether a person's prediction depends on who else is scored: a step that learns while it transforms is a leak too.

Harmonisation or scaling with the statistics of the test people looks like a fitted step, passes every test of the fit,
and has no answer for one new person.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from training.evaluation.learned_state import inner_pipeline
from training.evaluation.poison import Poison, poisoned

# Products of matrices round differently with what else stands in them, by far less than this share of the spread.
TOLERANCE = 1e-9
LAST_STEP = "model"


@dataclass(frozen=True, slots=True)
class BatchIndependence:
    """Outcome of the check; `leaking_step` is the first step that treats a person differently among other people."""

    n_people: int
    leaking_step: str | None = None

    @property
    def passed(self) -> bool:
        """Whether nobody's prediction changed, and somebody was predicted."""
        return self.leaking_step is None and self.n_people > 0


def check_batch_independence(
    fitted: Any, inputs: pd.DataFrame, *, categories: Collection[str] = ()
) -> BatchIndependence:
    """Predict everyone, then again with every second person poisoned; the others must not notice.

    Parameters
    ----------
    fitted
        Estimator, or one that holds its fitted pipeline as `pipeline_`.
    inputs
        People to predict, at least two.
    categories
        Columns with numbers that stand for categories.
    """
    others: NDArray[np.intp] = np.arange(1, len(inputs), 2)
    kept = np.arange(0, len(inputs), 2)
    nobody: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
    no_outcome = np.zeros(len(inputs))
    sound, _ = poisoned(inputs, no_outcome, nobody, categories=categories)
    for kind in (Poison.ABSURD, Poison.SWAPPED):
        mixed, _ = poisoned(inputs, no_outcome, others, kind=kind, categories=categories)
        step = _first_step_that_differs(fitted, sound, mixed, kept)
        if step is not None:
            return BatchIndependence(len(kept), step)
    return BatchIndependence(len(kept))


def _first_step_that_differs(
    fitted: Any, sound: pd.DataFrame, mixed: pd.DataFrame, kept: NDArray[np.intp]
) -> str | None:
    pipeline = inner_pipeline(fitted)
    first: Any = sound
    second: Any = mixed
    for name, step in _transformers(pipeline):
        first, second = step.transform(first), step.transform(second)
        if _differs(_numbers(first)[kept], _numbers(second)[kept]):
            return name
    last = pipeline.steps[-1][0] if pipeline is not None else LAST_STEP
    return last if _differs(np.asarray(fitted.predict(sound))[kept], np.asarray(fitted.predict(mixed))[kept]) else None


def _transformers(pipeline: Pipeline | None) -> list[tuple[str, Any]]:
    steps = [] if pipeline is None else pipeline.steps[:-1]
    return [(name, step) for name, step in steps if hasattr(step, "transform")]


def _numbers(table: Any) -> NDArray[np.float64]:
    if isinstance(table, pd.DataFrame):
        table = table.select_dtypes("number").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(table, dtype=np.float64)


def _differs(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    if first.shape != second.shape or not np.array_equal(np.isnan(first), np.isnan(second)):
        return True
    spread = float(np.nanmax(np.abs(first), initial=0.0))
    return bool(np.nanmax(np.abs(first - second), initial=0.0) > TOLERANCE * max(spread, np.finfo(float).tiny))

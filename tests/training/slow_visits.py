"""A visit that takes its time and counts how often it is read; workers of a cluster import it from here."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from predictor.features.recipe import Recipe
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, build_run
from training.cohort.visit import CohortVisit

REGIONS = ("amygdala_L", "amygdala_R", "vmPFC", "dACC")


@dataclass(frozen=True)
class SlowVisit:
    """Region signals made of a seed; every reading appends "participant process" to a file."""

    participant_id: str
    seed: int
    log: Path
    seconds: float
    session_id: str | None = None
    input_files: tuple[Path, ...] = ()

    def read(self, recipe: Recipe) -> BaselineSession:
        with self.log.open("a", encoding="ascii") as file:
            file.write(f"{self.participant_id} {os.getpid()}\n")
        time.sleep(self.seconds)
        bold = 100 + np.random.default_rng(self.seed).standard_normal((80, 4))
        unknown = np.full(4, np.nan)
        carpet = np.empty((80, 0), np.float32)
        recording = RegionRecording(REGIONS, bold, unknown, unknown, carpet, 2.0, "table", f"sha256:{self.seed}")
        run = build_run(
            "rest", recording, confounds_tsv=None, confounds_sidecar=None, sidecar=None, events_tsv=None,
            tasks=recipe.tasks,
        )  # fmt: skip
        return BaselineSession((run,))


def threads_of_libraries() -> list[int]:
    """Return how many threads each loaded library for linear algebra may start."""
    return [int(one["num_threads"]) for one in threadpool_info()]


def shared_sum(numbers: np.ndarray, weight: float, table: Any) -> float:
    """Return something that depends on two large parts and a small one."""
    return float(numbers.sum() * weight + table["a"].sum())


def nested_backend() -> tuple[int, str]:
    """Return how a joblib call inside a task would run."""
    from joblib import Parallel
    from joblib.parallel import get_active_backend

    ran = Parallel(n_jobs=2)([])
    return len(ran), type(get_active_backend()[0]).__name__


def fail() -> None:
    """Raise one of our errors."""
    from predictor.errors import TrainingError

    raise TrainingError("the cohort is too small.", where="[cohort]")


def modules_gained(visit: CohortVisit, recipe: Recipe, out: Path) -> list[str]:
    """Return the modules that had to be imported to extract a visit."""
    from training.extraction.feature_table import extract_cohort

    before = set(sys.modules)
    assert not extract_cohort([visit], recipe, out, n_jobs=1).failed
    return sorted(set(sys.modules) - before)

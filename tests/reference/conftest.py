"""Cases computed by independent programs: from `tests/data/reference`, else from `../shared/reference`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike, NDArray

from predictor.features.task_design import Condition, MicrotimeGrid, cosine_drift

Floats = NDArray[np.float64]
LOCAL = Path(__file__).resolve().parent.parent / "data" / "reference"


@dataclass(frozen=True)
class SpmCase:
    """One folder: input, parameters and whatever the other program put out."""

    folder: Path

    @property
    def params(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "params.json").read_text()))

    @property
    def bold(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "bold.csv", dtype=np.float64)

    @property
    def grid(self) -> MicrotimeGrid:
        params = self.params
        return MicrotimeGrid(len(self.bold), params["TR"], params["fMRI_T"], params["fMRI_T0"])

    @property
    def drift(self) -> Floats:
        params = self.params
        return cosine_drift(len(self.bold), params["TR"], params["highpass_s"])

    @property
    def conditions(self) -> tuple[Condition, ...]:
        events = pd.read_csv(self.folder / "events.tsv", sep="\t")
        if self.params["force_duration"] != []:
            events["duration"] = float(self.params["force_duration"])
        return tuple(
            Condition(name, rows["onset"].to_numpy(np.float64), rows["duration"].to_numpy(np.float64))
            for name, rows in ((name, events[events["trial_type"] == name]) for name in self.params["conditions"])
        )

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / name)

    def matrix(self, name: str) -> Floats:
        return self.table(name).to_numpy(np.float64)


@pytest.fixture
def spm_case(request: pytest.FixtureRequest) -> Callable[[str], SpmCase]:
    """Return a case by name; skip when only `../shared` would have it."""

    def find(name: str) -> SpmCase:
        if (LOCAL / name).is_dir():
            return SpmCase(LOCAL / name)
        return SpmCase(Path(request.getfixturevalue("shared")) / "reference" / name)

    return find


@pytest.fixture
def shared_case(shared: Path) -> Callable[[str], SpmCase]:
    """Return a case with all of its files; the project holds only those that every run of the tests needs."""

    def find(name: str) -> SpmCase:
        return SpmCase(shared / "reference" / name)

    return find


@pytest.fixture
def share_of_largest() -> Callable[[ArrayLike, ArrayLike], float]:
    """Return a measure of disagreement: largest difference over largest reference value."""

    def measure(ours: ArrayLike, reference: ArrayLike) -> float:
        expected = np.asarray(reference, dtype=np.float64)
        return float(np.abs(np.asarray(ours) - expected).max() / np.abs(expected).max())

    return measure

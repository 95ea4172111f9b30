"""Sparse regression DCM of 50 regions, found from random starts, against TAPAS and against the truth.

Not part of the quick tests: `python -m pytest tests/robustness/test_sparse_connectivity.py` (some 40 s). Needs
`../shared/reference/rdcm_tutorial_smith50`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from predictor.features.network_regression import network_regression
from predictor.features.sparse_connectivity import fit_sparse_connectivity


def numbers(path: Path, *, first_column: int = 0) -> NDArray[np.float64]:
    return pd.read_csv(path).iloc[:, first_column:].to_numpy(np.float64)


def test_connections_are_found_as_well_as_by_tapas(shared: Path) -> None:
    folder = shared / "reference" / "rdcm_tutorial_smith50"
    if not folder.is_dir():
        pytest.skip("needs ../shared/reference/rdcm_tutorial_smith50, which is not here")
    info = json.loads((folder / "out_sparse_info.json").read_text())
    bold, onsets = numbers(folder / "bold.csv"), pd.read_csv(folder / "inputs_onsets_sparse.csv")
    exists, is_driven = (numbers(folder / f"structure_{letter}.csv") != 0 for letter in "ac")
    inputs = np.zeros((16 * len(bold), is_driven.shape[1]))
    inputs[onsets["bin0"], onsets["input0"]] = onsets["value"]
    regression = network_regression(
        bold,
        info["y_dt"],
        inputs=inputs,
        input_mask=is_driven,
        filter_strength=info["filter_str"],
        is_model_output=True,
    )
    found = fit_sparse_connectivity(regression, prior_inclusion=info["p0"], n_starts=40)
    of_tapas = fit_sparse_connectivity(
        regression, prior_inclusion=info["p0"], start=numbers(folder / "out_sparse_IpA.csv", first_column=1)
    )
    assert found.objective > of_tapas.objective - 1
    is_other = ~np.eye(len(exists), dtype=bool)
    truth = numbers(folder / "truth_A.csv", first_column=1)
    sensitivity = np.mean(found.inclusion[is_other & exists] >= 0.5)
    specificity = np.mean(found.inclusion[is_other & ~exists] < 0.5)
    error = np.sqrt(np.mean((found.connections_hz - truth)[exists] ** 2))
    assert sensitivity >= info["sensitivity"] - 0.05
    assert specificity >= info["specificity"] - 0.02
    assert error <= info["rmse"] + 0.02

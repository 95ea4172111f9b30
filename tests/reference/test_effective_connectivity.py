"""Regression DCM against the TAPAS toolbox."""

from __future__ import annotations

import json

import numpy as np
import pytest

from predictor.features.balloon_response import balloon_response
from predictor.features.effective_connectivity import fit_effective_connectivity

RUNS = [
    ("rdcm_task3", 1),
    ("rdcm_task5_fullC", 1),
    ("rdcm_task5_fullC", 5),
    ("rdcm_rest4", 1),
    ("rdcm_rest4", 5),
    ("rdcm_rest6", 5),
]


def by_region(case, name: str):
    return case.table(name).iloc[:, 1:].to_numpy(np.float64)


def optional(case, name: str, kind: type):
    return case.matrix(name).astype(kind) if (case.folder / name).is_file() else None


@pytest.mark.parametrize(("name", "strength"), RUNS)
def test_connections_variances_and_evidence_are_those_of_tapas(
    spm_case, share_of_largest, name: str, strength: int
) -> None:
    case = spm_case(name)
    inputs = optional(case, "inputs.csv", float)
    found = fit_effective_connectivity(
        case.bold.to_numpy(),
        case.params["TR"],
        inputs=inputs,
        connection_mask=optional(case, "mask_A.csv", bool),
        input_mask=optional(case, "mask_C.csv", bool),
        filter_strength=strength,
    )
    evidence = json.loads((case.folder / f"out_fs{strength}_info.json").read_text())["F"]
    assert share_of_largest(found.connections_hz, by_region(case, f"out_fs{strength}_A.csv")) < 1e-8
    assert share_of_largest(found.variance, by_region(case, f"out_fs{strength}_varA.csv")) < 1e-8
    assert found.log_evidence == pytest.approx(evidence, rel=1e-6)
    if inputs is not None:
        assert share_of_largest(found.input_weights, by_region(case, f"out_fs{strength}_C.csv")) < 1e-8


def test_recovery_from_noisy_signals_is_that_of_tapas(spm_case, share_of_largest) -> None:
    case = spm_case("rdcm_generate4")
    truth = json.loads((case.folder / "truth.json").read_text())
    found = fit_effective_connectivity(
        case.matrix("bold_noisy.csv"),
        case.params["TR"],
        inputs=case.matrix("inputs.csv"),
        input_mask=np.array(truth["C"]) != 0,
        filter_strength=case.params["filter_str"],
    )
    assert share_of_largest(found.connections_hz, by_region(case, "out_noisy_type_r_A.csv")) < 1e-8
    assert share_of_largest(found.input_weights, by_region(case, "out_noisy_type_r_C.csv")) < 1e-8


def test_balloon_response_is_that_of_tapas(spm_case, share_of_largest) -> None:
    case = spm_case("rdcm_generate4")
    expected = case.table("out_hrf_h.csv")
    step_s = case.params["TR"] / 16
    assert share_of_largest(balloon_response(len(expected), step_s), expected["h"]) < 1e-10

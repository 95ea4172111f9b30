from __future__ import annotations

import json
from pathlib import Path

import pytest

from predictor.scan.dataset_files import is_synthetic


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ({"Name": "Synthetic randomised trial"}, True),
        ({"Name": "Trial", "GeneratedBy": [{"Name": "krp simulate", "Description": "synthetic data, seed 1"}]}, True),
        ({"Name": "simulated"}, True),
        ({"Name": "Trial", "GeneratedBy": [{"Name": "fMRIPrep", "Version": "23.2.0"}]}, False),
        ({"Name": "Photosynthetic light study", "GeneratedBy": {"Name": "x"}}, False),
        ({}, False),
    ],
)
def test_a_dataset_says_whether_it_is_synthetic(tmp_path: Path, description: dict[str, object], expected: bool) -> None:
    func = tmp_path / "derivatives" / "fmriprep" / "sub-01" / "func"
    func.mkdir(parents=True)
    (tmp_path / "dataset_description.json").write_text(json.dumps(description))
    (tmp_path / "derivatives" / "fmriprep" / "dataset_description.json").write_text("{broken")
    assert is_synthetic(func) is expected

"""Examples and lists for people who write programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def curl_for_rows(address: str) -> str:
    """Return a command that scores one row of features."""
    body = '{"rows": [{"participant": "mine-01", "features": {"FEATURE": 0.31}, "covariates": {}}]}'
    return f"curl -H 'Content-Type: application/json' -d '{body}' \\\n  {address}v1/predictions"


def curl_for_scans(address: str) -> str:
    """Return a command that scores one visit."""
    scan = "sub-01_task-{task}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    parts = [
        f"rest=@{scan.format(task='rest')}",
        "rest_confounds=@sub-01_task-rest_desc-confounds_timeseries.tsv",
        f"faces=@{scan.format(task='faces')}",
        "faces_confounds=@sub-01_task-faces_desc-confounds_timeseries.tsv",
        "faces_events=@sub-01_task-faces_events.tsv",
    ]
    return " \\\n  ".join(["curl", *(f"-F {part}" for part in parts), f"{address}v1/scans"])


def listed_routes(openapi: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the routes of an OpenAPI document for a table."""
    return [
        {
            "method": method.upper(),
            "path": path,
            "words": str(operation.get("description", "")).splitlines()[0],
            "statuses": ", ".join(sorted(operation["responses"])),
        }
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    ]

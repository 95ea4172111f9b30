"""Examples and lists for people who write programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def curl_for_rows(address: str, *, feature: str, needs_key: bool) -> str:
    """Return a command that scores one row with one feature, which runs as it stands."""
    body = json.dumps({"rows": [{"participant": "mine-01", "features": {feature: 0.31}, "covariates": {}}]})
    return curl(
        ["-H 'Content-Type: application/json'", f"-d '{body}'"], f"{address}v1/predictions", needs_key=needs_key
    )


def curl_for_scans(address: str, *, needs_key: bool) -> str:
    """Return a command that scores one visit."""
    scan = "sub-01_task-{task}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    parts = [
        f"rest=@{scan.format(task='rest')}",
        "rest_confounds=@sub-01_task-rest_desc-confounds_timeseries.tsv",
        f"faces=@{scan.format(task='faces')}",
        "faces_confounds=@sub-01_task-faces_desc-confounds_timeseries.tsv",
        "faces_events=@sub-01_task-faces_events.tsv",
    ]
    return curl([f"-F {part}" for part in parts], f"{address}v1/scans", needs_key=needs_key)


def curl(options: Sequence[str], address: str, *, needs_key: bool) -> str:
    """Return a command of several lines; a key comes from the shell's variable, so that it stands in no file."""
    key = ['-H "Authorization: Bearer $KRP_KEY"'] if needs_key else []
    return " \\\n  ".join(["curl", *key, *options, address])


def listed_routes(openapi: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the routes of an OpenAPI document for a table, those that score and explain first."""
    routes = [
        {
            "method": method.upper(),
            "path": path,
            "words": str(operation.get("description", "")).splitlines()[0].replace("`", ""),
            "statuses": ", ".join(sorted(operation["responses"])),
        }
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    ]
    return sorted(routes, key=lambda route: not route["path"].startswith("/v1/"))

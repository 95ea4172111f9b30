"""The service keeps to its OpenAPI document: schemathesis, all checks, no failure.

`python -m pytest tests/robustness/test_api_contract.py -s`: 8 examples per operation; KRP_ROBUST=long makes it 200. The
addresses of results meet results that exist: how often each was answered with what is printed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predictor.console import emit

pytest.importorskip("schemathesis")
N_EXAMPLES, N_EXAMPLES_LONG = 8, 200
COUNTED = re.compile(r'^krp_requests_total\{method="(\w+)",route="([^"]+)",status="(\d+)"\} ([\d.e+]+)$', re.MULTILINE)
N_ADDRESSES_OF_RESULTS = 7  # get and delete one; its explanation, and that one's four files
HOOKS = Path(__file__).with_name("contract_hooks.py")


def test_every_operation_keeps_to_its_description(
    service_process: Callable[..., Any], bundle_dir: Path, tmp_path: Path, run_long: bool
) -> None:
    n_examples = N_EXAMPLES_LONG if run_long else N_EXAMPLES
    with service_process("--bundle", bundle_dir) as service:
        words = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{service.url}/openapi.json"]
        words += ["--checks", "all", "--max-examples", str(n_examples), "--seed", "1", "--continue-on-failure"]
        found = subprocess.run(
            [*words, "--no-color", "--suppress-health-check", "all"],
            env=os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in service.log.read_text()
        with service.client() as client:
            answered = statuses_of_results(client.get("/metrics").text)
    report = found.stdout + found.stderr
    emit(f"\n{n_examples} examples per operation:\n{report[report.find('= SUMMARY') :]}")
    assert found.returncode == 0, report
    emit("\n".join(f"{asked}: {dict(sorted(statuses.items()))}" for asked, statuses in sorted(answered.items())))
    assert len(answered) == N_ADDRESSES_OF_RESULTS
    assert all(statuses[200] > 0 for statuses in answered.values()), answered


def statuses_of_results(metrics: str) -> dict[str, Counter[int]]:
    """Count the answers of every address of one result, by its method and status."""
    found: dict[str, Counter[int]] = {}
    for method, route, status, n_answers in COUNTED.findall(metrics):
        if route.startswith("/v1/") and "{result_id}" in route and method in ("GET", "DELETE"):
            found.setdefault(f"{method} {route}", Counter())[int(status)] += int(float(n_answers))
    return found

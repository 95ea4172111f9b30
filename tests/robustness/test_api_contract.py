"""The service keeps to its OpenAPI document: schemathesis, all checks, no failure.

`python -m pytest tests/robustness/test_api_contract.py -s`: 15 examples per operation; KRP_ROBUST=long makes it 200.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predictor.console import emit

pytest.importorskip("schemathesis")
HOOKS = Path(__file__).with_name("contract_hooks.py")


def test_every_operation_keeps_to_its_description(
    service_process: Callable[..., Any], bundle_dir: Path, tmp_path: Path, run_long: bool
) -> None:
    n_examples = 200 if run_long else 15
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
    report = found.stdout + found.stderr
    emit(f"\n{n_examples} examples per operation:\n{report[report.find('= SUMMARY') :]}")
    assert found.returncode == 0, report

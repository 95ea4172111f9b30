from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from predictor.errors import DatabaseUnavailableError
from serving.model_source import BundleFolder
from serving.model_store import ModelStore
from serving.operation import warm_up
from serving.operation.metrics import ServiceMetrics
from serving.operation.upkeep import _do_once, follow_model, purge


def test_a_model_that_is_found_is_shown(bundle_dir: Path) -> None:
    metrics = ServiceMetrics()
    asyncio.run(follow_model(ModelStore(BundleFolder(bundle_dir)), metrics))
    assert b'krp_model_info{digest="sha256:' in metrics.text()


def test_a_model_that_cannot_be_had_is_counted_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    metrics = ServiceMetrics()
    asyncio.run(follow_model(ModelStore(BundleFolder(tmp_path)), metrics))
    assert b'krp_model_refresh_failures_total{code="bundle-damaged"} 1.0' in metrics.text()
    assert "bundle-damaged" in caplog.text
    assert str(tmp_path) not in caplog.text


class HangingModels:
    is_loaded = False

    def __init__(self) -> None:
        self.is_over = threading.Event()

    def refresh(self) -> bool:
        self.is_over.wait(60)
        return False


def test_a_registry_that_hangs_keeps_the_service_from_nothing_not_even_from_ending() -> None:
    models = HangingModels()

    async def look_and_end() -> None:
        looking = asyncio.create_task(follow_model(models, ServiceMetrics()))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        looking.cancel()

    ending = threading.Thread(target=asyncio.run, args=(look_and_end(),))
    ending.start()
    ending.join(timeout=30)
    has_ended = not ending.is_alive()
    models.is_over.set()
    ending.join()
    assert has_ended


class NoResults:
    def purge(self) -> int:
        raise DatabaseUnavailableError("the database does not answer.")


def test_results_that_cannot_be_deleted_yet_end_nothing(caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(purge(NoResults(), ServiceMetrics()))  # type: ignore[arg-type]
    assert "database-unavailable" in caplog.text


def test_a_fault_of_ours_ends_no_upkeep_and_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("Jane Doe")

    with caplog.at_level(logging.ERROR):
        asyncio.run(_do_once(fail))
    assert "a fault of ours" in caplog.text
    assert "Jane" not in caplog.text


def test_a_start_does_not_wait_for_what_only_visits_need(project: Path) -> None:
    heavy = ("nilearn", "sklearn", "scipy.stats", "scipy.interpolate", "mlflow", "matplotlib", "plotly", "numba")
    code = f"import sys, serving.app, serving.commands.serve; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_warmed_up_can_be_imported() -> None:
    warm_up.warm_up()
    assert set(warm_up.NEEDED_BY_VISITS) <= set(sys.modules)

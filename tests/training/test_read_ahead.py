from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from training import read_ahead as module
from training.read_ahead import DRAWING, read_ahead
from training.shelf.registry import look_packages_up

WAIT_S = 120
IN_A_PROCESS_OF_ITS_OWN = """
import sys
from training.read_ahead import read_ahead
before = "matplotlib.backends.backend_svg" in sys.modules
thread = read_ahead(n_jobs=2)
thread.join()
print(before, "matplotlib.backends.backend_svg" in sys.modules, "training.report.experiment_figures" in sys.modules)
"""


def test_what_drawing_needs_is_imported_beside_the_fitting() -> None:
    found = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN], check=True, capture_output=True, text=True, timeout=WAIT_S
    )
    assert found.stdout.split() == ["False", "True", "True"]
    assert found.stderr == ""


def test_a_process_that_fits_by_itself_brings_nothing_in_beside_it() -> None:
    before = threading.active_count()
    assert read_ahead(n_jobs=1) is None
    assert threading.active_count() == before


def test_packages_are_looked_up_although_a_module_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(module, "DRAWING", ("no_such_module", *DRAWING[:1]))
    monkeypatch.setattr(module, "look_packages_up", lambda: asked.append("packages"))
    thread = read_ahead(n_jobs=2)
    assert thread is not None
    thread.join(WAIT_S)
    assert asked == ["packages"]


def test_logging_a_model_reads_no_lists_of_files_once_packages_were_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib_metadata

    look_packages_up()
    monkeypatch.setattr(importlib_metadata, "packages_distributions", _never)
    look_packages_up()


def _never() -> None:
    raise AssertionError("the installed packages' files were read once more")

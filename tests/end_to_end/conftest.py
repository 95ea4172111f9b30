"""The running service of the serving tests, and a browser."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
# A browser that talks to nobody but the page.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

# Tests have no packages, so the fixtures of the neighbouring folder are loaded by their path.
_SPEC = importlib.util.spec_from_file_location("serving_fixtures", Path(__file__).parents[1] / "serving/conftest.py")
assert _SPEC is not None
assert _SPEC.loader is not None
_FIXTURES = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _FIXTURES  # where dataclasses look up annotations
_SPEC.loader.exec_module(_FIXTURES)
bundle_dir, store, visit = _FIXTURES.bundle_dir, _FIXTURES.store, _FIXTURES.visit
sample_visit_dir, service = _FIXTURES.sample_visit_dir, _FIXTURES.service


@pytest.fixture(scope="session")
def visit_files(visit: dict[str, tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the parts of the visit as files with BIDS names."""
    folder = tmp_path_factory.mktemp("files")
    for name, content in visit.values():
        (folder / name).write_bytes(content)
    return {part: folder / name for part, (name, _) in visit.items()}


# Per module, not per session: while Playwright is open its event loop counts as running, and tests that follow in the
# same process could not run one of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return Debian's Chromium, driven by Playwright."""
    if not CHROMIUM.is_file():
        pytest.skip(f"needs {CHROMIUM} (apt-get install chromium), which is not here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield found
        found.close()

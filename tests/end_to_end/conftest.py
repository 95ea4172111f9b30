"""The running service of the serving tests, and a browser."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.settings import Settings

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


@pytest.fixture
def locked_service(store: Any, sample_visit_dir: Path, tmp_path: Path) -> Iterator[Any]:
    """Return a service that asks for keys, and the address of its database."""
    url = f"sqlite:///{tmp_path}/locked.db"
    settings = Settings(require_keys=True, refresh_s=0, database_url=url, sample_visit_dir=sample_visit_dir)
    with _FIXTURES.run_service(settings, store) as running:
        yield running, url


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


@pytest.fixture
def page(browser: Any, service: Any) -> Iterator[Any]:
    """Return a new page; whatever it asks of other hosts, or its scripts get wrong, fails the test."""
    context = browser.new_context(base_url=service.url, viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    opened.on("request", lambda request: asked.append(request.url) if not request.url.startswith(service.url) else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    yield opened
    context.close()
    assert [url for url in asked if not url.startswith(service.url)] == []
    assert faults == []

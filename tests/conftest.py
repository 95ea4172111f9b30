"""Fixtures for every test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data and reference numbers beside the project."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real scans and reference numbers), which is not here")
    return SHARED


@pytest.fixture(scope="session")
def project() -> Path:
    """Return the project's root."""
    return PROJECT

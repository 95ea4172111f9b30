"""The versions that numbers hang on: of krp, of Python, and of the packages that read scans and fit models."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

DISTRIBUTION: Final = "ketamine-response-predictor"
# By what they do: the scan reader, the features, the models, the log book, the service.
PACKAGES: Final = (
    "isal", "nibabel", "nilearn", "numpy", "scipy", "pandas", "scikit-learn", "statsmodels", "numba", "joblib",
    "mlflow", "fastapi",
)  # fmt: skip


def version_lines() -> Iterator[str]:
    """Yield "krp 0.1.0", then one line per package; what is not installed is said to be missing."""
    yield f"krp {version(DISTRIBUTION)}"
    yield f"  {'python':<13} {platform.python_version()} ({platform.system()} {platform.machine()})"
    for name in PACKAGES:
        yield f"  {name:<13} {_version_of(name)}"


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"

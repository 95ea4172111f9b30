"""On what a run of the benchmarks was measured."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "numba", "isal", "nibabel", "nilearn", "joblib", "dask",
            "distributed", "mlflow", "sqlalchemy", "fastapi", "uvicorn", "orjson")  # fmt: skip


def environment() -> dict[str, Any]:
    """Machine, versions and the state of the project; nothing that names the machine or who uses it."""
    return {
        "measured_on": datetime.now(UTC).date().isoformat(),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "has_changes": bool(_git("status", "--porcelain", "--", "predictor", "training", "serving", "tests")),
        "processor": _field(Path("/proc/cpuinfo"), "model name") or platform.processor() or "unknown",
        "cores": os.cpu_count(),
        "memory_gb": round(int((_field(Path("/proc/meminfo"), "MemTotal") or "0").split()[0]) / 2**20, 1),
        "system": f"{platform.system()}, {_field(Path('/etc/os-release'), 'PRETTY_NAME', '=') or 'unknown'}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "r": _r_version(),
    }


def load() -> float:
    """Return how many processes wanted to run, on average over the last minute."""
    return round(os.getloadavg()[0], 2)


def yardstick_ms() -> float:
    """Milliseconds of one fixed loop in Python: how fast this machine is right now, to hold two runs side by side."""
    times = []
    for _ in range(7):
        started = time.perf_counter()
        sum(number * number for number in range(500_000))
        times.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(times), 1)


def _field(file: Path, name: str, separator: str = ":") -> str:
    if not file.is_file():
        return ""
    lines = (line.partition(separator) for line in file.read_text(encoding="utf-8").splitlines())
    return next((value.strip().strip('"') for key, _, value in lines if key.strip() == name), "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _r_version() -> str | None:
    if not shutil.which("Rscript"):
        return None
    asked = ["Rscript", "-e", 'cat(R.version$major, R.version$minor, sep = "."); cat(" glmnet", '
             'tryCatch(as.character(packageVersion("glmnet")), error = function(e) "none"))']  # fmt: skip
    return subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip() or None


def _git(*arguments: str) -> str:
    if not shutil.which("git"):
        return ""
    done = subprocess.run(["git", *arguments], check=False, capture_output=True, text=True, cwd=PROJECT)
    return done.stdout.strip()

"""How long connectivity of a 12-region resting run of 240 volumes takes, on one thread.

`python tests/benchmarks/bench_connectivity.py` prints the median of some repetitions in milliseconds: regression DCM
with and without the response at hand (asked: less than 100 ms), the bootstrap of 200 resamples (asked: 30 ms for
Fisher z, 150 ms for partial correlation), and windowed Fisher z.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from predictor.features.balloon_response import balloon_response
from predictor.features.bootstrap import (
    bootstrap_standard_errors,
    fisher_z_of_resamples,
    partial_fisher_z_of_resamples,
    resample_counts,
)
from predictor.features.dynamic_connectivity import sliding_windows, windowed_fisher_z
from predictor.features.effective_connectivity import fit_effective_connectivity
from predictor.features.network_regression import network_regression
from predictor.scan.cleaning import RegionTimeseries

N_VOLUMES, N_REGIONS, TR_S = 240, 12, 2.0
REPETITIONS = 15


def forgetful() -> None:
    """Forget what is kept between runs."""
    balloon_response.cache_clear()
    resample_counts.cache_clear()


def milliseconds(task: Callable[[], object]) -> float:
    """Return the median time of a task."""
    times = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        task()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((N_VOLUMES + 5, N_REGIONS)) + 0.5 * rng.standard_normal((N_VOLUMES + 5, 1))
    bold = np.stack([noise[start : start + 5].mean(axis=0) for start in range(N_VOLUMES)])
    bold = (bold - bold.mean(axis=0)) / bold.std(axis=0)
    timeseries = RegionTimeseries(bold, tuple(f"region_{number}" for number in range(N_REGIONS)), TR_S)
    windows, nothing = sliding_windows(N_VOLUMES * TR_S, 100.0, 10.0), np.zeros(N_VOLUMES, dtype=np.bool_)

    def rdcm() -> None:
        fit_effective_connectivity(network_regression(bold, TR_S, filter_strength=5.0))

    def first_rdcm() -> None:
        forgetful()
        rdcm()

    tasks: dict[str, Callable[[], object]] = {
        "regression DCM, first run of its length": first_rdcm,
        "regression DCM": rdcm,
        "bootstrap, Fisher z": lambda: bootstrap_standard_errors(bold, fisher_z_of_resamples, length=15, n_samples=200),
        "bootstrap, partial": lambda: bootstrap_standard_errors(
            bold, partial_fisher_z_of_resamples, length=15, n_samples=200
        ),
        f"Fisher z in {len(windows)} windows": lambda: windowed_fisher_z(timeseries, nothing, windows),
    }
    with threadpool_limits(limits=1):
        for name, task in tasks.items():
            sys.stdout.write(f"{name:45}{milliseconds(task):8.2f} ms\n")


if __name__ == "__main__":
    main()

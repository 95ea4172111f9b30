"""How long connectivity of a 12-region resting run of 240 volumes takes, on one thread.

`python tests/benchmarks/bench_connectivity.py` measures the median of some repetitions in milliseconds: regression DCM
with and without the response at hand (asked: at most 100 ms), the bootstrap of 200 resamples (asked: 30 ms for
Fisher z, 150 ms for partial correlation), and windowed Fisher z.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from measurement import Measurement, conclude, parser_of
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
GROUP = "Connectivity of a resting run"


def forgetful() -> None:
    """Forget what is kept between runs."""
    balloon_response.cache_clear()
    resample_counts.cache_clear()


def milliseconds(task: Callable[[], object], *, n_rounds: int) -> float:
    """Return the median time of a task."""
    times = []
    for _ in range(n_rounds):
        started = time.perf_counter()
        task()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def tasks() -> dict[str, tuple[Callable[[], object], float | None]]:
    """Return what is measured, and how many milliseconds it may take."""
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

    def bootstrap(of_resamples: Callable[..., object]) -> Callable[[], object]:
        return lambda: bootstrap_standard_errors(bold, of_resamples, length=15, n_samples=200)  # type: ignore[arg-type]

    return {
        "regression DCM, first run of its length": (first_rdcm, 100.0),
        "regression DCM": (rdcm, 100.0),
        "bootstrap of 200, Fisher z": (bootstrap(fisher_z_of_resamples), 30.0),
        "bootstrap of 200, partial correlation": (bootstrap(partial_fisher_z_of_resamples), 150.0),
        f"Fisher z in {len(windows)} windows": (lambda: windowed_fisher_z(timeseries, nothing, windows), None),
    }


def main() -> int:
    """Run the benchmark."""
    arguments = parser_of(__doc__).parse_args()
    n_rounds = 3 if arguments.quick else 15
    size = f"{N_REGIONS} regions, {N_VOLUMES} volumes, one thread, median of {n_rounds}"
    with threadpool_limits(limits=1):
        found = [
            Measurement(GROUP, name, "ms", milliseconds(task, n_rounds=n_rounds), at_most=limit, detail=size)
            for name, (task, limit) in tasks().items()
        ]
    return conclude(found, as_json=arguments.json)


if __name__ == "__main__":
    raise SystemExit(main())

"""The band of `krp ci-check` over many simulated trials: a sound pipeline stays inside, leaks and losses do not.

Run on its own (minutes): python -m pytest tests/robustness/test_performance_check.py -s; N_TRIALS in the environment
makes it shorter.
"""

from __future__ import annotations

import os

import numpy as np

from predictor.console import emit
from training.performance_check import Band, check_performance

N_TRIALS = int(os.environ.get("N_TRIALS", "40"))


def test_a_sound_pipeline_stays_in_the_band() -> None:
    checks = [check_performance(seed=seed) for seed in range(100, 100 + N_TRIALS)]
    shares = np.array([check.planted.share for check in checks])
    gains = np.array([check.null.gain for check in checks])
    emit(
        f"\n{N_TRIALS} trials: share of the oracle's gain {shares.mean():.2f} sd {shares.std(ddof=1):.2f} "
        f"[{shares.min():.2f}, {shares.max():.2f}]; gain on null trials {gains.mean():+.3f} sd {gains.std(ddof=1):.3f} "
        f"[{gains.min():+.3f}, {gains.max():+.3f}]"
    )
    band = Band()
    # The limits lie at least two and a third standard deviations (1 in 100) from the mean.
    assert shares.mean() - 2.33 * shares.std(ddof=1) > band.least_share
    assert shares.mean() + 2.33 * shares.std(ddof=1) < band.most_share
    assert gains.mean() + 2.33 * gains.std(ddof=1) < band.null_highest
    assert gains.mean() - 2.33 * gains.std(ddof=1) > band.null_lowest
    assert abs(gains.mean()) < 0.03

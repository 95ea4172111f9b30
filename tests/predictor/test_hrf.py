"""The canonical haemodynamic response."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.features.hrf import canonical_hrf, hrf_with_derivatives


@pytest.mark.parametrize("step_s", [0.05, 0.125, 1.89 / 16, 2.0])
def test_kernel_sums_to_one_and_lasts_32_seconds(step_s: float) -> None:
    kernel = canonical_hrf(step_s)
    assert kernel.sum() == pytest.approx(1.0)
    assert (kernel.size - 1) * step_s <= 32 < kernel.size * step_s


def test_kernel_peaks_at_five_seconds_and_undershoots_at_fifteen() -> None:
    kernel = canonical_hrf(0.01)
    assert kernel.argmax() * 0.01 == pytest.approx(5.0, abs=0.1)
    assert kernel.argmin() * 0.01 == pytest.approx(15.7, abs=0.5)
    assert kernel.max() / -kernel.min() == pytest.approx(11.5, abs=1)


def test_adding_the_time_derivative_delays_or_hastens_the_peak() -> None:
    canonical, time_derivative, _ = hrf_with_derivatives(0.01).T
    assert (canonical + 0.3 * time_derivative).argmax() < canonical.argmax()
    assert (canonical - 0.3 * time_derivative).argmax() > canonical.argmax()


def test_taking_the_dispersion_derivative_away_widens_the_response() -> None:
    canonical, _, dispersion_derivative = hrf_with_derivatives(0.01).T
    wider = canonical_hrf(0.01, dispersion=1.2)
    approximated = canonical - 0.2 * dispersion_derivative
    assert np.corrcoef(approximated, wider)[0, 1] > np.corrcoef(canonical, wider)[0, 1]

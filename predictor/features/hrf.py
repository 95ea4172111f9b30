"""The canonical haemodynamic response to a brief neural event."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# Canonical parameters: gamma shapes of the response and of the undershoot, their ratio, length of the kernel.
RESPONSE_DELAY_S = 6.0
UNDERSHOOT_DELAY_S = 16.0
UNDERSHOOT_RATIO = 6.0
KERNEL_LENGTH_S = 32.0
# Finite differences that define the two derivatives.
ONSET_SHIFT_S = 1.0
DISPERSION_STEP = 0.01


def canonical_hrf(step_s: float, *, onset_s: float = 0.0, dispersion: float = 1.0) -> NDArray[np.float64]:
    """Difference of two gamma densities, sampled and scaled to sum 1.

    Parameters
    ----------
    step_s
        Sampling step in seconds.
    onset_s
        Shift of the response to the right, in seconds.
    dispersion
        Width of the main response (1 is canonical); the undershoot keeps its width.

    Returns
    -------
    ndarray of shape (floor(32 / step_s) + 1,)
        Kernel at times 0, step_s, ... up to 32 s; unitless, sums to 1.

    References
    ----------
    Friston et al. (1998), NeuroImage 7:30-40, doi 10.1006/nimg.1997.0306.

    Examples
    --------
    >>> kernel = canonical_hrf(0.1)
    >>> round(float(kernel.argmax() * 0.1), 1)
    5.0
    """
    n_steps = int(np.floor(KERNEL_LENGTH_S / step_s))
    time_s = np.arange(n_steps + 1) * step_s - onset_s
    response = stats.gamma.pdf(time_s, RESPONSE_DELAY_S / dispersion, scale=dispersion)
    undershoot = stats.gamma.pdf(time_s, UNDERSHOOT_DELAY_S)
    kernel = response - undershoot / UNDERSHOOT_RATIO
    return np.asarray(kernel / kernel.sum())


def hrf_with_derivatives(step_s: float) -> NDArray[np.float64]:
    """Canonical response, its time derivative (per second) and its dispersion derivative.

    Parameters
    ----------
    step_s
        Sampling step in seconds.

    Returns
    -------
    ndarray of shape (n_steps, 3)
        Not made orthogonal; the derivatives are forward differences of 1 s and of .01 in width.
    """
    canonical = canonical_hrf(step_s)
    time_derivative = (canonical - canonical_hrf(step_s, onset_s=ONSET_SHIFT_S)) / ONSET_SHIFT_S
    wider = canonical_hrf(step_s, dispersion=1 + DISPERSION_STEP)
    return np.column_stack([canonical, time_derivative, (canonical - wider) / DISPERSION_STEP])

"""The haemodynamic response to a brief neural event, in two shapes, with its derivatives.

References
----------
Friston et al. (1998), NeuroImage 7:30-40, doi 10.1006/nimg.1997.0306 ("spm").
Glover (1999), NeuroImage 9:416-429, doi 10.1006/nimg.1998.0419 ("glover").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError

HrfShape = Literal["spm", "glover"]

KERNEL_LENGTH_S: Final = 32.0
# Finite differences that define the two derivatives.
ONSET_SHIFT_S: Final = 1.0
DISPERSION_STEP: Final = 0.01


@dataclass(frozen=True, slots=True)
class _Gammas:
    """A response that is the difference of two gamma densities."""

    delay_s: float
    dispersion: float
    undershoot_delay_s: float
    undershoot_dispersion: float
    undershoot_share: float  # of the undershoot's density, subtracted


_GAMMAS: Final[dict[HrfShape, _Gammas]] = {
    "spm": _Gammas(6.0, 1.0, 16.0, 1.0, 1 / 6),
    "glover": _Gammas(6.0, 0.9, 12.0, 0.9, 0.48),
}


@dataclass(frozen=True, slots=True)
class ResponseModel:
    """Which response a design uses, and which derivatives stand beside it."""

    shape: HrfShape = "spm"
    n_derivatives: int = 0  # 1: by time; 2: by time and by dispersion

    def __post_init__(self) -> None:
        if self.shape not in _GAMMAS or self.n_derivatives not in (0, 1, 2):
            raise FeatureError(
                f"expected a response of shape {' or '.join(_GAMMAS)} with 0, 1 or 2 derivatives, "
                f"got {self.shape} with {self.n_derivatives}."
            )

    def kernels(self, step_s: float) -> NDArray[np.float64]:
        """Response and wanted derivatives, each made orthogonal to those before it, shape (n_steps, 1 + n)."""
        return orthogonal_hrf_basis(step_s, shape=self.shape)[:, : 1 + self.n_derivatives]


def canonical_hrf(
    step_s: float, *, shape: HrfShape = "spm", onset_s: float = 0.0, dispersion_shift: float = 0.0
) -> NDArray[np.float64]:
    """Difference of two gamma densities, sampled and scaled to sum 1.

    Parameters
    ----------
    step_s
        Sampling step in seconds.
    shape
        Whose parameters.
    onset_s
        Shift of the response to the right, in seconds.
    dispersion_shift
        Added to the width of the main response (1 in the shape "spm"); the undershoot keeps its width.

    Returns
    -------
    ndarray of shape (floor(32 / step_s) + 1,)
        Kernel at times 0, step_s, ... up to 32 s; unitless, sums to 1.

    Examples
    --------
    >>> kernel = canonical_hrf(0.1)
    >>> round(float(kernel.argmax() * 0.1), 1)
    5.0
    """
    # Here, because importing scipy.stats takes half a second, which the service does not wait for.
    from scipy import stats

    gammas = _GAMMAS[shape]
    n_steps = int(np.floor(KERNEL_LENGTH_S / step_s))
    time_s = np.arange(n_steps + 1) * step_s - onset_s
    dispersion = gammas.dispersion + dispersion_shift
    response = stats.gamma.pdf(time_s, gammas.delay_s / dispersion, scale=dispersion)
    undershoot = stats.gamma.pdf(
        time_s, gammas.undershoot_delay_s / gammas.undershoot_dispersion, scale=gammas.undershoot_dispersion
    )
    kernel = response - gammas.undershoot_share * undershoot
    return np.asarray(kernel / kernel.sum())


def hrf_with_derivatives(step_s: float, *, shape: HrfShape = "spm") -> NDArray[np.float64]:
    """Canonical response, its time derivative (per second) and its dispersion derivative.

    Parameters
    ----------
    step_s
        Sampling step in seconds.
    shape
        Whose parameters.

    Returns
    -------
    ndarray of shape (n_steps, 3)
        Not made orthogonal; the derivatives are forward differences of 1 s and of .01 in width.
    """
    canonical = canonical_hrf(step_s, shape=shape)
    later = canonical_hrf(step_s, shape=shape, onset_s=ONSET_SHIFT_S)
    wider = canonical_hrf(step_s, shape=shape, dispersion_shift=DISPERSION_STEP)
    return np.column_stack([canonical, (canonical - later) / ONSET_SHIFT_S, (canonical - wider) / DISPERSION_STEP])


def orthogonal_hrf_basis(step_s: float, *, shape: HrfShape = "spm") -> NDArray[np.float64]:
    """Response and derivatives, each without what those before it explain; the response itself is untouched.

    That is how SPM lays out a design, so that the response keeps its meaning when derivatives are added.

    Returns
    -------
    ndarray of shape (n_steps, 3)
        Orthogonal columns, not scaled.
    """
    basis = hrf_with_derivatives(step_s, shape=shape)
    for column in range(1, basis.shape[1]):
        earlier = basis[:, :column]
        basis[:, column] -= earlier @ np.linalg.lstsq(earlier, basis[:, column])[0]
    return basis

"""The haemodynamic response of the Balloon model, as regression DCM uses it.

References
----------
Buxton et al. (1998), Magn Reson Med 39:855-864, doi 10.1002/mrm.1910390602.
Stephan et al. (2007), NeuroImage 38:387-401, doi 10.1016/j.neuroimage.2007.07.040.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp

import numpy as np
from numpy.typing import NDArray

SIGNAL_DECAY_HZ = 0.64
FLOW_FEEDBACK_HZ = 0.32
TRANSIT_TIME_S = 2.0
VESSEL_STIFFNESS = 0.32
OXYGEN_EXTRACTION = 0.32
BLOOD_VOLUME_PERCENT = 4.0
DEOXYHAEMOGLOBIN_WEIGHT = 4.3 * 40.3 * 0.04 * 0.4
RATIO_WEIGHT = 25 * 0.4 * 0.04


@lru_cache(maxsize=16)  # the runs and half runs of one protocol
def balloon_response(n_steps: int, step_s: float) -> NDArray[np.float64]:
    """BOLD response to an input of 1 in the first step, by Euler's method.

    Parameters
    ----------
    n_steps
        Length of the result.
    step_s
        Step in seconds; the result depends on it, since the input lasts one step.

    Returns
    -------
    ndarray of shape (n_steps,)
        Percent signal change, read-only.
    """
    neuronal = signal = log_flow = log_volume = log_content = 0.0
    response = np.empty(n_steps)
    for step in range(n_steps):
        flow, volume, content = exp(log_flow), exp(log_volume), exp(log_content)
        response[step] = BLOOD_VOLUME_PERCENT * (
            DEOXYHAEMOGLOBIN_WEIGHT * (1 - content) + RATIO_WEIGHT * (1 - content / volume)
        )
        outflow = volume ** (1 / VESSEL_STIFFNESS)
        extraction = (1 - (1 - OXYGEN_EXTRACTION) ** (1 / flow)) / OXYGEN_EXTRACTION
        change_of_signal = neuronal - SIGNAL_DECAY_HZ * signal - FLOW_FEEDBACK_HZ * (flow - 1)
        neuronal += step_s * (-neuronal + (1.0 if step == 0 else 0.0))
        log_flow += step_s * signal / flow
        signal += step_s * change_of_signal
        log_volume += step_s * (flow - outflow) / (TRANSIT_TIME_S * volume)
        log_content += step_s * (flow * extraction - outflow * content / volume) / (TRANSIT_TIME_S * content)
    response.setflags(write=False)
    return response

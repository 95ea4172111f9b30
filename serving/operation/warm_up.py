"""Libraries that only a visit needs, imported once the service is ready: neither start nor first visit waits."""

from __future__ import annotations

import importlib
import logging

logger = logging.getLogger(__name__)

# What predictor/scan and predictor/features import inside their functions.
NEEDED_BY_VISITS = (
    "nilearn.interfaces.fmriprep", "nilearn.signal", "scipy.interpolate", "scipy.signal", "scipy.stats",
    "sklearn.covariance",
)  # fmt: skip


def warm_up() -> None:
    """Import what the first visit would have to."""
    for name in NEEDED_BY_VISITS:
        importlib.import_module(name)
    logger.debug("libraries for visits are loaded")

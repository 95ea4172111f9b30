"""Quality numbers of a run as features, so that models can ask whether head motion alone predicts as well."""

from __future__ import annotations

import numpy as np

from predictor.features.estimates import Estimates
from predictor.features.feature_catalogue import QUALITY_MEASURES, quality_feature_name
from predictor.scan.confounds import Confounds
from predictor.scan.quality import run_quality
from predictor.scan.session import Run


def quality(run: Run, confounds: Confounds) -> Estimates:
    """Return the quality numbers of one run; they have no standard errors."""
    measured = run_quality(run, confounds)
    values, missing = {}, {}
    for measure in QUALITY_MEASURES:
        name = quality_feature_name(measure, run.kind)
        value = getattr(measured, measure)
        if value is None or not np.isfinite(value):
            missing[name] = f"not known for the {run.kind} run"
        else:
            values[name] = float(value)
    return Estimates(values, {}, missing)

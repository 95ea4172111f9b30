"""Whether acting on the predictions would do more good than treating everyone or no one.

Net benefit at a threshold t: responders found, less others treated in vain at the odds t / (1 - t) that t stands for,
per person. It is about treating those who will respond in the arm they are in, not about choosing between arms.

References
----------
Vickers AJ, Elkin EB (2006). Decision curve analysis. Med Decis Making 26:565-574.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from training.evaluation.classification import ResponseForecast, refuse_forecast
from training.evaluation.metrics import NotReported, percentiles
from training.evaluation.resampling import bootstrap_weights

Floats = NDArray[np.float64]

THRESHOLDS = tuple(round(0.05 * number, 2) for number in range(1, 20))


@dataclass(frozen=True, slots=True, eq=False)
class DecisionCurve:
    """Net benefit per person at every threshold; treating no one has 0."""

    thresholds: Floats  # (n_thresholds,)
    model: Floats  # (n_thresholds,), treating those whose probability reaches the threshold
    treat_all: Floats  # (n_thresholds,)
    gain: Floats  # (n_thresholds,): model minus the better of treating all and treating no one
    gain_lower: Floats  # 95 % bootstrap over people or groups
    gain_upper: Floats

    def table(self) -> pd.DataFrame:
        """One row per threshold."""
        return pd.DataFrame({name: getattr(self, name) for name in self.__slots__})

    def line(self) -> str:
        """One line for the screen."""
        better = self.thresholds[self.gain_lower > 0]
        where = "no threshold" if not len(better) else f"{len(better)} of {len(self.thresholds)} thresholds"
        between = f", from {better.min():.2f} to {better.max():.2f}" if len(better) else ""
        return f"acting on it is shown to be better than treating all or no one at {where}{between}"


def draw_decision_curve(
    forecast: ResponseForecast, *, seed: int, thresholds: ArrayLike = THRESHOLDS
) -> DecisionCurve | NotReported:
    """Net benefit of acting on out-of-fold probabilities, a mean over repeats."""
    refused = refuse_forecast(forecast)
    if refused:
        return refused
    at = np.asarray(thresholds, dtype=np.float64)
    is_yes = forecast.is_responder
    worth = np.where(is_yes[:, np.newaxis], 1.0, -at / (1 - at))  # (n_people, n_thresholds), of treating a person
    share_treated = (forecast.probability[..., np.newaxis] >= at).mean(axis=0)
    n_people = len(is_yes)
    drawn = bootstrap_weights(n_people, seed=seed, groups=forecast.groups)
    weights = np.vstack([np.full(n_people, 1 / n_people), drawn])
    model, treat_all = weights @ (share_treated * worth), weights @ worth
    gain = model - np.maximum(treat_all, 0.0)
    intervals = [percentiles(draws) for draws in gain[1:].T]
    return DecisionCurve(
        thresholds=at,
        model=model[0],
        treat_all=treat_all[0],
        gain=gain[0],
        gain_lower=np.array([interval.lower for interval in intervals]),
        gain_upper=np.array([interval.upper for interval in intervals]),
    )

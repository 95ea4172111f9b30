"""How well the out-of-fold predictions tell responders from the others.

A regression model speaks about responders through its residuals: the probability of a response is the share of
plausible outcomes (prediction plus the residuals of people in other folds) that fulfil the response rule, as in the
answer about a new person.

Models of different folds are never compared with each other. The model that knows nothing but the base rate says a
little less about a responder than about the others, because that responder is missing from its training people; pooled
over leave-one-out folds its AUC is far below .5, at worst 0. Within one fold it says the same about everyone, and its
AUC is .5 exactly. Leave-one-out has nobody to compare within a fold, so nothing of this is reported for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.model.outcome_definition import OutcomeDefinition
from training.evaluation.metrics import Interval, NotReported, percentiles
from training.evaluation.nested_cv import OutOfFold
from training.evaluation.resampling import Groups, count_units, resample_counts

Floats = NDArray[np.float64]

# Fewer people of a kind make no interval that deserves the name [assumed].
MIN_PER_CLASS = 5
# Who is at least this likely to respond counts as a predicted responder [standard].
CALLED_RESPONDER = 0.5
LEAVE_ONE_OUT = (
    "folds of leave-one-out hold one person each, and comparing models of different folds makes a model without any "
    "knowledge look worse than chance. Use repeated_kfold."
)


@dataclass(frozen=True, slots=True, eq=False)
class ResponseForecast:
    """Probability of a response for everyone, by models that never saw them."""

    is_responder: NDArray[np.bool_]  # (n_participants,)
    probability: Floats  # (n_repeats, n_participants), 0 to 1
    base_rate: Floats  # (n_repeats, n_participants): share of responders among the training people of the fold
    fold_index: NDArray[np.intp]  # (n_repeats, n_participants)
    groups: Groups | None = None  # (n_participants,), None: everyone is on their own

    @property
    def inner_probability(self) -> Floats:
        """Probabilities kept off 0 and 1 by half a person, for logarithms."""
        return self._inside(self.probability)

    @property
    def inner_base_rate(self) -> Floats:
        """Base rates kept off 0 and 1 by half a person."""
        return self._inside(self.base_rate)

    def _inside(self, shares: Floats) -> Floats:
        edge = 0.5 / len(self.is_responder)
        return np.clip(shares, edge, 1 - edge)


@dataclass(frozen=True, slots=True)
class ResponderMetrics:
    """What one model achieved at telling responders from the others; intervals are bootstraps over people or groups."""

    n_responders: int
    n_others: int
    auc: float  # of pairs within folds; .5 is chance
    auc_interval: Interval
    balanced_accuracy: float  # of pairs within folds, called a responder from a probability of .5; .5 is chance
    balanced_accuracy_interval: Interval
    brier: float  # mean squared error of the probability; 0 is best
    brier_interval: Interval
    brier_skill: float  # share of the Brier score saved against the base rate of the training people; 0 is none
    brier_skill_interval: Interval
    log_loss: float  # mean negative log probability of what happened, nats
    log_loss_interval: Interval


def forecast_responses(predicted: OutOfFold, definition: OutcomeDefinition) -> ResponseForecast | NotReported:
    """Response probabilities of a model, out of fold.

    Parameters
    ----------
    predicted
        Predictions of an outcome with a response rule, or of a response itself (unit "probability", 0 and 1).
    definition
        The outcome.

    Returns
    -------
    ResponseForecast or NotReported
        The residuals behind a probability are of people in other folds, by models that had seen the person in
        question as one of many: their distribution may lean by about 1 / n. It is the same for everyone in a fold, so
        the order of people within a fold does not depend on it.
    """
    if definition.response_threshold is not None:
        is_responder, probability = definition.is_response(predicted.outcome), _by_residuals(predicted, definition)
    elif definition.unit == "probability" and np.isin(predicted.outcome, (0.0, 1.0)).all():
        is_responder, probability = predicted.outcome == 1.0, np.clip(predicted.prediction, 0.0, 1.0)
    else:
        return NotReported(f"the outcome {definition.name} has no response rule.")
    base_rate = _base_rate(is_responder, predicted)
    return ResponseForecast(is_responder, probability, base_rate, predicted.fold_index, predicted.groups)


def refuse_forecast(forecast: ResponseForecast) -> NotReported | None:
    """Why nothing can be said about responders, None if something can."""
    n_responders, n_people = int(forecast.is_responder.sum()), len(forecast.is_responder)
    kinds = (forecast.is_responder, ~forecast.is_responder)
    if min(count_units(forecast.groups, kind) for kind in kinds) < MIN_PER_CLASS:
        of_groups = "" if forecast.groups is None else ", of as many groups,"
        return NotReported(
            f"{n_responders} of {n_people} people responded; at least {MIN_PER_CLASS} responders and {MIN_PER_CLASS} "
            f"others{of_groups} are needed."
        )
    if not has_company(forecast.fold_index):
        return NotReported(LEAVE_ONE_OUT)
    if not _pairs(forecast, forecast.probability, np.ones((1, n_people)))[1][0]:
        return NotReported("no fold holds both a responder and another person; use fewer folds.")
    return None


def has_company(fold_index: NDArray[np.intp]) -> bool:
    """Whether most people share their fold with someone, so that one model speaks about several."""
    shares = []
    for folds in fold_index:
        _, numbers, sizes = np.unique(folds, return_inverse=True, return_counts=True)
        shares.append((sizes[numbers] > 1).mean())
    return bool(np.mean(shares) > 0.5)


def measure_responders(forecast: ResponseForecast, *, seed: int) -> ResponderMetrics | NotReported:
    """All responder metrics of one model.

    References
    ----------
    Airola A et al. (2011). An experimental comparison of cross-validation techniques for estimating the area under the
    ROC curve. Comput Stat Data Anal 55:1828-1844. Pooling leans, averaging over pairs within folds does not.
    Brier GW (1950). Verification of forecasts expressed in terms of probability. Mon Weather Rev 78:1-3.
    """
    refused = refuse_forecast(forecast)
    if refused:
        return refused
    n_people = len(forecast.is_responder)
    counts = np.vstack([np.ones(n_people), resample_counts(n_people, seed=seed, groups=forecast.groups)])
    weights = counts / counts.sum(axis=1, keepdims=True)
    called = (forecast.probability >= CALLED_RESPONDER).astype(np.float64)
    brier = weights @ ((forecast.probability - forecast.is_responder) ** 2).mean(axis=0)
    of_base_rate = weights @ ((forecast.base_rate - forecast.is_responder) ** 2).mean(axis=0)
    happened = np.where(forecast.is_responder, forecast.inner_probability, 1 - forecast.inner_probability)
    draws = {
        "auc": _share_of_pairs(forecast, forecast.probability, counts),
        "balanced_accuracy": _share_of_pairs(forecast, called, counts),
        "brier": brier,
        "brier_skill": 1 - brier / of_base_rate,
        "log_loss": weights @ -np.log(happened).mean(axis=0),
    }
    values = {name: float(of_draws[0]) for name, of_draws in draws.items()}
    intervals = {f"{name}_interval": percentiles(of_draws[1:]) for name, of_draws in draws.items()}
    n_responders = int(forecast.is_responder.sum())
    return ResponderMetrics(n_responders, n_people - n_responders, **values, **intervals)  # type: ignore[arg-type]


def _by_residuals(predicted: OutOfFold, definition: OutcomeDefinition) -> Floats:
    """Share of plausible outcomes that are a response, shape (n_repeats, n_participants)."""
    probability = np.empty_like(predicted.prediction)
    for repeat, folds in enumerate(predicted.fold_index):
        prediction = predicted.prediction[repeat]
        residual = predicted.outcome - prediction
        for fold in np.unique(folds):
            members = folds == fold
            plausible = prediction[members, np.newaxis] + residual[~members]
            probability[repeat, members] = definition.is_response(plausible).mean(axis=1)
    return probability


def _base_rate(is_responder: NDArray[np.bool_], predicted: OutOfFold) -> Floats:
    base_rate = np.empty(predicted.fold_index.shape)
    for repeat, folds in enumerate(predicted.fold_index):
        for fold in np.unique(folds):
            base_rate[repeat, folds == fold] = is_responder[folds != fold].mean()
    return base_rate


def _share_of_pairs(forecast: ResponseForecast, score: Floats, counts: Floats) -> Floats:
    """Share of pairs (responder, other) of a fold in which the responder scores higher; ties count half.

    Counts are whole numbers, so that what is .5 comes out as .5.
    """
    won, total = _pairs(forecast, score, counts)
    return np.asarray(np.divide(won, total, out=np.full(len(total), np.nan), where=total > 0))


def _pairs(forecast: ResponseForecast, score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    won, total = np.zeros(len(weights)), np.zeros(len(weights))
    for repeat, folds in enumerate(forecast.fold_index):
        for fold in np.unique(folds):
            yes = np.flatnonzero((folds == fold) & forecast.is_responder)
            no = np.flatnonzero((folds == fold) & ~forecast.is_responder)
            lead = score[repeat, yes, np.newaxis] - score[repeat, no]
            wins = (lead > 0) + 0.5 * (lead == 0)
            won += ((weights[:, yes] @ wins) * weights[:, no]).sum(axis=1)
            total += weights[:, yes].sum(axis=1) * weights[:, no].sum(axis=1)
    return won, total
